"""Searches with a tariff: what they find takes no more from others than it may."""

from __future__ import annotations

from dataclasses import replace

from bends import END_S, SPAN, START_S, fan, search_of, searches, steps
from hypothesis import given, settings, strategies as st

from substrate.bending import BITS, Phase, Search, Shortfall, ever_fits, soonest, widest
from substrate.bottleneck import Bottleneck, bottlenecks
from substrate.model import Bend, Refusal, RefusalKind, Window
from substrate.spreading import SLOWER, spread, spread_admitted
from substrate.tolls import TERABYTE_BITS, Tariff, cost

HALF = Window(START_S, START_S + 15)
FREE_AFTER = {"a:to-b": steps((START_S, 15), (HALF.end_s, 60)), "b:to-a": steps((START_S, 60))}
"""A link of 60 bit/s from a to b, of which 45 are taken in the first half of the span."""

tariffs = st.builds(Tariff, st.floats(0.001, 200), st.just(0.0) | st.floats(0, 10**12))


def tolled(most_link_s: float, bandwidth_bps: int = 60) -> Search:
    """Two links, each taken both ways."""
    search = search_of(fan((1,)), FREE_AFTER, bandwidth_bps)
    return replace(search, tariff=Tariff(most_link_s))


def toll(before: float, added: float, seconds: int) -> float:
    """The link from a to b has that much before, the one from b to z nothing."""
    return 2 * seconds * (cost(before, added) + cost(0, added))


@settings(max_examples=150)
@given(searches(), st.integers(1, 100), tariffs)
def test_a_tariff_only_takes_away(search: Search, bandwidth_bps: int, tariff: Tariff) -> None:
    strict, window = replace(search, tariff=tariff), SPAN
    fits = search.fits(bandwidth_bps, window)
    admitted = strict.fits(bandwidth_bps, window)
    assert fits or not admitted
    assert admitted == (fits and strict.admits_all([Phase(window, bandwidth_bps)]))
    generous = replace(search, tariff=Tariff(10**9))
    assert generous.fits(bandwidth_bps, window) == fits


@settings(max_examples=150)
@given(searches(), st.integers(1, 300), tariffs, st.booleans())
def test_a_volume_is_no_faster_for_a_tariff_and_is_moved_whole(
    search: Search, volume_bytes: int, tariff: Tariff, sparing: bool
) -> None:
    strict = replace(search, tariff=tariff)
    plain = spread(search, volume_bytes, 4, 1, 1, sparing=sparing)
    found = spread_admitted(strict, volume_bytes, 4, (1, 1), sparing=sparing)
    if isinstance(plain, Shortfall):
        assert found == plain
        return
    assert not isinstance(found, Shortfall)
    assert sum(phase.bits for phase in found) >= volume_bytes * BITS
    if strict.admits_all(plain):
        assert found == plain
    elif found != plain:
        assert strict.admits_all(found)


def test_it_begins_when_the_link_is_free_enough() -> None:
    search = tolled(toll(0, 0.25, 5) + 0.01)
    assert search.fits(15, Window(START_S + 15, START_S + 20))
    assert not search.fits(15, Window(START_S, START_S + 5))
    assert soonest(search, 15, 5) == Window(HALF.end_s, HALF.end_s + 5)
    assert soonest(replace(search, tariff=None), 15, 5) == Window(START_S, START_S + 5)


def test_the_most_that_is_admitted_is_found() -> None:
    late = Window(HALF.end_s, END_S)
    search = tolled(toll(0, 0.5, 15))
    assert widest(search, late, 1, 60) == 30
    assert widest(replace(search, tariff=None), late, 1, 60) == 60


def test_what_is_too_much_even_of_a_free_link_never_fits() -> None:
    search = tolled(toll(0, 0.5, 10))
    assert ever_fits(search, 30, 10)
    assert not ever_fits(search, 30, 11)
    assert not ever_fits(search, 60, 10)


def test_a_volume_is_slower_where_it_would_take_too_much() -> None:
    search = tolled(toll(0, 0.5, 15))
    phases = spread_admitted(search, 30 * 12 // BITS, 4, (1, 1), sparing=True)
    assert not isinstance(phases, Shortfall)
    rates = [phase.bandwidth_bps for phase in phases]
    assert max(rates) <= 60 * SLOWER
    assert search.admits_all(phases)
    plain = spread(replace(search, tariff=None), 30 * 12 // BITS, 4, 1, 1, sparing=True)
    assert not isinstance(plain, Shortfall)
    assert max(phase.bandwidth_bps for phase in plain) == 60


def test_part_of_a_volume_may_take_what_the_whole_may() -> None:
    bits, per_tb = 60 * 15, 0.3 * TERABYTE_BITS
    allowed_link_s = 0.3 * 2 * bits
    search = replace(tolled(1.0), tariff=Tariff(0.0, per_tb))
    (part, whole) = (Phase(Window(HALF.end_s, HALF.end_s + each), 60) for each in (5, 15))
    assert toll(0, 1, 5) < allowed_link_s
    volume = replace(search, criteria=replace(search.criteria, bend=Bend(volume_bytes=bits // 8)))
    assert volume.fits(part.bandwidth_bps, part.window)
    assert volume.admits_all([whole]) == (toll(0, 1, 15) <= allowed_link_s)
    scarce = replace(volume, tariff=Tariff(0.0, per_tb / 100))
    assert not scarce.admits_all([whole])


def test_what_cannot_be_composed_any_more_is_not_admitted() -> None:
    search = tolled(10**6)
    assert search.admits_all([Phase(HALF, 15)])
    assert not search.admits_all([Phase(HALF, 16)])


def test_of_what_is_too_dear_the_link_that_the_refusal_names_is_in_the_way() -> None:
    refusal = Refusal(RefusalKind.TOLL, "too much", resource="a:to-b")
    found = bottlenecks(tolled(1.0, 15), SPAN, refusal)
    assert found == (Bottleneck("a", "a:to-b", 15, HALF),)
