"""Loaded networks: what is asked for, and that no more is given than there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import mean

import pytest
from hypothesis import given, settings
from loads import KITE, LINE, RING, C, demand, demands, used

from simulations.loaded.bound import offline_bound
from simulations.loaded.demand import (
    AHEAD_SLOTS,
    FIRST_S,
    SLOT_S,
    SLOTS,
    Demand,
    draw_demands,
)
from simulations.loaded.play import play
from simulations.loaded.strategies import PRICES, SHAPES, tariff_of
from simulations.loaded.world import World, abilene
from substrate.model import Window
from substrate.tolls import Tariff


def volume(asked: tuple[Demand, ...]) -> int:
    return sum(one.volume for one in asked)


def test_the_offered_load_is_what_was_asked_for() -> None:
    world = abilene()
    for load in (0.5, 1.5):
        drawn = [draw_demands(world, load, 1, run) for run in range(40)]
        loads = [volume(asked) / (world.total_bps * SLOTS) for asked in drawn]
        assert mean(loads) == pytest.approx(load, rel=0.04)


def test_a_request_arrives_before_it_starts_and_keeps_the_limits() -> None:
    world = abilene()
    asked = draw_demands(world, 1.0, 1, 0)
    assert list(asked) == sorted(asked, key=lambda one: one.arrival_s)
    for one in asked:
        assert 0 <= one.arrival_s < SLOTS * SLOT_S
        assert 0 < one.start - one.arrival_s / SLOT_S <= AHEAD_SLOTS
        assert 1 <= one.slots <= 8
        assert 0.05 * C - 1 <= one.bandwidth_bps <= C
        assert one.source != one.destination
        assert one.window == Window(
            FIRST_S + one.start * SLOT_S, FIRST_S + (one.start + one.slots) * SLOT_S
        )
        assert one.wide_window.duration_s == 2 * one.window.duration_s


def test_another_load_has_the_same_requests_at_other_times() -> None:
    few, many = (draw_demands(abilene(), load, 1, 0) for load in (0.5, 1.0))
    assert len(few) < len(many)
    for one, other in zip(few, many, strict=False):
        assert one.arrival_s == pytest.approx(2 * other.arrival_s)
        assert replace(one, arrival_s=0, start=0) == replace(other, arrival_s=0, start=0)


def test_the_run_decides_and_the_seed_too() -> None:
    drawn = {draw_demands(RING, 1.0, seed, run) for seed in (1, 2) for run in (0, 1)}
    assert len(drawn) == 4


def test_what_is_reserved_is_gone_and_comes_back_afterwards() -> None:
    one = demand("p", "q", 0.6)
    later = replace(one, start=2)
    served = play(RING, SHAPES["single_path"], (one, one, one, later))
    assert [bool(paths) for paths in served] == [True, True, False, True]
    assert {len(paths[0].hops) for paths in served if paths} == {2, 4}


RIGID = ("single_path", "equal_split", "full_offers", "max_flow_split")
ANY = Window(0, 0)


def test_only_those_who_split_serve_what_no_path_carries() -> None:
    asked = (demand("p", "q", 0.5), demand("q", "p", 0.2), demand("p", "q", 1.0))
    served = {name: bool(play(RING, SHAPES[name], asked)[-1]) for name in RIGID}
    assert served == {
        "single_path": True,
        "equal_split": True,
        "full_offers": True,
        "max_flow_split": True,
    }
    crowded = (demand("p", "q", 0.5), demand("s", "r", 0.4), demand("p", "q", 1.0))
    served = {name: bool(play(RING, SHAPES[name], crowded)[-1]) for name in RIGID}
    assert served == {
        "single_path": False,
        "equal_split": True,
        "full_offers": True,
        "max_flow_split": True,
    }


def test_requests_that_bend_ask_for_the_same_in_a_wider_window() -> None:
    asked = demand("p", "q", 0.5, start=3, slots=2)
    slide, malleable = (SHAPES[name](asked) for name in ("slide", "malleable"))
    assert slide.window == malleable.window == asked.wide_window
    assert slide.bandwidth_bps == malleable.bandwidth_bps == asked.bandwidth_bps
    assert slide.bend is not None
    assert malleable.bend is not None
    assert slide.bend.duration_s == 2 * SLOT_S
    assert 8 * malleable.bend.volume_bytes == asked.bandwidth_bps * 2 * SLOT_S


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("world", [RING, KITE], ids=lambda world: world.name)
@settings(deadline=None, max_examples=15)
@given(data=demands(KITE))
def test_nothing_is_overbooked_and_the_bound_is_never_beaten(
    world: World, name: str, data: tuple[Demand, ...]
) -> None:
    played = play(world, SHAPES[name], data, tariff_of(name, world))
    capacities = {
        f"{config['domain']}:{port['name']}": port["capacity"]
        for config in world.configs()
        for port in config["ports"]
    }
    for (stp, _), bps in used(data, played).items():
        assert bps <= capacities[stp]
    for asked, paths in zip(data, played, strict=True):
        moved = sum(path.bandwidth_bps * (path.window or ANY).duration_s for path in paths)
        if paths:
            assert moved >= asked.volume * SLOT_S // 8 * 8
            assert all((path.window or ANY).end_s <= asked.wide_window.end_s for path in paths)
    bound = offline_bound(world, data)
    served = tuple(asked for asked, paths in zip(data, played, strict=True) if paths)
    assert len(served) <= bound.requests + 1e-6 * len(data)
    assert volume(served) <= bound.volume + 1e-6 * volume(data)


def test_a_large_request_pays_for_what_it_takes_from_others() -> None:
    long = demand("p", "q", 1.0, slots=8)
    few, many = Tariff(1.0 * SLOT_S), Tariff(8.0 * SLOT_S)
    small = demand("p", "q", 0.2)
    served = play(RING, SHAPES["single_path"], (long, small), few)
    assert [bool(paths) for paths in served] == [False, True]
    assert all(play(RING, SHAPES["single_path"], (long,), many))


@pytest.mark.parametrize("name", PRICES)
def test_the_priced_strategies_are_others_with_a_tariff(name: str) -> None:
    asked = demand("p", "q", 0.5, slots=2)
    plain = "repack" if name.endswith("repack") else "malleable"
    assert SHAPES[name](asked) == SHAPES[plain](asked)
    assert tariff_of(name, LINE) is not None
    assert tariff_of(plain, LINE) is None


def crowd_served(name: str, crowd: Sequence[Demand]) -> tuple[int, int]:
    """Without its tariff, and with it."""
    plain, tolled = (
        sum(map(bool, play(LINE, SHAPES[name], crowd, tariff)))
        for tariff in (None, tariff_of(name, LINE))
    )
    return plain, tolled


@pytest.mark.parametrize("name", PRICES)
def test_some_who_come_far_and_last_are_not_let_in_at_a_price(name: str) -> None:
    plain, tolled = crowd_served(name, [demand("p", "u", 0.5, slots=8) for _ in range(4)])
    assert 0 < tolled < plain


@pytest.mark.parametrize(("name", "same"), [("priced", False), ("priced_by_size", True)])
def test_who_is_near_is_let_in_at_any_size_where_the_price_is_by_size(
    name: str, same: bool
) -> None:
    plain, tolled = crowd_served(name, [demand("p", "q", 1.0, slots=16) for _ in range(2)])
    assert plain == 2
    assert (tolled == plain) is same
