"""Phase 1 of paper 003: offers, composition, holds; and again with what was learnt.

``negotiate`` is one loop over pure decisions: routes, composition, labels, lessons. Everything
that waits or writes is behind the :class:`Bargain` port, so simulations run this very code.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Protocol, TypeVar

from orchestrator.explanation import NOTHING_TO_SAY, Explanation
from orchestrator.finder import RouteFinder
from orchestrator.knowledge import Knowledge
from orchestrator.pathless import no_path
from orchestrator.records import search_window
from protocol.messages import SendOffers
from substrate.labels import Plan, labels_of, plan_over
from substrate.legs import by_destination, each_leg, leg_of, legs_of, plan_legs
from substrate.model import (
    Criteria,
    Proof,
    Refusal,
    RefusalKind,
    Segment,
    Strategy,
    Window,
)
from substrate.options import Pair, Supply
from substrate.routes import Route
from substrate.tolls import Tariff
from substrate.topology import Topology
from substrate.values import dataclass, replace
from substrate.vlans import VlanSet
from substrate.widening import widening_routes

T = TypeVar("T")

ROUNDS_MAX = 8
FEW_PATHS = 4
"""With more paths, and other limits, a composition may take so long that others have their turn."""
WIDER_MAX = 24
"""Routes among which a plan for one leg is looked for, once wider ones were needed."""

NO_GRAPHS: Mapping[str, bytes] = MappingProxyType({})
Own = Mapping[str, tuple[Route, ...]]
"""Routes by the destination that they lead to."""
Segments = tuple[Segment, ...]
Answer = Refusal | None
"""None: the domain holds what it was asked to."""


class Bargain(Protocol):
    """What a negotiation may do to the world, for one reservation."""

    def now_ms(self) -> int:
        """The time."""

    def remembered(self, domain: str, pairs: frozenset[Pair], window: Window) -> SendOffers | None:
        """What the domain has told of these pairs a moment ago; None: it must be asked.

        Its profiles may be those of a longer time.
        """

    def forgets(self) -> bool:
        """Whether anything was ``remembered``; from now on nothing is."""

    async def ask(
        self, wanted: Mapping[str, frozenset[Pair]], window: Window, aggregate: bool = False
    ) -> Mapping[str, SendOffers | None]:
        """ReqOffers to each domain and the answers, None where there was none in time.

        Profiles may be those of a longer time. Tells of each that came, and that did not.
        ``aggregate``: also what they have free for VNodes.
        """

    async def prepare(
        self, wanted: Mapping[str, Segments], graphs: Mapping[str, bytes] = NO_GRAPHS
    ) -> Mapping[str, Answer]:
        """ReservationPrep to each domain; answers for all (TIMEOUT refusals included).

        A domain that holds another part for this negotiation gives that one up. ``graphs``: the
        partial graphs of those that have one.
        """

    async def drop(self, domains: frozenset[str]) -> None:
        """Aborts what these domains hold for this negotiation."""

    def tell(self, progress: Progress) -> None:
        """Reports progress to whoever watches."""

    async def compute(self, work: Callable[[], T]) -> T:
        """What a long search finds; meanwhile others have their turn."""


@dataclass(frozen=True, slots=True)
class RoutesFound:
    """Path computation is done."""

    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class OffersAsked:
    """ReqOffers went out to these visible domains."""

    domains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OffersCame:
    """A domain's SendOffers, or None when it did not answer in time; not of those remembered.

    They may be of a longer time than the ``window``.
    """

    domain: str
    offers: SendOffers | None
    window: Window


@dataclass(frozen=True, slots=True)
class PlanMade:
    """Composition found where the bandwidth fits; holds are asked for next."""

    round: int
    plan: Plan


@dataclass(frozen=True, slots=True)
class HoldAnswered:
    """A domain holds its part (no refusal), or does not."""

    round: int
    domain: str
    refusal: Refusal | None


Progress = RoutesFound | OffersAsked | OffersCame | PlanMade | HoldAnswered


@dataclass(frozen=True, slots=True)
class Question:
    """What is negotiated: criteria, for whom, until when, and what is kept if it can be."""

    criteria: Criteria
    deadline_ms: int
    topology: Topology
    finder: RouteFinder
    in_force: Plan | None = None
    """The plan that a Modify would rather keep the routes and labels of."""
    begun: bool = False
    """Whether a domain has said that something of what is in force was made, whatever our clock."""
    label_start: int = 0
    """Where to begin to look for free labels: spreads requests that come at once."""
    trial: int = 0
    """Not 0: this negotiation alone tries domains that were silent (orchestrator.breakers)."""
    routes: tuple[Route, ...] = ()
    """Not empty: only these are to be used, of which is known already what is free on them."""
    tariff: Tariff | None = None
    """What it may take from others; None: anything."""


def spread(question: Question, reservation_id: str) -> Question:
    """Looks for labels where others that come at the same time hardly do."""
    return replace(question, label_start=zlib.crc32(reservation_id.encode()))


@dataclass(frozen=True, slots=True)
class Failure:
    """The negotiation found nothing, and why."""

    refusals: tuple[Refusal, ...]
    explanation: Explanation = NOTHING_TO_SAY
    proof: Proof | None = None
    """Of a CloudNet: how sure it is that there is nothing."""


class Planner(Protocol):
    """Routes, offers for what is not yet known on them, composition, labels."""

    async def __call__(
        self, question: Question, knowledge: Knowledge, bargain: Bargain, *, announce: bool
    ) -> tuple[Plan | Refusal, Knowledge]:
        """A plan that is to be held, or why there is none; and what was learnt by that."""


async def negotiate(
    question: Question, bargain: Bargain, planner: Planner | None = None
) -> Plan | Failure:
    """Every part of the returned plan is held; after a Failure the caller aborts what is left.

    ``planner``: what plans instead of ``plan_for``. Ends within ROUNDS_MAX rounds and by
    ``question.deadline_ms``.
    """
    knowledge = Knowledge()
    held: dict[str, Segments] = {}
    refusals: tuple[Refusal, ...] = ()
    plans = planner or plan_for
    for round_number in range(1, ROUNDS_MAX + 1):
        if bargain.now_ms() >= question.deadline_ms:
            return Failure((*refusals, too_late()))
        plan, knowledge = await plans(question, knowledge, bargain, announce=round_number == 1)
        if isinstance(plan, Refusal):
            return Failure((*refusals, plan))
        bargain.tell(PlanMade(round_number, plan))
        answers = await _hold(plan, held, bargain)
        refusals = ()
        for domain, answer in sorted(answers.items()):
            bargain.tell(HoldAnswered(round_number, domain, answer))
            if answer is None:
                held[domain] = plan.segments[domain]
                continue
            held.pop(domain, None)
            if question.criteria.more_destinations:
                answer = _of_leg(answer, plan.segments[domain], plan)
            refusals = (*refusals, answer)
            knowledge = knowledge.with_refusal(plan.segments[domain], answer)
        if not refusals:
            return plan
        if not may_replan(question.criteria.strategy, refusals, question.topology):
            if not bargain.forgets():
                return Failure(refusals)
            knowledge = knowledge.anew()
    return Failure(refusals)


def may_replan(strategy: Strategy, refusals: tuple[Refusal, ...], topology: Topology) -> bool:
    """Whether another round is within the strategy.

    The paper's three strategies ask each blind domain once (section 5.2): its lack of bandwidth is
    final. A visible domain's refusal only means that its offer was stale.
    """
    if strategy in (Strategy.AUTO, Strategy.SINGLE_PATH):
        return True
    for refusal in refusals:
        if refusal.kind is not RefusalKind.BANDWIDTH:
            continue
        domain = topology.domains.get(refusal.domain)
        if strategy is Strategy.EQUAL_SPLITTING or (domain is not None and not domain.visible):
            return False
    return True


async def plan_for(
    question: Question, knowledge: Knowledge, bargain: Bargain, *, announce: bool
) -> tuple[Plan | Refusal, Knowledge]:
    """Routes, offers for what is not yet known on them, composition, labels."""
    routes = routes_of(question, knowledge)
    if isinstance(routes, Refusal):
        return routes, knowledge
    if announce:
        bargain.tell(RoutesFound(routes))
    if question.criteria.strategy is not Strategy.EQUAL_SPLITTING:
        silent_before = knowledge.down
        knowledge = await ask(question, routes, knowledge, bargain, announce=announce)
        if knowledge.down != silent_before:
            return await plan_for(question, knowledge, bargain, announce=False)
    plan = await _apart(question, bargain, partial(fit, question, routes, knowledge))
    if isinstance(plan, Refusal):
        look = partial(_wider, question, routes, plan, knowledge)
        wider = await _apart(question, bargain, look)
        if wider:
            knowledge = await ask(question, wider, knowledge, bargain, announce=False)
            work = partial(fit, question, (*wider, *routes), knowledge)
            plan = await _apart(question, bargain, work)
    if isinstance(plan, Refusal) and bargain.forgets():
        # What was remembered may be out of date: nothing is refused for that.
        return await plan_for(question, knowledge.anew(), bargain, announce=False)
    return plan, knowledge


async def _apart(question: Question, bargain: Bargain, work: Callable[[], T]) -> T:
    """What that finds; where it may take long others have their turn meanwhile."""
    asked, limits = question.criteria, question.criteria.constraints
    spread = limits.max_latency_spread_us is not None
    long = asked.more_destinations or limits.survive or spread or limits.max_paths > FEW_PATHS
    return await bargain.compute(work) if long else work()


def _wider(
    question: Question, routes: tuple[Route, ...], refusal: Refusal, knowledge: Knowledge
) -> tuple[Route, ...]:
    """Further routes that may carry what the candidates together cannot."""
    criteria = question.criteria
    may = criteria.strategy is Strategy.AUTO and not criteria.constraints.ero
    if not may or refusal.kind is not RefusalKind.BANDWIDTH:
        return ()
    own = by_destination(criteria, routes)
    return tuple(
        route
        for leg, free in _open_legs(question, own, knowledge)
        for route in widening_routes(leg, free, question.topology)
        if route not in own[leg.destination]
    )


def _open_legs(question: Question, own: Own, supply: Supply) -> Iterator[tuple[Criteria, Supply]]:
    """What does not fit, and what is free for it beside the legs that do."""
    if not question.criteria.more_destinations:
        yield question.criteria, supply
        return
    legs, plan_leg = legs_of(question.criteria), partial(_fit_leg, question, own)
    for turn in each_leg(legs, supply, question.topology, plan_leg):
        if isinstance(turn.outcome, Refusal):
            yield turn.leg, turn.free


def fit(question: Question, routes: tuple[Route, ...], knowledge: Knowledge) -> Plan | Refusal:
    """Composition and labels over what is known, leg by leg. Pure.

    A Modify stays on its routes where they suffice, and on its labels where they are free.
    """
    plan_leg = partial(_fit_leg, question, by_destination(question.criteria, routes))
    return plan_legs(question.criteria, knowledge, question.topology, plan_leg)


def _fit_leg(question: Question, own: Own, criteria: Criteria, supply: Supply) -> Plan | Refusal:
    """The same for criteria with one destination; of the routes to it the first WIDER_MAX."""
    routes = own[criteria.destination][:WIDER_MAX]
    kept = _routes_in_force(question.in_force, routes)
    preferred = _labels_in_force(question.in_force, criteria.destination)
    if kept:
        plan = plan_over(criteria, kept, supply, question.topology, preferred, question.label_start)
        if not isinstance(plan, Refusal):
            return plan
    return plan_over(criteria, routes, supply, question.topology, preferred, question.label_start)


def routes_of(question: Question, knowledge: Knowledge) -> tuple[Route, ...] | Refusal:
    """The candidate routes, without domains that are down."""
    criteria, constraints = question.criteria, question.criteria.constraints
    kept = tuple(r for r in question.routes if knowledge.down.isdisjoint(r.domains))
    if kept and all(by_destination(criteria, kept).values()):
        return kept
    avoid = tuple(sorted({*constraints.avoid_domains, *knowledge.down}))
    if avoid != constraints.avoid_domains:
        constraints = replace(constraints, avoid_domains=avoid)
    found: tuple[Route, ...] = ()
    for stp in criteria.destinations:
        routes = question.finder.between(question.topology, criteria.source, stp, constraints)
        if not routes:
            ends = criteria.source, stp
            wanted = criteria.constraints
            return no_path(question.finder, question.topology, ends, wanted, knowledge.down)
        found += routes
    return found


async def ask(
    question: Question,
    routes: tuple[Route, ...],
    knowledge: Knowledge,
    bargain: Bargain,
    *,
    announce: bool,
) -> Knowledge:
    """Asks all visible domains on the routes at once; who does not answer is left out."""
    wanted = open_questions(routes, question.topology, knowledge.asked)
    if not wanted:
        return knowledge
    window = search_window(question.criteria.window, bargain.now_ms() // 1000)
    answers = await hear(wanted, window, bargain, announce=announce)
    return knowledge.with_answers(wanted, answers, window)


async def hear(
    wanted: Mapping[str, frozenset[Pair]], span: Window, bargain: Bargain, *, announce: bool
) -> dict[str, SendOffers | None]:
    """What the domains have told of the span a moment ago, or tell now.

    ``announce``: tells whom it asks.
    """
    answers = {name: bargain.remembered(name, pairs, span) for name, pairs in wanted.items()}
    asked = {name: wanted[name] for name, offers in answers.items() if offers is None}
    if asked:
        if announce:
            bargain.tell(OffersAsked(tuple(asked)))
        answers.update(await bargain.ask(asked, span))
    return answers


def open_questions(
    routes: tuple[Route, ...], topology: Topology, asked: frozenset[Pair]
) -> dict[str, frozenset[Pair]]:
    """Per visible domain the pairs that routes need and nobody asked for; domains sorted."""
    wanted: dict[str, set[Pair]] = {}
    for route in routes:
        for crossing, pair in zip(route.crossings, route.pairs, strict=True):
            if pair not in asked and crossing.domain not in topology.blind:
                wanted.setdefault(crossing.domain, set()).add(pair)
    return {domain: frozenset(wanted[domain]) for domain in sorted(wanted)}


async def _hold(plan: Plan, held: dict[str, Segments], bargain: Bargain) -> Mapping[str, Answer]:
    """Asks for what is not held yet and gives up what no longer serves."""
    return await bargain.prepare(await still_wanted(plan.segments, held, bargain))


async def still_wanted(
    parts: Mapping[str, T], held: dict[str, T], bargain: Bargain
) -> dict[str, T]:
    """What of a plan's parts, by domain, is not held yet; gives up what no longer serves."""
    needless = frozenset(domain for domain in held if domain not in parts)
    if needless:
        await bargain.drop(needless)
        for domain in needless:
            del held[domain]
    return {domain: part for domain, part in sorted(parts.items()) if held.get(domain) != part}


def _routes_in_force(plan: Plan | None, routes: tuple[Route, ...]) -> tuple[Route, ...]:
    if plan is None:
        return ()
    used = {
        tuple((h.domain, h.ingress_stp, h.egress_stp) for h in path.hops) for path in plan.paths
    }
    return tuple(
        route
        for route in routes
        if tuple((c.domain, c.ingress_stp, c.egress_stp) for c in route.crossings) in used
    )


def _labels_in_force(plan: Plan | None, destination: str) -> Mapping[str, VlanSet]:
    """Per STP the VLANs that the reservation uses now on its way to a destination."""
    paths = plan.paths if plan is not None else ()
    return labels_of(path for path in paths if path.hops[-1].egress_stp == destination)


def _of_leg(refusal: Refusal, segments: Segments, plan: Plan) -> Refusal:
    """A domain's refusal of one segment, with the destination of the leg that it is of."""
    segment = next((s for s in segments if s.segment_id == refusal.segment_id), None)
    if segment is None:
        return refusal
    return replace(refusal, reason=f"to {leg_of(segment, plan)}: {refusal.reason}")


def too_late() -> Refusal:
    """The deadline has passed."""
    return Refusal(RefusalKind.TIMEOUT, "the time to negotiate is over")
