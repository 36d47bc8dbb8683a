"""What is promised carries what users were told, at each instant; what does not is found."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.records import Reservation, State
from protocol.messages import ReservationPrep
from simulations.faults.carried import uncarried
from substrate.model import Bend, Constraints, Criteria, Hop, Path, Segment, Window

WINDOW = Window(100, 200)
OVER = Criteria("a:x", "a:y", 60, WINDOW)


def path(
    bps: int, window: Window | None = None, domain: str = "a", destination: str = "a:y"
) -> Path:
    return Path(bps, 0, (Hop(domain, f"{domain}:x", 7, destination, 7),), window=window)


def record(*paths: Path, criteria: Criteria = OVER, asked: Criteria | None = None) -> Reservation:
    return Reservation(
        "r", "q", criteria, "t", 0, 0, state=State.COMMITTED, paths=paths, asked=asked
    )


def parts(*paths: Path, window: Window = WINDOW) -> list[ReservationPrep]:
    """What promises these paths."""
    found = []
    for each in paths:
        (hop,) = each.hops
        segment = Segment("s", hop.ingress_stp, 7, hop.egress_stp, 7, each.bandwidth_bps)
        during = each.window or window
        found.append(ReservationPrep("t", "p", "r", 1, (segment,), during, "o", 0))
    return found


def problem(*paths: Path, criteria: Criteria = OVER, asked: Criteria | None = None) -> str:
    return uncarried(record(*paths, criteria=criteria, asked=asked), parts(*paths))


def test_paths_for_all_of_the_time_carry_it() -> None:
    assert problem(path(60)) == ""
    assert problem(path(40), path(20)) == ""
    assert problem(path(59)) == "its paths to a:y carry 59 bit/s of 60 from 100 to 200 s"


def test_old_and_new_paths_of_a_migration_meet() -> None:
    old = path(60, Window(100, 150))
    assert problem(old, path(60, Window(140, 200))) == ""
    assert problem(old, path(60, Window(150, 200))) == ""
    gap = problem(old, path(60, Window(151, 200)))
    assert gap == "its paths to a:y carry 0 bit/s of 60 from 150 to 151 s"


def test_each_destination_has_all_of_it_at_each_instant() -> None:
    star = replace(OVER, more_destinations=("a:z",))
    there = path(60, destination="a:z")
    assert problem(path(60), there, criteria=star) == ""
    lacks = problem(path(120), criteria=star)
    assert lacks == "its paths to a:z carry 0 bit/s of 60 from 100 to 200 s"
    gap = problem(path(60, Window(100, 150)), path(60, Window(151, 200)), there, criteria=star)
    assert gap == "its paths to a:y carry 0 bit/s of 60 from 150 to 151 s"


def test_only_what_lasts_must_avoid_what_is_to_be_avoided() -> None:
    away = replace(OVER, constraints=Constraints(avoid_domains=("m",)))
    old, new = Window(100, 150), Window(140, 200)
    assert problem(path(60, old, "m"), path(60, new), criteria=away) == ""
    assert "crosses one of m" in problem(path(60, old), path(60, new, "m"), criteria=away)


def test_what_nobody_promised_for_so_long_or_so_wide_is_found() -> None:
    whole = record(path(60))
    for promised in (
        [],
        parts(path(59)),
        parts(path(60, Window(100, 199))),
        parts(path(60, domain="b")),
    ):
        assert uncarried(whole, promised) == "nobody promised a:x to a:y for all of its path"


def test_a_volume_is_moved_by_all_phases_together_until_it_is_modified() -> None:
    asked = replace(OVER, bend=Bend(volume_bytes=450))
    phases = path(60, Window(100, 150)), path(30, Window(150, 170))
    assert problem(*phases, asked=asked) == ""
    less = problem(phases[0], asked=asked)
    assert less == "its paths move 375 bytes of 450"
    changed = replace(record(path(60), asked=asked), version=2)
    assert uncarried(changed, parts(path(60))) == ""
    away = replace(record(*phases, asked=asked), version=2)
    assert uncarried(away, parts(*phases)) == ""
    less = uncarried(replace(away, paths=phases[:1]), parts(*phases))
    assert less == "its paths to a:y carry 0 bit/s of 60 from 150 to 200 s"


def test_what_was_over_when_the_rest_was_moved_needs_no_promise() -> None:
    over, ahead = path(60, Window(100, 150)), path(60, Window(150, 200))
    bent = replace(OVER, bend=Bend(volume_bytes=60 * 100 // 8))
    moved = replace(record(over, ahead, asked=bent), version=2, updated_ms=150_000)
    assert uncarried(moved, parts(ahead)) == ""
    # Amid its time it is promised still.
    problem = uncarried(replace(moved, updated_ms=149_000), parts(ahead))
    assert problem == "nobody promised a:x to a:y for all of its path"
    assert uncarried(replace(moved, paths=(ahead,)), parts(ahead)) != ""
