"""Calendars against arrays with one cell per second."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from substrate import label_calendar
from substrate.calendar import (
    OUTLINE_STEPS,
    Calendar,
    CalendarError,
    Direction,
    Resource,
    outlined,
)
from substrate.label_calendar import NOBODY, LabelCalendar
from substrate.model import Profile, Step, Window
from substrate.vlans import VlanSet

END_S = 24
CAPACITY = 10
X, Y, Z, W = range(1, 5)
IN = Resource("port d:p", Direction.IN)
OUT = Resource("port d:p", Direction.OUT)

windows = st.tuples(st.integers(0, END_S - 1), st.integers(1, END_S)).map(
    lambda t: Window(t[0], min(END_S, t[0] + t[1]))
)
holds = st.lists(st.tuples(windows, st.integers(0, 4)), max_size=12)


def seconds(window: Window) -> range:
    return range(window.start_s, window.end_s)


class CalendarAgainstArray(RuleBasedStateMachine):
    """Every look and every change, compared with one integer per second."""

    held = Bundle("held")

    @initialize()
    def begin(self) -> None:
        self.calendar = Calendar({IN: CAPACITY, OUT: CAPACITY})
        self.cells = [0] * END_S
        self.live = 0

    @rule(target=held, window=windows, bps=st.integers(0, 6))
    def add(self, window: Window, bps: int) -> object:
        if any(self.cells[s] + bps > CAPACITY for s in seconds(window)):
            with pytest.raises(CalendarError, match="port d:p in"):
                self.calendar.add(IN, window, bps)
            return multiple()
        self.calendar.add(IN, window, bps)
        for s in seconds(window):
            self.cells[s] += bps
        self.live += 1
        return (window, bps)

    @rule(hold=consumes(held))
    def remove(self, hold: tuple[Window, int]) -> None:
        window, bps = hold
        self.calendar.remove(IN, window, bps)
        for s in seconds(window):
            self.cells[s] -= bps
        self.live -= 1

    @rule(window=windows)
    def cannot_give_back_more_than_is_held(self, window: Window) -> None:
        least = min(self.cells[s] for s in seconds(window))
        with pytest.raises(CalendarError):
            self.calendar.remove(IN, window, least + 1)

    @rule(window=windows)
    def look(self, window: Window) -> None:
        free = [CAPACITY - self.cells[s] for s in seconds(window)]
        assert self.calendar.free_bps(IN, window) == min(free)
        profile = self.calendar.profile(IN, window)
        expected = [
            Step(window.start_s + i, level)
            for i, level in enumerate(free)
            if i == 0 or free[i - 1] != level
        ]
        assert list(profile) == expected

    @invariant()
    def is_empty_when_nothing_is_held(self) -> None:
        if hasattr(self, "cells"):
            assert self.calendar.is_empty() == (not any(self.cells))
            assert self.calendar.free_bps(OUT, Window(0, END_S)) == CAPACITY


TestCalendarAgainstArray = CalendarAgainstArray.TestCase
TestCalendarAgainstArray.settings = settings(max_examples=60, stateful_step_count=40)


@given(
    many=st.lists(st.tuples(st.integers(0, 900), st.integers(1, 200)), max_size=200),
    start_s=st.integers(0, 900),
    length_s=st.integers(1, 900),
)
def test_an_outline_is_short_and_never_promises_too_much(
    many: list[tuple[int, int]], start_s: int, length_s: int
) -> None:
    calendar = Calendar({IN: 1000})
    for at_s, for_s in many:
        calendar.add(IN, Window(at_s, at_s + for_s), 1)
    window = Window(start_s, start_s + length_s)
    profile = calendar.profile(IN, window)
    assert calendar.detail(IN, window) == profile
    exact = _per_second(profile, window)
    for outline in (calendar.outline(IN, window), outlined(profile, window)):
        assert len(outline) <= OUTLINE_STEPS + 1
        if len(profile) <= OUTLINE_STEPS:
            assert outline == profile
        told = _per_second(outline, window)
        assert all(less <= most for less, most in zip(told, exact, strict=True))
        assert min(told) == min(exact)


def _per_second(profile: Profile, window: Window) -> list[int]:
    assert profile[0].start_s == window.start_s
    ends_s = [step.start_s for step in profile[1:]] + [window.end_s]
    return [
        step.bandwidth_bps
        for step, end_s in zip(profile, ends_s, strict=True)
        for _ in range(step.start_s, end_s)
    ]


@given(holds, st.randoms(use_true_random=False))
def test_what_was_held_leaves_no_trace(holds: list[tuple[Window, int]], random: object) -> None:
    calendar = Calendar({IN: 100})
    for window, bps in holds:
        calendar.add(IN, window, bps)
    random.shuffle(holds)  # type: ignore[attr-defined]
    for window, bps in holds:
        calendar.remove(IN, window, bps)
    assert calendar.is_empty()
    assert calendar.profile(IN, Window(0, END_S)) == (Step(0, 100),)


def test_windows_are_half_open() -> None:
    calendar = Calendar({IN: 1})
    calendar.add(IN, Window(5, 10), 1)
    calendar.add(IN, Window(10, 15), 1)
    calendar.add(IN, Window(0, 5), 1)
    assert calendar.free_bps(IN, Window(14, 15)) == 0
    assert calendar.free_bps(IN, Window(15, 16)) == 1
    assert calendar.profile(IN, Window(3, 17)) == (Step(3, 0), Step(15, 1))


def test_windows_far_from_zero() -> None:
    calendar = Calendar({IN: 4 * 10**12})
    window = Window(1_900_000_000, 4_102_444_800)
    calendar.add(IN, window, 4 * 10**12)
    assert calendar.free_bps(IN, Window(-5, 1_900_000_001)) == 0
    assert calendar.free_bps(IN, Window(-5, 1_900_000_000)) == 4 * 10**12


def test_a_hold_that_fails_changes_nothing() -> None:
    calendar = Calendar({IN: 5})
    calendar.add(IN, Window(10, 20), 3)
    before = calendar.profile(IN, Window(0, 30))
    with pytest.raises(CalendarError):
        calendar.add(IN, Window(0, 30), 3)
    with pytest.raises(CalendarError):
        calendar.remove(IN, Window(9, 20), 3)
    with pytest.raises(CalendarError):
        calendar.remove(IN, Window(10, 21), 1)
    assert calendar.profile(IN, Window(0, 30)) == before


def test_an_unknown_resource_is_an_error() -> None:
    calendar = Calendar({IN: 5})
    for look in (calendar.free_bps, calendar.profile):
        with pytest.raises(KeyError):
            look(OUT, Window(0, 1))
    with pytest.raises(KeyError):
        calendar.add(OUT, Window(0, 1), 1)


def test_directions_are_each_others_opposite() -> None:
    assert Direction.IN.opposite is Direction.OUT
    assert Direction.OUT.opposite is Direction.IN


STP = "d:p"
RANGE = VlanSet.of(7, 8)


class LabelsAgainstArray(RuleBasedStateMachine):
    """Who has which VLAN at which second, with a multiset per cell."""

    held = Bundle("held")

    @initialize(sizes=st.sampled_from([(3600, 86_400), (2, 6), (3, 12), (1, 1)]))
    def begin(self, sizes: tuple[int, int]) -> None:
        """The same whatever the length of an hour and a day."""
        label_calendar.HOUR_S, label_calendar.DAY_S = sizes
        self.calendar = LabelCalendar({STP: RANGE, "d:q": RANGE})
        self.cells: dict[tuple[int, int], list[int]] = {
            (vlan, s): [] for vlan in RANGE for s in range(END_S)
        }
        self.takes: list[tuple[int, Window, int]] = []

    @rule(
        target=held, vlan=st.sampled_from([7, 8]), window=windows, holder=st.sampled_from([X, Y, Z])
    )
    def take(self, vlan: int, window: Window, holder: int) -> object:
        others = {h for s in seconds(window) for h in self.cells[vlan, s]} - {holder}
        if others:
            with pytest.raises(CalendarError, match="VLAN"):
                self.calendar.take(STP, vlan, window, holder)
            return multiple()
        self.calendar.take(STP, vlan, window, holder)
        for s in seconds(window):
            self.cells[vlan, s].append(holder)
        self.takes.append((vlan, window, holder))
        return (vlan, window, holder)

    @rule(hold=consumes(held))
    def give(self, hold: tuple[int, Window, int]) -> None:
        vlan, window, holder = hold
        self.calendar.give(STP, vlan, window, holder)
        for s in seconds(window):
            self.cells[vlan, s].remove(holder)
        self.takes.remove(hold)

    @rule(vlan=st.sampled_from([7, 8]), window=windows, holder=st.sampled_from([X, Y, Z]))
    def cannot_give_back_what_is_not_held(self, vlan: int, window: Window, holder: int) -> None:
        if (vlan, window, holder) not in self.takes:
            with pytest.raises(CalendarError, match="not held"):
                self.calendar.give(STP, vlan, window, holder)

    @rule(window=windows, holder=st.sampled_from([NOBODY, X, Y, Z, W]))
    def look(self, window: Window, holder: int) -> None:
        others = {
            vlan: {h for s in seconds(window) for h in self.cells[vlan, s]} - {holder}
            for vlan in RANGE
        }
        free = {vlan for vlan in RANGE if not others[vlan]}
        assert set(self.calendar.free_vlans(STP, window, holder)) == free
        own = {vlan for vlan, _, who in self.takes if who == holder}
        assert set(self.calendar.free_vlans(STP, window, holder, own)) == free
        for vlan in RANGE:
            who = self.calendar.holder(STP, vlan, window, other_than=holder)
            assert (who in others[vlan]) if others[vlan] else who is None

    def teardown(self) -> None:
        label_calendar.HOUR_S, label_calendar.DAY_S = 3600, 86_400

    @invariant()
    def is_empty_when_nothing_is_held(self) -> None:
        if hasattr(self, "takes"):
            assert self.calendar.is_empty() == (not self.takes)
            assert self.calendar.free_vlans("d:q", Window(0, END_S)) == RANGE


TestLabelsAgainstArray = LabelsAgainstArray.TestCase
TestLabelsAgainstArray.settings = settings(max_examples=80, stateful_step_count=50)


def test_a_label_taken_twice_by_one_holder_is_held_until_given_back_twice() -> None:
    calendar = LabelCalendar({STP: RANGE})
    window = Window(10, 20)
    calendar.take(STP, 7, window, X)
    calendar.take(STP, 7, window, X)
    calendar.give(STP, 7, window, X)
    with pytest.raises(CalendarError, match="held by another"):
        calendar.take(STP, 7, window, Y)
    calendar.give(STP, 7, window, X)
    calendar.take(STP, 7, window, Y)
    with pytest.raises(CalendarError, match="not held by 1"):
        calendar.give(STP, 7, window, X)


def test_a_long_hold_is_seen_behind_short_ones_of_the_same_holder() -> None:
    calendar = LabelCalendar({STP: RANGE})
    calendar.take(STP, 7, Window(0, 100), X)
    for start_s in range(1, 50, 3):
        calendar.take(STP, 7, Window(start_s, start_s + 1), X)
    assert calendar.holder(STP, 7, Window(90, 91)) == X
    assert calendar.holder(STP, 7, Window(90, 91), other_than=X) is None
    assert 7 not in calendar.free_vlans(STP, Window(99, 100), Y)
    assert 7 in calendar.free_vlans(STP, Window(100, 101), Y)


def test_labels_touch_without_conflict() -> None:
    calendar = LabelCalendar({STP: RANGE})
    for start_s, holder in ((10, X), (0, Y), (20, Z)):
        calendar.take(STP, 7, Window(start_s, start_s + 10), holder)
    assert [calendar.holder(STP, 7, Window(s, s + 1)) for s in (0, 9, 10, 19, 20, 29, 30)] == [
        *(Y, Y, X, X, Z, Z),
        None,
    ]


def test_labels_outside_the_range_of_the_port_cannot_be_taken() -> None:
    calendar = LabelCalendar({STP: RANGE})
    with pytest.raises(CalendarError, match="d:p has no VLAN 9"):
        calendar.take(STP, 9, Window(0, 1), X)
    with pytest.raises(CalendarError, match="d:r has no VLAN 7"):
        calendar.take("d:r", 7, Window(0, 1), X)
    assert not calendar.free_vlans("d:r", Window(0, 1))
    assert calendar.is_empty()


@given(
    st.lists(st.tuples(windows, st.sampled_from([X, X, X, Y])), max_size=12),
    st.randoms(use_true_random=False),
    st.sampled_from([(3600, 86_400), (2, 6), (3, 12), (1, 1)]),
)
def test_masks_are_the_same_whatever_was_there_before(
    asked: list[tuple[Window, int]], random: object, sizes: tuple[int, int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_calendar, "HOUR_S", sizes[0])
        patch.setattr(label_calendar, "DAY_S", sizes[1])
        calendar, taken = LabelCalendar({STP: RANGE}), []
        for window, holder in asked:
            if calendar.holder(STP, 7, window, other_than=holder) is None:
                calendar.take(STP, 7, window, holder)
                taken.append((window, holder))
        random.shuffle(taken)  # type: ignore[attr-defined]
        while taken:
            calendar.give(STP, 7, *taken.pop())
            fresh = LabelCalendar({STP: RANGE})
            for window, holder in taken:
                fresh.take(STP, 7, window, holder)
            assert vars(calendar._ports[STP]) == vars(fresh._ports[STP])


@given(
    st.lists(st.tuples(windows, st.sampled_from([7, 8])), max_size=12),
    st.sampled_from([(3600, 86_400), (2, 6), (3, 12), (1, 1)]),
)
def test_labels_that_are_filled_in_are_as_if_taken_one_by_one(
    asked: list[tuple[Window, int]], sizes: tuple[int, int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_calendar, "HOUR_S", sizes[0])
        patch.setattr(label_calendar, "DAY_S", sizes[1])
        patch.setattr(label_calendar, "TOGETHER", 3)
        calendar, filled, taken = LabelCalendar({STP: RANGE}), LabelCalendar({STP: RANGE}), []
        for number, (window, vlan) in enumerate(asked, 1):
            if calendar.holder(STP, vlan, window) is None:
                calendar.take(STP, vlan, window, number)
                taken.append((vlan, window.start_s, window.end_s, number))
        filled.fill(STP, *np.array(taken, np.int64).reshape(-1, 4).T)
        assert vars(calendar._ports[STP]) == vars(filled._ports[STP])


@pytest.mark.parametrize("wrong", [(9, 0, 1, 2), (7, 5, 7, 2)])
def test_labels_that_cannot_be_held_are_not_filled_in(wrong: tuple[int, ...]) -> None:
    calendar = LabelCalendar({STP: RANGE})
    with pytest.raises(CalendarError):
        calendar.fill(STP, *np.array([(7, 0, 6, 1), wrong]).T)
    assert calendar.is_empty()


@given(holds)
def test_a_calendar_that_is_filled_in_is_as_if_held_one_by_one(
    held: list[tuple[Window, int]],
) -> None:
    one_by_one, filled = Calendar({IN: 1000}, [IN]), Calendar({IN: 1000}, [IN])
    for window, bps in held:
        one_by_one.add(IN, window, bps)
    rows = [(window.start_s, window.end_s, bps) for window, bps in held]
    filled.fill(IN, *np.array(rows, np.int64).reshape(-1, 3).T)
    whole = Window(0, END_S + 1)
    assert filled.profile(IN, whole) == one_by_one.profile(IN, whole)
    assert filled.at_least(whole) == one_by_one.at_least(whole)
    for window, bps in held:
        filled.remove(IN, window, bps)
    assert filled.is_empty()


def test_a_calendar_is_not_filled_beyond_its_capacity() -> None:
    calendar = Calendar({IN: CAPACITY})
    with pytest.raises(CalendarError, match="over its capacity"):
        calendar.fill(IN, *np.array([(0, 9, 6), (8, 10, 5)]).T)
    assert calendar.is_empty()
