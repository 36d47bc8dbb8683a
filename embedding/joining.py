"""Divisions of VNodes among hosts by dynamic programming over few sets: those of little excess.

Lists of sets are joined host by host and hub by hub; of the same VNodes only the least excess is
kept, and of a list only so many. As excess never gets less (:mod:`embedding.prices`), whatever
comes of what was dropped has at least the excess that it was dropped with: ``dropped`` is a bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from embedding.hubs import Hub
from embedding.network import Floats, Ints

LONGER = 10
"""Lists of what single hosts may have, than others: they are there already."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``excess``: what has more is dropped. ``kept``: the longest list; ``pairs``: joined."""

    excess: float
    kept: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Lists:
    """Sets that differ, the least excess first. ``of``: the lists they are made of, by ``rows``."""

    masks: Ints
    excess: Floats
    host: int = -1
    of: tuple[Lists, ...] = ()
    rows: tuple[Ints, ...] = ()

    def hosts(self, row: int, hosts: Ints) -> None:
        """Fills in the host of each VNode of a set."""
        if self.host >= 0:
            mask = int(self.masks[row])
            hosts[[v for v in range(len(hosts)) if mask >> v & 1]] = self.host
        for part, rows in zip(self.of, self.rows, strict=True):
            part.hosts(int(rows[row]), hosts)

    def some(self, rows: Ints) -> Lists:
        """Only these, in this order."""
        chosen = tuple(one[rows] for one in self.rows)
        return Lists(self.masks[rows], self.excess[rows], self.host, self.of, chosen)


class Joiner:
    """One pass. ``dropped``: the least excess of what was dropped."""

    def __init__(self, masks: Ints, excess: Floats, limits: Limits) -> None:
        self._masks, self._excess, self._limits = masks, excess, limits
        self.dropped = limits.excess

    def whole(self, top: Hub, further: Callable[[Ints], Floats], everything: int) -> Lists:
        """Divisions of ``everything``. ``further``: per set what it costs per reach of a hub."""
        *others, last = self._below(top, further)
        joined = self._all(others)
        if joined is None:
            return last.some(np.flatnonzero(last.masks == everything))
        order = np.argsort(last.masks)
        sorted_ = last.masks[order]
        missing = everything ^ joined.masks
        at = np.minimum(np.searchsorted(sorted_, missing), max(len(sorted_) - 1, 0))
        rows = np.flatnonzero(sorted_[at] == missing) if len(sorted_) else at[:0]
        return self._made(joined, last, rows, order[at[rows]])

    def _below(self, hub: Hub, further: Callable[[Ints], Floats]) -> list[Lists]:
        """Of each branch its list, the longest last."""
        lists = [self._branch(each, further) for each in hub.below]
        return sorted(lists, key=lambda some: len(some.masks))

    def _branch(self, hub: Hub, further: Callable[[Ints], Floats]) -> Lists:
        if hub.host >= 0:
            own = self._excess[hub.host]
            return self._kept(Lists(self._masks, own, hub.host), LONGER * self._limits.kept)
        joined = self._all(self._below(hub, further))
        assert joined is not None
        if not hub.reach:
            return joined
        excess = joined.excess + hub.reach * further(joined.masks)
        rows: Ints = np.arange(len(excess))
        return self._kept(Lists(joined.masks, excess, -1, (joined,), (rows,)), len(rows))

    def _kept(self, lists: Lists, most: int) -> Lists:
        possible = np.isfinite(lists.excess) & (lists.excess <= self._limits.excess)
        order = np.flatnonzero(possible)
        order = order[np.argsort(lists.excess[order], kind="stable")]
        return lists.some(self._first(order, lists.excess, most))

    def _first(self, order: Ints, excess: Floats, most: int) -> Ints:
        if len(order) > most:
            self.dropped = min(self.dropped, float(excess[order[most]]))
        return order[:most]

    def _all(self, lists: list[Lists]) -> Lists | None:
        joined: Lists | None = None
        for some in lists:
            joined = some if joined is None else self._joined(joined, some)
        return joined

    def _joined(self, a: Lists, b: Lists) -> Lists:
        counts = self._counts(a.excess, b.excess)
        rows_a = np.repeat(np.arange(len(counts)), counts)
        rows_b = np.arange(len(rows_a)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = a.masks[rows_a] & b.masks[rows_b] == 0
        rows_a, rows_b = rows_a[kept], rows_b[kept]
        excess = a.excess[rows_a] + b.excess[rows_b]
        most = 4 * self._limits.kept
        if len(excess) > most:
            near = np.argpartition(excess, most)
            self.dropped = min(self.dropped, float(excess[near[most]]))
            near = near[:most]
            rows_a, rows_b = rows_a[near], rows_b[near]
        made = self._made(a, b, rows_a, rows_b)
        _, first = np.unique(made.masks, return_index=True)
        return made.some(self._first(np.sort(first), made.excess, self._limits.kept))

    def _made(self, a: Lists, b: Lists, rows_a: Ints, rows_b: Ints) -> Lists:
        excess = a.excess[rows_a] + b.excess[rows_b]
        order = np.argsort(excess, kind="stable")
        masks = a.masks[rows_a] | b.masks[rows_b]
        made = Lists(masks, excess, -1, (a, b), (rows_a, rows_b))
        return made.some(order)

    def _counts(self, a: Floats, b: Floats) -> Ints:
        """Per row of ``a`` how many of ``b`` it is joined with: those of the least sums."""

        def within(limit: float) -> Ints:
            return np.asarray(np.searchsorted(b, limit - a, "right"))

        counts = within(self._limits.excess)
        if not len(a) or not len(b) or counts.sum() <= self._limits.pairs:
            return counts
        low, high = float(a[0] + b[0]), float(min(self._limits.excess, a[-1] + b[-1]))
        for _ in range(30):
            middle = (low + high) / 2
            if within(middle).sum() > self._limits.pairs:
                high = middle
            else:
                low = middle
        self.dropped = min(self.dropped, low)
        counts = within(low)
        if counts.sum() > self._limits.pairs:
            counts = np.minimum(counts, self._limits.pairs // len(a) + 1)
        return np.asarray(counts)
