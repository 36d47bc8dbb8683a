"""``braid simulate`` and ``braid topology import`` as a user meets them."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agents.settings import load_settings
from commands.main import app

SMALL = ["--runs", "1", "--requests", "4", "--jobs", "1"]
BANDWIDTHS = ["reservableIngressBw", "reservableEgressBw"]


def braid(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_success_rate_as_json_tells_rows_seed_and_seconds() -> None:
    done = braid("simulate", "success-rate", *SMALL, "--seed", "5", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert set(found) == {"rows", "seed", "seconds"}
    assert found["seed"] == 5
    assert found["seconds"] > 0
    assert len(found["rows"]) == 18
    for row in found["rows"]:
        assert list(row) == ["domains", "visible", "strategy", "success_rate", "requests"]
        assert row["requests"] == 4
        assert row["success_rate"] in (0, 0.25, 0.5, 0.75, 1)


def test_the_seed_decides() -> None:
    def rows(seed: str) -> object:
        done = braid("simulate", "two-domains", *SMALL, "--seed", seed, "--json")
        return json.loads(done.stdout)["rows"]

    assert rows("5") == rows("5")
    assert rows("5") != rows("6")


def test_a_table_shows_the_formula_beside_each_rate() -> None:
    done = braid("simulate", "success-rate", *SMALL)
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    (row,) = [line for line in lines if line[:3] == ["4", "1", "partial_offers"]]
    assert row[4] == "85.93%"
    assert row[-1] == "pp"


def test_two_domains_as_a_table() -> None:
    done = braid("simulate", "two-domains", *SMALL)
    assert done.exit_code == 0, done.output
    assert "renet1 + renet2" in done.stdout
    assert "83.33%" in done.stdout


def test_rows_go_into_a_csv_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    done = braid("simulate", "two-domains", *SMALL, "--json", "--csv", str(file))
    assert done.exit_code == 0, done.output
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["networks"] for row in rows] == ["renet1", "renet2", "renet1 renet2"]
    told = json.loads(done.stdout)["rows"]
    assert [float(row["success_rate"]) for row in rows] == [row["success_rate"] for row in told]


@pytest.mark.parametrize("which", ["success-rate", "two-domains"])
def test_the_figure_is_drawn(tmp_path: Path, which: str) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    file = tmp_path / "figure.png"
    done = braid("simulate", which, *SMALL, "--plot", str(file))
    assert done.exit_code == 0, done.output
    assert file.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_nothing_is_simulated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    many = ["--runs", "100000", "--requests", "100000"]
    done = braid("simulate", "success-rate", *many, "--plot", str(tmp_path / "x.png"))
    assert done.exit_code == 1
    assert "braid-orchestrator[simulations]" in done.stderr


@pytest.mark.parametrize("option", ["--csv", "--plot"])
def test_a_folder_that_is_not_there_is_told_before_the_work(tmp_path: Path, option: str) -> None:
    many = ["--runs", "100000", "--requests", "100000"]
    done = braid("simulate", "success-rate", *many, option, str(tmp_path / "no" / "x"))
    assert done.exit_code == 2
    assert "does not exist" in done.stderr


@pytest.mark.parametrize("wrong", [("--runs", "0"), ("--requests", "-1"), ("--jobs", "0")])
def test_wrong_numbers_are_refused(wrong: tuple[str, str]) -> None:
    assert braid("simulate", "success-rate", *wrong).exit_code == 2


def topology(folder: Path) -> Path:
    def port(urn: str, kind: str, last_vlan: int) -> dict[str, object]:
        vlans = [{"floor": 2, "ceiling": last_vlan}] if last_vlan else []
        values: dict[str, object] = {"urn": urn, "capabilities": [kind], "reservableVlans": vlans}
        return {**values, **dict.fromkeys(BANDWIDTHS, 10_000)}

    def device(name: str) -> dict[str, object]:
        link, user = port(f"{name}:1/1", "MPLS", 4095), port(f"{name}:2/1", "EDGE", 4095)
        return {"urn": name, "ports": [link, user, port(f"{name}:3/1", "EDGE", 0)]}

    a, z = ({"device": name, "port": f"{name}:1/1"} for name in "pq")
    file = folder / "topology.json"
    adjacencies = [{"a": a, "z": z}]
    file.write_text(json.dumps({"devices": [device("p"), device("q")], "adjcies": adjacencies}))
    return file


def test_import_writes_settings_and_tells_what_did_not_fit(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = braid(
        "topology", "import", "esnet", str(topology(tmp_path)), "--out", str(out), "--insecure"
    )
    assert done.exit_code == 0, done.output
    assert "2 domains with 4 ports, 2 of them to other domains" in done.stdout
    assert "2 x port left out: it has no reservable VLAN (untagged): p:3/1, q:3/1" in done.stdout
    assert load_settings(out / "agents" / "p.yaml").listen == "127.0.0.1:7101"
    assert load_settings(out / "agents" / "q.yaml").listen == "127.0.0.1:7102"


def test_import_as_json(tmp_path: Path) -> None:
    file, out = topology(tmp_path), tmp_path / "out"
    done = braid("topology", "import", "esnet", str(file), "--out", str(out), "--json")
    found = json.loads(done.stdout)
    assert [Path(name).name for name in found["files"]] == ["p.yaml", "q.yaml", "orchestrator.yaml"]
    assert found["remarks"] == [
        {
            "reason": "port left out: it has no reservable VLAN (untagged)",
            "names": ["p:3/1", "q:3/1"],
        }
    ]


@pytest.mark.parametrize(
    ("format_", "text", "problem"),
    [
        ("esnet", "not json", "is not JSON"),
        ("atlanticwave", None, "it looks like esnet"),
        ("esnet", '{"devices": [], "adjcies": []}', "holds no domain that can be used"),
        ("gml", None, "possible are atlanticwave, esnet"),
    ],
)
def test_import_of_a_wrong_file_says_why(
    tmp_path: Path, format_: str, text: str | None, problem: str
) -> None:
    file, out = topology(tmp_path), tmp_path / "out"
    if text is not None:
        file.write_text(text)
    done = braid("topology", "import", format_, str(file), "--out", str(out))
    assert done.exit_code == 2
    assert problem in done.stderr
    assert not out.exists()


def test_import_overwrites_nothing(tmp_path: Path) -> None:
    done = braid("topology", "import", "esnet", str(topology(tmp_path)), "--out", str(tmp_path))
    assert done.exit_code == 2
    assert "nothing is overwritten" in done.stderr
