"""``braid simulate loaded`` as a user meets it."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from commands.main import app
from simulations.loaded.strategies import SHAPES

KEYS = ["topology", "load", "strategy", "success", "volume", "bound_success", "bound_volume"]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Settings of three domains in a line, as ``braid topology import`` writes them."""
    folder = tmp_path / "line"
    (folder / "agents").mkdir(parents=True)
    for name, others in (("a", "b"), ("b", "ac"), ("c", "b")):
        ports = [
            {"name": other, "remote": f"{other}:{name}", "capacity": "10G", "vlans": "2-9"}
            for other in others
        ]
        own = {"listen": "127.0.0.1:0", "database": "sqlite:///x.db", "insecure": True}
        values = {"domain": name, "backend": "wan", "ports": ports, **own}
        (folder / "agents" / f"{name}.yaml").write_text(yaml.safe_dump(values))
    return folder


def loaded(network: Path, *more: str) -> Result:
    options = ["--topology", str(network), "--runs", "1", "--jobs", "1", "--load", "0.3", *more]
    return CliRunner().invoke(app, ["simulate", "loaded", *options])


def test_json_tells_a_row_for_each_strategy(network: Path) -> None:
    done = loaded(network, "--json", "--seed", "7")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found) == {"rows", "seed", "seconds"}
    assert [row["strategy"] for row in found["rows"]] == list(SHAPES)
    for row in found["rows"]:
        assert list(row) == [*KEYS, "seed", "requests", "fairness"]
        assert (row["topology"], row["load"], row["seed"]) == ("line", 0.3, 7)
        assert 0 < row["success"] <= row["bound_success"] <= 1
        assert len(row["fairness"]) == 4


def test_a_table_shows_each_share_beside_its_bound(network: Path) -> None:
    done = loaded(network, "--strategy", "single_path")
    assert done.exit_code == 0, done.output
    (row,) = [line.split() for line in done.stdout.splitlines() if "single_path" in line]
    assert row[0] == "0.3"
    assert all(cell.endswith("%") for cell in row[3:])
    assert len(row) == 11


def test_rows_and_figure_go_into_files(network: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    table, figure = tmp_path / "rows.csv", tmp_path / "figure.svg"
    done = loaded(network, "--load", "0.4", "--csv", str(table), "--plot", str(figure))
    assert done.exit_code == 0, done.output
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["load"] for row in rows] == ["0.3"] * len(SHAPES) + ["0.4"] * len(SHAPES)
    assert len(rows[0]["fairness"].split()) == 4
    assert "<svg" in figure.read_text()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (["--load", "0"], "--load: given 0, possible: above 0 to 100"),
        (["--load", "nan"], "--load: given nan"),
        (["--strategy", "guess"], "--strategy: given 'guess', possible: single_path"),
        (["--topology", "nowhere.json"], "nowhere.json: cannot be read"),
        (["--csv", "no/such/folder/x.csv"], "does not exist"),
    ],
)
def test_what_is_wrong_is_told_before_the_work(
    network: Path, wrong: list[str], problem: str
) -> None:
    done = loaded(network, "--runs", "10000", *wrong)
    assert done.exit_code == 2
    assert problem in done.stderr


def test_without_distributed_nothing_is_simulated(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = loaded(network, "--runs", "10000", "--dask", "tcp://127.0.0.1:8786")
    assert done.exit_code == 1
    assert "braid-orchestrator[dask]" in done.stderr
