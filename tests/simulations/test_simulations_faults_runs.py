"""Runs of the shipped code under faults: they pass, they repeat, and they are bad enough."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import simulations.faults.campaign as campaigns
from simulations.faults.campaign import Totals, campaign
from simulations.faults.draw import draw
from simulations.faults.plan import Item, Schedule, World, from_json
from simulations.faults.run import Outcome, play, play_all

FILES = sorted((Path(__file__).parent / "faults").glob("*.json"))
ROOT = Path(__file__).parents[2]
SCHEDULES = 30
TRACED = """
import sys
from simulations.faults.draw import draw
from simulations.faults.run import play_all
drawn = [draw(21, n) for n in range(12)]
with_clouds = [schedule for schedule in drawn[4:] if schedule.world.clouds]
remodelled = draw(21, 26)
for outcome in play_all([*drawn[:4], *with_clouds[:2], remodelled], trace=True):
    for line in outcome.trace:
        sys.stdout.write(line + "\\n")
    sys.stdout.write(f"{sorted(outcome.faults.items())} {outcome.violations}\\n")
"""


@pytest.fixture(scope="module")
def totals() -> Totals:
    return campaign(20, 0, SCHEDULES, jobs=1)


def test_a_few_dozen_schedules_violate_nothing(totals: Totals) -> None:
    assert totals.schedules == SCHEDULES
    assert totals.failures == ()


def test_at_least_three_faults_happen_for_each_reservation(totals: Totals) -> None:
    assert totals.reservations >= 3 * SCHEDULES
    assert totals.faults.total() >= 3 * totals.reservations


def test_most_kinds_of_faults_happen_in_a_few_dozen_schedules(totals: Totals) -> None:
    assert {"crash", "cut", "doubled", "gone", "late", "lie", "lost", "pause"} <= set(totals.faults)
    assert {"reset", "restore", "skew", "slow", "write"} <= set(totals.faults)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_went_wrong_once_does_not_again(file: Path) -> None:
    assert play(from_json(file.read_text(encoding="utf-8"))).violations == ()


def test_there_are_such_files() -> None:
    assert len(FILES) >= 5


def traced(hash_seed: str) -> bytes:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", TRACED], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    return done.stdout


def test_another_process_with_other_hashes_does_the_same_byte_for_byte() -> None:
    first, second = traced("1"), traced("2")
    assert first == second
    assert first.count(b"\n") > 400
    assert first.count(b" hears remodelled ") > 0


def test_what_was_played_before_does_not_matter() -> None:
    schedules = [draw(22, number) for number in range(4)]
    alone = [play(schedule, trace=True).trace for schedule in schedules]
    after = [outcome.trace for outcome in play_all([draw(22, 9), *schedules], trace=True)][1:]
    assert alone == after


def test_a_trace_changes_nothing() -> None:
    quiet, traced = play(draw(23, 1)), play(draw(23, 1), trace=True)
    assert quiet.trace == ()
    assert traced.trace != ()
    assert replace(traced, trace=()) == quiet


def test_how_many_processes_play_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "CHUNK", 3)
    one, two = (campaign(24, 5, 5, jobs, "forgets-commits") for jobs in (1, 2))
    assert one == two
    assert [failure.number for failure in one.failures] == sorted(
        failure.number for failure in two.failures
    )
    assert one.failures[0].number >= 5
    assert one.failures[0].schedule == draw(24, one.failures[0].number)


def test_progress_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "CHUNK", 2)
    heard: list[int] = []
    campaign(25, 0, 3, jobs=1, done=heard.append)
    assert heard == [2, 1]


# One fault after another: each does what it is named for ------------------------------------------

ASK = Item("reserve", "a", 1000, word="60 3600 7200 5")


def alone(*items: Item, world: World | None = None) -> Outcome:
    outcome = play(Schedule("alone", world or World(), (ASK, *items)), trace=True)
    assert outcome.violations == ()
    return outcome


def heard(outcome: Outcome) -> list[str]:
    return [line.split(" ", 1)[1] for line in outcome.trace if " hears " in line]


def test_without_faults_a_reservation_succeeds_at_once() -> None:
    outcome = alone()
    assert outcome.faults == {}
    assert outcome.reservations == 1
    (line,) = [line for line in outcome.trace if " hears " in line]
    assert "COMMITTED" in line
    assert float(line.split()[0]) < 2


def test_modify_and_cancel_are_asked_for_when_the_reservation_stands() -> None:
    outcome = alone(Item("modify", "b", 1500, word="90"), Item("cancel", "a", 3000))
    words = " ".join(heard(outcome))
    assert "modified yes" in words
    assert "CANCELLED" in words


def test_three_sites_are_joined_changed_and_given_back() -> None:
    star = Item("reserve", "a", 1000, number=1, word="60 3600 7200 5 star")
    changes = (Item("modify", "b", 1500, number=1, word="90"), Item("cancel", "a", 3000, number=1))
    world = World(south=True)
    outcome = play(Schedule("star", world, (star, *changes)), trace=True)
    assert outcome.violations == ()
    words = " ".join(heard(outcome))
    for word in ("COMMITTED", "modified yes", "CANCELLED"):
        assert word in words
    assert any(line.split()[1:3] == ["south", "writes"] for line in outcome.trace)


def test_requests_about_a_reservation_that_is_not_in_the_schedule_are_left_out() -> None:
    outcome = alone(Item("cancel", "a", 3000, number=7), Item("modify", "a", number=8, word="10"))
    assert len(heard(outcome)) == 1


@pytest.mark.parametrize("kind", ["crash", "pause", "cut", "gone"])
def test_the_other_instance_answers_while_one_is_away(kind: str) -> None:
    outcome = alone(Item(kind, "a", 900, 8000))
    assert outcome.faults == {kind: 1}
    assert any("asks b" in line for line in outcome.trace) or kind == "pause"
    assert any("COMMITTED" in line for line in heard(outcome))


@pytest.mark.parametrize("kind", ["crash", "pause", "cut", "full"])
def test_paths_around_a_domain_that_is_away_are_found(kind: str) -> None:
    outcome = alone(Item(kind, "m1", 500, 9000))
    assert outcome.faults == {kind: 1}
    assert any("COMMITTED" in line for line in heard(outcome))


@pytest.mark.parametrize("kind", ["lost", "late", "doubled"])
def test_a_fault_of_one_message_is_in_the_trace(kind: str) -> None:
    outcome = alone(Item(kind, "a>m1", for_ms=500, number=2), world=World(middle=1))
    assert outcome.faults == {kind: 1}
    assert any(line.endswith(f" {kind}") and " a>m1 2 " in line for line in outcome.trace)
    assert any("COMMITTED" in line for line in heard(outcome))


@pytest.mark.parametrize("word", ["refused", "unknown", "crash before", "crash after"])
@pytest.mark.parametrize("who", ["m1", "a"])
def test_a_fault_of_one_write_is_survived(word: str, who: str) -> None:
    number = 2 if who == "m1" else 6
    outcome = alone(Item("write", who, number=number, word=word), world=World(middle=1))
    assert outcome.faults == {"write": 1}
    assert any(f"{word} {who} {number}" in line for line in outcome.trace)


def test_a_twin_takes_the_database_over() -> None:
    outcome = alone(Item("twin", "m1", 500), Item("twin", "b", 600))
    assert outcome.faults == {"twin": 2}
    assert any("m1.2 starts" in line for line in outcome.trace)
    assert any("m1.1 is dead" in line for line in outcome.trace)


@pytest.mark.parametrize("word", ["told", "silent"])
def test_a_restored_domain_gets_back_what_was_told(word: str) -> None:
    restore = Item("restore", "m1", 3000, 500, 900, word)
    crash = Item("crash", "m1", 2000, 100)
    outcome = alone(crash, restore, world=World(middle=1))
    assert outcome.faults == {"crash": 1, "restore": 1}
    assert any("recovering" in line for line in outcome.trace)
    last = [line for line in outcome.trace if " m1 writes " in line][-1]
    assert last.endswith("COMMITTED")
    assert "recovering" not in last


def test_lies_are_found_out_when_it_comes_to_holding() -> None:
    too_much = Item("reserve", "a", 1000, number=1, word="150 3600 7200 5")
    outcome = alone(too_much, Item("lie", "m1", 500, 9000, 200), Item("lie", "m2", 500, 9000, 0))
    assert outcome.faults == {"lie": 2}


def test_a_wrong_clock_decides_nothing() -> None:
    outcome = alone(
        Item("skew", "a", 100, 9000, 400_000),
        Item("skew", "m1", 100, 9000, -400_000),
        world=World(middle=1, expiring=("m1",)),
    )
    assert outcome.faults == {"skew": 2}


def test_slow_parties_and_broken_connections() -> None:
    outcome = alone(
        Item("slow", "west", 900, 3000, 50), Item("reset", "a>east", 1010), Item("reset", "m2", 1)
    )
    assert outcome.faults == {"slow": 1, "reset": 2}
    assert heard(outcome)


def test_two_orchestrators_share_the_agents() -> None:
    other = Item("reserve", "r", 3000, number=1, word="60 3600 7200 5")
    outcome = alone(other, world=World(middle=1, rival=True))
    states = sorted(line.split(" hears ")[1].split(" ")[0] for line in heard(outcome))
    assert states == ["COMMITTED", "FAILED"]


# CloudNets ----------------------------------------------------------------------------------------

NET = Item("cloudnet", "a", 1000, word="3 3600 30 a:4:4@west b:2:2@east c:2:2 a-b:10 b-c:5")
CLOUDS = World(middle=1, clouds=("east", "west"))


def net_alone(*items: Item, lasting: bool = False) -> Outcome:
    world = replace(CLOUDS, lasting=lasting)
    outcome = play(Schedule("net", world, (NET, *items)), trace=True)
    assert outcome.violations == ()
    return outcome


def states_of(outcome: Outcome, domain: str) -> list[str]:
    """The last states of a domain's parts."""
    last = [line for line in outcome.trace if f" {domain} writes " in line][-1]
    return [word.partition("=")[2] for word in last.split() if "=" in word]


@pytest.mark.parametrize("lasting", [False, True])
def test_a_cloudnet_is_reserved_changed_and_given_back(lasting: bool) -> None:
    more = Item("remodel", "b", 4000, word="a:6:4@west b:2:2@east d:1:1 a-b:20 a-d:5 b-d:1")
    outcome = net_alone(more, lasting=lasting)
    assert outcome.reservations == 1
    words = " ".join(heard(outcome))
    assert "COMMITTED" in words
    assert "remodelled yes" in words
    assert {"RELEASED", "COMMITTED"} <= set(states_of(outcome, "m1"))
    gone = net_alone(more, Item("cancel", "a", 6000), lasting=lasting)
    assert "CANCELLED" in " ".join(heard(gone))
    assert set(states_of(gone, "west")) == {"RELEASED"}


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("kind", ["crash", "pause", "cut", "full", "twin"])
def test_vnodes_run_whatever_becomes_of_their_agent(kind: str, lasting: bool) -> None:
    for at_ms in (1020, 2900, 3100, 5000):
        outcome = net_alone(Item(kind, "west", at_ms, 1500), lasting=lasting)
        assert outcome.faults == {kind: 1}


def test_a_cloudnet_that_is_too_large_fails_and_leaves_nothing() -> None:
    large = Item("cloudnet", "b", 1000, word="3 3600 5 a:8:1 b:8:1 c:8:1 d:8:1 e:8:1")
    outcome = play(Schedule("large", CLOUDS, (large,)), trace=True)
    assert outcome.violations == ()
    assert "FAILED" in heard(outcome)[-1]
    assert "COMMITTED" not in states_of(outcome, "west")
