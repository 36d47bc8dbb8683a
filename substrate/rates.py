"""Rates, and other amounts, as people write them."""

from __future__ import annotations

PREFIXES = (("P", 10**15), ("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3))
EXACT, ROUND = 15, 6


def about(bandwidth_bps: int) -> str:
    """Such as "2.5 Gb/s", of six digits."""
    return scaled(bandwidth_bps, "b/s", ROUND, PREFIXES[1:])


def exactly(bandwidth_bps: int) -> str:
    """To the last bit, below a Pb/s: what is short may be one."""
    return scaled(bandwidth_bps, "b/s", EXACT, PREFIXES[1:])


def scaled(
    amount: int, unit: str, digits: int, prefixes: tuple[tuple[str, int], ...] = PREFIXES
) -> str:
    """Such as "40 TB": with the largest prefix that is not larger, of so many digits."""
    for prefix, size in prefixes:
        if amount >= size:
            return f"{amount / size:.{digits}g} {prefix}{unit}"
    return f"{amount} {unit}"
