"""Candidate routes over the domain-level topology: link-disjoint ones first, then the shortest.

A route crosses every domain at most once; parallel links between two domains make different routes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from itertools import islice, pairwise

from substrate.disjoint import Walk, disjoint_walks, domain_disjoint_walks
from substrate.graph import INFINITE, Graph
from substrate.model import Constraints, Disjointness, domain_of
from substrate.search import Need, shortest_walks
from substrate.topology import LATENCY_COST, Topology
from substrate.values import dataclass


@dataclass(frozen=True, slots=True)
class Crossing:
    """A route's way through one domain."""

    domain: str
    ingress_stp: str
    egress_stp: str


@dataclass(frozen=True)
class Route:
    """A way from a source STP to a destination STP; ``latency_us`` is that of its links."""

    crossings: tuple[Crossing, ...]
    latency_us: int

    @cached_property
    def domains(self) -> tuple[str, ...]:
        """The domains, in order."""
        return tuple(crossing.domain for crossing in self.crossings)

    def __hash__(self) -> int:
        # Long searches look routes up very often: text remembers its hash.
        return hash(self.pairs)

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(ingress, egress) of each domain, in order."""
        return tuple((c.ingress_stp, c.egress_stp) for c in self.crossings)

    @cached_property
    def places(self) -> list[tuple[str, ...]]:
        """Where it has a label: the source STP, both ends of each link, the destination STP."""
        crossings = self.crossings
        between = [(one.egress_stp, other.ingress_stp) for one, other in pairwise(crossings)]
        return [(crossings[0].ingress_stp,), *between, (crossings[-1].egress_stp,)]

    @cached_property
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
    ends = {domain_of(source), domain_of(destination)}
    if len(ends) == 1 or constraints.ero or not _may_join(topology, ends, constraints):
        return tuple(islice(nearest_routes(topology, source, destination, constraints), count))
    graph = _graph(topology, constraints, {source, destination})
    start, end = graph.number[domain_of(source)], graph.number[domain_of(destination)]
    walks = disjoint_walks(graph, start, end, count)
    if constraints.survive and constraints.disjoint is Disjointness.DOMAIN:
        walks = list(dict.fromkeys([*domain_disjoint_walks(graph, start, end, count), *walks]))
    walks.sort(key=lambda walk: (sum(graph.costs[hop] for hop in walk), walk))
    routes = [route_along(graph, source, destination, walk) for walk in walks]
    chosen = list(filter(acceptance(constraints, source, destination), routes))
    for route in nearest_routes(topology, source, destination, constraints):
        if len(chosen) >= count:
            break
        if route not in chosen:
            chosen.append(route)
    return tuple(chosen[:count])


def nearest_routes(
    topology: Topology, source: str, destination: str, constraints: Constraints
) -> Iterator[Route]:
    """Routes that keep the constraints by ascending latency; each is looked for when it is due."""
    start_in, end_in = domain_of(source), domain_of(destination)
    if not _may_join(topology, {start_in, end_in}, constraints):
        return
    accept = acceptance(constraints, source, destination)
    if start_in == end_in:
        yield from filter(accept, [Route((Crossing(start_in, source, destination),), 0)])
        return
    graph = _graph(topology, constraints, {source, destination})
    need = _need(graph, constraints, source, destination)
    for walk in shortest_walks(graph, graph.number[start_in], graph.number[end_in], need):
        route = route_along(graph, source, destination, walk)
        if accept(route):
            yield route


def _may_join(topology: Topology, ends: set[str], constraints: Constraints) -> bool:
    """Whether all domains that must be crossed are there, and none is to be avoided."""
    domains = {*ends, *constraints.via_domains}
    return domains <= set(topology.domains) and not domains & set(constraints.avoid_domains)


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
