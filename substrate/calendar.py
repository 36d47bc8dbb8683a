"""Calendars: what is promised when, per link and direction.

Exact step functions, half-open windows, one-second grain. These are the truth that an admission
check reads (design, section 6); they hold no policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from substrate.grid import Grid
from substrate.levels import Levels
from substrate.model import Profile, Step, Window
from substrate.sorting import Ints


class Direction(StrEnum):
    """IN: into the domain, or along a link as it is written. OUT: the other way.

    Text, so that resources are hashed, ordered and stored as they are.
    """

    IN = "in"
    OUT = "out"

    @property
    def opposite(self) -> Direction:
        """The other direction."""
        return Direction.OUT if self is Direction.IN else Direction.IN


class Resource(NamedTuple):
    """One direction of a port or link; ``name`` is unique in its domain."""

    name: str
    direction: Direction


DETAIL_STEPS = 1000
"""So many are worth their time where what is free is looked at closely."""
OUTLINE_STEPS = 48
"""Half hours, when a day is asked for."""


class CalendarError(Exception):
    """A hold beyond capacity, or the return of what is not held: a bug of the caller."""


class Calendar:
    """Bandwidth held over time on each resource of a domain; levels in bit/s."""

    def __init__(
        self, capacities: Mapping[Resource, int], searched: Iterable[Resource] = ()
    ) -> None:
        """``searched``: those of which ``at_least`` knows, which costs each hold a little."""
        self.capacities = dict(capacities)
        self._held = {resource: Levels() for resource in self.capacities}
        self._rows = {resource: row for row, resource in enumerate(searched)}
        self._grid = Grid(len(self._rows))
        self._whole = np.array([self.capacities[each] for each in self._rows], np.int64)

    def free_bps(self, resource: Resource, window: Window) -> int:
        """What is free during the whole window. Raises KeyError for an unknown resource."""
        return self.capacities[resource] - self._held[resource].most(window)

    def profile(self, resource: Resource, window: Window) -> Profile:
        """What is free over the window. Raises KeyError for an unknown resource."""
        capacity = self.capacities[resource]
        return tuple(Step(at, capacity - level) for at, level in self._held[resource].steps(window))

    def outline(self, resource: Resource, window: Window) -> Profile:
        """As ``profile``, but where that is long: the least of each of OUTLINE_STEPS equal times.

        Quick, however much is held; over the whole window the least is the same.
        """
        if self._held[resource].points(window) <= OUTLINE_STEPS:
            return self.profile(resource, window)
        piece_s = -(-window.duration_s // OUTLINE_STEPS)
        steps: list[Step] = []
        for start_s in range(window.start_s, window.end_s, piece_s):
            piece = Window(start_s, min(start_s + piece_s, window.end_s))
            free_bps = self.free_bps(resource, piece)
            if not steps or steps[-1].bandwidth_bps != free_bps:
                steps.append(Step(start_s, free_bps))
        return tuple(steps)

    def detail(self, resource: Resource, window: Window) -> Profile:
        """As ``profile`` where that has at most DETAIL_STEPS, else as ``outline``."""
        if self._held[resource].points(window) <= DETAIL_STEPS:
            return self.profile(resource, window)
        return self.outline(resource, window)

    def add(self, resource: Resource, window: Window, bandwidth_bps: int) -> None:
        """Holds. Raises CalendarError where that exceeds the capacity; nothing changes then."""
        if self.free_bps(resource, window) < bandwidth_bps:
            raise CalendarError(f"{resource.name} {resource.direction}: over its capacity")
        self.add_checked(resource, window, bandwidth_bps)

    def remove(self, resource: Resource, window: Window, bandwidth_bps: int) -> None:
        """Gives back. Raises CalendarError where less is held; nothing changes then."""
        if self._held[resource].least(window) < bandwidth_bps:
            raise CalendarError(f"{resource.name} {resource.direction}: not held")
        self.add_checked(resource, window, -bandwidth_bps)

    def fill(self, resource: Resource, starts_s: Ints, ends_s: Ints, bandwidths_bps: Ints) -> None:
        """Holds many at once where nothing is held: arrays of one length.

        Raises KeyError for an unknown resource, CalendarError where that exceeds the capacity.
        """
        levels = Levels.of(starts_s, ends_s, bandwidths_bps)
        if levels.highest() > self.capacities[resource]:
            raise CalendarError(f"{resource.name} {resource.direction}: over its capacity")
        self._held[resource] = levels
        row = self._rows.get(resource)
        if row is not None:
            self._grid.fill(row, starts_s, ends_s, bandwidths_bps)

    def at_least(self, window: Window) -> dict[Resource, int]:
        """Of each searched resource what is certainly free during the whole window.

        Quick, however many there are and however much is held; a little less than ``free_bps``
        where holds begin or end near the window's ends.
        """
        free: list[int] = (self._whole - self._grid.most(window)).tolist()
        return dict(zip(self._rows, free, strict=True))

    def forget(self, before_s: int) -> None:
        """Lets ``at_least`` forget whole days that are over by then."""
        self._grid.forget(before_s)

    def add_checked(self, resource: Resource, window: Window, bandwidth_bps: int) -> None:
        """As :meth:`add`, for who has asked ``free_bps`` since the last change."""
        self._held[resource].add(window, bandwidth_bps)
        row = self._rows.get(resource)
        if row is not None:
            self._grid.add(row, window, bandwidth_bps)

    def size(self) -> int:
        """How many change points there are, over all resources."""
        return sum(map(len, self._held.values()))

    def is_empty(self) -> bool:
        """Whether nothing at all is held."""
        return not any(map(len, self._held.values()))


def outlined(profile: Profile, window: Window) -> Profile:
    """The least of each of OUTLINE_STEPS equal times of a profile that has more steps."""
    if len(profile) <= OUTLINE_STEPS:
        return profile
    piece_s = -(-window.duration_s // OUTLINE_STEPS)
    least: dict[int, int] = {}
    for step, end_s in zip(profile, [*(s.start_s for s in profile[1:]), window.end_s], strict=True):
        first = (step.start_s - window.start_s) // piece_s
        for piece in range(first, -(-(end_s - window.start_s) // piece_s)):
            least[piece] = min(least.get(piece, step.bandwidth_bps), step.bandwidth_bps)
    return tuple(
        Step(window.start_s + piece * piece_s, least_bps) for piece, least_bps in least.items()
    )
