"""Tolls: what a circuit takes from those who come later, on the links that it crosses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from maps import build

from substrate.model import (
    Criteria,
    Directionality,
    Hop,
    Path,
    Profile,
    Step,
    Window,
)
from substrate.routes import Crossing, Route
from substrate.splitting import Share
from substrate.tolls import (
    STEEPNESS,
    Dearest,
    Load,
    Tariff,
    Toll,
    carried_bits,
    cost,
    load_of_paths,
    load_of_shares,
    toll_of,
)

ONE_WAY, BOTH_WAYS = Directionality.UNIDIRECTIONAL, Directionality.BIDIRECTIONAL
CHAIN = build([("a", "b", 1), ("b", "c", 1)], users="ac")
"""Links of 100 bit/s."""
WINDOW = Window(10, 20)
AB, BC = "a:e0", "b:e1"

shares = st.floats(0, 1)


def nobody_tells(_stp: str, _remote: str) -> Profile:
    return ()


def free(told: Mapping[str, Any]) -> Any:
    """Bit/s, or steps of (start, bit/s), by the STP that a link leaves a domain at."""

    def find(stp: str, _remote: str) -> Profile:
        steps = told.get(stp, ())
        return (Step(0, steps),) if isinstance(steps, int) else tuple(Step(*s) for s in steps)

    return find


def toll(added: Mapping[str, int], told: Mapping[str, Any], window: Window = WINDOW) -> Toll:
    return toll_of([Load(window, added)], free(told), CHAIN)


def test_a_circuit_carries_its_bits_to_all_its_ends_both_ways() -> None:
    asked = Criteria("a:x", "b:y", 10, WINDOW, ONE_WAY)
    assert carried_bits(asked, 100) == 100
    assert carried_bits(replace(asked, directionality=BOTH_WAYS), 100) == 200
    assert carried_bits(replace(asked, more_destinations=("c:z", "c:y")), 100) == 300


@given(st.floats(0, 10**6), st.floats(0, 10**6), st.integers(0, 10**18))
def test_a_tariff_grows_with_what_is_carried(base: float, per_tb: float, bits: int) -> None:
    tariff = Tariff(base, per_tb)
    assert tariff.most_link_s(0) == base
    assert tariff.most_link_s(8 * 10**12) == pytest.approx(base + per_tb)
    assert tariff.most_link_s(bits) <= tariff.most_link_s(2 * bits)


@given(before=shares, added=shares)
def test_a_cost_is_the_integral_of_what_each_bit_costs(before: float, added: float) -> None:
    at = np.linspace(before, before + added, 2001)
    bits = (STEEPNESS**at - 1) / (STEEPNESS - 1)
    assert cost(before, added) == pytest.approx(float(np.trapezoid(bits, at)), rel=1e-5, abs=1e-9)


@given(before=shares, more=shares, added=shares, less=shares)
def test_more_costs_more_and_on_a_fuller_link_too(
    before: float, more: float, added: float, less: float
) -> None:
    assert cost(before, 0) == 0
    assert cost(before, added) >= 0
    assert cost(before + more, added) >= cost(before, added) - 1e-12
    assert cost(before, added) >= cost(before, added * less) - 1e-12
    whole = cost(before, added) + cost(before + added, more)
    assert cost(before, added + more) == pytest.approx(whole)


def test_all_of_an_empty_link_costs_a_quarter_of_its_seconds() -> None:
    found = toll({AB: 100}, {AB: 100})
    assert found.link_s == pytest.approx(10 * cost(0, 1))
    assert cost(0, 1) == pytest.approx(1 / np.log(STEEPNESS) - 1 / (STEEPNESS - 1))


@given(ab=st.integers(1, 100), bc=st.integers(1, 100), left=st.integers(0, 100))
def test_links_add_up_and_so_do_times(ab: int, bc: int, left: int) -> None:
    told = {AB: left, BC: 40}
    both = toll({AB: ab, BC: bc}, told)
    assert both.link_s == pytest.approx(toll({AB: ab}, told).link_s + toll({BC: bc}, told).link_s)
    halves = [Load(Window(10, 15), {AB: ab}), Load(Window(15, 20), {AB: ab})]
    once = toll({AB: ab}, told)
    assert toll_of(halves, free(told), CHAIN).link_s == pytest.approx(once.link_s)


def test_nothing_costs_nothing_and_so_does_what_no_link_carries() -> None:
    assert toll_of([], nobody_tells, CHAIN) == Toll(0)
    assert toll({AB: 0}, {AB: 5}) == Toll(0)
    assert toll({"a:user": 50, "nowhere:x": 50}, {}) == Toll(0)


def test_each_piece_of_time_has_its_own_cost_and_the_dearest_is_named() -> None:
    steps = [(0, 100), (12, 30), (15, 80), (30, 0)]
    found = toll({AB: 20, BC: 20}, {AB: steps, BC: 100})
    wanted = 2 * cost(0, 0.2) + 3 * cost(0.7, 0.2) + 5 * cost(0.2, 0.2) + 10 * cost(0, 0.2)
    assert found.link_s == pytest.approx(wanted)
    assert found.dearest is not None
    assert (found.dearest.stp, found.dearest.window) == (AB, Window(12, 15))
    assert found.dearest.taken == pytest.approx(0.7)


def test_what_is_over_costs_nobody_anything() -> None:
    told = {AB: [(16, 30)]}
    assert toll({AB: 20}, told).link_s == pytest.approx(4 * cost(0.7, 0.2))
    assert toll({AB: 20}, {AB: [(20, 30)]}) == Toll(0)


def test_a_link_of_which_nobody_tells_counts_as_empty() -> None:
    found = toll({AB: 20}, {})
    assert found.link_s == pytest.approx(10 * cost(0, 0.2))
    assert found.dearest == Dearest(AB, WINDOW, 0)


def hop(domain: str, ingress: str, egress: str) -> Hop:
    return Hop(domain, f"{domain}:{ingress}", 100, f"{domain}:{egress}", 100)


def path(bandwidth_bps: int) -> Path:
    hops = (hop("a", "user", "e0"), hop("b", "e0", "e1"), hop("c", "e1", "user"))
    return Path(bandwidth_bps, 2, hops)


def share(bandwidth_bps: int) -> Share:
    crossings = (
        Crossing("a", "a:user", "a:e0"),
        Crossing("b", "b:e0", "b:e1"),
        Crossing("c", "c:e1", "c:user"),
    )
    return Share(Route(crossings, 2), bandwidth_bps)


def test_paths_load_the_links_between_their_domains_together() -> None:
    one = load_of_paths(WINDOW, [path(20), path(30)], ONE_WAY)
    assert one == Load(WINDOW, {AB: 50, BC: 50})
    both = load_of_paths(WINDOW, [path(20)], BOTH_WAYS)
    assert both.added_bps == {AB: 20, BC: 20, "b:e0": 20, "c:e1": 20}


@pytest.mark.parametrize("ways", Directionality)
def test_shares_load_links_as_the_paths_do_that_they_become(ways: Directionality) -> None:
    becomes = load_of_paths(WINDOW, [path(7), path(9)], ways)
    assert load_of_shares(WINDOW, [share(7), share(9)], ways) == becomes


def test_both_directions_cost_twice_as_much_as_one() -> None:
    one, both = (
        toll_of([load_of_paths(WINDOW, [path(40)], ways)], nobody_tells, CHAIN)
        for ways in (ONE_WAY, BOTH_WAYS)
    )
    assert both.link_s == pytest.approx(2 * one.link_s)


def test_within_one_domain_nothing_is_taken_from_others() -> None:
    alone = Path(40, 0, (hop("a", "user", "other"),))
    assert load_of_paths(WINDOW, [alone], BOTH_WAYS) == Load(WINDOW, {})
