"""Better placements from good ones, for VNodes that may meet: two hosts are emptied, and what was
there finds new places, one VNode after the other (ruin and recreate: Schrimpf and others, 2000).

Many placements at once, as matrix arithmetic. The dice always fall the same, so the same request
gets the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from embedding.distances import Distances
from embedding.network import Bools, Floats, Ints
from embedding.objectives import Terms
from embedding.problem import TOLERANCE, Problem

AT_ONCE = 48
ROUNDS = 120
EMPTIED = 2


def renewed(
    problem: Problem, terms: Terms, far: Distances, known: Sequence[Ints]
) -> Iterator[tuple[Ints, float]]:
    """Host numbers per VNode and what they promise to cost, the least first, none twice.

    ``known``: placements to begin with, that keep all amounts.
    """
    if not known:
        return
    rows = np.array([known[i % len(known)] for i in range(AT_ONCE)], np.int64)
    crowd = _Crowd(problem, terms, far)
    dice = np.random.default_rng(1)
    totals = crowd.totals(rows)
    for _ in range(ROUNDS):
        tried = crowd.moved(rows, dice)
        costs = crowd.totals(tried)
        better = costs <= totals
        rows = np.where(better[:, None], tried, rows)
        totals = np.where(better, costs, totals)
    _, first = np.unique(rows, axis=0, return_index=True)
    for row in first[np.argsort(totals[first], kind="stable")]:
        if np.isfinite(totals[row]):
            yield rows[row], float(totals[row])


class _Crowd:
    """Host number ``hosts``: nowhere, where VLinks are free of charge."""

    def __init__(self, problem: Problem, terms: Terms, far: Distances) -> None:
        self._problem, self._hosts = problem, problem.network.hosts
        self._on = terms.on
        place = np.where(problem.fits, terms.place, np.inf)
        self._place = np.hstack([place, np.full((problem.vnodes, 1), np.inf)])
        room = problem.free.host + TOLERANCE * problem.network.capacity.host
        self._room = np.vstack([room, np.full((1, room.shape[1]), np.inf)])
        sizes = problem.need / np.maximum(room.max(axis=0, initial=0.0), 1e-9)
        self._size = sizes.sum(axis=1) / max(sizes.shape[1], 1)
        vlinks = len(problem.ends)
        self._priced = np.zeros((vlinks + 1, self._hosts + 1, self._hosts + 1))
        self._priced[:vlinks, :-1, :-1] = far.priced
        most = max((len(near) for near in problem.neighbours), default=0)
        near = np.full((problem.vnodes, most, 2), (problem.vnodes, vlinks), np.int64)
        for v, pairs in enumerate(problem.neighbours):
            near[v, : len(pairs)] = np.array(pairs, np.int64).reshape(-1, 2)
        self._other, self._vlink = near[:, :, 0], near[:, :, 1]

    def totals(self, rows: Ints) -> Floats:
        """What placements cost; infinite where a VNode is nowhere."""
        problem, vlinks = self._problem, np.arange(len(self._problem.ends))
        total = self._place[np.arange(problem.vnodes), rows].sum(axis=1)
        ends = rows[:, problem.ends]
        total += self._priced[vlinks, ends[:, :, 0], ends[:, :, 1]].sum(axis=1)
        return np.asarray(total + self._used(rows) @ self._on)

    def _used(self, rows: Ints) -> Bools:
        used = np.zeros((len(rows), self._hosts + 1), bool)
        used[np.arange(len(rows))[:, None], rows] = True
        return used[:, :-1]

    def moved(self, rows: Ints, dice: np.random.Generator) -> Ints:
        """With new places for what is on some hosts; nowhere where there is no room."""
        count, vnodes = rows.shape
        emptied = rows[np.arange(count)[:, None], dice.integers(0, vnodes, (count, EMPTIED))]
        lifted = (rows[:, :, None] == emptied[:, None, :]).any(axis=2)
        rows = np.where(lifted, self._hosts, rows)
        left = self._left(rows)
        keys = np.where(lifted, (self._size + 1e-3) * dice.random(rows.shape), -1.0)
        order, lifts = np.argsort(-keys, axis=1), lifted.sum(axis=1)
        for turn in range(int(lifts.max())):
            live = np.flatnonzero(lifts > turn)
            vnode = order[live, turn]
            scores = self._scores(rows[live], vnode, left[live])
            found = np.isfinite(scores.min(axis=1))
            host = np.where(found, scores.argmin(axis=1), self._hosts)
            rows[live, vnode] = host
            left[live, host] -= self._problem.need[vnode]
        return rows

    def _left(self, rows: Ints) -> Floats:
        left = np.repeat(self._room[None], len(rows), axis=0)
        np.subtract.at(left, (np.arange(len(rows))[:, None], rows), self._problem.need[None])
        return left

    def _scores(self, rows: Ints, vnode: Ints, left: Floats) -> Floats:
        """Placements × hosts: what a VNode adds there; infinite where it cannot be."""
        beside = np.hstack([rows, np.full((len(rows), 1), self._hosts)])
        at = beside[np.arange(len(rows))[:, None], self._other[vnode]]
        scores = self._place[vnode] + self._priced[self._vlink[vnode], at].sum(axis=1)
        scores[:, :-1] += np.where(self._used(rows), 0.0, self._on)
        scores[(left < self._problem.need[vnode][:, None]).any(axis=2)] = np.inf
        near, other = np.nonzero(self._problem.apart[vnode] & (rows < self._hosts))
        scores[near, rows[near, other]] = np.inf
        return np.asarray(scores)
