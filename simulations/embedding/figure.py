"""The figure of embedding: acceptance as requests come, and revenue to cost, beside baselines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simulations.canvas import BLUE, GREEN, GREY, ORANGE, canvas, write
from simulations.embedding.rows import Row

COLOURS = (BLUE, ORANGE, GREY, GREEN)


def plot_embedding(rows: Sequence[Row], title: str, file: Path) -> None:
    """All rows as a file. Raises PlotError."""
    figure, (acceptance, ratio) = canvas(10, 4.4, panels=2)
    for i, row in enumerate(rows):
        color, steps = COLOURS[i % len(COLOURS)], len(row.curve)
        arrived = [row.requests * (step + 1) / steps for step in range(steps)]
        shares = [100 * share for share in row.curve]
        acceptance.plot(arrived, shares, color=color, label=row.name)
        bars = ratio.bar([i], [row.revenue_to_cost], 0.6, color=color)
        ratio.bar_label(bars, [f"{row.revenue_to_cost:.2f}"], padding=2)
    acceptance.set_title(title, loc="left")
    acceptance.set_xlabel("requests arrived")
    acceptance.set_ylabel("accepted so far (%)")
    acceptance.set_ylim(0, 103)
    acceptance.legend(loc="lower left", frameon=False)
    ratio.set_title("Revenue to cost", loc="left")
    ratio.set_xticks(range(len(rows)), [row.name for row in rows])
    ratio.set_ylim(0, 1.08)
    write(figure, file)
