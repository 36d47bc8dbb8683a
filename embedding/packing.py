"""Requests of more VNodes than all sets can be looked at of: the sets that fit somewhere.

Prices of VNodes (:mod:`embedding.prices`) say which sets are any good on a host, and bound what
all cost; sets of little excess are joined down the tree of hubs (:mod:`embedding.joining`). What
comes out is proven where little had to be dropped, as in :mod:`embedding.grouping`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from embedding.distances import ROUNDING, Distances, Matrix
from embedding.hubs import Hub, around_one, host_reaches, hub_trees
from embedding.joining import Joiner, Limits, Lists
from embedding.network import Bools, Floats, Ints
from embedding.objectives import Terms
from embedding.prices import Prices, best_prices, prices_at
from embedding.problem import Problem
from embedding.rules import broken
from embedding.sets import Sets, leaving, members

PASSES = (300, 60_000), (1_000, 100_000), (4_000, 400_000)
"""Kept and joined at once: in the first pass, in others, in the last; none after a small gap."""
HOSTS = 20
"""Of more hosts less is joined at once."""
LEANINGS = (0.2, 0.1, 0.05, 0.3)
"""Of the average price: what more a VNode is worth as it is large, in further passes."""
NEAR = 0.008
"""Such a gap, as a share."""
COMPARED_MAX = 40
"""Divisions of all VNodes of which real ways are compared."""


class Packing:
    """Cheap sets of VNodes on hosts, in a tree and as ways really are."""

    def __init__(self, problem: Problem, terms: Terms, least: Matrix, sets: Sets) -> None:
        self._problem, self._terms, self._sets = problem, terms, sets
        self._everything = (1 << problem.vnodes) - 1
        self._found: Lists | None = None
        self._bound = self._on_bound() if self._covered() else math.inf
        if self._bound < math.inf:
            ways = least.astype(float) if terms.link.any() else np.zeros(least.shape)
            # Where hosts are what costs, they must not be joined hub by hub.
            trees = (around_one(ways),) if terms.on.any() else hub_trees(ways)
            costs = [self._costs(tree) for tree in trees]
            prices = [self._prices(some) for some in costs]
            best = max(range(len(trees)), key=lambda i: prices[i].bound)
            self._join(trees[best], costs[best], prices[best])

    def _covered(self) -> bool:
        return bool((self._sets.bits[self._sets.on_some].sum(axis=0) > 0).all())

    def _costs(self, tree: Hub) -> Floats:
        """Hosts × sets: places, the host itself, the way to its hub; infinite where it may not."""
        sets = self._sets
        costs = sets.places(self._terms)
        costs += host_reaches(tree, len(costs))[:, None] * sets.out
        return np.where(sets.possible, costs, np.inf)

    def _prices(self, costs: Floats) -> Prices:
        """The goal is what VNodes cost alone, or where they can be."""
        bits, least = self._sets.bits, costs.min(axis=0)[:, None]
        alone = np.where((bits > 0) & (bits.sum(axis=1) == 1)[:, None], least, np.inf).min(axis=0)
        some = np.where(bits > 0, least, np.inf).min(axis=0)
        goal = np.where(np.isfinite(alone), alone, some)
        return best_prices(costs, bits, float(goal.sum()))

    def _on_bound(self) -> float:
        """Where all hosts that are not on yet cost the same, no part of one can be on."""
        priced = np.unique(self._terms.on[self._terms.on > 0])
        if len(priced) != 1:
            return 0.0
        costs = np.where(self._sets.possible, self._terms.on[:, None], np.inf)
        costs[:, 0] = 0.0
        hosts = self._prices(costs).bound / float(priced[0])
        return math.ceil(hosts - ROUNDING) * float(priced[0])

    def _join(self, tree: Hub, costs: Floats, prices: Prices) -> None:
        """Joins sets, with other prices where that may say more.

        At the best prices the fullest hosts come first, and small room is left for large VNodes;
        at prices that lean to these not.
        """
        most = np.maximum(self._problem.free.host.max(axis=0), 1e-9)
        size = (self._problem.need / most).max(axis=1, initial=0.0)
        unit = float(prices.each.sum()) / max(float(size.sum()), 1e-9)
        best = self._pass(tree, prices, math.inf, PASSES[0])
        for leaning in LEANINGS if self._terms.on.any() or best == math.inf else ():
            if self._bound < best * (1 - NEAR):
                each = prices.each + leaning * unit * size
                leant = prices_at(costs, self._sets.bits, each)
                best = self._pass(tree, leant, best, PASSES[1])
        if best == math.inf and self._too_little(self._sets.possible):
            self._bound = math.inf
        elif self._bound < best * (1 - NEAR):
            self._pass(tree, prices, best, PASSES[2])

    def _pass(self, tree: Hub, prices: Prices, best: float, most: tuple[int, int]) -> float:
        """What the best division costs that is known then."""

        def further(masks: Ints) -> Floats:
            return leaving(members(masks, self._problem.vnodes), self._problem)

        kept, pairs = most
        pairs = pairs * HOSTS // max(len(prices.excess), HOSTS)
        limits = Limits(best * (1 - NEAR) - prices.bound, kept, pairs)
        joiner = Joiner(self._sets.masks, prices.excess, limits)
        found = joiner.whole(tree, further, self._everything)
        if len(found.excess):
            self._found, best = found, prices.bound + float(found.excess[0])
        self._bound = max(self._bound, min(prices.bound + joiner.dropped, best))
        return best

    @property
    def bound(self) -> float:
        """What no embedding costs less than, but for its peak; infinite if there is none."""
        return self._bound * (1 - ROUNDING)

    def best(self, far: Distances) -> Ints | None:
        """Of the cheapest placements found in the tree that of the cheapest real ways."""
        found: tuple[float, Ints] | None = None
        for row in range(min(len(self._found.masks), COMPARED_MAX) if self._found else 0):
            assert self._found is not None
            hosts: Ints = np.full(self._problem.vnodes, -1, np.int64)
            self._found.hosts(row, hosts)
            if any(broken(self._problem, hosts.tolist())):
                continue
            costs = self._real(hosts, far)
            if found is None or costs < found[0]:
                found = costs, hosts
        return None if found is None else found[1]

    def _real(self, hosts: Ints, far: Distances) -> float:
        problem, terms = self._problem, self._terms
        total = float(terms.place[np.arange(len(hosts)), hosts].sum())
        total += float(terms.on[np.unique(hosts)].sum())
        ends = hosts[problem.ends]
        ways = far.priced[np.arange(len(ends)), ends[:, 0], ends[:, 1]]
        return total + float(ways[ends[:, 0] != ends[:, 1]].sum(dtype=float))

    def peak(self) -> float:
        """The share of something that is taken at least, in whichever embedding."""
        shares = self._sets.shares(self._problem)
        least = float(shares[:, 0].max())
        levels = np.unique(shares[np.isfinite(shares)])
        levels = levels[levels >= least]
        low, high = 0, len(levels) - 1
        while low < high:
            middle = (low + high) // 2
            if self._too_little(shares <= levels[middle] * (1 + ROUNDING)):
                low = middle + 1
            else:
                high = middle
        return float(levels[low])

    def _too_little(self, possible: Bools) -> bool:
        """Whether VNodes are proven to be left over, were hosts to take such sets only."""
        costs = np.where(possible, 0.0, np.inf)
        return best_prices(costs, self._sets.bits, 1.0, 1.0, 1e-3).bound >= 1e-3

    def search(
        self, far: Distances, gap: float, best: float, offer: Callable[[Ints], float]
    ) -> float:
        """What no embedding costs less than: nothing more than in the tree."""
        return self.bound
