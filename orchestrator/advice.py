"""What the answer tells the user about using a circuit (paper 003, section 6.5)."""

from __future__ import annotations

from orchestrator.records import at_once, parallel_streams
from substrate.model import Path


def advice_text(paths: tuple[Path, ...]) -> str:
    """One plain sentence; empty without paths."""
    if not paths:
        return ""
    streams, most = parallel_streams(paths), at_once(paths)
    if most == 1:
        alone = "One path" if len(paths) == 1 else "One path at a time"
        return f"{alone}: use {streams} parallel streams to fill it."
    split = f"{most} paths" if most == len(paths) else f"at most {most} paths at a time"
    return (
        f"Split over {split}: use {streams} parallel streams (two per path), on "
        "consecutive TCP ports so that they spread evenly."
    )


def legs_text(destinations: tuple[str, ...]) -> str:
    """The same where every destination has advice of its own."""
    return f"A circuit of its own leads to each of {len(destinations)} destinations."
