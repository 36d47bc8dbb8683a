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
from substrate.threads import threads
from substrate.values import dataclass

EXPANSIONS_MAX = 20_000
"""Partial walks that the search looks at before it is content with what it found."""

GUIDED_MAX = 3_000
"""Hops that it looks at where domains or STPs must be crossed: each costs many times more."""
TOUR_COST = 2
"""Where an order of domains is to be found it costs as much as so many more."""

TOUR_MAX = 8
"""Domains to be crossed in any order whose best order is still searched for the bound."""


Distances = Callable[[int], Sequence[int]]
"""From all domains to one; as far as back."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a walk must keep. ``via``: domains in any order; ``ero``: STPs in this order."""

    via: frozenset[int] = frozenset()
    ero: tuple[str, ...] = ()
    domains_max: int | None = None
    cost_max: int = INFINITE - 1


def shortest_walks(graph: Graph, start: int, end: int, need: Need) -> Iterator[Walk]:
    """Walks that keep ``need``, by ascending cost, equal ones by their hops.

    All there are, unless that takes too long; then those through domains in any order go on with
    such as are found soon.
    """
    if _hopeless(graph, start, end, need):
        return
    guide = _Guide(graph, start, end, need)
    if guide.hopeless:
        return
    found: set[Walk] = set()
    for walk in _best_first(graph, start, end, need, guide):
        found.add(walk)
        yield walk
    if guide.tired and not need.ero:
        others = threads(graph, start, end, need.via, need.cost_max, need.domains_max)
        yield from (walk for walk in others if walk not in found)


def _best_first(graph: Graph, start: int, end: int, need: Need, guide: _Guide) -> Iterator[Walk]:
    queue: list[tuple[int, Walk, int, int, bool]] = [(0, (), 0, 0, False)]
    for _ in range(EXPANSIONS_MAX):
        if not queue or guide.tired:
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
        self._looked = 0

    @property
    def tired(self) -> bool:
        """Whether it has looked at too many hops."""
        return self._looked >= GUIDED_MAX

    def rest(self, hop: int, visited: set[int], passed: int) -> tuple[int, int]:
        """After this hop: the least cost (INFINITE: none), STPs of the explicit route behind."""
        there = self._graph.to[hop]
        if self._free:
            return self._to_end[there], 0
        self._looked += 1 + TOUR_COST * bool(self._need.via)
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


def _hopeless(graph: Graph, start: int, end: int, need: Need) -> bool:
    """Whether no walk can be: a domain has no way on, or would be crossed twice."""
    if any(len({arc.to for arc in graph.ways[place]}) < 2 for place in need.via - {start, end}):
        return True
    # Of the explicit route's links at most two meet in a domain, one behind the other.
    links = [graph.at[stp] for stp in need.ero if stp in graph.at]
    links = [min(hop, graph.back[hop]) for hop in links]
    links = [hop for i, hop in enumerate(links) if i == 0 or hop != links[i - 1]]
    at: dict[int, list[int]] = {}
    for i, hop in enumerate(links):
        for place in (graph.to[hop], graph.to[graph.back[hop]]):
            at.setdefault(place, []).append(i)
    return any(its[-1] - its[0] > 1 for its in at.values())


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
        distances: Distances,
        weights: Sequence[int],
    ) -> None:
        self._end = end
        self._toured = frozenset(sorted(need.via)[:TOUR_MAX])
        self._to = {place: distances(place) for place in (end, *self._toured)}
        self._to_end = self._to[end]
        self._ordered = _ordered_distances(graph, end, need.ero, distances, weights)
        self._tours: dict[tuple[int, frozenset[int]], int] = {}

    def __call__(self, here: int, via: frozenset[int], pending: tuple[str, ...]) -> int:
        if not via and not pending:
            return self._to_end[here]
        ordered = self._ordered[len(pending)][here]
        return max(ordered, self._tour(here, via & self._toured))

    def _tour(self, here: int, via: frozenset[int]) -> int:
        """Through all of ``via`` in the best order."""
        key = (here, via)
        if key not in self._tours:
            self._tours[key] = min(
                (self._to[place][here] + self._tour(place, via - {place}) for place in via),
                default=self._to_end[here],
            )
        return self._tours[key]


def _ordered_distances(
    graph: Graph, end: int, ero: tuple[str, ...], distances: Distances, weights: Sequence[int]
) -> list[Sequence[int]]:
    """Per number of STPs of ``ero`` still to be passed, in its order: the least cost to ``end``
    from each domain.

    Exact but for domains crossed twice: the search goes straight along a route far from the
    shortest one, instead of through everything that is shorter.
    """
    found = [distances(end)]
    for passed in reversed(range(len(ero))):
        costs: Sequence[int] = [INFINITE] * len(graph.ways)
        hop = graph.at.get(ero[passed])
        for way in () if hop is None else (hop, graph.back[hop]):
            # A link has two STPs, which may both be passed there.
            rest = found[len(ero) - _passed(graph, ero, passed, way)][graph.to[way]]
            before = distances(graph.to[graph.back[way]])
            costs = [
                min(cost, far + weights[way] + rest)
                for cost, far in zip(costs, before, strict=True)
            ]
        found.append(costs)
    return found
