"""The inter-domain links as a graph of numbers: what all searches for routes run on.

Domains and hops are numbered by name, so that the lesser number is the one whose name comes first.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from copy import copy
from typing import NamedTuple

from substrate.values import dataclass

INFINITE = 1 << 60
"""More than any way costs."""
TREES_MAX = 256
"""Destinations whose trees are remembered."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One direction of an inter-domain link; ``cost`` is more than 0 and the same both ways."""

    from_domain: str
    from_stp: str
    to_domain: str
    to_stp: str
    capacity_bps: int
    latency_us: int
    cost: int


class Arc(NamedTuple):
    """A hop as seen from the domain that it leaves."""

    cost: int
    to: int
    hop: int


class Tree(NamedTuple):
    """Shortest ways to one domain: per domain the cost (INFINITE: none) and the hop to take."""

    cost: list[int]
    hop: list[int]


class Graph:
    """Immutable. ``ways``: per domain the hops out of it, the cheapest first."""

    def __init__(self, domains: Iterable[str], hops: Iterable[Hop]) -> None:
        self.names: Sequence[str] = sorted(domains)
        self.number = {name: i for i, name in enumerate(self.names)}
        self.hops: Sequence[Hop] = sorted(hops, key=lambda hop: hop.from_stp)
        self.at = {hop.from_stp: i for i, hop in enumerate(self.hops)}
        """The hop that leaves over an STP."""
        self.back: Sequence[int] = [self.at[hop.to_stp] for hop in self.hops]
        """Per hop the one over the same link the other way."""
        self.to: Sequence[int] = [self.number[hop.to_domain] for hop in self.hops]
        self.costs: Sequence[int] = [hop.cost for hop in self.hops]
        ways: list[list[Arc]] = [[] for _ in self.names]
        for i, hop in enumerate(self.hops):
            ways[self.number[hop.from_domain]].append(Arc(hop.cost, self.to[i], i))
        for own in ways:
            own.sort()
        self.ways: Sequence[Sequence[Arc]] = ways
        self._trees: dict[int, Tree] = {}

    def without(
        self, domains: Collection[str], stps: Collection[str] = (), least_bps: int = 0
    ) -> Graph:
        """Without these domains, links that end at these STPs, and links that are thinner."""
        closed = {self.number[name] for name in domains if name in self.number}
        hops = {self.at[stp] for stp in stps if stp in self.at}
        hops |= {self.back[hop] for hop in hops}
        if least_bps:
            hops |= {i for i, hop in enumerate(self.hops) if hop.capacity_bps < least_bps}
        ways = list(self.ways)
        touched = {self.to[hop] for hop in hops}
        touched |= {arc.to for name in closed for arc in self.ways[name]}
        for here in touched:
            ways[here] = [a for a in ways[here] if a.to not in closed and a.hop not in hops]
        for here in closed:
            ways[here] = []
        less = copy(self)
        less.ways, less._trees = ways, {}
        return less

    def tree(self, end: int) -> Tree:
        """The shortest ways to a domain."""
        tree = self._trees.get(end)
        if tree is None:
            # Searches in another thread remember and forget trees, too.
            if len(self._trees) >= TREES_MAX:
                self._trees.pop(next(iter(self._trees), end), None)
            tree = self._trees[end] = self._grow(end)
        return tree

    def _grow(self, end: int) -> Tree:
        ways, back = self.ways, self.back
        costs, hops = [INFINITE] * len(ways), [-1] * len(ways)
        costs[end] = 0
        queue = [(0, end)]
        while queue:
            cost, here = heapq.heappop(queue)
            if cost > costs[here]:
                continue
            for step, there, hop in ways[here]:
                reached = cost + step
                if reached < costs[there]:
                    costs[there], hops[there] = reached, back[hop]
                    heapq.heappush(queue, (reached, there))
        return Tree(costs, hops)

    def fewest_hops(self, end: int) -> list[int]:
        """Per domain how many hops are needed to get to one; INFINITE: there is no way."""
        hops = [INFINITE] * len(self.ways)
        hops[end] = 0
        reached = [end]
        for here in reached:
            for arc in self.ways[here]:
                if hops[arc.to] == INFINITE:
                    hops[arc.to] = hops[here] + 1
                    reached.append(arc.to)
        return hops

    def around(self, here: int, end: int, visited: Collection[int], most: int) -> int:
        """The least cost from ``here`` to ``end`` without what was visited; INFINITE above a most.

        Guided by the tree of all shortest ways: only what a detour touches is looked at.
        """
        to_go, hops = self.tree(end)
        at = here
        while at != end and hops[at] >= 0:
            at = self.to[hops[at]]
            if at in visited:
                break
        if at == end:
            return to_go[here] if to_go[here] <= most else INFINITE
        reached = {here: 0}
        queue = [(to_go[here], here)]
        while queue:
            bound, at = heapq.heappop(queue)
            if bound > most:
                break
            if at == end:
                return bound
            cost = reached[at]
            if bound > cost + to_go[at]:
                continue
            for step, there, _ in self.ways[at]:
                further = cost + step
                if there not in visited and further < reached.get(there, INFINITE):
                    reached[there] = further
                    heapq.heappush(queue, (further + to_go[there], there))
        return INFINITE
