"""Maps a request: first stage, then search or program, for as long as the gap is open and time is
left.

The first stage answers most requests alone. Where it does not prove its answer, the cheapest
placement is searched for if the objective allows it, and then the program is solved: over a few
hosts per VNode, which finds good answers soon, and over all of them, which proves. Where VLinks
may not be split, the program is solved as if they might first, and exactly only if paths of their
own do not close the gap.
"""

from __future__ import annotations

import math
from itertools import islice

import numpy as np

from embedding.answer import Answer, ProofScope, Status, closes, gap_of
from embedding.check import violations
from embedding.clusters import cluster_bound
from embedding.distances import Distances, distances
from embedding.first import Solution, first_stage, routed
from embedding.grouping import WORK_FIRST, WORK_MAX, Groups
from embedding.highs import Verdict
from embedding.model import Embedding, Share
from embedding.network import Bools, Ints
from embedding.objectives import Objective, Terms
from embedding.placing import placements
from embedding.problem import Problem
from embedding.program import embedding_program
from embedding.reading import solution_of, start_values
from embedding.renewing import renewed
from embedding.searching import search_placements
from embedding.shortages import shortages

GAP = 0.01
TIME_LIMIT_S = 10.0
THOROUGH = 12
"""Placements of a thorough look that paths are looked for."""
RENEWED = 4
"""Placements that better ones are looked for from, beside the best."""
CANDIDATES = 12
"""Hosts per VNode in the pruned program."""
PRUNED_TIME = 0.2
"""Its share of the time."""


def embed(
    problem: Problem, objective: Objective, *, gap: float = GAP, time_limit_s: float = TIME_LIMIT_S
) -> Answer:
    """The best embedding found, and how much better another might be.

    ``time_limit_s``: of all programs together, as HiGHS measures it; 0: the first stage alone.
    Raises ModelError and ValueError for what makes no sense.
    """
    return _Mapper(problem, objective(problem), gap, time_limit_s).run()


class _Mapper:
    def __init__(self, problem: Problem, terms: Terms, gap: float, time_limit_s: float) -> None:
        self._problem, self._terms, self._gap = problem, terms, gap
        self._left_s = time_limit_s
        self._best: Solution | None = None
        self._stage = "first"
        self._grouping: Groups | None = None
        self._bound, self._pruned_bound = 0.0, -math.inf

    def run(self) -> Answer:
        self._look("first", WORK_FIRST)
        meet = not self._problem.distinct
        if meet and self._grouping is None and self._left_s > 0 and not self._closed():
            self._look("search", WORK_MAX)
        if self._left_s > 0 and math.isfinite(self._bound) and not self._closed():
            far = distances(self._problem, self._terms.link, exact=True)
            self._search(far)
            self._programs(far)
        return self._answer()

    def _look(self, stage: str, work_max: int) -> None:
        first = first_stage(self._problem, self._terms, self._gap, work_max)
        self._bound, self._grouping = max(self._bound, first.bound), first.grouping
        self._take(first.solution, stage)

    def _take(self, solution: Solution | None, stage: str) -> None:
        if solution is None or (self._best and solution.value >= self._best.value):
            return
        if not violations(self._problem, embedding_of(self._problem, solution)):
            self._best, self._stage = solution, stage

    def _closed(self) -> bool:
        """Whether no more needs to be done: good enough, or proven impossible."""
        if math.isinf(self._bound):
            return True
        return self._best is not None and closes(gap_of(self._best.value, self._bound), self._gap)

    def _search(self, far: Distances) -> None:
        if self._grouping is not None and not self._terms.peak:
            known = self._best.value if self._best else math.inf
            found_bound = self._grouping.search(far, self._gap, known, self._offer)
            self._bound = max(self._bound, found_bound)
            self._renew(far)
            return
        if self._best is None or self._terms.peak or not self._problem.distinct:
            return
        self._bound = max(self._bound, cluster_bound(self._problem, self._terms, far.least))
        if self._closed():
            return
        for hosts, promised in islice(
            placements(self._problem, self._terms, far, [self._best.hosts], thorough=True), THOROUGH
        ):
            if promised >= self._best.value or self._closed():
                break
            self._offer(hosts)
        if self._closed():
            return
        best, offer = self._best.value, self._offer
        found = search_placements(self._problem, self._terms, far, self._gap, best, offer)
        self._bound = max(self._bound, found.bound)

    def _renew(self, far: Distances) -> None:
        """Takes up the best placements and looks for better ones, where VNodes may meet."""
        if self._closed():
            return
        known = [hosts for hosts, _ in islice(placements(self._problem, self._terms, far), RENEWED)]
        if self._best is not None:
            known.append(self._best.hosts)
        for hosts, promised in islice(renewed(self._problem, self._terms, far, known), THOROUGH):
            if self._best is not None and promised >= self._best.value:
                break
            self._offer(hosts)

    def _offer(self, hosts: Ints) -> float:
        self._take(routed(self._problem, self._terms, hosts), "search")
        return self._best.value if self._best else math.inf

    def _programs(self, far: Distances) -> None:
        all_s, fits = self._left_s, self._problem.fits
        pruned = self._candidates(far)
        if not self._closed() and pruned.sum() < fits.sum():
            self._solve(far, pruned, all_s * PRUNED_TIME)
        if not self._closed() and self._left_s > 0:
            self._solve(far, fits, self._left_s)
        whole = not self._problem.splittable.all()
        if not self._closed() and whole and self._left_s > 0:
            self._solve(far, fits, self._left_s, exact=True)

    def _solve(
        self, far: Distances, candidates: Bools, seconds: float, *, exact: bool = False
    ) -> None:
        problem, terms = self._problem, self._terms
        made = embedding_program(problem, terms, candidates, far.least, exact=exact)
        start = start_values(problem, made, self._best) if self._best else None
        outcome = made.program.solve(self._gap / 2, seconds, start)
        self._left_s -= outcome.seconds
        if outcome.values is not None:
            self._take(solution_of(problem, terms, made, outcome.values), "program")
        if candidates is problem.fits:
            self._bound = max(self._bound, outcome.bound)
        elif outcome.verdict is Verdict.CLOSED:
            self._pruned_bound = outcome.bound

    def _candidates(self, far: Distances) -> Bools:
        """The hosts that are best for each VNode beside where the others are now."""
        problem = self._problem
        scores = np.where(problem.fits, self._terms.place + self._terms.on, np.inf)
        scores = scores - 1e-9 * problem.ports / max(float(problem.ports.max(initial=0)), 1e-9)
        if self._best is not None:
            hosts = self._best.hosts
            for v, near in enumerate(problem.neighbours):
                for other, vlink in near:
                    scores[v] += far.priced[vlink][hosts[other]]
            scores[np.arange(problem.vnodes), hosts] = -np.inf
        chosen = np.zeros(problem.fits.shape, bool)
        nearest = np.argsort(scores, axis=1, kind="stable")[:, :CANDIDATES]
        chosen[np.arange(problem.vnodes)[:, None], nearest] = True
        return chosen & problem.fits

    def _answer(self) -> Answer:
        if self._best is None:
            impossible = math.isinf(self._bound)
            status = Status.INFEASIBLE if impossible else Status.UNKNOWN
            short = shortages(self._problem, max(self._left_s, 0.0)) if impossible else ()
            bound = self._bound
            return Answer(status, None, math.inf, bound, ProofScope.WHOLE, self._stage, short)
        best, bound, scope = self._best, min(self._bound, self._best.value), ProofScope.WHOLE
        closed = closes(gap_of(best.value, bound), self._gap)
        if not closed and closes(gap_of(best.value, self._pruned_bound), self._gap):
            closed, scope = True, ProofScope.PRUNED
            bound = min(self._pruned_bound, best.value)
        status = Status.OPTIMAL if closed else Status.FEASIBLE
        embedding = embedding_of(self._problem, best)
        return Answer(status, embedding, best.value, bound, scope, self._stage)


def embedding_of(problem: Problem, solution: Solution) -> Embedding:
    """By name."""
    names, links = problem.network.names, problem.network.substrate.links
    vnodes, vlinks = problem.request.vnodes, problem.request.vlinks
    hosts = {vnode.name: names[h] for vnode, h in zip(vnodes, solution.hosts, strict=True)}
    paths = {
        vlink.label: tuple(
            Share(tuple(links[link].label for link in way), bandwidth) for way, bandwidth in parts
        )
        for vlink, parts in zip(vlinks, solution.parts, strict=True)
        if parts
    }
    return Embedding(hosts, paths)
