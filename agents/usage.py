"""What parts of reservations count for in the calendars."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from agents.backends.base import Placement
from substrate.calendar import Resource
from substrate.model import Profile, Step, Window
from substrate.sorting import Ints
from substrate.values import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """A constant amount of a resource during a window."""

    resource: Resource
    window: Window
    bandwidth_bps: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What many parts take at once, each the only live one of its reservation.

    ``claims``: per resource windows and amounts; ``labels``: per port VLANs, windows, and the
    numbers of the reservations. Arrays: the columns of Calendar.fill and LabelCalendar.fill.
    """

    claims: Mapping[Resource, tuple[Ints, Ints, Ints]]
    labels: Mapping[str, tuple[Ints, Ints, Ints, Ints]]
    last_number: int


def envelope(parts: Iterable[tuple[Window, Placement]]) -> tuple[Usage, ...]:
    """What alternatives count for: per resource and instant the most that any of them claims."""
    parts = tuple(parts)
    if len(parts) == 1:
        window, placement = parts[0]
        return tuple([Usage(c.resource, window, c.bandwidth_bps) for c in placement.claims])
    claims: dict[Resource, list[tuple[Window, int]]] = {}
    for window, placement in parts:
        for claim in placement.claims:
            claims.setdefault(claim.resource, []).append((window, claim.bandwidth_bps))
    found = []
    for resource in sorted(claims):
        rows = claims[resource]
        times = sorted({t for window, _ in rows for t in (window.start_s, window.end_s)})
        at = {time_s: i for i, time_s in enumerate(times)}
        most = [0] * len(times)
        # Phases hardly overlap: so each piece is looked at as often as there are versions.
        for window, bps in rows:
            for i in range(at[window.start_s], at[window.end_s]):
                most[i] = max(most[i], bps)
        for (start_s, end_s), bps in zip(itertools.pairwise(times), most, strict=False):
            if bps:
                found.append(Usage(resource, Window(start_s, end_s), bps))
    return tuple(found)


def greatest(scenarios: Iterable[Iterable[Usage]]) -> tuple[Usage, ...]:
    """What is needed whichever scenario comes: per resource and instant the largest sum of one."""
    changes: dict[Resource, list[tuple[int, int, int]]] = {}
    count = 0
    for number, usages in enumerate(scenarios):
        count = number + 1
        for usage in usages:
            of_resource = changes.setdefault(usage.resource, [])
            of_resource.append((usage.window.start_s, number, usage.bandwidth_bps))
            of_resource.append((usage.window.end_s, number, -usage.bandwidth_bps))
    found = []
    for resource in sorted(changes, key=lambda r: (r.name, r.direction.value)):
        sums = [0] * count
        steps = sorted(changes[resource])
        for (at_s, number, change_bps), after in itertools.pairwise([*steps, (steps[-1][0], 0, 0)]):
            sums[number] += change_bps
            if after[0] > at_s and max(sums) > 0:
                found.append(Usage(resource, Window(at_s, after[0]), max(sums)))
    return tuple(found)


def raised(profile: Profile, usages: Iterable[Usage], window: Window) -> Profile:
    """The profile of a window with what usages take put back; of one less than 0, taken off."""
    changes: dict[int, int] = {}
    for usage in usages:
        start_s, end_s = max(usage.window.start_s, window.start_s), usage.window.end_s
        changes[start_s] = changes.get(start_s, 0) + usage.bandwidth_bps
        if end_s < window.end_s:
            changes[end_s] = changes.get(end_s, 0) - usage.bandwidth_bps
    levels = {step.start_s: step.bandwidth_bps for step in profile}
    steps: list[Step] = []
    level = more = 0
    for at_s in sorted({*levels, *changes}):
        level, more = levels.get(at_s, level), more + changes.get(at_s, 0)
        if not steps or steps[-1].bandwidth_bps != level + more:
            steps.append(Step(at_s, level + more))
    return tuple(steps)
