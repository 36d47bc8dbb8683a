"""What an explanation costs: whom it asks, and how many there are at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from orchestrated import NO_CONTEXT, NOW_S, G, One, Orchestrated, sites, virtual, wanted

from braid.v1 import common_pb2, reservations_pb2 as pb
from orchestrator.bounds import Bounds
from orchestrator.explanation import LEAD_S
from orchestrator.offers import DAY_S
from orchestrator.server import DETAILS_MAX_BYTES
from orchestrator.wire import shortened
from protocol.messages import ReqOffers
from runtime.errors import RequestError
from simulations.gateway import Message
from substrate.model import Window

FAILED = pb.RESERVATION_STATE_FAILED
HOUR_S = 3600
VLANS = common_pb2.VlanRange(first=100, last=199)
MORNING_S = NOW_S // DAY_S * DAY_S + DAY_S + 6 * HOUR_S


def asked(gbps: int, request_id: str, hours: tuple[int, int], **more: Any) -> pb.Reservation:
    """From so many hours after a morning at six."""
    start_s, end_s = (MORNING_S + hour * HOUR_S for hour in hours)
    window = common_pb2.Window(start_s=start_s, end_s=end_s)
    return wanted(request_id=request_id, bandwidth_bps=gbps * G, window=window, **more)


class Questions:
    """The windows that domains were asked about."""

    def __init__(self, world: Orchestrated) -> None:
        self.windows: list[Window] = []
        world.delay = self._delay

    def _delay(self, _domain: str, message: Message) -> float:
        if isinstance(message, ReqOffers):
            self.windows.append(message.window)
        return 0.0


def kinds(answer: pb.ReservationRecord | pb.PlanResponse) -> set[str]:
    names = {pb.AlternativeKind.Name(each.kind) for each in answer.alternatives}
    return {name.removeprefix("ALTERNATIVE_KIND_").lower() for name in names}


ALL = {"largest_bandwidth", "earliest_start", "same_volume"}


@virtual
async def test_where_the_day_itself_has_an_answer_nobody_is_asked_about_more() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=2000) as world:
        one = await world.start()
        await one.reserve(asked(80, "first", (0, 1)))
        await asyncio.sleep(3)
        questions = Questions(world)
        refused = await one.reservations.Plan(asked(70, "p", (0, 1)), NO_CONTEXT)
        assert kinds(refused) == ALL
        day = Window(MORNING_S - 6 * HOUR_S, MORNING_S + 18 * HOUR_S)
        assert {day.start_s <= w.start_s and w.end_s <= day.end_s for w in questions.windows} == {
            True
        }
        assert refused.bottlenecks[0].free_bps == 20 * G


@virtual
async def test_the_days_behind_are_asked_about_when_they_must_be_and_once() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=2000) as world:
        one, questions = await world.start(), Questions(world)
        await one.reserve(asked(80, "first", (0, 60)))
        await asyncio.sleep(3)
        refused = await one.reservations.Plan(asked(70, "p", (0, 1)), NO_CONTEXT)
        assert kinds(refused) == ALL
        later = next(
            a for a in refused.alternatives if a.kind == pb.ALTERNATIVE_KIND_EARLIEST_START
        )
        assert later.request.window.start_s == MORNING_S + 60 * HOUR_S
        assert max(w.end_s for w in questions.windows) == MORNING_S + 8 * DAY_S - 6 * HOUR_S
        behind = MORNING_S + 18 * HOUR_S
        before = [w for w in questions.windows if w.start_s >= behind]
        assert before
        again = await one.reservations.Plan(asked(70, "p", (1, 2)), NO_CONTEXT)
        assert kinds(again) == ALL
        assert [w for w in questions.windows if w.start_s >= behind] == before


@virtual
async def test_of_many_refusals_at_once_few_are_explained_and_none_is_late() -> None:
    async with Orchestrated(sites("m1"), explanations_max=2) as world:
        one = await world.start()
        await one.reserve(asked(80, "first", (0, 1)))
        world.delay = lambda _domain, message: 1.0 if isinstance(message, ReqOffers) else 0.0
        began_s = asyncio.get_running_loop().time()

        async def refusal(number: int) -> tuple[float, bool]:
            record = await one.reserve(asked(70, f"r{number}", (0, 1)))
            assert record.state == FAILED
            assert record.refusals
            took_s = asyncio.get_running_loop().time() - began_s
            return took_s, bool(record.alternatives)

        answers = await asyncio.gather(*(refusal(number) for number in range(10)))
        assert sum(explained for _, explained in answers) == 2
        assert {round(took_s) for took_s, explained in answers if not explained} == {1}
        assert (await one.reserve(asked(70, "last", (0, 1)))).alternatives


@virtual
async def test_an_operator_may_do_without_explanations() -> None:
    async with Orchestrated(sites("m1"), explanations_max=0) as world:
        one = await world.start()
        record = await one.reserve(asked(170, "first", (0, 1)))
        assert record.state == FAILED
        assert record.refusals
        assert not record.bottlenecks
        assert not record.alternatives


@virtual
async def test_a_domain_that_is_silent_about_later_days_has_nothing_free_then() -> None:
    async with Orchestrated(sites("m1", "m2"), offers_reuse_ms=2000) as world:
        one = await world.start()
        await one.reserve(asked(200, "first", (0, 20)))
        await asyncio.sleep(3)
        world.delay = lambda domain, message: (
            None
            if domain == "m1"
            and isinstance(message, ReqOffers)
            and message.window.start_s > MORNING_S
            else 0.0
        )
        refused = await one.reservations.Plan(asked(200, "p", (0, 1)), NO_CONTEXT)
        assert kinds(refused) == {"same_volume"}
        refused = await one.reservations.Plan(asked(100, "p", (0, 1)), NO_CONTEXT)
        assert kinds(refused) == {"earliest_start", "same_volume"}


@virtual
async def test_a_modify_that_is_refused_tells_how_much_it_may_have_its_own_included() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=2000) as world:
        one = await world.start()
        await one.reserve(asked(50, "other", (0, 1)))
        own = await one.reserve(asked(20, "own", (0, 1)))
        record = await one.modify(own.reservation_id, "more", 80)
        assert not record.modified
        assert record.criteria.bandwidth_bps == 20 * G
        (largest,) = record.alternatives
        assert largest.request.bandwidth_bps == 50 * G
        assert not largest.token
        assert {place.free_bps for place in record.bottlenecks} == {50 * G}
        again = await one.modify(own.reservation_id, "less", 50)
        assert again.modified
        assert not again.alternatives
        assert not again.bottlenecks


@virtual
async def test_the_same_request_again_that_accepts_asks_nobody() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=2000) as world:
        one = await world.start()
        await one.reserve(asked(80, "first", (0, 1)))
        refused = await one.reserve(asked(70, "second", (0, 1)))
        accepting = pb.Reservation(request_id="third", accept=refused.alternatives[0].token)
        record = await one.reserve(accepting)
        await asyncio.sleep(3600)
        questions = Questions(world)
        again = await one.reserve(accepting)
        assert again.reservation_id == record.reservation_id
        assert not questions.windows


@virtual
async def test_what_a_status_tells_of_a_long_request_is_short_enough_to_travel() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=2000) as world:
        one = await world.start()
        await one.reserve(asked(80, "first", (0, 1)))
        ero = ["west:host", "m1:west", "m1:east", "east:host"]
        avoid = pb.Constraints(ero=ero, source_vlans=[VLANS] * 128, destination_vlans=[VLANS] * 128)
        refused = await one.reserve(asked(70, "second", (0, 1), constraints=avoid))
        await asyncio.sleep(3600)
        token = refused.alternatives[0].token
        with pytest.raises(RequestError) as caught:
            await one.reserve(pb.Reservation(request_id="third", accept=token))
        (fresh,) = caught.value.more
        assert isinstance(fresh, pb.PlanResponse)
        assert fresh.alternatives
        assert fresh.ByteSize() <= DETAILS_MAX_BYTES


def test_an_answer_that_is_too_long_loses_what_its_tokens_say_and_then_the_last_ones() -> None:
    each = pb.Alternative(token="t" * 900, request=wanted(), text="less")
    plan = pb.PlanResponse(alternatives=[each] * 5)
    shown = shortened(plan, 4096)
    assert [one.token for one in shown.alternatives] == [each.token] * 4
    assert not shown.alternatives[-1].HasField("request")
    assert shown.ByteSize() <= 4096
    assert shortened(plan, 10_000) == plan


async def plan(one: One, request: pb.Reservation) -> pb.PlanResponse:
    return await one.reservations.Plan(request, NO_CONTEXT)


@virtual
async def test_what_bends_begins_when_it_can_be_granted_at_the_soonest() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        window = common_pb2.Window(start_s=NOW_S, end_s=NOW_S + 2 * HOUR_S)
        for flexibility in (
            pb.Flexibility(volume_bytes=10**12, soonest=True),
            pb.Flexibility(volume_bytes=10**12),
            pb.Flexibility(duration_s=HOUR_S),
        ):
            fits = await plan(one, wanted(window=window, flexibility=flexibility))
            assert fits.window.start_s == NOW_S + LEAD_S


@virtual
async def test_no_alternative_is_longer_or_later_than_what_is_taken() -> None:
    bounds = Bounds(window_max_s=2 * HOUR_S, horizon_s=12 * HOUR_S)
    async with Orchestrated(sites("m1"), bounds=bounds) as world:
        one = await world.start()
        window = common_pb2.Window(start_s=NOW_S, end_s=NOW_S + HOUR_S)
        for hour in range(11):
            later = common_pb2.Window(
                start_s=NOW_S + hour * HOUR_S, end_s=NOW_S + (hour + 1) * HOUR_S
            )
            await one.reserve(wanted(60, request_id=f"r{hour}", window=later))
        refused = await plan(one, wanted(50, window=window))
        assert kinds(refused) == {"largest_bandwidth", "same_volume", "earliest_start"}
        await one.reserve(
            wanted(
                60,
                "last",
                window=common_pb2.Window(start_s=later.end_s, end_s=later.end_s + HOUR_S),
            )
        )
        refused = await plan(one, wanted(90, window=window))
        assert kinds(refused) == {"largest_bandwidth"}


@virtual
async def test_alternatives_to_what_has_begun_begin_now_and_can_be_taken() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        window = common_pb2.Window(start_s=NOW_S, end_s=NOW_S + 4 * HOUR_S)
        await one.reserve(wanted(80, "first", window=window))
        await asyncio.sleep(59)
        world.delay = lambda domain, message: 1.5 if isinstance(message, ReqOffers) else 0.0
        refused = await one.reserve(wanted(70, "second", window=window))
        assert kinds(refused) == ALL
        now_s = NOW_S + 59
        for number, each in enumerate(refused.alternatives):
            assert each.request.window.start_s >= now_s
            taken = pb.Reservation(request_id=f"t{number}", accept=each.token)
            record = await one.reserve(taken)
            assert record.state == pb.RESERVATION_STATE_COMMITTED
            await one.cancel(record.reservation_id)


FEW = pb.Constraints(source_vlans=[common_pb2.VlanRange(first=100, last=100)])
"""One VLAN at the source: two circuits at one time are one too many."""


@virtual
async def test_what_slides_finds_a_time_in_which_a_vlan_is_free() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=2000) as world:
        one = await world.start()
        for hours in ((0, 4), (9, 10), (40, 41)):
            record = await one.reserve(asked(1, f"r{hours[0]}", hours, constraints=FEW))
            assert record.state == pb.RESERVATION_STATE_COMMITTED
        for hours, found in (((0, 60), 4), ((8, 12), 10)):
            flexibility = pb.Flexibility(duration_s=2 * HOUR_S)
            bending = asked(1, f"b{found}", hours, constraints=FEW, flexibility=flexibility)
            planned = await plan(one, bending)
            assert planned.window.start_s == MORNING_S + found * HOUR_S
        record = await one.reserve(bending)
        assert record.state == pb.RESERVATION_STATE_COMMITTED
        assert record.criteria.window == planned.window


@virtual
async def test_a_volume_is_moved_while_a_vlan_is_free() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        await one.reserve(asked(1, "first", (0, 4), constraints=FEW))
        flexibility = pb.Flexibility(volume_bytes=50 * G * HOUR_S // 8)
        bending = asked(50, "b", (0, 9), constraints=FEW, flexibility=flexibility)
        record = await one.reserve(bending)
        assert record.state == pb.RESERVATION_STATE_COMMITTED
        assert record.criteria.window.start_s >= MORNING_S + 4 * HOUR_S


@virtual
async def test_where_no_vlan_is_free_at_any_time_that_is_said() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=2000) as world:
        one = await world.start()
        await one.reserve(asked(1, "first", (0, 9), constraints=FEW))
        flexibility = pb.Flexibility(duration_s=2 * HOUR_S)
        bending = asked(1, "b", (1, 8), constraints=FEW, flexibility=flexibility)
        for refused in (await plan(one, bending), await one.reserve(bending)):
            assert refused.refusals[-1].kind == common_pb2.REFUSAL_KIND_LABEL
            (place,) = refused.bottlenecks
            assert place.label
            assert place.resource == "west:host"


@virtual
async def test_where_a_vlan_is_scarce_a_refusal_tells_when_it_is_free() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=2000) as world:
        one = await world.start()
        await one.reserve(asked(1, "first", (0, 4), constraints=FEW))
        await one.reserve(asked(1, "second", (10, 12), constraints=FEW))
        refused = await one.reserve(asked(1, "third", (2, 4), constraints=FEW))
        assert refused.bottlenecks[0].label
        (later,) = refused.alternatives
        assert later.request.window.start_s == MORNING_S + 4 * HOUR_S
        record = await one.reserve(pb.Reservation(request_id="fourth", accept=later.token))
        assert record.state == pb.RESERVATION_STATE_COMMITTED


@virtual
async def test_vlans_that_are_taken_at_other_times_of_the_day_do_not_hide_the_bandwidth() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=2000) as world:
        one = await world.start()
        await one.reserve(asked(80, "first", (0, 1)))
        await one.reserve(asked(1, "second", (10, 12), constraints=FEW))
        refused = await one.reserve(asked(70, "third", (0, 1), constraints=FEW))
        assert {"largest_bandwidth", "earliest_start"} <= kinds(refused)
        assert refused.bottlenecks[0].free_bps == 20 * G
