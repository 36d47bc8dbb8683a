"""``braid simulate faults`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import commands.simulate_faults as command
from commands.main import app
from simulations.faults.draw import draw
from simulations.faults.plan import from_json, to_json

KEYS = ["schedules", "reservations", "faults", "violations", "seconds"]
BUG = ["--bug", "forgets-commits"]


def braid(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["simulate", "faults", "--jobs", "1", *arguments])


def test_json_has_exactly_these_keys() -> None:
    done = braid("--schedules", "3", "--seed", "5", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert list(found) == KEYS
    assert found["schedules"] == 3
    assert found["reservations"] >= 9
    assert found["faults"] >= found["reservations"]
    assert found["violations"] == 0
    assert found["seconds"] > 0


def test_a_table_tells_the_same_and_the_kinds_of_faults() -> None:
    done = braid("--schedules", "3", "--seed", "5")
    assert done.exit_code == 0, done.output
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names[: len(KEYS)] == KEYS
    assert {"crash", "write"} <= set(names[len(KEYS) :])


def test_the_same_seed_counts_the_same() -> None:
    def counted(*more: str) -> dict[str, int]:
        found = json.loads(braid("--schedules", "2", "--json", *more).stdout)
        del found["seconds"]
        return dict(found)

    assert counted("--seed", "8") == counted("--seed", "8")
    assert counted("--seed", "8") != counted("--seed", "9")
    assert counted("--seed", "8") != counted("--seed", "8", "--first", "2")


def test_a_reproduction_is_written_shown_and_replayed(tmp_path: Path) -> None:
    file, trace = tmp_path / "short.json", tmp_path / "trace.txt"
    first = "--schedules", "1", "--seed", "1", "--first", "1"
    done = braid(*first, *BUG, "--out", str(file), "--json")
    assert done.exit_code == 1, done.output
    assert json.loads(done.stdout)["violations"] == 1
    assert "schedule 1 violates:" in done.stderr
    assert file.read_text() in done.stderr
    assert len(from_json(file.read_text()).items) < len(draw(1, 1).items)

    again = braid("--replay", str(file), *BUG, "--trace", str(trace))
    assert again.exit_code == 1
    assert "violates" in again.stderr
    assert "COMMIT told" in trace.read_text()
    assert braid("--replay", str(file)).exit_code == 0


def test_a_trace_of_the_first_schedule(tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    done = braid("--schedules", "1", "--first", "4", "--trace", str(trace))
    assert done.exit_code == 0, done.output
    lines = trace.read_text().splitlines()
    assert lines[-1].endswith("over")
    assert any("fault: " in line for line in lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("{}", "seed: given None, possible: a text"),
        (
            to_json(draw(1, 1)).replace('"kind": "reserve"', '"kind": "resreve"', 1),
            "items[0].kind: given 'resreve', possible: accept, cancel, ",
        ),
    ],
)
def test_a_malformed_file_is_refused_with_the_field(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "broken.json"
    file.write_text(text)
    done = braid("--replay", str(file))
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.output


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = braid("--replay", str(tmp_path / "none.json"))
    assert done.exit_code == 2
    assert "none.json" in done.stderr.replace("\n", "")


def test_an_unknown_bug_is_refused_with_all_names() -> None:
    done = braid("--bug", "none")
    assert done.exit_code == 2
    assert "possible: answers-early" in " ".join(done.stderr.split())


def test_all_cores_are_used_unless_told_otherwise() -> None:
    assert command.JOBS_USUAL >= 1
    assert "--jobs" in CliRunner().invoke(app, ["simulate", "faults", "--help"]).stdout


def test_progress_is_told_on_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "TELL_EVERY_S", 0.0)
    done = braid("--schedules", "2", "--json")
    assert "2 of 2 schedules, " in done.stderr
    assert list(json.loads(done.stdout)) == KEYS
