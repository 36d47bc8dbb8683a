"""VNodes and hosts, each host for one VNode at most (augmenting paths; Hall, 1935)."""

from __future__ import annotations

import numpy as np

from embedding.network import Bools, Floats


def crowded(fits: Bools) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """VNodes that together fit on fewer hosts than they are, and these hosts; or none."""
    owner: dict[int, int] = {}
    choices = [np.flatnonzero(row).tolist() for row in fits]
    for v in range(len(fits)):
        via: dict[int, int] = {}
        queue, end = [v], -1
        for waiting in queue:
            for host in choices[waiting] if end < 0 else ():
                if host not in via:
                    via[host] = waiting
                    if host not in owner:
                        end = host
                        break
                    queue.append(owner[host])
        if end < 0:
            return tuple(sorted(queue)), tuple(sorted(via))
        _exchange(owner, via, end)
    return (), ()


def _exchange(owner: dict[int, int], via: dict[int, int], host: int) -> None:
    """Everybody on the way takes the host that it came by, the first one has none before."""
    had = {v: taken for taken, v in owner.items()}
    while host >= 0:
        v = owner[host] = via[host]
        host = had.get(v, -1)


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
