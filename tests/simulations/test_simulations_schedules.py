"""What is drawn at random: uniform, the same in any order of runs, exact in the calendars."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean

import pytest
from hypothesis import given, strategies as st
from simulated import port

from agents.backends import open_backend
from agents.book import Book
from protocol.messages import ReqOffers
from simulations.schedules import (
    CAPACITY_BPS,
    ENTRIES,
    dice,
    draw_schedule,
    draw_wishes,
    entry_window,
    fill_up,
)
from substrate.calendar import CalendarError
from substrate.model import Window, least_bps


def book() -> Book:
    ports = [port("west", "a:m"), port("east", "b:m")]
    return Book(open_backend({"domain": "m", "backend": "wan", "ports": ports}))


def offered_bps(m: Book, window: Window, ingress: str, egress: str) -> int:
    question = ReqOffers("q", window, ((f"m:{ingress}", f"m:{egress}"),), 1)
    (offer,) = m.offers(question, 0).offers
    return least_bps(offer.profile)


def test_the_same_seed_and_run_draw_the_same() -> None:
    assert draw_schedule(dice("x", 1, 2)) == draw_schedule(dice("x", 1, 2))
    others = [dice("x", 1, 3), dice("x", 2, 2), dice("y", 1, 2)]
    assert all(draw_schedule(other) != draw_schedule(dice("x", 1, 2)) for other in others)


def test_a_schedule_is_uniform_between_nothing_and_all() -> None:
    schedule = [bps for run in range(20) for bps in draw_schedule(dice("x", 1, run))]
    assert len(schedule) == 20 * ENTRIES
    assert 0 < min(schedule) <= max(schedule) < CAPACITY_BPS
    assert fmean(schedule) == pytest.approx(CAPACITY_BPS / 2, rel=0.02)
    quarter = sum(bps < CAPACITY_BPS / 4 for bps in schedule) / len(schedule)
    assert quarter == pytest.approx(0.25, abs=0.015)


@given(st.integers(0, 2**32), st.integers(1, 300))
def test_wishes_are_spread_evenly_over_the_bandwidths(seed: int, count: int) -> None:
    wishes = draw_wishes(dice("x", seed, 0), count)
    bandwidths = sorted(wish.bandwidth_bps for wish in wishes)
    assert all(0 < bps < CAPACITY_BPS for bps in bandwidths)
    assert all(0 <= wish.entry < ENTRIES for wish in wishes)
    for part, bps in enumerate(bandwidths):
        assert part / count * CAPACITY_BPS - 2 <= bps <= (part + 1) / count * CAPACITY_BPS + 2


def test_wishes_come_in_random_order() -> None:
    bandwidths = [wish.bandwidth_bps for wish in draw_wishes(dice("x", 1, 0), 100)]
    assert bandwidths != sorted(bandwidths)
    rising = sum(a < b for a, b in pairwise(bandwidths))
    assert 30 < rising < 70


def test_entries_follow_one_another_without_a_gap() -> None:
    windows = [entry_window(entry) for entry in range(ENTRIES)]
    assert all(a.end_s == b.start_s for a, b in pairwise(windows))
    assert {window.duration_s for window in windows} == {3600}


def test_what_is_left_in_a_calendar_is_the_schedule() -> None:
    m, schedule = book(), draw_schedule(dice("x", 1, 0))
    fill_up(m, "west", schedule)
    for entry in range(0, ENTRIES, 7):
        for ends in (("west", "east"), ("east", "west")):
            assert offered_bps(m, entry_window(entry), *ends) == schedule[entry]
    both = Window(entry_window(3).start_s, entry_window(5).end_s)
    assert offered_bps(m, both, "west", "east") == min(schedule[3:6])


def test_a_calendar_is_not_filled_twice() -> None:
    m = book()
    fill_up(m, "west", (10,) * ENTRIES)
    with pytest.raises(CalendarError):
        fill_up(m, "west", (10,) * ENTRIES)
