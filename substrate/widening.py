"""Routes for a bandwidth that the first candidates cannot carry together.

Candidates are chosen by length (substrate.routes). In a network of many thin short ways and few
wide long ones, what carries the bandwidth may not be among them: the cheapest flow over all that
is known or may be hoped for finds it.
"""

from __future__ import annotations

from collections.abc import Iterator

from substrate.flow import Arc, cheapest_flow, ways_of
from substrate.graph import INFINITE
from substrate.model import Criteria, domain_of
from substrate.options import Supply
from substrate.routes import Route, acceptance, route_along
from substrate.topology import LATENCY_COST, Topology

WAYS_MAX = 16
"""Ways of a flow that are looked at; a plan has at most 16 paths."""
ROUNDS_MAX = 64
"""More would keep the others waiting for too long."""

SOURCE, SINK = -1, -2


def widening_routes(criteria: Criteria, supply: Supply, topology: Topology) -> tuple[Route, ...]:
    """The routes of a cheapest flow, widest first, as far as they keep the constraints.

    Of domains that were not asked yet it is assumed that they give what their ports can carry.
    """
    source, destination = criteria.source, criteria.destination
    avoided = {*criteria.constraints.avoid_domains, *supply.down}
    ends = {domain_of(source), domain_of(destination)}
    if len(ends) == 1 or ends & avoided or not ends <= set(topology.domains):
        return ()
    network = Network(criteria, supply, topology, avoided)
    flow = cheapest_flow(
        network.leaving,
        SOURCE,
        SINK,
        network.most_bps(),
        to_go=network.to_go,
        rounds_max=ROUNDS_MAX,
    )
    accept = acceptance(criteria.constraints, source, destination)
    found = []
    ways = sorted(ways_of(flow, SOURCE, SINK), key=lambda way: -way.amount)
    for way in ways[:WAYS_MAX]:
        hops = tuple(flow.arcs[i].tail >> 1 for i in way.arcs[1::2])
        route = route_along(topology.graph, source, destination, hops)
        if len(set(route.domains)) == len(route.domains) and accept(route):
            found.append(route)
    return tuple(found)


class Network:
    """Arcs over the inter-domain links, and from port to port of each domain.

    A node is one end of a hop: 2n where hop n begins, 2n + 1 where it ends. SOURCE and SINK are
    the user's ports. Nothing turns back.
    """

    def __init__(
        self, criteria: Criteria, supply: Supply, topology: Topology, avoided: set[str]
    ) -> None:
        self._wanted, self._supply, self._topology = criteria.bandwidth_bps, supply, topology
        self.source, self.destination = criteria.source, criteria.destination
        ends = {stp for stp in (criteria.source, criteria.destination) if topology.link_at(stp)}
        closed = avoided or ends
        self.graph = topology.graph.without(avoided, ends) if closed else topology.graph
        self.start = self.graph.number[domain_of(criteria.source)]
        self.end = self.graph.number[domain_of(criteria.destination)]
        self._tree = self.graph.tree(self.end)
        pairs = (supply.pair_bps, supply.caps, supply.pair_latency_us)
        self.told = {ingress for known in pairs for ingress, _ in known}
        """Where something is known of what domains give; elsewhere their ports alone limit."""

    def to_go(self, node: int) -> int:
        """What the links from a node to the sink cost at least."""
        if node == SINK:
            return 0
        if node == SOURCE:
            return self._tree.cost[self.start]
        hop = node >> 1
        after = self._tree.cost[self.graph.to[hop]]
        return after if node & 1 else after + self.graph.costs[hop]

    def leaving(self, node: int) -> Iterator[Arc]:
        """The arcs out of a node. None leads back to the source's domain, or on from the sink's."""
        if node == SOURCE:
            yield from self._inside(node, self.source, self.start)
        elif node & 1:
            hop = node >> 1
            stp = self.graph.hops[hop].to_stp
            if self.graph.to[hop] == self.end:
                yield self._arc(node, SINK, stp, self.destination)
            else:
                yield from self._inside(node, stp, self.graph.to[hop])
        else:
            hop = node >> 1
            yield Arc(node, node + 1, self.link_bps(hop), self.graph.costs[hop])

    def narrower_stp(self, hop: int) -> str:
        """The port of a link that limits it."""
        way, known = self.graph.hops[hop], self._supply.port_bps
        return min(way.from_stp, way.to_stp, key=lambda stp: known.get(stp, way.capacity_bps))

    def most_bps(self) -> int:
        """No more than this can leave the source, or arrive at the destination."""
        graph = self.graph
        if self._tree.cost[self.start] >= INFINITE:
            return 0
        leaves = sum(
            min(arc.capacity, self.link_bps(arc.head >> 1)) for arc in self.leaving(SOURCE)
        )
        arrives = sum(
            min(self.pair_bps(graph.hops[hop].to_stp, self.destination), self.link_bps(hop))
            for hop in (graph.back[arc.hop] for arc in graph.ways[self.end])
        )
        ports = (self._topology.ports.get(stp) for stp in (self.source, self.destination))
        ends = (self._supply.port_bps.get(p.stp, p.capacity_bps) if p else 0 for p in ports)
        return min(self._wanted, leaves, arrives, *ends)

    def _inside(self, node: int, ingress: str, domain: int) -> Iterator[Arc]:
        graph = self.graph
        for _, there, hop in graph.ways[domain]:
            egress = graph.hops[hop].from_stp
            if there != self.start and egress != ingress:
                yield self._arc(node, 2 * hop, ingress, egress)

    def _arc(self, tail: int, head: int, ingress: str, egress: str) -> Arc:
        if ingress not in self.told:
            return Arc(tail, head, self._wanted, 0)
        latency_us = self._supply.pair_latency_us.get((ingress, egress), 0)
        return Arc(tail, head, self.pair_bps(ingress, egress), latency_us * LATENCY_COST)

    def pair_bps(self, ingress: str, egress: str) -> int:
        """What a way through a domain carries. Its ports limit the links at either end."""
        pair = (ingress, egress)
        most_bps = self._supply.caps.get(pair, self._wanted)
        if pair in self._supply.pair_bps and domain_of(ingress) not in self._topology.blind:
            most_bps = min(most_bps, self._supply.pair_bps[pair])
        return most_bps

    def link_bps(self, hop: int) -> int:
        """What a link carries, by what both its ends tell."""
        way, known = self.graph.hops[hop], self._supply.port_bps
        most_bps = way.capacity_bps
        return min(most_bps, known.get(way.from_stp, most_bps), known.get(way.to_stp, most_bps))
