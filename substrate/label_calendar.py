"""Which VLANs of a port are held when, and by whom.

A sorted list per VLAN is the truth. Beside it, masks tell for every day and hour which VLANs
anybody has: what is free over a window is found in a few words, however many holds there are.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from substrate.calendar import CalendarError
from substrate.model import Window
from substrate.vlans import EMPTY, VlanSet

HOUR_S = 3_600
DAY_S = 24 * HOUR_S


class _Taken(NamedTuple):
    start_s: int
    end_s: int
    holder: str


class LabelCalendar:
    """VLANs held over time on each port: by one holder at any instant, as often as it likes."""

    def __init__(self, ranges: Mapping[str, VlanSet]) -> None:
        self.ranges = dict(ranges)
        self._ports = {stp: _PortLabels() for stp in self.ranges}

    def free_vlans(
        self, stp: str, window: Window, holder: str = "", own: Iterable[int] | None = None
    ) -> VlanSet:
        """VLANs of the port that nobody but ``holder`` has at any instant of the window.

        ``own``: those that ``holder`` has at some time; None: not known, which takes longer.
        """
        port = self._ports.get(stp)
        taken = port.taken(window, holder, own) if port is not None else 0
        return self.ranges.get(stp, EMPTY) - VlanSet(taken)

    def holder(self, stp: str, vlan: int, window: Window, other_than: str = "") -> str | None:
        """Who else has the VLAN at some instant of the window."""
        port = self._ports.get(stp)
        entries = port.entries.get(vlan, ()) if port is not None else ()
        found = _conflict(entries, window, other_than)
        return found.holder if found is not None else None

    def take(self, stp: str, vlan: int, window: Window, holder: str) -> None:
        """Holds. Raises CalendarError for a VLAN that is not the port's, or held by another."""
        if vlan not in self.ranges.get(stp, EMPTY):
            raise CalendarError(f"{stp} has no VLAN {vlan}")
        port = self._ports[stp]
        if _conflict(port.entries.get(vlan, ()), window, holder) is not None:
            raise CalendarError(f"VLAN {vlan} at {stp} is held by another")
        port.take(vlan, _Taken(window.start_s, window.end_s, holder))

    def give(self, stp: str, vlan: int, window: Window, holder: str) -> None:
        """Gives back one hold. Raises CalendarError for one that is not there."""
        port = self._ports.get(stp)
        entry = _Taken(window.start_s, window.end_s, holder)
        if port is None or not port.give(vlan, entry):
            raise CalendarError(f"VLAN {vlan} at {stp} is not held by {holder}")

    def is_empty(self) -> bool:
        """Whether nothing at all is held."""
        return all(port.is_empty() for port in self._ports.values())


class _PortLabels:
    """One port. Masks have bit v for VLAN v; a day or hour without any is left out.

    ``days``: who has it at some instant of the day. ``whole_days``: from its beginning to its end.
    ``hours``: at some instant of the hour, where that is not for a whole day.
    """

    def __init__(self) -> None:
        self.entries: dict[int, list[_Taken]] = {}
        self.days: dict[int, int] = {}
        self.whole_days: dict[int, int] = {}
        self.hours: dict[int, int] = {}

    def is_empty(self) -> bool:
        return not (self.entries or self.days or self.whole_days or self.hours)

    def taken(self, window: Window, holder: str, own: Iterable[int] | None) -> int:
        """The mask of VLANs that others have at some instant of the window."""
        certain, perhaps = self._masks(window)
        for vlan in VlanSet(perhaps & ~certain):
            if _conflict(self.entries[vlan], window, "") is not None:
                certain |= 1 << vlan
        if holder:
            for vlan in VlanSet(certain) if own is None else own:
                if certain >> vlan & 1 and _conflict(self.entries[vlan], window, holder) is None:
                    certain &= ~(1 << vlan)
        return certain

    def take(self, vlan: int, entry: _Taken) -> None:
        insort(self.entries.setdefault(vlan, []), entry)
        bit = 1 << vlan
        for day, piece in _pieces(entry, DAY_S):
            self.days[day] = self.days.get(day, 0) | bit
            if piece == _span(day, DAY_S):
                self.whole_days[day] = self.whole_days.get(day, 0) | bit
                continue
            for hour, _ in _pieces(piece, HOUR_S):
                self.hours[hour] = self.hours.get(hour, 0) | bit

    def give(self, vlan: int, entry: _Taken) -> bool:
        entries = self.entries.get(vlan, [])
        i = bisect_left(entries, entry)
        if i == len(entries) or entries[i] != entry:
            return False
        del entries[i]
        if not entries:
            del self.entries[vlan]
        for day, piece in _pieces(entry, DAY_S):
            self._look_again(vlan, day, piece, list(_overlapping(entries, _span(day, DAY_S))))
        return True

    def _look_again(self, vlan: int, day: int, piece: Window, rest: Sequence[_Taken]) -> None:
        """What the masks of a day tell of a VLAN, once an entry is gone and these are left."""
        bit, whole_day = 1 << vlan, _span(day, DAY_S)
        parts = [entry for entry in rest if not _covers(entry, whole_day)]
        if not rest:
            _clear(self.days, day, bit)
        if len(parts) == len(rest):
            _clear(self.whole_days, day, bit)
        if piece == whole_day:
            return
        for hour, _ in _pieces(piece, HOUR_S):
            span = _span(hour, HOUR_S)
            if not any(e.start_s < span.end_s and span.start_s < e.end_s for e in parts):
                _clear(self.hours, hour, bit)

    def _masks(self, window: Window) -> tuple[int, int]:
        """VLANs that are taken for certain, and those of which only their entries can tell."""
        certain = perhaps = 0
        for day, piece in _pieces(window, DAY_S):
            if piece == _span(day, DAY_S):
                certain |= self.days.get(day, 0)
                continue
            certain |= self.whole_days.get(day, 0)
            for hour, part in _pieces(piece, HOUR_S):
                if part == _span(hour, HOUR_S):
                    certain |= self.hours.get(hour, 0)
                else:
                    perhaps |= self.hours.get(hour, 0)
        return certain, perhaps


def _pieces(window: Window | _Taken, length_s: int) -> Iterator[tuple[int, Window]]:
    """The numbers of the days (or hours) that a window touches, each with its part of it."""
    start_s, end_s = window.start_s, window.end_s
    for number in range(start_s // length_s, (end_s - 1) // length_s + 1):
        first_s = number * length_s
        yield number, Window(max(start_s, first_s), min(end_s, first_s + length_s))


def _span(number: int, length_s: int) -> Window:
    return Window(number * length_s, (number + 1) * length_s)


def _covers(entry: _Taken, window: Window) -> bool:
    return entry.start_s <= window.start_s and window.end_s <= entry.end_s


def _clear(masks: dict[int, int], key: int, bit: int) -> None:
    mask = masks.get(key, 0) & ~bit
    if mask:
        masks[key] = mask
    else:
        masks.pop(key, None)


def _overlapping(entries: Sequence[_Taken], window: Window) -> Iterator[_Taken]:
    """Those with an instant in the window, latest first. ``entries`` are sorted.

    Entries of different holders never overlap. So what reaches over an entry that has ended is of
    the same holder, and the search may stop at the second holder whose entry has ended.
    """
    ended: _Taken | None = None
    for i in range(bisect_left(entries, (window.end_s,)) - 1, -1, -1):
        entry = entries[i]
        if entry.end_s > window.start_s:
            yield entry
        elif ended is None:
            ended = entry
        elif entry.holder != ended.holder:
            return


def _conflict(entries: Sequence[_Taken], window: Window, holder: str) -> _Taken | None:
    """The last entry of another holder within the window."""
    return next((e for e in _overlapping(entries, window) if e.holder != holder), None)
