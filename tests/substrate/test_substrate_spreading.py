"""Volumes: phases that keep every limit, and move all as soon as can be, or sparing others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bends import (
    END_S,
    SPAN,
    START_S,
    composes,
    fan,
    pairs_of,
    profiles,
    search_of,
    searches,
    steps,
    way,
)
from hypothesis import given, settings, strategies as st
from substrate_world import Link, network

from substrate.bending import BITS, Phase, Search, Shortfall, full_s
from substrate.model import Profile, Window, least_within
from substrate.spreading import spread

MANY = 64


@st.composite
def moves(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "volume_bytes": draw(st.integers(1, 300)),
        "max_phases": draw(st.integers(1, 5)),
        "least_phase_s": draw(st.integers(1, 40)),
        "least_rate_bps": draw(st.integers(1, 40)),
        "sparing": draw(st.booleans()),
    }


def carried(phases: tuple[Phase, ...]) -> int:
    return sum(phase.bits for phase in phases)


def only(phases: tuple[Phase, ...] | Shortfall) -> Phase:
    assert not isinstance(phases, Shortfall)
    (phase,) = phases
    return phase


def assert_phases(search: Search, phases: tuple[Phase, ...], move: dict[str, Any]) -> None:
    assert 1 <= len(phases) <= move["max_phases"]
    least_s = min(move["least_phase_s"], SPAN.duration_s)
    end_s = SPAN.start_s
    for phase in phases:
        assert end_s <= phase.window.start_s < phase.window.end_s <= SPAN.end_s
        end_s = phase.window.end_s
        assert move["least_rate_bps"] <= phase.bandwidth_bps <= search.criteria.bandwidth_bps
        assert phase.window.duration_s >= least_s
        assert composes(search, phase.bandwidth_bps, phase.window)
    bits = move["volume_bytes"] * BITS
    assert carried(phases) >= bits
    last = phases[-1]
    if not move["sparing"] and last.window.duration_s > least_s:
        assert carried(phases) - last.bandwidth_bps < bits


@settings(max_examples=300)
@given(searches(), moves())
def test_phases_keep_every_limit_and_a_shortfall_tells_what_would_be_granted(
    search: Search, move: dict[str, Any]
) -> None:
    found = spread(search, **move)
    if not isinstance(found, Shortfall):
        assert_phases(search, found, move)
        return
    assert 0 <= found.most < move["volume_bytes"]
    if found.most:
        less = {**move, "volume_bytes": found.most}
        for phases_max in (move["max_phases"], MANY):
            granted = spread(search, **{**less, "max_phases": phases_max})
            assert not isinstance(granted, Shortfall)
            assert_phases(search, granted, {**less, "max_phases": phases_max})


@settings(max_examples=200)
@given(searches(), moves())
def test_who_is_sparing_moves_whatever_could_be_moved_sooner(
    search: Search, move: dict[str, Any]
) -> None:
    sparing, soonest = (spread(search, **{**move, "sparing": some}) for some in (True, False))
    assert isinstance(sparing, Shortfall) <= isinstance(soonest, Shortfall)


def test_who_is_sparing_waits_until_more_is_free() -> None:
    """40 of 100 are free at first, all later: a volume that fits later alone goes then."""
    told = {way("b"): steps((100, 40), (110, 100), (130, 100))}
    search = search_of(fan((1,)), told, 40)
    assert spread(search, 100, 4, 1, 1) == (Phase(Window(100, 120), 40),)
    later = (Phase(Window(110, 130), 40),)
    assert spread(search, 100, 4, 1, 1, sparing=True) == later
    # What does not fit later alone begins sooner, with as little as must be.
    phases = spread(search, 110, 4, 1, 1, sparing=True)
    assert not isinstance(phases, Shortfall)
    assert carried(phases) >= 880
    assert phases[0].bits < 100
    assert phases[-1] == later[0]


def test_who_is_sparing_does_not_wait_where_nothing_is_gained() -> None:
    search = search_of(fan((1,)), {way("b"): steps((100, 100))}, 40)
    assert spread(search, 100, 4, 1, 1, sparing=True) == (Phase(Window(100, 120), 40),)


def test_who_is_sparing_takes_all_ways_that_are_alike() -> None:
    search = search_of(fan((1, 1)), {}, 100)
    assert spread(search, 150, 4, 1, 1, sparing=True) == (Phase(Window(100, 112), 100),)


def exact(profile: Profile, volume_bytes: int, wish_bps: int) -> tuple[int, int]:
    """When all is moved at full rate (0: never), and how many bytes fit at all."""
    moved, done_s = 0, 0
    for s in range(START_S, END_S):
        moved += min(wish_bps, least_within(profile, Window(s, s + 1)))
        if not done_s and moved >= volume_bytes * BITS:
            done_s = s + 1
    return done_s, moved // BITS


@given(profiles(), st.integers(1, 250), st.integers(1, 70))
def test_over_one_way_it_is_done_in_the_very_second_that_arithmetic_says(
    profile: Profile, volume_bytes: int, wish_bps: int
) -> None:
    search = search_of(fan((1,)), {way("b"): profile}, wish_bps)
    found = spread(search, volume_bytes, MANY, 1, 1)
    done_s, most_bytes = exact(profile, volume_bytes, wish_bps)
    if isinstance(found, Shortfall):
        assert not done_s
        assert found.most == most_bytes
    else:
        assert found[-1].window.end_s == done_s


def test_a_little_takes_no_more_of_a_second_than_it_needs() -> None:
    search = search_of(fan((1, 1)), {}, 200)
    assert spread(search, 1, 1, 1, 1) == (Phase(Window(100, 101), 8),)
    assert spread(search, 1, 1, 1, 1, sparing=True) == (Phase(Window(100, 101), 8),)
    # What a domain can configure at least is kept.
    assert spread(search, 1, 1, 1, 30) == (Phase(Window(100, 101), 30),)
    # Nine tenths of it and more are as good as all.
    assert only(spread(search, 12, 1, 1, 1)).bandwidth_bps == 100


def test_neighbours_of_one_rate_are_one_phase() -> None:
    told = {way("b"): steps((100, 50), (110, 40), (120, 0))}
    search = search_of(fan((1,)), told, 40)
    assert spread(search, 100, 1, 1, 1) == (Phase(Window(100, 120), 40),)
    # The last one is slower where it would be too short.
    assert spread(search, 10, 1, 10, 1) == (Phase(Window(100, 110), 8),)


def test_neighbours_are_two_phases_where_no_composition_serves_both() -> None:
    told = {
        way("b"): steps((100, 50), (110, 0)),
        way("c"): steps((100, 0), (110, 50), (120, 0)),
    }
    search = search_of(fan((1, 1)), told, 40)
    apart = (Phase(Window(100, 110), 40), Phase(Window(110, 120), 40))
    assert spread(search, 100, 2, 1, 1) == apart


def test_what_a_forecast_begins_or_ends_with_is_no_phase_when_it_is_too_short() -> None:
    told = {way("b"): steps((100, 50), (103, 20), (113, 60))}
    search = search_of(fan((1,)), told, 60)
    within = replace(search, forecast=search.forecast.until(115))
    found = spread(within, 25, 4, 10, 1)
    assert found == (Phase(Window(103, 113), 20),)


def test_a_rate_that_does_not_compose_gives_way_to_one_that_does() -> None:
    told = {way(name): steps((START_S, 30)) for name in "bc"}
    search = search_of(fan((1, 50)), told, 60, max_latency_spread_us=10)
    assert spread(search, 75, 1, 1, 1) == (Phase(Window(100, 120), 30),)


def test_what_may_be_moved_ends_at_a_rounder_time_and_is_slower_for_that() -> None:
    search = search_of(fan((1,)), {way("b"): steps((100, 50))}, 40)
    movable = replace(
        search, criteria=replace(search.criteria, movable=True, window=Window(100, 140))
    )
    for volume_bytes, end_s, rounder_s in ((10, 102, 105), (25, 105, 105), (101, 121, 125)):
        assert only(spread(search, volume_bytes, 1, 1, 1)).window == Window(100, end_s)
        phase = only(spread(movable, volume_bytes, 1, 1, 1))
        assert phase.window == Window(100, rounder_s)
        assert phase.bits >= volume_bytes * BITS
    # Not where it would be too slow then.
    assert only(spread(movable, 10, 1, 1, 30)) == Phase(Window(100, 102), 40)


@given(st.integers(0, 10**6), st.integers(0, 5000))
def test_a_rounder_time_is_not_much_later(at_s: int, most_s: int) -> None:
    assert at_s <= full_s(at_s, most_s) < at_s + max(1, most_s)
    assert full_s(7201, 3600) == 10_800
    assert full_s(7201, 3599) == 8100
    assert full_s(7201, 4) == 7201


def test_a_year_at_hundreds_of_gigabits_is_counted_right() -> None:
    """In bits that is more than 64 of them can count: over the short way all of it fits."""
    gbps, year_s = 10**9, 366 * 86_400
    links = [Link("a", "z", 400 * gbps), Link("a", "b", 400 * gbps), Link("b", "z", 400 * gbps)]
    topology = network(links, hosts={"a": 10**12, "z": 10**12}, splitting="az", swapping="az")
    search = search_of(topology, {}, 600 * gbps, Window(0, year_s))
    phase = only(spread(search, 300 * gbps * year_s // BITS, MANY, 1, 1))
    assert phase.bandwidth_bps == 400 * gbps


def test_ports_wider_than_any_request_are_wide_enough() -> None:
    most = 2**63 - 1
    links = [Link("a", name, most) for name in "bc"] + [Link(name, "z", most) for name in "bc"]
    topology = network(links, hosts={"a": most, "z": most})
    told: dict[Any, Profile] = {pair: steps((START_S, most)) for pair in pairs_of(topology)}
    search = search_of(topology, told, 10**15)
    assert search.fits(10**15, SPAN)
    assert search.limits.widest == [0, 1]
