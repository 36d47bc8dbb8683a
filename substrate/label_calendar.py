"""Which VLANs of a port are held when, and by whom.

Sorted arrays per VLAN are the truth. Beside them, masks tell for every day and hour which VLANs
anybody has: what is free over a window is found in a few words, however many holds there are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from substrate.calendar import CalendarError
from substrate.model import Window
from substrate.sorting import Ints, order_of, ranges
from substrate.vlans import EMPTY, VLAN_MAX, VlanSet

HOUR_S = 3_600
DAY_S = 24 * HOUR_S
NOBODY = 0
VLAN_BITS = VLAN_MAX.bit_length()
TOGETHER = 1 << 15
"""So many holds are marked at once: more would not fit into a processor's cache."""


class LabelCalendar:
    """VLANs held over time on each port: by one holder at any instant, as often as it likes.

    A holder is a number above NOBODY.
    """

    def __init__(self, ranges: Mapping[str, VlanSet]) -> None:
        self.ranges = dict(ranges)
        self._ports = {stp: _PortLabels() for stp in self.ranges}

    def free_vlans(
        self, stp: str, window: Window, holder: int = NOBODY, own: Iterable[int] | None = None
    ) -> VlanSet:
        """VLANs of the port that nobody but ``holder`` has at any instant of the window.

        ``own``: those that ``holder`` has at some time; None: not known, which takes longer.
        """
        port = self._ports.get(stp)
        taken = port.taken(window, holder, own) if port is not None else 0
        return self.ranges.get(stp, EMPTY) - VlanSet(taken)

    def holder(self, stp: str, vlan: int, window: Window, other_than: int = NOBODY) -> int | None:
        """Who else has the VLAN at some instant of the window."""
        port = self._ports.get(stp)
        entries = port.entries.get(vlan) if port is not None else None
        return None if entries is None else entries.conflict(window, other_than)

    def take(self, stp: str, vlan: int, window: Window, holder: int) -> None:
        """Holds. Raises CalendarError for a VLAN that is not the port's, or held by another."""
        if vlan not in self.ranges.get(stp, EMPTY):
            raise CalendarError(f"{stp} has no VLAN {vlan}")
        if self.holder(stp, vlan, window, holder) is not None:
            raise CalendarError(f"VLAN {vlan} at {stp} is held by another")
        self.take_checked(stp, vlan, window, holder)

    def take_checked(self, stp: str, vlan: int, window: Window, holder: int) -> None:
        """As :meth:`take`, for who has asked for the ``holder`` since the last change."""
        self._ports[stp].take(vlan, window, holder)

    def give(self, stp: str, vlan: int, window: Window, holder: int) -> None:
        """Gives back one hold. Raises CalendarError for one that is not there."""
        port = self._ports.get(stp)
        if port is None or not port.give(vlan, window, holder):
            raise CalendarError(f"VLAN {vlan} at {stp} is not held by {holder}")

    def fill(self, stp: str, vlans: Ints, starts_s: Ints, ends_s: Ints, holders: Ints) -> None:
        """Holds many at once on a port that holds nothing: arrays of one length.

        Raises CalendarError as :meth:`take`, and where one holder has a VLAN twice at a time.
        """
        allowed = np.array(list(self.ranges.get(stp, EMPTY)), np.int64)
        if not np.isin(vlans, allowed).all():
            raise CalendarError(f"{stp} has not all of the VLANs")
        columns = [column[order_of(starts_s)] for column in (vlans, starts_s, ends_s, holders)]
        if not self._ports[stp].fill(*columns):
            raise CalendarError(f"VLANs at {stp} are held twice")

    def is_empty(self) -> bool:
        """Whether nothing at all is held."""
        return all(port.is_empty() for port in self._ports.values())


@dataclass(slots=True)
class _Entries:
    """The holds of one VLAN, in order; those of one start are of one holder."""

    starts_s: array[int]
    ends_s: array[int]
    holders: array[int]

    @classmethod
    def of(cls, *columns: Ints) -> _Entries:
        return cls(*(array("q", column.tobytes()) for column in columns))

    def add(self, window: Window, holder: int) -> None:
        i, entry = bisect_left(self.starts_s, window.start_s), (window.end_s, holder)
        while i < len(self.starts_s) and self.starts_s[i] == window.start_s:
            if (self.ends_s[i], self.holders[i]) >= entry:
                break
            i += 1
        self.starts_s.insert(i, window.start_s)
        self.ends_s.insert(i, window.end_s)
        self.holders.insert(i, holder)

    def remove(self, window: Window, holder: int) -> bool:
        i = bisect_left(self.starts_s, window.start_s)
        wanted = (window.start_s, window.end_s, holder)
        while i < len(self.starts_s) and self.starts_s[i] == window.start_s:
            if (self.starts_s[i], self.ends_s[i], self.holders[i]) == wanted:
                del self.starts_s[i], self.ends_s[i], self.holders[i]
                return True
            i += 1
        return False

    def conflict(self, window: Window, holder: int) -> int | None:
        """Another holder that has it at some instant of the window."""
        for i in self.overlapping(window.start_s, window.end_s):
            if self.holders[i] != holder:
                return self.holders[i]
        return None

    def overlapping(self, start_s: int, end_s: int) -> Iterator[int]:
        """Those with an instant in a window, latest first.

        Entries of different holders never overlap. So what reaches over an entry that has ended is
        of the same holder, and the search may stop at the second holder whose entry has ended.
        """
        ended: int | None = None
        for i in range(bisect_left(self.starts_s, end_s) - 1, -1, -1):
            if self.ends_s[i] > start_s:
                yield i
            elif ended is None:
                ended = self.holders[i]
            elif self.holders[i] != ended:
                return


class _PortLabels:
    """One port. Masks have bit v for VLAN v; a day or hour without any is left out.

    ``days``: who has it at some instant of the day. ``whole_days``: from its beginning to its end.
    ``hours``: at some instant of the hour, where that is not for a whole day.
    """

    def __init__(self) -> None:
        self.entries: dict[int, _Entries] = {}
        self.days: dict[int, int] = {}
        self.whole_days: dict[int, int] = {}
        self.hours: dict[int, int] = {}

    def is_empty(self) -> bool:
        return not (self.entries or self.days or self.whole_days or self.hours)

    def taken(self, window: Window, holder: int, own: Iterable[int] | None) -> int:
        """The mask of VLANs that others have at some instant of the window."""
        certain, perhaps = self._masks(window)
        for vlan in VlanSet(perhaps & ~certain):
            if self.entries[vlan].conflict(window, NOBODY) is not None:
                certain |= 1 << vlan
        if holder:
            for vlan in VlanSet(certain) if own is None else own:
                if certain >> vlan & 1 and self.entries[vlan].conflict(window, holder) is None:
                    certain &= ~(1 << vlan)
        return certain

    def take(self, vlan: int, window: Window, holder: int) -> None:
        entries = self.entries.get(vlan)
        if entries is None:
            self.entries[vlan] = _Entries(
                array("q", (window.start_s,)), array("q", (window.end_s,)), array("q", (holder,))
            )
        else:
            entries.add(window, holder)
        bit, start_s, end_s = 1 << vlan, window.start_s, window.end_s
        # Without _pieces, as each hold comes by here.
        for day in range(start_s // DAY_S, (end_s - 1) // DAY_S + 1):
            begin_s, over_s = day * DAY_S, (day + 1) * DAY_S
            self.days[day] = self.days.get(day, 0) | bit
            if start_s <= begin_s and over_s <= end_s:
                self.whole_days[day] = self.whole_days.get(day, 0) | bit
                continue
            for hour in range(
                max(start_s, begin_s) // HOUR_S, (min(end_s, over_s) - 1) // HOUR_S + 1
            ):
                self.hours[hour] = self.hours.get(hour, 0) | bit

    def fill(self, vlans: Ints, starts_s: Ints, ends_s: Ints, holders: Ints) -> bool:
        """In the order of their starts; False, and nothing done, where two of a VLAN overlap."""
        order = order_of(vlans)
        sorted_vlans = vlans[order]
        columns = [column[order] for column in (starts_s, ends_s, holders)]
        same = sorted_vlans[1:] == sorted_vlans[:-1]
        if (same & (columns[0][1:] < columns[1][:-1])).any():
            return False
        for vlan, first, last in _runs(sorted_vlans):
            self.entries[vlan] = _Entries.of(*(column[first:last] for column in columns))
        # Of those that begin at about one time, which have the same days and hours.
        for at in range(0, len(vlans), TOGETHER):
            piece = slice(at, at + TOGETHER)
            self._mark(vlans[piece], starts_s[piece], ends_s[piece])
        return True

    def _mark(self, vlans: Ints, starts_s: Ints, ends_s: Ints) -> None:
        """Adds holds to the masks."""
        days, number = ranges(starts_s // DAY_S, (ends_s - 1) // DAY_S + 1)
        _unite(self.days, days, vlans[number])
        from_s = np.maximum(starts_s[number], days * DAY_S)
        to_s = np.minimum(ends_s[number], (days + 1) * DAY_S)
        whole = to_s - from_s == DAY_S
        _unite(self.whole_days, days[whole], vlans[number[whole]])
        from_s, to_s, number = from_s[~whole], to_s[~whole], number[~whole]
        hours, piece = ranges(from_s // HOUR_S, (to_s - 1) // HOUR_S + 1)
        _unite(self.hours, hours, vlans[number[piece]])

    def give(self, vlan: int, window: Window, holder: int) -> bool:
        entries = self.entries.get(vlan)
        if entries is None or not entries.remove(window, holder):
            return False
        for day, start_s, end_s in _pieces(window.start_s, window.end_s, DAY_S):
            self._look_again(vlan, day, start_s, end_s)
        if not entries.starts_s:
            del self.entries[vlan]
        return True

    def _look_again(self, vlan: int, day: int, start_s: int, end_s: int) -> None:
        """What the masks of a day tell of a VLAN, once an entry is gone from that piece of it."""
        bit, entries = 1 << vlan, self.entries[vlan]
        first_s, last_s = day * DAY_S, (day + 1) * DAY_S
        rest = [
            (entries.starts_s[i], entries.ends_s[i]) for i in entries.overlapping(first_s, last_s)
        ]
        parts = [each for each in rest if not (each[0] <= first_s and last_s <= each[1])]
        if not rest:
            _clear(self.days, day, bit)
        if len(parts) == len(rest):
            _clear(self.whole_days, day, bit)
        if end_s - start_s == DAY_S:
            return
        for hour in range(start_s // HOUR_S, (end_s - 1) // HOUR_S + 1):
            begin_s, over_s = hour * HOUR_S, (hour + 1) * HOUR_S
            if not any(start < over_s and begin_s < end for start, end in parts):
                _clear(self.hours, hour, bit)

    def _masks(self, window: Window) -> tuple[int, int]:
        """VLANs that are taken for certain, and those of which only their entries can tell."""
        certain = perhaps = 0
        for day, start_s, end_s in _pieces(window.start_s, window.end_s, DAY_S):
            if end_s - start_s == DAY_S:
                certain |= self.days.get(day, 0)
                continue
            certain |= self.whole_days.get(day, 0)
            for hour, from_s, to_s in _pieces(start_s, end_s, HOUR_S):
                if to_s - from_s == HOUR_S:
                    certain |= self.hours.get(hour, 0)
                else:
                    perhaps |= self.hours.get(hour, 0)
        return certain, perhaps


def _pieces(start_s: int, end_s: int, length_s: int) -> Iterator[tuple[int, int, int]]:
    """The numbers of the days (or hours) that a window touches, each with its part of it."""
    for number in range(start_s // length_s, (end_s - 1) // length_s + 1):
        first_s = number * length_s
        yield number, max(start_s, first_s), min(end_s, first_s + length_s)


def _runs(values: Ints) -> Iterator[tuple[int, int, int]]:
    """Each value of a sorted array, with where it begins and ends."""
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], len(values) > 0)) + 1
    bounds = [0, *ends.tolist()]
    return zip(values[ends - 1].tolist(), bounds[:-1], bounds[1:], strict=True)


def _unite(masks: dict[int, int], numbers: Ints, vlans: Ints) -> None:
    """Adds to the mask of each number its VLANs."""
    codes = np.sort(numbers << VLAN_BITS | vlans)
    numbers, vlans = codes >> VLAN_BITS, codes & (1 << VLAN_BITS) - 1
    for name, first, last in _runs(numbers):
        bits = np.zeros(1 << VLAN_BITS, np.bool_)
        bits[vlans[first:last]] = True
        mask = int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
        masks[name] = masks.get(name, 0) | mask


def _clear(masks: dict[int, int], key: int, bit: int) -> None:
    mask = masks.get(key, 0) & ~bit
    if mask:
        masks[key] = mask
    else:
        masks.pop(key, None)
