"""Many requests over one stream: each has one outcome, whatever breaks in between."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from client_world import ROUTE, Either
from fake_orchestrator import FakeOrchestrator

from braid.client import AsyncClient, CircuitRefused, Client, NotFound, Unreachable
from braid.many import FRAME_BYTES, REQUEST_BYTES, Asking
from braid.requests import reservation
from braid.v1 import reservations_pb2 as pb

LOST = grpc.StatusCode.UNAVAILABLE


pytestmark = pytest.mark.usefixtures("no_long_pauses")


def asked(count: int, bandwidth: str = "1G", source: str = ROUTE[0]) -> list[pb.Reservation]:
    return [
        reservation(source, ROUTE[1], bandwidth, duration="1h", request_id=f"{bandwidth}-{n}")
        for n in range(count)
    ]


def largest(fake: FakeOrchestrator) -> int:
    return max(len(frame.reservations) for frame in fake.asked_of(pb.ReserveManyRequest))


async def test_every_request_has_its_outcome(client: Either, fake: FakeOrchestrator) -> None:
    wanted = [*asked(50), *asked(1, "500G")]
    outcomes = await client.many(iter(wanted), in_flight=8)
    assert sorted(o.request_id for o in outcomes) == sorted(r.request_id for r in wanted)
    by_id = {outcome.request_id: outcome for outcome in outcomes}
    with pytest.raises(CircuitRefused):
        by_id["500G-0"].circuit()
    assert by_id["1G-0"].circuit().parallel_streams == 2
    assert largest(fake) == 8


async def test_nothing_asked_is_nothing_told(client: Either, fake: FakeOrchestrator) -> None:
    assert await client.many([]) == []
    assert fake.asked == []


@pytest.mark.parametrize("ends_early", [False, True])
async def test_what_a_broken_stream_left_open_is_asked_again_and_done_once(
    client: Either, fake: FakeOrchestrator, ends_early: bool
) -> None:
    fake.many_breaks_after, fake.many_ends_early = 7, ends_early
    outcomes = await client.many(asked(30), in_flight=10)
    assert len(outcomes) == 30
    assert all(outcome.record is not None for outcome in outcomes)
    assert len(fake.records) == 30


async def test_a_wrong_request_is_an_error_of_its_own(client: Either) -> None:
    outcomes = await client.many([*asked(2), *asked(1, "2G", source="nowhere:x")])
    (wrong,) = [outcome for outcome in outcomes if outcome.error is not None]
    assert isinstance(wrong.error, NotFound)
    assert (wrong.request_id, wrong.error.field) == ("2G-0", "source")
    with pytest.raises(NotFound):
        wrong.circuit()


async def test_what_found_no_room_is_asked_again_when_it_was_told_to(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.full = 6
    outcomes = await client.many(asked(5))
    assert all(outcome.record is not None for outcome in outcomes)


async def test_what_never_finds_room_is_told_in_the_end(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.full = 1000
    (outcome,) = await client.many(asked(1))
    assert outcome.error is not None
    assert outcome.error.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_nobody_there_is_unreachable() -> None:
    async with AsyncClient("127.0.0.1:1", insecure=True) as nobody:
        with pytest.raises(Unreachable):
            await Either(nobody).many(asked(3))
    with Client("127.0.0.1:1", insecure=True) as blocking, pytest.raises(Unreachable):
        await Either(blocking).many(asked(3))


async def test_an_instance_that_takes_nothing_new_is_left_for_another(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.draining = 3
    outcomes = await client.many(asked(20), in_flight=5)
    assert all(outcome.record is not None for outcome in outcomes)
    assert len(outcomes) == 20
    assert fake.streams > 1


async def test_a_full_server_does_not_make_it_take_in_everything(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.full = 40
    taken = []

    def counted() -> Iterator[pb.Reservation]:
        for request in asked(200):
            taken.append(len(fake.records))
            yield request

    outcomes = await client.many(counted(), in_flight=10)
    assert len(outcomes) == 200
    # Never more than ten (and the one that is looked at) beyond what has its outcome.
    assert all(number - done <= 21 for number, done in enumerate(taken))


@pytest.mark.parametrize("request_ids", [["a", "a"], [""]])
def test_ids_must_tell_requests_apart(request_ids: list[str]) -> None:
    with pytest.raises(ValueError, match="request_id: given"):
        Asking((pb.Reservation(request_id=name) for name in request_ids), 10).frame(0)


def test_in_flight_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="in_flight: given 0"):
        Asking([], 0)


def test_a_request_that_would_break_the_stream_is_said_by_its_id() -> None:
    large = pb.Reservation(request_id="b", description="x" * REQUEST_BYTES)
    asking = Asking([pb.Reservation(request_id="a"), large], 10)
    with pytest.raises(ValueError, match=r"reservation 'b': given 15\d+ bytes, possible: at most"):
        asking.frame(0)


def test_frames_of_large_requests_stay_below_their_bound() -> None:
    sizes = [REQUEST_BYTES // 2, REQUEST_BYTES // 2, *[REQUEST_BYTES - 100] * 4]
    wanted = [
        pb.Reservation(request_id=str(n), description="x" * (size - 50))
        for n, size in enumerate(sizes)
    ]
    asking, asked_for = Asking(wanted, 10), 0
    while frame := asking.frame(0):
        assert frame.ByteSize() <= FRAME_BYTES
        asked_for += len(frame.reservations)
    assert asked_for == len(wanted)
