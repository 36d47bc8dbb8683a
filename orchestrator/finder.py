"""Routes of one topology, remembered: many requests join the same two sites."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from substrate.model import Constraints, Criteria
from substrate.routes import Route, candidate_routes, nearest_routes
from substrate.topology import Topology

ROUTES_MAX = 16
REMEMBERED_MAX = 4096

Ends = tuple[str, str, Constraints]


@dataclass(slots=True)
class _Nearest:
    """Routes as far as they were looked for, and where to look for more."""

    more: Iterator[Route]
    found: list[Route] = field(default_factory=list)


class RouteFinder:
    """Remembers what it has found between two STPs until the topology is another."""

    def __init__(self) -> None:
        self._topology: Topology | None = None
        self._candidates: dict[Ends, tuple[Route, ...]] = {}
        self._nearest: dict[Ends, _Nearest] = {}
        self._first: dict[Ends, Route | None] = {}

    def between(
        self, topology: Topology, source: str, destination: str, constraints: Constraints
    ) -> tuple[Route, ...]:
        """At most ROUTES_MAX candidate routes, disjoint ones first; empty when there is none."""
        self._keep(topology)
        key = (source, destination, constraints)
        found = self._candidates.get(key)
        if found is None:
            found = self._candidates[key] = candidate_routes(topology, *key, ROUTES_MAX)
        return found

    def to_all(self, topology: Topology, criteria: Criteria) -> tuple[Route, ...]:
        """The same for criteria: those to each of their destinations, one after another."""
        found: tuple[Route, ...] = ()
        for stp in criteria.destinations:
            found += self.between(topology, criteria.source, stp, criteria.constraints)
        return found

    def nearest(
        self, topology: Topology, source: str, destination: str, constraints: Constraints
    ) -> Iterator[Route]:
        """Routes by ascending latency, each looked for when it is due."""
        self._keep(topology)
        key = (source, destination, constraints)
        known = self._nearest.get(key)
        if known is None:
            known = self._nearest[key] = _Nearest(nearest_routes(topology, *key))
        at = 0
        # Others may look for more between two steps of this one.
        while True:
            if at == len(known.found):
                route = next(known.more, None)
                if route is None:
                    return
                known.found.append(route)
            yield known.found[at]
            at += 1

    def first(
        self, topology: Topology, source: str, destination: str, constraints: Constraints
    ) -> Route | None:
        """The first of ``nearest``, if any; what is large, where to look for more, is forgotten."""
        self._keep(topology)
        key = (source, destination, constraints)
        if key not in self._first:
            self._first[key] = next(nearest_routes(topology, *key), None)
        return self._first[key]

    def _keep(self, topology: Topology) -> None:
        """Forgets what is of another topology, and all when it is too much."""
        most = max(len(self._candidates), len(self._nearest), len(self._first))
        if topology is not self._topology or most >= REMEMBERED_MAX:
            self._topology = topology
            self._candidates, self._nearest, self._first = {}, {}, {}
