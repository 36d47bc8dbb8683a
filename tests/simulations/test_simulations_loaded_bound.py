"""The offline bound: by hand where that can be done, and against the full program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import highspy
import pytest
from hypothesis import given, settings
from loads import KITE, RING, C, demand, demands

from simulations.loaded.bound import Bound, offline_bound
from simulations.loaded.demand import Demand
from simulations.loaded.world import Link, World

LINE = World("line", (Link("p", "q", C),))


def written_out(world: World, demands: Sequence[Demand], weights: Sequence[float]) -> float:
    """A flow of its own for each request, link, direction and slot; in units of C."""
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.silent()
    loads: dict[tuple[int, str, int], list[Any]] = {}
    served = []
    for asked in demands:
        share = solver.addVariable(0, 1)
        served.append(share)
        moved = []
        for slot in asked.wide_slots:
            rate = solver.addVariable(0, asked.bandwidth_bps / C)
            moved.append(rate)
            into: dict[str, list[Any]] = {node: [] for node in world.nodes}
            out: dict[str, list[Any]] = {node: [] for node in world.nodes}
            for number, link in enumerate(world.links):
                for here, there in ((link.a, link.b), (link.b, link.a)):
                    flow = solver.addVariable(0, highspy.kHighsInf)
                    out[here].append(flow)
                    into[there].append(flow)
                    loads.setdefault((number, here, slot), []).append(flow)
            for node in world.nodes:
                here = solver.qsum(into[node]) - solver.qsum(out[node])
                ends = {asked.source: -1, asked.destination: 1}
                solver.addConstr(here - ends.get(node, 0) * rate == 0)
        solver.addConstr(solver.qsum(moved) - asked.volume / C * share == 0)
    for (number, _, _), flows in loads.items():
        solver.addConstr(solver.qsum(flows) <= world.links[number].capacity_bps / C)
    solver.maximize(solver.qsum([w * x for w, x in zip(weights, served, strict=True)]))
    return float(solver.getObjectiveValue())


@settings(deadline=None, max_examples=25)
@given(data=demands(KITE, most=8))
def test_it_is_the_optimum_of_the_full_program(data: tuple[Demand, ...]) -> None:
    bound = offline_bound(KITE, data)
    volumes = [asked.volume / C for asked in data]
    assert bound.requests == pytest.approx(written_out(KITE, data, [1.0] * len(data)), abs=1e-5)
    assert bound.volume / C == pytest.approx(written_out(KITE, data, volumes), abs=1e-5)


def test_a_link_carries_its_capacity_each_way_for_as_long_as_windows_last() -> None:
    there = [demand("p", "q", 1.0)] * 3
    # Two slots of the wide window, of which each request wants one.
    assert offline_bound(LINE, there).requests == pytest.approx(2)
    assert offline_bound(LINE, [*there, demand("q", "p", 1.0)]).requests == pytest.approx(3)


def test_requests_and_volume_are_bounded_apart() -> None:
    small, large = demand("p", "q", 0.5), demand("p", "q", 1.0)
    bound = offline_bound(LINE, [small, small, large, large])
    assert bound.requests == pytest.approx(3)
    assert bound.volume == pytest.approx(2 * C)


def test_a_request_is_served_no_faster_than_it_asked() -> None:
    slow = demand("p", "q", 0.5, slots=4)
    assert offline_bound(LINE, [slow]).volume == pytest.approx(2 * C)
    crowd = [demand("p", "q", 1.0, start=1, slots=3)] * 2
    # The crowd needs its six slots in full; in the two that are left, only half the link is used.
    assert offline_bound(LINE, [*crowd, slow]).volume == pytest.approx(7 * C)


def test_flows_split_over_all_paths() -> None:
    asked = [demand("p", "r", 1.0)] * 5
    assert offline_bound(RING, asked).requests == pytest.approx(4)
    assert offline_bound(KITE, asked).requests == pytest.approx(5)


def test_of_nothing_all_can_be_had() -> None:
    assert offline_bound(RING, []) == Bound(0, 0)
