"""Composition: how a bandwidth is split over routes, by what is free (paper 003, 5.2).

Pure and exact in integers: shares always add up to what was asked. Objective, in order: no path
with next to nothing, fewest paths, least spread of latency, least latency, least price, then names.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import is_not
from typing import TypeVar

from substrate.filling import fill
from substrate.model import Criteria, Disjointness, Refusal, RefusalKind, Strategy
from substrate.options import Option, Options, Pair, Supply, disjoint_options, most_paths, nearby
from substrate.refusing import nothing_usable, why_not
from substrate.routes import Route
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
CRUMBS = 1000
"""What carries less than one in so many parts carries next to nothing, but its share of flows."""
REJECTED = 32
"""To see that there are no VLANs for a set costs as much as to try so many."""
Shares = tuple[Share, ...]


@dataclass(slots=True)
class Effort:
    """How many sets of routes may still be tried; of several compositions together."""

    left: int = SETS_MAX
    _last: tuple[Sequence[Option], Sets] | None = None

    def sets_of(self, options: Sequence[Option]) -> Sets:
        """The sets of these options; made once where the last ones were the very same."""
        last = self._last
        if last is None or len(last[0]) != len(options) or any(map(is_not, last[0], options)):
            limits = [option.limits for option in options]
            latencies_us = [option.latency_us for option in options]
            last = options, Sets(limits, latencies_us, [option.price for option in options])
            self._last = last
        return last[1]

    def takes(self, accept: Accept, shares: Shares) -> bool:
        """Whether these are accepted; to find out that they are not costs as much as many sets."""
        takes = accept(shares)
        self.left -= 0 if takes else REJECTED
        return takes

    def spent_on(self, items: Iterable[T]) -> Iterator[T]:
        """These, as far as it goes."""
        for item in items:
            if self.left <= 0:
                return
            self.left -= 1
            yield item


Accept = Callable[[Shares], bool]
"""Whether shares are of use otherwise, such as that there are VLANs for them."""
Composer = Callable[[Criteria, Sequence[Option], Effort, Accept], "Shares | None"]


def compose(
    criteria: Criteria,
    routes: tuple[Route, ...],
    supply: Supply,
    topology: Topology,
    accept: Accept = lambda _shares: True,
) -> Shares | Refusal:
    """Shares that add up to ``criteria.bandwidth_bps``, or what stands in the way.

    Routes that the constraints or the supply exclude are left out. See :class:`Strategy`. Routes
    without a VLAN, and several that ``accept`` does not take, are of use only to say that this is
    what is short (substrate.labels).
    """
    found, useless = Options(criteria, routes, supply, topology), list[Shares]()

    def tried(shares: Shares) -> bool:
        takes = accept(shares)
        if not takes:
            useless.append(shares)
        return takes

    shares = composed(criteria, found, Effort(), tried)
    if shares is not None or useless:
        return useless[0] if shares is None else shares
    if not routes:
        return Refusal(RefusalKind.NO_PATH, "no path joins the two STPs within the constraints")
    options = found.usable()
    if len(found.labelled(options)) < len(options):
        shares = _composer(criteria)(criteria, options, Effort(), lambda _shares: True)
        if shares is not None:
            return shares
    return why_not(criteria, options) if options else nothing_usable(criteria, routes, supply)


def composed(criteria: Criteria, found: Options, effort: Effort, accept: Accept) -> Shares | None:
    """As :func:`compose`, for who does not ask why: that takes longer than to see that.

    ``found``: the routes as options of these criteria. On all of them a VLAN is left.
    """
    if criteria.strategy is not Strategy.EQUAL_SPLITTING:
        alone = found.best_alone()
        if alone is not None:
            return (Share(alone.route, criteria.bandwidth_bps, alone.latency_us),)
    labelled = found.labelled(found.usable())
    return _composer(criteria)(criteria, labelled, effort, accept) if labelled else None


def _composer(criteria: Criteria) -> Composer:
    return _fewest if criteria.constraints.survive else COMPOSERS[criteria.strategy]


def _single_path(
    criteria: Criteria, options: Sequence[Option], _effort: Effort, _accept: Accept
) -> Shares | None:
    """One route that carries it all: visible ones first, then by latency and price."""
    wanted = criteria.bandwidth_bps
    fitting = [option for option in options if option.bottleneck_bps >= wanted]
    if not fitting:
        return None
    best = min(fitting, key=lambda o: (o.blind, o.latency_us, o.price))
    return (Share(best.route, wanted, best.latency_us),)


def _equal_splitting(
    criteria: Criteria, options: Sequence[Option], effort: Effort, accept: Accept
) -> Shares | None:
    """Equal parts over all disjoint routes; nobody was asked."""
    chosen = disjoint_options(nearby(criteria, options)[0], most_paths(criteria))
    least_bps = max(1, criteria.constraints.min_share_bps)
    shares = _equal(least_bps, criteria.bandwidth_bps, chosen)
    return shares if shares is not None and effort.takes(accept, shares) else None


def _full_offers(
    criteria: Criteria, options: Sequence[Option], effort: Effort, accept: Accept
) -> Shares | None:
    """Visible domains only."""
    return _fewest(criteria, [option for option in options if not option.blind], effort, accept)


def _partial_offers(
    criteria: Criteria, options: Sequence[Option], effort: Effort, accept: Accept
) -> Shares | None:
    """Visible domains first; the remainder in equal parts over the blind ones."""

    def remainder(rest_bps: int, blind: Sequence[Option], most: int, least_bps: int) -> Several:
        shares = _equal(least_bps, rest_bps, disjoint_options(blind, most))
        return iter(() if shares is None else (shares,))

    return _offers_then_blind(criteria, options, effort, accept, remainder)


def _auto(
    criteria: Criteria, options: Sequence[Option], effort: Effort, accept: Accept
) -> Shares | None:
    """Visible domains first; the remainder over as few blind ones as may carry it.

    Where that fails, any set of routes that carries it all.
    """

    def remainder(rest_bps: int, blind: Sequence[Option], most: int, least_bps: int) -> Several:
        for chosen in effort.spent_on(_sets(effort, blind, most, rest_bps)):
            shares = _filled(chosen, rest_bps, least_bps)
            if shares is not None:
                yield shares

    shares = _offers_then_blind(criteria, options, effort, accept, remainder)
    if shares is None and any(option.blind for option in options):
        return _fewest(criteria, options, effort, accept)
    return shares


Several = Iterator[Shares]
Remainder = Callable[[int, Sequence[Option], int, int], Several]


def _offers_then_blind(
    criteria: Criteria,
    options: Sequence[Option],
    effort: Effort,
    accept: Accept,
    remainder: Remainder,
) -> Shares | None:
    visible = [option for option in options if not option.blind]
    shares = _fewest(criteria, visible, effort, accept)
    if shares is not None:
        return shares
    most = most_paths(criteria)
    groups = nearby(criteria, options) if len(visible) < len(options) else []
    tries = itertools.product(range(most - 1, -1, -1), groups, _leasts(criteria))
    for taken, near, least_bps in tries:
        given = _all_they_give(criteria, near, taken, least_bps)
        if given is None:
            continue
        rest_bps = criteria.bandwidth_bps - sum(share.bandwidth_bps for share in given)
        left = _less([option for option in near if option.blind], given)
        for more in remainder(rest_bps, left, most - len(given), least_bps):
            if effort.takes(accept, (*given, *more)):
                return (*given, *more)
    return None


def _leasts(criteria: Criteria) -> list[int]:
    """What a path is to carry at least: where there is room, so much that it is worth it."""
    least_bps = max(1, criteria.constraints.min_share_bps)
    worth_bps = criteria.bandwidth_bps // CRUMBS
    return [worth_bps, least_bps] if worth_bps > least_bps else [least_bps]


COMPOSERS: dict[Strategy, Composer] = {
    Strategy.AUTO: _auto,
    Strategy.SINGLE_PATH: _single_path,
    Strategy.EQUAL_SPLITTING: _equal_splitting,
    Strategy.PARTIAL_OFFERS: _partial_offers,
    Strategy.FULL_OFFERS: _full_offers,
}


def _fewest(
    criteria: Criteria, options: Sequence[Option], effort: Effort, accept: Accept
) -> Shares | None:
    """The best set of routes that carries it all, smallest sets first.

    Sets of which one would carry next to nothing only where there are no others.
    """
    wanted, limits = criteria.bandwidth_bps, criteria.constraints
    spread_us = limits.max_latency_spread_us
    for least_bps in _leasts(criteria):
        able = [option for option in options if option.bottleneck_bps >= least_bps]
        # What all of them do not carry together no set of them carries; there may be thousands.
        if not able or not effort.sets_of(able).carry(wanted):
            continue
        for chosen in effort.spent_on(_sets(effort, able, most_paths(criteria), wanted)):
            if spread_us is not None and _spread(chosen) > spread_us:
                continue
            if limits.survive and not _share_nothing(chosen, limits.disjoint):
                continue
            shares = _filled(chosen, wanted, least_bps)
            if shares is not None and effort.takes(accept, shares):
                return shares
    return None


def _sets(
    effort: Effort, options: Sequence[Option], most: int, wanted: int
) -> Iterator[tuple[Option, ...]]:
    """Sets of at most so many that could carry it, smallest first, then best first."""
    sets = effort.sets_of(options)
    for size in range(1, min(most, len(options)) + 1):
        for chosen in sets.likely(size, wanted):
            yield tuple(options[i] for i in chosen)


def _filled(chosen: Sequence[Option], wanted: int, least_bps: int) -> Shares | None:
    amounts = fill([option.limits for option in chosen], wanted, least_bps, whole=True)
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


def _equal(least_bps: int, wanted: int, disjoint: Sequence[Option]) -> Shares | None:
    """Equal parts (the first ones take the odd bits); None where they do not fit.

    Over fewer options than given where the parts would be less than ``least_bps``.
    """
    chosen = disjoint[: wanted // least_bps]
    if not chosen:
        return None
    part, odd = divmod(wanted, len(chosen))
    shares = _shares(chosen, [part + (1 if i < odd else 0) for i in range(len(chosen))])
    # They share no link, but the ports at the two ends.
    return shares if all(o.bottleneck_bps >= 0 for o in _left(chosen, shares)) else None


def _all_they_give(
    criteria: Criteria, near: Sequence[Option], count: int, least_bps: int
) -> Shares | None:
    """What the ``count`` widest visible routes give together; None where there are fewer.

    The others are left a share that is worth it.
    """
    visible = [option for option in near if not option.blind]
    if len(visible) < count:
        return None
    widest = sorted(visible, key=lambda o: (-o.bottleneck_bps, o.latency_us))[:count]
    if not widest:
        return ()
    amounts = fill([option.limits for option in widest], criteria.bandwidth_bps - least_bps, 0)
    return _shares(widest, [amount if amount >= least_bps else 0 for amount in amounts])


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


def _spread(chosen: Sequence[Option]) -> int:
    latencies = [option.latency_us for option in chosen]
    return max(latencies) - min(latencies)
