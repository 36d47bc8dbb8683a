"""A largest set of link-disjoint walks of least total cost: min-cost flow with unit capacities.

Successive shortest paths (Suurballe's idea for two, Bhandari's for more). Links are undirected: a
walk that would use a link against another one cancels it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar


class Arc(Protocol):
    """One direction of a link between two domains."""

    @property
    def from_domain(self) -> str: ...
    @property
    def to_domain(self) -> str: ...
    @property
    def from_stp(self) -> str: ...
    @property
    def to_stp(self) -> str: ...
    @property
    def cost(self) -> int: ...


A = TypeVar("A", bound=Arc)


def disjoint_walks(
    graph: Mapping[str, Sequence[A]], start: str, end: str, most: int
) -> list[list[A]]:
    """At most ``most`` simple walks from ``start`` to ``end`` that share no link; costs > 0."""
    flow: dict[str, A] = {}
    for _ in range(most):
        walk = _augmenting(graph, flow, start, end)
        if walk is None:
            break
        for arc in walk:
            if arc.to_stp in flow:
                del flow[arc.to_stp]
            else:
                flow[arc.from_stp] = arc
    return _walks(flow, start, end)


def _augmenting(
    graph: Mapping[str, Sequence[A]], flow: dict[str, A], start: str, end: str
) -> list[A] | None:
    """The cheapest walk in the residual graph, where used links cost minus what they cost.

    Bellman-Ford with a queue: residual costs are negative, but there is no negative cycle.
    """
    distance = {start: 0}
    via: dict[str, A] = {}
    queue, queued = [start], {start}
    while queue:
        here = queue.pop(0)
        queued.discard(here)
        for arc in graph.get(here, ()):
            if arc.from_stp in flow:
                continue
            cost = -arc.cost if arc.to_stp in flow else arc.cost
            reached = distance[here] + cost
            if reached < distance.get(arc.to_domain, reached + 1):
                distance[arc.to_domain] = reached
                via[arc.to_domain] = arc
                if arc.to_domain not in queued:
                    queue.append(arc.to_domain)
                    queued.add(arc.to_domain)
    if end not in via:
        return None
    walk: list[A] = []
    here = end
    while here != start:
        walk.append(via[here])
        here = via[here].from_domain
    return walk[::-1]


def _walks(flow: dict[str, A], start: str, end: str) -> list[list[A]]:
    """Takes the flow apart. It has no cycle: costs are positive, and the flow is the cheapest."""
    leaving: dict[str, list[A]] = {}
    for stp in sorted(flow):
        leaving.setdefault(flow[stp].from_domain, []).append(flow[stp])
    walks = []
    for first in leaving.get(start, []):
        walk = [first]
        while walk[-1].to_domain != end:
            walk.append(leaving[walk[-1].to_domain].pop(0))
        walks.append(walk)
    return walks
