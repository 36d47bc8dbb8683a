"""Placements whose VLinks join nearest neighbours, and a proof of how many cannot.

A placement that puts every VLink between nearest neighbours costs what counting says at least, so
it proves itself. It is searched for by forward checking over bit sets: the VNode with the fewest
hosts left goes next, and what a host leaves to the neighbours of its VNode is one ``&``. Where
there is none, the VLinks that stood in each other's way are a *core*: one of them must go further.
The cheapest set of VLinks that hits every core is a bound, and the set to leave out of the next
search (implicit hitting sets, as in MaxHS; Davies and Bacchus, Solving MAXSAT by solving a
sequence of simpler SAT instances, 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedding.distances import Distances
from embedding.network import Bools, Floats, Ints
from embedding.problem import Problem

VISITS = 12000
VISITS_FIRST = 1500
VISITS_DENSE = 250
"""Hosts tried in all searches, in the first one, and in the only one for a dense request."""
DENSE = 1.8
LARGE = 10
"""VLinks per VNode, and VNodes; such requests seldom fit so, nor is that soon proven."""
CORES_MAX = 24
SPARED_SHARE = 0.004
"""Of what all VLinks ask for: so little of the least ones may go further from the beginning."""


@dataclass(frozen=True, slots=True)
class Match:
    """``hosts``: per VNode, or None. ``further``: so much bandwidth at least goes further.

    Further, that is, than the least distance; where distances were found from above, it is nothing.
    """

    hosts: Ints | None
    further: float


def nearest_placement(problem: Problem, far: Distances, preferred: Floats) -> Match:
    """``preferred``: per host, the greatest is tried first."""
    order = np.argsort(-preferred, kind="stable")
    dense = problem.vnodes >= LARGE or len(problem.ends) > DENSE * problem.vnodes
    search = _Search(problem, far, order, VISITS_DENSE if dense else VISITS_FIRST)
    if search.most_near < max(len({u for u, _ in near}) for near in problem.neighbours):
        return Match(None, 0.0)
    weights = problem.bandwidth.tolist()
    ascending = sorted(range(len(weights)), key=lambda k: (weights[k], k))
    spared = _spared(ascending, weights)
    cores: list[frozenset[int]] = []
    further = 0.0
    while search.visits > 0 and len(cores) < CORES_MAX:
        hit = _cheapest_hitting(cores, weights)
        further = sum(weights[k] for k in hit)
        if search.run(hit | spared):
            return Match(order[np.array(search.hosts)], further)
        if search.visits <= 0:
            break
        core = frozenset(ascending) - hit - spared
        if not core:
            break
        if not cores and not dense:
            search.visits += VISITS - VISITS_FIRST
        cores.append(_shrunk(search, core, ascending))
    return Match(None, further)


def _spared(ascending: Sequence[int], weights: Sequence[float]) -> frozenset[int]:
    spared, rest = set[int](), SPARED_SHARE * sum(weights)
    for k in ascending:
        rest -= weights[k]
        if rest < 0:
            break
        spared.add(k)
    return frozenset(spared)


def _shrunk(search: _Search, core: frozenset[int], ascending: Sequence[int]) -> frozenset[int]:
    """Without VLinks that the conflict does not need; the least go first: they bound least."""
    for k in ascending:
        if k in core and len(core) > 1:
            found = search.run(frozenset(ascending) - core | {k})
            if search.visits <= 0:
                break
            if not found:
                core = core - {k}
    return core


def _cheapest_hitting(cores: Sequence[frozenset[int]], weights: Sequence[float]) -> frozenset[int]:
    """The set of least weight with a member of each core; cores are few and small."""
    best: list[tuple[float, frozenset[int]]] = [(float("inf"), frozenset())]

    def extend(chosen: frozenset[int], weight: float) -> None:
        if weight >= best[0][0]:
            return
        open_ = [core for core in cores if not core & chosen]
        if not open_:
            best[0] = (weight, chosen)
            return
        smallest = min(open_, key=lambda core: (len(core), sorted(core)))
        for k in sorted(smallest, key=lambda k: (weights[k], k)):
            extend(chosen | {k}, weight + weights[k])

    extend(frozenset(), 0.0)
    return best[0][1]


class _Search:
    """Hosts are numbered as they are preferred; sets of them are bits."""

    def __init__(self, problem: Problem, far: Distances, order: Ints, visits: int) -> None:
        self.visits = visits
        self.hosts = [-1] * problem.vnodes
        self._problem = problem
        self._fits = problem.fits[:, order]
        vnodes = range(problem.vnodes)
        self._apart = [[u for u in vnodes if problem.apart[v, u]] for v in vnodes]
        reach = _reach(problem, far, order)
        self._counts = reach.sum(axis=2)
        self.most_near = int(self._counts.max(initial=0))
        self._packed = np.packbits(reach, 2, "little")
        self._reach: dict[int, list[int]] = {}
        self._near: list[list[tuple[int, list[int]]]] = []

    def run(self, skipped: frozenset[int]) -> bool:
        """Whether ``hosts`` now has a placement of all VLinks but these; no if visits ran out."""
        near = [[(u, k) for u, k in some if k not in skipped] for some in self._problem.neighbours]
        self._near = [[(u, self._reach_of(k)) for u, k in some] for some in near]
        domains = [self._domain(v, some) for v, some in enumerate(near)]
        if not all(domains):
            return False
        left = list(range(len(domains)))
        first = min(left, key=lambda v: domains[v].bit_count())
        return self._place(domains, left, first)

    def _domain(self, vnode: int, near: list[tuple[int, int]]) -> int:
        """Where it fits, and enough hosts are near: for the n greatest of its VLinks at least n.

        Of VLinks to one other VNode, that is, only the greatest counts.
        """
        fits, bandwidth = self._fits[vnode], self._problem.bandwidth
        greatest = dict(sorted(near, key=lambda pair: bandwidth[pair[1]]))
        vlinks = sorted(greatest.values(), key=lambda k: -bandwidth[k])
        if vlinks and self._problem.apart.any():
            ranks = np.arange(1, len(vlinks) + 1)[:, None]
            fits = fits & (self._counts[vlinks] >= ranks).all(axis=0)
        return _bits(np.packbits(fits, bitorder="little").tobytes())

    def _reach_of(self, vlink: int) -> list[int]:
        found = self._reach.get(vlink)
        if found is None:
            rows, width = self._packed[vlink].tobytes(), self._packed.shape[2]
            found = [_bits(rows[i : i + width]) for i in range(0, len(rows), width)]
            self._reach[vlink] = found
        return found

    def _place(self, domains: list[int], left: list[int], vnode: int) -> bool:
        """Puts ``vnode`` somewhere, and all others that are ``left`` behind it."""
        rest = [v for v in left if v != vnode]
        choices = domains[vnode]
        while choices and self.visits > 0:
            self.visits -= 1
            bit = choices & -choices
            choices ^= bit
            self.hosts[vnode] = host = bit.bit_length() - 1
            if not rest:
                return True
            narrowed = domains.copy()
            for other in self._apart[vnode]:
                narrowed[other] &= ~bit
            for other, reach in self._near[vnode]:
                narrowed[other] &= reach[host]
            scarcest, fewest = -1, len(self._fits[0]) + 1
            for other in rest:
                count = narrowed[other].bit_count()
                if count < fewest:
                    scarcest, fewest = other, count
            if fewest and self._place(narrowed, rest, scarcest):
                return True
        return False


def _reach(problem: Problem, far: Distances, order: Ints) -> Bools:
    """VLinks × hosts × hosts: which are at the least distance."""
    hosts = np.arange(len(far.least))
    alone = far.least.copy()
    alone[hosts, hosts] = np.inf
    least = np.maximum(problem.bandwidth, 1e-9) * alone.min(initial=np.inf) * 1.0001
    near: Bools = far.priced <= least[:, None, None]
    return near.take(order, 1).take(order, 2)


def _bits(row: bytes) -> int:
    return int.from_bytes(row, "little")
