"""What the members of a joint need over time, added up for each outcome, and kept as parts come
and go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agents.usage import Usage, greatest
from substrate.calendar import Resource
from substrate.levels import Levels
from substrate.model import Window
from substrate.values import replace

OUTCOMES = (True, False)
"""A joint comes, or does not."""
EVER = Window(0, 2**62)

Outcomes = Sequence[Iterable[Usage]]
"""What is needed in each outcome, in the order of OUTCOMES."""


class Sums:
    """Two step functions for each resource, of which at each instant the larger counts.

    ``members``: whose parts are in them.
    """

    def __init__(self, outcomes: Outcomes, members: Iterable[str]) -> None:
        self.members = set(members)
        self._levels: dict[Resource, tuple[Levels, ...]] = {}
        self._add(outcomes, 1)

    def usages(self) -> tuple[Usage, ...]:
        """What counts, at any time."""
        return self.within(EVER)

    def within(self, window: Window) -> tuple[Usage, ...]:
        """What counts within a window."""
        return greatest(self._pieces(number, self._levels, window) for number in (0, 1))

    def without(self, own: Outcomes, may: Sequence[bool], window: Window) -> tuple[Usage, ...]:
        """What would count within a window without a member's ``own`` usages, which lie within
        it, of those outcomes alone that ``may`` come."""
        scenarios = []
        for number, usages in enumerate(own):
            if may[number]:
                less = [replace(usage, bandwidth_bps=-usage.bandwidth_bps) for usage in usages]
                scenarios.append([*self._pieces(number, self._levels, window), *less])
        return greatest(scenarios)

    def change(
        self, old: Outcomes, new: Outcomes, window: Window
    ) -> tuple[list[Usage], list[Usage]]:
        """Takes usages within a window out and puts others in; what counts no more, and what does
        instead."""
        touched = {usage.resource for usages in (*old, *new) for usage in usages}
        before = self._counted(touched, window)
        self._add(old, -1)
        self._add(new, 1)
        after = self._counted(touched, window)
        # Every resource and instant is in each of them once.
        gone, come = set(before) - set(after), set(after) - set(before)
        return [u for u in before if u in gone], [u for u in after if u in come]

    def _counted(self, resources: Iterable[Resource], window: Window) -> tuple[Usage, ...]:
        known = [resource for resource in resources if resource in self._levels]
        return greatest(self._pieces(number, known, window) for number in (0, 1))

    def _add(self, outcomes: Outcomes, sign: int) -> None:
        for number, usages in enumerate(outcomes):
            for usage in usages:
                levels = self._levels.get(usage.resource)
                if levels is None:
                    levels = self._levels[usage.resource] = (Levels(), Levels())
                levels[number].add(usage.window, sign * usage.bandwidth_bps)

    def _pieces(self, number: int, resources: Iterable[Resource], window: Window) -> list[Usage]:
        found = []
        for resource in resources:
            steps = self._levels[resource][number].steps(window)
            ends_s = [at_s for at_s, _ in steps[1:]] + [window.end_s]
            for (start_s, bps), end_s in zip(steps, ends_s, strict=True):
                if bps:
                    found.append(Usage(resource, Window(start_s, end_s), bps))
        return found
