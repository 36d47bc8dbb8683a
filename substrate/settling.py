"""From the rates that a linear program finds to phases of circuits, in whole bit/s. Pure.

See :mod:`substrate.repacking`. Rates are those of slots in which they are the same, route by route.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from substrate.bending import BITS, Phase
from substrate.forecast import Forecast, Levels
from substrate.model import Criteria, Directionality, Window
from substrate.routes import Route
from substrate.splitting import CRUMBS, Share, Shares
from substrate.values import dataclass, replace

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

    ``criteria``: as asked, of a window in which it may be moved; one that is there, or does not
    bend, keeps its window and bandwidth unless it is a volume. ``gone``: where a volume lies before
    that window, which stays. ``routes``: those that may be used, each with its latency. ``within``:
    where else the window of one of constant rate may be; None: nowhere (substrate.sliding).
    """

    criteria: Criteria
    routes: Mapping[Route, int]
    present: tuple[Laid, ...] = ()
    gone: tuple[Laid, ...] = ()
    least_rate_bps: int = 1
    within: Window | None = None

    @property
    def bits(self) -> int:
        """What is to be carried in the window; 0 where the rate is constant."""
        bend = self.criteria.bend
        if bend is None:
            return 0
        return BITS * bend.volume_bytes - sum(laid.phase.bits for laid in self.gone)

    @property
    def wanted_bits(self) -> int:
        """No less than it has: as phases last whole seconds, that may be a little more."""
        return max(self.bits, sum(laid.phase.bits for laid in self.present))

    @property
    def most_phases(self) -> int:
        """How many it may have, with those gone."""
        return self.criteria.bend.max_phases if self.criteria.bend is not None else 1

    @property
    def least_bps(self) -> int:
        """What a route carries at least."""
        least_bps = max(1, self.criteria.constraints.min_share_bps)
        return max(least_bps, self.least_rate_bps) if self.bits else least_bps


Layout = tuple[tuple[Laid, ...], ...]
Split = dict[Route, int]
Rates = dict[range, Split]
"""For slots what each route carries in them, bit/s; in no order."""


def rows_of(route: Route, directionality: Directionality) -> list[Row]:
    """What a circuit over that route takes, in a fixed order."""
    rows: list[Row] = []
    for ingress, egress in route.pairs:
        rows += [(IN, ingress), (OUT, egress), (ingress, egress)]
        if directionality is Directionality.BIDIRECTIONAL:
            rows += [(OUT, ingress), (IN, egress)]
    return rows


def present_in(forecast: Forecast, mover: Mover, groups: Sequence[range]) -> Rates:
    """What it carries now throughout slots that phases have all of."""
    found: Rates = {}
    for slots in groups:
        start_s, end_s = forecast.cuts[slots.start], forecast.cuts[slots.stop]
        for laid in mover.present:
            window = laid.phase.window
            if window.start_s <= start_s and end_s <= window.end_s:
                found[slots] = {share.route: share.bandwidth_bps for share in laid.shares}
    return found


def round_off(forecast: Forecast, movers: Sequence[Mover], found: Sequence[Rates]) -> None:
    """Takes off what is too much, leaves no path with next to nothing, and adds what was lost to
    volumes by rounding, where there is room for it."""
    for mover, rates in zip(movers, found, strict=True):
        if mover.bits:
            _lower(forecast, mover, rates)
    left = replace(forecast, levels=forecast.levels.copy())
    for mover, rates in zip(movers, found, strict=True):
        for slots, route, rate_bps in _each(rates):
            _take(left, mover, route, slots, rate_bps)
    for mover, rates in zip(movers, found, strict=True):
        _even_out(left, mover, rates)
        if mover.bits:
            _fill_up(left, mover, rates)


def _lower(forecast: Forecast, mover: Mover, rates: Rates) -> None:
    """To its rate, and to the volume that it has to carry, where that is not as it was."""
    for split in rates.values():
        widest = max(split, key=lambda route: split[route])
        split[widest] -= max(0, sum(split.values()) - mover.criteria.bandwidth_bps)
    kept = present_in(forecast, mover, list(rates))
    extra = _bits(forecast, rates) - mover.wanted_bits
    for slots in sorted(rates, key=lambda slots: (sum(rates[slots].values()), slots.start)):
        length_s = _length_s(forecast, slots)
        for route, rate_bps in list(rates[slots].items()):
            new_bps = rate_bps - kept.get(slots, {}).get(route, 0)
            less_bps = min(max(0, new_bps), max(0, extra) // length_s)
            if less_bps == rate_bps:
                del rates[slots][route]
            elif rate_bps - less_bps >= mover.least_bps:
                rates[slots][route] = rate_bps - less_bps
            else:
                continue
            extra -= less_bps * length_s
        if not rates[slots]:
            del rates[slots]


def _even_out(left: Forecast, mover: Mover, rates: Rates) -> None:
    """The widest path gives to those that carry next to nothing, unless they did so before."""
    kept = present_in(left, mover, list(rates))
    for slots, split in rates.items():
        worth_bps = max(mover.least_bps, mover.least_rate_bps, sum(split.values()) // CRUMBS)
        widest = max(split, key=lambda route: split[route])
        for route, rate_bps in list(split.items()):
            more_bps = worth_bps - rate_bps
            if more_bps <= 0 or kept.get(slots, {}).get(route) == rate_bps:
                continue
            rooms = [
                int(free[slots.start : slots.stop].min()) for free in _free(left, mover, route)
            ]
            if min(rooms, default=more_bps) < more_bps or split[widest] - more_bps < worth_bps:
                continue
            for way, bps in ((widest, -more_bps), (route, more_bps)):
                split[way] += bps
                _take(left, mover, way, slots, bps)


def _fill_up(left: Forecast, mover: Mover, rates: Rates) -> None:
    short = mover.bits - _bits(left, rates)
    for slots, route, rate_bps in list(_each(rates)):
        if short <= 0:
            return
        length_s = _length_s(left, slots)
        rest_bps = mover.criteria.bandwidth_bps - sum(rates[slots].values())
        rooms = [int(free[slots.start : slots.stop].min()) for free in _free(left, mover, route)]
        more_bps = max(0, min(-(-short // length_s), rest_bps, *rooms))
        rates[slots][route] = rate_bps + more_bps
        short -= more_bps * length_s
        _take(left, mover, route, slots, more_bps)


def laid_out(forecast: Forecast, mover: Mover, rates: Rates) -> tuple[Laid, ...]:
    """Its phases, as long as each lasts; its very ``present`` where nothing has changed."""
    if not mover.bits:
        return _constant(mover, next(iter(rates.values()), {}))
    if mover.present and _as_present(forecast, mover, rates):
        return mover.present
    found: list[tuple[range, Split]] = []
    for slots in sorted(rates, key=lambda slots: slots.start):
        if found and found[-1][0].stop == slots.start and found[-1][1] == rates[slots]:
            found[-1] = (range(found[-1][0].start, slots.stop), rates[slots])
        else:
            found.append((slots, rates[slots]))
    return tuple(_lay(forecast, mover, slots, split) for slots, split in found)


def _lay(forecast: Forecast, mover: Mover, slots: range, split: Split) -> Laid:
    window = Window(forecast.cuts[slots.start], forecast.cuts[slots.stop])
    return Laid(Phase(window, sum(split.values())), _shares(mover, split))


def _as_present(forecast: Forecast, mover: Mover, rates: Rates) -> bool:
    if present_in(forecast, mover, list(rates)) != rates:
        return False
    return _bits(forecast, rates) == sum(laid.phase.bits for laid in mover.present)


def _constant(mover: Mover, rates: Mapping[Route, int]) -> tuple[Laid, ...]:
    """What was rounded off is carried by the widest."""
    wanted_bps = mover.criteria.bandwidth_bps
    if not rates:
        return ()
    widest = max(rates, key=lambda route: rates[route])
    rates = {**rates, widest: rates[widest] + wanted_bps - sum(rates.values())}
    if mover.present and mover.present[0].phase.window == mover.criteria.window:
        # What a route's latency was told to be may have changed.
        lies = {share.route: share.bandwidth_bps for share in mover.present[0].shares}
        if lies == rates:
            return mover.present
    laid = Laid(Phase(mover.criteria.window, wanted_bps), _shares(mover, rates))
    return (laid,) if rates[widest] > 0 else ()


def _shares(mover: Mover, rates: Mapping[Route, int]) -> Shares:
    return tuple(Share(route, bps, mover.routes[route]) for route, bps in rates.items())


def continues(gone: Sequence[Laid], laid: Sequence[Laid]) -> bool:
    """Whether the first phase is the last one before, which lasts longer."""
    if not gone or not laid:
        return False
    before, after = gone[-1], laid[0]
    split, other = ({s.route: s.bandwidth_bps for s in one.shares} for one in (before, after))
    return before.phase.window.end_s == after.phase.window.start_s and split == other


def grouped(
    forecast: Forecast, groups: Sequence[range], rates: Rates, most: int
) -> tuple[range, ...]:
    """Fewer of them: those next to one another that differ least are made one, until no more than
    ``most`` phases are left."""
    runs = [(slots, rates.get(slots, {})) for slots in groups]

    def differ(at: int) -> float:
        (one, split), (other, after) = runs[at], runs[at + 1]
        if one.stop != other.start:
            return float("inf")
        bps = sum(abs(split.get(r, 0) - after.get(r, 0)) for r in {**split, **after})
        return float(bps) * min(_length_s(forecast, one), _length_s(forecast, other))

    while sum(bool(split) for _, split in runs) > most:
        at = min(range(len(runs) - 1), key=differ, default=0)
        if len(runs) < 2 or differ(at) == float("inf"):
            break
        (one, split), (other, after) = runs[at], runs[at + 1]
        lengths_s = _length_s(forecast, one), _length_s(forecast, other)
        both = {
            route: (split.get(route, 0) * lengths_s[0] + after.get(route, 0) * lengths_s[1])
            // sum(lengths_s)
            for route in {**split, **after}
        }
        runs[at : at + 2] = [(range(one.start, other.stop), both)]
    return tuple(slots for slots, _ in runs)


def lies_well(forecast: Forecast, movers: Sequence[Mover], layout: Layout) -> bool:
    """Whether each carries what it must within its limits, and all lie together, in integers."""
    left = replace(forecast, levels=forecast.levels.copy())
    for mover, phases in zip(movers, layout, strict=True):
        if not phases or not _keeps_limits(mover, phases):
            return False
        for laid in phases:
            touched = left.slots_of(laid.phase.window)
            for share in laid.shares:
                slots = range(touched.start, touched.stop)
                _take(left, mover, share.route, slots, share.bandwidth_bps)
    return bool((left.levels >= 0).all())


def _keeps_limits(mover: Mover, phases: Sequence[Laid]) -> bool:
    if phases is mover.present:
        return True
    most_bps, paths_max = mover.criteria.bandwidth_bps, mover.criteria.constraints.max_paths
    return sum(laid.phase.bits for laid in phases) >= mover.bits and all(
        laid.phase.bandwidth_bps <= most_bps and len(laid.shares) <= paths_max for laid in phases
    )


def _each(rates: Rates) -> Iterator[tuple[range, Route, int]]:
    for slots, split in rates.items():
        for route, rate_bps in split.items():
            yield slots, route, rate_bps


def _bits(forecast: Forecast, rates: Rates) -> int:
    return sum(bps * _length_s(forecast, slots) for slots, _, bps in _each(rates))


def _length_s(forecast: Forecast, slots: range) -> int:
    return forecast.cuts[slots.stop] - forecast.cuts[slots.start]


def _free(forecast: Forecast, mover: Mover, route: Route) -> list[Levels]:
    """What is known to be free on a route, per slot."""
    rows = rows_of(route, mover.criteria.directionality)
    return [free for row in rows if (free := forecast.of(row)) is not None]


def _take(left: Forecast, mover: Mover, route: Route, slots: range, rate_bps: int) -> None:
    for free in _free(left, mover, route):
        free[slots.start : slots.stop] -= rate_bps
