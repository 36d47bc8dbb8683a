"""Flow slots: a partition in proportion, evenly spread."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import gcd

from hypothesis import given, strategies as st

from substrate.slots import SLOTS_MAX, share_slots

G = 10**9
bandwidths_of = st.lists(st.integers(1, 10**12), min_size=1, max_size=SLOTS_MAX)


@given(bandwidths_of)
def test_slots_are_a_partition_with_one_for_everybody(bandwidths: list[int]) -> None:
    count, slots = share_slots(bandwidths)
    assert len(slots) == len(bandwidths)
    assert len(bandwidths) <= count <= SLOTS_MAX
    assert sorted(slot for own in slots for slot in own) == list(range(count))
    assert all(own == tuple(sorted(own)) and own for own in slots)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 100))
def test_small_proportions_are_exact_and_as_short_as_can_be(weights: list[int], unit: int) -> None:
    count, slots = share_slots([weight * unit * G for weight in weights])
    assert count == sum(weights) // gcd(*weights)
    assert [Fraction(len(own), count) for own in slots] == [
        Fraction(weight, sum(weights)) for weight in weights
    ]


@given(st.lists(st.integers(1, 10**12), min_size=2, max_size=4))
def test_whoever_is_due_a_slot_is_at_most_one_off(bandwidths: list[int]) -> None:
    total = sum(bandwidths)
    count, slots = share_slots(bandwidths)
    if all(bps * SLOTS_MAX >= total for bps in bandwidths):
        off = [abs(len(o) / count - b / total) for o, b in zip(slots, bandwidths, strict=True)]
        assert max(off) <= 1 / SLOTS_MAX + 1e-9


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_slots_of_a_path_are_spread_over_the_whole_round(weights: list[int]) -> None:
    count, slots = share_slots(weights)
    for own in slots:
        for until in range(1, count + 1):
            due = until * len(own) / count
            assert abs(sum(slot < until for slot in own) - due) <= len(slots)


@given(bandwidths_of)
def test_more_bandwidth_never_has_fewer_slots(bandwidths: list[int]) -> None:
    _, slots = share_slots(bandwidths)
    ranked = sorted(zip(bandwidths, slots, strict=True), key=lambda pair: pair[0])
    for (less, few), (more, many) in pairwise(ranked):
        assert less == more or len(few) <= len(many)


def test_two_equal_paths_alternate() -> None:
    assert share_slots([5, 5]) == (2, ((0,), (1,)))
    assert share_slots([100 * G, 50 * G]) == (3, ((0, 2), (1,)))
    assert share_slots([7]) == (1, ((0,),))
