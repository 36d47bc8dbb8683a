"""What each call of the U-O interface answers: statuses, repeated requests, several instances."""

from __future__ import annotations

import asyncio

import pytest
from grpc import StatusCode
from orchestrated import NO_CONTEXT, Orchestrated, refused, sites, until, virtual, wanted

from braid.v1 import reservations_pb2 as pb
from orchestrator.ports import Changes
from protocol.messages import ReservationPrep, ReservationResp
from runtime.database import StorageError
from simulations.gateway import Message

COMMITTED = pb.RESERVATION_STATE_COMMITTED
FAILED = pb.RESERVATION_STATE_FAILED
CANCELLED = pb.RESERVATION_STATE_CANCELLED
NEGOTIATING = pb.RESERVATION_STATE_NEGOTIATING


def no_preps(_domain: str, message: Message) -> float | None:
    """Nobody hears of a part, so nothing is decided."""
    return None if isinstance(message, ReservationPrep) else 0.0


@virtual
async def test_a_reserve_again_is_answered_with_the_same_reservation() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        first = await one.reserve(wanted())
        again = await one.reserve(wanted())
        assert first.state == COMMITTED
        assert again == first
        # Whether to wait is not part of the request.
        assert await one.reserve(wanted(detach=True)) == first
        assert len(world.held()["m1"]) == 1


@virtual
async def test_a_reserve_again_while_it_is_negotiated_waits_for_the_same_outcome() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        answers = await asyncio.gather(*(one.reserve(wanted()) for _ in range(5)))
        assert {answer.reservation_id for answer in answers} == {answers[0].reservation_id}
        assert all(answer.state == COMMITTED for answer in answers)
        assert one.engine.negotiating == 0


@virtual
async def test_a_failed_reserve_again_fails_again_without_being_tried_again() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        first = await one.reserve(wanted(500))
        assert first.state == FAILED
        events = await one.events(first.reservation_id)
        assert await one.reserve(wanted(500)) == first
        assert await one.events(first.reservation_id) == events


@virtual
async def test_a_refusal_names_the_domain_on_the_way_that_is_away() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        one.gateway.down("m1")
        told = (await one.reserve(wanted())).refusals
        assert [refusal.domain for refusal in told[:-1]] == ["m1"]
        assert told[0].reason == "m1 is left out: it cannot be reached"
        avoided = pb.Constraints(avoid_domains=["m1"])
        told = (await one.reserve(wanted(request_id="r2", constraints=avoided))).refusals
        assert not any("left out: it cannot" in refusal.reason for refusal in told)


@pytest.mark.parametrize(
    "other",
    [
        wanted(11),
        wanted(description="another"),
        wanted(destination="east:m1"),
        wanted(negotiation_timeout_s=29),
    ],
    ids=["bandwidth", "description", "destination", "timeout"],
)
@virtual
async def test_another_body_under_the_same_id_is_refused_and_changes_nothing(
    other: pb.Reservation,
) -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        first = await one.reserve(wanted())
        error = await refused(one.reserve(other), StatusCode.ALREADY_EXISTS, "request_id")
        assert error.given == "'r'"
        assert "the body that was first sent with it (a time such as now is" in error.possible
        assert await one.get(first.reservation_id) == first


@virtual
async def test_a_request_that_was_good_once_is_answered_though_its_time_is_over() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        first = await one.reserve(wanted())
        await asyncio.sleep(3 * 3600)
        again = await one.reserve(wanted())
        assert again.reservation_id == first.reservation_id
        assert again.state == pb.RESERVATION_STATE_ENDED
        await refused(
            one.reserve(wanted(request_id="new")), StatusCode.INVALID_ARGUMENT, "window.start_s"
        )


@virtual
async def test_where_there_is_no_room_for_a_negotiation_it_is_told_when_to_ask_again() -> None:
    async with Orchestrated(sites("m1"), negotiations_max=2) as world:
        one = await world.start()
        world.delay = no_preps
        for number in range(2):
            await one.reserve(wanted(request_id=f"r{number}", detach=True))
        error = await refused(
            one.reserve(wanted(request_id="late")), StatusCode.RESOURCE_EXHAUSTED, "negotiations"
        )
        assert (error.given, error.possible[:9]) == ("3", "2 at once")
        assert error.retry_after_s == 1.0
        # What is recorded already needs no room; what was refused was not recorded.
        assert (await one.reserve(wanted(request_id="r1", detach=True))).state == NEGOTIATING
        missing = pb.GetRequest(request_id="late")
        await refused(one.reservations.Get(missing, NO_CONTEXT), StatusCode.NOT_FOUND, "request_id")
        world.delay = lambda domain, message: 0.0
        await until(lambda: one.engine.negotiating == 0)
        assert (await one.reserve(wanted(request_id="late"))).state == COMMITTED


@virtual
async def test_a_write_that_fails_records_nothing_and_leaves_room() -> None:
    async with Orchestrated(sites("m1"), negotiations_max=1) as world:
        one = await world.start()
        world.store.fails = lambda changes: "before" if changes.request is not None else ""
        for _ in range(3):
            with pytest.raises(StorageError):
                await one.reserve(wanted())
        world.store.fails = lambda changes: ""
        assert one.engine.negotiating == 0
        assert (await one.reserve(wanted())).state == COMMITTED


@virtual
async def test_a_reserve_whose_write_only_seemed_to_fail_is_decided_all_the_same() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()

        def first_only(changes: Changes) -> str:
            world.store.fails = lambda later: ""
            return "after"

        world.store.fails = first_only
        assert (await one.reserve(wanted())).state == COMMITTED
        again = await one.reserve(wanted())
        assert again.state == COMMITTED
        assert world.held()["m1"] == [(again.reservation_id, 1)]


@virtual
async def test_who_drains_tells_to_ask_another_instance_and_still_answers_the_rest() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        record = await one.reserve(wanted())
        await one.instance.drain(0)
        error = await refused(
            one.reserve(wanted(request_id="late")), StatusCode.UNAVAILABLE, "request_id"
        )
        assert error.given == "'late'"
        assert "another instance" in error.possible
        await refused(
            one.modify(record.reservation_id, "m", 20), StatusCode.UNAVAILABLE, "request_id"
        )
        assert await one.reserve(wanted()) == record
        assert await one.get(record.reservation_id) == record
        assert (await one.cancel(record.reservation_id)).state == CANCELLED


@pytest.mark.parametrize("turns", range(8))
@virtual
async def test_a_cancel_that_is_given_up_is_done_wholly_or_not_at_all(turns: int) -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        record = await one.reserve(wanted())
        calling = asyncio.create_task(one.cancel(record.reservation_id))
        for _ in range(turns):
            await asyncio.sleep(0)
        calling.cancel()
        await asyncio.sleep(5)
        shown = await one.get(record.reservation_id)
        # Its first turn only reads.
        assert shown.state == (COMMITTED if turns < 2 else CANCELLED)
        assert len(world.held()) == (3 if turns < 2 else 0)
        assert all(part.released is (turns >= 2) for part in shown.parts)


@virtual
async def test_a_reservation_that_another_takes_again_and_again_is_a_conflict() -> None:
    async with Orchestrated(sites("m1")) as world:
        one, two = await world.start("a"), await world.start("b")
        record = await one.reserve(wanted())

        class Greedy:
            """The other instance is always quicker."""

            async def __call__(self, _changes: Changes) -> None:
                await world.store.take_one(two.engine.epoch, record.reservation_id)

        greedy, save = Greedy(), one.engine.save

        async def robbed(changes: Changes) -> None:
            await greedy(changes)
            await save(changes)

        one.engine.save = robbed  # type: ignore[method-assign]
        one.engine.transactions._save = robbed
        error = await refused(
            one.cancel(record.reservation_id), StatusCode.ABORTED, "reservation_id"
        )
        assert error.given == repr(record.reservation_id)
        assert (await two.get(record.reservation_id)).state == COMMITTED
        assert (await two.cancel(record.reservation_id)).state == CANCELLED


@virtual
async def test_late_answers_of_a_cancelled_negotiation_are_given_back() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        world.delay = lambda d, m: 3.0 if isinstance(m, ReservationResp) and d == "m1" else 0.0
        begun = await one.reserve(wanted(detach=True))
        await asyncio.sleep(1)
        assert "m1" in world.held()
        await one.cancel(begun.reservation_id)
        await asyncio.sleep(10)
        assert world.held() == {}
        shown = await one.get(begun.reservation_id)
        assert (shown.state, list(shown.paths)) == (CANCELLED, [])


@virtual
async def test_a_plan_is_the_first_thing_that_reserve_would_hold_and_holds_nothing() -> None:
    async with Orchestrated(sites("m1", blind="m1")) as world:
        one = await world.start()
        plan = await one.reservations.Plan(wanted(), NO_CONTEXT)
        assert (plan.feasible, plan.depends_on_blind) == (True, True)
        assert world.held() == {}
        record = await one.reserve(wanted())
        assert [hop.domain for hop in plan.paths[0].hops] == [
            hop.domain for hop in record.paths[0].hops
        ]
        assert plan.advice.parallel_streams == 2 * len(plan.paths)
        none = await one.reservations.Plan(wanted(200), NO_CONTEXT)
        assert (none.feasible, len(none.paths)) == (False, 0)
        assert none.refusals
