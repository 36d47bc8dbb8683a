"""``braid simulate embedding`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from commands.main import app

SCENARIO = {
    "p": {"n": 3, "cpu": [10, 10, 10], "edges": [[0, 1, 10], [1, 2, 10]]},
    "v": [
        {"n": 2, "cpu": [5, 5], "edges": [[0, 1, 6]], "arrival": at, "lifetime": 10}
        for at in range(4)
    ],
}


def embedding(*options: str) -> Result:
    return CliRunner().invoke(app, ["simulate", "embedding", *options])


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    file = tmp_path / "small.json"
    file.write_text(json.dumps(SCENARIO))
    return file


def test_json_has_what_is_promised(scenario: Path) -> None:
    done = embedding("--scenario", str(scenario), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    shared = ["acceptance", "revenue_to_cost", "ms_p50", "ms_p99"]
    assert list(found) == [*shared, "proven_share", "baselines"]
    assert (found["acceptance"], found["revenue_to_cost"]) == (0.5, 1.0)
    assert found["proven_share"] == 0.5
    assert 0 < found["ms_p50"] <= found["ms_p99"]
    assert list(found["baselines"]) == ["grc", "nrm"]
    for baseline in found["baselines"].values():
        assert list(baseline) == shared


def test_a_table_shows_braid_beside_the_baselines() -> None:
    drawn = ("--substrate", "fat-tree-4", "--requests", "20", "--vnodes", "4", "--rate", "1")
    done = embedding(*drawn)
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows if row and row[0] in {"braid", "grc", "nrm"}] == [
        "braid",
        "grc",
        "nrm",
    ]
    assert "20 requests" in done.stdout


def test_the_figure_goes_into_a_file(scenario: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    done = embedding("--scenario", str(scenario), "--plot", str(tmp_path / "figure.svg"))
    assert done.exit_code == 0, done.output
    assert "<svg" in (tmp_path / "figure.svg").read_text()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (["--objective", "beauty"], "--objective: given 'beauty', possible: cost, energy"),
        (["--rate", "0"], "--rate: given 0, possible: above 0"),
        (["--lifetime", "nan"], "--lifetime: given nan"),
        (["--time-limit", "-1"], "--time-limit: given -1, possible: 0 to 3600"),
        (["--substrate", "fat-tree-5"], "substrate: given 'fat-tree-5', possible: fat-tree-K"),
        (["--substrate", "nowhere.json"], "nowhere.json: cannot be read"),
        (["--scenario", "nowhere.json"], "nowhere.json: cannot be read"),
        (["--scenario", "x.json", "--rate", "1"], "--rate: not together with --scenario"),
        (["--plot", "no/such/folder/x.png"], "does not exist"),
    ],
)
def test_what_is_wrong_is_told_before_the_work(wrong: list[str], problem: str) -> None:
    done = (
        embedding("--requests", "100000", *wrong)
        if "--scenario" not in wrong
        else embedding(*wrong)
    )
    assert done.exit_code == 2
    assert problem in done.stderr


def test_a_wrong_scenario_names_the_field(scenario: Path) -> None:
    scenario.write_text(json.dumps(SCENARIO).replace("6]]", "-6]]", 1))
    done = embedding("--scenario", str(scenario))
    assert done.exit_code == 2
    assert "v.0.edges.0.2: Input should be greater than or equal to 0; given -6" in done.stderr
