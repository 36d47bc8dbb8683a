"""How soon a provider's mapping is proven: requests on a fat-tree of 99 nodes that is in use.

One thread, CPU time. Run as a module it prints a table: first the answer of the first stage, then
what is proven with at most TIME_LIMIT_S of programs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import numpy as np

from embedding.answer import Answer, Status
from embedding.embed import embed
from embedding.network import Floats, Free, Network
from embedding.objectives import OBJECTIVES
from embedding.problem import Problem
from simulations.embedding.draw import draw_request, fat_tree

PODS = 6
TAKEN = 0.6
"""Of every host and link at most this share, at random."""
REQUESTS = 20
TIME_LIMIT_S = 10.0
THINNER = 5
"""VLinks ask for a fifth of what they do in simulations: a host here has one link alone."""


def problems(vnodes: int, *, shares: bool, count: int = REQUESTS) -> Iterator[Problem]:
    """Seeded. ``shares``: VNodes may share hosts."""
    for seed in range(count):
        dice = Random(f"{vnodes} {seed}")
        network = Network(fat_tree(PODS, dice))
        host, link = (
            values * (1 - TAKEN * _random(values.size, dice).reshape(values.shape))
            for values in (network.capacity.host, network.capacity.link)
        )
        drawn = draw_request(dice, (vnodes, vnodes))
        thin = tuple(replace(each, bandwidth=each.bandwidth / THINNER) for each in drawn.vlinks)
        request = replace(drawn, vlinks=thin, shares_hosts=shares)
        yield Problem(network, Free(host, link), request)


def _random(count: int, dice: Random) -> Floats:
    return np.array([dice.random() for _ in range(count)])


def measure(
    vnodes: int,
    objective: str,
    *,
    shares: bool,
    count: int = REQUESTS,
    time_limit_s: float = TIME_LIMIT_S,
) -> dict[str, float]:
    """CPU time of the first stage and of a proof within 1%; ``gap_most``: the largest left.

    ``proven``: of all embeddings, or that there is none; a gap may be of those on some hosts.
    """
    first: list[float] = []
    all_: list[float] = []
    gaps: list[float] = []
    found, proven = 0, 0
    for problem in problems(vnodes, shares=shares, count=count):
        _, took_s = _timed(problem, objective, 0.0)
        first.append(took_s)
        answer, took_s = _timed(problem, objective, time_limit_s)
        all_.append(took_s)
        found += answer.embedding is not None
        proven += answer.proven or answer.status is Status.INFEASIBLE
        gaps.append(0.0 if answer.status is Status.INFEASIBLE else answer.gap)
    return {
        "first_ms": 1e3 * statistics.median(first),
        "s": statistics.median(all_),
        "s_most": max(all_),
        "proven": proven,
        "of": count,
        "embedded": found,
        "gap_most": max(gaps),
    }


def _timed(problem: Problem, objective: str, time_limit_s: float) -> tuple[Answer, float]:
    fresh = Problem(problem.network, problem.free, problem.request)
    began = time.process_time()
    answer = embed(fresh, OBJECTIVES[objective], time_limit_s=time_limit_s)
    return answer, time.process_time() - began


def main() -> None:
    """See the module."""
    for shares in (False, True):
        for vnodes in (5, 10):
            for objective in ("cost", "load", "energy"):
                row = measure(vnodes, objective, shares=shares)
                shown = "  ".join(f"{key} {value:8.3f}" for key, value in row.items())
                may = "may meet" if shares else "apart"
                print(f"{vnodes:3} VNodes {may:9} {objective:7} {shown}", flush=True)


if __name__ == "__main__":
    main()
