"""What no algorithm can beat: all requests known in advance, divisible, over any paths.

A linear program, solved by HiGHS. With r a request from s to d, t a slot, a a direction of a link:

    x[r] in [0, 1]              how much of the request is served
    y[r, t] in [0, bandwidth]   its rate in a slot of its wide window
    f[s, a, t] >= 0             what all requests from s send over a

    Σ_t y[r, t] >= volume · x[r]                              the volume by the deadline
    Σ_in f[s, ·, t] - Σ_out f[s, ·, t] >= Σ_(r: s to n) y[r, t]   at every node n but s
    Σ_s f[s, a, t] <= capacity

Flows from one source need not be told apart: any such sum can be taken apart into flows to each
destination. So this is the full multi-commodity program, with no paths left out, an order of
magnitude smaller.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import highspy
import numpy as np

from simulations.loaded.demand import Demand
from simulations.loaded.world import World

Entry = tuple[Hashable, float]


@dataclass(frozen=True, slots=True)
class Bound:
    """Most requests, and, separately, most volume that could be accepted; in requests, bit/s·slots.

    A request that is served by half counts half.
    """

    requests: float
    volume: float


def offline_bound(world: World, demands: Sequence[Demand]) -> Bound:
    """See the module. Takes seconds for some hundred requests on a dozen nodes."""
    if not demands:
        return Bound(0, 0)
    unit = world.unit_bps
    program = _Program()
    for number, demand in enumerate(demands):
        program.column(1.0, [(number, -demand.volume / unit)])
    for number, demand in enumerate(demands):
        for slot in demand.wide_slots:
            arrives = (demand.source, demand.destination, slot)
            program.column(demand.bandwidth_bps / unit, [(number, 1), (arrives, -1)])
    arcs = [
        (here, there, (number, here), link.capacity_bps / unit)
        for number, link in enumerate(world.links)
        for here, there in ((link.a, link.b), (link.b, link.a))
    ]
    active = {(demand.source, slot) for demand in demands for slot in demand.wide_slots}
    for source, slot in sorted(active):
        for here, there, arc, capacity in arcs:
            if there == source:
                continue
            entries: list[Entry] = [((source, there, slot), 1), ((arc, slot), 1)]
            if here != source:
                entries.append(((source, here, slot), -1))
            program.limit((arc, slot), capacity)
            program.column(capacity, entries)
    volumes = [demand.volume / unit for demand in demands]
    return Bound(program.most([1.0] * len(demands)), program.most(volumes) * unit)


@dataclass(slots=True)
class _Program:
    """Columns from 0 up to ``upper``. A row is at least 0 or, if it has a limit, at most that.

    ``starts``, ``rows`` and ``values`` are the matrix, column by column.
    """

    numbers: dict[Hashable, int] = field(default_factory=dict)
    limits: dict[int, float] = field(default_factory=dict)
    upper: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def column(self, upper: float, entries: Sequence[Entry]) -> None:
        """One more variable."""
        self.starts.append(len(self.rows))
        self.upper.append(upper)
        for key, value in entries:
            self.rows.append(self._row(key))
            self.values.append(value)

    def limit(self, key: Hashable, most: float) -> None:
        """That row is at most ``most``, and may be below 0."""
        self.limits[self._row(key)] = most

    def most(self, weights: Sequence[float]) -> float:
        """The largest sum of the first columns, weighted so."""
        solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        solver.setOptionValue("output_flag", False)
        # Simplex takes five times as long here.
        solver.setOptionValue("solver", "ipm")
        solver.passModel(self._model(weights))
        solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(f"HiGHS found no bound: {solver.getModelStatus()}")
        return float(solver.getInfo().objective_function_value)

    def _row(self, key: Hashable) -> int:
        return self.numbers.setdefault(key, len(self.numbers))

    def _model(self, weights: Sequence[float]) -> highspy.HighsLp:
        count, infinite = len(self.numbers), highspy.kHighsInf
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(self.upper), count
        model.sense_ = highspy.ObjSense.kMaximize
        model.col_cost_ = np.array([*weights, *[0.0] * (len(self.upper) - len(weights))])
        model.col_lower_ = np.zeros(len(self.upper))
        model.col_upper_ = np.array(self.upper)
        model.row_lower_ = np.array([-infinite if i in self.limits else 0.0 for i in range(count)])
        model.row_upper_ = np.array([self.limits.get(i, infinite) for i in range(count)])
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_ = np.array([*self.starts, len(self.rows)], np.int32)
        model.a_matrix_.index_ = np.array(self.rows, np.int32)
        model.a_matrix_.value_ = np.array(self.values)
        return model
