"""Schedules: drawn the same every time, written to files, and read again or refused by field."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from simulations.faults.draw import LAST_MS, REQUESTS, draw
from simulations.faults.plan import (
    KINDS,
    Item,
    PlanError,
    Schedule,
    World,
    from_json,
    problem_of,
    to_json,
)

MANY = 300


def file(**changes: Any) -> str:
    """A file that is right, but for the changes."""
    item = {"kind": "reserve", "who": "a", "at_ms": 500, "word": "10 3600 7200 5"}
    return json.dumps({"seed": "1.0", "world": {}, "items": [item], **changes})


def test_the_same_numbers_draw_the_same_schedule() -> None:
    assert [draw(3, n) for n in range(20)] == [draw(3, n) for n in range(20)]
    assert draw(3, 1) != draw(3, 2)
    assert draw(3, 1).items != draw(4, 1).items


def test_what_is_drawn_can_be_written_and_read() -> None:
    for number in range(MANY):
        schedule = draw(7, number)
        assert from_json(to_json(schedule)) == schedule


def test_a_file_has_one_item_a_line_and_leaves_out_what_is_usual() -> None:
    schedule = Schedule("s", World(middle=3), (Item("cancel", "b"), Item("twin", "m3", 5)))
    lines = to_json(schedule).splitlines()
    assert lines[0] == '{"seed": "s", "world": {"middle": 3}, "items": ['
    assert lines[1] == '  {"kind": "cancel", "who": "b"},'
    assert lines[2] == '  {"kind": "twin", "who": "m3", "at_ms": 5}'


def test_every_kind_of_item_is_drawn_and_means_something() -> None:
    schedules = [draw(11, number) for number in range(MANY)]
    seen = Counter(item.kind for schedule in schedules for item in schedule.items)
    assert set(seen) == set(KINDS)
    for schedule in schedules:
        assert [problem_of(item, schedule.world) for item in schedule.items if item.kind] == [
            "" for _ in schedule.items
        ]


def test_more_than_three_faults_are_planned_for_each_reservation() -> None:
    schedules = [draw(12, number) for number in range(MANY)]
    reservations = sum(len(schedule.of("reserve")) for schedule in schedules)
    faults = sum(len([i for i in s.items if i.kind not in REQUESTS]) for s in schedules)
    assert faults > 4 * reservations


def test_every_world_is_drawn() -> None:
    worlds = [draw(13, number).world for number in range(MANY)]
    assert {world.middle for world in worlds} == {1, 2, 3}
    for attribute in ("blind", "expiring", "rival", "south"):
        share = sum(bool(getattr(world, attribute)) for world in worlds) / MANY
        assert 0.1 < share < 0.9, attribute


def test_where_there_is_a_third_site_some_requests_lead_there_too() -> None:
    schedules = [draw(15, number) for number in range(MANY)]
    for schedule in schedules:
        stars = [item for item in schedule.of("reserve") if "star" in item.word.split()]
        assert schedule.world.south or not stars
    south = [item for s in schedules if s.world.south for item in s.of("reserve")]
    share = sum("star" in item.word.split() for item in south) / len(south)
    assert 0.2 < share < 0.9


def test_some_requests_compete_and_some_concern_what_is_there_already() -> None:
    schedules = [draw(14, number) for number in range(MANY)]
    together = 0
    for schedule in schedules:
        times = [item.at_ms for item in schedule.of("reserve")]
        together += len(times) - len(set(times))
        assert all(0 <= at_ms <= LAST_MS or schedule.world.last_s for at_ms in times)
    assert together > MANY
    assert sum(len(schedule.of("modify", "cancel")) for schedule in schedules) > MANY
    migrations = [item for schedule in schedules for item in schedule.of("migrate")]
    assert len(migrations) > MANY
    assert {len(item.word.split()) for item in migrations} == {1, 2}


def test_only_and_of_choose_items() -> None:
    schedule = draw(1, 0)
    requests = schedule.of("reserve", "modify", "cancel")
    assert schedule.only(requests).items == requests
    assert schedule.only(requests).world == schedule.world
    assert schedule.only(()).of("reserve") == ()


def test_a_rival_has_an_instance_of_its_own() -> None:
    assert World().instances == ("a", "b")
    world = World(rival=True)
    assert world.instances == ("a", "b", "r")
    assert world.orchestrator_of("r") != world.orchestrator_of("a") == world.orchestrator_of("b")
    assert World(middle=1).domains == ("east", "m1", "west")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[]", "the file: given [], possible: an object"),
        (file(seed=3), "seed: given 3, possible: a text"),
        (file(more=1), "more: possible: seed, world, items"),
        (file(world=[]), "world: given [], possible: an object"),
        (file(world={"midle": 2}), "world.midle: possible: middle, blind"),
        (file(world={"middle": "2"}), "world.middle: given '2', possible: a whole number"),
        (file(world={"rival": 1}), "world.rival: given 1, possible: true or false"),
        (file(world={"blind": "m1"}), "world.blind: given 'm1', possible: a list"),
        (file(items={}), "items: given {}, possible: a list"),
        (file(items=["crash"]), "items[0]: given 'crash', possible: an object"),
        (file(items=[{"who": "a"}]), "items[0].kind: missing"),
        (file(items=[{"kind": "crash"}]), "items[0].who: missing"),
        (file(items=[{"kind": "crush", "who": "a"}]), "items[0].kind: given 'crush', possible: "),
        (file(items=[{"kind": "crash", "who": "m9"}]), "items[0].who: given 'm9', possible: east"),
        (file(items=[{"kind": "crash", "who": "r"}]), "items[0].who: given 'r'"),
        (file(items=[{"kind": "full", "who": "a"}]), "items[0].who: given 'a'"),
        (file(items=[{"kind": "lost", "who": "a>b"}]), "items[0].who: given 'a>b'"),
        (
            file(items=[{"kind": "crash", "who": "a", "at_ms": -1}]),
            "items[0].at_ms: given -1, possible: 0 or more",
        ),
        (
            file(items=[{"kind": "crash", "who": "a", "at_ms": 1.5}]),
            "items[0].at_ms: given 1.5, possible: a whole number",
        ),
        (
            file(items=[{"kind": "crash", "who": "a", "colour": "red"}]),
            "items[0].colour: possible: kind, who, at_ms, for_ms, number, word",
        ),
        (
            file(items=[{"kind": "reserve", "who": "a", "word": "10 5"}]),
            "items[0].word: given '10 5', possible: GBPS START END TIMEOUT",
        ),
        (
            file(items=[{"kind": "write", "who": "a", "word": "lost"}]),
            "items[0].word: given 'lost', possible: refused|unknown|crash before|crash after",
        ),
        (
            file(items=[{"kind": "crash", "who": "a"}, {"kind": "twin", "who": "a", "word": "x"}]),
            "items[1].word: given 'x', possible: none",
        ),
    ],
)
def test_a_file_that_is_no_schedule_is_refused_by_field(text: str, words: str) -> None:
    with pytest.raises(PlanError) as caught:
        from_json(text)
    assert str(caught.value).startswith(words)


def test_a_file_that_is_right_is_read() -> None:
    assert from_json(file()).items == (Item("reserve", "a", 500, word="10 3600 7200 5"),)
    world = {"middle": 1, "blind": ["m1"], "rival": True}
    assert from_json(file(world=world)).world == World(middle=1, blind=("m1",), rival=True)


def test_some_schedules_have_what_may_be_moved_and_what_wants_its_place() -> None:
    schedules = [draw(16, number) for number in range(MANY)]
    words = [[set(item.word.split()) for item in s.of("reserve")] for s in schedules]
    crowded = [
        any("movable" in w for w in each) and any("via" in w for w in each) for each in words
    ]
    assert 0.2 < sum(crowded) / len(schedules) < 0.9
