"""The grid never says less than is held, and says no more than whole slots make of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from substrate import grid as module
from substrate.grid import Grid
from substrate.model import Window

ROWS = 3
SPAN_S = 60
SLOT_S, DAY_S = 2, 12


@pytest.fixture(autouse=True)
def short_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOT_S", SLOT_S)
    monkeypatch.setattr(module, "DAY_S", DAY_S)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start_s = draw(st.integers(0, SPAN_S - 1))
    return Window(start_s, draw(st.integers(start_s + 1, SPAN_S)))


Hold = tuple[int, Window, int]
HOLDS = st.lists(st.tuples(st.integers(0, ROWS - 1), windows(), st.integers(1, 9)), max_size=30)
EASY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def in_slots(window: Window) -> Window:
    """The window as far as its slots reach."""
    return Window(window.start_s // SLOT_S * SLOT_S, -(-window.end_s // SLOT_S) * SLOT_S)


def highest(holds: list[Hold], window: Window, *, whole_slots: bool) -> list[int]:
    levels = np.zeros((ROWS, SPAN_S + SLOT_S), np.int64)
    for row, held, amount in holds:
        held = in_slots(held) if whole_slots else held
        levels[row, held.start_s : held.end_s] += amount
    looked = in_slots(window) if whole_slots else window
    return list(levels[:, looked.start_s : looked.end_s].max(axis=1))


@EASY
@given(HOLDS, st.data(), windows())
def test_it_tells_the_level_of_whole_slots(
    holds: list[Hold], data: st.DataObject, window: Window
) -> None:
    grid = Grid(ROWS)
    for row, held, amount in holds:
        grid.add(row, held, amount)
    order = data.draw(st.permutations(holds))
    gone, left = order[: len(order) // 2], order[len(order) // 2 :]
    for row, held, amount in gone:
        grid.add(row, held, -amount)
    found = list(grid.most(window))
    assert found == highest(left, window, whole_slots=True)
    exact = highest(left, window, whole_slots=False)
    assert all(bound >= level for bound, level in zip(found, exact, strict=True))


@EASY
@given(HOLDS, windows(), st.integers(0, SPAN_S))
def test_what_is_past_is_forgotten_and_the_rest_stays(
    holds: list[Hold], window: Window, now_s: int
) -> None:
    grid = Grid(ROWS)
    for row, held, amount in holds:
        grid.add(row, held, amount)
    grid.forget(now_s)
    start_s = max(window.start_s, now_s)
    if start_s < window.end_s:
        still = Window(start_s, window.end_s)
        assert list(grid.most(still)) == highest(holds, still, whole_slots=True)


def test_far_before_and_after_anything_there_is_nothing() -> None:
    grid = Grid(ROWS)
    assert list(grid.most(Window(0, 10**9))) == [0, 0, 0]
    grid.add(1, Window(1000, 1001), 5)
    assert list(grid.most(Window(0, 900))) == [0, 0, 0]
    assert list(grid.most(Window(2000, 10**9))) == [0, 0, 0]
    assert list(grid.most(Window(0, 10**9))) == [0, 5, 0]
