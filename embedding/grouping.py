"""Requests whose VNodes may meet: which of them together, on which host.

In a tree of hubs (:mod:`embedding.hubs`) every VLink costs what it takes from each of its ends up
to the hub where they meet. So what a host or hub costs depends on the set of VNodes below it and on
nothing else: dynamic programming over the tree and over sets of VNodes finds the cheapest
placement, with everything that a host demands of its set: amounts, rules, ways out.

On other networks the tree is a bound, and what ways really cost more is added while placements are
built from the top of the tree down, the most promising first (A*: Hart, Nilsson, Raphael, 1968).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import numpy as np

from embedding.distances import ROUNDING, Distances, Matrix
from embedding.hubs import Hub, hub_trees, tree_ways
from embedding.network import Bools, Floats, Ints
from embedding.objectives import Terms
from embedding.packing import Packing
from embedding.problem import TOLERANCE, Problem
from embedding.sets import Sets, fitting_sets

VNODES_MAX = 13
WORK_FIRST, WORK_MAX = 2_000_000, 12_000_000
"""Sums of a first look and of a thorough one: some tens of milliseconds, and some hundreds."""
PAIRS_MAX = 2_000_000
"""Hosts and sets that fit there, where only such sets are looked at."""
STATES_MAX = 4_000
OFFERS_MAX = 40
"""Placements that are built, and placements that paths are looked for."""


@dataclass(frozen=True, slots=True)
class _Branch:
    """A host or hub. ``least``: [i, S], what the set S costs at least on the first i ``below``;
    ``cost``: per set, with the way to the hub above."""

    host: int
    below: tuple[_Branch, ...]
    least: Floats
    cost: Floats


@dataclass(frozen=True, slots=True)
class _State:
    """A placement that is not complete.

    ``open``: branches, how many of those below them have no set yet, and the set for these, as
    bits; what comes next is last. ``hosts``: per VNode, -1 where it has none yet.
    """

    bound: float
    open: tuple[tuple[_Branch, int, int], ...]
    left: int
    hosts: Ints


@dataclass(frozen=True, slots=True)
class _Offers:
    """Sets for one branch, what is left of what they are taken from, and the bound then."""

    branch: _Branch
    parts: Ints
    rests: Ints
    bounds: Floats


def grouping_of(
    problem: Problem, terms: Terms, least: Matrix, work_max: int = WORK_FIRST
) -> Groups | None:
    """None where VNodes never meet, or where it would take longer.

    ``least``: hosts × hosts, what a unit costs between at least. What is too much for all sets has
    in a thorough look those that fit somewhere.
    """
    vnodes, hosts = problem.vnodes, problem.network.hosts
    if problem.distinct:
        return None
    if vnodes <= VNODES_MAX and hosts << vnodes <= work_max:
        sets = Sets(problem)
        if sets.work <= work_max:
            return Grouping(problem, terms, least, sets)
    few = fitting_sets(problem, PAIRS_MAX) if work_max >= WORK_MAX else None
    return None if few is None else Packing(problem, terms, least, few)


@dataclass(frozen=True, slots=True)
class _Divisions:
    """Every set of VNodes, as bits, with every part of it that is possible.

    ``part`` and ``rest`` are in the order of the set that they make; ``starts``: where each begins.
    """

    part: Ints
    rest: Ints
    starts: Ints

    def of(self, whole: int) -> slice:
        """Where the divisions of one set are."""
        last = self.starts[whole + 1] if whole + 1 < len(self.starts) else len(self.part)
        return slice(int(self.starts[whole]), int(last))

    def least(self, rest: Floats, part: Floats, joined: np.ufunc) -> Floats:
        """Per set the least of its divisions, with what rest and part cost joined."""
        both = joined(rest[self.rest], part[self.part])
        return np.asarray(np.minimum.reduceat(both, self.starts))


def _divisions(vnodes: int, possible: Bools) -> _Divisions:
    part, whole = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for bit in (1 << v for v in range(vnodes)):
        part = np.concatenate([part, part, part | bit])
        whole = np.concatenate([whole, whole | bit, whole | bit])
    kept = possible[part]
    part, whole = part[kept], whole[kept]
    order = np.argsort(whole.astype(np.uint16), kind="stable")
    part, whole = part[order], whole[order]
    return _Divisions(part, whole ^ part, np.searchsorted(whole, np.arange(1 << vnodes)))


class Grouping:
    """The cheapest sets of VNodes on hosts, in a tree and as ways really are."""

    def __init__(self, problem: Problem, terms: Terms, least: Matrix, sets: Sets) -> None:
        self._problem, self._terms = problem, terms
        self._sets, self._bits, self._out, self._possible = sets, sets.bits, sets.out, sets.possible
        self._on_host = _divisions(problem.vnodes, sets.on_some)
        trees = hub_trees(least.astype(float) if terms.link.any() else np.zeros(least.shape))
        costs = self._costs()
        tops = [(self._branch(tree, costs), tree) for tree in trees]
        self._top, tree = max(tops, key=lambda pair: float(pair[0].cost[-1]))
        self._ways = tree_ways(tree, len(least))

    @cached_property
    def _at_hub(self) -> _Divisions:
        return _divisions(self._problem.vnodes, np.ones(len(self._bits), bool))

    def _costs(self) -> Floats:
        """Hosts × sets: places and the host itself; infinite where the set may not be."""
        return np.where(self._possible, self._sets.places(self._terms), np.inf)

    def _branch(self, hub: Hub, costs: Floats) -> _Branch:
        if hub.host >= 0:
            least = costs[hub.host][None]
            return _Branch(hub.host, (), least, least[0] + hub.reach * self._out)
        # Those that have room for most come last: they are the first to get a set.
        below = [self._branch(each, costs) for each in hub.below]
        below.sort(key=lambda branch: np.isfinite(branch.cost).sum())
        least = np.full((len(below) + 1, len(self._bits)), np.inf)
        least[0, 0] = 0.0
        for i, branch in enumerate(below):
            divisions = self._on_host if branch.host >= 0 else self._at_hub
            least[i + 1] = divisions.least(least[i], branch.cost, np.add)
        return _Branch(-1, tuple(below), least, least[-1] + hub.reach * self._out)

    @property
    def bound(self) -> float:
        """What no embedding costs less than, but for its peak; infinite if there is none."""
        return float(self._top.cost[-1]) * (1 - ROUNDING)

    def peak(self) -> float:
        """The share of something that is taken at least, in whichever embedding."""
        shares = self._sets.shares(self._problem)
        least = np.where(np.arange(len(self._bits)) > 0, np.inf, 0.0)
        for own in shares:
            least = self._on_host.least(least, own, np.maximum)
        return float(least[-1])

    def best(self, far: Distances) -> Ints | None:
        """The cheapest placement in the tree, with real ways where several would do."""
        state = self._start()
        while state.open:
            offers = self._offers(state, far, np.inf)
            if not len(offers.bounds):
                return None
            state = self._child(state, offers, int(offers.bounds.argmin()))
        return state.hosts

    def _start(self) -> _State:
        nowhere: Ints = np.full(self._problem.vnodes, -1, np.int64)
        whole = len(self._bits) - 1
        return _State(self.bound, ((self._top, len(self._top.below), whole),), whole, nowhere)

    def _offers(self, state: _State, far: Distances, target: float) -> _Offers:
        """Each set that the next branch might get."""
        hub, number, whole = state.open[-1]
        branch = hub.below[number - 1]
        divisions = self._on_host if branch.host >= 0 else self._at_hub
        where = divisions.of(whole)
        parts, rests = divisions.part[where], divisions.rest[where]
        bounds = hub.least[number - 1, rests] + branch.cost[parts]
        bounds = bounds + (state.bound - hub.least[number, whole])
        kept = bounds < target
        parts, rests, bounds = parts[kept], rests[kept], bounds[kept]
        if branch.host >= 0 and len(parts):
            bounds = bounds + self._further(state.hosts, branch.host, parts, far)
            kept = bounds < target
            parts, rests, bounds = parts[kept], rests[kept], bounds[kept]
        return _Offers(branch, parts, rests, bounds)

    def _child(self, state: _State, offers: _Offers, i: int) -> _State:
        """The next branch gets the set number ``i`` of these."""
        *open_, (hub, number, _) = state.open
        part, rest, hosts, left = (
            int(offers.parts[i]),
            int(offers.rests[i]),
            state.hosts,
            state.left,
        )
        if rest:
            open_.append((hub, number - 1, rest))
        branch = offers.branch
        if part and branch.host < 0:
            open_.append((branch, len(branch.below), part))
        elif part:
            hosts, left = np.where(self._bits[part] > 0, branch.host, hosts), left ^ part
        return _State(float(offers.bounds[i]), tuple(open_), left, hosts)

    def _further(self, hosts: Ints, host: int, parts: Ints, far: Distances) -> Floats | float:
        """Per set what its VLinks to VNodes that are placed cost more than in the tree.

        Infinite where a rule forbids it.
        """
        problem, placed = self._problem, np.flatnonzero(hosts >= 0)
        if not len(placed) or not parts.any():
            return 0.0
        extra = np.zeros(problem.vnodes)
        to_host = np.zeros((problem.vnodes, problem.network.hosts))
        for u in placed.tolist():
            at, way = int(hosts[u]), float(self._ways[hosts[u], host])
            for v, k in problem.neighbours[u]:
                if hosts[v] >= 0:
                    continue
                bandwidth = float(problem.bandwidth[k])
                to_host[v, at] += bandwidth
                extra[v] += max(float(far.priced[k, host, at]) - bandwidth * way, 0.0)
                if self._barred(k, v, host, at):
                    extra[v] = np.inf
        bits = self._bits[parts]
        with np.errstate(invalid="ignore"):
            further = np.where(bits > 0, extra, 0.0).sum(axis=1)
        for cap in problem.rules.caps:
            if host in (cap.a, cap.b):
                other = cap.b if host == cap.a else cap.a
                further[bits @ to_host[:, other] > cap.bandwidth * (1 + TOLERANCE)] = np.inf
        return np.asarray(further)

    def _barred(self, k: int, vnode: int, host: int, other: int) -> bool:
        barred = self._problem.rules.barred
        if barred is None:
            return False
        first = int(self._problem.ends[k, 0]) == vnode
        return bool(barred[k, host, other] if first else barred[k, other, host])

    def search(
        self, far: Distances, gap: float, best: float, offer: Callable[[Ints], float]
    ) -> float:
        """What no embedding costs less than, or less than what was offered by more than ``gap``.

        ``far``: exact. ``offer`` takes a placement, and says what the best embedding now costs.
        """
        unroutable, offered, number = np.inf, 0, count()
        first = self._start()
        queue = [(first.bound, first.left.bit_count(), next(number), first)]
        for _ in range(STATES_MAX):
            target = best * (1 - gap * 0.99)
            if not queue or queue[0][0] >= target or offered == OFFERS_MAX:
                break
            state = heapq.heappop(queue)[3]
            if not state.open:
                best, offered = min(best, offer(state.hosts)), offered + 1
                unroutable = min(unroutable, state.bound)
                continue
            offers = self._offers(state, far, target)
            for child in (self._child(state, offers, i) for i in range(len(offers.bounds))):
                heapq.heappush(queue, (child.bound, child.left.bit_count(), next(number), child))
        open_ = queue[0][0] if queue else np.inf
        return min(open_, unroutable, best * (1 - gap * 0.99)) * (1 - ROUNDING)


Groups = Grouping | Packing
"""Of all sets of VNodes, or of those that fit."""
