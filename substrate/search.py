"""The cheapest walks that cross no domain twice, through what must be crossed.

Best first, guided by a lower bound of what must still follow. Where the bound leads back into the
walk itself, the exact rest is looked up before the walk is continued (as Yen's algorithm does): so
corners of a network from which no way leads on cost next to nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence

from substrate.disjoint import Walk
from substrate.graph import INFINITE, Graph
from substrate.values import dataclass

EXPANSIONS_MAX = 20_000
"""Partial walks that the search looks at before it is content with what it found."""

TOUR_MAX = 8
"""Domains to be crossed in any order whose best order is still searched for the bound."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a walk must keep. ``via``: domains in any order; ``ero``: STPs in this order."""

    via: frozenset[int] = frozenset()
    ero: tuple[str, ...] = ()
    domains_max: int | None = None
    cost_max: int = INFINITE - 1


def shortest_walks(graph: Graph, start: int, end: int, need: Need) -> Iterator[Walk]:
    """Walks that keep ``need``, by ascending cost, equal ones by their hops."""
    guide = _Guide(graph, start, end, need)
    if guide.hopeless:
        return
    queue: list[tuple[int, Walk, int, int, bool]] = [(0, (), 0, 0, False)]
    for _ in range(EXPANSIONS_MAX):
        if not queue:
            return
        least, walk, cost, passed, sure = heapq.heappop(queue)
        here = graph.to[walk[-1]] if walk else start
        if here == end:
            yield walk
            continue
        visited = {start, *[graph.to[hop] for hop in walk]}
        rest = 0 if sure else graph.around(here, end, visited, need.cost_max - cost)
        if rest >= INFINITE:
            continue
        if cost + rest > least and walk:
            heapq.heappush(queue, (cost + rest, walk, cost, passed, True))
            continue
        for step, there, hop in graph.ways[here]:
            if there in visited:
                continue
            further, now_passed = guide.rest(hop, visited, passed)
            bound = cost + step + further
            if bound <= need.cost_max:
                heapq.heappush(queue, (bound, (*walk, hop), cost + step, now_passed, False))


class _Guide:
    """What must at least follow after a hop, for a walk that is to keep ``need``."""

    def __init__(self, graph: Graph, start: int, end: int, need: Need) -> None:
        self._graph, self._end, self._need = graph, end, need
        self._to_end = graph.tree(end).cost
        self._free = not need.via and not need.ero and need.domains_max is None
        self._joins = {stp: _joins(graph, stp) for stp in need.ero}
        self._cost = _Bound(graph, end, need, lambda place: graph.tree(place).cost, graph.costs)
        self._hops = None
        if need.domains_max is not None:
            self._hops = _Bound(graph, end, need, graph.fewest_hops, [1] * len(graph.hops))
        least = self._cost(start, need.via, need.ero)
        self.hopeless = least > need.cost_max or not all(self._joins.values())
        """No walk can keep it."""

    def rest(self, hop: int, visited: set[int], passed: int) -> tuple[int, int]:
        """After this hop: the least cost (INFINITE: none), STPs of the explicit route behind."""
        there = self._graph.to[hop]
        if self._free:
            return self._to_end[there], 0
        need = self._need
        passed = _passed(self._graph, need.ero, passed, hop)
        pending, via = need.ero[passed:], need.via - visited - {there}
        if any(self._joins[stp] & visited for stp in pending):
            return INFINITE, passed
        if there == self._end and (via or pending):
            return INFINITE, passed
        if self._hops is not None and need.domains_max is not None:
            hops = max(self._hops(there, via, pending), len(via - {self._end}) + 1 if via else 0)
            if len(visited) + 1 + hops > need.domains_max:
                return INFINITE, passed
        return self._cost(there, via, pending), passed


def _joins(graph: Graph, stp: str) -> set[int]:
    """The two domains whose link has that STP; empty when there is none."""
    hop = graph.at.get(stp)
    if hop is None:
        return set()
    ends = {graph.to[hop], graph.to[graph.back[hop]]}
    return ends if any(arc.hop == hop for end in ends for arc in graph.ways[end]) else set()


def _passed(graph: Graph, ero: tuple[str, ...], passed: int, hop: int) -> int:
    """How many of the explicit route's STPs are behind after this hop."""
    for stp in (graph.hops[hop].from_stp, graph.hops[hop].to_stp):
        if passed < len(ero) and ero[passed] == stp:
            passed += 1
    return passed


class _Bound:
    """A lower bound of the cost from a domain to the end through what must still be crossed.

    ``distances``: from all domains to one. ``weights``: per hop.
    """

    def __init__(
        self,
        graph: Graph,
        end: int,
        need: Need,
        distances: Callable[[int], Sequence[int]],
        weights: Sequence[int],
    ) -> None:
        self._end = end
        self._to = {place: distances(place) for place in (end, *need.via)}
        self._to_end = self._to[end]
        self._ordered = _ordered_distances(graph, end, need.ero, weights) if need.ero else {}
        self._tours: dict[tuple[int, frozenset[int]], int] = {}

    def __call__(self, here: int, via: frozenset[int], pending: tuple[str, ...]) -> int:
        if not via and not pending:
            return self._to_end[here]
        ordered = self._ordered.get((here, len(pending)), INFINITE) if pending else 0
        return max(ordered, self._tour(here, via))

    def _tour(self, here: int, via: frozenset[int]) -> int:
        """Through all of ``via`` in the best order; of many, through some of them."""
        if len(via) > TOUR_MAX:
            via = frozenset(sorted(via)[:TOUR_MAX])
        key = (here, via)
        if key not in self._tours:
            self._tours[key] = min(
                (self._to[place][here] + self._tour(place, via - {place}) for place in via),
                default=self._to_end[here],
            )
        return self._tours[key]


def _ordered_distances(
    graph: Graph, end: int, ero: tuple[str, ...], weights: Sequence[int]
) -> dict[tuple[int, int], int]:
    """Least cost to ``end`` from (domain, STPs of ``ero`` still to be passed, in its order).

    Exact but for domains crossed twice: the search goes straight along a route far from the
    shortest one, instead of through everything that is shorter.
    """
    before: dict[tuple[int, int], list[tuple[tuple[int, int], int]]] = {}
    for here, arcs in enumerate(graph.ways):
        for _, there, hop in arcs if here != end else ():
            for passed in range(len(ero) + 1):
                after = (there, len(ero) - _passed(graph, ero, passed, hop))
                before.setdefault(after, []).append(((here, len(ero) - passed), weights[hop]))
    distances: dict[tuple[int, int], int] = {}
    queue = [(0, (end, 0))]
    while queue:
        distance, state = heapq.heappop(queue)
        if state in distances:
            continue
        distances[state] = distance
        for earlier, cost in before.get(state, ()):
            if earlier not in distances:
                heapq.heappush(queue, (distance + cost, earlier))
    return distances
