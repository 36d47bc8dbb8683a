"""What is held on many resources, by slots of time: a quick bound for searching (design, 6).

The level of a slot counts every hold that touches it for the whole slot. So it is never less than
the exact level at any instant: who finds room here has room. Whether a hold is possible is for the
exact calendar to say.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from substrate.model import Window

SLOT_S = 300
DAY_S = 86_400

Levels = npt.NDArray[np.int64]
"""bit/s."""


class Grid:
    """A matrix of rows by slots, with the highest level of each day.

    Holds of whole days are kept per day; a day has slots only where some hold begins or ends amid
    it.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._first_day = 0
        self._forgotten_s = 0
        # Per row and day: what is held for the whole day, and the day's highest level.
        self._whole: Levels = np.zeros((rows, 0), np.int64)
        self._most: Levels = np.zeros((rows, 0), np.int64)
        self._slots: dict[int, Levels] = {}

    def add(self, row: int, window: Window, amount_bps: int) -> None:
        """Holds, or gives back what is negative: in the same window as it was held."""
        if window.end_s <= self._forgotten_s:
            return
        window = Window(max(window.start_s, self._forgotten_s), window.end_s)
        self._reach(window)
        whole, parts = _days(window)
        columns = slice(whole.start - self._first_day, whole.stop - self._first_day)
        if whole:
            self._whole[row, columns] += amount_bps
            self._most[row, columns] += amount_bps
        for day, slots in parts:
            levels = self._slots.get(day)
            if levels is None:
                levels = self._slots[day] = np.zeros((self._rows, DAY_S // SLOT_S), np.int64)
            levels[row, slots] += amount_bps
            column, highest = day - self._first_day, int(levels[row].max())
            self._most[row, column] = self._whole[row, column] + highest
            if not highest and amount_bps < 0 and not levels.any():
                del self._slots[day]

    def fill(self, row: int, starts_s: Levels, ends_s: Levels, amounts_bps: Levels) -> None:
        """Holds many at once in a row that holds nothing: arrays of one length."""
        if not len(starts_s):
            return
        self._reach(Window(int(starts_s.min()), int(ends_s.max())))
        # As add does: whole days, and the pieces of the day of its start and of that of its end.
        first, end = -(-starts_s // DAY_S), ends_s // DAY_S
        within = first > end
        whole = np.zeros(self._whole.shape[1] + 1, np.int64)
        for days, amounts in ((first, amounts_bps), (end, -amounts_bps)):
            np.add.at(whole, days[~within] - self._first_day, amounts[~within])
        self._whole[row] = np.cumsum(whole)[:-1]
        head = (starts_s < first * DAY_S) & ~within
        tail = (ends_s > end * DAY_S) & ~within
        pieces = (
            (end[within], starts_s[within], ends_s[within], amounts_bps[within]),
            (first[head] - 1, starts_s[head], first[head] * DAY_S, amounts_bps[head]),
            (end[tail], end[tail] * DAY_S, ends_s[tail], amounts_bps[tail]),
        )
        days, from_s, to_s, amounts = (np.concatenate(each) for each in zip(*pieces, strict=True))
        self._fill_slots(row, days, (from_s - days * DAY_S, to_s - days * DAY_S), amounts)

    def _fill_slots(
        self, row: int, days: Levels, spans_s: tuple[Levels, Levels], amounts_bps: Levels
    ) -> None:
        """Amounts, each within a span of a day; then the highest level of every day."""
        names, index = np.unique(days, return_inverse=True)
        changes = np.zeros((len(names), DAY_S // SLOT_S + 1), np.int64)
        np.add.at(changes, (index, spans_s[0] // SLOT_S), amounts_bps)
        np.add.at(changes, (index, -(-spans_s[1] // SLOT_S)), -amounts_bps)
        levels = np.cumsum(changes, axis=1)[:, :-1]
        self._most[row] = self._whole[row]
        self._most[row, names - self._first_day] += levels.max(axis=1, initial=0)
        for day, found in zip(names.tolist(), levels, strict=True):
            if day not in self._slots:
                self._slots[day] = np.zeros((self._rows, DAY_S // SLOT_S), np.int64)
            self._slots[day][row] = found

    def most(self, window: Window) -> Levels:
        """Per row, no less than the highest level at any instant of the window."""
        found = np.zeros(self._rows, np.int64)
        days = range(self._first_day, self._first_day + self._whole.shape[1])
        whole, parts = _days(window)
        whole = range(max(whole.start, days.start), min(whole.stop, days.stop))
        if whole:
            columns = slice(whole.start - self._first_day, whole.stop - self._first_day)
            np.maximum(found, self._most[:, columns].max(axis=1), out=found)
        for day, slots in parts:
            if day not in days:
                continue
            level = self._whole[:, day - self._first_day]
            levels = self._slots.get(day)
            if levels is not None:
                level = level + levels[:, slots].max(axis=1)
            np.maximum(found, level, out=found)
        return found

    def forget(self, before_s: int) -> None:
        """Drops the days that end by then."""
        self._forgotten_s = max(self._forgotten_s, before_s // DAY_S * DAY_S)
        gone = before_s // DAY_S - self._first_day
        if gone <= 0:
            return
        self._whole, self._most = self._whole[:, gone:].copy(), self._most[:, gone:].copy()
        self._first_day += gone
        for day in [day for day in self._slots if day < self._first_day]:
            del self._slots[day]

    def _reach(self, window: Window) -> None:
        """Makes room for the days of a window."""
        first, last = window.start_s // DAY_S, (window.end_s - 1) // DAY_S
        count = self._whole.shape[1]
        if not count:
            self._first_day = first
        before = max(0, self._first_day - first)
        # As many again, so that days that come one by one are not copied each time.
        after = last + 1 - self._first_day - count
        if not before and after <= 0:
            return
        spare = max(after, count) if after > 0 else 0
        widths = ((0, 0), (before, spare))
        self._whole, self._most = np.pad(self._whole, widths), np.pad(self._most, widths)
        self._first_day -= before


def _days(window: Window) -> tuple[range, list[tuple[int, slice]]]:
    """The days that lie in a window, and the slots that it touches of the others."""
    first, end = -(-window.start_s // DAY_S), window.end_s // DAY_S
    if first > end:
        # Amid one day.
        return range(0), [(end, _slots(window, end))]
    parts = []
    if window.start_s < first * DAY_S:
        parts.append((first - 1, _slots(window, first - 1)))
    if window.end_s > end * DAY_S:
        parts.append((end, _slots(window, end)))
    return range(first, end), parts


def _slots(window: Window, day: int) -> slice:
    start_s = max(window.start_s - day * DAY_S, 0)
    end_s = min(window.end_s - day * DAY_S, DAY_S)
    return slice(start_s // SLOT_S, -(-end_s // SLOT_S))
