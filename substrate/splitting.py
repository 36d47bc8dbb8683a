"""Composition: how a bandwidth is split over routes, by what is free (paper 003, 5.2).

Pure and exact in integers: shares always add up to what was asked. Objective, in order: fewest
paths, least spread of latency, least latency, least price, then names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from substrate.filling import fill
from substrate.model import Criteria, Disjointness, Refusal, RefusalKind, Strategy
from substrate.options import PATH, Option, Options, Pair, Supply
from substrate.routes import Route, disjoint_routes
from substrate.sets import Sets
from substrate.topology import Topology
from substrate.values import dataclass, replace

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Share:
    """A route and the bandwidth that it carries; more than 0."""

    route: Route
    bandwidth_bps: int
    latency_us: int = 0


SETS_MAX = 4096
"""Sets of routes that are tried before none is known to carry it."""
Shares = tuple[Share, ...]


@dataclass(slots=True)
class Effort:
    """How many sets of routes may still be tried; of several compositions together."""

    left: int = SETS_MAX

    def spent_on(self, items: Iterable[T]) -> Iterator[T]:
        """These, as far as it goes."""
        for item in items:
            if self.left <= 0:
                return
            self.left -= 1
            yield item


Composer = Callable[[Criteria, Sequence[Option], Effort], "Shares | None"]


def compose(
    criteria: Criteria, routes: tuple[Route, ...], supply: Supply, topology: Topology
) -> Shares | Refusal:
    """Shares that add up to ``criteria.bandwidth_bps``, or what stands in the way.

    Routes that the constraints or the supply exclude are left out. See :class:`Strategy`. Routes
    without a VLAN are of use only to say that this is what is short (substrate.labels).
    """
    found = Options(criteria, routes, supply, topology)
    shares = composed(criteria, found, Effort())
    if shares is not None:
        return shares
    if not routes:
        return Refusal(RefusalKind.NO_PATH, "no path joins the two STPs within the constraints")
    options = found.usable()
    return _why_not(criteria, options) if options else _nothing_usable(criteria, routes, supply)


def composed(criteria: Criteria, found: Options, effort: Effort) -> Shares | None:
    """As :func:`compose`, for who does not ask why: that takes longer than to see that.

    ``found``: the routes as options of these criteria.
    """
    if criteria.strategy is not Strategy.EQUAL_SPLITTING:
        alone = found.best_alone()
        if alone is not None:
            return (Share(alone.route, criteria.bandwidth_bps, alone.latency_us),)
    options = found.usable()
    surviving = criteria.constraints.survive > 0
    composer = _fewest if surviving else COMPOSERS[criteria.strategy]
    labelled = found.labelled(options)
    shares = composer(criteria, labelled, effort) if labelled else None
    if shares is None and len(labelled) < len(options):
        return composer(criteria, options, effort)
    return shares


def _why_not(criteria: Criteria, options: Sequence[Option]) -> Refusal:
    most = _most(criteria)
    if criteria.constraints.survive:
        return _too_little(criteria, options, most)
    if criteria.strategy is Strategy.SINGLE_PATH:
        return _too_little(criteria, options, 1)
    if criteria.strategy is Strategy.EQUAL_SPLITTING:
        chosen = _disjoint(_near(criteria, options)[0], most)
        return _too_little(criteria, chosen, len(chosen), equal=True)
    if criteria.strategy is Strategy.FULL_OFFERS:
        options = [option for option in options if not option.blind]
        if not options:
            reason = "every path crosses a blind domain: no full offers"
            return Refusal(RefusalKind.NO_PATH, reason)
    return _too_little(criteria, options, most)


def _single_path(criteria: Criteria, options: Sequence[Option], _: Effort) -> Shares | None:
    """One route that carries it all: visible ones first, then by latency and price."""
    wanted = criteria.bandwidth_bps
    fitting = [option for option in options if option.bottleneck_bps >= wanted]
    if not fitting:
        return None
    best = min(fitting, key=lambda o: (o.blind, o.latency_us, o.price))
    return (Share(best.route, wanted, best.latency_us),)


def _equal_splitting(criteria: Criteria, options: Sequence[Option], _: Effort) -> Shares | None:
    """Equal parts over all disjoint routes; nobody was asked."""
    chosen = _disjoint(_near(criteria, options)[0], _most(criteria))
    return _equal(criteria, criteria.bandwidth_bps, chosen)


def _full_offers(criteria: Criteria, options: Sequence[Option], effort: Effort) -> Shares | None:
    """Visible domains only."""
    return _fewest(criteria, [option for option in options if not option.blind], effort)


def _partial_offers(criteria: Criteria, options: Sequence[Option], effort: Effort) -> Shares | None:
    """Visible domains first; the remainder in equal parts over the blind ones."""

    def remainder(rest_bps: int, blind: Sequence[Option], most: int) -> Shares | None:
        return _equal(criteria, rest_bps, _disjoint(blind, most))

    return _offers_then_blind(criteria, options, effort, remainder)


def _auto(criteria: Criteria, options: Sequence[Option], effort: Effort) -> Shares | None:
    """Visible domains first; the remainder over as few blind ones as may carry it.

    Where that fails, any set of routes that carries it all.
    """

    def remainder(rest_bps: int, blind: Sequence[Option], most: int) -> Shares | None:
        for chosen in effort.spent_on(_sets(blind, most, rest_bps)):
            shares = _filled(chosen, rest_bps, criteria.constraints.min_share_bps)
            if shares is not None:
                return shares
        return None

    shares = _offers_then_blind(criteria, options, effort, remainder)
    if shares is None and any(option.blind for option in options):
        return _fewest(criteria, options, effort)
    return shares


Remainder = Callable[[int, Sequence[Option], int], "Shares | None"]


def _offers_then_blind(
    criteria: Criteria, options: Sequence[Option], effort: Effort, remainder: Remainder
) -> Shares | None:
    shares = _fewest(criteria, [option for option in options if not option.blind], effort)
    if shares is not None:
        return shares
    most = _most(criteria)
    groups = _near(criteria, options) if any(option.blind for option in options) else []
    for taken in range(most - 1, -1, -1):
        for near in groups:
            visible = [option for option in near if not option.blind]
            if len(visible) < taken:
                continue
            given = _all_they_give(criteria, visible, taken)
            rest_bps = criteria.bandwidth_bps - sum(share.bandwidth_bps for share in given)
            left = _less([option for option in near if option.blind], given)
            more = remainder(rest_bps, left, most - len(given))
            if more is not None:
                return (*given, *more)
    return None


def _near(criteria: Criteria, options: Sequence[Option]) -> list[list[Option]]:
    """Groups within the allowed spread of latency, quickest first; all are one without a limit."""
    spread_us = criteria.constraints.max_latency_spread_us
    if spread_us is None:
        return [list(options)]
    return [
        [option for option in options if 0 <= option.latency_us - least_us <= spread_us]
        for least_us in sorted({option.latency_us for option in options})
    ]


COMPOSERS: dict[Strategy, Composer] = {
    Strategy.AUTO: _auto,
    Strategy.SINGLE_PATH: _single_path,
    Strategy.EQUAL_SPLITTING: _equal_splitting,
    Strategy.PARTIAL_OFFERS: _partial_offers,
    Strategy.FULL_OFFERS: _full_offers,
}


def _fewest(criteria: Criteria, options: Sequence[Option], effort: Effort) -> Shares | None:
    """The best set of routes that carries it all, smallest sets first."""
    wanted, limits = criteria.bandwidth_bps, criteria.constraints
    spread_us = limits.max_latency_spread_us
    # What all of them do not carry together no set of them carries; there may be thousands.
    if sum(fill([option.limits for option in options], wanted, 0, whole=True)) < wanted:
        return None
    for chosen in effort.spent_on(_sets(options, _most(criteria), wanted)):
        if spread_us is not None and _spread(chosen) > spread_us:
            continue
        if limits.survive and not _share_nothing(chosen, limits.disjoint):
            continue
        shares = _filled(chosen, wanted, limits.min_share_bps)
        if shares is not None:
            return shares
    return None


def _sets(options: Sequence[Option], most: int, wanted: int) -> Iterator[tuple[Option, ...]]:
    """Sets of at most so many that could carry it, smallest first, then best first."""
    sets = Sets(
        [option.limits for option in options],
        [option.latency_us for option in options],
        [option.price for option in options],
    )
    for size in range(1, min(most, len(options)) + 1):
        for chosen in sets.likely(size, wanted):
            yield tuple(options[i] for i in chosen)


def _filled(chosen: Sequence[Option], wanted: int, min_share_bps: int) -> Shares | None:
    amounts = fill([option.limits for option in chosen], wanted, min_share_bps, whole=True)
    if sum(amounts) < wanted:
        return None
    return _shares(chosen, amounts)


def _share_nothing(chosen: Sequence[Option], disjoint: Disjointness) -> bool:
    used: set[str] = set()
    for option in chosen:
        route = option.route
        if disjoint is Disjointness.DOMAIN:
            own = set(route.domains[1:-1])
            # Straight from one end to the other: there is the link alone.
            own = own or {stp for place in route.places[1:-1] for stp in place}
        else:
            own = {stp for place in route.places[1:-1] for stp in place}
        if own & used:
            return False
        used |= own
    return True


def _disjoint(options: Sequence[Option], most: int) -> list[Option]:
    """Options that share no inter-domain link with one before them."""
    disjoint = disjoint_routes(tuple(option.route for option in options))
    return [option for option in options if option.route in disjoint][:most]


def _equal(criteria: Criteria, wanted: int, disjoint: Sequence[Option]) -> Shares | None:
    """Equal parts (the first ones take the odd bits); None where they do not fit.

    Over fewer options than given where the parts would be less than the least share.
    """
    chosen = disjoint[: wanted // max(1, criteria.constraints.min_share_bps)]
    if not chosen:
        return None
    part, odd = divmod(wanted, len(chosen))
    shares = _shares(chosen, [part + (1 if i < odd else 0) for i in range(len(chosen))])
    # They share no link, but the ports at the two ends.
    return shares if all(o.bottleneck_bps >= 0 for o in _left(chosen, shares)) else None


def _all_they_give(criteria: Criteria, visible: Sequence[Option], count: int) -> Shares:
    """What the ``count`` widest visible routes give together."""
    widest = sorted(visible, key=lambda o: (-o.bottleneck_bps, o.latency_us))[:count]
    if not widest:
        return ()
    least = max(1, criteria.constraints.min_share_bps)
    # The others must be left a share that is worth it.
    amounts = fill([option.limits for option in widest], criteria.bandwidth_bps - least, 0)
    return _shares(widest, [amount if amount >= least else 0 for amount in amounts])


def _less(options: Iterable[Option], given: Shares) -> list[Option]:
    """The options of which something is left when the given shares take theirs."""
    return [option for option in _left(options, given) if option.bottleneck_bps > 0]


def _left(options: Iterable[Option], given: Shares) -> list[Option]:
    """The options with what the given shares take already gone."""
    taken: dict[str | Pair, int] = {}
    for share in given:
        for pair in share.route.pairs:
            for resource in (pair, *pair):
                taken[resource] = taken.get(resource, 0) + share.bandwidth_bps
    rest = []
    for option in options:
        limits = {key: bps - taken.get(key, 0) for key, bps in option.limits.items()}
        rest.append(replace(option, limits=limits, bottleneck_bps=min(limits.values())))
    return rest


def _shares(chosen: Sequence[Option], amounts: Sequence[int]) -> Shares:
    return tuple(
        Share(option.route, amount, option.latency_us)
        for option, amount in zip(chosen, amounts, strict=True)
        if amount > 0
    )


def _most(criteria: Criteria) -> int:
    return 1 if criteria.constraints.ero else criteria.constraints.max_paths


def _spread(chosen: Sequence[Option]) -> int:
    latencies = [option.latency_us for option in chosen]
    return max(latencies) - min(latencies)


def _widest(options: Sequence[Option]) -> list[Option]:
    return sorted(options, key=lambda o: (-o.bottleneck_bps, o.latency_us))


def _fits(options: Sequence[Option], wanted: int, most: int) -> int:
    """About the most that fits: over the widest, or one after the other where these share."""
    widest = [option.limits for option in _widest(options)[:most]]
    fits_bps = sum(fill(widest, wanted, 0))
    if fits_bps >= min(wanted, sum(min(limits.values()) for limits in widest)):
        return fits_bps
    chosen: list[Mapping[str | Pair, int]] = []
    left, added_bps = [option.limits for option in _widest(options)], 0
    while left and len(chosen) < most:
        totals = [sum(fill([*chosen, limits], wanted, 0)) for limits in left]
        if max(totals) <= added_bps:
            break
        added_bps = max(totals)
        chosen.append(left.pop(totals.index(added_bps)))
    return max(fits_bps, added_bps)


def _too_little(
    criteria: Criteria, options: Sequence[Option], most: int, *, equal: bool = False
) -> Refusal:
    """Names the tightest place of the widest route, and how much would fit within the limits."""
    wanted, limits = criteria.bandwidth_bps, criteria.constraints
    widest = _widest(options)[: max(1, most)]
    if equal:
        fits_bps = len(widest) * min(fill([option.limits for option in widest], wanted, 0))
    else:
        fits_bps = max(_fits(near, wanted, max(1, most)) for near in _near(criteria, options))
    tightest = min(widest[0].limits, key=lambda key: (widest[0].limits[key], str(key)))
    place = tightest if isinstance(tightest, str) else " to ".join(tightest)
    where = f"at {place}"
    if place.startswith(PATH):
        place, where = "", "for enough to be left without it"
    paths = "1 path" if most == 1 else f"{len(widest)} of at most {most} paths"
    if limits.survive:
        paths += f" that share no {limits.disjoint.name.lower()}"
    if limits.max_latency_spread_us is not None:
        paths += f" within a latency spread of {limits.max_latency_spread_us} us"
    if fits_bps >= wanted:
        reason = (
            f"fits over {paths} only with shares below {_human(limits.min_share_bps)} or unequal"
            if not limits.survive
            else f"fits, but not over {paths}"
        )
    else:
        reason = f"was asked for, about {_human(fits_bps)} fits over {paths}"
    return Refusal(
        RefusalKind.BANDWIDTH,
        f"{_human(wanted)} {reason};"
        f" the widest is limited to {_human(widest[0].bottleneck_bps)} {where}",
        domain=place.partition(":")[0],
        resource=place,
        available_bps=fits_bps if fits_bps < wanted else None,
    )


def _nothing_usable(criteria: Criteria, routes: tuple[Route, ...], supply: Supply) -> Refusal:
    for route in routes:
        for crossing in route.crossings:
            if crossing.domain in supply.down:
                reason = f"{crossing.domain} does not answer, and no path goes around it"
                return Refusal(RefusalKind.UNAVAILABLE, reason, domain=crossing.domain)
    free = {
        " to ".join(pair): supply.pair_bps[pair]
        for route in routes
        for pair in route.pairs
        if pair in supply.pair_bps
    }
    stps = {stp for route in routes for pair in route.pairs for stp in pair}
    free.update((stp, supply.port_bps[stp]) for stp in stps if stp in supply.port_bps)
    place = min(free, key=lambda place: (free[place], place), default="")
    if place and free[place] < max(1, criteria.constraints.min_share_bps):
        return Refusal(
            RefusalKind.BANDWIDTH,
            f"nothing of {_human(criteria.bandwidth_bps)} fits: {place} has "
            f"{_human(free[place])} free",
            domain=place.partition(":")[0],
            resource=place,
            available_bps=0,
        )
    return Refusal(
        RefusalKind.NO_PATH,
        "no path is within the limits on latency and least share, or every path has a domain that"
        " offers nothing",
    )


def _human(bandwidth_bps: int) -> str:
    for unit, size in (("Tb/s", 10**12), ("Gb/s", 10**9), ("Mb/s", 10**6), ("kb/s", 10**3)):
        if bandwidth_bps >= size:
            return f"{bandwidth_bps / size:.6g} {unit}"
    return f"{bandwidth_bps} b/s"
