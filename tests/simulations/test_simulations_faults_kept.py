"""What a reservation becomes against what its owner was promised, from version to version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.events import moved_event, state_event
from orchestrator.records import Change, Reservation, State
from simulations.faults.kept import Kept, told_by
from substrate.model import Bend, Constraints, Criteria, Hop, Path, Window

WINDOW = Window(100, 400)
ASKED = Criteria("a:x", "b:y", 60, WINDOW)
VOLUME = replace(ASKED, bend=Bend(volume_bytes=60 * 100 // 8, max_phases=2), movable=True)
GRANTED_VOLUME = replace(VOLUME, window=Window(100, 200), bend=None)


def path(bps: int = 60, window: Window | None = None, domain: str = "m1") -> Path:
    return Path(bps, 0, (Hop(domain, f"{domain}:a", 7, f"{domain}:b", 7),), window=window)


def record(criteria: Criteria, *paths: Path, **more: object) -> Reservation:
    usual = {"state": State.COMMITTED, "paths": paths or (path(),)}
    made = Reservation("r", "q", criteria, "t1", 0, 50_000)
    return replace(made, **{**usual, **more})  # type: ignore[arg-type]


def broken(asked: Criteria, *records: Reservation) -> str:
    """What is found of the last one; all before are as they should be, and all are told of."""
    kept = Kept()
    first = replace(records[0], state=State.NEGOTIATING, criteria=asked, asked=None, change=None)
    for each in (first, *records[:-1]):
        assert kept.broken(each, all_told(each)) == ""
    return kept.broken(records[-1], all_told(records[-1]))


def all_told(each: Reservation) -> frozenset[tuple[str, int, bool]]:
    return told_by((state_event(each, 0), moved_event(each, 0)))


def changing(criteria: Criteria, moves_for: str = "", switch_s: int | None = None) -> Change:
    return Change("q2", "t2", criteria, 30, 0, moves_for=moves_for, switch_s=switch_s)


def changed(
    before: Reservation,
    criteria: Criteria,
    *paths: Path,
    moves_for: str = "",
    switch_s: int | None = None,
) -> tuple[Reservation, Reservation]:
    """The record with the change, and after it."""
    change = changing(criteria, moves_for, switch_s)
    after = replace(before, criteria=criteria, transaction_id="t2", version=2)
    after = replace(after, paths=paths or before.paths)
    return replace(before, change=change), after


def test_what_was_asked_for_is_granted() -> None:
    assert broken(ASKED, record(ASKED)) == ""


@pytest.mark.parametrize(("placed_s", "found"), [(110, ""), (109, "was granted 290 s")])
def test_what_was_over_when_it_was_placed_need_not_be_granted(placed_s: int, found: str) -> None:
    late = record(replace(ASKED, window=Window(110, 400)), updated_ms=placed_s * 1000)
    assert broken(ASKED, late) == found


@pytest.mark.parametrize(
    ("bend", "granted", "found"),
    [
        (None, replace(ASKED, bandwidth_bps=59), "was granted 59 bit/s"),
        (None, replace(ASKED, source="a:z"), "other criteria"),
        (None, replace(ASKED, movable=True), "other criteria"),
        (None, replace(ASKED, window=Window(100, 399)), "was granted 299 s"),
        (None, replace(ASKED, window=Window(101, 401)), "101 to 401 s, which is outside"),
        (Bend(least_bps=20), replace(ASKED, bandwidth_bps=20), ""),
        (Bend(least_bps=20), replace(ASKED, bandwidth_bps=19), "was granted 19 bit/s"),
        (Bend(least_bps=20), replace(ASKED, bandwidth_bps=61), "was granted 61 bit/s"),
        (Bend(duration_s=100), replace(ASKED, window=Window(300, 400)), ""),
        (Bend(duration_s=100), replace(ASKED, window=Window(301, 401)), "outside"),
        (Bend(duration_s=100), replace(ASKED, window=Window(300, 399)), "was granted 99 s"),
    ],
)
def test_no_more_is_bent_than_was_asked(bend: Bend | None, granted: Criteria, found: str) -> None:
    assert found in broken(replace(ASKED, bend=bend), record(granted))
    assert bool(found) == bool(broken(replace(ASKED, bend=bend), record(granted)))


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        ([path(60, Window(100, 200))], ""),
        ([path(30, Window(100, 200)), path(30, Window(200, 300))], ""),
        ([path(30, Window(100, 200)), path(30, Window(199, 300))], "two phases at one time"),
        ([path(61, Window(100, 200))], "is carried at 61 bit/s of at most 60"),
        ([path(9, Window(s, s + 10)) for s in (100, 120, 140)], "has 3 phases of at most 2"),
        ([path(60, Window(90, 190))], "a phase outside"),
    ],
)
def test_a_volume_keeps_its_limits(paths: list[Path], found: str) -> None:
    problem = broken(VOLUME, record(GRANTED_VOLUME, *paths))
    assert found in problem
    assert bool(found) == bool(problem)


def test_a_modify_is_what_it_asked_for() -> None:
    before = record(ASKED)
    more = replace(ASKED, bandwidth_bps=70)
    assert broken(ASKED, before, *changed(before, more)) == ""
    wished, after = changed(before, more)
    less = replace(after, criteria=replace(ASKED, bandwidth_bps=69))
    assert broken(ASKED, before, wished, less) == "is not what its Modify asked for"
    assert broken(ASKED, before, after) == "has a version that nobody asked for"
    silently = replace(before, paths=(path(domain="m2"),))
    assert broken(ASKED, before, silently) == "is something else without a new version"


def test_paths_are_left_at_the_switch_and_not_before() -> None:
    before = record(ASKED)
    away = replace(ASKED, constraints=Constraints(avoid_domains=("m1",)))
    old, new = path(window=Window(100, 230)), path(60, Window(170, 400), "m2")
    assert broken(ASKED, before, *changed(before, away, old, new, switch_s=200)) == ""
    late = replace(old, window=Window(100, 231))
    problem = broken(ASKED, before, *changed(before, away, late, new, switch_s=200))
    assert problem == "crosses m1 after its switch"
    soon = replace(old, window=Window(100, 199))
    problem = broken(ASKED, before, *changed(before, away, soon, new, switch_s=200))
    assert problem == "leaves its paths before its switch"
    at_once = broken(ASKED, before, *changed(before, away))
    assert at_once == "crosses m1 after its switch"


def test_what_makes_room_must_be_movable_and_stay_what_it_is() -> None:
    movable = replace(ASKED, movable=True)
    before = record(movable)
    there = path(domain="m2")
    assert broken(movable, before, *changed(before, movable, there, moves_for="o")) == ""
    fixed = record(ASKED)
    problem = broken(ASKED, fixed, *changed(fixed, ASKED, there, moves_for="o"))
    assert problem == "was moved, which its owner did not allow"
    later = replace(movable, window=Window(110, 410))
    problem = broken(movable, before, *changed(before, later, there, moves_for="o"))
    assert problem == "was moved to other criteria"
    wished, after = changed(before, movable, there, moves_for="o")
    begun = replace(after, updated_ms=100_000)
    assert broken(movable, before, wished, begun) == "was moved when it had begun"


SLIDES = replace(ASKED, bend=Bend(duration_s=100), movable=True)


@pytest.mark.parametrize(
    ("window", "found"),
    [
        (Window(100, 200), ""),
        (Window(300, 400), ""),
        (Window(301, 401), "was moved to 301 to 401 s, which is outside"),
        (Window(99, 199), "was moved to 99 to 199 s, which is outside"),
        (Window(200, 299), "was moved to last 99 s"),
        (Window(60, 160), "was moved to a time that is over"),
    ],
)
def test_what_slides_is_moved_within_its_window_as_long_as_it_was(
    window: Window, found: str
) -> None:
    rigid = replace(SLIDES, bend=None)
    before = record(replace(rigid, window=Window(200, 300)), updated_ms=60_000)
    moved = changed(before, replace(rigid, window=window), path(domain="m2"), moves_for="o")
    assert broken(SLIDES, before, *moved) == found
    wider = replace(rigid, window=Window(300, 400), bandwidth_bps=61)
    moved = changed(before, wider, path(61), moves_for="o")
    assert broken(SLIDES, before, *moved) == "was moved to other criteria"


def test_what_slid_and_was_modified_keeps_its_time() -> None:
    rigid = replace(SLIDES, bend=None, window=Window(200, 300))
    wished, after = changed(record(rigid), replace(rigid, bandwidth_bps=50))
    later = replace(after.criteria, window=Window(300, 400))
    opened = replace(after, change=replace(changing(later, "o"), transaction_id="t3"))
    moved = replace(after, criteria=later, transaction_id="t3", version=3)
    problem = broken(SLIDES, record(rigid), wished, after, opened, moved)
    assert problem == "was moved to other criteria"


def test_of_a_volume_that_has_begun_only_the_future_is_moved() -> None:
    before = record(GRANTED_VOLUME, path(60, Window(100, 200)))
    split = path(60, Window(100, 150)), path(60, Window(200, 250), "m2")
    whole = replace(GRANTED_VOLUME, window=Window(100, 250))
    wished, after = changed(before, whole, *split, moves_for="o")
    assert broken(VOLUME, before, wished, replace(after, updated_ms=150_000)) == ""
    problem = broken(VOLUME, before, wished, replace(after, updated_ms=151_000))
    assert problem == "was moved in what it had carried already"
    late = replace(split[1], window=Window(360, 410))
    until = replace(whole, window=Window(100, 410))
    wished, after = changed(before, until, split[0], late, moves_for="o")
    assert "outside" in broken(VOLUME, before, wished, replace(after, updated_ms=140_000))


def test_a_volume_that_was_modified_is_none_any_more() -> None:
    before = record(GRANTED_VOLUME, path(60, Window(100, 200)))
    less = replace(GRANTED_VOLUME, bandwidth_bps=50)
    wished, after = changed(before, less, path(50, Window(100, 200)))
    longer = replace(less, window=Window(100, 300), bandwidth_bps=25)
    opened = replace(after, change=replace(changing(longer, "o"), transaction_id="t3"))
    moved = replace(after, criteria=longer, transaction_id="t3", version=3)
    problem = broken(VOLUME, before, wished, after, opened, moved)
    assert problem == "was moved to other criteria"


def test_owners_are_told_of_every_version() -> None:
    movable = replace(ASKED, movable=True)
    before = record(movable)
    kept = Kept()
    kept.broken(replace(before, state=State.NEGOTIATING), frozenset())
    assert kept.broken(before, frozenset()) == "has version 1, of which nobody is told"
    wished, after = changed(before, movable, path(domain="m2"), moves_for="o")
    kept.broken(wished, frozenset())
    told = told_by([state_event(after, 0)])
    assert kept.broken(after, told) == "has version 2, of which nobody is told"


def test_what_is_over_is_not_looked_at() -> None:
    before = record(ASKED)
    gone = replace(before, state=State.CANCELLED, paths=())
    assert broken(ASKED, before, gone) == ""
