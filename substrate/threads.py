"""Walks through many domains in any order, found by going from each to the nearest one left. Pure.

For where a best-first search would take too long. What is found keeps the limits and need not be
the cheapest; where nothing is found there may be something.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from itertools import permutations

from substrate.disjoint import Walk
from substrate.graph import Graph

LOOKED_MAX = 4_000
"""Domains that are looked at, in all tries together."""


def threads(
    graph: Graph, start: int, end: int, via: frozenset[int], cost_max: int, domains_max: int | None
) -> list[Walk]:
    """Such walks, the cheapest first; of equal cost by their hops.

    Where one gets stuck, what it could not reach is crossed before all others at the next try;
    where it arrives, what it crossed last. Where that was tried, any two are.
    """
    needle = _Needle(graph, start, end, via)
    found: dict[Walk, int] = {}
    tried: set[tuple[int, ...]] = set()
    orders: Iterator[tuple[int, ...]] = permutations(sorted(via), 2)
    first: tuple[int, ...] | None = ()
    while first is not None and needle.looked < LOOKED_MAX:
        tried.add(first)
        walk, sooner = needle.thread(first)
        cost = sum(graph.costs[hop] for hop in walk)
        within = domains_max is None or len(walk) < domains_max
        if walk and within and cost <= cost_max:
            found[walk] = cost
        first = (sooner, *(place for place in first if place != sooner))
        if first in tried:
            first = next((each for each in orders if each not in tried), None)
    return sorted(found, key=lambda walk: (found[walk], walk))


class _Needle:
    """Goes from one domain to the next, and through none twice."""

    def __init__(self, graph: Graph, start: int, end: int, via: frozenset[int]) -> None:
        self._graph, self._start, self._end = graph, start, end
        self._via = via - {start, end}
        self.looked = 0

    def thread(self, first: tuple[int, ...]) -> tuple[Walk, int]:
        """A walk through ``first`` in this order and then the others, empty where it gets stuck;
        and what should be crossed sooner."""
        walk: list[int] = []
        visited, pending = {self._start, self._end}, set(self._via)
        here = last = self._start
        while pending:
            ahead = next(({place} for place in first if place in pending), pending)
            leg = self._leg(here, ahead, visited)
            if not leg:
                return (), min(ahead)
            walk += leg
            here = last = self._graph.to[leg[-1]]
            visited.update(self._graph.to[hop] for hop in leg)
            pending -= visited
        leg = self._leg(here, {self._end}, visited - {self._end})
        return tuple(walk + leg) if leg else (), last

    def _leg(self, here: int, ahead: Collection[int], visited: Collection[int]) -> list[int]:
        """The hops of the shortest way to any domain ahead; empty where there is none."""
        reached, via, done = {here: 0}, dict[int, tuple[int, int]](), set[int]()
        queue = [(0, here)]
        while queue:
            cost, at = heapq.heappop(queue)
            if at in done:
                continue
            if at in ahead:
                return list(_back(via, here, at))[::-1]
            done.add(at)
            self.looked += 1
            for step, there, hop in self._graph.ways[at]:
                if there not in visited and cost + step < reached.get(there, cost + step + 1):
                    reached[there], via[there] = cost + step, (hop, at)
                    heapq.heappush(queue, (cost + step, there))
        return []


def _back(via: dict[int, tuple[int, int]], here: int, at: int) -> Iterator[int]:
    while at != here:
        hop, at = via[at]
        yield hop
