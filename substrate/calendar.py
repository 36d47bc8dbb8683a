"""Calendars: what is promised when, per link and direction.

Exact step functions, half-open windows, one-second grain. These are the truth that an admission
check reads (design, section 6); they hold no policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from substrate.levels import Levels
from substrate.model import Profile, Step, Window


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

    def size(self) -> int:
        """How many change points there are, over all resources."""
        return sum(map(len, self._held.values()))

    def is_empty(self) -> bool:
        """Whether nothing at all is held."""
        return not any(map(len, self._held.values()))
