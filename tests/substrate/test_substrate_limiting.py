"""Rows that cannot limit circuits that are placed together are left out, and no others."""

from __future__ import annotations

import numpy as np

from substrate.forecast import Forecast
from substrate.limiting import limits_of
from substrate.model import Bend, Criteria, Directionality, Window
from substrate.options import Supply
from substrate.routes import Crossing, Route
from substrate.settling import IN, OUT, Mover, Row

ONE_WAY = Directionality.UNIDIRECTIONAL
WEST = Crossing("west", "west:host", "west:east")
EAST = Crossing("east", "east:west", "east:host")
LINK = Route((WEST, EAST), 1)
INSIDE = Route((Crossing("east", "east:lab", "east:host"),), 0)
HELD: Row = (OUT, "west:east")
ENTERED: Row = (IN, "east:west")


def forecast(levels: dict[Row, list[int]]) -> Forecast:
    return Forecast((0, 10, 20), tuple(levels), np.array([*levels.values()], np.int64), Supply())


def mover(*routes: Route, bps: int = 100) -> Mover:
    bend = Bend(volume_bytes=100)
    wanted = Criteria("west:host", "east:host", bps, Window(0, 20), ONE_WAY, bend=bend)
    return Mover(wanted, dict.fromkeys(routes, 1))


def test_of_both_ends_of_a_link_the_lesser_counts() -> None:
    limits = limits_of(forecast({HELD: [70, 30], ENTERED: [50, 40]}), [mover(LINK)])
    assert limits.levels.tolist() == [[50, 30]]


def test_where_other_routes_enter_too_both_rows_count() -> None:
    row = (OUT, "east:host")
    limits = limits_of(forecast({HELD: [70, 30], row: [50, 40]}), [mover(LINK, INSIDE)])
    assert sorted(limits.levels.tolist()) == [[50, 40], [70, 30]]
    assert limits.alone((INSIDE, ONE_WAY), [range(0, 1), range(1, 2)]).tolist() == [50, 40]
    assert limits.alone((LINK, ONE_WAY), [range(0, 2)]).tolist() == [30]
    overlapping = [range(0, 2), range(0, 1), range(1, 2)]
    assert limits.alone((INSIDE, ONE_WAY), overlapping).tolist() == [40, 50, 40]


def test_the_way_between_two_ports_counts_only_where_it_is_narrower_than_both() -> None:
    between: Row = (WEST.ingress_stp, WEST.egress_stp)
    wide = limits_of(forecast({HELD: [70, 30], between: [70, 30]}), [mover(LINK)])
    assert wide.levels.tolist() == [[70, 30]]
    narrow = limits_of(forecast({HELD: [70, 30], between: [60, 35]}), [mover(LINK, INSIDE)])
    assert narrow.alone((LINK, ONE_WAY), [range(0, 1), range(1, 2)]).tolist() == [60, 30]


def test_what_is_wider_than_all_of_them_does_not_count() -> None:
    movers = [mover(LINK), mover(LINK)]
    assert len(limits_of(forecast({HELD: [202, 202]}), movers).levels) == 0
    assert len(limits_of(forecast({HELD: [202, 201]}), movers).levels) == 1
    nothing = limits_of(forecast({HELD: [202, 202]}), movers)
    assert nothing.alone((LINK, ONE_WAY), [range(0, 1)])[0] > 202
