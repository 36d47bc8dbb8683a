"""What is known to be free over a span of time, slot by slot: a Supply that changes.

Offers carry profiles. Here they are laid on common slots, each with the least that is free in it,
so that what fits a slot fits every instant of it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from substrate.model import Profile, Window
from substrate.options import Pair, Supply
from substrate.values import dataclass, replace

SLOTS_MAX = 192
"""More instants of change than this are rounded to a grid of so many slots."""

Resource = str | Pair
"""A port, or the way between two ports of a domain."""
Levels = NDArray[np.int64]


@dataclass(frozen=True)
class Forecast:
    """Free bandwidth per slot; slot i lasts from ``cuts[i]`` to ``cuts[i + 1]``, in seconds.

    ``levels``: bit/s in each slot, one row per resource. ``fixed``: what does not change with time;
    its own bandwidths are the least over the whole span.
    """

    cuts: tuple[int, ...]
    resources: tuple[Resource, ...]
    levels: Levels
    fixed: Supply

    @property
    def span(self) -> Window:
        return Window(self.cuts[0], self.cuts[-1])

    @property
    def slots(self) -> int:
        return len(self.cuts) - 1

    @property
    def lengths_s(self) -> Levels:
        """Seconds of each slot."""
        lengths: Levels = np.diff(np.array(self.cuts, dtype=np.int64)).astype(np.int64)
        return lengths

    def slots_of(self, window: Window) -> slice:
        """The slots that a window within the span touches."""
        first = bisect_right(self.cuts, window.start_s) - 1
        return slice(max(first, 0), bisect_left(self.cuts, window.end_s))

    def rows(self, resources: Iterable[Resource]) -> list[int]:
        """Where their levels are; -1 where nothing is known."""
        return [self._rows.get(resource, -1) for resource in resources]

    def of(self, resource: Resource) -> Levels | None:
        """What is free of a resource in each slot; None where nothing is known of it."""
        row = self._rows.get(resource)
        return None if row is None else self.levels[row]

    @cached_property
    def _rows(self) -> Mapping[Resource, int]:
        return {resource: row for row, resource in enumerate(self.resources)}

    def within(self, window: Window) -> Supply:
        """What is free during all of a window."""
        free = self.levels[:, self.slots_of(window)].min(axis=1).tolist()
        least = dict(zip(self.resources, free, strict=True))
        pair_bps = {key: bps for key, bps in least.items() if isinstance(key, tuple)}
        caps = self.fixed.caps
        return replace(
            self.fixed,
            pair_bps=pair_bps,
            port_bps={key: bps for key, bps in least.items() if isinstance(key, str)},
            # Of a blind domain's pairs nothing else counts.
            caps={**caps, **{key: min(bps, caps.get(key, bps)) for key, bps in pair_bps.items()}},
        )

    def until(self, end_s: int) -> Forecast:
        """Only what begins before ``end_s``, a time within the span."""
        count = self.slots_of(Window(self.cuts[0], end_s)).stop
        return replace(self, cuts=(*self.cuts[:count], end_s), levels=self.levels[:, :count])

    def since(self, start_s: int) -> Forecast:
        """Only what ends after ``start_s``, a time within the span."""
        first = self.slots_of(Window(start_s, self.cuts[-1])).start
        cuts = (start_s, *self.cuts[first + 1 :])
        return replace(self, cuts=cuts, levels=self.levels[:, first:])

    def then(self, later: Forecast) -> Forecast:
        """With what is known of the same resources in a span that begins where this one ends."""
        vlans = {**self.fixed.port_vlans, **later.fixed.port_vlans}
        for stp in self.fixed.port_vlans.keys() & later.fixed.port_vlans.keys():
            vlans[stp] = self.fixed.port_vlans[stp] & later.fixed.port_vlans[stp]
        return replace(
            self,
            cuts=(*self.cuts, *later.cuts[1:]),
            levels=np.hstack((self.levels, later.levels)),
            fixed=replace(self.fixed, port_vlans=vlans),
        )

    def mean(self, window: Window, most_bps: int) -> Forecast:
        """One slot, in which on average so much is free as in the window, of ``most_bps``."""
        slots = self.slots_of(window)
        edges = np.clip(self.cuts[slots.start : slots.stop + 1], window.start_s, window.end_s)
        lengths_s = np.diff(edges).astype(float)
        useful = np.minimum(self.levels[:, slots], most_bps).astype(float)
        # Rounded up: what a place carries is not to be told too low.
        levels = np.ceil(useful @ lengths_s / lengths_s.sum()).astype(np.int64).reshape(-1, 1)
        return replace(self, cuts=(window.start_s, window.end_s), levels=levels)

    def coarser(self) -> Forecast:
        """With half as many slots."""
        at = np.arange(0, self.slots, 2)
        levels = np.minimum.reduceat(self.levels, at, axis=1)
        return replace(self, cuts=(*(self.cuts[i] for i in at), self.cuts[-1]), levels=levels)

    def capped(self, caps: Iterable[tuple[Resource, Window, int]]) -> Forecast:
        """With no more than so many bit/s at a port, or between two, during a window: what was
        refused."""
        caps = list(caps)
        found = self.cut_at({at_s for _, w, _ in caps for at_s in (w.start_s, w.end_s)})
        for resource, window, most_bps in caps:
            if resource in found._rows:
                part = found.levels[found._rows[resource], found.slots_of(window)]
                np.minimum(part, most_bps, out=part)
        return found

    def cut_at(self, instants: Iterable[int]) -> Forecast:
        """A copy that is cut at these instants too, as far as they lie within the span."""
        inside = (s for s in instants if self.cuts[0] < s < self.cuts[-1])
        cuts = sorted({*self.cuts, *inside})
        slots = [bisect_right(self.cuts, start_s) - 1 for start_s in cuts[:-1]]
        return replace(self, cuts=tuple(cuts), levels=self.levels[:, slots])


def forecast(
    span: Window,
    fixed: Supply,
    profiles: Mapping[Resource, Profile],
    *,
    also: Iterable[int] = (),
    least_slot_s: int = 1,
) -> Forecast:
    """Lays profiles of the span on slots, cut where any changes and at the instants ``also``.

    No slot is shorter than ``least_slot_s``, if the span is not.
    """
    cuts = _cuts(span, profiles.values(), also, least_slot_s)
    starts = np.array(cuts[:-1], dtype=np.int64)
    rows = [_least(profile, starts, span.end_s) for profile in profiles.values()]
    levels = np.stack(rows) if rows else np.zeros((0, len(starts)), dtype=np.int64)
    return Forecast(cuts, tuple(profiles), levels, fixed)


def _cuts(
    span: Window, profiles: Iterable[Profile], also: Iterable[int], least_slot_s: int
) -> tuple[int, ...]:
    changing = (profile for profile in profiles if len(profile) > 1)
    instants = {step.start_s for profile in changing for step in profile} | set(also)
    inside = sorted(s for s in instants if span.start_s < s < span.end_s)
    apart = np.diff(np.array([span.start_s, *inside, span.end_s], dtype=np.int64))
    if len(inside) >= SLOTS_MAX or apart.min() < least_slot_s:
        count = max(1, min(SLOTS_MAX, span.duration_s // max(1, least_slot_s)))
        inside = [span.start_s + span.duration_s * i // count for i in range(1, count)]
    return (span.start_s, *inside, span.end_s)


def _least(profile: Profile, starts: Levels, end_s: int) -> Levels:
    """The least level of a profile within each slot."""
    if len(profile) < 2:
        return np.full(len(starts), profile[0].bandwidth_bps if profile else 0, dtype=np.int64)
    at = np.array([step.start_s for step in profile], dtype=np.int64)
    bps = np.array([step.bandwidth_bps for step in profile], dtype=np.int64)
    # A slot has the level that lasts at its start, and every one that begins inside it.
    instants = np.union1d(at[(at > starts[0]) & (at < end_s)], starts)
    at_instants = bps[np.maximum(np.searchsorted(at, instants, side="right") - 1, 0)]
    least: Levels = np.minimum.reduceat(at_instants, np.searchsorted(instants, starts))
    return least
