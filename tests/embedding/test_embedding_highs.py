"""What solvers are known to get wrong does not reach an answer (design, section 7)."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from pathlib import Path

import highspy
import numpy as np
import pytest
from embedding_world import line, pair, problem_of

from embedding.answer import ProofScope, Status
from embedding.embed import embed
from embedding.highs import Program, Verdict
from embedding.model import Host, Link, ModelError, Request, Substrate, VLink, VNode
from embedding.objectives import cost, terms

ROOT = Path(__file__).parents[2]


def knapsack(count: int, seed: int = 1) -> Program:
    """Hard to prove: many items of like worth in few bags."""
    dice, program = random.Random(seed), Program()
    weights = [[dice.randint(40, 99) for _ in range(count)] for _ in range(5)]
    items = [program.column(-float(dice.randint(60, 80)), 1.0, integer=True) for _ in range(count)]
    for row in weights:
        program.row(items, [float(w) for w in row], upper=float(sum(row) // 3))
    return program


def smallest(least: float) -> Program:
    """x + y is at least ``least``; x costs 2, y costs 3."""
    program = Program()
    x, y = program.column(2.0, 5.0, integer=True), program.column(3.0, 5.0, integer=True)
    program.row([x, y], [1.0, 1.0], least)
    return program


def test_a_solve_that_time_stopped_is_not_called_closed_and_tells_its_gap() -> None:
    outcome = knapsack(120).solve(0.0, 0.3)
    assert outcome.verdict is Verdict.OPEN
    assert outcome.bound < outcome.objective
    assert outcome.seconds < 10


def test_no_time_at_all_gives_nothing_rather_than_zero() -> None:
    outcome = knapsack(120).solve(0.0, 0.0)
    assert outcome.verdict is Verdict.OPEN
    assert outcome.values is None or outcome.objective < 0
    assert outcome.values is not None or outcome.objective == math.inf


def test_an_infeasible_program_has_no_values() -> None:
    outcome = smallest(11.0).solve(0.0, 10)
    assert outcome.verdict is Verdict.INFEASIBLE
    assert outcome.values is None
    assert outcome.objective == outcome.bound == math.inf


def test_an_unbounded_program_is_not_called_infeasible() -> None:
    program = Program()
    program.row([program.column(-1.0, integer=True)], [1.0], 0.0)
    outcome = program.solve(0.0, 10)
    assert outcome.verdict is Verdict.OPEN
    assert outcome.bound == -math.inf


def test_an_objective_that_could_be_unbounded_is_refused() -> None:
    problem = problem_of(line(1, 1), pair())
    for wrong in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="objective: link: possible are finite values"):
            terms(problem, link=wrong)


@pytest.mark.parametrize("start", [[5.0, 5.0], [0.0, 0.0], [-1.0, 99.0], [0.5, 0.5]])
def test_no_start_makes_another_optimum(start: list[float]) -> None:
    outcome = smallest(3.0).solve(0.0, 10, np.array(start))
    assert outcome.verdict is Verdict.CLOSED
    assert outcome.objective == outcome.bound == 6.0
    assert outcome.values is not None
    assert outcome.values.tolist() == [3.0, 0.0]


def test_a_program_without_whole_numbers_has_its_optimum_as_bound() -> None:
    program = Program()
    x = program.column(2.0)
    program.row([x], [1.0], 1.5)
    outcome = program.solve(0.0, 10)
    assert (outcome.verdict, outcome.objective, outcome.bound) == (Verdict.CLOSED, 3.0, 3.0)


@pytest.mark.parametrize("threads", [1, 2])
def test_another_solver_with_other_threads_in_the_process_changes_nothing(threads: int) -> None:
    other = highspy.Highs()  # type: ignore[no-untyped-call]
    other.silent()
    other.setOptionValue("threads", threads)
    other.addVar(0.0, 1.0)
    other.run()
    outcome = smallest(3.0).solve(0.0, 10)
    assert (outcome.verdict, outcome.objective) == (Verdict.CLOSED, 6.0)


def test_no_other_solver_is_loaded_beside_highs() -> None:
    script = "import sys, embedding.embed; print(*sorted({'ortools', 'pulp'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_names_that_run_together_stay_apart() -> None:
    hosts = tuple(Host(name, {"cpu": 1}) for name in ("a", "a_b", "b", "b_c"))
    links = Link("a", "a_b", 1), Link("a_b", "b", 1), Link("b", "b_c", 1)
    vnodes = tuple(VNode(name, {"cpu": 1}) for name in ("x", "x_y", "y_z"))
    request = Request(vnodes, (VLink("x", "y_z", 1), VLink("x_y", "y_z", 1)))
    answer = embed(problem_of(Substrate(hosts, links), request), cost)
    assert answer.status is Status.OPTIMAL
    assert answer.objective == 3 + 2


@pytest.mark.parametrize(
    ("hosts", "links", "problem"),
    [
        (("a", "a"), (), "host or switch a: is there 2 times"),
        (("a", "b"), (("a", "b"), ("a", "b")), "link a--b: is there 2 times"),
    ],
)
def test_one_name_twice_is_refused(
    hosts: tuple[str, ...], links: tuple[tuple[str, str], ...], problem: str
) -> None:
    with pytest.raises(ModelError, match=problem):
        Substrate(tuple(Host(name, {}) for name in hosts), tuple(Link(a, b, 1) for a, b in links))


def ring(hosts: int) -> Substrate:
    names = [f"h{i}" for i in range(hosts)]
    links = [Link(names[i], names[(i + 1) % hosts], 10) for i in range(hosts)]
    return Substrate(tuple(Host(name, {"cpu": 1}) for name in names), tuple(links))


def clique(count: int, bandwidth: float) -> Request:
    vnodes = tuple(VNode(f"v{i}", {"cpu": 1}) for i in range(count))
    vlinks = [VLink(f"v{i}", f"v{j}", bandwidth) for j in range(count) for i in range(j)]
    return Request(vnodes, tuple(vlinks))


def test_without_time_the_answer_is_that_of_the_first_stage_with_its_gap() -> None:
    answer = embed(problem_of(ring(12), clique(4, 1)), cost, gap=0.0, time_limit_s=0)
    assert answer.status is Status.FEASIBLE
    assert answer.stage == "first"
    assert answer.proof_scope is ProofScope.WHOLE
    assert 0 < answer.gap < 1
    assert answer.objective == 4 + 10


def test_with_time_the_same_is_proven() -> None:
    answer = embed(problem_of(ring(12), clique(4, 1)), cost, gap=0.0)
    assert answer.status is Status.OPTIMAL
    assert answer.gap <= 1e-4
    assert answer.objective == pytest.approx(4 + 10)
