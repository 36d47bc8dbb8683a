"""What an orchestrator accepts in time."""

from __future__ import annotations

from substrate.values import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """The longest window, how far ahead it may end, and how long ago it may begin; seconds."""

    window_max_s: int = 366 * 86_400
    horizon_s: int = 2 * 366 * 86_400
    late_start_s: int = 60
    """A start this far in the past still counts as now: clocks differ, calls take time."""
