"""The report of a chaos run, for people and for programs."""

from __future__ import annotations

from pathlib import Path

from tools.chaos_checks import Asked, Findings
from tools.chaos_load import Ledger
from tools.chaos_report import Report, takeovers


def report(*violations: str) -> Report:
    ledger = Ledger(asked={"u1-1": Asked("u1-1")})
    ledger.heard.update({"committed": 3, "failed": 2, "cancelled": 1, "modified": 4})
    ledger.errors["Reserve UNAVAILABLE"] = 9
    ledger.turned_away["Reserve NOT_FOUND"] = 5
    made = Report(7, seconds=61.26, resolved_s=4.0, ledger=ledger)
    made.kills.update({"west": 2, "m1": 1})
    made.findings = Findings(list(violations), [])
    return made


def test_programs_get_every_count() -> None:
    found = report().counts()
    assert found == {
        "kills": 3,
        "reservations": 1,
        "committed": 3,
        "failed": 2,
        "cancelled": 1,
        "modified": 4,
        "unchanged": 0,
        "checks": 0,
        "violations": 0,
        "unresolved": 0,
        "takeovers": 0,
        "resolved_s": 4.0,
        "seconds": 61.3,
        "seed": 7,
        "details": [],
    }


def test_a_violation_is_counted_named_and_not_sound() -> None:
    assert report().sound
    made = report("west: lost")
    assert not made.sound
    assert made.counts()["violations"] == 1
    assert made.counts()["details"] == ["west: lost"]
    assert made.text().endswith("\n  west: lost")


def test_people_read_who_was_killed_and_what_came_of_it() -> None:
    text = report().text()
    assert "seed 7, 61 s" in text
    assert "m1 1, west 2" in text
    assert "3 committed, 2 refused, 1 cancelled" in text
    rows = {line[:12].rstrip(): line[12:].split() for line in text.splitlines()}
    assert rows["asked again"] == ["9", "Reserve", "UNAVAILABLE", "9"]
    assert rows["turned away"] == ["5", "Reserve", "NOT_FOUND", "5"]
    assert "all resolved after 4 s" in text


def test_what_stays_open_is_not_sound() -> None:
    made = report()
    made.resolved_s = None
    made.findings = Findings([], ["request u1-1 has no answer"])
    assert not made.sound
    assert "all resolved never" in made.text()


def test_take_overs_are_counted_in_the_logs(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(
        '--- 10:00:00 orchestrator-a: start 1\n{"event": "taken over", "reservations": 1}\n'
        '{"event": "domain is up"}\n[]\nTraceback\n{"event": "taken over"}\n{"event": "tak'
    )
    assert takeovers([log, log]) == 4
