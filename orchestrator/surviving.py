"""What would be granted in place of a circuit that cannot survive the loss of paths as asked. Pure.

Alternatives like those of :mod:`orchestrator.explanation`: they hold nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from orchestrator.explanation import (
    DIGITS,
    ROUND_BPS,
    Alternative,
    AlternativeKind,
    duration_of,
    inside,
    instead,
    may_bend,
)
from orchestrator.flexibility import of_bandwidth
from substrate.bending import FINENESS, Phase, Search, rigid, soonest
from substrate.model import Constraints, Criteria, Disjointness, Window
from substrate.rates import scaled
from substrate.splitting import Effort
from substrate.values import replace

T = TypeVar("T")

LEAST_PARTS = 20
"""Less than one in so many parts of what was asked for is no help."""
SHARED_DOMAINS = 0.5
"""How far it is from paths that share no domain to such as share no link, as a share of that."""


def surviving_less(search: Search, *, narrower: bool) -> list[Alternative]:
    """The same bandwidth at the same time, of which less survives; with ``narrower`` less of both.

    Without any survival where no less of it is to be had, and that is. Nothing where it was not
    asked for.
    """
    if not _looks(search):
        return []
    search = _within(search)
    if _never(search):
        return _any(_without(search))
    less = _mild(search) or _any(_mildest(search))
    found = [_changed(search, each) for each in less] or _any(_without(search))
    if narrower:
        found += surviving_narrower(search)
    return found


def surviving_narrower(search: Search) -> list[Alternative]:
    """The most bandwidth of which as large a part survives as was asked for, at the same time."""
    if not _looks(search):
        return []
    search = _within(search)
    return [_changed(search, each) for each in _any(_less_of_all(search))]


def _looks(search: Search) -> bool:
    asked = search.criteria
    ahead = inside(search, asked.window).duration_s > 0
    return bool(asked.constraints.survive) and may_bend(asked) and ahead


def _within(search: Search) -> Search:
    """Of which nothing is known after the window that was asked for."""
    end_s = search.criteria.window.end_s
    if end_s >= search.forecast.span.end_s:
        return search
    return replace(search, forecast=search.forecast.until(end_s))


def _never(search: Search) -> bool:
    """Whether to one of the destinations all routes have a link in common."""
    own = search.own.values()
    return any(
        len(routes) < 2 or frozenset.intersection(*(route.link_stps for route in routes))
        for routes in own
    )


def _own(search: Search) -> Search:
    """With an effort of its own, so that one that fails leaves the others theirs."""
    return replace(search, effort=Effort(search.effort.left))


def _any(found: T | None) -> list[T]:
    return [found] if found is not None else []


def _mild(search: Search) -> list[Criteria]:
    """With one of the three things that make survival hard taken back, each as little as serves."""
    limits = search.criteria.constraints
    found = []
    if limits.disjoint is Disjointness.DOMAIN:
        found += _any(_placed(_own(search), replace(limits, disjoint=Disjointness.LINK)))
    within, losses = _own(search), range(limits.survive - 1, 0, -1)
    fewer = (_placed(within, replace(limits, survive=lost)) for lost in losses)
    found += _any(next((each for each in fewer if each is not None), None))
    return found + _any(_strongest(search, limits))


def _mildest(search: Search) -> Criteria | None:
    """With all three of them taken back, the last as little as serves."""
    limits = replace(search.criteria.constraints, survive=1, disjoint=Disjointness.LINK)
    return _placed(_own(search), limits) or _strongest(search, limits)


def _strongest(search: Search, limits: Constraints) -> Criteria | None:
    """With the most left after a loss that is less than was to be left."""
    within = _own(search)

    def placed(remaining_bps: int) -> Criteria | None:
        return _placed(within, replace(limits, remaining_bps=remaining_bps))

    return _most(placed, limits.remaining_bps)


def _less_of_all(search: Search) -> Criteria | None:
    """The most bandwidth of which as large a part survives as was asked for."""
    asked, within = search.criteria, _own(search)

    def placed(bandwidth_bps: int) -> Criteria | None:
        if bandwidth_bps < max(2, asked.constraints.min_share_bps):
            return None
        less = of_bandwidth(asked, bandwidth_bps)
        return _placed(replace(within, criteria=less), less.constraints)

    return _most(placed, asked.bandwidth_bps)


def _most(placed: Callable[[int], Criteria | None], fails_bps: int) -> Criteria | None:
    """What is placed of the most bit/s below ``fails_bps``; what is placed of more is of less."""
    fits_bps = -(-fails_bps // LEAST_PARTS)
    best = placed(fits_bps) if fits_bps < fails_bps else None
    if best is None:
        return None
    fine_bps = max(1, min(ROUND_BPS, fails_bps // FINENESS))
    while fails_bps - fits_bps > fine_bps:
        next_bps = (fits_bps + fails_bps) // 2
        found = placed(next_bps)
        if found is not None:
            fits_bps, best = next_bps, found
        else:
            fails_bps = next_bps
    below_bps = fits_bps // ROUND_BPS * ROUND_BPS
    whole = (bps for bps in (below_bps + ROUND_BPS, below_bps) if 0 < bps < fails_bps)
    rounded = (each for each in map(placed, whole) if each is not None)
    return next(rounded, best)


def _placed(search: Search, limits: Constraints) -> Criteria | None:
    """The criteria with other limits where that fits, in the first window where it does."""
    asked = replace(search.criteria, constraints=limits)
    other = replace(search, criteria=asked)
    window, duration_s = inside(search, asked.window), duration_of(asked)
    if duration_s < window.duration_s:
        found: Window | None = soonest(other, asked.bandwidth_bps, duration_s)
    else:
        found = window if other.fits(asked.bandwidth_bps, window) else None
    return rigid(asked, Phase(found, asked.bandwidth_bps)) if found is not None else None


def _changed(search: Search, found: Criteria) -> Alternative:
    asked, before, now = search.criteria, search.criteria.constraints, found.constraints
    if found.bandwidth_bps < asked.bandwidth_bps:
        each = " to each" if asked.more_destinations else ""
        text = instead(found.bandwidth_bps, asked.bandwidth_bps, "b/s", each)
        text += f", of which {_remains(before, now)}"
        change = 1 - found.bandwidth_bps / asked.bandwidth_bps
        return Alternative(AlternativeKind.LARGEST_BANDWIDTH, found, text, change)
    text = _remains(before, now)
    change = (1 - now.survive / before.survive) + (1 - now.remaining_bps / before.remaining_bps)
    if now.disjoint is not before.disjoint:
        text += "; paths may share domains, though no link"
        change += SHARED_DOMAINS
    return Alternative(AlternativeKind.LESS_SURVIVAL, found, text, change)


def _remains(before: Constraints, now: Constraints) -> str:
    left = scaled(now.remaining_bps, "b/s", DIGITS)
    if now.remaining_bps < before.remaining_bps:
        left = instead(now.remaining_bps, before.remaining_bps, "b/s")
    lost = f"{now.survive} path{'s' if now.survive > 1 else ''}"
    if now.survive < before.survive:
        lost += f" instead of {before.survive}"
    return f"{left} remain after the loss of {lost}"


def _without(search: Search) -> Alternative | None:
    usual = Constraints()
    limits = replace(
        search.criteria.constraints,
        survive=usual.survive,
        remaining_bps=usual.remaining_bps,
        disjoint=usual.disjoint,
    )
    found = _placed(_own(search), limits)
    if found is None:
        return None
    text = "all of it, but without survive: nothing need remain after the loss of a path"
    return Alternative(AlternativeKind.LESS_SURVIVAL, found, text, 1.0)
