"""Flow slots: which flows take which path of a split circuit (docs/decisions/0003)."""

from __future__ import annotations

from collections.abc import Sequence

SLOTS_MAX = 64


def share_slots(bandwidths_bps: Sequence[int]) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """The number of slots and the slots of each path, in proportion to bandwidth.

    Every path gets at least one slot; slots of a path are spread evenly (smooth weighted round
    robin), so that consecutive flows alternate between paths. At most 64 paths.
    """
    if len(bandwidths_bps) == 1:
        return 1, ((0,),)
    weights = _weights(bandwidths_bps)
    total = sum(weights)
    credit = [0] * len(weights)
    slots: list[list[int]] = [[] for _ in weights]
    for slot in range(total):
        credit = [has + weight for has, weight in zip(credit, weights, strict=True)]
        winner = credit.index(max(credit))
        credit[winner] -= total
        slots[winner].append(slot)
    return total, tuple(tuple(own) for own in slots)


def _weights(bandwidths_bps: Sequence[int]) -> list[int]:
    """Small whole numbers in the closest proportion that at most SLOTS_MAX slots can express."""
    total = sum(bandwidths_bps)
    fractions = [bps / total for bps in bandwidths_bps]
    least, best = 2.0, [1] * len(fractions)
    for count in range(len(fractions), SLOTS_MAX + 1):
        if not _may_be_closer(fractions, count, least):
            continue
        weights = _apportioned(fractions, count)
        error = max([abs(w / count - f) for w, f in zip(weights, fractions, strict=True)])
        if error < least - 1e-12:
            least, best = error, weights
        if error < 1e-12:
            break
    return best


def _may_be_closer(fractions: Sequence[float], count: int, error: float) -> bool:
    """Whether whole numbers of at least 1 can be this close to every fraction of ``count``."""
    for fraction in fractions:
        exact = fraction * count
        if abs(exact - (round(exact) or 1)) >= error * count:
            return False
    return True


def _apportioned(fractions: Sequence[float], count: int) -> list[int]:
    """``count`` seats by largest remainder, one at least for each."""
    exact = [f * count - 1 if f * count > 1 else 0.0 for f in fractions]
    spread = sum(exact)
    scale = (count - len(fractions)) / spread if spread > 0 else 0.0
    seats = [value * scale for value in exact]
    weights = [1 + int(value) for value in seats]
    missing = count - sum(weights)
    if missing:
        rests = sorted([(int(value) - value, i) for i, value in enumerate(seats)])
        for _, i in rests[:missing]:
            weights[i] += 1
    return weights
