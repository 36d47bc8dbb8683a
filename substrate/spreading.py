"""At which rates a volume is moved, and when: in few phases, as soon as can be. Pure.

Rates are first hoped for, by arithmetic over all slots at once; what is to be used is then
composed. Where that takes too many phases, slots are made coarser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from substrate.bending import BITS, Phase, Search, Shortfall, full_s, widest
from substrate.forecast import Levels
from substrate.model import Window
from substrate.values import dataclass, replace

LATER = 8
"""What may be moved may end later than it must, by less than one in so many parts of its window."""


@dataclass(frozen=True, slots=True)
class Move:
    """So many bits, in phases of at least that length and rate."""

    bits: int
    max_phases: int
    least_phase_s: int
    least_rate_bps: int


def spread(
    search: Search, volume_bytes: int, max_phases: int, least_phase_s: int, least_rate_bps: int
) -> tuple[Phase, ...] | Shortfall:
    """Moves a volume as soon as can be, in few phases of at least that length and rate."""
    least_phase_s = min(least_phase_s, search.forecast.span.duration_s)
    least_bps = max(1, least_rate_bps, search.criteria.constraints.min_share_bps)
    move = Move(volume_bytes * BITS, max_phases, least_phase_s, least_bps)
    tried: list[tuple[int, Search]] = []
    while True:
        bits = 0
        for rates in _rates(search, move):
            bits = max(bits, _bits(_phases(search, move, rates, composed=False)))
            if bits >= move.bits:
                phases = _phases(search, move, rates, composed=True)
                bits = _bits(phases)
                if bits >= move.bits:
                    return tuple(phases)
        tried.append((bits, search))
        if search.forecast.slots == 1:
            break
        search = replace(search, forecast=search.forecast.coarser())
    _, best = max(tried, key=lambda one: one[0])
    return Shortfall(_bits(_phases(best, move, _rate(best, move), composed=True)) // BITS)


def _bits(phases: Iterable[Phase]) -> int:
    return sum(phase.bits for phase in phases)


def _phases(search: Search, move: Move, rates: Levels, *, composed: bool) -> list[Phase]:
    """The first phases that move so much, or as much of it as so many can.

    Unless they are ``composed`` they are what is hoped for.
    """
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
    """No longer than it must be; where that is too short, slower. What may be moved is slower
    until a full minute or the like."""
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
        if needed_s < longer.duration_s and search.fits(slower_bps, longer):
            return Phase(longer, slower_bps)
    return Phase(Window(window.start_s, end_s), rate_bps)


def _rates(search: Search, move: Move) -> Iterator[Levels]:
    """Rates hoped for, which move so much if any do.

    First over no longer routes than move so much: a way around takes room from others. Then over
    all.
    """
    lengths_s = search.forecast.lengths_s
    longest = max(map(len, search.limits.routes), default=0)
    for length in sorted({longest, *map(len, search.limits.routes)}):
        rates = _rate(search, move, longest=length)
        if length == longest or int((rates * lengths_s).sum()) >= move.bits:
            yield rates


def _rate(search: Search, move: Move, longest: int | None = None) -> Levels:
    """The rate hoped for in each slot; 0 where it is too low, or the slot too short."""
    rates = _hoped(search, longest=longest)
    too_short = search.forecast.lengths_s < move.least_phase_s
    rates[(rates < move.least_rate_bps) | too_short] = 0
    return rates


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
