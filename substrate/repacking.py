"""Makes room for one more circuit by moving others, as far as their owners allow. Pure.

A linear program over routes and slots of time (design, section 6: re-packing). With p a route of
circuit i, t a slot:

    x[i, p, t] >= 0                          bit/s
    Σ_t length(t) · Σ_p x[i, p, t] >= bits   of a volume, at no more than its rate in each slot
    Σ_p x[i, p] = rate                       of a circuit whose rate is constant, in all its slots
    Σ x over a resource <= what is free      in each slot, were none of the circuits there

Every bit costs for each resource on its way, a little more the later it is carried, and more where
it would be moved: so that little is, and no way around is taken without need. What comes out is
rounded to whole bit/s and checked again, in integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from substrate.bending import BITS, Phase
from substrate.forecast import Forecast, Levels
from substrate.model import Criteria, Directionality, Window
from substrate.program import INFINITE, Entry, Program, UnsolvedError
from substrate.routes import Route
from substrate.splitting import Share, Shares
from substrate.values import dataclass, replace

UNIT_BPS = 1e6
"""What the program counts in: its tolerances are made for numbers around 1."""
SLOTS_MAX = 64
ITERATIONS_MAX = 20_000
MOVE_COST = 100.0
"""What it costs to move a bit, in resources that a bit takes."""
LATE_COST = 0.5
"""What it costs to carry a bit at the end of the span and not at its beginning, counted so too."""
IN, OUT = "in", "out"

Row = tuple[str, str]
"""A way through a domain by its STPs, or a direction of a port: ("in", STP)."""


@dataclass(frozen=True, slots=True)
class Laid:
    """A phase of a circuit, and what each route carries in it."""

    phase: Phase
    shares: Shares


@dataclass(frozen=True)
class Mover:
    """A circuit and where it may lie; ``present``: where it lies, empty for the one that is new.

    ``criteria``: as asked; one that is there, or does not bend, keeps its window and bandwidth
    unless it is a volume. ``routes``: those that may be used, each with its latency.
    """

    criteria: Criteria
    routes: Mapping[Route, int]
    present: tuple[Laid, ...] = ()
    least_rate_bps: int = 1

    @property
    def bits(self) -> int:
        """What is to be moved; 0 where the rate is constant."""
        bend = self.criteria.bend
        return BITS * bend.volume_bytes if bend is not None else 0


Layout = tuple[tuple[Laid, ...], ...]


def rows_of(route: Route, directionality: Directionality) -> list[Row]:
    """What a circuit over that route takes, in a fixed order."""
    rows: list[Row] = []
    for ingress, egress in route.pairs:
        rows += [(IN, ingress), (OUT, egress), (ingress, egress)]
        if directionality is Directionality.BIDIRECTIONAL:
            rows += [(OUT, ingress), (IN, egress)]
    return rows


def repack(forecast: Forecast, movers: Sequence[Mover]) -> Layout | None:
    """How all of them lie together, at little cost; None where they do not fit.

    ``forecast``: what of each row is free in each slot, were none of them there. One that stays
    keeps its very ``present``.
    """
    while forecast.slots > SLOTS_MAX:
        forecast = forecast.coarser()
    found = _Repacking(forecast, movers).solved()
    if found is None:
        return None
    _fill_up(forecast, movers, found)
    layout = tuple(
        _laid(forecast, mover, rates) for mover, rates in zip(movers, found, strict=True)
    )
    if any(not laid for laid in layout) or not _fits(forecast, movers, layout):
        return None
    return layout


Rates = dict[int, dict[Route, int]]
"""Per slot what each route carries, bit/s."""


@dataclass(frozen=True, slots=True)
class _Variable:
    mover: int
    route: Route
    slots: range


class _Repacking:
    """The program of the module, and what its columns stand for."""

    def __init__(self, forecast: Forecast, movers: Sequence[Mover]) -> None:
        self._forecast, self._movers = forecast, movers
        self._program = Program()
        self._variables: list[_Variable] = []
        self._lengths_s = forecast.lengths_s.tolist()
        self._bounded: dict[Row, list[int]] = {}
        for number, mover in enumerate(movers):
            if mover.bits:
                self._add_volume(number, mover)
            else:
                self._add_constant(number, mover)

    def solved(self) -> list[Rates] | None:
        """The rates of each mover."""
        for mover in self._movers:
            if not mover.routes:
                return None
        try:
            found = self._program.least(simplex_iteration_limit=ITERATIONS_MAX)
        except UnsolvedError:
            return None
        if found is None:
            return None
        sums: dict[tuple[int, int, Route], float] = {}
        for variable, value in zip(self._variables, found[1], strict=True):
            for slot in variable.slots:
                key = (variable.mover, slot, variable.route)
                sums[key] = sums.get(key, 0.0) + value
        rates: list[Rates] = [{} for _ in self._movers]
        for (number, slot, route), value in sums.items():
            # A whole number may come out a hair below itself.
            rate_bps = int(value * UNIT_BPS + 0.01)
            if rate_bps >= _least_bps(self._movers[number]):
                rates[number].setdefault(slot, {})[route] = rate_bps
        return rates

    def _add_volume(self, number: int, mover: Mover) -> None:
        criteria, bounds = mover.criteria, self._program.bounds
        present = _present(self._forecast, mover)
        # Phases last whole seconds: what was granted is a little more than what was asked.
        bits = max(mover.bits, sum(laid.phase.bits for laid in mover.present))
        bounds["bits", number] = (bits / UNIT_BPS, INFINITE)
        slots = list(_slots_within(self._forecast, criteria.window))
        for slot in slots:
            bounds["rate", number, slot] = (-INFINITE, criteria.bandwidth_bps / UNIT_BPS)
        for route in mover.routes:
            rows, alone = self._rows(mover, route)
            for slot in slots:
                if alone[slot] < _least_bps(mover):
                    continue
                takes: list[Entry] = [((row, slot), 1.0) for row in rows]
                takes.append((("bits", number), float(self._lengths_s[slot])))
                takes.append((("rate", number, slot), 1.0))
                one = _Variable(number, route, range(slot, slot + 1))
                self._add(one, takes, present.get(slot, {}).get(route, 0))

    def _add_constant(self, number: int, mover: Mover) -> None:
        rate = mover.criteria.bandwidth_bps / UNIT_BPS
        self._program.bounds["rate", number] = (rate, rate)
        touched = self._forecast.slots_of(mover.criteria.window)
        slots = range(touched.start, touched.stop)
        kept = {s.route: s.bandwidth_bps for laid in mover.present for s in laid.shares}
        for route in mover.routes:
            rows, alone = self._rows(mover, route)
            if min(alone[touched], default=0) < _least_bps(mover):
                continue
            takes: list[Entry] = [((row, slot), 1.0) for row in rows for slot in slots]
            takes.append((("rate", number), 1.0))
            self._add(_Variable(number, route, slots), takes, kept.get(route, 0))

    def _rows(self, mover: Mover, route: Route) -> tuple[list[Row], list[int]]:
        """The rows that limit a route, and what it carries in each slot when it is alone."""
        forecast = self._forecast
        rows = [
            row
            for row in rows_of(route, mover.criteria.directionality)
            if forecast.of(row) is not None
        ]
        alone = [mover.criteria.bandwidth_bps] * forecast.slots
        for row in rows:
            if row not in self._bounded:
                self._bounded[row] = _listed(forecast, row)
                for slot, free in enumerate(self._bounded[row]):
                    self._program.bounds[row, slot] = (-INFINITE, free / UNIT_BPS)
            alone = list(map(min, alone, self._bounded[row]))
        return rows, alone

    def _add(self, variable: _Variable, takes: Sequence[Entry], kept_bps: int) -> None:
        """A column for what may stay there, and one for what would be new there."""
        length_s = sum(self._lengths_s[slot] for slot in variable.slots)
        cost = length_s * (3 * len(variable.route.crossings) + self._late(variable.slots))
        if kept_bps:
            self._variables.append(variable)
            self._program.column(cost, kept_bps / UNIT_BPS, takes)
        if self._movers[variable.mover].present:
            cost += length_s * MOVE_COST
        self._variables.append(variable)
        self._program.column(cost, INFINITE, takes)

    def _late(self, slots: range) -> float:
        cuts, span = self._forecast.cuts, self._forecast.span
        return LATE_COST * (cuts[slots.start] - span.start_s) / span.duration_s


def _fill_up(forecast: Forecast, movers: Sequence[Mover], found: Sequence[Rates]) -> None:
    """Adds what was lost to volumes by rounding, where there is room for it."""
    left = replace(forecast, levels=forecast.levels.copy())
    for mover, rates in zip(movers, found, strict=True):
        for slot, route, rate_bps in _each(rates):
            for free in _free(left, mover, route):
                free[slot] -= rate_bps
    for mover, rates in zip(movers, found, strict=True):
        lengths_s = forecast.lengths_s
        short = mover.bits - sum(bps * int(lengths_s[slot]) for slot, _, bps in _each(rates))
        for slot, route, rate_bps in list(_each(rates)):
            if short <= 0 or not mover.bits:
                break
            rest_bps = mover.criteria.bandwidth_bps - sum(rates[slot].values())
            rooms = [int(free[slot]) for free in _free(left, mover, route)]
            more_bps = max(0, min(-(-short // int(lengths_s[slot])), rest_bps, *rooms))
            rates[slot][route] = rate_bps + more_bps
            short -= more_bps * int(lengths_s[slot])
            for free in _free(left, mover, route):
                free[slot] -= more_bps


def _each(rates: Rates) -> Iterator[tuple[int, Route, int]]:
    for slot, split in rates.items():
        for route, rate_bps in split.items():
            yield slot, route, rate_bps


def _free(forecast: Forecast, mover: Mover, route: Route) -> list[Levels]:
    """What is known to be free on a route, per slot."""
    rows = rows_of(route, mover.criteria.directionality)
    return [free for row in rows if (free := forecast.of(row)) is not None]


def _least_bps(mover: Mover) -> int:
    least_bps = max(1, mover.criteria.constraints.min_share_bps)
    return max(least_bps, mover.least_rate_bps) if mover.bits else least_bps


def _listed(forecast: Forecast, row: Row) -> list[int]:
    free = forecast.of(row)
    assert free is not None
    listed: list[int] = free.tolist()
    return listed


def _slots_within(forecast: Forecast, window: Window) -> Iterator[int]:
    """The slots of which a window has all."""
    for slot in range(forecast.slots):
        if window.start_s <= forecast.cuts[slot] and forecast.cuts[slot + 1] <= window.end_s:
            yield slot


def _present(forecast: Forecast, mover: Mover) -> Rates:
    """What it carries now in slots that a phase has all of."""
    return {
        slot: {share.route: share.bandwidth_bps for share in laid.shares}
        for laid in mover.present
        for slot in _slots_within(forecast, laid.phase.window)
    }


def _laid(forecast: Forecast, mover: Mover, rates: Rates) -> tuple[Laid, ...]:
    """Its phases, as long as each lasts; empty where it does not come to what was asked."""
    if not mover.bits:
        return _constant(mover, next(iter(rates.values()), {}))
    if mover.present and rates == _present(forecast, mover):
        return mover.present
    phases: list[Laid] = []
    cuts = forecast.cuts

    def alike(slot: int) -> tuple[int, tuple[tuple[Route, int], ...]]:
        # Slots with nothing in them stand between others.
        return slot - order[slot], tuple(rates[slot].items())

    slots = sorted(rates)
    order = {slot: i for i, slot in enumerate(slots)}
    for (_, split), group in groupby(slots, key=alike):
        run = list(group)
        window = Window(cuts[run[0]], cuts[run[-1] + 1])
        shares = _shares(mover, dict(split))
        phases.append(Laid(Phase(window, sum(s.bandwidth_bps for s in shares)), shares))
    assert mover.criteria.bend is not None
    few = len(phases) <= mover.criteria.bend.max_phases
    enough = sum(laid.phase.bits for laid in phases) >= mover.bits
    return tuple(phases) if few and enough and _keeps_limits(mover, phases) else ()


def _constant(mover: Mover, rates: Mapping[Route, int]) -> tuple[Laid, ...]:
    """What was rounded off is carried by the widest."""
    wanted_bps = mover.criteria.bandwidth_bps
    if not rates:
        return ()
    widest = max(rates, key=lambda route: rates[route])
    rates = {**rates, widest: rates[widest] + wanted_bps - sum(rates.values())}
    if mover.present:
        # What a route's latency was told to be may have changed.
        lies = {share.route: share.bandwidth_bps for share in mover.present[0].shares}
        if lies == rates:
            return mover.present
    laid = Laid(Phase(mover.criteria.window, wanted_bps), _shares(mover, rates))
    return (laid,) if rates[widest] > 0 and _keeps_limits(mover, [laid]) else ()


def _shares(mover: Mover, rates: Mapping[Route, int]) -> Shares:
    return tuple(Share(route, bps, mover.routes[route]) for route, bps in rates.items())


def _keeps_limits(mover: Mover, phases: Sequence[Laid]) -> bool:
    most_bps, paths_max = mover.criteria.bandwidth_bps, mover.criteria.constraints.max_paths
    return all(
        laid.phase.bandwidth_bps <= most_bps and len(laid.shares) <= paths_max for laid in phases
    )


def _fits(forecast: Forecast, movers: Sequence[Mover], layout: Layout) -> bool:
    """Whether it all lies together, in integers."""
    left = replace(forecast, levels=forecast.levels.copy())
    for mover, phases in zip(movers, layout, strict=True):
        for laid in phases:
            slots = left.slots_of(laid.phase.window)
            for share in laid.shares:
                for free in _free(left, mover, share.route):
                    free[slots] -= share.bandwidth_bps
    return bool((left.levels >= 0).all())
