"""What an explanation costs: whom it asks, and how many there are at once."""

from __future__ import annotations

import asyncio
from typing import Any

from orchestrated import NO_CONTEXT, NOW_S, G, Orchestrated, sites, virtual, wanted

from braid.v1 import common_pb2, reservations_pb2 as pb
from orchestrator.offers import DAY_S
from protocol.messages import ReqOffers
from simulations.gateway import Message
from substrate.model import Window

FAILED = pb.RESERVATION_STATE_FAILED
HOUR_S = 3600
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
