"""Sets of routes that could carry a bandwidth together, best first.

All sets of a size are looked at in one go, as rows of an array: there are thousands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import chain, combinations, islice

import numpy as np
import numpy.typing as npt

from substrate.filling import Limits, Rooms, fill_rooms, rooms_of

COMBINATIONS_MAX = 20_000
"""Sets of routes that are looked at per size before the search is content with none."""
TOP = 1 << 58
"""Sixteen of these still fit 64 bits; any greater latency or price counts as this."""


class Sets:
    """Some routes: what limits each, its latency and its price."""

    def __init__(
        self, limits: Sequence[Limits], latencies_us: Sequence[int], prices: Sequence[int]
    ) -> None:
        self._limits = limits
        self._bottlenecks = [min(own.values()) for own in limits]
        self._widest = sorted(self._bottlenecks, reverse=True)
        self._latencies = np.array([min(us, TOP) for us in latencies_us], dtype=np.int64)
        self._prices = np.array([min(price, TOP) for price in prices], dtype=np.int64)
        self._carried = self._lacking = -1

    def carry(self, wanted: int) -> bool:
        """Whether all of them together carry so much. What is known of more or of less tells it."""
        if wanted <= self._carried:
            return True
        if 0 <= self._lacking <= wanted:
            return False
        carried = sum(fill_rooms(self._rooms, len(self._limits), wanted, 0, whole=True))
        if carried < wanted:
            self._lacking = wanted
        else:
            self._carried = wanted
        return carried >= wanted

    def likely(self, size: int, wanted: int) -> Iterator[tuple[int, ...]]:
        """Sets of ``size`` routes, by index, that could carry ``wanted`` by what limits each.

        First by spread of latency, then by the greatest latency, the price, and the order given.
        """
        if sum(self._widest[:size]) < wanted:
            return
        # Sums are compared with what is wanted: more than that in one term changes nothing.
        carried = np.array([min(bps, wanted) for bps in self._bottlenecks], dtype=np.int64)
        sets = _combinations(len(carried), size)
        fits = carried[sets].sum(axis=1) >= wanted
        for users, room_bps in self._scarce if size > 1 else ():
            outside = carried.copy()
            outside[users] = 0
            fits &= outside[sets].sum(axis=1) + min(room_bps, wanted) >= wanted
        sets = sets[fits]
        latencies = self._latencies[sets]
        slowest = latencies.max(axis=1)
        spread = slowest - latencies.min(axis=1)
        for row in np.lexsort((self._prices[sets].sum(axis=1), slowest, spread)):
            yield tuple(sets[row].tolist())

    @cached_property
    def _rooms(self) -> Rooms:
        return rooms_of(self._limits)

    @cached_property
    def _scarce(self) -> list[tuple[list[int], int]]:
        """Resources that are too small for all that their users could carry, and these users."""
        found = []
        for mask, room_bps in self._rooms.items():
            users = [i for i in range(len(self._limits)) if mask >> i & 1]
            if sum(self._bottlenecks[i] for i in users) > room_bps:
                found.append((users, room_bps))
        return found


@lru_cache(maxsize=32)
def _combinations(count: int, size: int) -> npt.NDArray[np.int16]:
    rows = islice(combinations(range(count), size), COMBINATIONS_MAX)
    return np.fromiter(chain.from_iterable(rows), dtype=np.int16).reshape(-1, size)
