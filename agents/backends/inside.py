"""The inside of a WAN: nodes, links, and ways from node to node."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping

from agents.backends.claims import LinkWay
from substrate.calendar import Direction
from substrate.values import dataclass


@dataclass(frozen=True, slots=True)
class InsideLink:
    """A link between two nodes; the same capacity each way. IN is from ``a`` to ``b``."""

    name: str
    a: str
    b: str
    capacity_bps: int
    latency_us: int


class Inside:
    """The nodes and links of one domain, and at which node each port sits."""

    def __init__(self, links: Iterable[InsideLink], port_nodes: Mapping[str, str]) -> None:
        self.links = tuple(links)
        self._port_nodes = dict(port_nodes)
        self._latencies_us = {link.name: link.latency_us for link in self.links}
        self._ways: dict[str, list[tuple[str, LinkWay, int]]] = {}
        for link in self.links:
            there, back = (link.name, Direction.IN), (link.name, Direction.OUT)
            self._ways.setdefault(link.a, []).append((link.b, there, link.latency_us))
            self._ways.setdefault(link.b, []).append((link.a, back, link.latency_us))

    def latency_us(self, ways: Iterable[LinkWay]) -> int:
        """The sum over links."""
        return sum([self._latencies_us[name] for name, _ in ways])

    def at_one_node(self, ingress_stp: str, egress_stp: str) -> bool:
        """Whether no link is needed between the two."""
        return self._port_nodes[ingress_stp] == self._port_nodes[egress_stp]

    def quickest(
        self, ingress_stp: str, egress_stp: str, room: Callable[[LinkWay], int], least_bps: int
    ) -> tuple[LinkWay, ...] | None:
        """The way of least latency on which every link has at least ``least_bps``; None if none."""
        return self._search(
            ingress_stp,
            egress_stp,
            lambda cost, way, us: (cost[0] + us, cost[1] + 1) if room(way) >= least_bps else None,
            (0, 0),
        )

    def widest(
        self, ingress_stp: str, egress_stp: str, room: Callable[[LinkWay], int], most_bps: int
    ) -> tuple[LinkWay, ...] | None:
        """The way whose tightest link has the most room; of equal ones the quickest.

        Room beyond ``most_bps`` counts for nothing.
        """

        def cost_of(cost: tuple[int, int], way: LinkWay, us: int) -> tuple[int, int]:
            return max(cost[0], -room(way)), cost[1] + us

        ways = self._search(ingress_stp, egress_stp, cost_of, (-most_bps, 0))
        if ways is None:
            return None
        # Its latency is not yet the least: what is wide up to here may be narrow further on.
        width_bps = min([most_bps, *(room(way) for way in ways)])
        return self.quickest(ingress_stp, egress_stp, room, width_bps)

    def _search(
        self,
        ingress_stp: str,
        egress_stp: str,
        cost_of: Callable[[tuple[int, int], LinkWay, int], tuple[int, int] | None],
        first: tuple[int, int],
    ) -> tuple[LinkWay, ...] | None:
        """Dijkstra over costs that never fall along a way."""
        start, end = self._port_nodes[ingress_stp], self._port_nodes[egress_stp]
        if start == end:
            return ()
        queue: list[tuple[tuple[int, int], str, tuple[LinkWay, ...]]] = [(first, start, ())]
        done: set[str] = set()
        while queue:
            cost, here, ways = heapq.heappop(queue)
            if here == end:
                return ways
            if here in done:
                continue
            done.add(here)
            for node, way, latency_us in self._ways.get(here, ()):
                further = cost_of(cost, way, latency_us) if node not in done else None
                if further is not None:
                    heapq.heappush(queue, (further, node, (*ways, way)))
        return None
