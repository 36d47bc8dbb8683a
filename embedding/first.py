"""The first stage: an embedding in milliseconds, and a bound that often proves it good enough."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from embedding.bound import combinatorial_bound
from embedding.distances import ROUNDING, Distances, distances
from embedding.grouping import WORK_FIRST, Groups, grouping_of
from embedding.matching import Match, nearest_placement
from embedding.network import Floats, Ints
from embedding.objectives import Terms, value
from embedding.placing import placements
from embedding.problem import Problem
from embedding.routing import Parts, link_use, route
from embedding.rules import broken

ROUTED_MAX = 4
"""Placements that paths are looked for, at most."""
PEAKS_TRIED = 7
"""How full anything may get, at most so often."""
LOWEST = 1 / 8
"""Of the gap: what is fuller than the bound says, in the first try."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Host numbers per VNode, shares per VLink, bandwidth per link, and what it costs."""

    hosts: Ints
    parts: tuple[Parts, ...]
    use: Floats
    value: float


@dataclass(frozen=True, slots=True)
class FirstStage:
    """What was found, if anything, and what nothing can be cheaper than."""

    solution: Solution | None
    bound: float
    grouping: Groups | None = None


def first_stage(
    problem: Problem, terms: Terms, gap: float = 0.0, work_max: int = WORK_FIRST
) -> FirstStage:
    """Looks no further once an embedding is within ``gap`` of the bound.

    ``work_max``: for :func:`embedding.grouping.grouping_of`.
    """
    far = distances(problem, terms.link)
    match = _match(problem, terms, far)
    bound = combinatorial_bound(problem, terms, far.least, match.further * far.step)
    if not np.isfinite(bound):
        return FirstStage(None, bound)
    levels = _Levels(problem, terms, gap, work_max) if terms.peak else None
    best = levels.lowest(bound) if levels else None
    if best is not None and best.value - bound <= gap * best.value:
        return FirstStage(best, bound)
    grouping = grouping_of(problem, terms, far.least, work_max)
    if grouping is not None:
        peak = terms.peak * grouping.peak() if terms.peak else 0.0
        bound = max(bound, grouping.bound + peak * (1 - ROUNDING))
    if not np.isfinite(bound):
        return FirstStage(None, bound)
    if levels:
        return FirstStage(levels.bisect(bound, best), bound, grouping)
    return FirstStage(_cheapest(problem, terms, far, match, bound, gap, grouping), bound, grouping)


class _Levels:
    """Embeddings that get nothing fuller than some share: beside that, short ways are best."""

    def __init__(self, problem: Problem, terms: Terms, gap: float, work_max: int) -> None:
        self._problem, self._terms, self._flat = problem, terms, replace(terms, peak=0.0)
        self._gap, self._work_max = gap, work_max

    def lowest(self, bound: float) -> Solution | None:
        """One that is all but as good as the bound, if VNodes that are spread make one."""
        return self._under(self._share(bound + self._gap * LOWEST * self._terms.peak), meet=False)

    def bisect(self, bound: float, best: Solution | None) -> Solution | None:
        """Ends where what failed leaves no more to hope for. ``best``: known to begin with."""
        terms, gap = self._terms, self._gap
        low, high = self._share(bound), 1.0 if best is None else self._share(best.value)
        share = min(low + gap / 2, high)
        for _ in range(PEAKS_TRIED):
            if best is not None and best.value - max(bound, low * terms.peak) <= gap * best.value:
                break
            found = self._under(share)
            if found is None:
                low = share
            else:
                best = found if best is None or found.value < best.value else best
                high = min(share, self._share(best.value))
            if best is None and share >= 1.0:
                break
            share = 1.0 if best is None else (low + high) / 2
        return best

    def _share(self, value: float) -> float:
        """How full anything may be, if nothing else costs anything."""
        return min(value / self._terms.peak, 1.0)

    def _under(self, share: float, *, meet: bool = True) -> Solution | None:
        """VNodes that may ``meet`` are spread first: soon looked for, and it crams no links."""
        problem = self._problem.within(share)
        if not problem.fits.any(axis=1).all():
            return None
        far = distances(problem, self._flat.link)
        found = self._soonest(problem if problem.distinct else problem.spread(), far)
        if found is None and meet and not problem.distinct:
            grouping = grouping_of(problem, self._flat, far.least, self._work_max)
            if grouping is None or math.isfinite(grouping.bound):
                found = self._soonest(problem, far, grouping)
        if found is None:
            return None
        return replace(found, value=value(self._problem, self._terms, found.hosts, found.use))

    def _soonest(
        self, problem: Problem, far: Distances, grouping: Groups | None = None
    ) -> Solution | None:
        nothing = Match(None, 0.0)
        return _cheapest(problem, self._flat, far, nothing, math.inf, self._gap, grouping)


def _cheapest(
    problem: Problem,
    terms: Terms,
    far: Distances,
    match: Match,
    bound: float,
    gap: float,
    grouping: Groups | None = None,
) -> Solution | None:
    best: Solution | None = None
    candidates = _candidates(problem, terms, far, match, grouping)
    for tried, (hosts, promised) in enumerate(candidates):
        if best is not None and (tried == ROUTED_MAX or promised >= best.value):
            break
        found = routed(problem, terms, hosts)
        if found is not None and (best is None or found.value < best.value):
            best = found
        if best is not None and best.value - bound <= gap * best.value:
            break
    return best


def routed(problem: Problem, terms: Terms, hosts: Ints) -> Solution | None:
    """A placement with paths, where there are any, if it keeps the rules."""
    if problem.rules and any(broken(problem, hosts.tolist())):
        return None
    parts = route(problem, hosts, terms.link)
    if parts is None:
        return None
    use = link_use(problem, parts)
    return Solution(hosts, tuple(parts), use, value(problem, terms, hosts, use))


def _match(problem: Problem, terms: Terms, far: Distances) -> Match:
    """Only where VLinks are all that matters and no two VNodes may meet."""
    if not len(problem.ends) or terms.peak or terms.on.any() or not problem.distinct:
        return Match(None, 0.0)
    # Hosts with few links first: those with many are left for requests that need them.
    return nearest_placement(problem, far, -problem.ports)


def _candidates(
    problem: Problem, terms: Terms, far: Distances, match: Match, grouping: Groups | None
) -> Iterator[tuple[Ints, float]]:
    known = [] if match.hosts is None else [match.hosts]
    grouped = None if grouping is None else grouping.best(far)
    if grouped is not None:
        yield grouped, 0.0
        known = [grouped]
    if match.hosts is not None and not match.further:
        yield match.hosts, 0.0
    yield from placements(problem, terms, far, known)
