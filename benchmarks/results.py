"""What was measured: rows of rates and latencies, and single figures; shown, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """What one variant did in one scenario; ``cpu_us``: of all its processes, per answer.

    ``ratio_to_naive``: how many times its ``per_second``; None where there is no naive variant.
    """

    scenario: str
    variant: str
    in_flight: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    ratio_to_naive: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that is no rate; ``ratio``: to the same figure of the scenario ``baseline``."""

    scenario: str
    figure: str
    value: float
    baseline: str = ""
    ratio: float | None = None


class Results:
    """Collects and shows."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.figures: list[Figure] = []
        self.skipped: dict[str, str] = {}

    def add(self, row: Row, baseline: Row | None = None) -> Row:
        """Takes a row and shows it beside its baseline, which may be naive or another scenario."""
        if baseline is not None and baseline.variant == "naive":
            row = replace(row, ratio_to_naive=row.per_second / baseline.per_second)
        self.rows.append(row)
        print(
            f"{row.scenario:36} {row.variant:8} {row.in_flight:4} in flight"
            f" {row.per_second:9.1f}/s  p50 {row.p50_ms:9.3f} ms  p99 {row.p99_ms:9.3f} ms"
            f" {row.cpu_us:9.0f} us CPU{_beside(row, baseline)}",
            flush=True,
        )
        return row

    def note(self, scenario: str, figure: str, value: float, baseline: str = "") -> None:
        """Takes a figure, its unit in its name; ``baseline``: a scenario noted before."""
        before = [f.value for f in self.figures if (f.scenario, f.figure) == (baseline, figure)]
        ratio = value / before[0] if before and before[0] else None
        self.figures.append(Figure(scenario, figure, value, baseline if before else "", ratio))
        beside = f"  {ratio:.2f} of {baseline}" if ratio is not None else ""
        print(f"{scenario:36} {figure:28} {value:12.1f}{beside}", flush=True)

    def skip(self, scenario: str, reason: str) -> None:
        """Says why a scenario is left out."""
        self.skipped[scenario] = reason
        print(f"{scenario:36} left out: {reason}", flush=True)

    def write(self, path: Path) -> None:
        """As JSON."""
        document = {
            "machine": _machine(),
            "rows": [asdict(row) for row in self.rows],
            "figures": [asdict(figure) for figure in self.figures],
            "skipped": self.skipped,
        }
        path.write_text(json.dumps(document, indent=1) + "\n")


def _beside(row: Row, baseline: Row | None) -> str:
    """Rate, median and processor time as multiples of the baseline's."""
    if baseline is None or baseline is row:
        return ""
    name = "naive" if baseline.variant == "naive" else f"{baseline.scenario}, {baseline.variant}"
    rate = row.per_second / baseline.per_second
    p50, cpu = row.p50_ms / baseline.p50_ms, row.cpu_us / baseline.cpu_us
    return f"  | rate {rate:.2f}x, p50 {p50:.2f}x, CPU {cpu:.3f}x of {name}"


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
    }
