"""The cheapest way to carry an amount over a network, split as it must be (design, section 6).

Successive shortest paths with potentials: every round sends as much as fits along the cheapest way
in the residual network, whose reduced costs are never negative. Integers stay integers.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

Node = Hashable


@dataclass(frozen=True, slots=True)
class Arc:
    """Carries up to ``capacity`` from ``tail`` to ``head``; ``cost`` per unit, 0 or more."""

    tail: Node
    head: Node
    capacity: int
    cost: int


@dataclass(frozen=True, slots=True)
class Way:
    """Arcs by index, one behind the other, and what they carry together; more than 0."""

    arcs: tuple[int, ...]
    amount: int


def cheapest_flow(
    arcs: Sequence[Arc], source: Node, sink: Node, amount: int, rounds_max: int | None = None
) -> list[int]:
    """What each arc carries: ``amount`` in all, or as much as fits, at the least total cost.

    ``source`` and ``sink`` differ. After ``rounds_max`` shortest ways it is content with less.
    """
    flows = [0] * len(arcs)
    # Per node the residual arcs out of it: the arc's index, whether with or against it.
    around: dict[Node, list[tuple[int, bool]]] = {source: [], sink: []}
    for i, arc in enumerate(arcs):
        around.setdefault(arc.tail, []).append((i, True))
        around.setdefault(arc.head, []).append((i, False))
    potential = dict.fromkeys(around, 0)
    for _ in itertools.count() if rounds_max is None else range(rounds_max):
        if amount <= 0:
            break
        via = _cheapest_way(arcs, flows, around, potential, source, sink)
        if via is None:
            return flows
        room, node = amount, sink
        while node != source:
            i, forward = via[node]
            room = min(room, arcs[i].capacity - flows[i] if forward else flows[i])
            node = arcs[i].tail if forward else arcs[i].head
        node = sink
        while node != source:
            i, forward = via[node]
            flows[i] += room if forward else -room
            node = arcs[i].tail if forward else arcs[i].head
        amount -= room
    return flows


def ways_of(arcs: Sequence[Arc], flows: Sequence[int], source: Node, sink: Node) -> list[Way]:
    """Takes a cheapest flow apart into ways, those of the arcs listed first before others.

    Circles that cost nothing are left out.
    """
    rest = list(flows)
    leaving: dict[Node, list[int]] = {}
    for i, arc in enumerate(arcs):
        leaving.setdefault(arc.tail, []).append(i)
    found: list[Way] = []
    while True:
        walk: list[int] = []
        at, seen = source, {source: 0}
        while at != sink:
            step = next((i for i in leaving.get(at, ()) if rest[i] > 0), None)
            if step is None:
                return found
            walk.append(step)
            at = arcs[step].head
            if at in seen:
                circle = walk[seen[at] :]
                least = min(rest[i] for i in circle)
                for i in circle:
                    rest[i] -= least
                del walk[seen[at] :]
                seen = {source: 0, **{arcs[i].head: k for k, i in enumerate(walk, 1)}}
            else:
                seen[at] = len(walk)
        amount = min(rest[i] for i in walk)
        for i in walk:
            rest[i] -= amount
        found.append(Way(tuple(walk), amount))


def _cheapest_way(
    arcs: Sequence[Arc],
    flows: Sequence[int],
    around: dict[Node, list[tuple[int, bool]]],
    potential: dict[Node, int],
    source: Node,
    sink: Node,
) -> dict[Node, tuple[int, bool]] | None:
    """By which residual arc each node is reached (Dijkstra); raises the potentials. None: not."""
    distance: dict[Node, int] = {source: 0}
    via: dict[Node, tuple[int, bool]] = {}
    done: set[Node] = set()
    queue: list[tuple[int, int, Node]] = [(0, 0, source)]
    count = 0
    while queue:
        reached, _, here = heapq.heappop(queue)
        if here in done:
            continue
        done.add(here)
        if here == sink:
            break
        for i, forward in around[here]:
            arc = arcs[i]
            if (arc.capacity - flows[i] if forward else flows[i]) <= 0:
                continue
            there, cost = (arc.head, arc.cost) if forward else (arc.tail, -arc.cost)
            further = reached + cost + potential[here] - potential[there]
            if there not in done and further < distance.get(there, further + 1):
                distance[there] = further
                via[there] = (i, forward)
                count += 1
                heapq.heappush(queue, (further, count, there))
    if sink not in done:
        return None
    for node in potential:
        potential[node] += min(distance.get(node, distance[sink]), distance[sink])
    return via
