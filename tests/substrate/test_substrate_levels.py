"""A chunked step function tells the same as a plain list of levels, whatever is added when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from substrate import levels as module
from substrate.levels import Levels
from substrate.model import Window

SPAN = 60
ALL = Window(-5, SPAN + 5)


@pytest.fixture(autouse=True, params=[(4, 0), (6, 2), (16, 3), (512, 24)])
def small_chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk_max, few = request.param
    monkeypatch.setattr(module, "CHUNK_MAX", chunk_max)
    monkeypatch.setattr(module, "FEW", few)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start_s = draw(st.integers(0, SPAN - 1))
    return Window(start_s, draw(st.integers(start_s + 1, SPAN)))


ADDS = st.lists(st.tuples(windows(), st.integers(1, 9)), max_size=40)
EASY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Plain:
    """A level per second."""

    def __init__(self) -> None:
        self.levels = [0] * SPAN

    def add(self, window: Window, amount: int) -> None:
        for at_s in range(window.start_s, window.end_s):
            self.levels[at_s] += amount

    def steps(self, window: Window) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for at_s in range(window.start_s, window.end_s):
            level = self.levels[at_s] if 0 <= at_s < SPAN else 0
            if not found or found[-1][1] != level:
                found.append((at_s, level))
        return found


def build(adds: list[tuple[Window, int]]) -> tuple[Levels, Plain]:
    levels, plain = Levels(), Plain()
    for window, amount in adds:
        levels.add(window, amount)
        plain.add(window, amount)
    return levels, plain


@EASY
@given(ADDS, st.data(), st.lists(windows(), max_size=5))
def test_it_tells_what_a_plain_list_tells(
    adds: list[tuple[Window, int]], data: st.DataObject, asked: list[Window]
) -> None:
    levels, plain = build(adds)
    for window, amount in data.draw(st.permutations(adds))[: len(adds) // 2]:
        levels.add(window, -amount)
        plain.add(window, -amount)
    for window in (*asked, ALL):
        expected = plain.steps(window)
        assert levels.steps(window) == expected
        assert levels.most(window) == max(level for _, level in expected)
        assert levels.least(window) == min(level for _, level in expected)


@EASY
@given(ADDS, st.data())
def test_nothing_is_left_when_all_is_given_back(
    adds: list[tuple[Window, int]], data: st.DataObject
) -> None:
    levels, _ = build(adds)
    for window, amount in data.draw(st.permutations(adds)):
        levels.add(window, -amount)
    assert len(levels) == 0
    assert levels.steps(ALL) == [(ALL.start_s, 0)]


@EASY
@given(ADDS, windows(), st.integers(1, 9))
def test_built_at_once_it_is_the_same_and_goes_on_alike(
    adds: list[tuple[Window, int]], window: Window, amount: int
) -> None:
    one_by_one, _ = build(adds)
    columns = [(w.start_s, w.end_s, bps) for w, bps in adds]
    starts_s, ends_s, amounts = np.array(columns, np.int64).reshape(-1, 3).T
    at_once = Levels.of(starts_s, ends_s, amounts)
    assert at_once.steps(ALL) == one_by_one.steps(ALL)
    for levels in (at_once, one_by_one):
        levels.add(window, amount)
    assert at_once.steps(ALL) == one_by_one.steps(ALL)
    assert at_once.most(ALL) == one_by_one.most(ALL)


def test_amounts_and_times_of_64_bits_are_exact() -> None:
    levels = Levels()
    late = Window(2**40, 2**40 + 1)
    levels.add(late, 2**60)
    levels.add(Window(0, 2**41), 1)
    assert levels.most(late) == 2**60 + 1
    assert levels.least(late) == 2**60 + 1


def test_what_has_thinned_out_is_not_kept_in_many_chunks() -> None:
    levels = Levels()
    some = [Window(2 * i, 2 * i + 1) for i in range(3000)]
    for window in some:
        levels.add(window, 1)
    for window in some[:2990]:
        levels.add(window, -1)
    assert len(levels) == 20
    assert levels.chunks <= 10


def test_a_long_look_sees_what_was_added_in_many_places_since_the_last_one() -> None:
    levels = Levels()
    windows = [Window(10 * i, 10 * i + 5) for i in range(4000)]
    for window in windows:
        levels.add(window, 1)
    assert levels.most(Window(0, 40_000)) == 1
    for number, window in enumerate(windows[::7]):
        levels.add(window, number)
    assert levels.most(Window(0, 40_000)) == levels.highest() == len(windows[::7])
    for window in windows[::7]:
        levels.add(window, -1)
    assert levels.most(Window(0, 40_000)) == len(windows[::7]) - 1
    assert levels.least(Window(0, 40_000)) == 0
