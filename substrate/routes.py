"""Candidate routes over the domain-level topology: link-disjoint ones first, then the shortest.

A route crosses every domain at most once; parallel links between two domains make different routes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from substrate.disjoint import disjoint_walks
from substrate.model import Constraints, domain_of
from substrate.search import INFINITE, Need, shortest_walks
from substrate.topology import LATENCY_COST, Hop, Topology


@dataclass(frozen=True, slots=True)
class Crossing:
    """A route's way through one domain."""

    domain: str
    ingress_stp: str
    egress_stp: str


@dataclass(frozen=True, slots=True)
class Route:
    """A way from a source STP to a destination STP; ``latency_us`` is that of its links."""

    crossings: tuple[Crossing, ...]
    latency_us: int

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains, in order."""
        return tuple(crossing.domain for crossing in self.crossings)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(ingress, egress) of each domain, in order."""
        return tuple((c.ingress_stp, c.egress_stp) for c in self.crossings)

    @property
    def link_stps(self) -> frozenset[str]:
        """The egress STPs of its inter-domain links: with direction, the links' identity."""
        return frozenset(c.egress_stp for c in self.crossings[:-1])


Graph = Mapping[str, Sequence[Hop]]


def candidate_routes(
    topology: Topology,
    source: str,
    destination: str,
    constraints: Constraints,
    count: int = 16,
) -> tuple[Route, ...]:
    """At most ``count`` routes that keep the constraints; empty when there is none.

    First a largest set of link-disjoint routes of least total latency, then the next shortest.
    """
    start, end = domain_of(source), domain_of(destination)
    avoided = set(constraints.avoid_domains)
    if start not in topology.domains or end not in topology.domains or {start, end} & avoided:
        return ()
    graph = _graph(topology, constraints, avoided, {source, destination})
    accept = acceptance(constraints, source, destination)
    found: dict[Route, None] = {}
    if start == end:
        found[_route(source, destination, [])] = None
    else:
        walks = [] if constraints.ero else disjoint_walks(graph, start, end, count)
        for walk in sorted(walks, key=_walk_key):
            found[_route(source, destination, walk)] = None
    chosen = [route for route in found if accept(route)]
    if start != end:
        need = _need(constraints, source, destination, len(graph))
        for walk in shortest_walks(graph, start, end, need):
            if len(chosen) >= count:
                break
            route = _route(source, destination, walk)
            if route not in found and accept(route):
                chosen.append(route)
    return tuple(chosen[:count])


def disjoint_routes(routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """Those that share no inter-domain link with one before them, in order."""
    used: set[str] = set()
    chosen = []
    for route in routes:
        ends = {stp for c in route.crossings[:-1] for stp in (c.egress_stp,)}
        ends |= {c.ingress_stp for c in route.crossings[1:]}
        if not ends & used:
            chosen.append(route)
            used |= ends
    return tuple(chosen)


def _graph(
    topology: Topology, constraints: Constraints, avoided: set[str], ends: set[str]
) -> Graph:
    """Links that can be of use, both ways; neighbours in a fixed order.

    A circuit that ends at a link's port comes from beyond it and does not turn back over the link.
    """
    least_bps = constraints.min_share_bps
    turns_back = any(topology.link_at(stp) is not None for stp in ends)
    if not avoided and not turns_back and least_bps <= topology.thinnest_bps:
        return topology.hops

    def of_use(hop: Hop) -> bool:
        too_thin = hop.capacity_bps < least_bps
        return not (too_thin or hop.to_domain in avoided or {hop.from_stp, hop.to_stp} & ends)

    return {
        name: [hop for hop in hops if of_use(hop)]
        for name, hops in topology.hops.items()
        if name not in avoided
    }


def _route(source: str, destination: str, walk: list[Hop]) -> Route:
    crossings, ingress = [], source
    for hop in walk:
        crossings.append(Crossing(hop.from_domain, ingress, hop.from_stp))
        ingress = hop.to_stp
    crossings.append(Crossing(domain_of(destination), ingress, destination))
    return Route(tuple(crossings), sum(hop.latency_us for hop in walk))


def _walk_key(walk: list[Hop]) -> tuple[int, tuple[str, ...]]:
    return sum(hop.cost for hop in walk), tuple(hop.from_stp for hop in walk)


def _need(constraints: Constraints, source: str, destination: str, domains: int) -> Need:
    """The limits that the search itself keeps; hops never add up to the cost of a microsecond."""
    most_us = constraints.max_latency_us
    return Need(
        via=frozenset(constraints.via_domains),
        ero=tuple(stp for stp in constraints.ero if stp not in (source, destination)),
        domains_max=constraints.max_domains or domains,
        cost_max=INFINITE - 1 if most_us is None else (most_us + 1) * LATENCY_COST - 1,
    )


def acceptance(constraints: Constraints, source: str, destination: str) -> Callable[[Route], bool]:
    """Whether a route keeps the constraints."""
    via = set(constraints.via_domains)
    ends = {source, destination}
    ero = [stp for stp in constraints.ero if stp not in ends]

    def accept(route: Route) -> bool:
        domains = route.domains
        if constraints.max_domains is not None and len(domains) > constraints.max_domains:
            return False
        if constraints.max_latency_us is not None and route.latency_us > constraints.max_latency_us:
            return False
        if not via <= set(domains):
            return False
        passed = iter(stp for c in route.crossings for stp in (c.ingress_stp, c.egress_stp))
        return all(any(stp == wanted for stp in passed) for wanted in ero)

    return accept
