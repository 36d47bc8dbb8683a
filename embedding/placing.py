"""Where VNodes might go: many placements at once, built greedily and improved, as matrix
arithmetic.

Every host that the first VNode fits on begins a placement of its own. VNodes follow in order of
their bandwidth to those placed, each to the host where it adds least; then each in turn is taken
up and put where it is best now. Ways are priced by :mod:`embedding.distances`: links that several
VLinks share are looked at only when paths are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from embedding.distances import Distances
from embedding.network import Floats, Ints
from embedding.objectives import Terms
from embedding.problem import TOLERANCE, Problem

STARTS = 128
KEPT = 12
SWEEPS = 3
SWEEPS_THOROUGH = 12

Scores = NDArray[np.float32]


def placements(
    problem: Problem,
    terms: Terms,
    far: Distances,
    known: Sequence[Ints] = (),
    *,
    thorough: bool = False,
) -> Iterator[tuple[Ints, float]]:
    """Host numbers per VNode and what they promise to cost, the least first, none twice.

    ``known``: placements to be improved too. ``thorough``: from all starts, and by swaps, for
    VNodes that do not meet; ten times slower.
    """
    order = placing_order(problem)
    crowd = _Crowd(problem, terms, far, _starts(problem, terms, order[0]), order[0])
    for vnode in order[1:]:
        crowd.put(vnode)
    crowd.keep_best(STARTS if thorough else KEPT)
    for hosts in known:
        crowd.join(hosts)
    if not len(crowd.total):
        return
    for _ in range(SWEEPS_THOROUGH if thorough else SWEEPS):
        before = crowd.total.copy()
        for vnode in order:
            crowd.put(vnode)
        if thorough:
            for a, b in combinations(order, 2):
                crowd.swap(a, b)
        crowd.reckon()
        same = len(crowd.total) == len(before)
        if same and (crowd.total >= before * (1 - 1e-6)).all():
            break
    seen: set[tuple[int, ...]] = set()
    for row in np.argsort(crowd.total, kind="stable"):
        key = tuple(crowd.hosts[row].tolist())
        if key not in seen:
            seen.add(key)
            yield crowd.hosts[row], float(crowd.total[row])


def placing_order(problem: Problem) -> list[int]:
    """The VNode with the most bandwidth first, then always the one with most to those before it."""
    weights = problem.weights + np.where(problem.weights > 0, 1e-9, 0)
    for a, b in problem.ends.tolist():
        weights[a, b] = weights[b, a] = max(weights[a, b], 1e-9)
    total, to_placed = weights.sum(axis=1), np.zeros(problem.vnodes)
    rarity = -problem.fits.sum(axis=1)
    order: list[int] = []
    left = set(range(problem.vnodes))
    while left:
        best = max(left, key=lambda v: (to_placed[v], total[v], rarity[v], -v))
        order.append(best)
        left.remove(best)
        to_placed = to_placed + weights[best]
    return order


def _starts(problem: Problem, terms: Terms, vnode: int) -> Ints:
    """Hosts for the first VNode: cheap ones with much room for its VLinks first, at most STARTS."""
    hosts = np.flatnonzero(problem.fits[vnode])
    keys = np.lexsort((-problem.ports[hosts], (terms.place[vnode] + terms.on)[hosts]))
    return hosts[keys[:STARTS]]


class _Crowd:
    """Placements × VNodes: hosts, -1 where none yet; what is left of each host in each of them."""

    def __init__(
        self, problem: Problem, terms: Terms, far: Distances, starts: Ints, first: int
    ) -> None:
        self.problem, self.far = problem, far
        self.hosts: Ints = np.full((len(starts), problem.vnodes), -1, np.int64)
        self.total: Floats = np.zeros(len(starts))
        self.shares = problem.request.shares_hosts
        self.place = _place(problem, terms)
        self.on = terms.on.astype(np.float32) if terms.on.any() else None
        self.room = problem.free.host + TOLERANCE * problem.network.capacity.host
        self.left = np.repeat(self.room[None], len(starts), axis=0) if self.shares else None
        self._settle(first, starts)

    def reckon(self) -> None:
        """Brings ``total`` up to date."""
        self.total = self._totals()

    def keep_best(self, count: int) -> None:
        """Only so many of the best, without those that have no way for a VLink."""
        self.reckon()
        best = np.argsort(self.total, kind="stable")[:count]
        best = best[np.isfinite(self.total[best])]
        self.hosts, self.total = self.hosts[best], self.total[best]
        if self.left is not None:
            self.left = self.left[best]

    def join(self, hosts: Ints) -> None:
        """One more placement, of all VNodes."""
        self.hosts = np.vstack([self.hosts, hosts])
        if self.left is not None:
            left = self.room.copy()
            np.subtract.at(left, hosts, self.problem.need)
            self.left = np.concatenate([self.left, left[None]])
        self.reckon()

    def put(self, vnode: int) -> None:
        """In every placement, to the best host beside the others; from another, if need be."""
        if not len(self.hosts):
            return
        self._lift(vnode)
        scores = self._scores(vnode)
        best = np.argmin(scores, axis=1)
        found = np.isfinite(scores[np.arange(len(best)), best])
        self._settle(vnode, np.where(found, best, -1))
        if not found.all():
            self._keep(found)

    def swap(self, a: int, b: int) -> None:
        """Exchanges the hosts of two VNodes in every placement that gets better by it."""
        at_a, at_b = self.hosts[:, a].copy(), self.hosts[:, b].copy()
        gain = self._alone(a, b, at_a) + self._alone(b, a, at_b)
        gain = gain - self._alone(a, b, at_b) - self._alone(b, a, at_a)
        better = gain > 1e-6 * np.abs(self.total)
        self.hosts[better, a], self.hosts[better, b] = at_b[better], at_a[better]

    def _alone(self, vnode: int, without: int, at: Ints) -> Floats:
        """Per placement what a VNode costs there, but for its VLinks to one other."""
        total = self.place[vnode, at].astype(float)
        if self.on is not None:
            total += self.on[at]
        for other, vlink in self.problem.neighbours[vnode]:
            if other != without:
                total += self.far.priced[vlink][at, self.hosts[:, other]]
        return np.asarray(total, float)

    def _keep(self, rows: NDArray[np.bool_]) -> None:
        self.hosts, self.total = self.hosts[rows], self.total[rows]
        if self.left is not None:
            self.left = self.left[rows]

    def _lift(self, vnode: int) -> None:
        here = self.hosts[:, vnode]
        if self.left is not None:
            rows = np.flatnonzero(here >= 0)
            self.left[rows, here[rows]] += self.problem.need[vnode]
        self.hosts[:, vnode] = -1

    def _settle(self, vnode: int, hosts: Ints) -> None:
        self.hosts[:, vnode] = hosts
        if self.left is not None:
            rows = np.flatnonzero(hosts >= 0)
            self.left[rows, hosts[rows]] -= self.problem.need[vnode]

    def _scores(self, vnode: int) -> Scores:
        """Placements × hosts: what the VNode adds there; infinite where it cannot be."""
        scores = np.repeat(self.place[None, vnode], len(self.hosts), axis=0)
        rows = np.arange(len(self.hosts))
        for other, vlink in self.problem.neighbours[vnode]:
            at = self.hosts[:, other]
            if at[0] >= 0:
                scores += self.far.priced[vlink][at]
        if self.on is not None:
            extra = np.repeat(self.on[None], len(self.hosts), axis=0)
            for other in range(self.problem.vnodes):
                if self.hosts[0, other] >= 0:
                    extra[rows, self.hosts[:, other]] = 0
            scores += extra
        for other in np.flatnonzero(self.problem.apart[vnode]).tolist():
            if self.hosts[0, other] >= 0:
                scores[rows, self.hosts[:, other]] = np.inf
        if self.left is not None:
            short = (self.left < self.problem.need[vnode]).any(axis=2)
            scores[short] = np.inf
        return scores

    def _totals(self) -> Floats:
        hosts, ends = self.hosts, self.problem.ends
        total = self.place[np.arange(self.problem.vnodes), hosts].sum(axis=1, dtype=float)
        if len(ends):
            ways = self.far.priced[np.arange(len(ends)), hosts[:, ends[:, 0]], hosts[:, ends[:, 1]]]
            total += ways.sum(axis=1)
        if self.on is not None:
            on = np.zeros((len(hosts), len(self.on)), bool)
            on[np.arange(len(hosts))[:, None], hosts] = True
            total += on @ self.on
        return np.asarray(total, float)


def _place(problem: Problem, terms: Terms) -> Scores:
    """VNodes × hosts: the price of a place, with what the VNode does to it; infinite if unfit."""
    place = terms.place + terms.peak * problem.share_after if terms.peak else terms.place
    return np.where(problem.fits, place, np.inf).astype(np.float32)
