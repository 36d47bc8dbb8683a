"""Flow slots: which flows take which path of a split circuit (docs/decisions/0003)."""

from __future__ import annotations

from collections.abc import Sequence

SLOTS_MAX = 64


def share_slots(bandwidths_bps: Sequence[int]) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """The number of slots and the slots of each path, in proportion to bandwidth.

    Every path gets at least one slot; slots of a path are spread evenly (smooth weighted round
    robin), so that consecutive flows alternate between paths. At most 64 paths.
    """
    weights = _weights(bandwidths_bps)
    total = sum(weights)
    credit = [0] * len(weights)
    slots: list[list[int]] = [[] for _ in weights]
    for slot in range(total):
        for i, weight in enumerate(weights):
            credit[i] += weight
        winner = max(range(len(weights)), key=lambda i: (credit[i], -i))
        credit[winner] -= total
        slots[winner].append(slot)
    return total, tuple(tuple(own) for own in slots)


def _weights(bandwidths_bps: Sequence[int]) -> list[int]:
    """Small whole numbers in the closest proportion that at most SLOTS_MAX slots can express."""
    total = sum(bandwidths_bps)
    best: tuple[float, int, list[int]] | None = None
    for count in range(len(bandwidths_bps), SLOTS_MAX + 1):
        weights = _apportioned(bandwidths_bps, total, count)
        error = max(
            abs(weight / count - bps / total)
            for weight, bps in zip(weights, bandwidths_bps, strict=True)
        )
        if best is None or error < best[0] - 1e-12:
            best = (error, count, weights)
        if error < 1e-12:
            break
    assert best is not None
    return best[2]


def _apportioned(bandwidths_bps: Sequence[int], total: int, count: int) -> list[int]:
    """``count`` seats by largest remainder, one at least for each."""
    spare = count - len(bandwidths_bps)
    exact = [max(0.0, bps * count / total - 1) for bps in bandwidths_bps]
    scale = spare / sum(exact) if sum(exact) > 0 else 0.0
    seats = [value * scale for value in exact]
    weights = [1 + int(value) for value in seats]
    by_rest = sorted(range(len(seats)), key=lambda i: (-(seats[i] - int(seats[i])), i))
    for i in by_rest[: count - sum(weights)]:
        weights[i] += 1
    return weights
