"""ReserveMany: every request as by Reserve, side by side, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog
from google.rpc import status_pb2
from grpc import StatusCode
from orchestrated import NO_CONTEXT, One, Orchestrated, sites, virtual, wanted

from braid.v1 import reservations_pb2 as pb
from orchestrator import many as module
from orchestrator.many import many
from orchestrator.records import Reservation
from orchestrator.service import Order
from protocol.messages import ReservationPrep
from simulations.gateway import Message

COMMITTED = pb.RESERVATION_STATE_COMMITTED
FAILED = pb.RESERVATION_STATE_FAILED


async def frames(*frames: list[pb.Reservation]) -> AsyncIterator[pb.ReserveManyRequest]:
    for reservations in frames:
        yield pb.ReserveManyRequest(reservations=reservations)


async def outcomes(one: One, *asked: list[pb.Reservation]) -> dict[str, pb.ReserveOutcome]:
    found = [
        outcome
        async for response in one.reservations.ReserveMany(frames(*asked), NO_CONTEXT)
        for outcome in response.outcomes
    ]
    assert len({outcome.request_id for outcome in found}) == len(found)
    return {outcome.request_id: outcome for outcome in found}


@virtual
async def test_each_request_has_the_outcome_that_reserve_would_have_given() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        good = [wanted(1, f"r{number}") for number in range(20)]
        refused, wrong = wanted(500, "big"), wanted(1, "wrong", source="west:nowhere")
        found = await outcomes(one, [*good[:10], wrong], [refused, *good[10:]])
        assert len(found) == 22
        for request in good:
            assert found[request.request_id].record == await one.reserve(request)
            assert found[request.request_id].record.state == COMMITTED
        assert found["big"].record.state == FAILED
        status = status_pb2.Status.FromString(found["wrong"].status)
        assert status.code == StatusCode.NOT_FOUND.value[0]
        assert status.message.startswith("source: given 'west:nowhere'")
        assert len(world.held()["m1"]) == 20


@virtual
async def test_what_is_decided_is_told_before_the_rest_is() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        slow = {"hold": True}

        def delay(_domain: str, message: Message) -> float | None:
            late = isinstance(message, ReservationPrep) and message.segments[0].bandwidth_bps > 5e9
            return 3.0 if late and slow["hold"] else 0.0

        world.delay = delay
        asked = [wanted(10, "slow"), *(wanted(1, f"r{number}") for number in range(3))]
        order = [
            [outcome.request_id for outcome in response.outcomes]
            async for response in one.reservations.ReserveMany(frames(asked), NO_CONTEXT)
        ]
        assert sorted(name for names in order[:-1] for name in names) == ["r0", "r1", "r2"]
        assert order[-1] == ["slow"]


@virtual
async def test_a_bug_is_one_outcome_and_its_text_stays_in_the_log() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reserve = one.instance.orchestrator.reserve

        async def broken(order: Order) -> Reservation:
            if order.request_id == "bad":
                raise KeyError("secret")
            return await reserve(order)

        one.instance.orchestrator.reserve = broken  # type: ignore[method-assign]
        with structlog.testing.capture_logs() as logs:
            found = await outcomes(one, [wanted(1, "bad"), wanted(1, "good")])
        assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == [
            "handler failed"
        ]
        assert found["good"].record.state == COMMITTED
        status = status_pb2.Status.FromString(found["bad"].status)
        assert status.code == StatusCode.INTERNAL.value[0]
        assert "secret" not in status.message


@virtual
async def test_those_of_a_stream_that_breaks_go_on() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        world.delay = lambda domain, message: 0.5
        reading = asyncio.create_task(outcomes(one, [wanted(1, "r1")]))
        await asyncio.sleep(0.7)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert (await one.reserve(wanted(1, "r1"))).state == COMMITTED
        assert len(world.held()["m1"]) == 1


async def test_no_more_are_taken_in_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_WORK_MAX", 3)
    gate, begun, taken = asyncio.Event(), [], []

    async def reserve(request: pb.Reservation) -> pb.ReserveOutcome:
        begun.append(request.request_id)
        await gate.wait()
        return pb.ReserveOutcome(request_id=request.request_id)

    async def endless() -> AsyncIterator[pb.ReserveManyRequest]:
        for number in range(10):
            taken.append(number)
            yield pb.ReserveManyRequest(reservations=[wanted(1, f"r{number}")])

    answers = many(endless(), reserve)
    first = asyncio.create_task(anext(answers))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (len(begun), len(taken)) == (3, 4)
    gate.set()
    found = list((await first).outcomes)
    async for response in answers:
        found += response.outcomes
    assert sorted(outcome.request_id for outcome in found) == [f"r{n}" for n in range(10)]


async def test_frames_keep_within_their_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRAME_OUTCOMES", 4)
    monkeypatch.setattr(module, "FRAME_BYTES", 100)

    async def reserve(request: pb.Reservation) -> pb.ReserveOutcome:
        return pb.ReserveOutcome(request_id=request.request_id, status=b"x" * 40)

    asked = frames([wanted(1, f"r{number}") for number in range(9)])
    sizes = [len(response.outcomes) async for response in many(asked, reserve)]
    assert sum(sizes) == 9
    assert max(sizes) <= 2


async def test_the_first_of_a_frame_go_on_before_the_last_of_it_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 4)
    steps = []

    async def reserve(request: pb.Reservation) -> pb.ReserveOutcome:
        steps.append(f"{request.request_id} begins")
        await asyncio.sleep(0)
        steps.append(f"{request.request_id} goes on")
        return pb.ReserveOutcome(request_id=request.request_id)

    asked = frames([wanted(1, f"r{number}") for number in range(10)])
    assert sum([len(response.outcomes) async for response in many(asked, reserve)]) == 10
    assert steps.index("r3 begins") < steps.index("r0 goes on") < steps.index("r8 begins")


async def test_what_ends_the_requests_early_ends_the_answers_with_it() -> None:
    async def broken() -> AsyncIterator[pb.ReserveManyRequest]:
        yield pb.ReserveManyRequest(reservations=[wanted(1, "r1")])
        raise ConnectionError("gone")

    async def reserve(request: pb.Reservation) -> pb.ReserveOutcome:
        return pb.ReserveOutcome(request_id=request.request_id)

    answers = many(broken(), reserve)
    with pytest.raises(ConnectionError):
        async for _ in answers:
            pass
