"""The first stage: an embedding in milliseconds, and a bound that often proves it good enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from embedding.bound import combinatorial_bound
from embedding.distances import Distances, distances
from embedding.matching import Match, nearest_placement
from embedding.network import Floats, Ints
from embedding.objectives import Terms, value
from embedding.placing import placements
from embedding.problem import Problem
from embedding.routing import Parts, link_use, route

ROUTED_MAX = 6
"""Placements that paths are looked for, at most."""


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


def first_stage(problem: Problem, terms: Terms, gap: float = 0.0) -> FirstStage:
    """Looks no further once an embedding is within ``gap`` of the bound."""
    far = distances(problem, terms.link)
    match = _match(problem, terms, far)
    bound = combinatorial_bound(problem, terms, far.least, match.further)
    if not np.isfinite(bound):
        return FirstStage(None, bound)
    best: Solution | None = None
    for tried, (hosts, promised) in enumerate(_candidates(problem, terms, far, match)):
        if best is not None and (tried == ROUTED_MAX or promised >= best.value):
            break
        found = routed(problem, terms, hosts)
        if found is not None and (best is None or found.value < best.value):
            best = found
        if best is not None and best.value - bound <= gap * best.value:
            break
    return FirstStage(best, bound)


def routed(problem: Problem, terms: Terms, hosts: Ints) -> Solution | None:
    """A placement with paths, where there are any."""
    parts = route(problem, hosts, terms.link)
    if parts is None:
        return None
    use = link_use(problem, parts)
    return Solution(hosts, tuple(parts), use, value(problem, terms, hosts, use))


def _match(problem: Problem, terms: Terms, far: Distances) -> Match:
    """Only where VLinks are all that matters and no two VNodes may meet."""
    pairs = problem.vnodes * (problem.vnodes - 1)
    if not len(problem.ends) or terms.peak or terms.on.any() or problem.apart.sum() < pairs:
        return Match(None, 0.0)
    # Hosts with few links first: those with many are left for requests that need them.
    return nearest_placement(problem, far, -problem.ports)


def _candidates(
    problem: Problem, terms: Terms, far: Distances, match: Match
) -> Iterator[tuple[Ints, float]]:
    known = [] if match.hosts is None else [match.hosts]
    if known and not match.further:
        yield match.hosts, 0.0
    yield from placements(problem, terms, far, known)
