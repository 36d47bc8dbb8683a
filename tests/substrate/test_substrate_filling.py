"""Filling of routes that share resources, against a linear program and against plain fairness."""

from __future__ import annotations

import highspy
import numpy as np
import pytest
from hypothesis import given, strategies as st

from substrate.filling import fill

limits_of = st.lists(
    st.dictionaries(st.sampled_from("pqrst"), st.integers(0, 300), min_size=1),
    min_size=1,
    max_size=5,
)


def shared(limits: list[dict[str, int]]) -> dict[str, int]:
    return {
        name: min(route[name] for route in limits if name in route)
        for name in sorted({name for route in limits for name in route})
    }


def optimum(limits: list[dict[str, int]]) -> float:
    """The most that fits, bits divisible."""
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.silent()
    for i in range(len(limits)):
        solver.addVar(0.0, highspy.kHighsInf)
        solver.changeColCost(i, -1.0)
    for name, free in shared(limits).items():
        who = np.array([i for i, route in enumerate(limits) if name in route], dtype=np.int32)
        solver.addRow(-highspy.kHighsInf, float(free), len(who), who, np.ones(len(who)))
    solver.run()
    return -solver.getInfo().objective_function_value


@given(limits_of, st.integers(0, 900), st.integers(0, 20))
def test_every_limit_is_kept(limits: list[dict[str, int]], wanted: int, least: int) -> None:
    amounts = fill(limits, wanted, least)
    assert len(amounts) == len(limits)
    assert sum(amounts) <= wanted
    for name, free in shared(limits).items():
        assert sum(a for a, r in zip(amounts, limits, strict=True) if name in r) <= free
    assert all(amount >= least for amount in amounts) or not any(amounts)


@given(limits_of, st.sampled_from([1, 1_000, 10**9]))
def test_the_optimum_is_reached(limits: list[dict[str, int]], unit: int) -> None:
    # Twice a whole number of units: so that halves, which the optimum may need, are whole too.
    scaled = [{name: 12 * free * unit for name, free in route.items()} for route in limits]
    best = round(optimum(limits) * 12) * unit
    assert sum(fill(scaled, best, 0)) == best
    assert sum(fill(scaled, best + unit, 0)) == best


@pytest.mark.parametrize("least", [0, 1])
def test_an_exact_fit_of_large_numbers_loses_no_bit(least: int) -> None:
    big = 400 * 10**9
    crossed = [{"p": big, "q": big}, {"p": big}, {"q": big}]
    assert sum(fill(crossed, 2 * big - least, least)) == 2 * big - least


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(0, 200))
def test_routes_that_share_nothing_are_filled_evenly(free: list[int], wanted: int) -> None:
    amounts = fill([{f"r{i}": bps} for i, bps in enumerate(free)], wanted, 0)
    assert sum(amounts) == min(wanted, sum(free))
    for amount, bps in zip(amounts, free, strict=True):
        assert amount == bps or amount >= max(amounts) - 1


def test_the_least_amount_is_all_or_nothing() -> None:
    assert fill([{"p": 10}, {"p": 10}], 20, 6) == [0, 0]
    assert fill([{"p": 10}, {"q": 10}], 11, 6) == [0, 0]
    assert fill([{"p": 10}, {"q": 5}], 15, 6) == [0, 0]
    assert fill([{"p": 10}, {"q": 6}], 15, 6) == [9, 6]


def test_one_resource_with_two_sayings_has_the_lesser() -> None:
    assert sum(fill([{"p": 10}, {"p": 7}], 20, 0)) == 7
