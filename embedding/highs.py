"""Mixed-integer programs for HiGHS, and an honest reading of what it answers.

What it says is believed only as far as its documentation goes (design, section 7): values only
where it has a feasible solution, a bound only where it is a number, "infeasible" never for what
may be unbounded. The number of threads is never set: another one in the same process would
silently solve nothing.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import highspy
import numpy as np

from embedding.network import Floats

INFINITE = math.inf
KNOWN, LARGEST = 1e3, 1e9
"""What costs are for the solver: of the solution to begin with, and of one column at most."""


class Verdict(enum.Enum):
    """What is known: a solution within the gap, none at all, or neither yet."""

    CLOSED = "closed"
    INFEASIBLE = "infeasible"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``values``: of the best solution, or None; ``bound``: no solution is less."""

    verdict: Verdict
    values: Floats | None
    objective: float
    bound: float
    seconds: float


@dataclass(slots=True)
class Program:
    """The least of a sum; columns and rows are numbered, and have no names to clash."""

    costs: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    index: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def column(self, cost: float, upper: float = INFINITE, *, integer: bool = False) -> int:
        """A variable from 0 up to ``upper``; its number."""
        self.costs.append(cost)
        self.upper.append(upper)
        self.integer.append(integer)
        return len(self.costs) - 1

    def row(
        self,
        columns: Sequence[int],
        values: Sequence[float],
        lower: float = -INFINITE,
        upper: float = INFINITE,
    ) -> None:
        """A sum within these limits; no column twice."""
        self.index.extend(columns)
        self.values.extend(values)
        self.starts.append(len(self.index))
        self.row_lower.append(lower)
        self.row_upper.append(upper)

    def solve(self, gap: float, time_limit_s: float, start: Floats | None = None) -> Outcome:
        """Until the relative ``gap`` is closed or time is over; ``start``: values to begin with."""
        solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        solver.silent()
        solver.setOptionValue("parallel", "off")
        solver.setOptionValue("mip_rel_gap", gap)
        solver.setOptionValue("time_limit", max(time_limit_s, 0.0))
        scale = self._scale(start)
        if solver.passModel(self._model(scale)) == highspy.HighsStatus.kError:
            raise ValueError("the program is not one that HiGHS takes")
        if start is not None:
            solution = highspy.HighsSolution()
            solution.col_value = start.tolist()
            solver.setSolution(solution)
        solver.run()
        return self._outcome(solver, scale)

    def _scale(self, start: Floats | None) -> float:
        """What counts as 1: tolerances of the solver are absolute, and prices may be of any size.

        A power of 2: then nothing is rounded.
        """
        most = max(map(abs, self.costs), default=0.0)
        known = most if start is None else abs(float(start @ self.costs))
        return 2.0 ** math.frexp(max(known / KNOWN, most / LARGEST) or 1.0)[1]

    def _outcome(self, solver: Any, scale: float) -> Outcome:
        status, info = solver.getModelStatus(), solver.getInfo()
        seconds = float(solver.getRunTime())
        if status == highspy.HighsModelStatus.kInfeasible:
            return Outcome(Verdict.INFEASIBLE, None, INFINITE, INFINITE, seconds)
        has_values = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        values = np.array(solver.getSolution().col_value) if has_values else None
        objective = float(info.objective_function_value) * scale if has_values else INFINITE
        bound = float(info.mip_dual_bound) * scale if any(self.integer) else -INFINITE
        if not any(self.integer) and status == highspy.HighsModelStatus.kOptimal:
            bound = objective
        closed = status == highspy.HighsModelStatus.kOptimal and has_values
        verdict = Verdict.CLOSED if closed else Verdict.OPEN
        return Outcome(verdict, values, objective, bound if bound == bound else -INFINITE, seconds)

    def _model(self, scale: float) -> highspy.HighsLp:
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(self.costs), len(self.row_lower)
        model.col_cost_ = np.array(self.costs) / scale
        model.col_lower_ = np.zeros(len(self.costs))
        model.col_upper_ = np.array(self.upper)
        model.row_lower_ = np.array(self.row_lower)
        model.row_upper_ = np.array(self.row_upper)
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = np.array(self.starts, np.int32)
        model.a_matrix_.index_ = np.array(self.index, np.int32)
        model.a_matrix_.value_ = np.array(self.values)
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        model.integrality_ = [kinds[flag] for flag in self.integer]
        return model
