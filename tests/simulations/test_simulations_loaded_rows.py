"""Runs added up: shares, fairness by size, and the same rows however the work is spread."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from loads import RING, demand

from simulations.canvas import PlotError
from simulations.dask_pool import DaskError, spread_over_dask
from simulations.loaded import figure
from simulations.loaded.figure import plot_loaded
from simulations.loaded.rows import Row, count, simulate
from simulations.pool import spread

SMALL: dict[str, Any] = {
    "loads": (0.1, 0.4),
    "strategies": ("single_path", "full_offers"),
    "runs": 2,
}


def rows() -> tuple[Row, ...]:
    return tuple(
        Row(
            "ring", load, name, 0.9 - load / 4, 0.8 - load / 4, 0.95, 0.9, 3, 10, (1, 0.9, 0.8, 0.5)
        )
        for load in (0.5, 1.0, 1.5)
        for name in ("single_path", "full_offers")
    )


def test_quarters_go_by_bandwidth_times_duration() -> None:
    sizes = [(0.9, 1), (0.1, 1), (0.8, 4), (0.2, 1), (0.5, 5), (0.3, 2), (0.4, 1), (1.0, 4)]
    asked = [demand("p", "q", share, slots=slots) for share, slots in sizes]
    served = [share < 0.5 for share, _ in sizes]
    found = count(asked, served)
    assert found.served == 4
    assert found.volume == sum(one.volume for one, ok in zip(asked, served, strict=True) if ok)
    assert found.quarters == ((2, 2), (2, 2), (0, 2), (0, 2))


def test_few_requests_leave_quarters_empty() -> None:
    assert count([], []).quarters == ((0, 0),) * 4
    assert sum(made for _, made in count([demand("p", "q", 0.5)], [True]).quarters) == 1


def test_a_row_for_each_load_and_strategy_and_the_bound_above_it() -> None:
    calls: list[None] = []
    found = simulate(RING, **SMALL, done=lambda: calls.append(None))
    assert len(calls) == 4
    assert [(row.load, row.strategy) for row in found] == [
        (load, name) for load in SMALL["loads"] for name in SMALL["strategies"]
    ]
    for row in found:
        assert 0 < row.success <= row.bound_success <= 1
        assert 0 < row.volume <= row.bound_volume <= 1
        assert row.topology == "ring"
        assert len(row.fairness) == 4
    assert found[0].success >= found[2].success


@pytest.mark.timeout(240)
def test_the_rows_are_the_same_in_several_processes() -> None:
    assert simulate(RING, **SMALL) == simulate(RING, **SMALL, spread=partial(spread, jobs=2))


@pytest.mark.timeout(240)
def test_the_rows_are_the_same_on_a_dask_cluster() -> None:
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        workers = partial(spread_over_dask, address=cluster.scheduler_address)
        calls: list[None] = []
        found = simulate(RING, **SMALL, spread=workers, done=lambda: calls.append(None))
        assert len(calls) == 4
    assert found == simulate(RING, **SMALL)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="distributed is not installed")
    monkeypatch.setattr("simulations.dask_pool.CONNECT_S", 1)
    with pytest.raises(DaskError, match=r"tcp://127\.0\.0\.1:1"):
        spread_over_dask(str, [1], "tcp://127.0.0.1:1")


def test_without_distributed_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DaskError, match=r"braid-orchestrator\[dask\]"):
        spread_over_dask(str, [1], "tcp://127.0.0.1:1")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Draws all rows and gives the figure, instead of a file."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    found: list[Any] = []
    monkeypatch.setattr(figure, "write", lambda made, _file: found.append(made))

    def draw() -> Any:
        plot_loaded(rows(), Path("unused"))
        return found[-1]

    return draw


def test_the_figure_shows_every_row_the_bound_and_fairness(drawn: Callable[[], Any]) -> None:
    success, volume, fairness = drawn().axes
    for axes, name, bound in ((success, "success", 95), (volume, "volume", 90)):
        points = {
            (line.get_label(), x, round(float(y), 3))
            for line in axes.lines
            for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
        }
        for row in rows():
            label, share = row.strategy.replace("_", " "), 100 * getattr(row, name)
            assert (label, row.load, round(share, 3)) in points
            assert ("offline bound", row.load, bound) in points
    assert len(fairness.patches) == 8
    assert fairness.get_title(loc="left") == "Fairness at load 1"


def test_the_figure_is_written_as_png_or_svg(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    plot_loaded(rows(), tmp_path / "x.png")
    plot_loaded(rows(), tmp_path / "x.svg")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "x.svg").read_text()
    with pytest.raises(PlotError, match="cannot be written"):
        plot_loaded(rows(), tmp_path / "no" / "x.png")
