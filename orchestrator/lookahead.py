"""What domains offer over a span of time, for requests that bend and for answers that help."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.explanation import Least
from orchestrator.finder import ROUTES_MAX
from orchestrator.knowledge import Knowledge
from orchestrator.negotiation import Bargain, Question, hear, open_questions, routes_of
from protocol.messages import SendOffers
from substrate.bending import Search
from substrate.forecast import Resource, forecast
from substrate.legs import by_destination
from substrate.model import Profile, Refusal, Step, Window
from substrate.options import Supply
from substrate.routes import Route
from substrate.topology import Topology
from substrate.values import dataclass, replace

DAY_S = 86_400
HORIZON_S = 7 * DAY_S
"""How far behind the end of a refused window is looked for another one."""
SHORT_S = 2 * DAY_S
"""Behind windows that are shorter than this, the next day is looked at first."""


@dataclass(frozen=True)
class Ahead:
    """A search over what was offered, and the offers themselves, by domain."""

    search: Search
    least: Least
    told: Mapping[str, SendOffers]
    knowledge: Knowledge


async def look_ahead(
    question: Question,
    span: Window,
    bargain: Bargain,
    most: int = ROUTES_MAX,
    before: Ahead | None = None,
) -> Ahead | Refusal:
    """Asks the visible domains on the first candidate routes what they have free over a span.

    ``most``: routes to each destination.

    Who does not answer is left out, and the routes are chosen anew. ``before``: what was found on
    fewer routes, and is not asked again.
    """
    knowledge = before.knowledge if before is not None else Knowledge()
    told = dict(before.told) if before is not None else {}
    while True:
        found = routes_of(question, knowledge)
        if isinstance(found, Refusal):
            return found
        own = by_destination(question.criteria, found)
        routes = tuple(route for each in own.values() for route in each[:most])
        wanted = open_questions(routes, question.topology, knowledge.asked)
        if not wanted:
            break
        answers = await hear(wanted, span, bargain, announce=False)
        for domain, offers in answers.items():
            if offers is not None:
                told[domain] = _both(told.get(domain), offers)
        knowledge = knowledge.with_answers(wanted, answers, span)
        if not knowledge.down.intersection(wanted):
            break
    return _ahead(question, routes, span, knowledge, told)


async def look_further(question: Question, ahead: Ahead, end_s: int, bargain: Bargain) -> Ahead:
    """The same over the same routes, for a span that ends later.

    A domain that does not answer has nothing free in the time that is added.
    """
    search = ahead.search
    span = Window(search.forecast.span.end_s, end_s)
    wanted = open_questions(search.routes, question.topology, frozenset())
    answers = await hear(wanted, span, bargain, announce=False)
    told = {domain: offers for domain, offers in answers.items() if offers is not None}
    profiles = _profiles(question.topology, search.routes, span, told)
    added = forecast(
        span,
        Supply(port_vlans={port.stp: port.vlans for o in told.values() for port in o.ports}),
        {resource: profiles.get(resource, ()) for resource in search.forecast.resources},
        least_slot_s=ahead.least.phase_s,
    )
    return replace(ahead, search=replace(search, forecast=search.forecast.then(added)))


def ends_beyond(question: Question, span: Window, latest_s: int) -> tuple[int, ...]:
    """How far to look behind a span, step by step, no further than ``latest_s``.

    First to the end of its last day, which domains have told already, then a day more, and at last
    so far as the domains on the candidate routes plan ahead.
    """
    day_end_s = -(-span.end_s // DAY_S) * DAY_S
    ends = [day_end_s, -(-(span.end_s + HORIZON_S) // DAY_S) * DAY_S]
    if span.duration_s < SHORT_S:
        ends.insert(1, day_end_s + DAY_S)
    return tuple(sorted({min(end_s, latest_s) for end_s in ends if latest_s > span.end_s}))


def _ahead(
    question: Question,
    routes: tuple[Route, ...],
    span: Window,
    knowledge: Knowledge,
    told: Mapping[str, SendOffers],
) -> Ahead:
    profiles = _profiles(question.topology, routes, span, told)
    least = _least(question, routes)
    window = question.criteria.window
    found = forecast(
        span,
        knowledge,
        profiles,
        also=(window.start_s, window.end_s),
        least_slot_s=least.phase_s,
    )
    search = Search(question.criteria, routes, found, question.topology, tariff=question.tariff)
    return Ahead(search, least, told, knowledge)


def _profiles(
    topology: Topology, routes: tuple[Route, ...], span: Window, told: Mapping[str, SendOffers]
) -> dict[Resource, Profile]:
    profiles = dict[Resource, Profile]()
    for offers in told.values():
        for offer in offers.offers:
            profiles[offer.ingress_stp, offer.egress_stp] = offer.profile
        profiles.update((port.stp, port.profile) for port in offers.ports)
    for route in routes:
        for crossing, pair in zip(route.crossings, route.pairs, strict=True):
            if crossing.domain in topology.blind:
                # It tells nothing; what it refuses is learnt (Forecast.capped).
                ports = (topology.ports[stp] for stp in pair)
                most_bps = min(port.capacity_bps for port in ports)
                profiles[pair] = (Step(span.start_s, most_bps),)
    return profiles


def _both(before: SendOffers | None, offers: SendOffers) -> SendOffers:
    """What a domain has told, of some pairs and later of others."""
    if before is None:
        return offers
    return replace(offers, offers=before.offers + offers.offers, ports=before.ports + offers.ports)


def _least(question: Question, routes: tuple[Route, ...]) -> Least:
    names = {domain for route in routes for domain in route.domains}
    domains = [question.topology.domains[name] for name in names]
    return Least(
        phase_s=max(1, *(domain.least_phase_s for domain in domains)),
        rate_bps=max(1, *(domain.least_rate_bps for domain in domains)),
    )
