"""Odd but well-formed requests at the edge, over a real database: never INTERNAL, never a crash."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from grpc import StatusCode

from braid.v1 import doubts_pb2, reservations_pb2 as pb
from orchestrator.bounds import Bounds
from orchestrator.doubts import DoubtsService
from orchestrator.engine import Engine, Limits
from orchestrator.memory import MemoryStore
from orchestrator.ports import Store
from orchestrator.server import ReservationsService
from orchestrator.service import Orchestrator
from runtime.clock import RandomIds, SystemClock
from runtime.errors import RequestError
from simulations.gateway import MemoryGateway

NO_CONTEXT: Any = None


class Nobody:
    """No domain is known."""

    def status(self, name: str) -> None:
        return None


class Edge:
    """The services of an orchestrator without domains."""

    def __init__(self, store: Store) -> None:
        engine = Engine("o", store, MemoryGateway(), SystemClock(), RandomIds(), Limits())
        orchestrator = Orchestrator(engine)
        self.reservations = ReservationsService(orchestrator, Bounds())
        self.doubts = DoubtsService(orchestrator, Nobody())

    async def get(self, reservation_id: str) -> pb.ReservationRecord:
        return await self.reservations.Get(pb.GetRequest(reservation_id=reservation_id), NO_CONTEXT)

    async def list(self, **fields: Any) -> pb.ListResponse:
        return await self.reservations.List(pb.ListRequest(**fields), NO_CONTEXT)

    async def watched(self, **fields: Any) -> None:
        """The first event, or that there is none for a moment."""
        events = self.reservations.Watch(pb.WatchRequest(**fields), NO_CONTEXT)
        try:
            async with asyncio.timeout(0.1):
                await anext(events)
        except TimeoutError:
            return

    async def doubtful(self, **fields: Any) -> doubts_pb2.ListDoubtsResponse:
        return await self.doubts.List(doubts_pb2.ListDoubtsRequest(**fields), NO_CONTEXT)

    async def settle(self, **fields: Any) -> doubts_pb2.SettleResponse:
        values = {
            "transaction_id": "tx",
            "part_id": "p",
            "settlement": doubts_pb2.SETTLEMENT_COMMIT,
            "operator": "olga",
            "reason": "why",
            **fields,
        }
        return await self.doubts.Settle(doubts_pb2.SettleRequest(**values), NO_CONTEXT)


@pytest.fixture
async def edge(store: Store) -> Edge:
    """Over each kind of store in turn."""
    return Edge(store)


@pytest.fixture
def light() -> Edge:
    """For what is refused before any store is asked."""
    return Edge(MemoryStore())


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


async def wrong(call: Awaitable[object], code: StatusCode, field: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await call
    assert (caught.value.code, caught.value.field) == (code, field)
    assert len(caught.value.given) <= 201
    return caught.value


@pytest.mark.parametrize("given", ["-1", "1.5", "x", " 1"])
async def test_a_page_token_that_was_never_answered_is_an_invalid_argument(
    light: Edge, given: str
) -> None:
    error = await wrong(light.list(page_token=given), StatusCode.INVALID_ARGUMENT, "page_token")
    assert error.possible == "next_page_token of a ListResponse"


async def test_a_page_token_beyond_all_numbers_is_an_invalid_argument(edge: Edge) -> None:
    for given in ("9" * 30, "9" * 5000):
        await wrong(edge.list(page_token=given), StatusCode.INVALID_ARGUMENT, "page_token")


async def test_a_page_before_the_first_is_empty(edge: Edge) -> None:
    assert not (await edge.list(page_token="1")).reservations
    assert not (await edge.list(page_token="0")).reservations


@pytest.mark.parametrize("size", [0, 1001, 2**32 - 1])
async def test_a_page_of_no_size_or_too_large_is_refused(light: Edge, size: int) -> None:
    for call in (light.list(page_size=size), light.doubtful(page_size=size)):
        error = await wrong(call, StatusCode.INVALID_ARGUMENT, "page_size")
        assert (error.given, error.possible) == (str(size), "1 to 1000")


async def test_a_kind_that_there_is_not_is_told_those_that_there_are(light: Edge) -> None:
    error = await wrong(light.list(kind=7), StatusCode.INVALID_ARGUMENT, "kind")
    assert (error.given, error.possible) == ("7", "CIRCUIT, CLOUDNET")


async def test_who_has_seen_more_than_there_is_waits(edge: Edge) -> None:
    for after in (1, 2**63 - 1):
        await edge.watched(after_sequence=after)


@pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)
async def test_who_has_seen_more_than_there_can_be_waits_too(edge: Edge) -> None:
    await edge.watched(after_sequence=2**63)
    await edge.watched(after_sequence=2**64 - 1)


BY_ID: list[Callable[[Edge, str], Awaitable[object]]] = [
    lambda edge, given: edge.get(given),
    lambda edge, given: edge.watched(reservation_id=given),
    lambda edge, given: edge.reservations.Cancel(
        pb.CancelRequest(reservation_id=given), NO_CONTEXT
    ),
    lambda edge, given: edge.reservations.Modify(
        pb.ModifyRequest(reservation_id=given, request_id="m", bandwidth_bps=1), NO_CONTEXT
    ),
]
"""All calls that take the id of a reservation."""


async def test_an_id_that_nobody_gave_out_is_not_found(edge: Edge) -> None:
    for given in ("nobody", "x" * 10_000, "'; drop table x; --", "ü"):
        for call in BY_ID:
            await wrong(call(edge, given), StatusCode.NOT_FOUND, "reservation_id")


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
async def test_an_id_with_a_nul_is_not_found_either(edge: Edge) -> None:
    for call in BY_ID:
        await wrong(call(edge, "\0"), StatusCode.NOT_FOUND, "reservation_id")


@pytest.mark.parametrize(
    "given",
    [
        "no base64!",
        "ü",
        token("not json"),
        token("[]"),
        token("[1, 2, 3]"),
        token("7"),
        token('["1", "tx", "p"]'),
        token('[-1, "tx", "p"]'),
        token('[9999999999999999999999, "tx", "p"]'),
        token('[1, "a b", "p"]'),
        token('[1, "tx", ""]'),
        token('{"a": 1, "b": 2, "c": 3}'),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
    ids=lambda text: text[:12],
)
async def test_a_mark_that_was_never_given_out_is_an_invalid_argument(
    light: Edge, given: str
) -> None:
    await wrong(light.doubtful(page_token=given), StatusCode.INVALID_ARGUMENT, "page_token")


async def test_a_mark_that_is_nested_too_deep_is_an_invalid_argument(light: Edge) -> None:
    deep = token("[" * 100_000)
    await wrong(light.doubtful(page_token=deep), StatusCode.INVALID_ARGUMENT, "page_token")


@pytest.mark.parametrize("older_s", [-1, 10**9 + 1, 2**63 - 1, -(2**63)])
async def test_an_age_that_is_none_is_refused(light: Edge, older_s: int) -> None:
    call = light.doubtful(older_than_s=older_s)
    error = await wrong(call, StatusCode.INVALID_ARGUMENT, "older_than_s")
    assert (error.given, error.possible) == (str(older_s), "0 to 1000000000")


async def test_nothing_is_in_doubt_where_there_is_nothing(edge: Edge) -> None:
    for fields in ({}, {"older_than_s": 0}, {"older_than_s": 10**9}, {"page_size": 1000}):
        assert await edge.doubtful(**fields) == doubts_pb2.ListDoubtsResponse()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"transaction_id": ""}, "transaction_id"),
        ({"transaction_id": "a/b"}, "transaction_id"),
        ({"part_id": "x" * 129}, "part_id"),
        ({"part_id": "\0"}, "part_id"),
        ({"settlement": 0}, "settlement"),
        ({"settlement": 3}, "settlement"),
        ({"operator": ""}, "operator"),
        ({"operator": " olga"}, "operator"),
        ({"operator": "o" * 129}, "operator"),
        ({"operator": "o\nlga"}, "operator"),
        ({"reason": ""}, "reason"),
        ({"reason": "r" * 257}, "reason"),
        ({"reason": "burnt down "}, "reason"),
        ({"reason": "\x1b[31m"}, "reason"),
    ],
)
async def test_a_wrong_order_of_an_operator_names_its_field(
    light: Edge, fields: dict[str, Any], field: str
) -> None:
    await wrong(light.settle(**fields), StatusCode.INVALID_ARGUMENT, field)


async def test_a_good_order_about_a_part_that_is_not_there_is_not_found(edge: Edge) -> None:
    orders: list[dict[str, Any]] = [{}, {"operator": "Ольга П."}, {"reason": "r" * 256}]
    for fields in orders:
        error = await wrong(edge.settle(**fields), StatusCode.NOT_FOUND, "part_id")
        assert error.given == "'tx/p'"
