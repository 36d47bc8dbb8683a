"""The cheapest walks that cross no domain twice, through what must be crossed.

Best first, guided by a lower bound of what must still follow. Where the bound leads back into the
walk itself, the exact rest is looked up before the walk is continued (as Yen's algorithm does): so
corners of a network from which no way leads on cost next to nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from substrate.disjoint import Arc
from substrate.model import domain_of

EXPANSIONS_MAX = 20_000
"""Partial walks that the search looks at before it is content with what it found."""

TOUR_MAX = 6
"""Domains to be crossed in any order whose best order is still searched for the bound."""

INFINITE = 1 << 60

A = TypeVar("A", bound=Arc)
Graph = Mapping[str, list[A]]


@dataclass(frozen=True, slots=True)
class Need:
    """What a walk must keep. ``via``: domains in any order; ``ero``: STPs in this order."""

    via: frozenset[str]
    ero: tuple[str, ...]
    domains_max: int
    cost_max: int


def shortest_walks(graph: Graph[A], start: str, end: str, need: Need) -> Iterator[list[A]]:
    """Walks that keep ``need``, by ascending cost. Links cost the same both ways, more than 0."""
    places = {end, *need.via, *(domain_of(stp) for stp in need.ero)}
    if not places <= set(graph):
        return
    cost_to_go = _Bound(graph, end, places, lambda arc: arc.cost)
    if cost_to_go(start, need.via, need.ero) >= INFINITE:
        return
    hops_to_go = _Bound(graph, end, places, lambda _arc: 1)
    queue: list[tuple[int, tuple[str, ...], int, int, bool, list[A]]] = [(0, (), 0, 0, False, [])]
    for _ in range(EXPANSIONS_MAX):
        if not queue:
            return
        least, stps, cost, passed, sure, walk = heapq.heappop(queue)
        here = walk[-1].to_domain if walk else start
        if here == end:
            yield walk
            continue
        visited = {start, *(arc.to_domain for arc in walk)}
        rest = 0 if sure else cost_to_go.around(here, visited)
        if cost + rest > least and walk:
            if cost + rest <= need.cost_max:
                heapq.heappush(queue, (cost + rest, stps, cost, passed, True, walk))
            continue
        for arc in graph[here]:
            there = arc.to_domain
            if there in visited:
                continue
            now_passed = _passed(need.ero, passed, arc)
            pending = need.ero[now_passed:]
            via = need.via - visited - {there}
            if any(domain_of(stp) in visited for stp in pending):
                continue
            if there == end and (via or pending):
                continue
            reached = cost + arc.cost
            bound = reached + cost_to_go(there, via, pending)
            domains = len(walk) + 2 + hops_to_go(there, via, pending)
            if bound <= need.cost_max and domains <= need.domains_max:
                entry = (bound, (*stps, arc.from_stp), reached, now_passed, False, [*walk, arc])
                heapq.heappush(queue, entry)


def _passed(ero: tuple[str, ...], passed: int, arc: Arc) -> int:
    """How many of the explicit route's STPs are behind after this link."""
    for stp in (arc.from_stp, arc.to_stp):
        if passed < len(ero) and ero[passed] == stp:
            passed += 1
    return passed


class _Bound(Generic[A]):
    """A lower bound of the cost from a domain to the end through what must still be crossed."""

    def __init__(
        self, graph: Graph[A], end: str, places: Collection[str], weight: Callable[[A], int]
    ) -> None:
        self._graph, self._end, self._weight = graph, end, weight
        self._to = {place: _distances(graph, place, weight) for place in sorted(places)}
        self._tours: dict[tuple[str, frozenset[str]], int] = {}

    def __call__(self, here: str, via: frozenset[str], pending: tuple[str, ...]) -> int:
        total, at = 0, here
        for stp in pending:
            total += self._between(at, domain_of(stp))
            at = domain_of(stp)
        return max(total + self._between(at, self._end), self._tour(here, via))

    def around(self, here: str, visited: Collection[str]) -> int:
        """The exact cost to the end without what was visited; INFINITE when there is no way."""
        at, to_end = here, self._to[self._end]
        if here not in to_end:
            return INFINITE
        while at != self._end:
            arc = min(
                self._graph[at],
                key=lambda arc: self._weight(arc) + to_end.get(arc.to_domain, INFINITE),
            )
            at = arc.to_domain
            if at in visited:
                others = frozenset(visited) - {here}
                around = _distances(self._graph, self._end, self._weight, others)
                return around.get(here, INFINITE)
        return to_end[here]

    def _between(self, here: str, there: str) -> int:
        return self._to[there].get(here, INFINITE)

    def _tour(self, here: str, via: frozenset[str]) -> int:
        """Through all of ``via`` in the best order; with many of them, through the farthest."""
        key = (here, via)
        if key not in self._tours:
            least = self._between(here, self._end)
            ways = [
                self._between(here, name)
                + (
                    self._tour(name, via - {name})
                    if len(via) <= TOUR_MAX
                    else self._between(name, self._end)
                )
                for name in sorted(via)
            ]
            if ways:
                least = min(ways) if len(via) <= TOUR_MAX else max(ways)
            self._tours[key] = least
        return self._tours[key]


def _distances(
    graph: Graph[A], end: str, weight: Callable[[A], int], without: Collection[str] = ()
) -> dict[str, int]:
    """Least cost from every domain to ``end``."""
    distances: dict[str, int] = {}
    queue = [(0, end)]
    while queue:
        distance, here = heapq.heappop(queue)
        if here in distances:
            continue
        distances[here] = distance
        for arc in graph.get(here, ()):
            if arc.to_domain not in distances and arc.to_domain not in without:
                heapq.heappush(queue, (distance + weight(arc), arc.to_domain))
    return distances
