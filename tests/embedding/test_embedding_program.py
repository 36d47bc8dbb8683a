"""The program: the same optimum relaxed, exact and pruned, and solutions both ways."""

from __future__ import annotations

import random

import networkx as nx
import numpy as np
import pytest
from embedding_world import all_embeddings, cost_of, line, pair, problem_of, wrong_with

from embedding.distances import distances
from embedding.embed import embedding_of
from embedding.first import first_stage
from embedding.highs import Verdict
from embedding.model import Host, Link, Request, Substrate, VLink, VNode
from embedding.network import Floats
from embedding.objectives import OBJECTIVES, cost
from embedding.problem import Problem
from embedding.program import EmbeddingProgram, embedding_program
from embedding.reading import solution_of, start_values
from embedding.routing import link_use, route


def drawn(seed: int, *, splittable: bool = False) -> tuple[Substrate, Request]:
    """Six hosts on a ladder, and a request of three VNodes."""
    dice = random.Random(seed)
    graph = nx.ladder_graph(3)
    hosts = tuple(Host(f"h{i}", {"cpu": dice.randint(3, 5)}) for i in graph)
    links = tuple(Link(f"h{a}", f"h{b}", dice.randint(4, 8)) for a, b in graph.edges)
    wanted = nx.gnp_random_graph(3, 0.7, seed=seed)
    vnodes = tuple(VNode(f"v{i}", {"cpu": dice.randint(1, 3)}) for i in wanted)
    vlinks = [VLink(f"v{a}", f"v{b}", dice.randint(1, 3), splittable) for a, b in wanted.edges]
    return Substrate(hosts, links), Request(vnodes, tuple(vlinks), seed % 2 == 0)


def made_for(problem: Problem, name: str = "cost", *, exact: bool = False) -> EmbeddingProgram:
    objective = OBJECTIVES[name](problem)
    far = distances(problem, objective.link, exact=True)
    return embedding_program(problem, objective, problem.fits, far.least, exact=exact)


def solved(made: EmbeddingProgram) -> tuple[float, Floats]:
    outcome = made.program.solve(0.0, 30)
    assert outcome.verdict is Verdict.CLOSED
    assert outcome.values is not None
    return outcome.objective, outcome.values


@pytest.mark.parametrize("seed", range(8))
def test_the_exact_program_has_the_optimum_and_the_relaxed_one_no_more(seed: int) -> None:
    substrate, request = drawn(seed)
    problem = problem_of(substrate, request)
    best = min(cost_of(substrate, request, e) for e in all_embeddings(substrate, request))
    exact, values = solved(made_for(problem, exact=True))
    assert exact == pytest.approx(best)
    relaxed, _ = solved(made_for(problem))
    assert relaxed <= exact + 1e-6
    solution = solution_of(problem, cost(problem), made_for(problem, exact=True), values)
    assert solution is not None
    assert solution.value == pytest.approx(best)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", OBJECTIVES)
def test_what_the_first_stage_found_is_a_solution_of_the_program(name: str, seed: int) -> None:
    problem = problem_of(*drawn(seed))
    objective = OBJECTIVES[name](problem)
    first = first_stage(problem, objective)
    assert first.solution is not None
    for exact in (False, True):
        made = made_for(problem, name, exact=exact)
        start = start_values(problem, made, first.solution)
        assert start is not None
        assert np.dot(start, made.program.costs) == pytest.approx(first.solution.value)
        outcome = made.program.solve(0.0, 30, start)
        assert outcome.objective <= first.solution.value + 1e-6


@pytest.mark.parametrize("seed", range(8))
def test_a_flow_is_taken_apart_into_shares_that_hold(seed: int) -> None:
    substrate, request = drawn(seed, splittable=True)
    problem = problem_of(substrate, request)
    made = made_for(problem)
    objective, values = solved(made)
    solution = solution_of(problem, cost(problem), made, values)
    assert solution is not None
    assert solution.value == pytest.approx(objective, rel=1e-5)
    assert wrong_with(substrate, request, embedding_of(problem, solution)) == ""


def test_a_program_without_the_host_of_a_solution_takes_no_start_from_it() -> None:
    problem = problem_of(line(4, 4, 4), pair())
    first = first_stage(problem, cost(problem))
    assert first.solution is not None
    others = problem.fits.copy()
    others[0, first.solution.hosts[0]] = False
    far = distances(problem, cost(problem).link)
    made = embedding_program(problem, cost(problem), others, far.least)
    assert start_values(problem, made, first.solution) is None


def test_a_vlink_that_found_no_way_goes_first_the_next_time() -> None:
    names = ("a", "b", "c", "d")
    links = Link("a", "b", 5), Link("b", "c", 5), Link("c", "d", 5), Link("d", "a", 3)
    substrate = Substrate(tuple(Host(name, {"cpu": 1}) for name in names), links)
    vnodes = tuple(VNode(f"v{name}", {"cpu": 1}, frozenset({name})) for name in names[:3])
    request = Request(vnodes, (VLink("va", "vc", 4), VLink("vb", "va", 2, name="near")))
    problem = problem_of(substrate, request)
    assert route(problem, np.array([0, 1, 2]), problem.network.link_price) is None
    light = Request(vnodes, (VLink("va", "vc", 4), VLink("vc", "vb", 1), VLink("vb", "va", 1)))
    parts = route(problem_of(substrate, light), np.array([0, 1, 2]), problem.network.link_price)
    assert parts is not None
    assert link_use(problem, parts).tolist() == [5, 5, 0, 0]
