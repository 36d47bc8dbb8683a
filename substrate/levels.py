"""A step function over time in chunks: checks and holds cost about the same however long it is.

Design, section 6: blocks with lazy adds. A chunk keeps its change points in two arrays of 64-bit
integers; what was added to a whole chunk is one number in the directory, and so are its highest
and its lowest level, which are found when somebody asks for several chunks. Only the chunks at the
two ends of a window are looked into.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable

import numpy as np

from substrate.model import Window
from substrate.sorting import Ints, order_of

CHUNK_MAX = 512
FEW = 24
"""Up to so many levels a loop beats numpy."""
STALE_MAX = 32
"""Extremes of so many chunks may wait to be found, so that who asks never waits for long."""

Piece = tuple[int, int, int]
"""A chunk's index, and positions in it: first, and behind the last."""
LAZY, MOST, LEAST = range(3)


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
        self._chunks = np.zeros((3, 4), np.int64)
        # Chunks whose extremes are to be found first.
        self._stale: set[int] = set()
        # What was asked for last: who asks mostly adds next.
        self._asked: tuple[Window, Piece | None] | None = None

    @classmethod
    def of(cls, starts_s: Ints, ends_s: Ints, amounts: Ints) -> Levels:
        """The sum of amounts, each within its window [start, end): arrays of one length."""
        times = np.concatenate((starts_s, ends_s))
        order = order_of(times)
        times, levels = times[order], np.cumsum(np.concatenate((amounts, -amounts))[order])
        last = np.append(times[1:] != times[:-1], len(times) > 0)[: len(times)]
        times, levels = times[last], levels[last]
        differs = np.diff(levels, prepend=0) != 0
        times, levels = times[differs], levels[differs]
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

    def highest(self) -> int:
        """The highest level of all; 0 where there is none."""
        self._refresh()
        return int(self._chunks[MOST, : self.chunks].max(initial=0))

    def most(self, window: Window) -> int:
        """The highest level within the window."""
        within = self._within(window)
        self._asked = window, within
        if within is not None:
            i, first, last = within
            levels = self._levels[i]
            most = levels[first] if last - first == 1 else _highest(levels, first, last)
            return most + self._chunks.item(LAZY, i)
        return self._extreme(window, MOST)

    def least(self, window: Window) -> int:
        """The lowest level within the window."""
        return self._extreme(window, LEAST)

    def steps(self, window: Window) -> list[tuple[int, int]]:
        """(start, level) from the window's start on; neighbours differ."""
        head, whole, tail = self._pieces(window)
        pieces = [*head, *((i, 0, len(self._starts[i])) for i in whole), *tail]
        found: list[tuple[int, int]] = []
        for i, first, last in pieces:
            lazy = self._chunks.item(LAZY, i)
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
        if not amount:
            return
        asked, self._asked = self._asked, None
        known = asked is not None and asked[0] is window
        within = asked[1] if asked is not None and known else self._within(window)
        if within is not None and self._splice(*within, window, amount):
            return
        new_start, new_end = self._split(window.start_s), self._split(window.end_s)
        head, whole, tail = self._pieces(window)
        for i, first, last in (*head, *tail):
            _add(self._levels[i], first, last, amount)
            self._touch(i)
        if whole:
            self._chunks[:, whole.start : whole.stop] += amount
        # Where a change point is new there was one level, and now there are two.
        if not new_end:
            self._join(window.end_s)
        if not new_start:
            self._join(window.start_s)

    def _extreme(self, window: Window, row: int) -> int:
        """The highest level within the window (MOST), or the lowest (LEAST)."""
        head, whole, tail = self._pieces(window)
        pick, reduce = _PICKS[row]
        found = [0] if not self._firsts or window.start_s < self._firsts[0] else []
        for i, first, last in (*head, *tail):
            lazy = self._chunks.item(LAZY, i)
            if last - first <= FEW:
                found.append(pick(self._levels[i][first:last]) + lazy)
            else:
                found.append(int(reduce(_seen(self._levels[i], first, last))) + lazy)
        if whole:
            self._refresh()
            found.append(int(reduce(self._chunks[row, whole.start : whole.stop])))
        return pick(found)

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

    def _within(self, window: Window) -> Piece | None:
        """The levels in force within the window, if one chunk has them all, as mostly."""
        start_s, end_s = window.start_s, window.end_s
        i = bisect_right(self._firsts, start_s) - 1
        if i < 0 or (i + 1 < len(self._firsts) and self._firsts[i + 1] <= end_s):
            return None
        starts = self._starts[i]
        first = bisect_right(starts, start_s) - 1
        return i, first, bisect_left(starts, end_s, first)

    def _splice(self, i: int, first: int, last: int, window: Window, amount: int) -> bool:
        """Adds to levels of a chunk; False, and nothing done, where that concerns more than them.

        As :meth:`add` does step by step: divides, adds, and joins what has become equal.
        """
        starts, levels = self._starts[i], self._levels[i]
        begins = starts[first] == window.start_s
        ends = last < len(starts) and starts[last] == window.end_s
        if begins and first and last - first == 1:
            # As mostly: windows begin and end at round times, or where the one before has ended.
            level, before = levels[first] + amount, levels[first - 1]
            if ends and before != level != levels[last]:
                levels[first] = level
                self._touch(i)
                return True
            if level == before and not ends:
                starts[first] = window.end_s
                self._touch(i)
                return True
        thin = len(self._firsts) > 1 and len(starts) < CHUNK_MAX // 8 + 2
        if (begins and not first) or thin or len(starts) + 2 > CHUNK_MAX or last - first > FEW:
            return False
        start = first if begins else first + 1
        after = levels[last - 1]
        times, raised = starts[first:last], [level + amount for level in levels[first:last]]
        times[0] = window.start_s
        if raised[0] == levels[start - 1]:
            del times[0], raised[0]
        if not ends:
            times.append(window.end_s)
            raised.append(after)
        elif levels[last] == after + amount:
            last += 1
        starts[start:last], levels[start:last] = times, array("q", raised)
        self._touch(i)
        return True

    def _split(self, at_s: int) -> bool:
        """Makes a change point at that time; False where there is one already."""
        if not self._firsts:
            self._insert(0, array("q", [at_s]), array("q", [0]), 0)
            return True
        i = max(bisect_right(self._firsts, at_s) - 1, 0)
        starts, levels = self._starts[i], self._levels[i]
        j = bisect_left(starts, at_s)
        if j < len(starts) and starts[j] == at_s:
            return False
        # Only before the first change point of all there is nothing in force.
        levels.insert(j, levels[j - 1] if j else -self._chunks.item(LAZY, i))
        starts.insert(j, at_s)
        if not j:
            self._firsts[i] = at_s
            self._touch(i)
        if len(starts) > CHUNK_MAX:
            self._halve(i)
        return True

    def _join(self, at_s: int) -> None:
        """Drops the change point at that time where nothing changes."""
        i = bisect_right(self._firsts, at_s) - 1
        starts, levels = self._starts[i], self._levels[i]
        j = bisect_left(starts, at_s)
        lazy = self._chunks.item(LAZY, i)
        if j:
            before = levels[j - 1] + lazy
        else:
            before = self._levels[i - 1][-1] + self._chunks.item(LAZY, i - 1) if i else 0
        if levels[j] + lazy != before:
            return
        del starts[j], levels[j]
        if not starts:
            self._drop(i)
            return
        if not j:
            self._firsts[i] = starts[0]
            self._touch(i)
        if len(starts) < CHUNK_MAX // 8:
            self._merge(min(i, len(self._firsts) - 2))

    def _touch(self, i: int) -> None:
        """Its levels have changed: the extremes of a chunk are to be found again."""
        self._stale.add(i)
        if len(self._stale) > STALE_MAX:
            self._refresh()

    def _refresh(self) -> None:
        """Finds the extremes that are not known."""
        for i in self._stale:
            lazy, levels = self._chunks.item(LAZY, i), self._levels[i]
            if len(levels) <= FEW:
                most, least = max(levels), min(levels)
            else:
                seen = np.frombuffer(levels, np.int64)
                most, least = int(np.maximum.reduce(seen)), int(np.minimum.reduce(seen))
            self._chunks[MOST, i], self._chunks[LEAST, i] = most + lazy, least + lazy
        self._stale.clear()

    def _halve(self, i: int) -> None:
        starts, levels = self._starts[i], self._levels[i]
        middle = len(starts) // 2
        self._insert(i + 1, starts[middle:], levels[middle:], self._chunks.item(LAZY, i))
        del starts[middle:], levels[middle:]
        self._touch(i)

    def _merge(self, i: int) -> None:
        """Makes one chunk of two that have become small."""
        if i < 0 or len(self._starts[i]) + len(self._starts[i + 1]) > CHUNK_MAX // 2:
            return
        higher = int(self._chunks[LAZY, i + 1] - self._chunks[LAZY, i])
        self._starts[i] += self._starts[i + 1]
        self._levels[i] += array("q", [level + higher for level in self._levels[i + 1]])
        self._drop(i + 1)
        self._touch(i)

    def _insert(self, i: int, starts: array[int], levels: array[int], lazy: int) -> None:
        """A new chunk in the directory."""
        self._refresh()
        count = len(self._firsts)
        if count == self._chunks.shape[1]:
            self._chunks = np.pad(self._chunks, ((0, 0), (0, count)))
        self._chunks[:, i + 1 : count + 1] = self._chunks[:, i:count]
        self._starts.insert(i, starts)
        self._levels.insert(i, levels)
        self._firsts.insert(i, starts[0])
        self._chunks[LAZY, i] = lazy
        self._touch(i)

    def _drop(self, i: int) -> None:
        """A chunk leaves the directory."""
        self._stale.discard(i)
        self._refresh()
        count = len(self._firsts)
        self._chunks[:, i : count - 1] = self._chunks[:, i + 1 : count]
        del self._starts[i], self._levels[i], self._firsts[i]


_PICKS: dict[int, tuple[Callable[[Iterable[int]], int], Callable[[Ints], np.int64]]] = {
    MOST: (max, np.maximum.reduce),
    LEAST: (min, np.minimum.reduce),
}


def _highest(levels: array[int], first: int, last: int) -> int:
    if last - first <= FEW:
        return max(levels[first:last])
    return int(np.maximum.reduce(_seen(levels, first, last)))


def _add(levels: array[int], first: int, last: int, amount: int) -> None:
    if last - first <= FEW:
        for i in range(first, last):
            levels[i] += amount
    else:
        seen = _seen(levels, first, last)
        seen += amount


def _seen(levels: array[int], first: int, last: int) -> Ints:
    """Levels as numpy sees them, without a copy; not to be kept while the array grows."""
    return np.frombuffer(levels, np.int64, last - first, first * levels.itemsize)


def _array(values: Ints) -> array[int]:
    return array("q", values.astype(np.int64).tobytes())
