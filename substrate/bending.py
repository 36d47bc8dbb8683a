"""Requests that bend: when a circuit fits, how wide it may be, at which rates a volume is moved.

Pure searches over a forecast. What they find is rigid again: windows and bandwidths, each of which
composes over the given routes with what the forecast says is free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from substrate.forecast import Forecast, Levels, Resource
from substrate.model import Criteria, Refusal, Window
from substrate.options import Supply
from substrate.routes import Route
from substrate.splitting import compose
from substrate.topology import Topology

Limits = dict[Resource, Levels]
"""What limits a route: free bit/s in each slot."""
NOTHING: Mapping[Resource, Levels] = MappingProxyType({})
BITS = 8
FINENESS = 1000
"""The most that fits is found to a part in so many of what is wished for."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A window and what is carried in it, bit/s; more than 0."""

    window: Window
    bandwidth_bps: int

    @property
    def bits(self) -> int:
        return self.bandwidth_bps * self.window.duration_s


@dataclass(frozen=True, slots=True)
class Shortfall:
    """It does not fit. ``most``: how many bit/s, or for a volume how many bytes, would."""

    most: int


@dataclass(frozen=True)
class Search:
    """The routes of one request, and what is known to be free on them."""

    criteria: Criteria
    routes: tuple[Route, ...]
    forecast: Forecast
    topology: Topology

    def fits(self, bandwidth_bps: int, window: Window, supply: Supply | None = None) -> bool:
        """Whether that composes with what is free during all of the window."""
        criteria = rigid(self.criteria, Phase(window, bandwidth_bps))
        free = self.forecast.within(window) if supply is None else supply
        return not isinstance(compose(criteria, self.routes, free, self.topology), Refusal)

    @cached_property
    def limits(self) -> list[Limits]:
        """Per usable route, in their order, what is free in each slot of all that limits it."""
        every = (self._limits(route) for route in self.routes)
        return [limits for limits in every if limits is not None]

    @cached_property
    def hopes(self) -> Levels:
        """No more than this fits in each slot, however it is split: every route counts alone."""
        if not self.limits:
            return np.zeros(self.forecast.slots, dtype=np.int64)
        alone: Levels = np.sum([_least(limits) for limits in self.limits], axis=0)
        for stp in (self.criteria.source, self.criteria.destination):
            alone = np.minimum(alone, self.limits[0][stp])
        return alone

    def hope_bps(self, window: Window) -> int:
        """No more than this fits during all of a window."""
        return int(self.hopes[self.forecast.slots_of(window)].min())

    def _limits(self, route: Route) -> Limits | None:
        known, fixed = self.forecast.levels, self.forecast.fixed
        found: Limits = {}
        for crossing, pair in zip(route.crossings, route.pairs, strict=True):
            blind = crossing.domain in self.topology.blind
            if crossing.domain in fixed.down or (pair not in known and not blind):
                return None
            if pair in known:
                found[pair] = known[pair]
            for stp in pair:
                port = self.topology.ports.get(stp)
                if port is None:
                    return None
                free = known.get(stp, np.full(1, port.capacity_bps, dtype=np.int64))
                found[stp] = np.broadcast_to(np.minimum(free, port.capacity_bps), self._shape)
        return found

    @property
    def _shape(self) -> tuple[int]:
        return (self.forecast.slots,)


def rigid(criteria: Criteria, phase: Phase) -> Criteria:
    """Exactly that bandwidth in exactly that window."""
    return replace(criteria, bandwidth_bps=phase.bandwidth_bps, window=phase.window, bend=None)


def soonest(search: Search, bandwidth_bps: int, duration_s: int) -> Window | None:
    """The earliest window within the span in which so much composes."""
    for start_s in _starts(search.forecast, duration_s):
        window = Window(start_s, start_s + duration_s)
        if search.hope_bps(window) < bandwidth_bps:
            continue
        if search.fits(bandwidth_bps, window):
            return window
    return None


def widest(search: Search, window: Window, least_bps: int, wish_bps: int) -> int:
    """The most from ``least_bps`` to ``wish_bps`` that composes in a window; 0: not even that."""
    supply = search.forecast.within(window)
    if search.fits(wish_bps, window, supply):
        return wish_bps
    hope_bps = min(wish_bps, search.hope_bps(window))
    if hope_bps < least_bps or not search.fits(least_bps, window, supply):
        return 0
    if search.fits(hope_bps, window, supply):
        return hope_bps
    fits_bps, fails_bps = least_bps, hope_bps
    while fails_bps - fits_bps > max(1, wish_bps // FINENESS):
        middle_bps = (fits_bps + fails_bps) // 2
        if search.fits(middle_bps, window, supply):
            fits_bps = middle_bps
        else:
            fails_bps = middle_bps
    return fits_bps


def slide(search: Search, bandwidth_bps: int, least_bps: int, duration_s: int) -> Phase | Shortfall:
    """So long as early as all of it fits; else where the most fits, if that is ``least_bps``."""
    window = soonest(search, bandwidth_bps, duration_s)
    if window is not None:
        return Phase(window, bandwidth_bps)
    best: Phase | None = None
    for start_s in _starts(search.forecast, duration_s):
        window = Window(start_s, start_s + duration_s)
        wanted_bps = best.bandwidth_bps + 1 if best is not None else 1
        if search.hope_bps(window) < wanted_bps:
            continue
        found_bps = widest(search, window, wanted_bps, bandwidth_bps)
        if found_bps:
            best = Phase(window, found_bps)
    if best is None or best.bandwidth_bps < least_bps:
        return Shortfall(best.bandwidth_bps if best is not None else 0)
    return best


def spread(
    search: Search, volume_bytes: int, max_phases: int, least_phase_s: int, least_rate_bps: int
) -> tuple[Phase, ...] | Shortfall:
    """Moves a volume as soon as can be, in few phases of at least that length and rate."""
    most_bytes = 0
    while True:
        rates = _rates(search, least_rate_bps)
        moved = rates * search.forecast.lengths_s
        most_bytes = max(most_bytes, int(moved.sum()) // BITS)
        phases = _phases(search, rates, volume_bytes * BITS, least_phase_s, least_rate_bps)
        if phases is not None and len(phases) <= max_phases:
            return phases
        if search.forecast.slots == 1:
            return Shortfall(min(most_bytes, volume_bytes - 1))
        search = replace(search, forecast=search.forecast.coarser())


def _phases(
    search: Search, rates: Levels, bits: int, least_phase_s: int, least_rate_bps: int
) -> tuple[Phase, ...] | None:
    """The first slots that move so much at these rates, joined where one composition serves all.

    None: all of them move less.
    """
    phases: list[Phase] = []
    for rate_bps, window in _moving(search.forecast, rates):
        phase = Phase(window, rate_bps)
        if phase.bits >= bits:
            phase = _last(phase, bits, least_phase_s, least_rate_bps)
        bits -= phase.bits
        joined = Window(phases[-1].window.start_s, phase.window.end_s) if phases else window
        if (
            phases
            and phases[-1].window.end_s == phase.window.start_s
            and phases[-1].bandwidth_bps == phase.bandwidth_bps
            and search.fits(phase.bandwidth_bps, joined)
        ):
            phases[-1] = Phase(joined, phase.bandwidth_bps)
        else:
            phases.append(phase)
        if bits <= 0:
            return tuple(phases)
    return None


def _moving(forecast: Forecast, rates: Levels) -> Iterator[tuple[int, Window]]:
    for i, rate in enumerate(rates.tolist()):
        if rate:
            yield rate, Window(forecast.cuts[i], forecast.cuts[i + 1])


def _last(phase: Phase, bits: int, least_phase_s: int, least_rate_bps: int) -> Phase:
    """No longer than it must be; where that is too short, slower."""
    start_s, rate_bps = phase.window.start_s, phase.bandwidth_bps
    needed_s = max(1, -(-bits // rate_bps))
    length_s = min(max(needed_s, least_phase_s), phase.window.duration_s)
    rate_bps = min(rate_bps, max(least_rate_bps, -(-bits // length_s)))
    if needed_s >= least_phase_s:
        rate_bps = phase.bandwidth_bps
    return Phase(Window(start_s, start_s + length_s), rate_bps)


def _rates(search: Search, least_rate_bps: int) -> Levels:
    """The rate that fits in each slot: over the first routes, or the widest, as many as may be."""
    wide = sorted(search.limits, key=lambda limits: -int(_least(limits).sum()))
    rates = np.maximum(_filled(search, search.limits), _filled(search, wide))
    rates[rates < max(1, least_rate_bps)] = 0
    return rates


def _filled(search: Search, routes: Sequence[Limits]) -> Levels:
    """One route after the other takes what is left on it, in each slot."""
    wish_bps, constraints = search.criteria.bandwidth_bps, search.criteria.constraints
    most = 1 if constraints.ero else constraints.max_paths
    rates, paths = np.zeros((2, search.forecast.slots), dtype=np.int64)
    taken: dict[Resource, Levels] = {}
    for limits in routes:
        left = np.minimum(_least(limits, taken), wish_bps - rates)
        left[(left < max(1, constraints.min_share_bps)) | (paths >= most)] = 0
        rates += left
        paths += left > 0
        for resource in limits:
            taken[resource] = taken.get(resource, 0) + left
    return rates


def _least(limits: Limits, taken: Mapping[Resource, Levels] = NOTHING) -> Levels:
    least: Levels = np.minimum.reduce(
        [levels - taken[key] if key in taken else levels for key, levels in limits.items()]
    )
    return least


def _starts(forecast: Forecast, duration_s: int) -> list[int]:
    """Starts worth a look: something begins to be free, or is over just behind the end."""
    span = forecast.span
    late = (cut - duration_s for cut in forecast.cuts)
    starts = {*forecast.cuts, *late}
    return sorted(s for s in starts if span.start_s <= s <= span.end_s - duration_s)
