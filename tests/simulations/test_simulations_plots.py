"""Figures: readable PNG files, all points in them, and a clear word when they cannot be drawn."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from simulations import plots
from simulations.analytic import success_rate
from simulations.canvas import PlotError
from simulations.success_rate import Row, scenarios
from simulations.two_domains import TRIALS, PairRow

ROWS = tuple(
    Row(
        s.domains,
        s.visible,
        s.strategy,
        float(success_rate(s.domains, s.visible, s.strategy)) - 0.01,
        3200,
    )
    for s in scenarios()
)
PAIR_ROWS = tuple(
    PairRow(trial, rate, 3200) for trial, rate in zip(TRIALS, (0.49, 0.51, 0.83), strict=True)
)


def size(png: Path) -> tuple[int, int]:
    data = png.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were drawn, instead of files."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    drawn: list[Any] = []
    monkeypatch.setattr(plots, "write", lambda figure, _file: drawn.append(figure))
    return drawn


def texts(figure: Any) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_both_figures_are_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    plots.plot_success_rate(ROWS, tmp_path / "c.png")
    plots.plot_two_domains(PAIR_ROWS, tmp_path / "b.png")
    for name in ("c.png", "b.png"):
        width, height = size(tmp_path / name)
        assert width > 900
        assert height > 600


def test_a_figure_is_an_svg_where_its_name_says_so(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    plots.plot_two_domains(PAIR_ROWS, tmp_path / "b.svg")
    assert "<svg" in (tmp_path / "b.svg").read_text()


def test_the_figure_shows_every_row_and_its_formula(figures: list[Any]) -> None:
    plots.plot_success_rate(ROWS, Path("unused"))
    (axes,) = figures[0].axes
    points = {
        (round(x), round(y, 3))
        for line in axes.lines
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
        if line.get_marker() not in ("None", "")
    }
    for row in ROWS:
        assert (row.domains, round(100 * row.success_rate, 3)) in points
    curves = {
        (round(x), round(float(y), 3))
        for line in axes.lines
        if line.get_linestyle() == "-"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    for row in ROWS:
        expected = 100 * float(success_rate(row.domains, row.visible, row.strategy))
        assert (row.domains, round(expected, 3)) in curves


def test_the_figures_name_their_axes_and_what_the_paper_states(figures: list[Any]) -> None:
    plots.plot_success_rate(ROWS, Path("unused"))
    plots.plot_two_domains(PAIR_ROWS, Path("unused"))
    first, second = (texts(figure) for figure in figures)
    assert {"participant domains N", "success rate (%)"} <= set(first)
    assert any("49.56%" in text for text in first)
    assert any("58%" in text for text in first)
    assert any("99%" in text for text in first)
    assert {"≈50", "85", "83.3", "49.0", "51.0", "83.0"} <= set(second)


def test_no_label_covers_another(figures: list[Any]) -> None:
    plots.plot_success_rate(ROWS, Path("unused"))
    plots.plot_two_domains(PAIR_ROWS, Path("unused"))
    for figure in figures:
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        (axes,) = figure.axes
        shown = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        shown += [*axes.get_xticklabels(), *axes.get_yticklabels()]
        shown += axes.get_legend().get_texts()
        boxes = [text.get_window_extent(renderer) for text in shown if text.get_text()]
        whole = figure.bbox
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:i])
            assert whole.x0 <= box.x0
            assert box.x1 <= whole.x1 + 1


def test_without_matplotlib_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlotError, match=r"braid-orchestrator\[simulations\]"):
        plots.plot_two_domains(PAIR_ROWS, tmp_path / "b.png")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    with pytest.raises(PlotError, match=r"no/such\.png: cannot be written"):
        plots.plot_two_domains(PAIR_ROWS, tmp_path / "no" / "such.png")
