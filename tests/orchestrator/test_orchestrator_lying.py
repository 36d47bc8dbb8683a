"""From when on a reservation may lie elsewhere, and what of it lies before and after that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from networks import G, diamond

from orchestrator.lying import (
    free_from_s,
    joined,
    laid_of,
    leading_to,
    phases_of,
    promised,
    since,
    slides_within,
    until,
    volume_of,
)
from orchestrator.records import (
    Change,
    Reservation,
    State,
    changed,
    committed,
    granted,
    moved,
    unchanged,
    with_data_plane,
)
from substrate.bending import Phase
from substrate.labels import Plan
from substrate.model import Bend, Criteria, DataPlaneState, Hop, Path, Segment, Window
from substrate.topology import Topology

WINDOW = Window(1000, 5000)
ASKED = Criteria("west:host", "east:host", 10 * G, WINDOW, bend=Bend(volume_bytes=10**12))
RIGID = replace(ASKED, bend=None)


def over(middle: str, gbps: int, start_s: int, end_s: int, vlan: int = 100) -> tuple[Phase, Plan]:
    ends = {
        "west": ("west:host", f"west:{middle}"),
        middle: (f"{middle}:west", f"{middle}:east"),
        "east": (f"east:{middle}", "east:host"),
    }
    hops = tuple(Hop(name, a, vlan, b, vlan) for name, (a, b) in ends.items())
    segments = {name: (Segment("s1", a, vlan, b, vlan, gbps * G),) for name, (a, b) in ends.items()}
    plan = Plan((Path(gbps * G, 5, hops),), segments, depends_on_blind=False)
    return Phase(Window(start_s, end_s), gbps * G), plan


TWO = (over("m1", 10, 1000, 1400), over("m2", 5, 1400, 2200))


def record(*phases: tuple[Phase, Plan], asked: Criteria | None = ASKED) -> Reservation:
    fresh = Reservation("res", "r", asked or RIGID, "tx", 1, 1, asked=asked)
    return committed(fresh, granted(asked or RIGID, phases), 2)


@pytest.mark.parametrize("phases", [TWO, TWO[:1]])
def test_a_record_tells_its_phases_as_they_were_planned(
    phases: tuple[tuple[Phase, Plan], ...],
) -> None:
    assert phases_of(record(*phases)) == phases


def test_a_circuit_of_constant_rate_is_free_until_it_begins() -> None:
    whole = over("m1", 10, 1000, 5000)
    rigid = record(whole, asked=None)
    assert free_from_s(rigid, 900, diamond()) == 1000
    assert free_from_s(rigid, 1000, diamond()) == 1000
    assert free_from_s(rigid, 1001, diamond()) is None
    assert promised(rigid, 900) == RIGID


def test_what_migrates_at_a_time_is_not_free() -> None:
    assert free_from_s(record(*TWO, asked=None), 500, diamond()) is None


def test_a_volume_is_free_as_long_as_anything_of_it_is_ahead() -> None:
    volume = record(*TWO)
    for first_s, minute_s in ((500, 540), (1200, 1200), (1400, 1440), (2160, 2160)):
        assert free_from_s(volume, first_s, diamond()) == minute_s
    for first_s in (2161, 2200):
        assert free_from_s(volume, first_s, diamond()) is None
    assert promised(volume, 1200) == replace(ASKED, window=Window(1200, 5000))
    assert promised(volume, 500) == ASKED


def slow() -> Topology:
    """m1 configures nothing for less than 300 s."""
    plain = diamond()
    return Topology([*(d for n, d in plain.domains.items() if n != "m1"),
                     replace(plain.domains["m1"], least_phase_s=300)])  # fmt: skip


def test_no_phase_is_cut_shorter_than_its_domains_can_configure() -> None:
    volume = record(*TWO)
    assert free_from_s(volume, 1260, slow()) == 1400
    assert free_from_s(volume, 1261, slow()) == 1320
    assert free_from_s(record(TWO[0]), 1260, slow()) is None


def test_what_lies_before_and_after_a_time_is_all_of_it() -> None:
    for at_s in (900, 1000, 1200, 1400, 2000, 2200, 3000):
        before, after = until(TWO, at_s), since(TWO, at_s)
        assert all(phase.window.end_s <= at_s for phase, _ in before)
        assert all(phase.window.start_s >= at_s for phase, _ in after)
        assert joined((*before, *after)) == TWO
        laid = laid_of((*before, *after), diamond())
        assert sum(each.phase.bits for each in laid) == sum(phase.bits for phase, _ in TWO)


def test_phases_are_one_only_where_nothing_changes() -> None:
    first = over("m1", 10, 1000, 1400)
    assert len(joined((first, over("m1", 10, 1400, 1800)))) == 1
    assert len(joined((first, over("m1", 10, 1401, 1800)))) == 2
    assert len(joined((first, over("m1", 9, 1400, 1800)))) == 2
    assert len(joined((first, over("m2", 10, 1400, 1800)))) == 2
    assert len(joined((first, over("m1", 10, 1400, 1800, vlan=101)))) == 2


def test_a_route_is_that_of_its_hops() -> None:
    ((laid),) = laid_of(TWO[:1], diamond())
    (share,) = laid.shares
    assert share.route.domains == ("west", "m1", "east")
    assert share.bandwidth_bps == 10 * G


def test_a_phase_that_has_begun_is_there_when_the_rest_was_moved() -> None:
    volume = record(*TWO)
    for name in ("west", "m1", "east"):
        volume = with_data_plane(volume, name, DataPlaneState.ACTIVE, "", 3, Window(1000, 1400))
    change = Change("", "tx-2", ASKED, 30, 4, moves_for="other")
    again = (over("m1", 10, 1000, 1200), over("m1", 5, 1300, 2100))
    after = moved(replace(volume, change=change), granted(ASKED, again), 5)
    assert (after.state, after.version, after.transaction_id) == (State.COMMITTED, 2, "tx-2")
    states = {(p.domain, p.window.start_s): p.data_plane for p in after.parts if p.window}
    assert {name for (name, start_s), s in states.items() if s is DataPlaneState.ACTIVE} == {
        "west", "m1", "east"}  # fmt: skip
    assert {s for (_, start_s), s in states.items() if start_s == 1300} == {
        DataPlaneState.SCHEDULED
    }
    assert volume_of(after) == ASKED


def test_a_volume_that_was_modified_is_none_any_more_whatever_comes_then() -> None:
    volume = record(*TWO)
    change = Change("q2", "tx-2", RIGID, 30, 4)
    modified = changed(replace(volume, change=change), 5)
    assert (modified.asked, volume_of(modified)) == (None, None)
    refused = unchanged(replace(modified, change=replace(change, transaction_id="tx-3")), (), 6)
    assert (refused.modified, volume_of(refused)) == (False, None)


def sliding(start_s: int) -> Reservation:
    """400 s between 1000 and 9000."""
    asked = replace(RIGID, window=Window(1000, 9000), bend=Bend(duration_s=400))
    return record(over("m1", 10, start_s, start_s + 400), asked=asked)


@pytest.mark.parametrize(
    ("first_s", "wanted", "within"),
    [
        (500, Window(3000, 3200), Window(2600, 3800)),
        (500, Window(2000, 5000), Window(1600, 5400)),
        (500, Window(1100, 1200), Window(1000, 3800)),
        (500, Window(8800, 8900), Window(2600, 9000)),
        (2800, Window(2000, 5000), Window(2800, 5400)),
        (3000, Window(2000, 5000), Window(3000, 5400)),
        (3001, Window(2000, 5000), None),
    ],
)
def test_what_slides_may_lie_near_what_is_wanted_within_its_window(
    first_s: int, wanted: Window, within: Window | None
) -> None:
    assert slides_within(sliding(3000), first_s, wanted) == within


def test_what_was_not_asked_to_slide_or_was_modified_keeps_its_time() -> None:
    for other in (record(over("m1", 10, 1000, 5000), asked=None), record(*TWO)):
        assert slides_within(other, 500, WINDOW) is None
    change = Change("q2", "tx-2", replace(RIGID, window=Window(3000, 3400)), 30, 4)
    modified = changed(replace(sliding(3000), change=change), 5)
    assert slides_within(modified, 500, WINDOW) is None
    stays = unchanged(replace(sliding(3000), change=change), (), 5)
    assert slides_within(stays, 500, WINDOW) is not None


def test_a_star_that_slides_keeps_its_time() -> None:
    slides = sliding(3000)
    assert slides.asked is not None
    star = replace(slides.asked, more_destinations=("south:host",))
    assert slides_within(replace(slides, asked=star), 500, WINDOW) is None


def test_what_leads_to_one_destination_is_told_apart() -> None:
    (phase, plan), (_, other) = over("m1", 10, 1000, 1400), over("m2", 10, 1000, 1400)
    to_south = tuple(
        replace(path, bandwidth_bps=4 * G, hops=(*path.hops[:-1], Hop("south", "a", 1, "s:h", 1)))
        for path in other.paths
    )
    star = (phase, replace(plan, paths=(*plan.paths, *to_south)))
    ((one, its),) = leading_to("east:host", (star,))
    assert (one, its.paths) == (phase, plan.paths)
    ((one, its),) = leading_to("s:h", (star,))
    assert (one.bandwidth_bps, its.paths) == (4 * G, to_south)
