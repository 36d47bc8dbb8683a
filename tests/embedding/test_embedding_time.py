"""Whatever the time: the best so far with its true gap, and never a silent zero."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from embedding.answer import Answer, ProofScope, Status, closes, gap_of
from embedding.check import violations
from embedding.embed import embed
from embedding.highs import Program, Verdict
from embedding.model import Host, Link, Request, Substrate, VLink, VNode
from embedding.network import Network
from embedding.objectives import OBJECTIVES, cost
from embedding.problem import Problem

TIMES = (0.0, 1e-3, 0.1)


def hard(seed: int, *, shares: bool) -> Problem:
    """Twenty hosts with two links out each, and eight VNodes of which all are joined to four."""
    dice = random.Random(seed)
    hosts = tuple(Host(f"h{i}", {"cpu": dice.randint(4, 9)}, dice.randint(1, 3)) for i in range(20))
    pairs = {tuple(sorted((i, (i + step) % 20))) for i in range(20) for step in (1, 7)}
    links = tuple(
        Link(f"h{a}", f"h{b}", dice.randint(4, 9), dice.choice((1.0, 2.0)))
        for a, b in sorted(pairs)
    )
    vnodes = tuple(VNode(f"v{i}", {"cpu": dice.randint(1, 4)}) for i in range(8))
    vlinks = tuple(
        VLink(f"v{i}", f"v{(i + step) % 8}", dice.randint(1, 2))
        for i in range(8)
        for step in (1, 3)
    )
    network = Network(Substrate(hosts, links))
    return Problem(network, network.capacity, Request(vnodes, vlinks, shares))


def true(problem: Problem, answer: Answer) -> None:
    """What an answer says of itself goes together."""
    if answer.embedding is None:
        assert answer.status in (Status.UNKNOWN, Status.INFEASIBLE)
        assert answer.objective == answer.gap == math.inf
        return
    assert violations(problem, answer.embedding) == ()
    assert 0 < answer.objective < math.inf
    assert 0 <= answer.bound <= answer.objective
    assert answer.gap == gap_of(answer.objective, answer.bound)
    assert (answer.status is Status.OPTIMAL) == closes(answer.gap, 0.01)


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_more_time_never_makes_an_answer_worse_nor_a_bound_untrue(name: str, shares: bool) -> None:
    problem = hard(1, shares=shares)
    answers = [embed(problem, OBJECTIVES[name], time_limit_s=limit) for limit in TIMES]
    for answer in answers:
        true(problem, answer)
    best = min(answer.objective for answer in answers)
    for answer in answers:
        if answer.proof_scope is ProofScope.WHOLE:
            assert answer.bound <= best * (1 + 1e-6)
    assert answers[-1].objective <= answers[0].objective


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.5, 1.0])
def test_an_answer_is_called_optimal_for_the_gap_that_was_asked_for(gap: float) -> None:
    problem = hard(2, shares=True)
    answer = embed(problem, cost, gap=gap, time_limit_s=0.3)
    assert answer.embedding is not None
    assert (answer.status is Status.OPTIMAL) == closes(answer.gap, gap)


def knapsack(items: int, seed: int) -> Program:
    """Hard to prove: pairs of numbers all but alike, over three limits."""
    dice, program = random.Random(seed), Program()
    for _ in range(items):
        program.column(-float(dice.randint(50, 60)), 1.0, integer=True)
    for _ in range(3):
        weights = [float(dice.randint(40, 60)) for _ in range(items)]
        program.row(list(range(items)), weights, upper=sum(weights) / 2)
    return program


@pytest.mark.parametrize("limit_s", [0.0, 0.01, 0.1])
def test_a_program_that_time_stopped_has_values_that_are_worth_its_objective(
    limit_s: float,
) -> None:
    program = knapsack(120, 3)
    outcome = program.solve(0.0, limit_s)
    if outcome.values is None:
        assert outcome.verdict is Verdict.OPEN
        assert outcome.objective == math.inf
        return
    worth = sum(c * x for c, x in zip(program.costs, outcome.values.tolist(), strict=True))
    assert outcome.objective == pytest.approx(worth)
    assert outcome.bound <= outcome.objective + 1e-6
    if outcome.verdict is Verdict.CLOSED:
        assert outcome.objective - outcome.bound <= 1e-4 * abs(outcome.objective)


def test_a_wrong_start_is_no_answer() -> None:
    """It breaks a row: what comes of it is solved, not taken over."""
    program = Program()
    columns = [program.column(1.0, 1.0, integer=True) for _ in range(3)]
    program.row(columns, [1.0] * 3, lower=2.0)
    outcome = program.solve(0.0, 10.0, np.zeros(3))
    assert outcome.verdict is Verdict.CLOSED
    assert outcome.objective == pytest.approx(2.0)
