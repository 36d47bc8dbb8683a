"""Calendars: what is promised when, per link and direction, and per port and label.

Exact step functions, half-open windows, one-second grain. These are the truth that an admission
check reads (design, section 6); they hold no policy.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from substrate.levels import Levels
from substrate.model import Profile, Step, Window
from substrate.vlans import EMPTY, VlanSet


class Direction(Enum):
    """IN: into the domain, or along a link as it is written. OUT: the other way."""

    IN = "in"
    OUT = "out"

    # Every look into a calendar hashes a direction, and Enum does that in Python.
    __hash__ = object.__hash__

    @property
    def opposite(self) -> Direction:
        """The other direction."""
        return Direction.OUT if self is Direction.IN else Direction.IN


class Resource(NamedTuple):
    """One direction of a port or link; ``name`` is unique in its domain."""

    name: str
    direction: Direction


class CalendarError(Exception):
    """A hold beyond capacity, or the return of what is not held: a bug of the caller."""


class Calendar:
    """Bandwidth held over time on each resource of a domain; levels in bit/s."""

    def __init__(self, capacities: Mapping[Resource, int]) -> None:
        self.capacities = dict(capacities)
        self._held = {resource: Levels() for resource in self.capacities}

    def free_bps(self, resource: Resource, window: Window) -> int:
        """What is free during the whole window. Raises KeyError for an unknown resource."""
        return self.capacities[resource] - self._held[resource].most(window)

    def profile(self, resource: Resource, window: Window) -> Profile:
        """What is free over the window. Raises KeyError for an unknown resource."""
        capacity = self.capacities[resource]
        return tuple(Step(at, capacity - level) for at, level in self._held[resource].steps(window))

    def add(self, resource: Resource, window: Window, bandwidth_bps: int) -> None:
        """Holds. Raises CalendarError where that exceeds the capacity; nothing changes then."""
        if self.free_bps(resource, window) < bandwidth_bps:
            raise CalendarError(f"{resource.name} {resource.direction.value}: over its capacity")
        self._held[resource].add(window, bandwidth_bps)

    def remove(self, resource: Resource, window: Window, bandwidth_bps: int) -> None:
        """Gives back. Raises CalendarError where less is held; nothing changes then."""
        if self._held[resource].least(window) < bandwidth_bps:
            raise CalendarError(f"{resource.name} {resource.direction.value}: not held")
        self._held[resource].add(window, -bandwidth_bps)

    def is_empty(self) -> bool:
        """Whether nothing at all is held."""
        return not any(map(len, self._held.values()))


class _Taken(NamedTuple):
    start_s: int
    end_s: int
    holder: str


class LabelCalendar:
    """VLANs held over time on each port: by one holder at any instant, as often as it likes."""

    def __init__(self, ranges: Mapping[str, VlanSet]) -> None:
        self.ranges = dict(ranges)
        self._taken: dict[str, dict[int, list[_Taken]]] = {stp: {} for stp in self.ranges}

    def free_vlans(self, stp: str, window: Window, holder: str = "") -> VlanSet:
        """VLANs of the port that nobody but ``holder`` has at any instant of the window."""
        taken = 0
        for vlan, entries in self._taken.get(stp, {}).items():
            if _conflict(entries, window, holder) is not None:
                taken |= 1 << vlan
        return self.ranges.get(stp, EMPTY) - VlanSet(taken)

    def holder(self, stp: str, vlan: int, window: Window, other_than: str = "") -> str | None:
        """Who else has the VLAN at some instant of the window."""
        found = _conflict(self._taken.get(stp, {}).get(vlan, ()), window, other_than)
        return found.holder if found is not None else None

    def take(self, stp: str, vlan: int, window: Window, holder: str) -> None:
        """Holds. Raises CalendarError for a VLAN that is not the port's, or held by another."""
        if vlan not in self.ranges.get(stp, EMPTY):
            raise CalendarError(f"{stp} has no VLAN {vlan}")
        entries = self._taken[stp].setdefault(vlan, [])
        if _conflict(entries, window, holder) is not None:
            raise CalendarError(f"VLAN {vlan} at {stp} is held by another")
        insort(entries, _Taken(window.start_s, window.end_s, holder))

    def give(self, stp: str, vlan: int, window: Window, holder: str) -> None:
        """Gives back one hold. Raises CalendarError for one that is not there."""
        entries = self._taken.get(stp, {}).get(vlan, [])
        entry = _Taken(window.start_s, window.end_s, holder)
        i = bisect_left(entries, entry)
        if i == len(entries) or entries[i] != entry:
            raise CalendarError(f"VLAN {vlan} at {stp} is not held by {holder}")
        del entries[i]
        if not entries:
            del self._taken[stp][vlan]

    def is_empty(self) -> bool:
        """Whether nothing at all is held."""
        return not any(self._taken.values())


def _conflict(entries: Sequence[_Taken], window: Window, holder: str) -> _Taken | None:
    """The last entry of another holder within the window. ``entries`` are sorted.

    Entries of different holders never overlap. So what reaches over an entry that has ended is of
    the same holder, and the search may stop at the second holder whose entry has ended.
    """
    ended: _Taken | None = None
    for i in range(bisect_left(entries, _Taken(window.end_s, 0, "")) - 1, -1, -1):
        entry = entries[i]
        if entry.end_s > window.start_s:
            if entry.holder != holder:
                return entry
        elif ended is None:
            ended = entry
        elif entry.holder != ended.holder:
            return None
    return None
