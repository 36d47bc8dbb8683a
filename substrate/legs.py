"""Multipoint: a source joined with several destinations, by a circuit of its own to each (a leg).

Domains do not copy packets, so a star of circuits is all that there can be (docs/decisions/0016).
Legs are planned one after another, each on what those before it leave; where one does not fit so,
in another order. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import permutations

from substrate.labels import Plan
from substrate.model import Criteria, Directionality, Refusal, Segment
from substrate.options import Pair, Supply
from substrate.routes import Route
from substrate.topology import Topology
from substrate.values import dataclass, replace
from substrate.vlans import EMPTY, VlanSet

ORDERS_MAX = 8
"""Orders of the legs that are tried before it is said that they do not fit together."""
TRIES_MAX = 64
"""Legs that are planned, in all orders together; after so many no other order is begun."""
NAMED_MAX = 4
"""Destinations that are listed by name."""

PlanLeg = Callable[[Criteria, Supply], Plan | Refusal]
"""Plans criteria with one destination on what is free."""
Order = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """One leg: what was ``free`` when it was its turn, and what became of it."""

    leg: Criteria
    free: Supply
    outcome: Plan | Refusal


def legs_of(criteria: Criteria) -> tuple[Criteria, ...]:
    """The criteria of each leg, in the order of the destinations; those of one stay as they are."""
    if not criteria.more_destinations:
        return (criteria,)
    return tuple(
        replace(criteria, destination=stp, more_destinations=()) for stp in criteria.destinations
    )


def by_destination(
    criteria: Criteria, routes: tuple[Route, ...]
) -> Mapping[str, tuple[Route, ...]]:
    """The routes of each leg; an entry for every destination."""
    if not criteria.more_destinations:
        return {criteria.destination: routes}
    return {
        stp: tuple(route for route in routes if route.crossings[-1].egress_stp == stp)
        for stp in criteria.destinations
    }


def plan_legs(
    criteria: Criteria, supply: Supply, topology: Topology, plan_leg: PlanLeg
) -> Plan | Refusal:
    """One plan for all legs, each with all of the bandwidth.

    Or a Refusal that names the first leg that did not fit, and beside which others.
    """
    if not criteria.more_destinations:
        return plan_leg(criteria, supply)
    legs = legs_of(criteria)
    first: Refusal | None = None
    tried: set[Order] = set()
    tries = 0
    order: Order | None = tuple(range(len(legs)))
    while order is not None and len(tried) < ORDERS_MAX and tries < TRIES_MAX:
        tried.add(order)
        plans: dict[int, Plan] = {}
        turns = each_leg([legs[i] for i in order], supply, topology, plan_leg)
        for number, turn in zip(order, turns, strict=True):
            if isinstance(turn.outcome, Refusal):
                refusal = _named(turn.outcome, turn.leg, [legs[i] for i in plans])
                if not plans:
                    # What does not fit before all others fits in no order.
                    return refusal
                first = first or refusal
                break
            plans[number] = turn.outcome
        if len(plans) == len(legs):
            return joined([plans[number] for number in sorted(plans)])
        tries += len(plans) + 1
        order = _next(order, len(plans), tried)
    assert first is not None
    return first


def each_leg(
    legs: Iterable[Criteria], supply: Supply, topology: Topology, plan_leg: PlanLeg
) -> Iterator[Turn]:
    """Every leg in its turn, on what is left by those that fit; the others are passed over."""
    for leg in legs:
        turn = Turn(leg, supply, plan_leg(leg, supply))
        yield turn
        if isinstance(turn.outcome, Plan):
            supply = left_after(turn.outcome, supply, topology)


def left_after(plan: Plan, supply: Supply, topology: Topology) -> Supply:
    """What is free when a plan takes its bandwidth and VLANs."""
    pair_bps, caps = dict(supply.pair_bps), dict(supply.caps)
    port_bps, banned = dict(supply.port_bps), dict(supply.banned_vlans)
    for segment in (each for segments in plan.segments.values() for each in segments):
        for known in (pair_bps, caps):
            for pair in _ways(segment):
                if pair in known:
                    known[pair] = max(0, known[pair] - segment.bandwidth_bps)
        for stp, vlan in (
            (segment.ingress_stp, segment.ingress_vlan),
            (segment.egress_stp, segment.egress_vlan),
        ):
            capacity_bps = topology.ports[stp].capacity_bps
            free_bps = min(capacity_bps, port_bps.get(stp, capacity_bps))
            port_bps[stp] = max(0, free_bps - segment.bandwidth_bps)
            banned[stp] = banned.get(stp, EMPTY) | VlanSet.of(vlan)
    return replace(supply, pair_bps=pair_bps, caps=caps, port_bps=port_bps, banned_vlans=banned)


def joined(plans: Sequence[Plan]) -> Plan:
    """Several plans as one: a domain is asked for the segments of all of them together."""
    merged: dict[str, list[Segment]] = {}
    for plan in plans:
        for domain, segments in plan.segments.items():
            merged.setdefault(domain, []).extend(segments)
    return Plan(
        paths=tuple(path for plan in plans for path in plan.paths),
        segments={
            domain: tuple(
                replace(segment, segment_id=f"s{number}")
                for number, segment in enumerate(merged[domain], start=1)
            )
            for domain in sorted(merged)
        },
        depends_on_blind=any(plan.depends_on_blind for plan in plans),
    )


def leg_of(segment: Segment, plan: Plan) -> str:
    """The destination of the leg that a plan's segment is of."""
    ends = (segment.ingress_stp, segment.ingress_vlan, segment.egress_stp, segment.egress_vlan)
    return next(
        path.hops[-1].egress_stp
        for path in plan.paths
        for hop in path.hops
        if (hop.ingress_stp, hop.ingress_vlan, hop.egress_stp, hop.egress_vlan) == ends
    )


def _next(order: Order, failed: int, tried: set[Order]) -> Order | None:
    """With the leg that did not fit before all others; or any order that was not tried."""
    ahead = (order[failed], *order[:failed], *order[failed + 1 :])
    if ahead not in tried:
        return ahead
    # One of the first ones, unless all there are were tried.
    return next((each for each in permutations(sorted(order)) if each not in tried), None)


def _named(refusal: Refusal, leg: Criteria, before: Sequence[Criteria]) -> Refusal:
    """Which leg it is that does not fit, and beside which others."""
    if not before:
        return replace(refusal, reason=f"to {leg.destination}: {refusal.reason}")
    names = [each.destination for each in before]
    if len(names) > NAMED_MAX:
        names[NAMED_MAX - 1 :] = [f"{len(names) - NAMED_MAX + 1} others"]
    reason = f"to {leg.destination} beside {' and '.join(names)}: {refusal.reason}"
    # No domain's fault: alone, or at a lower bandwidth of all, there is more.
    return replace(refusal, reason=reason, domain="", available_bps=None)


def _ways(segment: Segment) -> tuple[Pair, ...]:
    """What a segment takes of the inside of its domain."""
    there = (segment.ingress_stp, segment.egress_stp)
    if segment.directionality is Directionality.UNIDIRECTIONAL:
        return (there,)
    return there, there[::-1]
