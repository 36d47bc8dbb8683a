"""Which amounts of the substrate the VNodes of a mapping draw on, exactly.

A host may have several that serve, such as a disk of its own and a part in a shared one. What few
can use is used first: amounts that are asked for most specifically choose first, and what a host
has alone goes before what it shares. Who then finds too little has others draw on something else
(augmenting paths; Ford, Fulkerson, 1956). So nothing is left over that would have served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloudnets.underlay import Underlay
from rdl.attributes import levels, within


@dataclass(frozen=True, slots=True)
class Demand:
    """So much of a resource for a VNode, or for what must be together with it."""

    vnode: str
    attribute: str
    amount: int


@dataclass(frozen=True, slots=True)
class Lack:
    """What could not be drawn: ``missing`` of a demand on its host."""

    demand: Demand
    host: str
    missing: int


def draw(
    underlay: Underlay,
    left: Sequence[int],
    demands: Sequence[Demand],
    hosts: Mapping[str, str],
) -> dict[int, int] | Lack:
    """What is taken of each supply, by its number; or the first demand that finds too little.

    ``left``: of each supply. ``hosts``: of each VNode.
    """
    drawing = _Drawing(list(left))
    for demand in sorted(demands, key=_narrowest):
        host = hosts[demand.vnode]
        missing = drawing.add(demand.amount, underlay.serving(host, demand.attribute))
        if missing:
            return Lack(demand, host, missing)
    return drawing.taken()


class _Drawing:
    """What each demand draws on each supply, both by number; ``rest``: of each supply."""

    def __init__(self, rest: list[int]) -> None:
        self._rest = rest
        self._drawn: list[dict[int, int]] = []
        self._serving: list[list[int]] = []

    def taken(self) -> dict[int, int]:
        """Of each supply, more than 0."""
        total: dict[int, int] = {}
        for drawn in self._drawn:
            for i, amount in drawn.items():
                total[i] = total.get(i, 0) + amount
        return {i: amount for i, amount in total.items() if amount}

    def add(self, amount: int, serving: list[int]) -> int:
        """One more demand; what it lacks, whatever others draw on."""
        number, drawn = len(self._drawn), dict[int, int]()
        self._drawn.append(drawn)
        self._serving.append(serving)
        for i in serving:
            part = min(amount, self._rest[i])
            if part:
                self._rest[i] -= part
                drawn[i] = part
                amount -= part
        while amount and (steps := self._exchange(number)):
            amount -= self._exchanged(steps, amount)
        return amount

    def _exchange(self, number: int) -> list[tuple[int, int]]:
        """Who draws on what instead, the last on what has a rest; none: nothing helps."""
        via: dict[int, tuple[int, int]] = dict.fromkeys(self._serving[number], (number, -1))
        queue = list(via)
        for i in queue:
            if self._rest[i]:
                steps = [(via[i][0], i)]
                while via[i][1] >= 0:
                    i = via[i][1]
                    steps.append((via[i][0], i))
                return steps[::-1]
            for other, drawn in enumerate(self._drawn):
                if drawn.get(i):
                    further = [j for j in self._serving[other] if j not in via]
                    via |= dict.fromkeys(further, (other, i))
                    queue += further
        return []

    def _exchanged(self, steps: list[tuple[int, int]], most: int) -> int:
        """As much as everybody on the way has to give."""
        given = [(other, steps[n][1]) for n, (other, _) in enumerate(steps[1:])]
        part = min([most, self._rest[steps[-1][1]], *(self._drawn[o][i] for o, i in given)])
        for other, i in steps:
            self._drawn[other][i] = self._drawn[other].get(i, 0) + part
        for other, i in given:
            self._drawn[other][i] -= part
        self._rest[steps[-1][1]] -= part
        return part


def missing_of_all(
    underlay: Underlay,
    left: Sequence[int],
    demands: Sequence[Demand],
    allowed: Mapping[str, frozenset[str]],
) -> dict[str, tuple[int, int]]:
    """Kinds of amounts of which all hosts together have too little: (needed, free)."""
    kinds = {demand.attribute for demand in demands}
    found = {}
    for kind in sorted(kinds):
        some = [demand for demand in demands if within(demand.attribute, kind)]
        hosts = frozenset[str]().union(*(allowed[demand.vnode] for demand in some))
        needed = sum([demand.amount for demand in some])
        free = sum(
            [
                amount
                for supply, amount in zip(underlay.supplies, left, strict=True)
                if within(supply.attribute, kind) and not hosts.isdisjoint(supply.hosts)
            ]
        )
        if needed > free:
            found[kind] = needed, free
    return found


def _narrowest(demand: Demand) -> tuple[int, str, str]:
    return -len(levels(demand.attribute)), demand.vnode, demand.attribute
