"""The checker's own reckoning of what fits, against cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.messages import Joint, ReservationPrep
from simulations.faults.capacity import overbooked
from substrate.model import Directionality, Segment, Window

PORTS = {"m1:west": 100, "m1:east": 100}


def prep(
    reservation_id: str,
    bandwidth_bps: int,
    vlan: int = 100,
    start_s: int = 0,
    end_s: int = 10,
    part_id: str = "p",
    directionality: Directionality = Directionality.BIDIRECTIONAL,
    way: tuple[str, str] = ("m1:west", "m1:east"),
) -> ReservationPrep:
    segment = Segment("s", way[0], vlan, way[1], vlan, bandwidth_bps, directionality)
    window = Window(start_s, end_s)
    return ReservationPrep("t", part_id, reservation_id, 1, (segment,), window, "braid", 0)


def test_nothing_fits_and_so_does_exactly_all() -> None:
    assert overbooked([], PORTS) == ""
    assert overbooked([prep("one", 40), prep("two", 60, vlan=101)], PORTS) == ""


def test_one_bit_too_much_is_too_much() -> None:
    problem = overbooked([prep("one", 41), prep("two", 60, vlan=101)], PORTS)
    assert problem == "m1:west in carries 101 bit/s of 100 at 0 s"


def test_windows_that_only_touch_do_not_add_up() -> None:
    first, second = prep("one", 80), prep("two", 80, start_s=10, end_s=20)
    assert overbooked([first, second], PORTS) == ""
    assert "at 9 s" in overbooked([first, prep("two", 80, 101, 9, 20)], PORTS)


def test_the_middle_of_three_windows_counts() -> None:
    held = [prep("one", 50, 100, 0, 10), prep("two", 50, 101, 5, 15), prep("three", 1, 102, 8, 9)]
    assert "at 8 s" in overbooked(held, PORTS)


def test_versions_of_one_reservation_are_alternatives() -> None:
    old, new = prep("one", 80, part_id="old"), prep("one", 90, part_id="new")
    assert overbooked([old, new], PORTS) == ""
    assert overbooked([old, new, prep("two", 10, 101)], PORTS) == ""
    assert "carries 101" in overbooked([old, new, prep("two", 11, 101)], PORTS)


@pytest.mark.parametrize(
    ("comes_bps", "problem"), [(70, ""), (71, "m1:west in carries 101 bit/s of 100 at 0 s")]
)
def test_of_what_is_decided_together_the_larger_outcome_counts(
    comes_bps: int, problem: str
) -> None:
    joint = Joint("j", (("one", 2), ("two", 1)))
    before = prep("one", 80, part_id="old")
    after = replace(prep("one", 30, part_id="new"), version=2, joint=joint)
    comes = replace(prep("two", comes_bps, 101), joint=joint)
    assert overbooked([before, after, comes], PORTS) == problem
    assert "carries" in overbooked([before, after, comes, prep("three", 1, 102)], PORTS)


def test_directions_are_reckoned_apart() -> None:
    one_way = Directionality.UNIDIRECTIONAL
    there = prep("one", 80, directionality=one_way)
    back = prep("two", 80, 101, directionality=one_way, way=("m1:east", "m1:west"))
    assert overbooked([there, back], PORTS) == ""
    assert overbooked([there, prep("two", 80, 101)], PORTS) != ""


def test_a_label_is_held_by_one_reservation_at_a_time() -> None:
    held = [prep("one", 1), prep("two", 1, start_s=5)]
    assert overbooked(held, PORTS) == "VLAN 100 at m1:west is held by two reservations at 5 s"
    assert overbooked([prep("one", 1), prep("two", 1, start_s=10, end_s=11)], PORTS) == ""
    assert overbooked([prep("one", 1), prep("one", 1, part_id="new")], PORTS) == ""


def test_a_label_that_is_held_long_meets_those_that_come_after_others() -> None:
    held = [
        prep("one", 1, start_s=0, end_s=100),
        prep("one", 1, part_id="new", start_s=10, end_s=20),
        prep("two", 1, start_s=30, end_s=40),
    ]
    assert overbooked(held, PORTS) == "VLAN 100 at m1:west is held by two reservations at 30 s"
