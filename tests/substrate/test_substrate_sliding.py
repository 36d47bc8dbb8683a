"""What slides makes room at another time within its window, whole and as long as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st
from test_substrate_repacking import (
    ONE,
    SLOT_S,
    SLOTS,
    TWO,
    WHOLE,
    carried,
    found,
    free,
    rigid,
    taken,
    volume,
)

from substrate.forecast import Forecast
from substrate.model import Window
from substrate.repacking import SLOTS_MAX, repack
from substrate.settling import Layout, Mover
from substrate.sliding import TIMES_MAX, slid


def slots(first: int, count: int) -> Window:
    return Window(first * SLOT_S, (first + count) * SLOT_S)


def slider(gbps: float, window: Window, within: Window = WHOLE) -> Mover:
    """It has all of a window, over m1."""
    return replace(rigid(gbps, ONE, window), within=within)


def placed(forecast: Forecast, *movers: Mover) -> Layout | None:
    layouts = (repack(*arranged) for arranged in slid(forecast, movers))
    return next((layout for layout in layouts if layout is not None), None)


def test_what_slides_waits_until_the_other_is_over() -> None:
    wanted, has = rigid(80, window=slots(0, 2)), slider(50, slots(0, 2))
    assert repack(free([100] * 4), [wanted, has]) is None
    new, old = found(placed(free([100] * 4), wanted, has))
    assert carried(new) == {"m1": [80, 80, 0, 0]}
    assert carried(old) == {"m1": [0, 0, 50, 50]}
    assert len(old) == 1


def test_what_slides_may_go_before_the_other() -> None:
    wanted, has = rigid(80, window=slots(2, 1)), slider(50, slots(1, 2))
    _, old = found(placed(free([100] * 4), wanted, has))
    assert [laid.phase.window for laid in old] == [slots(0, 2)]


def test_it_begins_in_the_middle_of_a_slot_where_the_other_ends() -> None:
    wanted, has = rigid(80, window=Window(0, 150)), slider(50, Window(0, 150))
    forecast = free([100] * 4).cut_at([150])
    _, old = found(placed(forecast, wanted, has))
    assert [laid.phase.window for laid in old] == [Window(150, 300)]


@pytest.mark.parametrize("within", [slots(0, 3), Window(0, 2 * SLOT_S + 199), slots(0, 2)])
def test_nothing_slides_beyond_its_window(within: Window) -> None:
    wanted, has = rigid(80, window=slots(0, 2)), slider(50, slots(0, 2), within)
    assert placed(free([100] * 4), wanted, has) is None


def test_who_was_not_asked_to_slide_keeps_its_time() -> None:
    wanted, has = rigid(80, window=slots(0, 2)), rigid(50, ONE, slots(0, 2))
    assert not list(slid(free([100] * 4), [wanted, has]))


def test_one_that_makes_room_may_need_that_of_another() -> None:
    first, second = slider(60, slots(0, 2)), slider(60, slots(2, 1), slots(2, 2))
    wanted = rigid(100, window=slots(0, 1))
    _, one, other = found(placed(free([100] * 4), wanted, first, second))
    assert carried(one) == {"m1": [0, 60, 60, 0]}
    assert carried(other) == {"m1": [0, 0, 0, 60]}


def test_what_slides_and_volumes_make_room_together() -> None:
    # The volume has all of the first two slots at m2; what slides goes after what is wanted.
    wanted, has = rigid(100, window=slots(0, 2)), slider(100, slots(0, 2))
    carries = volume(100, 200, TWO)
    taken_up = free([100, 100, 100, 100], [100, 100, 0, 0])
    assert placed(taken_up, wanted, has, carries) is not None
    assert placed(free([100] * 4, [99, 100, 0, 0]), wanted, has, carries) is None


def test_what_is_divided_in_time_is_put_together_again() -> None:
    # Half of each would fit in either time.
    wanted = rigid(60, window=slots(0, 4))
    movers = [wanted, *(slider(20, slots(0, 2)) for _ in range(4))]
    layout = found(placed(free([100] * 4), *movers))
    starts = sorted(laid.phase.window.start_s for (laid,) in layout[1:])
    assert starts == [0, 0, 200, 200]


def test_the_one_that_asks_keeps_its_time() -> None:
    wanted = replace(rigid(80, window=slots(0, 2)), within=None)
    (_, movers), *_ = slid(free([100] * 4), [wanted, slider(50, slots(0, 2))])
    assert movers[0].criteria.window == wanted.criteria.window


def test_times_are_few_however_long_it_may_slide() -> None:
    long = Window(0, SLOT_S * SLOTS)
    forecast = free([100] * 4).cut_at(range(0, long.end_s, 7))
    wanted, has = rigid(80, window=slots(0, 1)), slider(50, slots(0, 1))
    (finer, (_, after)), *_ = slid(forecast, [wanted, has])
    assert finer.slots <= max(forecast.slots, SLOTS_MAX) + 2 * TIMES_MAX
    assert after.criteria.window.start_s >= SLOT_S


windows = st.tuples(st.integers(0, SLOTS - 1), st.integers(1, SLOTS)).map(
    lambda pair: Window(pair[0] * SLOT_S, min(SLOTS, pair[0] + pair[1]) * SLOT_S)
)
sliders = st.builds(slider, st.integers(1, 6), windows)
others = st.one_of(sliders, st.builds(rigid, st.integers(1, 6), st.just(ONE), windows))
news = st.builds(rigid, st.integers(1, 9), st.none(), windows)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 10), min_size=SLOTS, max_size=SLOTS),
       st.lists(others, max_size=4), news)  # fmt: skip
def test_whatever_slides_keeps_its_promise_and_nothing_is_overbooked(
    levels: list[int], old: list[Mover], new: Mover
) -> None:
    used = taken(old, [mover.present for mover in old])["m1"]
    free_bps = [max(level * 10**9, bps) for level, bps in zip(levels, used, strict=True)]
    movers = [new, *old]
    layout = placed(free([bps / 10**9 for bps in free_bps]), *movers)
    if layout is None:
        return
    total = taken(movers, list(layout))["m1"]
    assert all(bps <= most for bps, most in zip(total, free_bps, strict=True))
    for mover, (laid,) in zip(movers, layout, strict=True):
        has, window = mover.criteria.window, laid.phase.window
        assert laid.phase.bandwidth_bps == mover.criteria.bandwidth_bps
        assert window.duration_s == has.duration_s
        assert window == has or mover.within is not None
        assert window.start_s >= 0
        assert window.end_s <= WHOLE.end_s
