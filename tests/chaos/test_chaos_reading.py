"""What processes say is read to the last page."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest
from chaos_fakes import FakeAgent, FakeReservations, serving

from braid.v1 import agent_pb2, reservations_pb2 as pb
from tools.chaos_reading import by_request, holdings, listed


def record(request_id: str) -> pb.ReservationRecord:
    return pb.ReservationRecord(
        reservation_id=f"r-{request_id}", criteria=pb.Reservation(request_id=request_id)
    )


async def test_holdings_are_read_to_the_last_page() -> None:
    pages = [[agent_pb2.Holding(part_id=name) for name in names] for names in ("ab", "c", "")]
    async with serving(FakeAgent(pages)) as (target,):
        assert [held.part_id for held in await holdings(target)] == ["a", "b", "c"]


async def test_reservations_are_listed_to_the_last_page() -> None:
    fake = FakeReservations(
        [
            pb.ListResponse(reservations=[record("a"), record("b")], next_page_token="7"),
            pb.ListResponse(reservations=[record("c")]),
        ]
    )
    async with serving(fake) as (target,):
        assert sorted(await listed(target)) == ["a", "b", "c"]
    assert [request.page_token for request in fake.requests] == ["", "7"]


async def test_a_request_that_is_not_known_is_left_out() -> None:
    fake = FakeReservations([record("a"), grpc.StatusCode.NOT_FOUND, record("c")])
    async with serving(fake) as (target,):
        assert await by_request(target, ["a", "b", "c"]) == {"a": record("a"), "c": record("c")}
    assert [request.request_id for request in fake.requests] == ["a", "b", "c"]


async def test_any_other_error_is_not_taken_for_an_answer() -> None:
    async with serving(FakeReservations([grpc.StatusCode.INTERNAL])) as (target,):
        with pytest.raises(grpc.aio.AioRpcError):
            await by_request(target, ["a"])
