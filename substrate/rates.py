"""Rates as people write them."""

from __future__ import annotations

UNITS = (("Tb/s", 10**12), ("Gb/s", 10**9), ("Mb/s", 10**6), ("kb/s", 10**3))
EXACT, ROUND = 15, 6


def about(bandwidth_bps: int) -> str:
    """Such as "2.5 Gb/s", of six digits."""
    return _told(bandwidth_bps, ROUND)


def exactly(bandwidth_bps: int) -> str:
    """To the last bit, below a Pb/s: what is short may be one."""
    return _told(bandwidth_bps, EXACT)


def _told(bandwidth_bps: int, digits: int) -> str:
    for unit, size in UNITS:
        if bandwidth_bps >= size:
            return f"{bandwidth_bps / size:.{digits}g} {unit}"
    return f"{bandwidth_bps} b/s"
