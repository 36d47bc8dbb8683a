"""Windows and profiles against plain arrays."""

from __future__ import annotations

from hypothesis import given, strategies as st

from substrate.model import (
    Domain,
    Port,
    Profile,
    Step,
    Window,
    domain_of,
    least_bps,
    least_profile,
    least_within,
)
from substrate.vlans import EMPTY

END_S = 12
windows = st.tuples(st.integers(0, 20), st.integers(1, 10)).map(lambda t: Window(t[0], t[0] + t[1]))
levels = st.lists(st.integers(0, 5), min_size=END_S, max_size=END_S)


def as_profile(values: list[int]) -> Profile:
    return tuple(
        Step(at, value) for at, value in enumerate(values) if at == 0 or values[at - 1] != value
    )


@given(windows, windows)
def test_windows_overlap_when_they_share_a_second(a: Window, b: Window) -> None:
    shared = set(range(a.start_s, a.end_s)) & set(range(b.start_s, b.end_s))
    assert a.overlaps(b) == b.overlaps(a) == bool(shared)


def test_windows_that_touch_do_not_overlap() -> None:
    assert not Window(0, 5).overlaps(Window(5, 9))
    assert Window(3, 10).duration_s == 7


@given(st.lists(levels, min_size=1, max_size=4))
def test_least_profile_is_the_pointwise_least(values: list[list[int]]) -> None:
    least = [min(column) for column in zip(*values, strict=True)]
    assert least_profile([as_profile(v) for v in values]) == as_profile(least)


@given(levels)
def test_least_bps_is_the_least_level(values: list[int]) -> None:
    assert least_bps(as_profile(values)) == min(values)


def test_nothing_has_the_least_of_nothing() -> None:
    assert least_bps(()) == 0
    assert least_profile([]) == ()
    assert least_profile([(), (Step(0, 5),)]) == least_profile([(Step(0, 5), Step(1, 6)), ()]) == ()


def test_a_domain_finds_its_ports() -> None:
    port = Port("d:p", 1, EMPTY)
    domain = Domain("d", True, "wan", (Port("d:o", 1, EMPTY), port))
    assert domain.port("d:p") is port
    assert domain.port("d:q") is None


def test_the_domain_of_an_stp_is_before_the_first_colon() -> None:
    assert domain_of("rn1:to-x:1") == "rn1"
    assert domain_of("rn1") == "rn1"


PROFILES = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9)), max_size=8).map(
    lambda rows: (Step(0, 1), *(Step(at, bps) for at, bps in sorted(dict(rows).items())))
)


@given(PROFILES, st.integers(0, 40), st.integers(1, 20))
def test_the_least_level_within_a_window_is_that_of_its_lowest_instant(
    profile: tuple[Step, ...], start_s: int, length_s: int
) -> None:
    def level(at_s: int) -> int:
        return [step.bandwidth_bps for step in profile if step.start_s <= at_s][-1]

    window = Window(start_s, start_s + length_s)
    lowest = min(level(at_s) for at_s in range(window.start_s, window.end_s))
    assert least_within(profile, window) == lowest
