"""What limits many circuits that are placed together: the rows that matter, and no row twice. Pure.

A link is told of by both its ends, and the way between two ports of a domain by three rows. Of
rows that the very same routes take, the least counts; one that is never less than another that all
its routes take too does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np

from substrate.forecast import Forecast, Levels
from substrate.model import Directionality
from substrate.routes import Route
from substrate.settling import IN, OUT, Mover, Row, rows_of
from substrate.values import dataclass

Way = tuple[Route, Directionality]
ANY = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Limits:
    """``levels``: what is free of each row that matters in each slot, bit/s; ``rows``: which of
    them each route of a circuit takes."""

    levels: Levels
    rows: dict[Way, Levels]

    def alone(self, way: Way, groups: Sequence[range]) -> Levels:
        """What a route carries in each of some groups of slots when it is alone."""
        its = self.levels[self.rows[way]]
        if not len(its):
            return np.full(len(groups), ANY)
        least = np.append(its.min(axis=0), ANY)
        edges = [edge for slots in groups for edge in (slots.start, slots.stop)]
        # Of every second pair of edges nothing is asked.
        alone: Levels = np.minimum.reduceat(least, edges)[::2]
        return alone


def limits_of(forecast: Forecast, movers: Sequence[Mover]) -> Limits:
    """The limits of these circuits, over the routes that they may use."""
    ways: dict[Way, list[Row]] = {}
    # A little more than all may carry at once, as the program gives volumes bits to spare.
    most_bps = sum(mover.criteria.bandwidth_bps + len(mover.routes) for mover in movers)
    matters = cache(partial(_matters, forecast, most_bps))
    for mover in movers:
        for route in mover.routes:
            way = route, mover.criteria.directionality
            if way not in ways:
                ways[way] = [row for row in rows_of(*way) if matters(row)]
    takers: dict[Row, list[int]] = {}
    for number, rows in enumerate(ways.values()):
        for row in rows:
            takers.setdefault(row, []).append(number)
    same: dict[tuple[int, ...], list[Row]] = {}
    for row, numbers in takers.items():
        same.setdefault(tuple(numbers), []).append(row)
    at = {row: i for i, rows in enumerate(same.values()) for row in rows}
    levels = np.zeros((len(same), forecast.slots), dtype=np.int64)
    for i, rows in enumerate(same.values()):
        levels[i] = np.minimum.reduce([_free(forecast, row) for row in rows])
    return Limits(
        levels,
        {way: np.array(sorted({at[row] for row in rows}), int) for way, rows in ways.items()},
    )


def _matters(forecast: Forecast, most_bps: int, row: Row) -> bool:
    """Whether something is known of it, and it is not as wide as all of them, or as a port."""
    free = forecast.of(row)
    if free is None or free.min() >= most_bps:
        return False
    if row[0] in (IN, OUT):
        return True
    ports = (forecast.of((IN, row[0])), forecast.of((OUT, row[1])))
    return not any(port is not None and bool((free >= port).all()) for port in ports)


def _free(forecast: Forecast, row: Row) -> Levels:
    free = forecast.of(row)
    assert free is not None
    return free
