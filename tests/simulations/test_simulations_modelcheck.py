"""Every state of the small worlds, the weaker variants, and the command as a user meets it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner, Result

from commands.main import app
from protocol import coordinator, participant
from simulations.modelcheck import run, weaker
from simulations.modelcheck.domain import Domain
from simulations.modelcheck.explore import Explored, Explorer, StatesExceededError, Violation
from simulations.modelcheck.scenarios import (
    BOUNDS,
    FULL,
    ONE,
    SMALL,
    UnknownScenarioError,
    bounds_of,
    chosen,
    domains,
)
from simulations.modelcheck.weakened import entry, patched
from simulations.modelcheck.weaker import WEAKER, search
from simulations.modelcheck.world import Booking, Scenario

TINY = Scenario("tiny", domains(*ONE), (Booking((ONE,)),), instances=1)


def braid(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["simulate", "model-check", *arguments])


@pytest.mark.parametrize("name", SMALL)
def test_the_shipped_rules_keep_their_promises_in_every_state(name: str) -> None:
    explored = Explorer(SMALL[name]).explore()
    assert explored.violation is None, explored.violation.text()
    assert explored.scenario == name
    assert explored.states > 1000


@pytest.mark.parametrize("name", WEAKER)
def test_a_weaker_variant_is_caught(name: str) -> None:
    explored = search(WEAKER[name])
    assert explored.violation is not None
    assert explored.violation.scenario == name
    assert explored.violation.trace[0].startswith(("A prepares plan 1", "B takes over"))
    assert "something" not in explored.violation.trace


@pytest.mark.parametrize("name", ["own-timer", "room", "incomplete", "fence"])
def test_without_its_weakness_the_same_world_is_fine(name: str) -> None:
    assert Explorer(WEAKER[name].scenario).explore().violation is None


def test_a_world_is_searched_the_same_way_every_time() -> None:
    first, second = Explorer(TINY).explore(), Explorer(TINY).explore()
    assert first.states == second.states
    one, two = search(WEAKER["epochs"]), search(WEAKER["epochs"])
    assert one.violation == two.violation


def test_a_trace_begins_at_the_beginning_and_ends_in_what_is_broken() -> None:
    violation = search(WEAKER["room"]).violation
    assert violation is not None
    assert violation.trace == (
        "A prepares plan 1 of t1",
        "A prepares plan 1 of t2",
        "m1 hears Prepare of t1, answers yes to prep of t1 from m1 in epoch 1",
        "m1 hears Prepare of t2, answers yes to prep of t2 from m1 in epoch 1",
    )
    assert violation.text().splitlines()[:2] == [
        "room: m1 holds r1 and r2, it has room for one",
        "  1. A prepares plan 1 of t1",
    ]


def test_a_trace_says_when_something_shows_in_the_end_only() -> None:
    violation = search(WEAKER["own-timer"]).violation
    assert violation is not None
    assert violation.trace[-2] == "the hold of t1 expires at m1"
    assert violation.trace[-1].startswith("nothing fails any more; in the end: t1 is in force")


def test_a_step_that_must_never_be_is_the_last_of_its_trace() -> None:
    violation = search(WEAKER["twice"]).violation
    assert violation is not None
    assert violation.trace[-1] == violation.problem
    assert "was decided ABORT and now UNDECIDED" in violation.problem


def test_the_trace_is_the_shortest() -> None:
    violation = search(WEAKER["tombstone"]).violation
    assert violation is not None
    assert len(violation.trace) == 5


def test_a_search_stops_when_there_are_more_states_than_it_may_have() -> None:
    with pytest.raises(StatesExceededError, match="tiny: more than it may have") as raised:
        Explorer(TINY).explore(states_max=5)
    assert raised.value.states > 5


def test_a_variant_leaves_nothing_behind() -> None:
    before = (
        dict(participant.TABLE),
        dict(participant.WHILE_RECOVERING),
        coordinator.relied_on,
        coordinator.step,
        vars(Domain).copy(),
    )
    for variant in WEAKER.values():
        with variant.put_in():
            pass
    after = (
        dict(participant.TABLE),
        dict(participant.WHILE_RECOVERING),
        coordinator.relied_on,
        coordinator.step,
        vars(Domain).copy(),
    )
    assert before == after


def test_an_entry_is_replaced_or_removed_for_a_while() -> None:
    table = {"a": 1, "b": 2}
    with entry(table, "a", 3), entry(table, "b", None):
        assert table == {"a": 3}
    assert table == {"a": 1, "b": 2}


def test_attributes_come_back_after_an_error() -> None:
    before = Domain.hear
    with pytest.raises(RuntimeError), patched((Domain, "hear", None)):
        raise RuntimeError
    assert Domain.hear is before


def test_names_are_those_that_are_asked_for() -> None:
    assert all(scenario.name == name for name, scenario in FULL.items())
    assert all(variant.name == name for name, variant in WEAKER.items())
    assert set(SMALL) < set(FULL)
    assert set(BOUNDS) == {"small", "full"}


def test_the_scenarios_together_have_everything() -> None:
    every = list(FULL.values())
    assert {len(scenario.domains) for scenario in every} == {1, 2, 3}
    assert {scenario.instances for scenario in every} == {1, 2}
    assert {scenario.orchestrators for scenario in every} == {1, 2}
    specs = [spec for scenario in every for spec in scenario.domains]
    assert {spec.expires for spec in specs} == {True, False}
    assert any(spec.restores and spec.expires for spec in specs)
    bookings = [booking for scenario in every for booking in scenario.bookings]
    assert any(booking.change and booking.cancel for booking in bookings)
    assert any(booking.again for booking in bookings)
    assert any(len(booking.plans) > 1 for booking in bookings)


def test_one_scenario_is_chosen_by_name() -> None:
    assert chosen("small", "three") == (SMALL["three"],)
    assert chosen("full", None) == tuple(FULL.values())
    with pytest.raises(UnknownScenarioError, match="given 'four', possible: reserve, expiry"):
        chosen("small", "four")


def test_bounds_in_words() -> None:
    assert bounds_of(TINY) == "1 orchestrator, 1 instance each, 1 agent, 1 reservation"
    words = bounds_of(FULL["restore-compete-expiry"])
    assert "2 reservations" in words
    assert "instances do not crash" in words
    assert "m1 expires, m1 is restored" in words
    assert bounds_of(FULL["modify-cancel"]).endswith("cancel, modify")
    assert bounds_of(FULL["replan"]).endswith("second plan")
    assert bounds_of(FULL["again"]).endswith("second attempt")


def test_json_tells_exactly_this() -> None:
    done = braid("--only", "three", "--no-seeded", "--json", "--jobs", "1")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert list(found) == ["states", "violations", "seeded", "seconds"]
    assert found["states"] > 1000
    assert found["violations"] == 0
    assert found["seeded"] == {"caught": 0, "of": 0}
    assert found["seconds"] > 0


def test_json_counts_the_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "WEAKER", {name: WEAKER[name] for name in ("room", "fence")})
    done = braid("--only", "three", "--json", "--jobs", "1")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["seeded"] == {"caught": 2, "of": 2}


def test_a_table_shows_scenarios_and_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "WEAKER", {"room": WEAKER["room"]})
    done = braid("--only", "three", "--jobs", "1")
    assert done.exit_code == 0, done.output
    (row,) = [line for line in done.stdout.splitlines() if line.strip().startswith("three")]
    assert "3 agents" in row
    assert row.rstrip().endswith("holds")
    assert "caught in 4 steps" in done.stdout
    assert "weaker variants caught: 1 of 1" in done.stdout


def test_a_violation_is_explained_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    violation = Violation("three", "t1 is lost", ("A does this", "m1 does that"))
    report = run.Report((Explored("three", 7, 0.1, violation),), ())
    monkeypatch.setattr("commands.simulate_model_check.check", lambda *given: report)
    done = braid("--only", "three", "--jobs", "1")
    assert done.exit_code == 1
    assert "VIOLATED" in done.output
    assert "three: t1 is lost\n  1. A does this\n  2. m1 does that" in done.output
    found = json.loads(braid("--only", "three", "--json").stdout)
    assert found["violations"] == 1
    assert found["states"] == 7


def test_a_variant_that_is_not_caught_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    harmless = replace(WEAKER["room"], put_in=patched, scenario=replace(TINY, name="room"))
    monkeypatch.setattr(run, "WEAKER", {"room": harmless})
    done = braid("--only", "three", "--jobs", "1")
    assert done.exit_code == 1
    assert "NOT CAUGHT" in done.output
    assert "not caught: room, an agent holds without looking for room" in done.output


def test_a_variant_with_too_many_states_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weaker, "STATES_MAX", 10)
    report = run.check("small", "three", True, 1)
    assert "epochs" in report.missed
    assert not report.passed


def test_an_unknown_scenario_is_a_usage_error() -> None:
    done = braid("--only", "four")
    assert done.exit_code == 2
    assert "--only: given 'four', possible: reserve, expiry" in done.output


def test_searches_are_counted_and_told() -> None:
    over: list[None] = []
    report = run.check("small", "three", False, 1, lambda: over.append(None))
    assert len(over) == run.count("small", "three", False) == 1
    assert run.count("small", None, True) == len(SMALL) + len(WEAKER)
    assert report.passed
    assert report.states == report.explored[0].states
