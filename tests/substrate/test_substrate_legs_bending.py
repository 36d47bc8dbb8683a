"""Several destinations of a request that bends: one time and one bandwidth for all legs."""

from __future__ import annotations

from bends import END_S, SPAN, START_S, profiles
from hypothesis import assume, given, strategies as st
from test_substrate_legs import ENDS, joining, open_supply, plan, routes_of, star

from substrate.bending import Phase, Search, Shortfall, ever_fits, rigid, slide, widest
from substrate.bottleneck import bottlenecks
from substrate.forecast import Resource, forecast
from substrate.model import Profile, Refusal, RefusalKind, Step, Window
from substrate.options import Supply

CAPACITY = 60
UPLINKS: list[Resource] = [("a:host", f"a:to-{m}") for m in "bcd"]


def search_of(told: dict[Resource, Profile], bandwidth_bps: int, *ends: str) -> Search:
    names = [one + other for one in "abcd" for other in "bcdxyz"]
    topology = star(dict.fromkeys(names, CAPACITY), hub_bps=300)
    wish = joining(bandwidth_bps, *ends)
    level: Profile = (Step(START_S, 1000),)
    open_ways: dict[Resource, Profile] = dict.fromkeys(open_supply(topology).pair_bps, level)
    known = forecast(SPAN, Supply(), {**open_ways, **told})
    return Search(wish, routes_of(topology, wish), known, topology)


def fits(search: Search, bandwidth_bps: int, window: Window) -> bool:
    """As planning judges."""
    wish = rigid(search.criteria, Phase(window, bandwidth_bps))
    return not isinstance(plan(wish, search.topology, search.forecast.within(window)), Refusal)


@st.composite
def searches(draw: st.DrawFn) -> Search:
    places: list[Resource] = [
        *UPLINKS,
        "a:host",
        "x:host",
        ("b:to-a", "b:to-x"),
        ("c:to-a", "c:to-y"),
    ]
    told: dict[Resource, Profile] = {
        place: draw(profiles(CAPACITY if isinstance(place, tuple) else 150))
        for place in draw(st.sets(st.sampled_from(places), max_size=4))
    }
    ends = draw(st.permutations(ENDS))[: draw(st.integers(2, 3))]
    return search_of(told, draw(st.integers(1, 80)), *ends)


@given(searches(), st.integers(START_S, END_S - 1), st.integers(1, 30))
def test_no_more_is_hoped_for_than_may_fit(search: Search, start_s: int, length_s: int) -> None:
    window = Window(start_s, min(END_S, start_s + length_s))
    wanted = search.criteria.bandwidth_bps
    assume(fits(search, wanted, window))
    assert search.hope_bps(window) >= wanted
    assert search.fits(wanted, window)


@given(searches())
def test_the_most_that_fits_fits_all_legs(search: Search) -> None:
    wish_bps = search.criteria.bandwidth_bps
    most_bps = widest(search, SPAN, 1, wish_bps)
    if most_bps:
        assert fits(search, most_bps, SPAN)
    assert most_bps or not fits(search, 1, SPAN)
    assert most_bps == wish_bps or not fits(search, wish_bps, SPAN)


@given(searches())
def test_what_fits_beside_others_fits_when_nothing_else_is_reserved(search: Search) -> None:
    wanted = search.criteria.bandwidth_bps
    assume(fits(search, wanted, SPAN))
    assert ever_fits(search, wanted, 1)


def test_legs_may_fit_at_a_time_at_which_more_is_free() -> None:
    taken = search_of(dict.fromkeys((*UPLINKS, "a:of-none"), (Step(START_S, 0),)), 40)
    assert not taken.fits(40, SPAN)
    assert ever_fits(taken, 40, 1)
    assert not ever_fits(taken, 101, 1)


@given(searches(), st.integers(1, 20))
def test_legs_slide_to_one_time_at_which_all_fit(search: Search, duration_s: int) -> None:
    wanted = search.criteria.bandwidth_bps
    found = slide(search, wanted, wanted, duration_s)
    if isinstance(found, Shortfall):
        assert not any(fits(search, wanted, w) for w in (Window(START_S, START_S + duration_s),))
        return
    assert found.window.duration_s == duration_s
    assert fits(search, wanted, found.window)


@given(searches())
def test_a_bottleneck_is_named_of_whatever_is_refused(search: Search) -> None:
    wish = rigid(search.criteria, Phase(SPAN, search.criteria.bandwidth_bps))
    refusal = plan(wish, search.topology, search.forecast.within(SPAN))
    assume(isinstance(refusal, Refusal) and refusal.kind is RefusalKind.BANDWIDTH)
    assert isinstance(refusal, Refusal)
    found = bottlenecks(search, SPAN, refusal)
    assert found
    wanted = len(search.criteria.destinations) * search.criteria.bandwidth_bps
    assert sum(place.free_bps or 0 for place in found) < wanted


def test_what_all_legs_need_is_divided_by_their_number() -> None:
    search = search_of({"a:host": (Step(START_S, 90),)}, 40)
    assert search.hope_bps(SPAN) == 30
    assert widest(search, SPAN, 1, 40) == 30
    (place,) = bottlenecks(search, SPAN, Refusal(RefusalKind.BANDWIDTH, ""))
    assert (place.resource, place.free_bps) == ("a:host", 90)
