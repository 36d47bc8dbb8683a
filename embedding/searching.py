"""The cheapest placement, by branch and bound over blocks of partial placements.

Ways are priced one by one: that a link must carry several VLinks is left to whoever looks for
paths, so what is proven here holds for every embedding. The bound of a partial placement is that
of Gilmore (1962) and Lawler (1963) for quadratic assignment: each VNode that is not placed costs
its best host with regard to those that are, and half of its VLinks to the others. Of hosts that
are alike only the first is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from embedding.bound import star
from embedding.distances import ROUNDING, Distances, Matrix
from embedding.network import Bools, Floats, Ints
from embedding.objectives import Terms
from embedding.placing import placing_order
from embedding.problem import Problem

ROWS_MAX = 6_000
BLOCK = 256


@dataclass(frozen=True, slots=True)
class Proof:
    """No embedding costs less than ``bound``; ``complete``: all placements were looked at."""

    bound: float
    complete: bool


Offer = Callable[[Ints], float]
"""Takes a placement, looks for paths, and says what the best embedding so far costs."""


def search_placements(
    problem: Problem, terms: Terms, far: Distances, gap: float, best: float, offer: Offer
) -> Proof:
    """For requests whose VNodes do not meet, and objectives without a peak.

    ``far``: exact. ``best``: what is known to be possible. Only what
    would be cheaper by more than ``gap`` is looked for.
    """
    return _Search(problem, terms, far, gap, best, offer).run()


class _Search:
    def __init__(
        self, problem: Problem, terms: Terms, far: Distances, gap: float, best: float, offer: Offer
    ) -> None:
        self._problem, self._priced, self._gap, self._offer = problem, far.priced, gap, offer
        self._base: Floats = np.where(problem.fits, terms.place + terms.on, np.inf)
        self._order = placing_order(problem)
        self._best, self._unroutable, self._rows = best, np.inf, 0
        self._twins = _twins(self._base, far.priced)
        apart = far.least.astype(float)
        np.fill_diagonal(apart, np.inf)
        self._nearest = np.sort(apart, axis=1)[:, : problem.vnodes]

    @property
    def _target(self) -> float:
        return min(self._best * (1 - self._gap * 0.99), self._unroutable)

    def run(self) -> Proof:
        empty = np.full((1, self._problem.vnodes), -1, np.int64)
        stack = [(0, empty, np.zeros(1), np.zeros(1))]
        while stack and self._rows < ROWS_MAX:
            depth, hosts, costs, bounds = stack.pop()
            kept = bounds < self._target
            hosts, costs, bounds = hosts[kept], costs[kept], bounds[kept]
            self._rows += len(hosts)
            if depth == self._problem.vnodes:
                self._arrive(hosts, costs)
            elif len(hosts):
                stack += self._children(depth, hosts, costs)
        open_ = min((float(bounds.min()) for _, _, _, bounds in stack), default=np.inf)
        return Proof(min(self._target, open_) * (1 - ROUNDING), complete=not stack)

    def _arrive(self, hosts: Ints, costs: Floats) -> None:
        for row in np.argsort(costs, kind="stable"):
            if costs[row] < self._target:
                self._best = min(self._best, self._offer(hosts[row]))
                if costs[row] < self._target:
                    self._unroutable = float(costs[row])

    def _children(
        self, depth: int, hosts: Ints, costs: Floats
    ) -> list[tuple[int, Ints, Floats, Floats]]:
        """Blocks with one more VNode placed, the least promising first."""
        vnode = self._order[depth]
        added = self._scores(vnode, hosts) + costs[:, None]
        taken = np.zeros(added.shape, bool)
        taken[np.arange(len(hosts))[:, None], hosts[:, self._order[:depth]]] = True
        added[taken | ((~taken) @ self._twins > 0)] = np.inf
        rows, columns = np.nonzero(added < self._target)
        children = hosts[rows]
        children[:, vnode] = columns
        costs = added[rows, columns]
        bounds = costs.copy()
        for other in self._order[depth + 1 :]:
            best = np.empty(len(children))
            for i in range(0, len(children), 4096):
                scores = self._scores(other, children[i : i + 4096])
                best[i : i + 4096] = (scores + self._half(other, depth)).min(axis=1)
            bounds += best
        order = np.argsort(-bounds, kind="stable")
        order = order[bounds[order] < self._target]
        blocks = [order[i : i + BLOCK] for i in range(0, len(order), BLOCK)]
        return [(depth + 1, children[some], costs[some], bounds[some]) for some in blocks]

    def _half(self, vnode: int, depth: int) -> Floats | float:
        """Per host half of what the VLinks to those behind ``depth`` cost at least."""
        weights = self._problem.weights[vnode, self._order[depth + 1 :]]
        return star(weights.tolist(), self._nearest, distinct=True) / 2

    def _scores(self, vnode: int, hosts: Ints) -> Floats:
        scores = np.repeat(self._base[None, vnode], len(hosts), axis=0)
        for other, vlink in self._problem.neighbours[vnode]:
            if hosts[0, other] >= 0:
                scores += self._priced[vlink][hosts[:, other]]
        return scores


def _twins(base: Floats, priced: Matrix) -> Bools:
    """Hosts × hosts: [a, b] if they are alike for every VNode and VLink, and a is listed first."""
    hosts = base.shape[1]
    twins = np.zeros((hosts, hosts), bool)
    for b in range(hosts):
        alike = np.flatnonzero((base[:, :b] == base[:, b, None]).all(axis=0))
        for ways in priced:
            differing = ways[alike] != ways[b]
            differing[:, b] = differing[np.arange(len(alike)), alike] = False
            alike = alike[~differing.any(axis=1)]
        twins[alike, b] = True
    return twins
