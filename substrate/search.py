"""The cheapest walks that cross no domain twice, through what must be crossed.

Best first, guided by a lower bound of what must still follow. Where the bound leads back into the
walk itself, the exact rest is looked up before the walk is continued (as Yen's algorithm does): so
corners of a network from which no way leads on cost next to nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from substrate.disjoint import Arc
from substrate.model import domain_of

EXPANSIONS_MAX = 20_000
"""Partial walks that the search looks at before it is content with what it found."""

TOUR_MAX = 8
"""Domains to be crossed in any order whose best order is still searched for the bound."""

INFINITE = 1 << 60

A = TypeVar("A", bound=Arc)
Graph = Mapping[str, Sequence[A]]


@dataclass(frozen=True, slots=True)
class Need:
    """What a walk must keep. ``via``: domains in any order; ``ero``: STPs in this order."""

    via: frozenset[str]
    ero: tuple[str, ...]
    domains_max: int
    cost_max: int


def shortest_walks(graph: Graph[A], start: str, end: str, need: Need) -> Iterator[list[A]]:
    """Walks that keep ``need``, by ascending cost. Links cost the same both ways, more than 0."""
    joins = {stp: _joins(graph, stp) for stp in need.ero}
    if not {end, *need.via} <= set(graph) or not all(joins.values()):
        return
    cost_to_go = _Bound(graph, end, need, lambda arc: arc.cost)
    if cost_to_go(start, need.via, need.ero) >= INFINITE:
        return
    hops_to_go = _Bound(graph, end, need, lambda _arc: 1)
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
            if any(joins[stp] & visited for stp in pending):
                continue
            if there == end and (via or pending):
                continue
            reached = cost + arc.cost
            bound = reached + cost_to_go(there, via, pending)
            hops = max(hops_to_go(there, via, pending), len(via - {end}) + 1 if via else 0)
            domains = len(walk) + 2 + hops
            if bound <= need.cost_max and domains <= need.domains_max:
                entry = (bound, (*stps, arc.from_stp), reached, now_passed, False, [*walk, arc])
                heapq.heappush(queue, entry)


def _joins(graph: Graph[A], stp: str) -> set[str]:
    """The two domains whose link has that STP; empty when there is none."""
    return {
        name
        for arc in graph.get(domain_of(stp), ())
        if arc.from_stp == stp
        for name in (arc.from_domain, arc.to_domain)
    }


def _passed(ero: tuple[str, ...], passed: int, arc: Arc) -> int:
    """How many of the explicit route's STPs are behind after this link."""
    for stp in (arc.from_stp, arc.to_stp):
        if passed < len(ero) and ero[passed] == stp:
            passed += 1
    return passed


class _Bound(Generic[A]):
    """A lower bound of the cost from a domain to the end through what must still be crossed."""

    def __init__(self, graph: Graph[A], end: str, need: Need, weight: Callable[[A], int]) -> None:
        self._graph, self._end, self._weight = graph, end, weight
        places = sorted({end, *need.via})
        self._to = {place: _distances(graph, place, weight) for place in places}
        self._ordered = _ordered_distances(graph, end, need.ero, weight) if need.ero else {}
        self._tours: dict[tuple[str, frozenset[str]], int] = {}

    def __call__(self, here: str, via: frozenset[str], pending: tuple[str, ...]) -> int:
        ordered = self._ordered.get((here, len(pending)), INFINITE) if pending else 0
        return max(ordered, self._tour(here, via))

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
                around = _distances(self._graph, self._end, self._weight, others, until=here)
                return around.get(here, INFINITE)
        return to_end[here]

    def _between(self, here: str, there: str) -> int:
        return self._to[there].get(here, INFINITE)

    def _tour(self, here: str, via: frozenset[str]) -> int:
        """Through all of ``via`` in the best order; of many, through some of them."""
        if len(via) > TOUR_MAX:
            via = frozenset(sorted(via)[:TOUR_MAX])
        key = (here, via)
        if key not in self._tours:
            self._tours[key] = min(
                (self._between(here, name) + self._tour(name, via - {name}) for name in via),
                default=self._between(here, self._end),
            )
        return self._tours[key]


def _distances(
    graph: Graph[A],
    end: str,
    weight: Callable[[A], int],
    without: Collection[str] = (),
    until: str = "",
) -> dict[str, int]:
    """Least cost to ``end`` from every domain, or from those that are no farther than ``until``."""
    distances: dict[str, int] = {}
    queue = [(0, end)]
    while queue:
        distance, here = heapq.heappop(queue)
        if here in distances:
            continue
        distances[here] = distance
        if here == until:
            break
        for arc in graph.get(here, ()):
            if arc.to_domain not in distances and arc.to_domain not in without:
                heapq.heappush(queue, (distance + weight(arc), arc.to_domain))
    return distances


def _ordered_distances(
    graph: Graph[A], end: str, ero: tuple[str, ...], weight: Callable[[A], int]
) -> dict[tuple[str, int], int]:
    """Least cost to ``end`` from (domain, STPs of ``ero`` still to be passed, in its order).

    Exact but for domains crossed twice: the search goes straight along a route far from the
    shortest one, instead of through everything that is shorter.
    """
    before: dict[tuple[str, int], list[tuple[tuple[str, int], int]]] = {}
    for here, arcs in graph.items():
        for arc in arcs if here != end else ():
            for passed in range(len(ero) + 1):
                after = (arc.to_domain, len(ero) - _passed(ero, passed, arc))
                before.setdefault(after, []).append(((here, len(ero) - passed), weight(arc)))
    distances: dict[tuple[str, int], int] = {}
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
