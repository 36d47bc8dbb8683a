"""Why a bandwidth does not fit over some routes, and about how much does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from substrate.filling import fill
from substrate.model import Criteria, Disjointness, Refusal, RefusalKind, Strategy
from substrate.options import PATH, Option, Pair, Supply, disjoint_options, most_paths, nearby
from substrate.rates import about
from substrate.routes import Route


def why_not(criteria: Criteria, options: Sequence[Option]) -> Refusal:
    """What stands in the way of criteria that do not compose over these options, one or more."""
    most = most_paths(criteria)
    if criteria.constraints.survive:
        return _all_share(criteria, options) or _too_little(criteria, options, most)
    if criteria.strategy is Strategy.SINGLE_PATH:
        return _too_little(criteria, options, 1)
    if criteria.strategy is Strategy.EQUAL_SPLITTING:
        chosen = disjoint_options(nearby(criteria, options)[0], most)
        return _too_little(criteria, chosen, len(chosen), equal=True)
    if criteria.strategy is Strategy.FULL_OFFERS:
        options = [option for option in options if not option.blind]
        if not options:
            reason = "every path crosses a blind domain: no full offers"
            return Refusal(RefusalKind.NO_PATH, reason)
    return _too_little(criteria, options, most)


def _all_share(criteria: Criteria, options: Sequence[Option]) -> Refusal | None:
    """The first link or domain that several paths all cross, though no two may; None: no such."""
    first = options[0].route
    if criteria.constraints.disjoint is Disjointness.DOMAIN:
        what, places = "domain", first.domains[1:-1]
        crossed = [set(option.route.domains) for option in options]
    else:
        what, places = "link", tuple(c.egress_stp for c in first.crossings[:-1])
        crossed = [set(option.route.link_stps) for option in options]
    shared = next((place for place in places if all(place in each for each in crossed)), None)
    if shared is None or len(options) == 1:
        return None
    reason = (
        f"{about(criteria.bandwidth_bps)} cannot survive the loss of a path: every path with room"
        f" crosses the {what} {'at ' if what == 'link' else ''}{shared},"
        f" and no two may share a {what}"
    )
    domain = shared.partition(":")[0]
    # As any other lack of room: at another time there may be paths around it.
    return Refusal(RefusalKind.BANDWIDTH, reason, domain=domain, resource=shared)


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
        fits_bps = max(_fits(near, wanted, max(1, most)) for near in nearby(criteria, options))
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
            f"fits over {paths} only with shares below {about(limits.min_share_bps)} or unequal"
            if not limits.survive
            else f"fits, but not over {paths}"
        )
    else:
        reason = f"was asked for, about {about(fits_bps)} fits over {paths}"
    return Refusal(
        RefusalKind.BANDWIDTH,
        f"{about(wanted)} {reason};"
        f" the widest is limited to {about(widest[0].bottleneck_bps)} {where}",
        domain=place.partition(":")[0],
        resource=place,
        available_bps=fits_bps if fits_bps < wanted else None,
    )


def nothing_usable(criteria: Criteria, routes: tuple[Route, ...], supply: Supply) -> Refusal:
    """The same where none of the routes is of any use."""
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
            f"nothing of {about(criteria.bandwidth_bps)} fits: {place} has "
            f"{about(free[place])} free",
            domain=place.partition(":")[0],
            resource=place,
            available_bps=0,
        )
    most_us = criteria.constraints.max_latency_us
    quickest_us = min((_latency_us(route, supply) for route in routes), default=0)
    if most_us is not None and quickest_us > most_us:
        told = f"the quickest takes {quickest_us / 1000:g} ms, {most_us / 1000:g} ms at most was"
        return Refusal(RefusalKind.NO_PATH, f"no path is within max_latency: {told} asked for")
    return Refusal(
        RefusalKind.NO_PATH,
        "no path is within the limits on latency and least share, or every path has a domain that"
        " offers nothing",
    )


def _latency_us(route: Route, supply: Supply) -> int:
    """Of its links, and of its domains as far as they told it."""
    return route.latency_us + sum(supply.pair_latency_us.get(pair, 0) for pair in route.pairs)
