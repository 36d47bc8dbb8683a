"""Re-packing: one more circuit is let in by laying others elsewhere, as little as can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from substrate.bending import Phase
from substrate.forecast import Forecast
from substrate.model import Bend, Constraints, Criteria, Directionality, Window
from substrate.options import Supply
from substrate.program import INFINITE, Bulk, Program
from substrate.repacking import repack
from substrate.routes import Crossing, Route
from substrate.settling import IN, OUT, Laid, Layout, Mover, rows_of
from substrate.splitting import Share

G = 10**9
SLOT_S = 100
SLOTS = 4
WHOLE = Window(0, SLOT_S * SLOTS)


def route(middle: str) -> Route:
    crossings = (
        Crossing("west", "west:host", f"west:{middle}"),
        Crossing(middle, f"{middle}:west", f"{middle}:east"),
        Crossing("east", f"east:{middle}", "east:host"),
    )
    return Route(crossings, 10)


ONE, TWO = route("m1"), route("m2")


def free(*gbps: list[float]) -> Forecast:
    """West and east, joined by m1 and m2, each with so much free in each slot; not said: 0."""
    rows, levels = [], []
    for number, each in enumerate((*gbps, [0.0] * SLOTS)[:2], 1):
        rows.append((IN, f"m{number}:west"))
        levels.append([int(level * G) for level in each])
    cuts = tuple(range(0, WHOLE.end_s + 1, SLOT_S))
    return Forecast(cuts, tuple(rows), np.array(levels, dtype=np.int64), Supply())


def criteria(gbps: float, window: Window = WHOLE, bend: Bend | None = None) -> Criteria:
    return Criteria(
        "west:host",
        "east:host",
        int(gbps * G),
        window,
        Directionality.UNIDIRECTIONAL,
        constraints=Constraints(),
        bend=bend,
    )


def rigid(gbps: float, at: Route | None = None, window: Window = WHOLE) -> Mover:
    wanted = criteria(gbps, window)
    lies: tuple[Laid, ...] = ()
    if at is not None:
        lies = (Laid(Phase(window, wanted.bandwidth_bps), (Share(at, wanted.bandwidth_bps),)),)
    return Mover(wanted, {ONE: 10, TWO: 10}, lies)


def volume(gbps: float, seconds: int, at: Route | None = None, max_phases: int = 16) -> Mover:
    """So much as ``gbps`` carries in that time; laid from the first second on."""
    bend = Bend(volume_bytes=int(gbps * G) * seconds // 8, max_phases=max_phases)
    wanted = criteria(gbps, bend=bend)
    lies: tuple[Laid, ...] = ()
    if at is not None:
        shares = (Share(at, wanted.bandwidth_bps),)
        lies = (Laid(Phase(Window(0, seconds), wanted.bandwidth_bps), shares),)
    return Mover(wanted, {ONE: 10, TWO: 10}, lies)


def carried(laid: tuple[Laid, ...]) -> dict[str, list[int]]:
    """By the domain in the middle what is carried in each slot, Gb/s."""
    found: dict[str, list[int]] = {}
    for each in laid:
        for share in each.shares:
            levels = found.setdefault(share.route.domains[1], [0] * SLOTS)
            for slot in range(SLOTS):
                if each.phase.window.start_s <= slot * SLOT_S < each.phase.window.end_s:
                    levels[slot] += share.bandwidth_bps // G
    return found


def found(layout: Layout | None) -> Layout:
    assert layout is not None
    return layout


def test_what_fits_beside_the_others_moves_none_of_them() -> None:
    stays = rigid(60, ONE)
    new, old = found(repack(free([100] * 4, [100] * 4), [rigid(40), stays]))
    assert old is stays.present
    assert sum(map(sum, carried(new).values())) == 160


def test_a_circuit_in_the_way_goes_another_way() -> None:
    new, old = found(
        repack(free([100] * 4, [70] * 4), [Mover(criteria(100), {ONE: 10}), rigid(60, ONE)])
    )
    assert carried(new) == {"m1": [100] * 4}
    assert carried(old) == {"m2": [60] * 4}


def test_a_volume_in_the_way_waits() -> None:
    first = Window(0, 2 * SLOT_S)
    new, old = found(repack(free([100] * 4), [rigid(80, window=first), volume(50, 200, ONE)]))
    assert carried(new) == {"m1": [80, 80, 0, 0]}
    assert sum(laid.phase.bits for laid in old) >= 50 * G * 200
    assert all(level <= 20 for level in carried(old)["m1"][:2])


def test_a_volume_that_is_cut_into_more_phases_than_it_may_have_is_not_moved() -> None:
    levels = [100.0, 0, 100, 0]
    wanted = [volume(100, 200, max_phases=1)]
    assert repack(free(levels), wanted) is None
    assert repack(free(levels), [volume(100, 200, max_phases=2)]) is not None


def test_a_volume_has_the_same_rate_in_slots_that_differ_rather_than_too_many_phases() -> None:
    # Filled one by one, all four slots would have rates of their own.
    levels = [100.0, 80, 60, 50]
    (laid,) = found(repack(free(levels), [volume(100, 270, max_phases=3)]))
    assert len(laid) <= 3
    assert sum(each.phase.bits for each in laid) >= 100 * G * 270
    assert repack(free(levels), [volume(100, 290, max_phases=3)]) is None
    assert repack(free(levels), [volume(100, 290, max_phases=4)]) is not None


def test_what_rounding_loses_is_carried_all_the_same() -> None:
    # Three share what is free by fractions of a bit, in slots of which none is full.
    thirds = [volume(100 / 3, 301) for _ in range(3)]
    layout = found(repack(free([100, 99.999999999, 99.999999998, 50]), thirds))
    for one, laid in zip(thirds, layout, strict=True):
        assert sum(each.phase.bits for each in laid) >= one.bits


def begun(one: Mover, from_s: int) -> Mover:
    """The same when it may be carried otherwise from that time on."""
    (laid,) = one.present
    before, after = (
        replace(laid, phase=replace(laid.phase, window=window))
        for window in (Window(0, from_s), Window(from_s, laid.phase.window.end_s))
    )
    window = replace(one.criteria.window, start_s=from_s)
    return replace(
        one, criteria=replace(one.criteria, window=window), present=(after,), gone=(before,)
    )


@pytest.mark.parametrize(("least_bps", "carries_bps"), [(1, G // 100), (G // 10, G // 10)])
def test_no_path_carries_next_to_nothing(least_bps: int, carries_bps: int) -> None:
    longer = Route((*TWO.crossings[:2], Crossing("x", "x:a", "x:b"), TWO.crossings[2]), 20)
    routes = {ONE: 10, longer: 20}
    short, wants = [10 - 3e-9] * SLOTS, criteria(10)
    ((laid,),) = placed(free(short, [10.0] * SLOTS), Mover(wants, routes, (), (), least_bps))
    split = {share.route: share.bandwidth_bps for share in laid.shares}
    assert split == {ONE: 10 * G - carries_bps, longer: carries_bps}
    # Where there is no room for more, that is how it fits.
    ((laid,),) = placed(free(short, [3e-9] * SLOTS), Mover(wants, routes, (), (), least_bps))
    split = {share.route: share.bandwidth_bps for share in laid.shares}
    assert split == {ONE: 10 * G - 3, longer: 3}
    # What lies so already stays.
    shares = (Share(ONE, 10 * G - 3, 10), Share(longer, 3, 20))
    present = (Laid(Phase(WHOLE, 10 * G), shares),)
    stays = Mover(wants, routes, present, (), least_bps)
    ((laid,),) = placed(free(short, [10.0] * SLOTS), stays)
    assert laid is present[0]


def placed(forecast: Forecast, mover: Mover) -> Layout:
    layout = repack(forecast, [mover])
    assert layout is not None
    return layout


def test_a_volume_that_has_begun_carries_the_rest_otherwise() -> None:
    # It has all of the first slot, and half of the second cannot be for another.
    has = begun(volume(50, 200, ONE), SLOT_S)
    assert has.bits == 50 * G * SLOT_S
    second = Window(SLOT_S, 2 * SLOT_S)
    new, old = found(repack(free([100] * 4), [rigid(80, window=second), has]))
    assert carried(new) == {"m1": [0, 80, 0, 0]}
    assert sum(laid.phase.bits for laid in old) >= has.bits
    assert all(laid.phase.window.start_s >= SLOT_S for laid in old)
    assert carried(old)["m1"][1] <= 20


def test_what_a_volume_has_before_it_may_be_moved_is_not_for_another() -> None:
    has = begun(volume(50, 200, ONE), SLOT_S)
    first = Window(0, SLOT_S)
    assert repack(free([100] * 4), [rigid(80, window=first), has]) is None
    assert repack(free([100] * 4), [rigid(50, window=first), has]) is not None


def test_phases_that_are_over_count() -> None:
    levels = [100.0, 0, 100, 100]
    second = Window(2 * SLOT_S, 3 * SLOT_S)
    for most, fits in ((2, True), (1, False)):
        has = begun(volume(50, 200, ONE, max_phases=most), SLOT_S)
        assert (repack(free(levels), [rigid(100, window=second), has]) is not None) == fits


def test_what_does_not_fit_however_it_lies_is_refused() -> None:
    assert repack(free([100] * 4, [70] * 4), [rigid(120), rigid(60, ONE)]) is None
    assert repack(free([100] * 4), [volume(100, 300), rigid(40, ONE)]) is None
    assert repack(free([100] * 4), [Mover(criteria(1), {})]) is None


def test_a_circuit_both_ways_takes_both_directions_of_its_ports() -> None:
    one_way = rows_of(ONE, Directionality.UNIDIRECTIONAL)
    both_ways = rows_of(ONE, Directionality.BIDIRECTIONAL)
    assert (OUT, "m1:west") not in one_way
    assert {*one_way} < {*both_ways}
    assert {(OUT, "m1:west"), (IN, "m1:east")} < {*both_ways}


levels = st.lists(st.integers(0, 10), min_size=SLOTS, max_size=SLOTS)
windows = st.tuples(st.integers(0, SLOTS - 1), st.integers(1, SLOTS)).map(
    lambda pair: Window(pair[0] * SLOT_S, min(SLOTS, pair[0] + pair[1]) * SLOT_S)
)
rigids = st.builds(rigid, st.integers(1, 6), st.sampled_from([ONE, TWO]), windows)
volumes = st.builds(
    volume, st.integers(1, 6), st.integers(1, 4).map(lambda n: n * SLOT_S), st.just(ONE)
)
news = st.one_of(st.builds(rigid, st.integers(1, 9), st.none(), windows),
                 st.builds(volume, st.integers(1, 9), st.integers(1, 400), st.none()))  # fmt: skip


def taken(movers: list[Mover], layout: list[tuple[Laid, ...]]) -> dict[str, list[int]]:
    total = {"m1": [0] * SLOTS, "m2": [0] * SLOTS}
    for laid in layout:
        for each in laid:
            for share in each.shares:
                for slot in range(SLOTS):
                    window = each.phase.window
                    if window.start_s < (slot + 1) * SLOT_S and slot * SLOT_S < window.end_s:
                        total[share.route.domains[1]][slot] += share.bandwidth_bps
    return total


@settings(max_examples=150, deadline=None)
@given(levels, levels, st.lists(st.one_of(rigids, volumes), max_size=4), news)
def test_whatever_is_moved_keeps_its_promise_and_nothing_is_overbooked(
    one: list[int], two: list[int], old: list[Mover], new: Mover
) -> None:
    movers = [new, *old]
    present = taken(old, [mover.present for mover in old])
    room = {
        name: [max(level * G, used) for level, used in zip(each, present[name], strict=True)]
        for name, each in (("m1", one), ("m2", two))
    }
    forecast = free(*([bps / G for bps in room[name]] for name in ("m1", "m2")))
    layout = repack(forecast, movers)
    if layout is None:
        # At least it is not that all could stay and the new one lie beside them.
        least = [min(b - u for b, u in zip(room[n], present[n], strict=True)) for n in ("m1", "m2")]
        assert new.bits or max(least) < new.criteria.bandwidth_bps
        return
    total = taken(movers, list(layout))
    for name in ("m1", "m2"):
        assert all(t <= r for t, r in zip(total[name], room[name], strict=True))
    for mover, laid in zip(movers, layout, strict=True):
        window = mover.criteria.window
        for each in laid:
            assert window.start_s <= each.phase.window.start_s
            assert each.phase.window.end_s <= window.end_s
            assert sum(share.bandwidth_bps for share in each.shares) == each.phase.bandwidth_bps
            assert each.phase.bandwidth_bps <= mover.criteria.bandwidth_bps
        if mover.bits:
            assert sum(each.phase.bits for each in laid) >= mover.bits
        else:
            assert [each.phase for each in laid] == [Phase(window, mover.criteria.bandwidth_bps)]


def test_a_program_finds_the_least_cost_or_tells_that_there_is_none() -> None:
    program = Program()
    program.bounds["both"] = (3.0, INFINITE)
    program.column(2.0, INFINITE, [("both", 1.0)])
    program.column(1.0, 2.0, [("both", 1.0)])
    found = program.least()
    assert found is not None
    assert found[0] == pytest.approx(4.0)
    assert found[1] == pytest.approx([1.0, 2.0])
    program.bounds["few"] = (-INFINITE, 1.0)
    program.column(0.0, 0.0, [("few", 1.0)])
    program.bounds["both"] = (3.0, 2.0)
    assert program.least() is None


@given(st.integers(0, 10**6))
def test_a_program_of_arrays_is_solved_as_one_of_names(seed: int) -> None:
    dice = np.random.default_rng(seed)
    values, most = dice.integers(0, 4, (3, 5)), dice.integers(1, 9, 3).astype(float)
    costs = dice.integers(-5, 5, 5).astype(float)
    bulk, named = Bulk(), Program()
    first = bulk.rows(-INFINITE, most)
    columns = bulk.columns(costs, np.full(5, 2.0))
    for row in range(3):
        at = np.flatnonzero(values[row])
        bulk.entries(columns + at, np.full(len(at), first + row), values[row][at].astype(float))
        named.bounds[row] = (-INFINITE, most[row])
    for column in range(5):
        entries = [(row, float(values[row, column])) for row in range(3) if values[row, column]]
        named.column(costs[column], 2.0, entries)
    one, other = bulk.least(), named.least()
    assert one is not None
    assert other is not None
    assert one[0] == pytest.approx(other[0])
