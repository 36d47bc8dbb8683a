"""Searches over a forecast, against brute force with ``compose`` as the judge."""

from __future__ import annotations

from dataclasses import replace

from bends import END_S, SPAN, START_S, composes, fan, search_of, searches, steps, way
from hypothesis import given, strategies as st
from substrate_world import VLANS, Link, network

from substrate.bending import FINENESS, Phase, Search, Shortfall, ever_fits, slide, soonest, widest
from substrate.model import Window
from substrate.vlans import VlanSet

DURATIONS = st.integers(1, END_S - START_S)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start_s = draw(st.integers(START_S, END_S - 1))
    return Window(start_s, draw(st.integers(start_s + 1, END_S)))


def every_window(duration_s: int) -> list[Window]:
    return [Window(s, s + duration_s) for s in range(START_S, END_S - duration_s + 1)]


def most(search: Search, window: Window, wish_bps: int) -> int:
    return max((b for b in range(1, wish_bps + 1) if composes(search, b, window)), default=0)


@given(searches(), st.integers(1, 100), DURATIONS)
def test_the_soonest_window_is_the_first_of_all_seconds_that_composes(
    search: Search, bandwidth_bps: int, duration_s: int
) -> None:
    first = next((w for w in every_window(duration_s) if composes(search, bandwidth_bps, w)), None)
    assert soonest(search, bandwidth_bps, duration_s) == first


@given(searches(), windows(), st.integers(1, 100))
def test_the_widest_is_the_most_that_composes(
    search: Search, window: Window, wish_bps: int
) -> None:
    search = replace(
        search,
        criteria=replace(
            search.criteria, constraints=replace(search.criteria.constraints, min_share_bps=1)
        ),
    )
    assert widest(search, window, 1, wish_bps) == most(search, window, wish_bps)


@given(searches(), windows(), st.integers(1, 100), st.integers(1, 100))
def test_whatever_the_least_share_the_widest_composes_within_its_bounds(
    search: Search, window: Window, least_bps: int, wish_bps: int
) -> None:
    found_bps = widest(search, window, least_bps, wish_bps)
    if found_bps:
        assert least_bps <= found_bps <= wish_bps
        assert composes(search, found_bps, window)
    else:
        assert least_bps > wish_bps or not composes(search, least_bps, window)


@given(st.integers(1, 10**11), st.integers(1, 10**11))
def test_the_widest_of_large_links_is_found_to_its_fineness(one_bps: int, other_bps: int) -> None:
    topology = fan((1, 1), capacity_bps=10**11, host_bps=2 * 10**11)
    told = {way("b"): steps((START_S, one_bps)), way("c"): steps((START_S, other_bps))}
    search = search_of(topology, told, 2 * 10**11)
    found_bps = widest(search, SPAN, 1, 2 * 10**11)
    fine_bps = 2 * 10**11 // FINENESS
    assert one_bps + other_bps - fine_bps <= found_bps <= one_bps + other_bps


def test_what_no_vlan_is_left_for_does_not_fit() -> None:
    links = [
        Link("a", "b", 60, vlans=VlanSet.of(100)),
        Link("b", "z", 60, vlans=VlanSet.of(101)),
        Link("a", "c", 60, vlans=VLANS),
        Link("c", "z", 60, vlans=VLANS),
    ]
    topology = network(links, hosts={"a": 100, "z": 100}, splitting="az", swapping="az")
    search = search_of(topology, {}, 100)
    # Through b a path would have to change its VLAN.
    assert composes(search, 100, SPAN)
    assert widest(search, SPAN, 1, 100) == 60


@given(searches(), st.integers(1, 100), st.integers(1, 100), DURATIONS)
def test_what_slides_is_early_when_all_fits_and_else_where_the_most_fits(
    search: Search, bandwidth_bps: int, least_bps: int, duration_s: int
) -> None:
    search = replace(search, criteria=replace(search.criteria, bandwidth_bps=bandwidth_bps))
    found = slide(search, bandwidth_bps, least_bps, duration_s)
    best = max(most(search, window, bandwidth_bps) for window in every_window(duration_s))
    window = soonest(search, bandwidth_bps, duration_s)
    if window is not None:
        assert found == Phase(window, bandwidth_bps)
    elif isinstance(found, Shortfall):
        assert found.most < least_bps
        if search.criteria.constraints.min_share_bps == 1:
            assert found.most == best
    else:
        assert least_bps <= found.bandwidth_bps <= best
        assert composes(search, found.bandwidth_bps, found.window)
        assert found.window.duration_s == duration_s
        if search.criteria.constraints.min_share_bps == 1:
            assert found.bandwidth_bps == best


def test_a_least_share_does_not_hide_what_fits() -> None:
    told = {way(name): steps((START_S, 10), (110, 45), (120, 10)) for name in "bcd"}
    search = search_of(fan(), told, 100, max_paths=2, min_share_bps=40)
    assert slide(search, 100, 50, 10) == Phase(Window(110, 120), 90)


def test_what_a_blind_domain_refused_is_not_tried_again() -> None:
    search = search_of(fan((1,), blind="b"), {way("b"): steps((START_S, 60))}, 60)
    refused = Window(105, 110)
    capped = replace(search, forecast=search.forecast.capped([(way("b"), refused, 20)]))
    assert widest(search, refused, 1, 60) == 60
    assert widest(capped, refused, 1, 60) == 20
    assert soonest(capped, 60, 10) == Window(110, 120)


def anew(search: Search) -> Search:
    """Without anything that another search has found out."""
    return Search(search.criteria, search.routes, search.forecast, search.topology)


@given(searches(), windows(), st.integers(START_S + 1, END_S), st.integers(1, 100))
def test_what_searches_of_one_request_share_changes_no_answer(
    search: Search, window: Window, end_s: int, wish_bps: int
) -> None:
    """One of less time, one with VLANs whatever is told, one where something was refused."""
    caps = [(resource, window, wish_bps // 2) for resource in search.forecast.resources[:3]]
    others = [
        search,
        replace(search, forecast=search.forecast.until(end_s)),
        replace(search, forecast=search.forecast.since(end_s - 1)),
        search.whatever_labels(),
        replace(search, forecast=search.forecast.capped(caps)),
    ]
    for other in (*others, *others):
        span = other.forecast.span
        assert other.hope_bps(span) == anew(other).hope_bps(span)
        assert widest(other, span, 1, wish_bps) == widest(anew(other), span, 1, wish_bps)
        assert ever_fits(other, wish_bps, 5) == ever_fits(anew(other), wish_bps, 5)


def test_vlans_are_looked_at_again_where_others_are_free() -> None:
    search = search_of(fan((1,)), {}, 10)
    taken = replace(search.forecast.fixed, port_vlans={"b:to-a": VlanSet()})
    within = replace(search, forecast=replace(search.forecast, fixed=taken))
    for _ in range(2):
        assert search.fits(10, SPAN)
        assert not within.fits(10, SPAN)
        assert within.lacks_labels
        assert within.whatever_labels().fits(10, SPAN)
