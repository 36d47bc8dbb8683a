"""VNodes and hosts, each host for one VNode at most (augmenting paths; Hall, 1935)."""

from __future__ import annotations

import numpy as np

from embedding.network import Bools, Floats


def crowded(fits: Bools) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """VNodes that together fit on fewer hosts than they are, and these hosts; or none."""
    owner: dict[int, int] = {}
    choices = [np.flatnonzero(row).tolist() for row in fits]

    def place(v: int, seen: set[int]) -> bool:
        for host in choices[v]:
            if host not in seen:
                seen.add(host)
                if host not in owner or place(owner[host], seen):
                    owner[host] = v
                    return True
        return False

    for v in range(len(fits)):
        seen: set[int] = set()
        if not place(v, seen):
            return tuple(sorted({owner[host] for host in seen} | {v})), tuple(sorted(seen))
    return (), ()


def least_threshold(values: Floats) -> float:
    """The least number under which every VNode has a host of its own; infinite if there is none."""
    levels = np.unique(values[np.isfinite(values)])
    low, high = 0, len(levels)
    while low < high:
        middle = (low + high) // 2
        if crowded(values <= levels[middle])[0]:
            low = middle + 1
        else:
            high = middle
    return float(levels[low]) if low < len(levels) else float("inf")
