"""A forecast promises what profiles have: exactly where it may, never more."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, strategies as st

from substrate import forecast as module
from substrate.forecast import Forecast, Resource, forecast
from substrate.model import Profile, Step, Window, least_within
from substrate.options import Supply

SPAN = Window(100, 160)
FEW = 8
PAIR = ("b:in", "b:out")
RESOURCES: tuple[Resource, ...] = (PAIR, ("b:out", "b:in"), "b:in", "b:out")


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """They may begin before the span, and go on behind it."""
    first_s = draw(st.integers(SPAN.start_s - 20, SPAN.start_s))
    more = draw(st.sets(st.integers(first_s + 1, SPAN.end_s + 20), max_size=5))
    return tuple(Step(s, draw(st.integers(0, 50))) for s in (first_s, *sorted(more)))


TOLD = st.dictionaries(st.sampled_from(RESOURCES), profiles(), min_size=1)


@st.composite
def windows(draw: st.DrawFn, end_s: int = SPAN.end_s) -> Window:
    start_s = draw(st.integers(SPAN.start_s, end_s - 1))
    return Window(start_s, draw(st.integers(start_s + 1, end_s)))


def free(found: Forecast, resource: Resource, window: Window) -> int:
    supply = found.within(window)
    if isinstance(resource, str):
        return supply.port_bps[resource]
    assert supply.caps[resource] == supply.pair_bps[resource]
    return supply.pair_bps[resource]


def second_by_second(profile: Profile, window: Window) -> int:
    seconds = range(window.start_s, window.end_s)
    least = min(least_within(profile, Window(s, s + 1)) for s in seconds)
    assert least == least_within(profile, window)
    return least


def cut_at(found: Forecast, window: Window) -> Window:
    """The whole slots that a window touches."""
    touched = found.slots_of(window)
    return Window(found.cuts[touched.start], found.cuts[touched.stop])


def assert_sound(found: Forecast, told: Mapping[Resource, Profile], span: Window) -> None:
    assert found.span == span
    assert list(found.cuts) == sorted(set(found.cuts))
    assert found.levels.shape == (len(told), found.slots)
    assert found.lengths_s.sum() == span.duration_s


@given(TOLD, st.sets(st.integers(80, 180), max_size=3), windows())
def test_within_whole_slots_it_is_the_least_of_every_second(
    told: dict[Resource, Profile], also: set[int], window: Window
) -> None:
    found = forecast(SPAN, Supply(), told, also=also)
    assert_sound(found, told, SPAN)
    assert {s for s in also if SPAN.start_s < s < SPAN.end_s} <= set(found.cuts)
    for resource, profile in told.items():
        assert free(found, resource, window) == second_by_second(profile, cut_at(found, window))
        for start_s, end_s in zip(found.cuts, found.cuts[1:], strict=False):
            # Nothing changes within a slot, so that whole slots are exact.
            levels = {least_within(profile, Window(s, s + 1)) for s in range(start_s, end_s)}
            assert len(levels) == 1


@given(TOLD, windows())
def test_with_few_changes_any_window_is_told_exactly(
    told: dict[Resource, Profile], window: Window
) -> None:
    found = forecast(SPAN, Supply(), told)
    for resource, profile in told.items():
        assert free(found, resource, window) == second_by_second(profile, window)


CHANGES = st.lists(st.integers(0, 50), min_size=30, max_size=60)


@given(CHANGES, windows(), st.integers(1, 100))
def test_on_a_grid_it_never_promises_more_than_there_is(
    levels: list[int], window: Window, least_slot_s: int
) -> None:
    profile = tuple(Step(SPAN.start_s + i, bps) for i, bps in enumerate(levels))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SLOTS_MAX", FEW)
        found = forecast(SPAN, Supply(), {PAIR: profile}, least_slot_s=least_slot_s)
    assert_sound(found, {PAIR: profile}, SPAN)
    assert found.slots <= FEW
    assert found.lengths_s.min() >= min(least_slot_s, SPAN.duration_s)
    whole = cut_at(found, window)
    assert free(found, PAIR, window) == second_by_second(profile, whole)
    assert free(found, PAIR, window) <= second_by_second(profile, window)


@given(TOLD, st.data())
def test_coarser_and_until_keep_the_span_and_promise_no_more(
    told: dict[Resource, Profile], data: st.DataObject
) -> None:
    found = forecast(SPAN, Supply(), told)
    end_s = data.draw(st.integers(SPAN.start_s + 1, SPAN.end_s))
    less = found.until(end_s)
    assert_sound(less, told, Window(SPAN.start_s, end_s))
    window = data.draw(windows(end_s))
    for resource, profile in told.items():
        assert free(less, resource, window) == second_by_second(profile, window)
    while less.slots > 1:
        before, less = less, less.coarser()
        assert less.slots == -(-before.slots // 2)
        assert_sound(less, told, Window(SPAN.start_s, end_s))
        for resource, profile in told.items():
            assert free(less, resource, window) <= second_by_second(profile, window)
            assert free(less, resource, window) == free(before, resource, cut_at(less, window))


@given(TOLD, windows(), st.integers(0, 50), windows())
def test_what_was_refused_is_not_promised_in_that_window_and_all_else_stays(
    told: dict[Resource, Profile], refused: Window, most_bps: int, window: Window
) -> None:
    found = forecast(SPAN, Supply(), told)
    capped = found.capped([(PAIR, refused, most_bps)])
    for resource, profile in told.items():
        plain = second_by_second(profile, window)
        assert free(found, resource, window) == plain
        refusing = resource == PAIR and refused.overlaps(window)
        assert free(capped, resource, window) == (min(plain, most_bps) if refusing else plain)
    assert (PAIR in capped.within(window).pair_bps) == (PAIR in told)


def test_without_steps_nothing_is_free() -> None:
    found = forecast(SPAN, Supply(), {PAIR: (), "b:in": (Step(100, 7),)})
    assert free(found, PAIR, SPAN) == 0
    assert free(found, "b:in", SPAN) == 7


def test_what_does_not_change_is_kept() -> None:
    fixed = Supply(pair_latency_us={PAIR: 5}, caps={PAIR: 3}, down=frozenset({"x"}))
    supply = forecast(SPAN, fixed, {PAIR: (Step(100, 7),)}).within(SPAN)
    assert (supply.pair_latency_us, supply.caps, supply.down) == ({PAIR: 5}, {PAIR: 3}, fixed.down)
