"""What Modify answers: again, at the same time as another, and with what goes on meanwhile."""

from __future__ import annotations

import asyncio

from grpc import StatusCode
from orchestrated import NO_CONTEXT, NOW_S, G, Orchestrated, refused, sites, until, virtual, wanted

from braid.v1 import common_pb2, reservations_pb2 as pb
from protocol.messages import Release, ReservationPrep
from runtime.errors import RequestError
from simulations.gateway import Message

COMMITTED = pb.RESERVATION_STATE_COMMITTED
FAILED = pb.RESERVATION_STATE_FAILED
CANCELLED = pb.RESERVATION_STATE_CANCELLED
NEGOTIATING = pb.RESERVATION_STATE_NEGOTIATING


def no_preps(_domain: str, message: Message) -> float | None:
    """Nobody hears of a part, so nothing is decided."""
    return None if isinstance(message, ReservationPrep) else 0.0


@virtual
async def test_a_modify_again_is_answered_as_it_was_also_after_later_changes() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(wanted())).reservation_id
        first = await one.modify(reservation_id, "m-1", 20)
        refusal = await one.modify(reservation_id, "m-2", 200)
        third = await one.modify(reservation_id, "m-3", 30)
        assert [first.modified, refusal.modified, third.modified] == [True, False, True]
        assert [answer.version for answer in (first, refusal, third)] == [2, 2, 3]
        assert await one.modify(reservation_id, "m-1", 20) == first
        assert await one.modify(reservation_id, "m-2", 200) == refusal
        await one.cancel(reservation_id)
        assert await one.modify(reservation_id, "m-3", 30) == third
        error = await refused(
            one.modify(reservation_id, "m-3", 31), StatusCode.ALREADY_EXISTS, "request_id"
        )
        assert error.given == "'m-3'"


@virtual
async def test_one_request_id_is_either_a_reserve_or_a_modify() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(wanted())).reservation_id
        await one.modify(reservation_id, "m-1", 20)
        await refused(one.modify(reservation_id, "r", 30), StatusCode.ALREADY_EXISTS, "request_id")
        await refused(
            one.reserve(wanted(request_id="m-1")), StatusCode.ALREADY_EXISTS, "request_id"
        )


@virtual
async def test_a_modify_is_answered_with_its_own_outcome_though_another_follows_at_once() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(wanted())).reservation_id
        world.store.reads_take_s = 0.05
        world.delay = lambda domain, message: 0.1
        first = asyncio.create_task(one.modify(reservation_id, "m-first", 200))

        async def follow(number: int) -> pb.ReservationRecord | None:
            await asyncio.sleep(number * 0.01)
            try:
                return await one.modify(reservation_id, f"m-{number}", 20)
            except RequestError:
                return None

        answers = [a for a in await asyncio.gather(*map(follow, range(1, 100))) if a is not None]
        assert answers[0].modified
        assert not (await first).modified


@virtual
async def test_one_change_at_a_time() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(wanted())).reservation_id
        world.delay = no_preps
        first = asyncio.create_task(one.modify(reservation_id, "m-1", 20))
        await asyncio.sleep(0.5)
        error = await refused(
            one.modify(reservation_id, "m-2", 30), StatusCode.FAILED_PRECONDITION, "reservation_id"
        )
        assert error.given == repr(reservation_id)
        assert error.possible == "another Modify of it is being negotiated"
        assert (await one.get(reservation_id)).modifying
        world.delay = lambda domain, message: 0.0
        assert (await first).modified


@virtual
async def test_what_is_negotiated_cannot_be_changed_but_cancelled() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        world.delay = no_preps
        begun = await one.reserve(wanted(detach=True))
        assert begun.state == NEGOTIATING
        error = await refused(
            one.modify(begun.reservation_id, "m-1", 20),
            StatusCode.FAILED_PRECONDITION,
            "reservation_id",
        )
        assert error.possible == "it is NEGOTIATING; only a COMMITTED one can be changed"
        gone = await one.cancel(begun.reservation_id)
        assert gone.state == CANCELLED
        # A second one is told the same, and who asks for it again too.
        assert await one.cancel(begun.reservation_id) == gone
        assert (await one.reserve(wanted())).state == CANCELLED
        world.delay = lambda domain, message: 0.0
        await asyncio.sleep(30)
        assert world.held() == {}


@virtual
async def test_a_cancel_while_a_change_is_negotiated_ends_both() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(wanted())).reservation_id
        world.delay = no_preps
        changing = asyncio.create_task(one.modify(reservation_id, "m-1", 20))
        await asyncio.sleep(0.5)
        world.delay = lambda domain, message: 0.0
        gone = await one.cancel(reservation_id)
        assert (gone.state, gone.modifying) == (CANCELLED, False)
        assert (await changing).state == CANCELLED
        assert (await one.modify(reservation_id, "m-1", 20)).state == CANCELLED
        await until(lambda: world.held() == {})


@virtual
async def test_a_window_is_changed_alone_and_with_the_bandwidth() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        record = await one.reserve(wanted())
        change = pb.ModifyRequest(
            reservation_id=record.reservation_id, request_id="longer", end_s=NOW_S + 9000
        )
        longer = await one.reservations.Modify(change, NO_CONTEXT)
        assert longer.criteria.window == common_pb2.Window(start_s=NOW_S + 3600, end_s=NOW_S + 9000)
        assert longer.criteria.bandwidth_bps == 10 * G
        change = pb.ModifyRequest(
            reservation_id=record.reservation_id,
            request_id="both",
            end_s=NOW_S + 8000,
            bandwidth_bps=5 * G,
        )
        both = await one.reservations.Modify(change, NO_CONTEXT)
        assert (both.criteria.window.end_s, both.criteria.bandwidth_bps) == (NOW_S + 8000, 5 * G)
        assert both.version == 3
        await until(lambda: world.held()["m1"] == [(record.reservation_id, 3)])


@virtual
async def test_a_modify_that_was_done_is_answered_so_though_another_instance_takes_it_over() -> (
    None
):
    async with Orchestrated(sites("m1")) as world:
        one, two = await world.start("a"), await world.start("b")
        reservation_id = (await one.reserve(wanted())).reservation_id
        # The old version is given back late: the answer waits a moment for it.
        world.delay = lambda domain, message: None if isinstance(message, Release) else 0.0
        first = asyncio.create_task(one.modify(reservation_id, "m-1", 20))
        await asyncio.sleep(0.5)
        assert not first.done()
        second = await two.modify(reservation_id, "m-2", 30)
        assert (second.modified, second.version) == (True, 3)
        answer = await first
        assert (answer.modified, answer.version) == (True, 2)
