"""Requests that bend: when a circuit fits, and how wide it may be (volumes: substrate.spreading).

Pure searches over a forecast. What they find is rigid again: windows and bandwidths, each of which
composes over the given routes with what the forecast says is free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from substrate.forecast import Forecast, Levels, Resource
from substrate.labels import Plan, assign_labels
from substrate.legs import by_destination, legs_of, plan_legs
from substrate.model import Criteria, Refusal, Strategy, Window
from substrate.options import Supply, has_vlans
from substrate.routes import Route
from substrate.splitting import compose
from substrate.topology import Topology
from substrate.values import dataclass, replace

BITS = 8
ANY = np.iinfo(np.int64).max
TRIES_MAX = 400
"""Compositions of one search, after which nothing fits any more."""
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
    tries: list[Window] = field(default_factory=list, compare=False)
    """What was composed; about TRIES_MAX, so that nobody keeps the others waiting."""

    def fits(self, bandwidth_bps: int, window: Window) -> bool:
        """Whether that composes, and finds VLANs, with what is free during all of the window."""
        if len(self.tries) >= TRIES_MAX or self.hope_bps(window) < bandwidth_bps:
            return False
        return self.tried(bandwidth_bps, window) is None

    def tried(self, bandwidth_bps: int, window: Window) -> Refusal | None:
        """What keeps that from being composed."""
        criteria = rigid(self.criteria, Phase(window, bandwidth_bps))
        supply = self.forecast.within(window)
        plan = plan_legs(criteria, supply, self.topology, self.plan_leg)
        return plan if isinstance(plan, Refusal) else None

    def plan_leg(self, criteria: Criteria, supply: Supply) -> Plan | Refusal:
        """Composes rigid criteria with one of the destinations."""
        self.tries.append(criteria.window)
        routes = self.own[criteria.destination]
        found = compose(criteria, routes, supply, self.topology)
        if isinstance(found, Refusal):
            return found
        return assign_labels(criteria, found, supply, self.topology)

    @cached_property
    def own(self) -> Mapping[str, tuple[Route, ...]]:
        """The routes to each destination."""
        return by_destination(self.criteria, self.routes)

    @cached_property
    def legs(self) -> tuple[Search, ...]:
        """The search for each leg alone."""
        return tuple(
            replace(self, criteria=leg, routes=self.own[leg.destination], tries=[])
            for leg in legs_of(self.criteria)
        )

    @property
    def paths_max(self) -> int:
        constraints = self.criteria.constraints
        alone = constraints.ero or self.criteria.strategy is Strategy.SINGLE_PATH
        return 1 if alone else constraints.max_paths

    @cached_property
    def limits(self) -> Limits:
        """What limits the routes that are of any use."""
        rows: dict[Resource, int] = {}
        every = (self._limits(route) for route in self.routes)
        routes = [
            np.array([rows.setdefault(resource, len(rows)) for resource in resources])
            for resources in every
            if resources
        ]
        free = np.zeros((len(rows), self.forecast.slots), dtype=np.int64)
        for resource, row in rows.items():
            free[row] = self._free(resource)
        return Limits(routes, free)

    def _free(self, resource: Resource) -> Levels | int:
        """What is free of a resource in each slot, or in all."""
        known, port = self.forecast.of(resource), self.topology.ports.get(str(resource))
        most_bps = int(port.capacity_bps if port is not None else ANY)
        return most_bps if known is None else np.minimum(known, most_bps)

    def hope_bps(self, window: Window) -> int:
        """No more than this fits during all of a window, however it is split."""
        if self.criteria.more_destinations:
            return self._hope_of_legs_bps(window)
        slots, limits = self.forecast.slots_of(window), self.limits
        if not limits.routes:
            return 0
        widest = np.sort(limits.alone[:, slots].min(axis=1))[-self.paths_max :]
        ends = [limits.free[row, slots].min() for row in limits.ends]
        return int(min(widest.sum(), *ends))

    def _hope_of_legs_bps(self, window: Window) -> int:
        """No more than fits of each leg, and together of those that need the same."""
        most_bps = min(leg.hope_bps(window) for leg in self.legs)
        for resource, count in self.shared.items():
            most_bps = min(most_bps, self.free_bps(resource, window) // count)
        return most_bps

    def free_bps(self, resource: Resource, window: Window) -> int:
        """What is free of a resource during all of a window."""
        free = np.broadcast_to(self._free(resource), self.forecast.slots)
        return int(free[self.forecast.slots_of(window)].min())

    @cached_property
    def shared(self) -> Mapping[Resource, int]:
        """What all routes of a leg need, if those of others do so too: how many legs."""
        needed: Counter[Resource] = Counter()
        for leg in self.legs:
            usable = [set(found) for found in map(leg._limits, leg.routes) if found]
            needed.update(set.intersection(*usable) if usable else ())
        return {resource: count for resource, count in needed.items() if count > 1}

    def _limits(self, route: Route) -> list[Resource]:
        """The resources of a route; none where it cannot be used at any time."""
        known, fixed, topology = self.forecast, self.forecast.fixed, self.topology
        found: list[Resource] = []
        for crossing, pair in zip(route.crossings, route.pairs, strict=True):
            told = known.of(pair) is not None
            if crossing.domain in fixed.down or not (told or crossing.domain in topology.blind):
                return []
            if any(stp not in topology.ports for stp in pair):
                return []
            found += [*pair, pair] if told else pair
        usable = has_vlans(route, self.criteria.constraints, fixed, topology)
        return list(dict.fromkeys(found)) if usable else []


@dataclass(frozen=True)
class Limits:
    """``free``: bit/s per slot, one row per resource. ``routes``: the rows of each."""

    routes: list[NDArray[np.intp]]
    free: Levels

    @cached_property
    def alone(self) -> Levels:
        """What each route carries in each slot when it is the only one."""
        alone = np.zeros((len(self.routes), self.free.shape[1]), dtype=np.int64)
        for row, rows in zip(alone, self.routes, strict=True):
            row[:] = self.free[rows].min(axis=0)
        return alone

    @cached_property
    def widest(self) -> list[int]:
        """The routes, those that carry most over all the slots first."""
        order: list[int] = np.argsort(-self.alone.sum(axis=1), kind="stable").tolist()
        return order

    @cached_property
    def ends(self) -> list[np.intp]:
        """The rows that all routes have in common, such as the ports of the user."""
        first, *others = self.routes
        return [row for row in first if all(row in rows for rows in others)]


def rigid(criteria: Criteria, phase: Phase) -> Criteria:
    """Exactly that bandwidth in exactly that window."""
    return replace(criteria, bandwidth_bps=phase.bandwidth_bps, window=phase.window, bend=None)


def soonest(search: Search, bandwidth_bps: int, duration_s: int) -> Window | None:
    """The earliest window within the span in which so much composes."""
    windows = _windows(search.forecast, duration_s)
    return next((window for window in windows if search.fits(bandwidth_bps, window)), None)


def widest(search: Search, window: Window, least_bps: int, wish_bps: int) -> int:
    """The most from ``least_bps`` to ``wish_bps`` that composes in a window; 0: not even that."""
    least_bps = max(1, least_bps, search.criteria.constraints.min_share_bps)
    fails_bps = min(wish_bps, search.hope_bps(window))
    if fails_bps < least_bps:
        return 0
    refusal = search.tried(fails_bps, window)
    if refusal is None:
        return fails_bps
    tries = (bps for bps in (refusal.available_bps or 0, least_bps) if least_bps <= bps < fails_bps)
    fits_bps = next((bps for bps in tries if search.fits(bps, window)), 0)
    if not fits_bps:
        return 0
    fine_bps = max(1, wish_bps // FINENESS)
    # What a refusal says would fit is seldom far from the most.
    next_bps = fits_bps + fine_bps
    while fails_bps - fits_bps > fine_bps:
        if search.fits(next_bps, window):
            fits_bps = next_bps
        else:
            fails_bps = next_bps
        next_bps = (fits_bps + fails_bps) // 2
    return fits_bps


def slide(search: Search, bandwidth_bps: int, least_bps: int, duration_s: int) -> Phase | Shortfall:
    """So long as early as all of it fits; else where the most fits, if that is ``least_bps``."""
    window = soonest(search, bandwidth_bps, duration_s)
    if window is not None:
        return Phase(window, bandwidth_bps)
    windows = [(search.hope_bps(w), w) for w in _windows(search.forecast, duration_s)]
    best: Phase | None = None
    # Where less is of no use it is only told how much about there is.
    tries = len(windows) if least_bps < bandwidth_bps else 1
    for hope_bps, window in sorted(windows, key=lambda hopeful: -hopeful[0])[:tries]:
        if best is None:
            found_bps = widest(search, window, 1, bandwidth_bps)
        elif hope_bps <= best.bandwidth_bps:
            break
        elif search.fits(best.bandwidth_bps + 1, window):
            found_bps = widest(search, window, best.bandwidth_bps + 1, bandwidth_bps)
        else:
            continue
        best = Phase(window, found_bps) if found_bps else best
    most_bps = best.bandwidth_bps if best is not None else 0
    return best if best is not None and most_bps >= least_bps else Shortfall(most_bps)


def _windows(forecast: Forecast, duration_s: int) -> Iterator[Window]:
    """Windows so long within the span, earliest first; one that begins between two has no more."""
    for start_s in forecast.cuts:
        if start_s + duration_s <= forecast.span.end_s:
            yield Window(start_s, start_s + duration_s)
