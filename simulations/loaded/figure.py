"""The figure of loaded networks: success and volume by load, beside the bound, and fairness."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simulations.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, canvas, write
from simulations.loaded.rows import QUARTERS, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = (
    (PURPLE, "v"),
    (ORANGE, "s"),
    (BLUE, "o"),
    (GREY, "x"),
    (GREEN, "^"),
    (RED, "D"),
    ("black", "P"),
    (BLUE, "X"),
    (ORANGE, "h"),
    ("saddlebrown", "*"),
)
FAIRNESS_LOAD = 1.0


def plot_loaded(rows: Sequence[Row], file: Path) -> None:
    """All rows as a file; fairness at the load nearest to 1. Raises PlotError."""
    figure, (success, volume, fairness) = canvas(13, 4.6, panels=3)
    names = list(dict.fromkeys(row.strategy for row in rows))
    shown_load = min({row.load for row in rows}, key=lambda load: (abs(load - FAIRNESS_LOAD), load))
    for i, name in enumerate(names):
        color, marker = STYLES[i % len(STYLES)]
        own = sorted((row for row in rows if row.strategy == name), key=lambda row: row.load)
        loads, label = [row.load for row in own], name.replace("_", " ")
        for axes, shares in (
            (success, [row.success for row in own]),
            (volume, [row.volume for row in own]),
        ):
            axes.plot(loads, _percent(shares), color=color, marker=marker, label=label)
        (here,) = [row for row in own if row.load == shown_load]
        places = [quarter + (i + 0.5) * 0.8 / len(names) - 0.4 for quarter in range(QUARTERS)]
        fairness.bar(places, _percent(here.fairness), 0.8 / len(names), color=color, label=label)
    _bound(success, {row.load: row.bound_success for row in rows})
    _bound(volume, {row.load: row.bound_volume for row in rows})
    success.set_title(f"Requests on {rows[0].topology}", loc="left")
    success.set_ylabel("success rate (%)")
    volume.set_title("Volume", loc="left")
    volume.set_ylabel("accepted volume (%)")
    for axes in (success, volume):
        axes.set_xlabel("offered load")
        axes.set_ylim(0, 103)
    fairness.set_title(f"Fairness at load {shown_load:g}", loc="left")
    fairness.set_ylabel("success rate (%)")
    fairness.set_xlabel("quarter of the requests by size")
    fairness.set_xticks(range(QUARTERS), ["smallest", "2nd", "3rd", "largest"])
    success.legend(loc="lower left", frameon=False)
    write(figure, file)


def _bound(axes: Axes, shares: dict[float, float]) -> None:
    loads = sorted(shares)
    bounds = _percent([shares[load] for load in loads])
    axes.plot(loads, bounds, color=GREY, linestyle="--", label="offline bound")


def _percent(shares: Sequence[float]) -> list[float]:
    return [100 * share for share in shares]
