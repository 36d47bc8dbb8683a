"""Figures 6b and 6c of paper 003: what the paper states, what its model gives, what Braid does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simulations.analytic import equal_splitting, full_offers, partial_offers
from simulations.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, canvas, write
from simulations.success_rate import Row
from simulations.two_domains import PairRow
from substrate.model import Strategy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAPER_ONE_DOMAIN = 0.4956
PAPER_EQUAL_SPLITTING = 0.58
PAPER_FOUR_VISIBLE = 0.99
PAPER_ONE_PATH = 0.50
PAPER_TWO_PATHS = 0.85

ALL = "all visible (full and partial offers)"
NONE = "none visible (equal splitting)"


def plot_success_rate(rows: Sequence[Row], file: Path) -> None:
    """Figure 6c as a file. Raises PlotError."""
    figure, (axes,) = canvas(8.4, 5.6)
    most = max(row.domains for row in rows)
    axes.axhline(100 * PAPER_ONE_DOMAIN, color=GREY, linestyle=":", linewidth=1.2)
    for name, color, marker, points in _series(rows):
        curve = [(n, 100 * _expected(name, n)) for n, _ in points]
        axes.plot(*zip(*curve, strict=True), color=color, linewidth=1.4, alpha=0.7)
        axes.plot(
            *zip(*points, strict=True),
            linestyle="",
            marker=marker,
            markersize=9,
            markerfacecolor="none",
            markeredgewidth=1.8,
            color=color,
            label=f"Braid: {name}",
        )
    axes.plot([], [], color=GREY, linewidth=1.4, label="analytic (same colours)")
    axes.plot([], [], color=GREY, linestyle=":", label="paper: one domain, 49.56%")
    _paper_points(axes, most)
    axes.set_xticks(range(1, most + 1))
    axes.set_xlim(0.8, most + 0.3)
    axes.set_ylim(40, 103)
    axes.set_xlabel("participant domains N")
    axes.set_ylabel("success rate (%)")
    axes.set_title(
        f"Success rate of the negotiation, {rows[0].requests:,} requests per point", loc="left"
    )
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0, frameon=False)
    write(figure, file)


def plot_two_domains(rows: Sequence[PairRow], file: Path) -> None:
    """Figure 6b as a file. Raises PlotError."""
    figure, (axes,) = canvas(7.0, 4.8)
    names = ["R&E-1 alone", "R&E-2 alone", "multi-path over both"]
    groups = [
        ("paper", GREY, [PAPER_ONE_PATH, PAPER_ONE_PATH, PAPER_TWO_PATHS]),
        ("analytic", BLUE, [float(full_offers(1))] * 2 + [float(full_offers(2))]),
        ("Braid", ORANGE, [row.success_rate for row in rows]),
    ]
    for shift, (label, color, rates) in enumerate(groups):
        places = [i + (shift - 1) * 0.27 for i in range(len(names))]
        bars = axes.bar(places, [100 * rate for rate in rates], 0.24, color=color, label=label)
        texts = ["≈50", "≈50", "85"] if label == "paper" else [f"{100 * r:.1f}" for r in rates]
        axes.bar_label(bars, texts, padding=2, fontsize=9)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, 100)
    axes.set_ylabel("success rate (%)")
    axes.set_title(f"One path and two over two R&E networks, {rows[0].requests:,} requests")
    axes.legend(loc="upper left", frameon=False)
    write(figure, file)


def _series(rows: Iterable[Row]) -> list[tuple[str, str, str, list[tuple[int, float]]]]:
    """Name, colour, marker and points of each curve."""
    points: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        points.setdefault(_name(row), []).append((row.domains, 100 * row.success_rate))
    some = sorted((name for name in points if name not in (ALL, NONE)), reverse=True)
    order = [ALL, *some, NONE]
    styles = [(BLUE, "o"), (GREEN, "^"), (ORANGE, "s"), (RED, "p")][: len(order) - 1]
    styles.append((PURPLE, "v"))
    pairs = zip(order, styles, strict=True)
    return [(name, *style, points[name]) for name, style in pairs if name in points]


def _name(row: Row) -> str:
    if row.strategy is Strategy.EQUAL_SPLITTING:
        return NONE
    if row.visible == row.domains:
        return ALL
    return f"{row.visible} visible (partial offers)"


def _expected(name: str, domains: int) -> float:
    if name == ALL:
        return float(full_offers(domains))
    if name == NONE:
        return float(equal_splitting(domains))
    return float(partial_offers(domains, int(name.split()[0])))


def _paper_points(axes: Axes, most: int) -> None:
    axes.plot(
        [1, most],
        [100 * PAPER_EQUAL_SPLITTING] * 2,
        color=PURPLE,
        linestyle="--",
        linewidth=1.2,
        label='paper: equal splitting, "approximately 58%"',
    )
    axes.plot(
        [4],
        [100 * PAPER_FOUR_VISIBLE],
        marker="*",
        markersize=13,
        linestyle="",
        color="black",
        label='paper: four visible, "approximately 99%"',
    )
