"""Bugs put into the shipped code are found, and their schedules made short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulations.faults.bugs import BUGS
from simulations.faults.campaign import Failure, fault_of, kind_of, play_with, shortest
from simulations.faults.draw import draw
from simulations.faults.patching import patched
from simulations.faults.plan import Item, Schedule, World
from simulations.faults.shrink import SHORT_MS, shrink

MOST = 200
QUICK = {
    "answers-early": 7,
    "checks-first": 24,
    "drops-holds": 26,
    "forgets-commits": 0,
    "forgets-memory": 80,
    "halves-vlinks": 1,
    "ignores-fences": 0,
    "moves-all": 22,
    "moves-late": 8,
    "moves-unsaid": 0,
    "releases-once": 4,
    "releases-uncarried": 0,
    "runs-holds": 4,
    "runs-on": 0,
    "slides-out": 18,
    "slides-shorter": 18,
    "stops-unwritten": 2,
    "sweeps-all": 16,
    "takes-at-once": 2,
    "takes-twice": 9,
}
"""Where to begin to look, so that it does not take long."""


VOLUME = Item("reserve", "a", 1000, word="40 20000 23600 30 volume movable")
WANTS_IT = Item("reserve", "a", 5000, number=1, word="90 20000 23600 30 via")
SOON = Item("reserve", "a", 1000, word="40 40 100 30")
LATE = tuple(Item("late", "a>m1", for_ms=8000, number=number) for number in range(3, 8))
"""Every Commit, by longer than holds there last."""
PREPS_LATE = tuple(Item("late", "a>m1", for_ms=3000, number=number) for number in range(2, 7))
"""Every ReservationPrep, so that those who hold already ask what became of it."""
BY_HAND = {
    "answers-unwritten": (Item("reserve", "a", 1000, word="40 40 100 30 via"), *PREPS_LATE),
    "forgets-changes": (
        VOLUME,
        Item("modify", "a", 2000, word="50"),
        Item("modify", "a", 3000, word="350"),
        WANTS_IT,
    ),
    "forgets-to-put-back": (
        Item("cloudnet", "b", 639, word="1 7200 5 a:2:1@east b:2:2@west c:2:1@east a-b:5"),
        # East has no host with so much free beside what stands by.
        Item("remodel", "a", 3328, word="a:2:1@west b:8:16@east c:2:1@west a-b:5"),
    ),
    "moves-less": (VOLUME, WANTS_IT),
    "configures-nothing": (SOON,),
    "keeps-the-old": (SOON, Item("migrate", "b", 45_000, word="m1")),
    "takes-away-at-once": (
        Item("cloudnet", "a", 1000, word="2 7200 30 a:1:1@east b:1:1@west a-b:1"),
        Item("remodel", "a", 5000, word="b:1:1@west c:1:1@east b-c:1"),
        # Every Commit of the change.
        *(Item("late", "a>m1", for_ms=8000, number=number) for number in range(6, 10)),
    ),
    "takes-not-yet-for-never": (
        Item("cloudnet", "a", 1000, word="3 7200 5 a:1:1@west b:1:1@east a-b:1"),
        Item("remodel", "a", 2920, word="a:1:1@east b:1:1@east a-b:1"),
    ),
    "tells-early": (Item("reserve", "a", 1000, word="40 40 100 30 via"), *LATE),
}
"""Where it would take long to draw what shows it."""
CALM = World(last_s=120)
WORLDS = {
    "answers-unwritten": replace(CALM, middle=1),
    "forgets-to-put-back": World(middle=1, clouds=("east", "west"), hosts=2),
    "takes-away-at-once": World(
        middle=1, expiring=("m1",), hold_timeout_s=2, clouds=("east", "west"), lasting=True
    ),
    "takes-not-yet-for-never": World(middle=1, clouds=("east", "west"), lasting=True),
    "tells-early": replace(CALM, middle=1, expiring=("m1",), hold_timeout_s=2),
}


def first_failure(bug: str) -> Failure:
    for number in range(QUICK[bug], QUICK[bug] + MOST):
        outcome = play_with(draw(1, number), bug)
        if outcome.violations:
            return Failure(number, outcome.schedule, outcome.violations)
    raise AssertionError(f"{bug} is not found in {MOST} schedules")


@pytest.mark.parametrize("bug", QUICK)
def test_a_bug_is_found(bug: str) -> None:
    failure = first_failure(bug)
    assert play_with(failure.schedule).violations == ()
    assert play_with(failure.schedule, bug).violations == failure.violations


@pytest.mark.parametrize("bug", BY_HAND)
def test_a_bug_is_found_in_a_schedule_by_hand(bug: str) -> None:
    # How long things take differs by seed, and some must meet within milliseconds.
    schedules = [Schedule(f"hand {n}", WORLDS.get(bug, CALM), BY_HAND[bug]) for n in range(8)]
    assert any(play_with(schedule, bug).violations for schedule in schedules)
    assert [play_with(schedule).violations for schedule in schedules] == [()] * len(schedules)


def test_a_short_reproduction_still_fails_with_the_bug_only() -> None:
    failure = first_failure("forgets-commits")
    short = shortest(failure, "forgets-commits")
    assert len(short.items) < len(failure.schedule.items) / 2
    found = play_with(short, "forgets-commits").violations
    assert {kind_of(each) for each in found} & {kind_of(each) for each in failure.violations}
    assert play_with(short).violations == ()


def test_every_bug_is_taken_out_again() -> None:
    before = play_with(draw(1, 3), trace=True)
    for bug in BUGS:
        with fault_of(bug):
            pass
    assert play_with(draw(1, 3), trace=True) == before


def test_a_patch_is_undone_even_after_an_error() -> None:
    class Thing:
        word = "before"

    def used() -> None:
        with patched(Thing, "word", "after"):
            assert Thing.word == "after"
            raise KeyError

    with pytest.raises(KeyError):
        used()
    assert Thing.word == "before"


def test_a_patch_that_cannot_be_called_as_what_it_replaces_is_refused() -> None:
    class Thing:
        def copy(self, name: str, *, last: bool) -> None:
            """Replaced."""

    def other(self: Thing, name: str) -> None:
        raise AssertionError(name)

    with pytest.raises(TypeError, match="last"), patched(Thing, "copy", other):
        pass


def test_every_bug_says_which_rule_it_breaks() -> None:
    assert len(BUGS) >= 10
    assert all(bug.breaks.startswith("rule") for bug in BUGS.values())


def test_a_violation_without_names_and_numbers() -> None:
    assert kind_of("m1 does not hold 1.2.3/4.5.6, of which success was told") == (
        "does not hold of which success was told"
    )
    assert kind_of("in the end: 100.1.2 is not settled: COMMIT") == (
        "in the end: is not settled: COMMIT"
    )


# The shrinker alone ------------------------------------------------------------------------------

ITEMS = tuple(Item("crash", "a", at_ms=100 * n, for_ms=3200) for n in range(32))


def test_what_is_not_needed_is_left_out() -> None:
    needed = {ITEMS[3], ITEMS[17], ITEMS[29]}
    schedule = Schedule("s", World(), ITEMS)

    def fails(candidate: Schedule) -> bool:
        times = {item.at_ms for item in candidate.items}
        return {item.at_ms for item in needed} <= times

    short = shrink(schedule, fails)
    assert [item.at_ms for item in short.items] == [300, 1700, 2900]
    assert {item.for_ms for item in short.items} == {SHORT_MS}


def test_a_world_is_made_smaller_where_that_still_fails() -> None:
    world = World(blind=("m1",), expiring=("m2",), rival=True)
    schedule = Schedule("s", world, ITEMS[:2])
    assert shrink(schedule, lambda _: True).world == World()
    kept = shrink(schedule, lambda candidate: bool(candidate.world.expiring))
    assert kept.world == World(expiring=("m2",))


def test_a_world_keeps_the_rival_that_items_speak_of() -> None:
    schedule = Schedule("s", World(rival=True), (Item("crash", "r"),))

    def fails(candidate: Schedule) -> bool:
        return len(candidate.items) == 1

    assert shrink(schedule, fails).world.rival


def test_it_ends_after_so_many_trials() -> None:
    trials = 0

    def fails(candidate: Schedule) -> bool:
        nonlocal trials
        trials += 1
        return len(candidate.items) >= 20

    short = shrink(Schedule("s", World(), ITEMS), fails, trials=15)
    assert trials == 15
    assert 20 <= len(short.items) <= 32
