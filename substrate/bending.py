"""Requests that bend: when a circuit fits, and how wide it may be (volumes: substrate.spreading).

Pure searches over a forecast. What they find is rigid again: windows and bandwidths, each of which
composes over the given routes with what the forecast says is free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from functools import cached_property

import numpy as np

from substrate.filling import fill
from substrate.forecast import Forecast, Resource
from substrate.labels import Plan, assign_labels, plan_over
from substrate.legs import PlanLeg, by_destination, legs_of, plan_legs
from substrate.model import Criteria, Profile, Refusal, RefusalKind, Step, Strategy, Window
from substrate.options import Labelled, Options, Supply
from substrate.places import ANY, Limits, Places
from substrate.remembered import Remembered
from substrate.routes import Route
from substrate.splitting import Effort, Shares, composed
from substrate.tolls import Load, Tariff, carried_bits, load_of_paths, load_of_shares, toll_of
from substrate.topology import Topology
from substrate.values import dataclass, replace

BITS = 8
WIDE = 1 << 50
"""bit/s; more than any request. Sums over routes and slots stay far below 64 bits."""
EFFORT = 4000
"""Sets of routes that one search tries, after which nothing fits any more."""
COMPOSITION = 10
"""Looking at the routes costs as much as to try so many sets of them."""
FINENESS = 1000
"""The most that fits is found to a part in so many of what is wished for."""
GRAINS_S = (3600, 900, 300, 60, 30, 15, 5)
"""Full hours, quarters of them, and so on, seconds."""
DOES_NOT_FIT = Refusal(RefusalKind.BANDWIDTH, "it does not fit")


def full_s(at_s: int, most_s: int) -> int:
    """The next full hour, or of a shorter time: less than ``most_s`` later, if that is 5 or more.

    Volumes that may be moved change at such times, so that few instants matter to all of them.
    """
    grain_s = next((each for each in GRAINS_S if each <= most_s), 1)
    return -(-at_s // grain_s) * grain_s


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
    effort: Effort = field(default_factory=lambda: Effort(EFFORT), compare=False)
    """Bounded, so that nobody keeps the others waiting."""
    tariff: Tariff | None = None
    """What takes more from others does not fit; None: it may take anything."""
    labelled: Labelled = field(default_factory=Labelled, compare=False)
    placed: Remembered[Places] = field(default_factory=Remembered, compare=False)
    """What searches that differ in time alone need not find out again."""

    def fits(self, bandwidth_bps: int, window: Window) -> bool:
        """Whether that composes, and finds VLANs, with what is free during all of the window."""
        if not self.criteria.more_destinations:
            return bool(self._shares(bandwidth_bps, window))
        if not self._may_fit(bandwidth_bps, window):
            return False
        plan = self._planned(bandwidth_bps, window, self._fit_leg)
        return isinstance(plan, Plan) and self._admits(
            Phase(window, bandwidth_bps),
            lambda: load_of_paths(window, plan.paths, self.criteria.directionality),
        )

    def _may_fit(self, bandwidth_bps: int, window: Window) -> bool:
        return self.effort.left > 0 and self.hope_bps(window) >= bandwidth_bps

    def raised(self, bandwidth_bps: int, most_bps: int, window: Window) -> int:
        """As much up to ``most_bps`` as fits on the routes where that much does; 0: it does not.

        With several destinations no more is looked for: each has routes of its own.
        """
        if self.criteria.more_destinations:
            return bandwidth_bps if self.fits(bandwidth_bps, window) else 0
        shares = self._shares(bandwidth_bps, window)
        if not shares:
            return 0
        free = self.limits.free[:, self.forecast.slots_of(window)].min(axis=1).tolist()
        rows = (self.limits.rows[share.route] for share in shares)
        more_bps = sum(fill([{row: free[row] for row in own} for own in rows], most_bps, 0))
        fits_bps = sum(share.bandwidth_bps for share in shares)
        return more_bps if more_bps > fits_bps and self.fits(more_bps, window) else fits_bps

    def _shares(self, bandwidth_bps: int, window: Window) -> Shares:
        """How that composes with one destination; empty: it does not, or finds no VLANs."""
        if not self._may_fit(bandwidth_bps, window):
            return ()
        criteria = rigid(self.criteria, Phase(window, bandwidth_bps))
        supply, options = self._during(window)
        shares = self._composed(criteria, options.of_bandwidth(criteria), supply)
        ways = criteria.directionality
        phase = Phase(window, bandwidth_bps)
        if not shares or self._admits(phase, lambda: load_of_shares(window, shares, ways)):
            return shares
        return ()

    def _admits(self, phase: Phase, load: Callable[[], Load]) -> bool:
        """A part of a volume may take all that the whole may."""
        if self.tariff is None:
            return True
        bend = self.criteria.bend
        bits = max(phase.bits, bend.volume_bytes * BITS) if bend is not None else phase.bits
        return self._admits_toll((load(),), bits)

    def _admits_toll(self, loads: Iterable[Load], bits: int) -> bool:
        assert self.tariff is not None
        toll = toll_of(loads, self._free, self.topology)
        return toll.link_s <= self.tariff.most_link_s(carried_bits(self.criteria, bits))

    def admits_all(self, phases: Iterable[Phase]) -> bool:
        """Whether phases that fit take no more from others, all together, than they may."""
        if self.tariff is None:
            return True
        freely, loads, bits = replace(self, tariff=None), list[Load](), 0
        for each in phases:
            shares = freely._shares(each.bandwidth_bps, each.window)
            if not shares:
                return False
            loads.append(load_of_shares(each.window, shares, self.criteria.directionality))
            bits += each.bits
        return self._admits_toll(loads, bits)

    def _free(self, *ends: str) -> Profile:
        """What is free of a link, by what both its ends tell."""
        told = [levels for end in ends if (levels := self.forecast.of(end)) is not None]
        if not told:
            return ()
        free = np.min(told, axis=0).tolist()
        return tuple(map(Step, self.forecast.cuts[:-1], free))

    def _composed(self, criteria: Criteria, options: Options, supply: Supply) -> Shares:
        def accept(shares: Shares) -> bool:
            def has_plan() -> bool:
                return isinstance(assign_labels(criteria, shares, supply, self.topology), Plan)

            # How much each carries does not matter to VLANs.
            routes = [share.route for share in shares]
            return self.labelled.all(routes, criteria.constraints, supply, has_plan)

        self.effort.left -= COMPOSITION
        return composed(criteria, options, self.effort, accept) or ()

    def _options(self, criteria: Criteria, routes: tuple[Route, ...], supply: Supply) -> Options:
        return Options(criteria, routes, supply, self.topology, self.labelled)

    def _during(self, window: Window) -> tuple[Supply, Options]:
        """Of one window several bandwidths are tried, one after the other."""
        found = self._last.get(window)
        if found is None:
            supply = self.forecast.within(window)
            found = supply, self._options(self.criteria, self.routes, supply)
            self._last.clear()
            self._last[window] = found
        return found

    @cached_property
    def _last(self) -> dict[Window, tuple[Supply, Options]]:
        return {}

    @property
    def lacks_labels(self) -> bool:
        """Whether a route is left out because no VLAN is free on it for all of the span."""
        limits, known = self.criteria.constraints, self.forecast.fixed
        return not all(self.labelled.one(r, limits, known, self.topology) for r in self.routes)

    def whatever_labels(self) -> Search:
        """As if every VLAN were free: for a part of the span it may be."""
        known = replace(self.forecast, fixed=replace(self.forecast.fixed, port_vlans={}))
        return replace(self, forecast=known)

    def about_bps(self, bandwidth_bps: int, window: Window) -> int:
        """About how much of that composes, which does not."""
        if self.effort.left <= 0:
            return 0
        found = self._planned(bandwidth_bps, window, self.plan_leg)
        return (isinstance(found, Refusal) and found.available_bps) or 0

    def plan_leg(self, criteria: Criteria, supply: Supply) -> Plan | Refusal:
        """Composes rigid criteria with one of the destinations."""
        self.effort.left -= COMPOSITION
        return plan_over(criteria, self.own[criteria.destination], supply, self.topology)

    def _fit_leg(self, criteria: Criteria, supply: Supply) -> Plan | Refusal:
        """The same, for who does not ask why not."""
        options = self._options(criteria, self.own[criteria.destination], supply)
        shares = self._composed(criteria, options, supply)
        return assign_labels(criteria, shares, supply, self.topology) if shares else DOES_NOT_FIT

    def _planned(self, bandwidth_bps: int, window: Window, plan_leg: PlanLeg) -> Plan | Refusal:
        criteria = rigid(self.criteria, Phase(window, bandwidth_bps))
        return plan_legs(criteria, self.forecast.within(window), self.topology, plan_leg)

    @cached_property
    def own(self) -> Mapping[str, tuple[Route, ...]]:
        """The routes to each destination."""
        return by_destination(self.criteria, self.routes)

    @cached_property
    def legs(self) -> tuple[Search, ...]:
        """The search for each leg alone."""
        return tuple(
            replace(self, criteria=leg, routes=self.own[leg.destination])
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
        fixed, limits = self.forecast.fixed, self.criteria.constraints
        about = (self.forecast.resources, fixed, self.routes, self.topology, limits)
        places = self.placed.of(about, self._places)
        free = np.repeat(places.most[:, None], self.forecast.slots, axis=1)
        told = places.known >= 0
        free[told] = np.minimum(free[told], self.forecast.levels[places.known[told]])
        whole = np.where(places.most == ANY, free.max(axis=1, initial=0), places.most)
        return Limits(places.routes, free, whole, places.rows, places.ends)

    def _places(self) -> Places:
        rows: dict[Resource, int] = {}
        every = ((route, self._limits(route)) for route in self.routes)
        routes = {
            route: np.array([rows.setdefault(resource, len(rows)) for resource in resources])
            for route, resources in every
            if resources
        }
        ports = (self.topology.ports.get(str(resource)) for resource in rows)
        most = np.array([min(p.capacity_bps, WIDE) if p else ANY for p in ports], dtype=np.int64)
        known = np.array(self.forecast.rows(rows), dtype=np.intp)
        own = {route: each.tolist() for route, each in routes.items()}
        shared = set[int].intersection(*map(set, own.values())) if own else set[int]()
        ends = np.array(sorted(shared), dtype=np.intp)
        return Places(list(routes.values()), most, known, own, ends)

    def hope_bps(self, window: Window) -> int:
        """No more than this fits during all of a window, however it is split."""
        if self.criteria.more_destinations:
            return self._hope_of_legs_bps(window)
        slots, limits = self.forecast.slots_of(window), self.limits
        if not limits.routes:
            return 0
        widest = np.sort(limits.alone[:, slots].min(axis=1))[-self.paths_max :]
        return int(min(widest.sum(), limits.free[limits.ends, slots].min(initial=ANY)))

    def _hope_of_legs_bps(self, window: Window) -> int:
        """No more than fits of each leg, and together of those that need the same."""
        most_bps = min(leg.hope_bps(window) for leg in self.legs)
        for resource, count in self.shared.items():
            most_bps = min(most_bps, self.free_bps(resource, window) // count)
        return most_bps

    def free_bps(self, resource: Resource, window: Window) -> int:
        """What is free of a resource during all of a window."""
        known, port = self.forecast.of(resource), self.topology.ports.get(str(resource))
        most_bps = port.capacity_bps if port is not None else ANY
        if known is None:
            return int(most_bps)
        return int(min(most_bps, known[self.forecast.slots_of(window)].min()))

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
        usable = self.labelled.one(route, self.criteria.constraints, fixed, topology)
        return list(dict.fromkeys(found)) if usable else []


def rigid(criteria: Criteria, phase: Phase) -> Criteria:
    """Exactly that bandwidth in exactly that window."""
    return replace(criteria, bandwidth_bps=phase.bandwidth_bps, window=phase.window, bend=None)


def soonest(search: Search, bandwidth_bps: int, duration_s: int) -> Window | None:
    """The earliest window within the span in which so much composes."""
    windows = windows_of(search.forecast, duration_s)
    return next((window for window in windows if search.fits(bandwidth_bps, window)), None)


def widest(
    search: Search, window: Window, least_bps: int, wish_bps: int, about_bps: int = 0
) -> int:
    """The most from ``least_bps`` to ``wish_bps`` that composes in a window; 0: not even that.

    ``about_bps``: how much is known to be about the most.
    """
    least_bps = max(1, least_bps, search.criteria.constraints.min_share_bps)
    fails_bps = min(wish_bps, search.hope_bps(window))
    if fails_bps < least_bps:
        return 0
    if search.fits(fails_bps, window):
        return fails_bps
    about_bps = about_bps or search.about_bps(fails_bps, window)
    tries = (bps for bps in (about_bps, least_bps) if least_bps <= bps < fails_bps)
    found = (search.raised(bps, fails_bps - 1, window) for bps in tries)
    fits_bps = next((bps for bps in found if bps), 0)
    if not fits_bps:
        return 0
    fine_bps = max(1, wish_bps // FINENESS)
    # What some routes carry at most is seldom far from what any do.
    near = raises = not search.criteria.more_destinations
    while fails_bps - fits_bps > fine_bps:
        next_bps = fits_bps + fine_bps if near else (fits_bps + fails_bps) // 2
        found_bps, near = search.raised(next_bps, fails_bps - 1, window), raises and not near
        if found_bps:
            fits_bps = found_bps
        else:
            fails_bps = next_bps
    return fits_bps


def ever_fits(search: Search, bandwidth_bps: int, duration_s: int) -> bool:
    """Whether it might compose, for so long, at a time when nothing else is reserved."""
    known, ports = search.forecast, search.topology.ports
    # Several legs may cross a domain by one way.
    all_bps = bandwidth_bps * len(search.criteria.destinations)
    most = [
        [port.capacity_bps if (port := ports.get(str(resource))) is not None else all_bps]
        for resource in known.resources
    ]
    span = known.span
    free = replace(
        known,
        cuts=(span.start_s, span.end_s),
        levels=np.array(most, dtype=np.int64).reshape(-1, 1),
        fixed=replace(known.fixed, port_vlans={}, caps={}, banned_vlans={}),
    )
    window = Window(span.start_s, min(span.start_s + duration_s, span.end_s))
    return replace(search, forecast=free).fits(bandwidth_bps, window)


def slide(search: Search, bandwidth_bps: int, least_bps: int, duration_s: int) -> Phase | Shortfall:
    """So long as early as all of it fits; else where the most fits, if that is ``least_bps``."""
    window = soonest(search, bandwidth_bps, duration_s)
    if window is not None:
        return Phase(window, bandwidth_bps)
    windows = [(search.hope_bps(w), w) for w in windows_of(search.forecast, duration_s)]
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


def windows_of(forecast: Forecast, duration_s: int) -> Iterator[Window]:
    """Windows so long within the span, earliest first; one that begins between two has no more."""
    for start_s in forecast.cuts:
        if start_s + duration_s <= forecast.span.end_s:
            yield Window(start_s, start_s + duration_s)
