"""What follows a refusal: what is held is given up, and the answer is made one that helps."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from orchestrator.bargain import drop_parts
from orchestrator.bent import Lesson, lessons, plan_bent
from orchestrator.engine import Engine
from orchestrator.explanation import (
    BEGUN_S,
    EXPLAINED,
    LEAD_S,
    NOTHING_TO_SAY,
    Alternative,
    AlternativeKind,
    Explanation,
    duration_of,
    explanation_of,
    in_window,
    kinds_later,
    later,
    less,
)
from orchestrator.knowledge import Knowledge
from orchestrator.lookahead import Ahead, ends_beyond, look_ahead, look_further
from orchestrator.negotiation import Bargain, Failure, Question, routes_of
from orchestrator.records import search_window
from orchestrator.surviving import surviving_less, surviving_narrower
from orchestrator.tokens import sign
from runtime.database import StorageError
from substrate.bending import Search
from substrate.bottleneck import Bottleneck, bottlenecks
from substrate.model import Bend, Refusal, RefusalKind, Window
from substrate.splitting import Effort
from substrate.values import replace

Found = tuple[
    tuple[Bottleneck, ...], list[Alternative], frozenset[AlternativeKind], list[Alternative]
]
"""What is in the way, what fits in the window, what else to look for, and what of it was found."""
EFFORT = 1000
"""Sets of routes that each search may try: an answer that helps is no reason to wait for long."""


async def let_go(engine: Engine, transaction_id: str) -> None:
    """Gives up what an undecided transaction holds: others may need it."""
    # What cannot be written now is given back at the end of it.
    with suppress(StorageError):
        await drop_parts(engine.transactions, transaction_id)


async def explained(
    engine: Engine, question: Question, failure: Failure, reservation_id: str = ""
) -> Failure:
    """With what was in the way, and what would be granted instead.

    ``reservation_id``: what is to be modified, whose own parts do not count. Only how much
    bandwidth it may have is told then, as another time would be another reservation.
    As it is where so many others are being explained at this moment that reservations might have
    to wait.
    """
    refusal = next((r for r in reversed(failure.refusals) if r.kind in EXPLAINED), None)
    if refusal is None or question.criteria.cloudnet is not None:
        # Of a CloudNet the refusal says itself what is short, and where.
        return failure
    with engine.explaining.one() as free:
        if not free:
            return failure
        explanation = await _explanation(engine, question, failure, refusal, reservation_id)
        return replace(failure, explanation=explanation)


async def _explanation(
    engine: Engine, question: Question, failure: Failure, refusal: Refusal, reservation_id: str
) -> Explanation:
    """Looks no further than it must: what was told of the window's days is known already.

    Others have their turn between any two searches.
    """
    bargain = engine.bargain(question, reservation_id=reservation_id)
    now_s = engine.now_ms() // 1000
    asked = question.criteria
    span = search_window(asked.window, now_s)
    if asked.window.end_s <= now_s:
        return NOTHING_TO_SAY
    ends = ends_beyond(question, span, _latest_s(engine, question, now_s))
    near = Window(span.start_s, ends[0]) if ends else span
    ahead = await look_ahead(question, near, bargain)
    if isinstance(ahead, Refusal):
        return NOTHING_TO_SAY
    # Whether VLANs are free was asked about, or is, anew.
    short = [refusal for refusal in failure.refusals if refusal.kind is not RefusalKind.LABEL]
    learnt = lessons(short, question) if asked.bend is None else []
    within = await _exactly(question, span, bargain) if ahead.search.lacks_labels else None
    during, search = _searched(within or ahead, learnt), _searched(ahead, learnt)
    milder = replace(during, effort=Effort(EFFORT))
    about_bps, least, ready_s = refusal.available_bps or 0, ahead.least, now_s + BEGUN_S + LEAD_S
    longest_s = engine.limits.bounds.window_max_s
    look = partial(later, least=least, longest_s=longest_s, ready_s=ready_s)

    def first() -> Found:
        narrow = bottlenecks(during, span, refusal)
        found = less(during, least, about_bps, ready_s)
        if reservation_id:
            # Another bandwidth is of what is to survive of it another part of the same size.
            own = surviving_narrower(milder) if asked.constraints.survive else found
            return narrow, own, frozenset(), []
        found += surviving_less(milder, narrower=not found)
        kinds = kinds_later(search)
        search.effort.left = EFFORT
        return narrow, found, kinds, look(search, kinds=kinds)

    narrow, found, kinds, others = await bargain.compute(first)
    if reservation_id:
        return explanation_of(narrow, found, lambda alternative: alternative)
    for end_s in ends[1:]:
        kinds -= {each.kind for each in others}
        if not kinds:
            break
        ahead = await look_further(question, ahead, end_s, bargain)
        others += await bargain.compute(partial(look, _searched(ahead, learnt), kinds=kinds))
    kinds -= {each.kind for each in others}
    if AlternativeKind.EARLIEST_START in kinds and ahead.search.lacks_labels:
        others += await _labelled(engine, question, ahead.search.forecast.span)
    signed = partial(sign, engine.ids, engine.now_ms())
    return explanation_of(narrow, (*found, *others), signed)


async def _exactly(question: Question, span: Window, bargain: Bargain) -> Ahead | None:
    """Asks about this very time: VLANs that are not free all day may be free in it."""
    bargain.forgets()
    ahead = await look_ahead(question, span, bargain)
    return None if isinstance(ahead, Refusal) else ahead


async def _labelled(engine: Engine, question: Question, span: Window) -> list[Alternative]:
    """The earliest start where VLANs are scarce: windows are asked about one by one."""
    asked = question.criteria
    if asked.bend is not None or span.duration_s <= asked.window.duration_s:
        return []
    slides = replace(asked, window=span, bend=Bend(duration_s=duration_of(asked)))
    outcome = await plan_bent(
        replace(question, criteria=slides), lambda each, told: engine.bargain(each, told=told)
    )
    if isinstance(outcome, Failure) or outcome.criteria.window == asked.window:
        return []
    return [in_window(asked, outcome.criteria.window, asked.bandwidth_bps)]


def _searched(ahead: Ahead, learnt: list[Lesson]) -> Search:
    """The search that knows what was learnt, with an effort of its own."""
    known = ahead.search.forecast.capped(learnt) if learnt else ahead.search.forecast
    return replace(ahead.search, forecast=known, effort=Effort(EFFORT))


def _latest_s(engine: Engine, question: Question, now_s: int) -> int:
    """When an alternative may end at the latest: what is later would be refused."""
    routes = routes_of(question, Knowledge())
    names = {d for r in routes for d in r.domains} if not isinstance(routes, Refusal) else set()
    told = (question.topology.domains[name].horizon_s for name in sorted(names))
    horizons = [horizon_s for horizon_s in told if horizon_s]
    return now_s + min([engine.limits.bounds.horizon_s, *horizons])
