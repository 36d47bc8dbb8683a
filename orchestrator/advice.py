"""What the answer tells the user about using a circuit (paper 003, section 6.5)."""

from __future__ import annotations

from orchestrator.records import parallel_streams
from substrate.model import Path


def advice_text(paths: tuple[Path, ...]) -> str:
    """One plain sentence; empty without paths."""
    if not paths:
        return ""
    streams = parallel_streams(paths)
    if len(paths) == 1:
        return f"One path: use {streams} parallel streams to fill it."
    return (
        f"Split over {len(paths)} paths: use {streams} parallel streams (two per path), on "
        "consecutive TCP ports so that they spread evenly."
    )


def legs_text(destinations: tuple[str, ...]) -> str:
    """The same where every destination has advice of its own."""
    return f"A circuit of its own leads to each of {len(destinations)} destinations."
