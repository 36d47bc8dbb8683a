"""Candidate routes over the domain-level topology: link-disjoint ones first, then the shortest.

A route crosses every domain at most once; parallel links between two domains make different routes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise

from substrate.disjoint import Walk, disjoint_walks, domain_disjoint_walks
from substrate.graph import INFINITE, Graph
from substrate.model import Constraints, Disjointness, domain_of
from substrate.search import Need, shortest_walks
from substrate.topology import LATENCY_COST, Topology


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
    def places(self) -> list[tuple[str, ...]]:
        """Where it has a label: the source STP, both ends of each link, the destination STP."""
        crossings = self.crossings
        between = [(one.egress_stp, other.ingress_stp) for one, other in pairwise(crossings)]
        return [(crossings[0].ingress_stp,), *between, (crossings[-1].egress_stp,)]

    @property
    def link_stps(self) -> frozenset[str]:
        """The egress STPs of its inter-domain links: with direction, the links' identity."""
        return frozenset(c.egress_stp for c in self.crossings[:-1])


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
    domains = {domain_of(source), domain_of(destination), *constraints.via_domains}
    if not domains <= set(topology.domains) or domains & set(constraints.avoid_domains):
        return ()
    accept = acceptance(constraints, source, destination)
    if domain_of(source) == domain_of(destination):
        return tuple(
            filter(accept, [Route((Crossing(domain_of(source), source, destination),), 0)])
        )
    graph = _graph(topology, constraints, {source, destination})
    start, end = graph.number[domain_of(source)], graph.number[domain_of(destination)]
    walks = [] if constraints.ero else disjoint_walks(graph, start, end, count)
    if constraints.survive and constraints.disjoint is Disjointness.DOMAIN:
        walks = list(dict.fromkeys([*domain_disjoint_walks(graph, start, end, count), *walks]))
    walks.sort(key=lambda walk: (sum(graph.costs[hop] for hop in walk), walk))
    routes = [route_along(graph, source, destination, walk) for walk in walks]
    chosen, known = [route for route in routes if accept(route)], set(walks)
    need = _need(graph, constraints, source, destination)
    for walk in shortest_walks(graph, start, end, need):
        if len(chosen) >= count:
            break
        if walk not in known:
            route = route_along(graph, source, destination, walk)
            if accept(route):
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


def _graph(topology: Topology, constraints: Constraints, ends: Collection[str]) -> Graph:
    """Links that can be of use.

    A circuit that ends at a link's port comes from beyond it and does not turn back over the link.
    """
    links = [stp for stp in ends if topology.link_at(stp) is not None]
    thin = constraints.min_share_bps > topology.thinnest_bps
    if not constraints.avoid_domains and not links and not thin:
        return topology.graph
    least_bps = constraints.min_share_bps if thin else 0
    return topology.graph.without(constraints.avoid_domains, links, least_bps)


def route_along(graph: Graph, source: str, destination: str, walk: Walk) -> Route:
    """The way over these hops as domains see it."""
    crossings, ingress, latency_us = [], source, 0
    for i in walk:
        hop = graph.hops[i]
        crossings.append(Crossing(hop.from_domain, ingress, hop.from_stp))
        ingress = hop.to_stp
        latency_us += hop.latency_us
    crossings.append(Crossing(domain_of(destination), ingress, destination))
    return Route(tuple(crossings), latency_us)


def _need(graph: Graph, constraints: Constraints, source: str, destination: str) -> Need:
    """The limits that the search itself keeps; hops never add up to the cost of a microsecond."""
    most_us = constraints.max_latency_us
    return Need(
        via=frozenset(graph.number[name] for name in constraints.via_domains),
        ero=tuple(stp for stp in constraints.ero if stp not in (source, destination)),
        domains_max=constraints.max_domains,
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
