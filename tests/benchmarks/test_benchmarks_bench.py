"""The benchmark runs: each scenario at its smallest, its rows and its plots."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.agent import Agent
from agents.backends import open_backend
from agents.book import Book
from agents.store import DatabaseStore
from benchmarks import bench as bench_module, live, networks, plots, proofs, restart
from benchmarks.results import Results, Row
from benchmarks.setting import Setting
from benchmarks.world import HOT, BrokenError, chain
from runtime import schema
from runtime.clock import SystemClock
from runtime.database import Database

ROOT = Path(__file__).resolve().parents[2]
KEYS = {
    "scenario",
    "variant",
    "in_flight",
    "per_second",
    "p50_ms",
    "p99_ms",
    "cpu_us",
    "ratio_to_naive",
}


def bench(folder: Path, *options: str) -> dict[str, Any]:
    """What a quick run writes."""
    out = folder / "results.json"
    command = [sys.executable, "-m", "benchmarks.bench", "--quick", "--out", str(out), *options]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    document: dict[str, Any] = json.loads(out.read_text())
    return document


@pytest.mark.timeout(300)
def test_commits_have_a_row_per_variant_with_its_ratio_to_naive(tmp_path: Path) -> None:
    document = bench(tmp_path, "--scenario", "commit", "--in-flight", "4")
    rows = document["rows"]
    assert [row["variant"] for row in rows] == ["naive", "unary", "stream"]
    assert all(set(row) == KEYS for row in rows)
    assert all(row["scenario"] == "commit" and row["in_flight"] == 4 for row in rows)
    naive, *others = rows
    assert naive["ratio_to_naive"] is None
    for row in others:
        assert row["ratio_to_naive"] == pytest.approx(row["per_second"] / naive["per_second"])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", ["hot", "live", "plan-live"])
def test_scenarios_with_live_reservations_run(tmp_path: Path, scenario: str) -> None:
    document = bench(tmp_path, "--scenario", scenario, "--live", "200", "--nodes", "5")
    assert len(document["rows"]) >= 1
    assert all(row["per_second"] > 0 for row in document["rows"])
    assert any("200 live" in row["scenario"] for row in document["rows"])


async def test_an_agent_starts_on_the_live_reservations_that_are_written(tmp_path: Path) -> None:
    settings = {**chain()[HOT]}
    url = f"sqlite:///{tmp_path / 'agent.db'}"
    schema.upgrade(url, "agent")
    live.fill(url, settings, 4500)
    book, store = Book(open_backend(settings)), DatabaseStore(Database(url))
    agent = Agent(book, store, SystemClock(), lambda _sender, _message: None)
    await agent.start()
    held = agent.holdings(None, 5000)
    await agent.stop()
    await store.close()
    assert len(held) == 4500
    # All are in the calendar, since it is empty once they are given back.
    assert not book.is_empty()
    for record in held:
        assert agent.parts.records.get(record.key) == record
        book.free(*record.key)
    assert book.is_empty()


def test_networks_are_connected_and_have_a_port_for_users_everywhere() -> None:
    domains = networks.network(30)
    assert len(networks.users(domains)) == 30
    remotes = {
        (f"{domain['domain']}:{port['name']}", port["remote"])
        for domain in domains
        for port in domain["ports"]
        if port.get("remote")
    }
    assert all((there, here) in remotes for here, there in remotes)
    reached, new = {"n000"}, ["n000"]
    while new:
        name = new.pop()
        near = {there.partition(":")[0] for here, there in remotes if here.startswith(f"{name}:")}
        new += near - reached
        reached |= near
    assert len(reached) == 30


def test_a_row_is_shown_beside_its_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    results = Results()
    naive = results.add(Row("commit", "naive", 1, 10.0, 100.0, 200.0, 50_000.0))
    results.add(Row("commit", "stream", 1, 40.0, 25.0, 50.0, 2_500.0), naive)
    assert results.rows[1].ratio_to_naive == 4.0
    assert "rate 4.00x, p50 0.25x, CPU 0.050x of naive" in capsys.readouterr().out


def test_figures_of_a_baseline_are_ratios_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    results = Results()
    results.note("restart, 10 rows", "hold_us", 40.0, "restart, 10 rows")
    results.note("restart, 20 rows", "hold_us", 60.0, "restart, 10 rows")
    assert [figure.ratio for figure in results.figures] == [None, 1.5]
    assert "1.50 of restart, 10 rows" in capsys.readouterr().out


def test_plots_are_drawn_from_results(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra `simulations`")
    row = {"scenario": "commit", "variant": "naive", "in_flight": 1, "per_second": 9.0}
    plan = {"scenario": "plan, 1,000 nodes", "variant": "hot", "in_flight": 1, "per_second": 9.0}
    real = {**plan, "scenario": "plan, ESnet"}
    hold = {"scenario": "restart, 1,000 rows", "figure": "hold_us", "value": 50.0}
    document = {"rows": [row, {**row, "in_flight": 16}, plan, real], "figures": [hold]}
    assert plots.by_nodes(document) == {"hot": [(80.0, 9.0), (1000.0, 9.0)]}
    written = plots.draw(document, tmp_path)
    assert [file.name for file in written] == ["throughput.svg", "hold.svg", "plan.svg"]
    before = [file.read_bytes() for file in written]
    assert [file.read_bytes() for file in plots.draw(document, tmp_path)] == before


def test_a_scenario_that_breaks_leaves_the_others_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_setting: Setting) -> None:
        raise BrokenError("no disk")

    def works(setting: Setting) -> None:
        setting.results.note("other", "hold_us", 1.0)

    def has_a_bug(_setting: Setting) -> None:
        raise KeyError("d9")

    out = tmp_path / "results.json"
    scenarios = {"plan": breaks, "bend": has_a_bug, "live": works}
    monkeypatch.setattr(bench_module, "SCENARIOS", scenarios)
    monkeypatch.setattr(sys, "argv", ["bench", "--scenario", *scenarios, "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        bench_module.main()
    assert ended.value.code == 1
    document = json.loads(out.read_text())
    assert document["skipped"] == {"plan": "no disk", "bend": "KeyError('d9')"}
    assert [figure["scenario"] for figure in document["figures"]] == ["other"]


async def test_as_many_are_held_on_top_of_as_many_that_are_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart, "HOLDS", 60)
    monkeypatch.setattr(restart, "YEAR_S", 86_400)
    figures = await restart.held(restart.made(tmp_path / "agent", 60))
    assert figures["hold_us"] > 0
    assert figures["free_us"] > 0


def test_mapping_is_beside_a_plain_program(tmp_path: Path) -> None:
    figures = bench(tmp_path, "--scenario", "mapping", "--providers", "3")["figures"]
    found = {figure["figure"]: figure["value"] for figure in figures}
    plain = {"plain_ms", "plain_found_share", "plain_dearer"}
    assert set(found) == {"ms", "ms_most", "proven_share", "gap_most"} | plain
    assert 0 < found["ms"] <= found["ms_most"]
    assert found["plain_dearer"] >= -0.011


def test_proofs_on_a_fat_tree_are_measured() -> None:
    row = proofs.measure(3, "cost", shares=True, count=2)
    assert row["of"] == row["proven"] == row["embedded"] == 2
    assert 0 <= row["gap_most"] <= 0.01 + 1e-6
    first, *_ = proofs.problems(3, shares=False, count=1)
    assert first.network.hosts == 54
    assert (first.free.host >= (1 - proofs.TAKEN) * first.network.capacity.host).all()
