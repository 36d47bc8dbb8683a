"""Both clients over gRPC: lost answers, broken streams, and circuits that are always given back."""

from __future__ import annotations

import asyncio
import inspect
import time

import grpc
import pytest
from client_world import ROUTE, Either
from fake_orchestrator import FakeOrchestrator

from braid import requests, retries
from braid.client import (
    AsyncClient,
    BraidError,
    CircuitRefused,
    Client,
    Conflict,
    DeadlinePassed,
    InvalidRequest,
    NotFound,
    Refused,
    Unreachable,
)
from braid.v1 import common_pb2, reservations_pb2 as pb, topology_pb2

pytestmark = pytest.mark.usefixtures("no_long_pauses")
LOST = grpc.StatusCode.UNAVAILABLE
CANCELLED = pb.RESERVATION_STATE_CANCELLED


class InTheBlock(Exception):
    """What a user's own code may raise."""


def states(fake: FakeOrchestrator) -> list[int]:
    return [record.state for record in fake.records.values()]


async def test_every_call_asks_what_its_arguments_say(
    client: Either, fake: FakeOrchestrator
) -> None:
    record = await client("reserve", *ROUTE, "150G", duration="2h")
    changed = await client("modify", record.reservation_id, bandwidth="80G")
    assert changed.modified
    assert changed.criteria.bandwidth_bps == 80 * 10**9
    assert (await client("get", record.reservation_id)).version == 2
    by_request = await client("get", request_id=record.criteria.request_id)
    assert by_request.reservation_id == record.reservation_id
    assert (await client("plan", *ROUTE, "150G", duration="2h")).feasible
    assert (await client("cancel", record.reservation_id)).state == CANCELLED
    assert len((await client("list", ["cancelled"])).reservations) == 1
    kinds = [type(message).__name__ for message in fake.asked]
    assert kinds == [
        *("Reservation", "ModifyRequest", "GetRequest", "GetRequest"),
        *("Reservation", "CancelRequest", "ListRequest"),
    ]


async def test_the_calls_for_domains(client: Either, fake: FakeOrchestrator) -> None:
    assert len((await client("topology")).domains) == 2
    answer = await client("availability", "sitea:dtn", "sitea:to-n", start="+1h", duration="2h")
    assert [step.bandwidth_bps for step in answer.profile] == [40 * 10**9, 100 * 10**9]
    window = fake.asked_of(topology_pb2.AvailabilityRequest)[0].window
    assert window.end_s - window.start_s == 7200
    told = await client("aggregate", "together", start="+1h", duration="30m")
    assert told.aggregate.name == "together"
    window = fake.asked_of(topology_pb2.AggregateRequest)[0].window
    assert window.end_s - window.start_s == 1800
    await client("aggregate", "together", reservation_id="r1")
    asked = [message.reservation_id for message in fake.asked_of(topology_pb2.AggregateRequest)]
    assert asked == ["", "r1"]
    assert (await client("register", "new", "127.0.0.1:9")).status.target == "127.0.0.1:9"
    await client("unregister", "new")
    assert "new" not in fake.topology.targets


async def test_a_list_is_turned_page_by_page(client: Either) -> None:
    for _ in range(3):
        await client("reserve", *ROUTE, "1G", duration="2h")
    first = await client("list", page_size=2)
    rest = await client("list", page_size=2, page_token=first.next_page_token)
    names = [record.reservation_id for record in [*first.reservations, *rest.reservations]]
    assert names == ["r3", "r2", "r1"]
    assert rest.next_page_token == ""


@pytest.mark.parametrize("after", [False, True], ids=["request lost", "answer lost"])
async def test_a_lost_call_is_repeated_and_done_once(
    client: Either, fake: FakeOrchestrator, after: bool
) -> None:
    fake.fail(LOST, times=2, after=after)
    record = await client("reserve", *ROUTE, "10G", duration="2h")
    assert record.state == pb.RESERVATION_STATE_COMMITTED
    bodies = {m.SerializeToString() for m in fake.asked_of(pb.Reservation)}
    assert len(fake.asked) == 3
    assert len(bodies) == len(fake.records) == 1
    fake.fail(LOST, after=after)
    changed = await client("modify", record.reservation_id, bandwidth="20G")
    assert changed.version == 2


async def test_the_callers_request_id_is_used(client: Either, fake: FakeOrchestrator) -> None:
    wishes = {"duration": "2h", "start": 2_000_000_000, "request_id": "transfer-1"}
    first = await client("reserve", *ROUTE, "10G", **wishes)
    again = await client("reserve", *ROUTE, "10G", **wishes)
    assert first.reservation_id == again.reservation_id
    with pytest.raises(Conflict) as caught:
        await client("reserve", *ROUTE, "11G", **wishes)
    assert caught.value.code is grpc.StatusCode.ALREADY_EXISTS
    assert caught.value.field == "request_id"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("vnode: given 'a', possible: one of b, c", ("vnode", "'a'", "one of b, c")),
        ("a.b[0]: given 'x: y', possible: z, possible: w", ("a.b[0]", "'x: y'", "z, possible: w")),
        ("vnode: given 'a'", ("vnode", "", "")),
        ("the database cannot write now", ("", "", "")),
    ],
)
def test_an_error_tells_field_given_and_possible(message: str, told: tuple[str, str, str]) -> None:
    error = BraidError(message)
    assert (error.field, error.given, error.possible) == told


async def test_nobody_there_is_unreachable_after_a_few_attempts(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.fail(LOST, "draining", times=retries.ATTEMPTS)
    with pytest.raises(Unreachable, match="draining"):
        await client("get", "r1")
    assert len(fake.asked) == retries.ATTEMPTS


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequest),
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.FAILED_PRECONDITION, Conflict),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Refused),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlinePassed),
    ],
)
async def test_an_error_is_not_repeated_and_names_its_field(
    client: Either, fake: FakeOrchestrator, code: grpc.StatusCode, kind: type[Exception]
) -> None:
    fake.fail(code, "constraints.ero[1]: given 'x', possible: an STP")
    with pytest.raises(kind, match="given 'x'") as caught:
        await client("get", "r1")
    assert getattr(caught.value, "field", None) == "constraints.ero[1]"
    assert getattr(caught.value, "code", None) is code
    assert len(fake.asked) == 1


async def test_an_error_that_names_no_field_has_none(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.fail(grpc.StatusCode.INTERNAL, "internal error; reference 1 in the server's log")
    with pytest.raises(Exception, match="internal error") as caught:
        await client("get", "r1")
    assert getattr(caught.value, "field", None) == ""


async def test_a_broken_watch_goes_on_without_gap_or_repetition(
    client: Either, fake: FakeOrchestrator
) -> None:
    record = await client("reserve", *ROUTE, "150G", duration="2h")
    fake.watch_breaks_after = 4
    sequences = await client.watched(record.reservation_id, until_decided=True)
    assert sequences == [event.sequence for event in fake.events]
    after = [request.after_sequence for request in fake.asked_of(pb.WatchRequest)]
    assert after == [0, 4]


async def test_a_watch_that_never_comes_back_is_unreachable(
    client: Either, fake: FakeOrchestrator
) -> None:
    record = await client("reserve", *ROUTE, "1G", duration="2h")
    fake.watch_fails = retries.ATTEMPTS
    with pytest.raises(Unreachable):
        await client.watched(record.reservation_id, until_decided=True)
    assert len(fake.asked_of(pb.WatchRequest)) == retries.ATTEMPTS


async def test_a_watch_ends_at_its_deadline(client: Either) -> None:
    record = await client("reserve", *ROUTE, "1G", duration="2h")
    began = time.monotonic()
    with pytest.raises(DeadlinePassed):
        await client.watched(record.reservation_id, timeout_s=0.3)
    assert 0.2 < time.monotonic() - began < 5


async def test_watching_an_unknown_reservation_is_not_found(client: Either) -> None:
    with pytest.raises(NotFound, match="nothing"):
        await client.watched("nothing")


async def test_a_circuit_tells_how_to_use_it_and_is_given_back(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.active_after_gets = 2
    circuit = await client.hold("150G", duration="2h", wait_active_s=20)
    assert circuit.parallel_streams == 4
    assert [path.bandwidth_bps for path in circuit.paths] == [75 * 10**9] * 2
    assert circuit.source_vlans == circuit.destination_vlans == (1999,)
    assert len(fake.asked_of(pb.GetRequest)) == 3
    assert states(fake) == [CANCELLED]


async def test_a_refused_circuit_has_the_reasons(client: Either, fake: FakeOrchestrator) -> None:
    with pytest.raises(CircuitRefused, match="200000000000 bit/s is free") as caught:
        await client.hold("300G", duration="2h")
    assert caught.value.refusals[0].available_bps == 200 * 10**9
    assert fake.asked_of(pb.CancelRequest) == []


async def test_an_error_of_the_block_gives_back_and_is_the_one_that_is_raised(
    client: Either, fake: FakeOrchestrator
) -> None:
    with pytest.raises(InTheBlock, match="mine"):
        await client.hold("10G", InTheBlock("mine"), duration="2h")
    assert states(fake) == [CANCELLED]
    fake.cancel_fails = 10
    with pytest.raises(InTheBlock, match="mine"):
        await client.hold("10G", InTheBlock("mine"), duration="2h")


async def test_a_circuit_that_cannot_be_given_back_says_so(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.cancel_fails = 10
    with pytest.raises(Unreachable):
        await client.hold("10G", duration="2h")


async def test_a_circuit_whose_window_has_ended_is_fine(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.ends_at_once = True
    await client.hold("10G", duration="2h")
    assert states(fake) == [pb.RESERVATION_STATE_ENDED]
    assert len(fake.asked_of(pb.CancelRequest)) == 1


async def test_a_circuit_that_never_becomes_active_is_given_back(
    client: Either, fake: FakeOrchestrator
) -> None:
    with pytest.raises(TimeoutError, match="r1 is not active"):
        await client.hold("10G", duration="2h", wait_active_s=0.3)
    assert states(fake) == [CANCELLED]


async def test_a_circuit_whose_device_failed_is_given_back(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.data_plane_at_start = common_pb2.DATA_PLANE_STATE_FAILED
    with pytest.raises(CircuitRefused):
        await client.hold("10G", duration="2h", wait_active_s=5)
    assert states(fake) == [CANCELLED]


@pytest.mark.parametrize("times", [1, retries.ATTEMPTS])
async def test_a_circuit_whose_answer_was_lost_is_given_back(
    client: Either, fake: FakeOrchestrator, times: int
) -> None:
    deadline = grpc.StatusCode.DEADLINE_EXCEEDED
    fake.fail(deadline if times == 1 else LOST, times=times, after=True)
    with pytest.raises(DeadlinePassed if times == 1 else Unreachable):
        await client.hold("10G", duration="2h")
    assert states(fake) == [CANCELLED]


async def test_another_circuit_under_the_same_request_id_is_left_alone(
    client: Either, fake: FakeOrchestrator
) -> None:
    await client("reserve", *ROUTE, "10G", duration="2h", request_id="taken")
    with pytest.raises(Conflict):
        await client.hold("20G", duration="2h", request_id="taken")
    assert states(fake) == [pb.RESERVATION_STATE_COMMITTED]


async def test_a_call_that_is_cancelled_while_it_reserves_leaves_nothing_behind(
    target: str, fake: FakeOrchestrator
) -> None:
    fake.reserve_takes_s = 0.5
    async with AsyncClient(target, insecure=True) as client:
        holding = asyncio.create_task(Either(client).hold("10G", duration="2h"))
        assert await asyncio.to_thread(fake.reserving.wait, 10)
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
    assert states(fake) == [CANCELLED]


def test_a_call_that_negotiates_may_take_as_long_as_the_negotiation() -> None:
    patient = requests.reservation(*ROUTE, "1G", duration="1h", timeout_s=600)
    usual = requests.reservation(*ROUTE, "1G", duration="1h")
    assert retries.call_timeout(patient, 10) == 610
    assert retries.call_timeout(usual, 10) == 40
    assert retries.call_timeout(requests.modify("r", bandwidth="1G", timeout_s=5), 10) == 15
    assert retries.call_timeout(requests.get("r"), 10) == 10


async def test_a_call_to_a_silent_orchestrator_ends(fake: FakeOrchestrator, target: str) -> None:
    fake.get_takes_s = 2.0
    with Client(target, insecure=True, timeout_s=0.2) as client, pytest.raises(DeadlinePassed):
        await asyncio.to_thread(client.get, "r1")


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    def public(kind: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {n: list(inspect.signature(f).parameters) for n, f in methods if n[0] != "_"}

    assert public(Client) == public(AsyncClient)
    assert len(public(Client)) == 26
