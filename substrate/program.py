"""Linear programs, built column by column under names and solved by HiGHS."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import highspy
import numpy as np
from numpy.typing import NDArray

Entry = tuple[Hashable, float]
INFINITE: float = highspy.kHighsInf
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
        bounds = [self.bounds.get(key, (0.0, INFINITE)) for key in self._numbers]
        model = _model(np.array(self.costs), np.array(self.upper), np.array(bounds))
        model.a_matrix_.start_ = np.array([*self._starts, len(self._rows)], np.int32)
        model.a_matrix_.index_ = np.array(self._rows, np.int32)
        model.a_matrix_.value_ = np.array(self._values)
        return _solved(model, options)


@dataclass(slots=True)
class Bulk:
    """The same from arrays, for programs of very many columns: rows and columns are numbers, in the
    order in which they are added."""

    _bounds: list[Floats] = field(default_factory=list)
    _columns: list[Floats] = field(default_factory=list)
    _entries: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)
    _heights: int = 0
    _widths: int = 0

    def rows(self, lower: float, uppers: Floats) -> int:
        """Rows that share a lower bound; the number of the first."""
        self._bounds.append(np.stack((np.full(len(uppers), lower), uppers), axis=1))
        self._heights += len(uppers)
        return self._heights - len(uppers)

    def columns(self, costs: Floats, uppers: Floats) -> int:
        """Columns, which have no entries yet; the number of the first."""
        self._columns.append(np.stack((costs, uppers), axis=1))
        self._widths += len(costs)
        return self._widths - len(costs)

    def entries(self, columns: Ints, rows: Ints, value: float | Floats) -> None:
        """What these columns have in these rows, one by one; no pair comes twice."""
        values = np.full(len(columns), value) if isinstance(value, float) else value
        self._entries.append((columns, rows, values))

    def least(self, **options: Any) -> tuple[float, list[float]] | None:
        """As :meth:`Program.least`. Raises UnsolvedError."""
        ways, bounds = (
            np.concatenate([np.zeros((0, 2)), *each]) for each in (self._columns, self._bounds)
        )
        model = _model(ways[:, 0], ways[:, 1], bounds)
        none = np.zeros(0, np.int64)
        columns, rows, values = (
            np.concatenate([none, *(entry[i] for entry in self._entries)]) for i in range(3)
        )
        order = np.argsort(columns, kind="stable")
        starts = np.searchsorted(columns[order], np.arange(self._widths + 1))
        model.a_matrix_.start_ = starts.astype(np.int32)
        model.a_matrix_.index_ = rows[order].astype(np.int32)
        model.a_matrix_.value_ = values[order]
        return _solved(model, options)


def _model(costs: Floats, uppers: Floats, bounds: Floats) -> highspy.HighsLp:
    """Without its matrix, which is to be given column by column."""
    model = highspy.HighsLp()
    bounds = bounds.reshape(-1, 2)
    model.num_col_, model.num_row_ = len(uppers), len(bounds)
    model.col_cost_, model.col_upper_ = costs, uppers
    model.col_lower_ = np.zeros(len(uppers))
    model.row_lower_, model.row_upper_ = bounds[:, 0], bounds[:, 1]
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    return model


def _solved(model: highspy.HighsLp, options: dict[str, Any]) -> tuple[float, list[float]] | None:
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in {"output_flag": False, **options}.items():
        solver.setOptionValue(name, value)
    solver.passModel(model)
    solver.run()
    status = solver.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        return None
    if status != highspy.HighsModelStatus.kOptimal:
        raise UnsolvedError(str(status))
    cost = float(solver.getInfo().objective_function_value)
    return cost, list(solver.getSolution().col_value)
