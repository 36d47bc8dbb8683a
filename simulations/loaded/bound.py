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

from collections.abc import Sequence
from dataclasses import dataclass

from simulations.loaded.demand import Demand
from simulations.loaded.world import World
from substrate.program import INFINITE, Entry, Program


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
    program = Program()
    for number, demand in enumerate(demands):
        program.column(0.0, 1.0, [(number, -demand.volume / unit)])
    for number, demand in enumerate(demands):
        for slot in demand.wide_slots:
            arrives = (demand.source, demand.destination, slot)
            program.column(0.0, demand.bandwidth_bps / unit, [(number, 1), (arrives, -1)])
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
            program.bounds[arc, slot] = (-INFINITE, capacity)
            program.column(0.0, capacity, entries)
    volumes = [demand.volume / unit for demand in demands]
    return Bound(_most(program, [1.0] * len(demands)), _most(program, volumes) * unit)


def _most(program: Program, weights: Sequence[float]) -> float:
    """The largest sum of the first columns, weighted so."""
    program.costs[: len(weights)] = [-weight for weight in weights]
    # Simplex takes five times as long here.
    found = program.least(solver="ipm")
    assert found is not None, "to accept nothing is always possible"
    return -found[0]
