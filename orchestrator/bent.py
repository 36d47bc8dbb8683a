"""Requests that bend: choose windows and rates, negotiate each as a rigid one, all or nothing.

All phases belong to one transaction: a domain has a part for each, which are alternatives to one
another like all parts of a reservation, and never at the same time. They are negotiated side by
side. When one is refused, what was held is given up, and the lesson counts in the next choice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from orchestrator.begun import Begun
from orchestrator.cloudnets import negotiate_cloudnet, plan_cloudnet
from orchestrator.explanation import LEAD_S, Least, told_apart
from orchestrator.finder import ROUTES_MAX
from orchestrator.knowledge import Knowledge
from orchestrator.lookahead import Ahead, look_ahead
from orchestrator.negotiation import (
    Bargain,
    Failure,
    Question,
    negotiate,
    plan_for,
    too_late,
)
from orchestrator.planning import plan_only
from orchestrator.records import Granted, granted, granted_alone, search_window
from orchestrator.tolling import plan_admitted, too_dear
from protocol.messages import SendOffers
from substrate.bending import Phase, Search, Shortfall, rigid, slide, widest
from substrate.forecast import Resource
from substrate.labels import Plan
from substrate.model import Criteria, Refusal, RefusalKind, Window
from substrate.options import Pair
from substrate.routes import Route
from substrate.spreading import spread_admitted
from substrate.values import replace

FEW_ROUTES = 4
"""So many are asked about first."""
CHOICES_MAX = 10
"""How often windows and rates are chosen, as long as domains refuse them."""

OVERLAP_S = 30
"""For how long before and after a migration both the old and the new paths are there."""

Told = Mapping[str, SendOffers]
Bargains = Callable[[Question, Told], Bargain]
"""The bargain of a question that knows already what domains have told."""
Lesson = tuple[Resource, Window, int]


async def negotiate_any(question: Question, bargains: Bargains) -> Granted | Failure:
    """Negotiates criteria, whether they bend or not. See ``negotiate_bent`` and ``negotiate``."""
    if question.criteria.cloudnet is not None:
        plan = await negotiate_cloudnet(question, bargains(question, {}))
        return _alone(question.criteria, plan)
    if question.criteria.bend is not None:
        return await negotiate_bent(question, bargains)
    planner = plan_admitted if question.tariff is not None else None
    plan = await negotiate(question, bargains(question, {}), planner)
    return _alone(question.criteria, plan)


async def negotiate_begun(begun: Begun) -> Granted | Failure:
    """Negotiates further what does not bend and has a first plan."""
    return _alone(begun.question.criteria, await begun.negotiate())


async def negotiate_migration(
    question: Question, switch_s: int, bargains: Bargains
) -> Granted | Failure:
    """The paths in force until ``switch_s``, from then on others; for OVERLAP_S both.

    Capacity counts once where both lie: the phases are alternatives.
    """
    kept, window = question.in_force, question.criteria.window
    assert kept is not None
    until = Window(window.start_s, min(switch_s + OVERLAP_S, window.end_s))
    since = Window(max(switch_s - OVERLAP_S, window.start_s), window.end_s)
    rate_bps = question.criteria.bandwidth_bps
    before, after = Phase(until, rate_bps), Phase(since, rate_bps)
    first = _of(question, before)
    answers = await bargains(first, {}).prepare(kept.segments)
    refusals = tuple(answer for answer in answers.values() if answer is not None)
    if refusals:
        return Failure(refusals)
    second = _of(question, after)
    outcome = await negotiate(second, bargains(second, {}))
    if isinstance(outcome, Failure):
        return outcome
    return granted(question.criteria, ((before, kept), (after, outcome)))


async def plan_any(question: Question, bargains: Bargains) -> Granted | Failure:
    """What ``negotiate_any`` would first try to hold; holds nothing."""
    if question.criteria.cloudnet is not None:
        plan = await plan_cloudnet(question, bargains(question, {}))
        return _alone(question.criteria, plan)
    if question.criteria.bend is not None:
        return await plan_bent(question, bargains)
    if question.tariff is None:
        return _alone(question.criteria, await plan_only(question, bargains(question, {})))
    bargain = bargains(question, {})
    found, _ = await plan_admitted(question, Knowledge(), bargain, announce=True)
    return _alone(question.criteria, found if isinstance(found, Plan) else Failure((found,)))


def _alone(criteria: Criteria, outcome: Plan | Failure) -> Granted | Failure:
    if isinstance(outcome, Failure):
        return outcome
    return granted_alone(criteria, outcome)


async def negotiate_bent(question: Question, bargains: Bargains) -> Granted | Failure:
    """Everything granted is held; after a Failure the caller aborts what is left."""
    known: list[Lesson] = []
    refusals: tuple[Refusal, ...] = ()
    for _ in range(CHOICES_MAX):
        chosen = await _choose(question, bargains, known)
        if isinstance(chosen, Refusal):
            return _failure(refusals, chosen)
        phases, ahead = chosen
        questions = [_of(question, phase, ahead.search.routes) for phase in phases]
        with_each = [(each, bargains(each, ahead.told)) for each in questions]
        quoted = None
        if question.tariff is not None:
            quoted = await _quoted(question, with_each, bargains(question, {}))
        if isinstance(quoted, Refusal):
            return Failure((*refusals, quoted))
        outcomes = await asyncio.gather(*(negotiate(each, bargain) for each, bargain in with_each))
        plans = [outcome for outcome in outcomes if isinstance(outcome, Plan)]
        if len(plans) == len(phases):
            lying = tuple(zip(phases, plans, strict=True))
            if question.tariff is not None and plans != quoted:
                # Domains refused what was planned first; what is held by now counts as free.
                dear = await too_dear(question, lying, with_each[0][1])
                if dear is not None:
                    return Failure((*refusals, dear))
            return granted(question.criteria, lying)
        every = frozenset(question.topology.domains)
        for _, bargain in with_each:
            await bargain.drop(every)
        refusals = tuple(r for o in outcomes if isinstance(o, Failure) for r in o.refusals)
        learnt = [
            lesson
            for each, outcome in zip(questions, outcomes, strict=True)
            if isinstance(outcome, Failure)
            for lesson in lessons(outcome.refusals, each)
        ]
        if not learnt:
            break
        known += learnt
    return Failure(refusals)


async def _quoted(
    question: Question, with_each: Sequence[tuple[Question, Bargain]], asks: Bargain
) -> list[Plan] | Refusal:
    """What is to be held first for each phase, or why all that is not admitted."""
    plans, phases = list[Plan](), list[Phase]()
    for each, bargain in with_each:
        plan, _ = await plan_for(each, Knowledge(), bargain, announce=False)
        if isinstance(plan, Plan):
            plans.append(plan)
            phases.append(Phase(each.criteria.window, each.criteria.bandwidth_bps))
    lying = tuple(zip(phases, plans, strict=True))
    dear = await too_dear(question, lying, asks)
    return plans if dear is None else dear


async def plan_bent(question: Question, bargains: Bargains) -> Granted | Failure:
    """What ``negotiate_bent`` would first try to hold; holds nothing."""
    known: list[Lesson] = []
    refusals: tuple[Refusal, ...] = ()
    for _ in range(CHOICES_MAX):
        chosen = await _choose(question, bargains, known)
        if isinstance(chosen, Refusal):
            return _failure(refusals, chosen)
        phases, ahead = chosen
        plans, refusals = list[Plan](), ()
        for phase in phases:
            each = _of(question, phase, ahead.search.routes)
            plan, _ = await plan_for(each, Knowledge(), bargains(each, ahead.told), announce=False)
            if isinstance(plan, Refusal):
                refusals = (*refusals, plan)
                known += lessons((plan,), each)
            else:
                plans.append(plan)
        if not refusals:
            lying = tuple(zip(phases, plans, strict=True))
            dear = await too_dear(question, lying, bargains(question, {}))
            return granted(question.criteria, lying) if dear is None else Failure((dear,))
    return Failure(refusals)


def _failure(refusals: tuple[Refusal, ...], chosen: Refusal) -> Failure:
    """The last one is the reason. Where labels were refused, there is no time for want of them."""
    for_labels = any(refusal.kind is RefusalKind.LABEL for refusal in refusals)
    return Failure((chosen, *refusals) if for_labels else (*refusals, chosen))


async def _choose(
    question: Question, bargains: Bargains, known: Sequence[Lesson]
) -> tuple[tuple[Phase, ...], Ahead] | Refusal:
    bargain = bargains(question, {})
    now_ms = bargain.now_ms()
    if now_ms >= question.deadline_ms:
        return too_late()
    span = _span(question, now_ms // 1000)
    ahead = await look_ahead(question, span, bargain, FEW_ROUTES)
    if isinstance(ahead, Refusal):
        return ahead
    phases = await _chosen(ahead, known, bargain)
    if isinstance(phases, Refusal) or not _cannot_be_better(question, phases, span):
        ahead = await look_ahead(question, span, bargain, ROUTES_MAX, ahead)
        if isinstance(ahead, Refusal):
            return ahead
        phases = await _chosen(ahead, known, bargain)
    if isinstance(phases, Refusal) and bargain.forgets():
        # What was told of longer times may say less than there is: nothing is refused for that.
        ahead = await look_ahead(question, span, bargain)
        if isinstance(ahead, Refusal):
            return ahead
        phases = await _chosen(ahead, known, bargain)
    if not isinstance(phases, Refusal):
        return phases, ahead
    if not ahead.search.lacks_labels:
        return phases
    # What is chosen is asked about again, as only then VLANs are known to be free during it.
    search = ahead.search.whatever_labels()
    phases = await _chosen(replace(ahead, search=search), known, bargain)
    return phases if isinstance(phases, Refusal) else (phases, replace(ahead, told={}))


def _span(question: Question, now_s: int) -> Window:
    """The time to choose from; a constant rate for all of its window cannot begin later."""
    bend = question.criteria.bend
    slides = bend is not None and (bend.volume_bytes or bend.duration_s)
    return search_window(question.criteria.window, now_s + LEAD_S if slides else now_s)


async def _chosen(
    ahead: Ahead, known: Sequence[Lesson], bargain: Bargain
) -> tuple[Phase, ...] | Refusal:
    search = replace(ahead.search, forecast=ahead.search.forecast.capped(known))
    return await bargain.compute(lambda: choose(search, ahead.least))


def _cannot_be_better(question: Question, phases: Sequence[Phase], span: Window) -> bool:
    """Whether more routes would change little: a volume fills the short ones first."""
    criteria, bend = question.criteria, question.criteria.bend
    if bend is not None and bend.volume_bytes:
        return True
    soonest = phases[0].window.start_s <= span.start_s
    return soonest and phases[0].bandwidth_bps == criteria.bandwidth_bps


def choose(search: Search, least: Least) -> tuple[Phase, ...] | Refusal:
    """Windows and rates for criteria that bend, or how much there is of what they ask. Pure.

    Those that take no more from others than they may, if there are any.
    """
    found = _phases_of(search, least)
    if search.tariff is None or not isinstance(found, Refusal):
        return found
    return _phases_of(replace(search, tariff=None), least)


def _phases_of(search: Search, least: Least) -> tuple[Phase, ...] | Refusal:
    criteria, bend = search.criteria, search.criteria.bend
    assert bend is not None
    if bend.volume_bytes:
        phases = spread_admitted(
            search,
            bend.volume_bytes,
            bend.max_phases,
            (least.phase_s, least.rate_bps),
            # What may be moved makes room for others when they come.
            sparing=not (bend.soonest or criteria.movable),
        )
        if not isinstance(phases, Shortfall):
            return phases
        return _short(bend.volume_bytes, phases.most, "B")
    least_bps = bend.least_bps or criteria.bandwidth_bps
    if bend.duration_s:
        phase = slide(search, criteria.bandwidth_bps, least_bps, bend.duration_s)
        if not isinstance(phase, Shortfall):
            return (phase,)
        most_bps = phase.most
    else:
        window = search.forecast.span
        most_bps = widest(search, window, least_bps, criteria.bandwidth_bps)
        if most_bps:
            return (Phase(criteria.window, most_bps),)
        most_bps = widest(search, window, 1, least_bps)
    return replace(_short(least_bps, most_bps, "b/s"), available_bps=most_bps)


def _of(question: Question, phase: Phase, routes: tuple[Route, ...] = ()) -> Question:
    return replace(question, criteria=rigid(question.criteria, phase), routes=routes)


def _short(asked: int, most: int, unit: str) -> Refusal:
    asked_text, most_text = told_apart(asked, most, unit)
    reason = f"{asked_text} do not fit within the window, about {most_text} do"
    return Refusal(RefusalKind.BANDWIDTH, reason)


def lessons(refusals: Iterable[Refusal], question: Question) -> list[Lesson]:
    """What is not to be tried again of rigid criteria. Where a domain does not say what it has:
    half of it. A port without a VLAN: nothing. That paths have too much in common to survive a loss
    says nothing about what is free.
    """
    criteria = question.criteria
    found: list[Lesson] = []
    for refusal in refusals:
        if refusal.kind is RefusalKind.LABEL:
            found.append((refusal.resource, criteria.window, 0))
            continue
        if criteria.constraints.survive and not refusal.segment_id:
            continue
        most_bps = refusal.available_bps
        if most_bps is None or most_bps >= criteria.bandwidth_bps:
            most_bps = criteria.bandwidth_bps // 2
        pairs = _pairs(criteria, refusal, question)
        found += [(pair, criteria.window, most_bps) for pair in pairs]
    return found


def _pairs(criteria: Criteria, refusal: Refusal, question: Question) -> list[Pair]:
    routes = question.finder.to_all(question.topology, criteria)
    return [pair for r in routes for c, pair in zip(r.crossings, r.pairs, strict=True)
            if c.domain == refusal.domain]  # fmt: skip
