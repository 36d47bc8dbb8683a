"""Linear programs, built column by column under names and solved by HiGHS."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import highspy
import numpy as np

Entry = tuple[Hashable, float]
INFINITE: float = highspy.kHighsInf


class UnsolvedError(Exception):
    """Neither an optimum nor a proof that there is none; the text says why."""


@dataclass(slots=True)
class Program:
    """Columns from 0 up to ``upper``, each with a cost; rows by name, between two bounds.

    A row without ``bounds`` is at least 0. ``starts``, ``rows`` and ``values`` are the matrix,
    column by column.
    """

    bounds: dict[Hashable, tuple[float, float]] = field(default_factory=dict)
    costs: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    _numbers: dict[Hashable, int] = field(default_factory=dict)
    _starts: list[int] = field(default_factory=list)
    _rows: list[int] = field(default_factory=list)
    _values: list[float] = field(default_factory=list)

    def column(self, cost: float, upper: float, entries: Sequence[Entry]) -> None:
        """One more variable."""
        self._starts.append(len(self._rows))
        self.costs.append(cost)
        self.upper.append(upper)
        for key, value in entries:
            self._rows.append(self._numbers.setdefault(key, len(self._numbers)))
            self._values.append(value)

    def least(self, **options: Any) -> tuple[float, list[float]] | None:
        """The least cost and the columns that have it; None where the rows cannot be kept.

        ``options``: HiGHS's own. Raises UnsolvedError.
        """
        solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        for name, value in {"output_flag": False, **options}.items():
            solver.setOptionValue(name, value)
        solver.passModel(self._model())
        solver.run()
        status = solver.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            return None
        if status != highspy.HighsModelStatus.kOptimal:
            raise UnsolvedError(str(status))
        cost = float(solver.getInfo().objective_function_value)
        return cost, list(solver.getSolution().col_value)

    def _model(self) -> highspy.HighsLp:
        count = len(self._numbers)
        bounds = [self.bounds.get(key, (0.0, INFINITE)) for key in self._numbers]
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(self.upper), count
        model.col_cost_ = np.array(self.costs)
        model.col_lower_ = np.zeros(len(self.upper))
        model.col_upper_ = np.array(self.upper)
        model.row_lower_ = np.array([lower for lower, _ in bounds])
        model.row_upper_ = np.array([upper for _, upper in bounds])
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_ = np.array([*self._starts, len(self._rows)], np.int32)
        model.a_matrix_.index_ = np.array(self._rows, np.int32)
        model.a_matrix_.value_ = np.array(self._values)
        return model
