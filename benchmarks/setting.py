"""What every scenario is given."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.results import Results

VARIANTS = ("naive", "unary", "stream")


@dataclass(frozen=True, slots=True)
class Setting:
    """How long and how much. ``busy``: in flight where a scenario has one number of them."""

    folder: Path
    seconds: float = 4.0
    warm_up_s: float = 2.0
    variants: tuple[str, ...] = VARIANTS
    in_flight: tuple[int, ...] = (1, 16, 128, 512)
    busy: int = 128
    live: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    nodes: tuple[int, ...] = (10, 80, 200, 1000)
    providers: tuple[int, ...] = (5, 20)
    results: Results = field(default_factory=Results)

    def place(self, name: str) -> Path:
        """A folder for one world."""
        return self.folder / re.sub(r"[^A-Za-z0-9]+", "-", name)
