"""What is promised carries what users were told, at each instant; what does not is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.records import Reservation, State
from protocol.messages import ReservationPrep
from simulations.faults.carried import broken, uncarried
from substrate.model import (
    Bend,
    Constraints,
    Criteria,
    Disjointness,
    Hop,
    Path,
    Segment,
    Window,
)

WINDOW = Window(100, 200)
OVER = Criteria("a:x", "b:y", 60, WINDOW)
PEERS = {f"a:{m}": f"{m}:a" for m in ("m1", "m2", "m3")}
PEERS |= {f"{m}:b": f"b:{m}" for m in ("m1", "m2", "m3")}


def path(
    bps: int, window: Window | None = None, domain: str = "m1", destination: str = "b:y"
) -> Path:
    hops = (
        Hop("a", "a:x", 7, f"a:{domain}", 8),
        Hop(domain, f"{domain}:a", 8, f"{domain}:b", 9),
        Hop("b", f"b:{domain}", 9, destination, 7),
    )
    return Path(bps, 0, hops, window=window)


def record(*paths: Path, criteria: Criteria = OVER, asked: Criteria | None = None) -> Reservation:
    return Reservation(
        "r", "q", criteria, "t", 0, 0, state=State.COMMITTED, paths=paths, asked=asked
    )


def parts(*paths: Path, window: Window = WINDOW) -> list[ReservationPrep]:
    """What promises these paths: a part for each time, as if there were but one domain."""
    segments: dict[Window, tuple[Segment, ...]] = {}
    for each in paths:
        during, its = each.window or window, tuple(segment(hop, each) for hop in each.hops)
        segments[during] = (*segments.get(during, ()), *its)
    return [
        ReservationPrep("t", "p", "r", 1, its, during, "o", 0) for during, its in segments.items()
    ]


def segment(hop: Hop, path: Path) -> Segment:
    ends = hop.ingress_stp, hop.ingress_vlan, hop.egress_stp, hop.egress_vlan
    return Segment("s", *ends, path.bandwidth_bps)


def uncarried_by(reservation: Reservation, preps: list[ReservationPrep]) -> str:
    return uncarried(reservation, preps, reservation.asked or reservation.criteria, PEERS)


def problem(*paths: Path, criteria: Criteria = OVER, asked: Criteria | None = None) -> str:
    return uncarried_by(record(*paths, criteria=criteria, asked=asked), parts(*paths))


def test_paths_for_all_of_the_time_carry_it() -> None:
    assert problem(path(60)) == ""
    assert problem(path(40), path(20, domain="m2")) == ""
    assert problem(path(59)) == "its paths to b:y carry 59 bit/s of 60 from 100 to 200 s"


def test_old_and_new_paths_of_a_migration_meet() -> None:
    old = path(60, Window(100, 150))
    assert problem(old, path(60, Window(140, 200))) == ""
    assert problem(old, path(60, Window(150, 200))) == ""
    gap = problem(old, path(60, Window(151, 200)))
    assert gap == "its paths to b:y carry 0 bit/s of 60 from 150 to 151 s"


def test_each_destination_has_all_of_it_at_each_instant() -> None:
    star = replace(OVER, more_destinations=("b:z",))
    there = path(60, destination="b:z", domain="m2")
    assert problem(path(60), there, criteria=star) == ""
    assert problem(path(120), there, criteria=star).startswith("its paths to b:y carry 120 bit/s")
    lacks = problem(path(60), criteria=star)
    assert lacks == "its paths to b:z carry 0 bit/s of 60 from 100 to 200 s"
    gap = problem(path(60, Window(100, 150)), path(60, Window(151, 200)), there, criteria=star)
    assert gap == "its paths to b:y carry 0 bit/s of 60 from 150 to 151 s"


def test_only_what_lasts_must_avoid_what_is_to_be_avoided() -> None:
    away = replace(OVER, constraints=Constraints(avoid_domains=("m2",)))
    old, new = Window(100, 150), Window(140, 200)
    assert problem(path(60, old, "m2"), path(60, new), criteria=away) == ""
    assert "lasts crosses m2" in problem(path(60, old), path(60, new, "m2"), criteria=away)


def test_what_nobody_promised_for_so_long_or_so_wide_is_found() -> None:
    whole = record(path(60))
    for promised in (
        [],
        parts(path(59)),
        parts(path(60, Window(100, 199))),
        parts(path(60, domain="m2")),
    ):
        assert uncarried_by(whole, promised).startswith("nobody promised a:x to a:m1")


def test_two_paths_over_one_segment_need_the_sum() -> None:
    twice = record(path(30), path(30))
    assert uncarried_by(twice, parts(path(59))).startswith("nobody promised")
    assert uncarried_by(twice, parts(path(60))) == ""


def test_a_path_that_is_not_wired_or_changes_its_vlan_between_domains() -> None:
    one = path(60)
    assert broken(one, PEERS) == ""
    first, second, third = one.hops
    for wrong in (replace(second, ingress_vlan=7), replace(second, ingress_stp="m2:a")):
        astray = replace(one, hops=(first, wrong, third))
        assert broken(astray, PEERS).startswith("leaves by a:m1 with VLAN 8 and enters")
        assert "a path leaves by a:m1" in problem(astray)


def test_a_path_that_joins_something_else_or_at_another_time() -> None:
    assert problem(path(60), criteria=replace(OVER, source="a:z")) == "a path leads from a:x to b:y"
    elsewhere = replace(OVER, destination="b:z")
    assert problem(path(60), criteria=elsewhere) == "a path leads from a:x to b:y"
    longer = path(60, Window(100, 201))
    assert problem(longer) == "a path lasts from 100 to 201 s, which is outside"


def test_a_path_goes_where_it_was_asked_to() -> None:
    via = replace(OVER, constraints=Constraints(via_domains=("m1",)))
    assert problem(path(60), criteria=via) == ""
    assert problem(path(60, domain="m2"), criteria=via) == "a path does not cross m1"
    old = path(60, Window(100, 150), "m2")
    assert problem(old, path(60, Window(140, 200)), criteria=via) == ""


@pytest.mark.parametrize("disjoint", Disjointness)
def test_what_survives_losses_shares_nothing_and_leaves_enough(disjoint: Disjointness) -> None:
    limits = Constraints(survive=1, remaining_bps=30, disjoint=disjoint)
    hardy = replace(OVER, constraints=limits)
    assert problem(path(30), path(30, domain="m2"), criteria=hardy) == ""
    lost = problem(path(40), path(20, domain="m2"), criteria=hardy)
    assert lost == "losses leave 20 bit/s of 30"
    shared = problem(path(30), path(30), criteria=hardy)
    assert shared == "two paths that are to survive losses share a:m1"


def test_a_volume_is_moved_by_all_phases_together() -> None:
    asked = replace(OVER, bend=Bend(volume_bytes=450))
    phases = path(60, Window(100, 150)), path(30, Window(150, 170))
    assert problem(*phases, asked=asked) == ""
    less = problem(phases[0], asked=asked)
    assert less == "its paths move 375 bytes of 450"
    # What a Modify asked for takes its place.
    constant = record(*phases, criteria=OVER)
    assert uncarried_by(constant, parts(*phases)).startswith("its paths to b:y carry 30 bit/s")


def test_what_was_over_when_the_rest_was_moved_needs_no_promise() -> None:
    over, ahead = path(60, Window(100, 150)), path(60, Window(150, 200))
    bent = replace(OVER, bend=Bend(volume_bytes=60 * 100 // 8))
    moved = replace(record(over, ahead, asked=bent), version=2, updated_ms=150_000)
    assert uncarried_by(moved, parts(ahead)) == ""
    # Amid its time it is promised still.
    problem = uncarried_by(replace(moved, updated_ms=149_000), parts(ahead))
    assert problem == "nobody promised a:x to a:m1 for all of its path"
    assert uncarried_by(replace(moved, paths=(ahead,)), parts(ahead)) != ""
