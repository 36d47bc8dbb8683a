"""What domains offer over a span of time, for requests that bend and for answers that help."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.explanation import Least
from orchestrator.finder import ROUTES_MAX
from orchestrator.knowledge import Knowledge
from orchestrator.negotiation import Bargain, Question, open_questions, routes_of
from protocol.messages import SendOffers
from substrate.bending import Search
from substrate.forecast import Resource, forecast
from substrate.legs import by_destination
from substrate.model import Profile, Refusal, Step, Window
from substrate.routes import Route
from substrate.values import dataclass, replace

HORIZON_S = 7 * 86_400
"""How far behind the end of a refused window is looked for another one."""


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
        answers = await bargain.ask(wanted, span)
        for domain, offers in answers.items():
            if offers is not None:
                told[domain] = _both(told.get(domain), offers)
        knowledge = knowledge.with_answers(wanted, answers, span)
        if not knowledge.down.intersection(wanted):
            break
    return _ahead(question, routes, span, knowledge, told)


def span_of(question: Question, now_s: int, further_s: int = 0) -> Window:
    """The time of a request that is not over, and so much longer, as far as domains plan ahead."""
    window = question.criteria.window
    start_s = max(window.start_s, now_s)
    ends = [d.horizon_s for d in question.topology.domains.values() if d.horizon_s]
    latest_s = min([window.end_s + further_s, *(now_s + horizon_s for horizon_s in ends)])
    return Window(start_s, max(latest_s, window.end_s, start_s + 1))


def _ahead(
    question: Question,
    routes: tuple[Route, ...],
    span: Window,
    knowledge: Knowledge,
    told: Mapping[str, SendOffers],
) -> Ahead:
    profiles: dict[Resource, Profile] = {}
    for offers in told.values():
        for offer in offers.offers:
            profiles[offer.ingress_stp, offer.egress_stp] = offer.profile
        profiles.update((port.stp, port.profile) for port in offers.ports)
    for route in routes:
        for crossing, pair in zip(route.crossings, route.pairs, strict=True):
            if crossing.domain in question.topology.blind:
                # It tells nothing; what it refuses is learnt (Forecast.capped).
                ports = (question.topology.ports[stp] for stp in pair)
                most_bps = min(port.capacity_bps for port in ports)
                profiles[pair] = (Step(span.start_s, most_bps),)
    least = _least(question, routes)
    window = question.criteria.window
    found = forecast(
        span,
        knowledge.supply(),
        profiles,
        also=(window.start_s, window.end_s),
        least_slot_s=least.phase_s,
    )
    search = Search(question.criteria, routes, found, question.topology)
    return Ahead(search, least, told, knowledge)


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
