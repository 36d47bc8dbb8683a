"""What limits the routes of one request, a row for each place, and how much of it is free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from substrate.forecast import Levels
from substrate.routes import Route
from substrate.values import dataclass

ANY = np.iinfo(np.int64).max
CROWDED_COST = 2.0
"""What a bit costs beside the usual at a resource of which all is taken."""


@dataclass(frozen=True)
class Places:
    """The resources of the routes that are of any use, one row each: the most that each carries,
    and its row in the forecast. ``routes``, ``rows``: those of each route; ``ends``: those that all
    routes have in common, such as the ports of the user."""

    routes: list[NDArray[np.intp]]
    most: Levels
    known: NDArray[np.intp]
    rows: Mapping[Route, Sequence[int]]
    ends: NDArray[np.intp]


@dataclass(frozen=True)
class Limits:
    """``free``: bit/s per slot, one row per resource. ``whole``: the capacity of each, or the most
    that is free of it in any slot, where no more is known. ``routes``, ``rows``: the rows of each;
    ``ends``: those that all have in common."""

    routes: list[NDArray[np.intp]]
    free: Levels
    whole: Levels
    rows: Mapping[Route, Sequence[int]]
    ends: NDArray[np.intp]

    @cached_property
    def alone(self) -> Levels:
        """What each route carries in each slot when it is the only one."""
        if not self.routes:
            return np.zeros((0, self.free.shape[1]), dtype=np.int64)
        first = np.cumsum([0, *map(len, self.routes[:-1])])
        alone: Levels = np.minimum.reduceat(self.free[np.concatenate(self.routes)], first, axis=0)
        return alone

    @cached_property
    def costs(self) -> NDArray[np.float64]:
        """What a bit costs on each route in each slot: 1 at each resource of which nothing is
        taken, and more the more is."""
        whole = np.maximum(self.whole, 1)[:, None]
        taken = 1 - np.minimum(self.free, whole) / whole
        each = 1 + CROWDED_COST * taken**2
        return np.stack([each[rows].sum(axis=0) for rows in self.routes])

    @cached_property
    def widest(self) -> list[int]:
        """The routes, those that carry most over all the slots first."""
        order: list[int] = np.argsort(-self.alone.sum(axis=1), kind="stable").tolist()
        return order
