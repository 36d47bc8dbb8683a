"""Routes for a bandwidth that the first candidates cannot carry together.

Candidates are chosen by length (substrate.routes). In a network of many thin short ways and few
wide long ones, what carries the bandwidth may not be among them: the cheapest flow over all that
is known or may be hoped for finds it.
"""

from __future__ import annotations

from collections.abc import Iterator

from substrate.flow import Arc, cheapest_flow, ways_of
from substrate.model import Criteria, domain_of
from substrate.options import Supply
from substrate.routes import Crossing, Route, acceptance
from substrate.topology import HOP_COST, LATENCY_COST, Topology

WAYS_MAX = 16
"""Ways of a flow that are looked at; a plan has at most 16 paths."""
ROUNDS_MAX, ARCS_MAX = 64, 50_000
"""More would keep the others waiting for too long."""

Node = tuple[str, str]
"""An STP, and "in" (into its domain) or "out"."""


def widening_routes(criteria: Criteria, supply: Supply, topology: Topology) -> tuple[Route, ...]:
    """The routes of a cheapest flow, widest first, as far as they keep the constraints.

    Of domains that were not asked yet it is assumed that they give what their ports can carry.
    """
    source, destination = criteria.source, criteria.destination
    if domain_of(source) == domain_of(destination):
        return ()
    avoided = {*criteria.constraints.avoid_domains, *supply.down}
    arcs = [*_inside(criteria, supply, topology, avoided), *_between(supply, topology, avoided)]
    if len(arcs) > ARCS_MAX:
        return ()
    start, end = (source, "in"), (destination, "out")
    flows = cheapest_flow(arcs, start, end, criteria.bandwidth_bps, ROUNDS_MAX)
    accept = acceptance(criteria.constraints, source, destination)
    found = []
    ways = sorted(ways_of(arcs, flows, start, end), key=lambda way: -way.amount)
    for way in ways[:WAYS_MAX]:
        route = _route([arcs[i] for i in way.arcs], topology)
        if len(set(route.domains)) == len(route.domains) and accept(route):
            found.append(route)
    return tuple(found)


def _inside(
    criteria: Criteria, supply: Supply, topology: Topology, avoided: set[str]
) -> Iterator[Arc]:
    """From port to port of each domain. Nothing turns back, nor passes by where users attach."""
    ends = {criteria.source, criteria.destination}
    for domain in topology.domains.values():
        if domain.name in avoided:
            continue
        ports = [
            port
            for port in domain.ports
            if port.stp in ends or topology.link_at(port.stp) is not None
        ]
        for one in ports:
            for other in ports:
                pair = (one.stp, other.stp)
                if one is other or other.stp == criteria.source or one.stp == criteria.destination:
                    continue
                most_bps = min(supply.port_bps.get(p.stp, p.capacity_bps) for p in (one, other))
                if domain.visible and pair in supply.pair_bps:
                    most_bps = min(most_bps, supply.pair_bps[pair])
                most_bps = min(most_bps, supply.caps.get(pair, most_bps))
                cost = supply.pair_latency_us.get(pair, 0) * LATENCY_COST
                yield Arc((one.stp, "in"), (other.stp, "out"), most_bps, cost)


def _between(supply: Supply, topology: Topology, avoided: set[str]) -> Iterator[Arc]:
    """Over the inter-domain links, both ways."""
    for hops in [topology.graph.hops]:
        for hop in hops:
            if hop.from_domain in avoided or hop.to_domain in avoided:
                continue
            stps = (hop.from_stp, hop.to_stp)
            most_bps = min(supply.port_bps.get(stp, hop.capacity_bps) for stp in stps)
            most_bps = min(most_bps, hop.capacity_bps)
            yield Arc((hop.from_stp, "out"), (hop.to_stp, "in"), most_bps, max(hop.cost, HOP_COST))


def _route(arcs: list[Arc], topology: Topology) -> Route:
    """The way as domains see it: every other arc is one domain's."""
    crossings, latency_us = [], 0
    for arc in arcs[::2]:
        (ingress, _), (egress, _) = _node(arc.tail), _node(arc.head)
        crossings.append(Crossing(domain_of(ingress), ingress, egress))
    for crossing in crossings[:-1]:
        link = topology.link_at(crossing.egress_stp)
        assert link is not None
        latency_us += link.latency_us
    return Route(tuple(crossings), latency_us)


def _node(node: object) -> Node:
    assert isinstance(node, tuple)
    return node
