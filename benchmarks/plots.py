"""Figures for docs/performance.md from what ``make bench`` has written.

python -m benchmarks.plots [RESULTS [FOLDER]]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESULTS = Path("benchmarks/results.json")
FOLDER = Path("docs/performance")
VARIANTS = {
    "naive": ("#7f7f7f", "v"),
    "unary": ("#1f77b4", "s"),
    "stream": ("#d95f02", "o"),
    "hot": ("#d95f02", "o"),
    "any": ("#1f77b4", "s"),
    "known": ("#7570b3", "^"),
}

Points = dict[str, list[tuple[float, float]]]
"""Of each curve, ascending."""


def by_in_flight(document: dict[str, Any]) -> Points:
    """Committed per second over how many are in flight, by variant."""
    rows = [row for row in document["rows"] if row["scenario"] == "commit"]
    return _points((row["variant"], row["in_flight"], row["per_second"]) for row in rows)


def by_live(document: dict[str, Any]) -> Points:
    """Microseconds of a check and hold over live reservations."""
    found = []
    for figure in document["figures"]:
        match = re.fullmatch(r"restart, ([\d,]+) rows", figure["scenario"])
        if match and figure["figure"] == "hold_us":
            found.append(("check and hold", _number(match[1]), figure["value"]))
    return _points(found)


def by_nodes(document: dict[str, Any]) -> Points:
    """Plans per second over domains, by variant."""
    found = []
    for row in document["rows"]:
        match = re.fullmatch(r"plan, (?:([\d,]+) nodes|ESnet)", row["scenario"])
        if match:
            found.append((row["variant"], _number(match[1] or "80"), row["per_second"]))
    return _points(found)


FIGURES: dict[str, tuple[Callable[[dict[str, Any]], Points], str, str]] = {
    "throughput": (by_in_flight, "requests in flight", "committed per second"),
    "hold": (by_live, "live reservations in the agent", "µs per check and hold"),
    "plan": (by_nodes, "domains of the network", "plans per second"),
}


def draw(document: dict[str, Any], folder: Path) -> list[Path]:
    """Writes an SVG for each figure that there are points for. Raises SystemExit."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (points_of, x_label, y_label) in FIGURES.items():
        points = points_of(document)
        if points:
            written.append(_draw(points, x_label, y_label, folder / f"{name}.svg"))
    return written


def _points(found: Any) -> Points:
    points: Points = {}
    for name, x, y in found:
        points.setdefault(name, []).append((float(x), float(y)))
    return {name: sorted(own) for name, own in points.items()}


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _draw(points: Points, x_label: str, y_label: str, file: Path) -> Path:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit(
            "drawing needs matplotlib, which is not installed: pip install"
            " 'braid-orchestrator[simulations]'"
        ) from None
    # Equal figures make equal files: no date, no random ids.
    with matplotlib.rc_context({"svg.hashsalt": "braid"}):
        figure = Figure(figsize=(6.0, 3.6), layout="constrained")
        axes: Axes = figure.add_subplot()
        for name, own in points.items():
            color, marker = VARIANTS.get(name, ("#d95f02", "o"))
            axes.plot(*zip(*own, strict=True), color=color, marker=marker, label=name)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(color="#dddddd", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        if len(points) > 1:
            axes.legend(frameon=False)
        drawn = StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    lines = [line.rstrip() for line in drawn.getvalue().splitlines()]
    file.write_text("\n".join(lines) + "\n")
    return file


def main() -> None:
    """See the module."""
    given = [Path(text) for text in sys.argv[1:]]
    results, folder = (*given, *(RESULTS, FOLDER)[len(given) :])
    for file in draw(json.loads(results.read_text()), folder):
        print(file)


if __name__ == "__main__":
    main()
