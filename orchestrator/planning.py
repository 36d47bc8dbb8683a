"""Plan: what ``negotiate`` would first try to hold, or as good, found by asking few domains.

Nearly every request fits on one route, mostly on the shortest. So the nearest routes are looked for
and asked about one by one, until none that is further away can be better. What the links alone
take is known before anybody is asked, and domains only add to it.
"""

from __future__ import annotations

from itertools import islice

from orchestrator.knowledge import Knowledge
from orchestrator.negotiation import Bargain, Failure, Question, ask, plan_for
from substrate.labels import Plan, assign_labels
from substrate.model import Refusal, Strategy, domain_of
from substrate.options import Option, Options
from substrate.routes import Route
from substrate.splitting import Share
from substrate.topology import Topology

NEAREST_MAX = 4
"""Routes that are asked about one by one; then all domains on all candidates are asked at once."""


async def plan_only(question: Question, bargain: Bargain) -> Plan | Failure:
    """A plan no worse than the first that ``negotiate`` would try to hold; holds nothing."""
    found: Plan | Refusal | None
    found, knowledge = await _on_one_route(question, bargain)
    if found is None:
        found, _ = await plan_for(question, knowledge, bargain, announce=True)
    return Failure((found,)) if isinstance(found, Refusal) else found


async def _on_one_route(question: Question, bargain: Bargain) -> tuple[Plan | None, Knowledge]:
    """The plan over the best route that carries it all; None where that cannot be told so soon.

    Nor for several destinations.
    """
    criteria, topology, knowledge = question.criteria, question.topology, Knowledge()
    if criteria.strategy is Strategy.EQUAL_SPLITTING or criteria.more_destinations:
        return None, knowledge
    best: Option | None = None
    nearest = question.finder.nearest(
        topology, criteria.source, criteria.destination, criteria.constraints
    )
    for route in islice(nearest, NEAREST_MAX):
        if best is not None and not _may_be_better(route, best):
            break
        if _crosses_blind(route, topology):
            return None, knowledge
        if not _may_carry(route, criteria.bandwidth_bps, topology):
            continue
        knowledge = await ask(question, (route,), knowledge, bargain, announce=False)
        if knowledge.down:
            return None, knowledge
        option = Options(criteria, (route,), knowledge, topology).best_alone()
        if option is not None and (best is None or _cost(option) < _cost(best)):
            best = option
        if best is not None and not _may_be_better(route, best):
            break
    else:
        return None, knowledge
    share = Share(best.route, criteria.bandwidth_bps, best.latency_us)
    plan = assign_labels(criteria, (share,), knowledge, topology, start=question.label_start)
    return (None if isinstance(plan, Refusal) else plan), knowledge


def _cost(option: Option) -> tuple[int, int]:
    return option.latency_us, option.price


def _may_be_better(route: Route, best: Option) -> bool:
    """Whether it, or one that is further, may be cheaper than the best so far."""
    return (route.latency_us, 0) < _cost(best)


def _crosses_blind(route: Route, topology: Topology) -> bool:
    """Whether a domain tells nothing that another route may lead around."""
    ends = {domain_of(stp) for stp in (*route.pairs[0], *route.pairs[-1])}
    return not topology.blind.isdisjoint(set(route.domains) - ends)


def _may_carry(route: Route, bandwidth_bps: int, topology: Topology) -> bool:
    """By the capacities of its links; those of the ends are known to be enough."""
    if bandwidth_bps <= topology.thinnest_bps:
        return True
    ports = (topology.ports.get(stp) for pair in route.pairs for stp in pair)
    return all(port is not None and port.capacity_bps >= bandwidth_bps for port in ports)
