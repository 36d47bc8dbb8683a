"""Whatever is asked for: every embedding is valid, and bound <= optimum <= objective.

The optimum is found by trying every placement and every simple path (``embedding_world``).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from embedding_world import (
    all_embeddings,
    cost_of,
    peak_of,
    problem_of,
    requests,
    substrates,
    wrong_with,
)
from hypothesis import given, settings

from embedding.answer import Answer, ProofScope, Status, closes
from embedding.check import violations
from embedding.clusters import cluster_bound
from embedding.distances import distances
from embedding.embed import embed
from embedding.first import first_stage
from embedding.model import Embedding, Request, Substrate
from embedding.objectives import OBJECTIVES, TIE, Terms, cost, load, terms
from embedding.problem import Problem
from embedding.searching import search_placements

ROUNDING = 1e-4


def check(substrate: Substrate, request: Request, answer: Answer) -> None:
    if answer.embedding is None:
        assert answer.status in (Status.INFEASIBLE, Status.UNKNOWN)
        assert math.isinf(answer.objective)
        return
    assert wrong_with(substrate, request, answer.embedding) == ""
    assert answer.bound <= answer.objective
    assert answer.status in (Status.OPTIMAL, Status.FEASIBLE)
    assert (answer.status is Status.OPTIMAL) == closes(answer.gap, 0.01)


@settings(max_examples=150, deadline=None)
@given(substrates(), requests())
def test_the_cheapest_embedding_is_found_and_proven(substrate: Substrate, request: Request) -> None:
    answer = embed(problem_of(substrate, request), cost)
    check(substrate, request, answer)
    costs = [cost_of(substrate, request, e) for e in all_embeddings(substrate, request)]
    if not costs:
        assert answer.status is Status.INFEASIBLE
        return
    assert answer.status is Status.OPTIMAL
    assert answer.embedding is not None
    assert answer.objective == pytest.approx(cost_of(substrate, request, answer.embedding))
    if answer.proof_scope is ProofScope.WHOLE:
        assert answer.bound <= min(costs) + ROUNDING
        assert min(costs) <= answer.objective + ROUNDING <= min(costs) / 0.99 + 2 * ROUNDING


@settings(max_examples=100, deadline=None)
@given(substrates(), requests())
def test_the_least_maximum_load_is_found_and_proven(substrate: Substrate, request: Request) -> None:
    answer = embed(problem_of(substrate, request), load)
    check(substrate, request, answer)
    peaks = [peak_of(substrate, request, e) for e in all_embeddings(substrate, request)]
    if not peaks:
        assert answer.status is Status.INFEASIBLE
        return
    assert answer.embedding is not None
    assert answer.bound <= min(peaks) + TIE * len(request.vlinks) + ROUNDING
    found = peak_of(substrate, request, answer.embedding)
    assert min(peaks) - ROUNDING <= found <= answer.objective + ROUNDING
    if answer.status is Status.OPTIMAL:
        assert found <= (min(peaks) + TIE * len(request.vlinks)) / 0.99 + ROUNDING


def places_only(problem: Problem) -> Terms:
    """Ways cost nothing."""
    return terms(problem, place=np.arange(problem.network.hosts, dtype=float))


@settings(max_examples=80, deadline=None)
@given(substrates(), requests())
def test_an_objective_to_which_ways_are_nothing_is_proven_too(
    substrate: Substrate, request: Request
) -> None:
    answer = embed(problem_of(substrate, request), places_only)
    check(substrate, request, answer)
    number = {host.name: i for i, host in enumerate(substrate.hosts)}
    found = [
        sum(number[host] for host in embedding.hosts.values())
        for embedding in all_embeddings(substrate, request)
    ]
    assert answer.status is (Status.OPTIMAL if found else Status.INFEASIBLE)
    if found:
        assert answer.objective <= min(found) / 0.99 + ROUNDING
        assert answer.bound <= min(found) + ROUNDING


@settings(max_examples=150, deadline=None)
@given(substrates(), requests())
def test_the_first_stage_alone_never_claims_too_much(
    substrate: Substrate, request: Request
) -> None:
    problem = problem_of(substrate, request)
    first = first_stage(problem, cost(problem))
    costs = [cost_of(substrate, request, e) for e in all_embeddings(substrate, request)]
    best = min(costs, default=math.inf)
    assert first.bound <= best + ROUNDING
    assert first.solution is None or first.solution.value >= best - ROUNDING
    check(substrate, request, embed(problem, cost, time_limit_s=0))


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=40, deadline=None)
@given(substrate=substrates(), request=requests(splittable=True))
def test_every_objective_gives_valid_embeddings_of_split_vlinks_too(
    name: str, substrate: Substrate, request: Request
) -> None:
    problem = problem_of(substrate, request)
    answer = embed(problem, OBJECTIVES[name])
    check(substrate, request, answer)
    if any(all_embeddings(substrate, request)):
        assert answer.embedding is not None
    if answer.embedding is not None:
        assert violations(problem, answer.embedding) == ()


@settings(max_examples=60, deadline=None)
@given(substrates(), requests())
def test_the_same_request_gets_the_same_answer(substrate: Substrate, request: Request) -> None:
    first, again = (embed(problem_of(substrate, request), cost, time_limit_s=0) for _ in range(2))
    assert first == again


@settings(max_examples=60, deadline=None)
@given(substrates(), requests())
def test_the_check_finds_what_the_reference_finds(substrate: Substrate, request: Request) -> None:
    problem = problem_of(substrate, request)
    for host in substrate.hosts:
        everywhere = Embedding({vnode.name: host.name for vnode in request.vnodes})
        expected = wrong_with(substrate, request, everywhere)
        assert bool(violations(problem, everywhere)) == bool(expected)


@settings(max_examples=150, deadline=None)
@given(substrates(), requests())
def test_bounds_of_clusters_and_of_the_search_hold_for_every_embedding(
    substrate: Substrate, request: Request
) -> None:
    request = Request(request.vnodes, request.vlinks)
    problem = problem_of(substrate, request)
    objective = cost(problem)
    costs = [cost_of(substrate, request, e) for e in all_embeddings(substrate, request)]
    if not costs:
        return
    far = distances(problem, objective.link, exact=True)
    assert cluster_bound(problem, objective, far.least) <= min(costs) + ROUNDING
    dear = max(costs) * 2 + 1
    proof = search_placements(problem, objective, far, 0.0, dear, lambda _hosts: dear)
    assert proof.bound <= min(costs) + ROUNDING
