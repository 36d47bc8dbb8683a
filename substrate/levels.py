"""A step function over time in chunks: checks and holds cost about the same however long it is.

Design, section 6: blocks with lazy adds. A chunk keeps its change points in two arrays of 64-bit
integers; what was added to a whole chunk is one number in the directory, and so are its highest
and its lowest level. Only the chunks at the two ends of a window are looked into.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from substrate.model import Window

CHUNK_MAX = 512
FEW = 24
"""Up to so many levels a loop beats numpy."""

Ints = npt.NDArray[np.int64]
Piece = tuple[int, int, int]
"""A chunk's index, and positions in it: first, and behind the last."""


class Levels:
    """A step function that is 0 before its first change point, and after its last one.

    Times and levels are 64-bit integers. Neighbouring levels differ.
    """

    def __init__(self) -> None:
        # Per chunk, ascending: its change points, their levels, and its first change point.
        self._starts: list[array[int]] = []
        self._levels: list[array[int]] = []
        self._firsts: list[int] = []
        # Per chunk, with room for more: what is to be added to its levels, and the extremes
        # with that.
        self._lazy = np.zeros(4, np.int64)
        self._most = np.zeros(4, np.int64)
        self._least = np.zeros(4, np.int64)

    @classmethod
    def of(cls, starts_s: Ints, ends_s: Ints, amounts: Ints) -> Levels:
        """The sum of amounts, each within its window [start, end): arrays of one length."""
        times, where = np.unique(np.concatenate((starts_s, ends_s)), return_inverse=True)
        changes = np.zeros(len(times), np.int64)
        np.add.at(changes, where, np.concatenate((amounts, -amounts)))
        times, levels = times[changes != 0], np.cumsum(changes[changes != 0])
        found = cls()
        for i, at in enumerate(range(0, len(times), CHUNK_MAX // 2)):
            piece = slice(at, at + CHUNK_MAX // 2)
            found._insert(i, _array(times[piece]), _array(levels[piece]), 0)
        return found

    def __len__(self) -> int:
        """How many change points there are."""
        return sum(map(len, self._starts))

    @property
    def chunks(self) -> int:
        """Into how many chunks they are divided."""
        return len(self._firsts)

    def most(self, window: Window) -> int:
        """The highest level within the window."""
        return max(self._extremes(window, max, self._most))

    def least(self, window: Window) -> int:
        """The lowest level within the window."""
        return min(self._extremes(window, min, self._least))

    def steps(self, window: Window) -> list[tuple[int, int]]:
        """(start, level) from the window's start on; neighbours differ."""
        head, whole, tail = self._pieces(window)
        pieces = [*head, *((i, 0, len(self._starts[i])) for i in whole), *tail]
        found: list[tuple[int, int]] = []
        for i, first, last in pieces:
            lazy = int(self._lazy[i])
            levels = [level + lazy for level in self._levels[i][first:last]]
            found += zip(self._starts[i][first:last], levels, strict=True)
        if not found or found[0][0] > window.start_s:
            return [(window.start_s, 0), *found]
        return [(window.start_s, found[0][1]), *found[1:]]

    def points(self, window: Window) -> int:
        """How many pairs ``steps`` gives, or one less."""
        head, whole, tail = self._pieces(window)
        within = sum(last - first for _, first, last in (*head, *tail))
        return within + sum(len(self._starts[i]) for i in whole)

    def add(self, window: Window, amount: int) -> None:
        """Raises the level by ``amount`` (or lowers it) within the window."""
        self._split(window.start_s)
        self._split(window.end_s)
        head, whole, tail = self._pieces(window)
        for i, first, last in (*head, *tail):
            _add(self._levels[i], first, last, amount)
            self._measure(i)
        if whole:
            for row in (self._lazy, self._most, self._least):
                row[whole.start : whole.stop] += amount
        self._join(window.end_s)
        self._join(window.start_s)

    def _extremes(
        self, window: Window, pick: Callable[[Iterable[int]], int], known: Ints
    ) -> list[int]:
        """Levels within the window, among them the one that ``pick`` would pick of all."""
        head, whole, tail = self._pieces(window)
        found = [0] if not self._firsts or window.start_s < self._firsts[0] else []
        for i, first, last in (*head, *tail):
            found.append(_extreme(self._levels[i], first, last, pick) + int(self._lazy[i]))
        if whole:
            among = known[whole.start : whole.stop]
            found.append(int(among.max() if pick is max else among.min()))
        return found

    def _pieces(self, window: Window) -> tuple[list[Piece], range, list[Piece]]:
        """The levels in force within the window: of the first chunk, whole chunks, of the last."""
        i = max(bisect_right(self._firsts, window.start_s) - 1, 0)
        j = bisect_left(self._firsts, window.end_s) - 1
        if j < 0:
            return [], range(0), []
        first = max(bisect_right(self._starts[i], window.start_s) - 1, 0)
        last = bisect_left(self._starts[j], window.end_s)
        if i == j:
            return [(i, first, last)], range(0), []
        return [(i, first, len(self._starts[i]))], range(i + 1, j), [(j, 0, last)]

    def _split(self, at_s: int) -> None:
        """Makes a change point at that time if there is none."""
        if not self._firsts:
            self._insert(0, array("q", [at_s]), array("q", [0]), 0)
            return
        i = max(bisect_right(self._firsts, at_s) - 1, 0)
        starts, levels = self._starts[i], self._levels[i]
        j = bisect_left(starts, at_s)
        if j < len(starts) and starts[j] == at_s:
            return
        # Only before the first change point of all there is nothing in force.
        levels.insert(j, levels[j - 1] if j else -int(self._lazy[i]))
        starts.insert(j, at_s)
        if not j:
            self._firsts[i] = at_s
            self._measure(i)
        if len(starts) > CHUNK_MAX:
            self._halve(i)

    def _join(self, at_s: int) -> None:
        """Drops the change point at that time where nothing changes."""
        i = bisect_right(self._firsts, at_s) - 1
        starts, levels = self._starts[i], self._levels[i]
        j = bisect_left(starts, at_s)
        here = levels[j] + int(self._lazy[i])
        if j:
            before = levels[j - 1] + int(self._lazy[i])
        else:
            before = self._levels[i - 1][-1] + int(self._lazy[i - 1]) if i else 0
        if here != before:
            return
        del starts[j], levels[j]
        if not starts:
            self._drop(i)
            return
        if not j:
            self._firsts[i] = starts[0]
            self._measure(i)
        if len(starts) < CHUNK_MAX // 8:
            self._merge(min(i, len(self._firsts) - 2))

    def _measure(self, i: int) -> None:
        lazy, levels = int(self._lazy[i]), np.frombuffer(self._levels[i], np.int64)
        self._most[i] = levels.max() + lazy
        self._least[i] = levels.min() + lazy

    def _halve(self, i: int) -> None:
        starts, levels = self._starts[i], self._levels[i]
        middle = len(starts) // 2
        self._insert(i + 1, starts[middle:], levels[middle:], int(self._lazy[i]))
        del starts[middle:], levels[middle:]
        self._measure(i)

    def _merge(self, i: int) -> None:
        """Makes one chunk of two that have become small."""
        if i < 0 or len(self._starts[i]) + len(self._starts[i + 1]) > CHUNK_MAX // 2:
            return
        higher = int(self._lazy[i + 1] - self._lazy[i])
        self._starts[i] += self._starts[i + 1]
        self._levels[i] += array("q", [level + higher for level in self._levels[i + 1]])
        self._drop(i + 1)
        self._measure(i)

    def _insert(self, i: int, starts: array[int], levels: array[int], lazy: int) -> None:
        """A new chunk in the directory."""
        count = len(self._firsts)
        if count == len(self._lazy):
            self._lazy, self._most, self._least = (
                np.concatenate((row, np.zeros(count, np.int64)))
                for row in (self._lazy, self._most, self._least)
            )
        for row in (self._lazy, self._most, self._least):
            row[i + 1 : count + 1] = row[i:count]
        self._starts.insert(i, starts)
        self._levels.insert(i, levels)
        self._firsts.insert(i, starts[0])
        self._lazy[i] = lazy
        self._measure(i)

    def _drop(self, i: int) -> None:
        """An empty chunk leaves the directory."""
        count = len(self._firsts)
        for row in (self._lazy, self._most, self._least):
            row[i : count - 1] = row[i + 1 : count]
        del self._starts[i], self._levels[i], self._firsts[i]


def _add(levels: array[int], first: int, last: int, amount: int) -> None:
    if last - first <= FEW:
        for i in range(first, last):
            levels[i] += amount
    else:
        np.frombuffer(levels, np.int64)[first:last] += amount


def _extreme(
    levels: array[int], first: int, last: int, pick: Callable[[Iterable[int]], int]
) -> int:
    if last - first <= FEW:
        return pick(levels[first:last])
    inside = np.frombuffer(levels, np.int64)[first:last]
    return int(inside.max() if pick is max else inside.min())


def _array(values: Ints) -> array[int]:
    return array("q", values.astype(np.int64).tobytes())
