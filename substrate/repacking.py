"""Makes room for one more circuit by moving others, as far as their owners allow. Pure.

A linear program over routes and slots of time (design, section 6: re-packing). With p a route of
circuit i, t a slot:

    x[i, p, t] >= 0                          bit/s
    Σ_t length(t) · Σ_p x[i, p, t] >= bits   of a volume, at no more than its rate in each slot
    Σ_p x[i, p] = rate                       of a circuit whose rate is constant, in all its slots
    Σ x over a resource <= what is free      in each slot, were none of the circuits there

Every bit costs for each resource on its way, a little more the later it is carried, and more where
it would be moved: so that little is, and no way around is taken without need. Where a volume comes
out in more phases than it may have, slots of it in which it has about the same rates are made to
have the very same, and it is solved again. What comes out is rounded to whole bit/s and checked
again, in integers (:mod:`substrate.settling`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from substrate.forecast import Forecast
from substrate.model import Window
from substrate.program import INFINITE, Entry, Program, UnsolvedError
from substrate.routes import Route
from substrate.settling import (
    Layout,
    Mover,
    Rates,
    Row,
    continues,
    grouped,
    laid_out,
    lies_well,
    present_in,
    round_off,
    rows_of,
)
from substrate.values import dataclass, replace

UNIT_BPS = 1e6
"""What the program counts in: its tolerances are made for numbers around 1."""
SLOTS_MAX = 64
ITERATIONS_MAX = 20_000
TRIES = 3
"""So often it is solved until no volume has too many phases."""
MOVE_COST = 100.0
"""What it costs to move a bit, in resources that a bit takes."""
SPARE_COST = 10_000.0
"""What it costs not to have a bit to spare: more than to move one."""
LATE_COST = 0.5
"""What it costs to carry a bit at the end of the span and not at its beginning, counted so too."""


def repack(forecast: Forecast, movers: Sequence[Mover]) -> Layout | None:
    """How all of them lie together, at little cost; None where they do not fit.

    ``forecast``: what of each row is free in each slot, were none of them there. One that stays
    keeps its very ``present``.
    """
    forecast = _without_gone(forecast, movers)
    while forecast.slots > SLOTS_MAX:
        forecast = forecast.coarser()
    groups = [_groups_of(forecast, mover) for mover in movers]
    for _ in range(TRIES):
        found = _Repacking(forecast, movers, groups).solved()
        if found is None:
            return None
        round_off(forecast, movers, found)
        layout = tuple(
            laid_out(forecast, mover, rates) for mover, rates in zip(movers, found, strict=True)
        )
        crowded = False
        for i, (mover, laid) in enumerate(zip(movers, layout, strict=True)):
            most = mover.most_phases - len(mover.gone) + continues(mover.gone, laid)
            if mover.bits and len(laid) > most and laid is not mover.present:
                groups[i] = grouped(forecast, groups[i], found[i], most)
                crowded = True
        if not crowded:
            return layout if lies_well(forecast, movers, layout) else None
    return None


def _without_gone(forecast: Forecast, movers: Sequence[Mover]) -> Forecast:
    """Without what they carry before they may be moved."""
    levels, span = forecast.levels.copy(), forecast.span
    left = replace(forecast, levels=levels)
    for mover in movers:
        for laid in mover.gone:
            window = laid.phase.window
            if not window.overlaps(span):
                continue
            slots = left.slots_of(Window(max(window.start_s, span.start_s), window.end_s))
            for share in laid.shares:
                for row in rows_of(share.route, mover.criteria.directionality):
                    free = left.of(row)
                    if free is not None:
                        free[slots] -= share.bandwidth_bps
    # What was told may be less than there is.
    np.maximum(levels, 0, out=levels)
    return left


def _groups_of(forecast: Forecast, mover: Mover) -> tuple[range, ...]:
    """Each slot that its window has all of; one whose rate is constant needs all that it touches at
    once."""
    window = mover.criteria.window
    touched = forecast.slots_of(window)
    if not mover.bits:
        return (range(touched.start, touched.stop),)
    cuts = forecast.cuts
    return tuple(
        range(slot, slot + 1)
        for slot in range(touched.start, touched.stop)
        if window.start_s <= cuts[slot] and cuts[slot + 1] <= window.end_s
    )


@dataclass(frozen=True, slots=True)
class _Variable:
    mover: int
    route: Route
    slots: range


class _Repacking:
    """The program of the module, and what its columns stand for.

    ``groups``: for each mover the slots in which its rates are the same.
    """

    def __init__(
        self, forecast: Forecast, movers: Sequence[Mover], groups: Sequence[Sequence[range]]
    ) -> None:
        self._forecast, self._movers = forecast, movers
        self._program = Program()
        self._variables: list[_Variable | None] = []
        self._cuts = forecast.cuts
        self._bounded: dict[Row, list[int]] = {}
        for number, mover in enumerate(movers):
            self._add(number, mover, groups[number])

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
        sums: dict[_Variable, float] = {}
        for variable, value in zip(self._variables, found[1], strict=True):
            if variable is not None:
                sums[variable] = sums.get(variable, 0.0) + value
        rates: list[Rates] = [{} for _ in self._movers]
        for variable, value in sums.items():
            # A whole number may come out a hair below itself.
            rate_bps = int(value * UNIT_BPS + 0.01)
            if rate_bps >= self._movers[variable.mover].least_bps:
                rates[variable.mover].setdefault(variable.slots, {})[variable.route] = rate_bps
        return rates

    def _add(self, number: int, mover: Mover, groups: Sequence[range]) -> None:
        bounds, most_bps = self._program.bounds, mover.criteria.bandwidth_bps
        # A volume gets a little more than it needs, if it can: every rate will be rounded down.
        spare_bps = len(mover.routes) if mover.bits else 0
        if mover.bits:
            spare = spare_bps * mover.criteria.window.duration_s / UNIT_BPS
            bounds["bits", number] = (mover.wanted_bits / UNIT_BPS + spare, INFINITE)
            self._program.column(SPARE_COST, spare, [(("bits", number), 1.0)])
            self._variables.append(None)
        for slots in groups:
            most = (most_bps + spare_bps) / UNIT_BPS
            bounds["rate", number, slots] = (-INFINITE if mover.bits else most, most)
        present = present_in(self._forecast, mover, groups)
        for route in mover.routes:
            rows, alone = self._rows(mover, route)
            for slots in groups:
                if min(alone[slots.start : slots.stop], default=0) < mover.least_bps:
                    continue
                takes: list[Entry] = [((row, slot), 1.0) for row in rows for slot in slots]
                takes.append((("rate", number, slots), 1.0))
                if mover.bits:
                    takes.append((("bits", number), float(self._length_s(slots))))
                variable = _Variable(number, route, slots)
                self._add_columns(variable, takes, present.get(slots, {}).get(route, 0))

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

    def _add_columns(self, variable: _Variable, takes: Sequence[Entry], kept_bps: int) -> None:
        """A column for what may stay there, and one for what would be new there."""
        length_s = self._length_s(variable.slots)
        cost = length_s * (3 * len(variable.route.crossings) + self._late(variable.slots))
        if kept_bps:
            self._variables.append(variable)
            self._program.column(cost, kept_bps / UNIT_BPS, takes)
        if self._movers[variable.mover].present:
            cost += length_s * MOVE_COST
        self._variables.append(variable)
        self._program.column(cost, INFINITE, takes)

    def _length_s(self, slots: range) -> int:
        return self._cuts[slots.stop] - self._cuts[slots.start]

    def _late(self, slots: range) -> float:
        span = self._forecast.span
        return LATE_COST * (self._cuts[slots.start] - span.start_s) / span.duration_s


def _listed(forecast: Forecast, row: Row) -> list[int]:
    free = forecast.of(row)
    assert free is not None
    listed: list[int] = free.tolist()
    return listed
