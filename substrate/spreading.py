"""At which rates a volume is moved, and when: in few phases, and where that crowds others least, or
as soon as can be. Pure.

Rates are first hoped for, by arithmetic over all slots at once; what is to be used is then
composed. Where that takes too many phases, slots are made coarser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import mul

import numpy as np

from substrate.bending import BITS, Phase, Search, Shortfall, full_s, widest
from substrate.forecast import Levels
from substrate.model import Window
from substrate.values import dataclass, replace

COST_DIGITS = 9
"""Costs that differ by less are the same."""
SLOWER, SLOWER_MAX = 0.7, 6
"""By how much, and how often, it is tried to be slower so as to take less from others."""
MUCH = 10
"""More than one in so many parts of a rate is not kept for nothing."""
LATER = 8
"""What may be moved may end later than it must, by less than one in so many parts of its window."""


@dataclass(frozen=True, slots=True)
class Move:
    """So many bits, in phases of at least that length and rate; ``sparing``: see :func:`spread`."""

    bits: int
    max_phases: int
    least_phase_s: int
    least_rate_bps: int
    sparing: bool


@dataclass(frozen=True, slots=True)
class _Hope:
    """Rates that are hoped for, one for each slot of the search's forecast."""

    search: Search
    rates: Levels


def spread(
    search: Search,
    volume_bytes: int,
    max_phases: int,
    least_phase_s: int,
    least_rate_bps: int,
    *,
    sparing: bool = False,
) -> tuple[Phase, ...] | Shortfall:
    """Moves a volume as soon as can be, in few phases of at least that length and rate.

    ``sparing``: rather over short routes, when much is free on them; the soonest of times alike.
    """
    least_phase_s = min(least_phase_s, search.forecast.span.duration_s)
    least_bps = max(1, least_rate_bps, search.criteria.constraints.min_share_bps)
    move = Move(volume_bytes * BITS, max_phases, least_phase_s, least_bps, sparing)
    tried: list[tuple[int, Search]] = []
    while True:
        bits = 0
        for hoped in _hopes(search, move):
            bits = max(bits, _bits(_phases(hoped, move, composed=False)))
            if bits >= move.bits:
                phases = _phases(hoped, move, composed=True)
                bits = _bits(phases)
                if bits >= move.bits:
                    return tuple(phases)
        tried.append((bits, search))
        if search.forecast.slots == 1:
            break
        search = replace(search, forecast=search.forecast.coarser())
    _, best = max(tried, key=lambda one: one[0])
    hoped = _Hope(best, _rate(best, move))
    return Shortfall(_bits(_phases(hoped, move, composed=True)) // BITS)


def spread_admitted(
    search: Search, volume_bytes: int, max_phases: int, least: tuple[int, int], *, sparing: bool
) -> tuple[Phase, ...] | Shortfall:
    """As :func:`spread`; where that takes too much from others, slower, if that is of any use.

    ``least``: length and rate of a phase. What is found may take too much all the same.
    """
    freely = search if search.tariff is None else replace(search, tariff=None)
    found = first = spread(freely, volume_bytes, max_phases, *least, sparing=sparing)
    for _ in range(SLOWER_MAX):
        if isinstance(found, Shortfall):
            return first
        if search.admits_all(found):
            return found
        # The ports may carry far more than the links, and be all that is wished for.
        fastest_bps = max(phase.bandwidth_bps for phase in found)
        slower_bps = int(fastest_bps * SLOWER)
        freely = replace(freely, criteria=replace(freely.criteria, bandwidth_bps=slower_bps))
        found = spread(freely, volume_bytes, max_phases, *least, sparing=sparing)
    return first


def _bits(phases: Iterable[Phase]) -> int:
    return sum(phase.bits for phase in phases)


def _phases(hoped: _Hope, move: Move, *, composed: bool) -> list[Phase]:
    """The first phases that move so much, or as much of it as so many can.

    Unless they are ``composed`` they are what is hoped for.
    """
    search, rates = hoped.search, hoped.rates
    phases: list[Phase] = []
    slot, left = 0, move.bits
    while left > 0 and slot < len(rates) and len(phases) < move.max_phases:
        if not rates[slot]:
            slot += 1
            continue
        phase, slot = _run(search, rates, slot, left)
        if composed and not search.fits(phase.bandwidth_bps, phase.window):
            most_bps = widest(search, phase.window, move.least_rate_bps, phase.bandwidth_bps)
            if not most_bps:
                continue
            phase = Phase(phase.window, most_bps)
        if composed and phase.bits >= left:
            phase = _last(search, phase, left, move)
        phases.append(phase)
        left -= phase.bits
    return phases


def _run(search: Search, rates: Levels, slot: int, bits: int) -> tuple[Phase, int]:
    """From a slot on as far as one rate is hoped for, or moves so much; the slot behind it."""
    cuts, rate_bps = search.forecast.cuts, int(rates[slot])
    phase, end = Phase(Window(cuts[slot], cuts[slot + 1]), rate_bps), slot + 1
    while phase.bits < bits and end < len(rates) and rates[end] == rate_bps:
        if int(_hoped(search, slice(slot, end + 1))[0]) < rate_bps:
            break
        end += 1
        phase = Phase(Window(cuts[slot], cuts[end]), rate_bps)
    return phase, end


def _last(search: Search, phase: Phase, bits: int, move: Move) -> Phase:
    """No longer than it must be; where that is too short, or in whole seconds moves much more than
    is left, slower. What may be moved is slower until a full minute or the like."""
    window, rate_bps, criteria = phase.window, phase.bandwidth_bps, search.criteria
    needed_s = max(1, -(-bits // rate_bps))
    end_s = window.start_s + max(needed_s, min(move.least_phase_s, window.duration_s))
    ends_s = [end_s]
    if criteria.movable:
        later_s = full_s(end_s, criteria.window.duration_s // LATER)
        length_s = min(later_s, window.end_s) - window.start_s
        if bits >= move.least_rate_bps * length_s:
            ends_s = [window.start_s + length_s, end_s]
    for each_s in ends_s:
        longer = Window(window.start_s, each_s)
        slower_bps = min(rate_bps, max(move.least_rate_bps, -(-bits // longer.duration_s)))
        slower = needed_s < longer.duration_s or slower_bps * MUCH < rate_bps * (MUCH - 1)
        if slower and search.fits(slower_bps, longer):
            return Phase(longer, slower_bps)
    return Phase(Window(window.start_s, end_s), rate_bps)


def _hopes(search: Search, move: Move) -> Iterator[_Hope]:
    """What moves so much, if anything does.

    First what spares others, if that is wanted. Then as soon as can be: over no longer routes
    than move so much, as a way around takes room from others, and over all.
    """
    sparing = _sparing(search, move) if move.sparing else None
    if sparing is not None:
        yield sparing
    lengths_s = search.forecast.lengths_s
    longest = max(map(len, search.limits.routes), default=0)
    for length in sorted({longest, *map(len, search.limits.routes)}):
        rates = _rate(search, move, longest=length)
        # Bits of a year at a Tb/s are more than 64 bits can count.
        bits = sum(map(mul, rates.tolist(), lengths_s.tolist()))
        if length == longest or bits >= move.bits:
            yield _Hope(search, rates)


def _rate(search: Search, move: Move, longest: int | None = None) -> Levels:
    """The rate hoped for in each slot; 0 where it is too low, or the slot too short."""
    rates = _hoped(search, longest=longest)
    too_short = search.forecast.lengths_s < move.least_phase_s
    rates[(rates < move.least_rate_bps) | too_short] = 0
    return rates


def _sparing(search: Search, move: Move) -> _Hope | None:
    """Each bit where and when it costs least; None where so much is not moved that way."""
    limits, lengths_s = search.limits, search.forecast.lengths_s.tolist()
    if not limits.routes:
        return None
    free, left = limits.free.copy(), move.bits
    rates, paths = np.zeros((2, free.shape[1]), dtype=np.int64)
    usable, costs = _rate(search, move) > 0, limits.costs.T.round(COST_DIGITS)
    order = (divmod(place, costs.shape[1]) for place in np.argsort(costs, None, "stable").tolist())
    # Routes that are alike at some time are taken together: it is over the sooner.
    for (slot, _), places in groupby(order, key=lambda place: (place[0], costs[place])):
        before_bps = int(rates[slot])
        for _, route in places if usable[slot] else ():
            _take(search, free, rates, paths, slot, route)
        more_bits = (int(rates[slot]) - before_bps) * lengths_s[slot]
        if left <= more_bits:
            if rates[rates > 0].min() < move.least_rate_bps:
                return None
            return _shortened(_Hope(search, rates), move, slot, before_bps, left)
        left -= more_bits
    return None


def _take(
    search: Search, free: Levels, rates: Levels, paths: Levels, slot: int, route: int
) -> None:
    """As much as is left on a route in a slot."""
    rows = search.limits.routes[route]
    wish_bps = search.criteria.bandwidth_bps - int(rates[slot])
    more_bps = min(int(free[rows, slot].min()), wish_bps)
    least_bps = max(1, search.criteria.constraints.min_share_bps)
    if more_bps >= least_bps and paths[slot] < search.paths_max:
        rates[slot] += more_bps
        paths[slot] += 1
        free[rows, slot] -= more_bps


def _shortened(hope: _Hope, move: Move, slot: int, before_bps: int, bits: int) -> _Hope:
    """With no more than ``bits`` in a slot beyond ``before_bps``: for the first part of it."""
    cuts, rates = hope.search.forecast.cuts, hope.rates
    more_bps = int(rates[slot]) - before_bps
    end_s = cuts[slot] + max(-(-bits // more_bps), move.least_phase_s)
    rest_s = cuts[slot + 1] - end_s
    if rest_s <= 0 or (before_bps and rest_s < move.least_phase_s):
        return hope
    search = replace(hope.search, forecast=hope.search.forecast.cut_at([end_s]))
    return _Hope(search, np.insert(rates, slot + 1, before_bps))


def _hoped(search: Search, during: slice | None = None, longest: int | None = None) -> Levels:
    """What is hoped for in each slot, or once for all of these together.

    Over the first routes, or the widest, as many as may be; of those with at most ``longest``
    resources, if that is given.
    """
    limits, wish_bps = search.limits, search.criteria.bandwidth_bps
    routes = [
        route for route, rows in enumerate(limits.routes) if longest is None or len(rows) <= longest
    ]
    alone, free = limits.alone[routes], limits.free
    if during is not None:
        alone = alone[:, during].min(axis=1, keepdims=True)
    rates: Levels = np.minimum(alone.max(axis=0, initial=0), wish_bps)
    if (rates < wish_bps).any():
        if during is not None:
            free = free[:, during].min(axis=1, keepdims=True)
        for order in (routes, [route for route in limits.widest if route in routes]):
            rates = np.maximum(rates, _filled(search, free, order))
    return rates


def _filled(search: Search, free: Levels, order: Iterable[int]) -> Levels:
    """One route after the other takes what is left on it, in each column."""
    wish_bps, least_bps = search.criteria.bandwidth_bps, search.criteria.constraints.min_share_bps
    free, paths_max = free.copy(), search.paths_max
    rates, paths = np.zeros((2, free.shape[1]), dtype=np.int64)
    for route in order:
        rows = search.limits.routes[route]
        more = np.minimum(free[rows].min(axis=0), wish_bps - rates)
        more[(more < max(1, least_bps)) | (paths >= paths_max)] = 0
        rates += more
        paths += more > 0
        free[rows] -= more
        if ((rates == wish_bps) | (paths == paths_max)).all():
            break
    return rates
