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
again, in integers (:mod:`substrate.settling`). When circuits of constant rate begin is looked for
before that, by the same program (:mod:`substrate.sliding`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from substrate.forecast import Forecast
from substrate.limiting import limits_of
from substrate.model import Window
from substrate.program import INFINITE, Bulk, Floats, Ints, UnsolvedError
from substrate.routes import Route
from substrate.settling import (
    Layout,
    Mover,
    Rates,
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
    forecast = prepared(forecast, movers)
    groups = [groups_of(forecast, mover) for mover in movers]
    for _ in range(TRIES):
        found = Repacking(forecast, movers, groups).solved()
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


def prepared(forecast: Forecast, movers: Sequence[Mover]) -> Forecast:
    """Without what they carry before they may be moved, and with few enough slots."""
    forecast = _without_gone(forecast, movers)
    while forecast.slots > SLOTS_MAX:
        forecast = forecast.coarser()
    return forecast


def _without_gone(forecast: Forecast, movers: Sequence[Mover]) -> Forecast:
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


def groups_of(forecast: Forecast, mover: Mover) -> tuple[range, ...]:
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
class _Block:
    """What a mover carries over a route in each of some groups of slots: a column for each."""

    mover: int
    route: Route
    groups: tuple[range, ...]


class Repacking:
    """The program of the module, and what its columns stand for.

    ``groups``: for each mover the slots in which its rates are the same. Of one whose rate is
    constant the times at which it may be; it may come out in part at one and in part at another.
    """

    def __init__(
        self, forecast: Forecast, movers: Sequence[Mover], groups: Sequence[Sequence[range]]
    ) -> None:
        self._forecast, self._movers = forecast, movers
        self._program = Bulk()
        self._blocks: list[tuple[_Block, int]] = []
        self._cuts = np.array(forecast.cuts)
        self._limits = limits_of(forecast, movers)
        self._program.rows(-INFINITE, self._limits.levels.reshape(-1) / UNIT_BPS)
        for number, mover in enumerate(movers):
            if groups[number]:
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
        sums: dict[tuple[int, range, Route], float] = {}
        for block, first in self._blocks:
            values = found[1][first : first + len(block.groups)]
            for slots, value in zip(block.groups, values, strict=True):
                if value:
                    key = (block.mover, slots, block.route)
                    sums[key] = sums.get(key, 0.0) + value
        rates: list[Rates] = [{} for _ in self._movers]
        for (number, slots, route), value in sums.items():
            # A whole number may come out a hair below itself.
            rate_bps = int(value * UNIT_BPS + 0.01)
            if rate_bps >= self._movers[number].least_bps:
                rates[number].setdefault(slots, {})[route] = rate_bps
        return rates

    def _add(self, number: int, mover: Mover, groups: Sequence[range]) -> None:
        program, most_bps = self._program, mover.criteria.bandwidth_bps
        # A volume gets a little more than it needs, if it can: every rate will be rounded down.
        spare_bps = len(mover.routes) if mover.bits else 0
        most = np.full(len(groups) if mover.bits else 1, (most_bps + spare_bps) / UNIT_BPS)
        rate = program.rows(-INFINITE if mover.bits else most[0], most)
        rates = rate + (np.arange(len(groups)) if mover.bits else np.zeros(len(groups), int))
        bits = -1
        if mover.bits:
            spare = spare_bps * mover.criteria.window.duration_s / UNIT_BPS
            bits = program.rows(mover.wanted_bits / UNIT_BPS + spare, np.array([INFINITE]))
            column = program.columns(np.array([SPARE_COST]), np.array([spare]))
            program.entries(np.array([column]), np.array([bits]), 1.0)
        if most_bps < mover.least_bps:
            return
        present = present_in(self._forecast, mover, groups)
        move_cost = MOVE_COST if mover.present else 0.0
        for route in mover.routes:
            alone = self._limits.alone((route, mover.criteria.directionality), groups)
            may = np.flatnonzero(alone >= mover.least_bps)
            block = _Block(number, route, tuple(groups[i] for i in may.tolist()))
            kept = [present.get(slots, {}).get(route, 0) / UNIT_BPS for slots in block.groups]
            # A column for what may stay there, and one for what would be new there.
            stays = np.flatnonzero(kept)
            some = _Block(number, route, tuple(block.groups[i] for i in stays.tolist()))
            self._add_columns(some, np.array(kept)[stays], 0.0, rates[may[stays]], bits)
            unlimited = np.full(len(may), INFINITE)
            self._add_columns(block, unlimited, move_cost, rates[may], bits)

    def _add_columns(
        self, block: _Block, uppers: Floats, move_cost: float, rates: Ints, bits: int
    ) -> None:
        """``rates``: for each column the row of its rate; ``bits``: that of its volume, or -1."""
        if not block.groups:
            return
        program, cuts = self._program, self._cuts
        starts, stops = (
            np.array([getattr(slots, end) for slots in block.groups]) for end in ("start", "stop")
        )
        lengths_s = (cuts[stops] - cuts[starts]).astype(float)
        late = LATE_COST * (cuts[starts] - cuts[0]) / (cuts[-1] - cuts[0])
        costs = lengths_s * (3 * len(block.route.crossings) + late + move_cost)
        first = program.columns(costs, uppers)
        self._blocks.append((block, first))
        columns = np.arange(first, first + len(costs))
        program.entries(columns, rates, 1.0)
        if bits >= 0:
            program.entries(columns, np.full(len(costs), bits), lengths_s)
        slots = np.concatenate([np.arange(each.start, each.stop) for each in block.groups])
        repeated = np.repeat(columns, stops - starts)
        way = block.route, self._movers[block.mover].criteria.directionality
        for row in self._limits.rows[way]:
            program.entries(repeated, row * self._forecast.slots + slots, 1.0)
