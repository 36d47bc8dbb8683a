"""The cheapest way to carry an amount over a network, split as it must be (design, section 6).

Successive shortest paths with potentials: every round sends as much as fits along the cheapest way
in the residual network, whose reduced costs are never negative. Integers stay integers. Arcs are
asked for where the search comes by: of a large network it sees little. Where costs do not matter:
substrate.cutting.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from typing import NamedTuple

from substrate.values import dataclass

Node = int
ARCS_MAX = 500_000
"""Arcs that all rounds together look at before they are content with less."""


Step = tuple[int, bool]
"""An arc by index, and whether along it or against it."""


class Arc(NamedTuple):
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


@dataclass
class Flow:
    """What arcs carry. Those that no search came by are not listed."""

    arcs: list[Arc] = field(default_factory=list)
    amounts: list[int] = field(default_factory=list)
    leaving: dict[Node, range] = field(default_factory=dict)
    """Per node the arcs out of it, by index."""
    arriving: dict[Node, dict[int, None]] = field(default_factory=dict)
    """Per node the arcs into it that carry something, by index."""

    def room(self, step: Step) -> int:
        """What more can go along an arc, or what it carries and can be sent back."""
        i, forward = step
        return self.arcs[i].capacity - self.amounts[i] if forward else self.amounts[i]

    def send(self, arc: int, amount: int) -> None:
        """So much more over an arc; less than 0: so much less."""
        self.amounts[arc] += amount
        arriving = self.arriving.setdefault(self.arcs[arc].head, {})
        if self.amounts[arc]:
            arriving[arc] = None
        else:
            arriving.pop(arc, None)


Leaving = Callable[[Node], Iterable[Arc]]
ToGo = Callable[[Node], int]


def cheapest_flow(
    leaving: Leaving,
    source: Node,
    sink: Node,
    amount: int,
    *,
    to_go: ToGo = lambda _node: 0,
    rounds_max: int | None = None,
) -> Flow:
    """``amount`` from ``source`` to another node, or as much as fits, at the least total cost.

    ``leaving``: the arcs out of a node. ``to_go``: no way from a node to the sink costs less; no
    arc costs less than what that falls by along it. After ``rounds_max`` shortest ways it is
    content with less.
    """
    search = _Search(leaving, to_go)
    flow, rounds = search.flow, 0
    while amount > 0 and (rounds_max is None or rounds < rounds_max):
        rounds += 1
        steps = search.cheapest_way(source, sink)
        if not steps:
            break
        room = min(amount, *[flow.room(step) for step in steps])
        for i, forward in steps:
            flow.send(i, room if forward else -room)
        amount -= room
    return flow


class _Residual:
    """What a flow leaves of a network."""

    def __init__(self, leaving: Leaving) -> None:
        self.flow = Flow()
        self._ask = leaving
        self._seen = 0

    def steps(self, here: Node) -> Iterator[tuple[Step, Node, int]]:
        """Steps with room left: where they lead, and what they cost."""
        arcs, amounts = self.flow.arcs, self.flow.amounts
        leaving = self.flow.leaving.get(here)
        if leaving is None:
            first = len(arcs)
            arcs.extend(self._ask(here))
            leaving = self.flow.leaving[here] = range(first, len(arcs))
            amounts.extend([0] * len(leaving))
        self._seen += len(leaving)
        for i in leaving:
            _, head, capacity, cost = arcs[i]
            if capacity > amounts[i]:
                yield (i, True), head, cost
        for i in self.flow.arriving.get(here, ()):
            yield (i, False), arcs[i].tail, -arcs[i].cost

    @property
    def tired(self) -> bool:
        """Whether it has looked at too many arcs."""
        return self._seen >= ARCS_MAX


class _Search(_Residual):
    """Finds one cheapest way after the other in the residual network."""

    def __init__(self, leaving: Leaving, to_go: ToGo) -> None:
        super().__init__(leaving)
        self._to_go = to_go
        self._potential: dict[Node, int] = {}

    def cheapest_way(self, source: Node, sink: Node) -> list[Step]:
        """By Dijkstra over reduced costs; empty when there is none."""
        cost_of: dict[Node, int] = {source: 0}
        via: dict[Node, tuple[Step, Node]] = {}
        done: set[Node] = set()
        queue: list[tuple[int, int, Node]] = [(0, 0, source)]
        count = 0
        while queue and not self.tired:
            cost, _, here = heapq.heappop(queue)
            if here in done:
                continue
            if here == sink:
                self._raise(done, cost_of, cost)
                return _steps(via, source, sink)
            done.add(here)
            reached = cost - self._of(here)
            for step, there, further in self.steps(here):
                if there in done:
                    continue
                further += reached + self._of(there)
                if there not in cost_of or further < cost_of[there]:
                    cost_of[there], via[there] = further, (step, here)
                    count += 1
                    heapq.heappush(queue, (further, count, there))
        return []

    def _of(self, node: Node) -> int:
        """The potential: no way in the residual network from there to the sink costs less."""
        potential = self._potential.get(node)
        if potential is None:
            potential = self._potential[node] = self._to_go(node)
        return potential

    def _raise(self, done: set[Node], cost_of: dict[Node, int], cost: int) -> None:
        for node in done:
            self._potential[node] += cost - cost_of[node]


def _steps(via: dict[Node, tuple[Step, Node]], source: Node, sink: Node) -> list[Step]:
    steps, node = [], sink
    while node != source:
        step, node = via[node]
        steps.append(step)
    return steps[::-1]


def ways_of(flow: Flow, source: Node, sink: Node) -> list[Way]:
    """Takes a cheapest flow apart into ways, over the arcs listed first before others.

    Circles that cost nothing are left out.
    """
    arcs, rest = flow.arcs, list(flow.amounts)
    found: list[Way] = []
    while True:
        walk: list[int] = []
        at, seen = source, {source: 0}
        while at != sink:
            step = next((i for i in flow.leaving.get(at, ()) if rest[i] > 0), None)
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
