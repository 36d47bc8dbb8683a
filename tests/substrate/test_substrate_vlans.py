"""Sets of VLANs against Python's own sets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from substrate.vlans import ALL_VLANS, EMPTY, VLAN_MAX, VLAN_MIN, VlanSet

ids = st.frozensets(st.integers(VLAN_MIN, VLAN_MAX) | st.integers(1, 20), max_size=40)


@given(ids, ids)
def test_operations_are_those_of_sets(a: frozenset[int], b: frozenset[int]) -> None:
    one, other = VlanSet.of(*a), VlanSet.of(*b)
    assert set(one & other) == a & b
    assert set(one | other) == a | b
    assert set(one - other) == a - b
    assert len(one) == len(a)
    assert bool(one) == bool(a)
    assert one.lowest() == min(a, default=None)
    assert (one == other) == (a == b)


@given(ids, st.integers(-5, VLAN_MAX + 5))
def test_membership_is_that_of_sets(a: frozenset[int], vlan: int) -> None:
    assert (vlan in VlanSet.of(*a)) == (vlan in a)


@given(ids)
def test_iteration_ascends(a: frozenset[int]) -> None:
    assert list(VlanSet.of(*a)) == sorted(a)


@given(ids)
def test_text_and_ranges_are_read_back(a: frozenset[int]) -> None:
    vlans = VlanSet.of(*a)
    assert VlanSet.parse(str(vlans)) == vlans
    assert VlanSet.from_ranges(vlans.ranges()) == vlans


@given(ids)
def test_ranges_are_as_few_as_can_be(a: frozenset[int]) -> None:
    ranges = VlanSet.of(*a).ranges()
    assert all(first <= last for first, last in ranges)
    assert all(left[1] + 1 < right[0] for left, right in pairwise(ranges))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        (" ", set()),
        ("7", {7}),
        ("7,", {7}),
        (" 3-5 , 9 ", {3, 4, 5, 9}),
        ("5-8,7-9", {5, 6, 7, 8, 9}),
        ("1,4094", {1, 4094}),
    ],
)
def test_parse_reads(text: str, expected: set[int]) -> None:
    assert set(VlanSet.parse(text)) == expected


@pytest.mark.parametrize(
    "text", ["x", "1-x", "-5", "5-", "0", "4095", "9-3", "1-2-3", "1.5", "0-7"]
)
def test_parse_refuses_and_names_what_was_written(text: str) -> None:
    with pytest.raises(ValueError, match=r"VLAN") as caught:
        VlanSet.parse(text)
    assert text.partition("-")[0] in str(caught.value)


@pytest.mark.parametrize("vlan", [0, -1, 4095])
def test_of_refuses_what_is_no_vlan(vlan: int) -> None:
    with pytest.raises(ValueError, match="1-4094"):
        VlanSet.of(vlan)


def test_all_and_empty() -> None:
    assert len(ALL_VLANS) == 4094
    assert str(ALL_VLANS) == "1-4094"
    assert not EMPTY
    assert EMPTY.lowest() is None
    assert EMPTY.ranges() == ()
    assert hash(VlanSet.parse("1-3")) == hash(VlanSet.of(3, 2, 1))


@given(
    st.sets(st.integers(1, 4094), min_size=1) | st.integers(2, 4094).map(lambda n: {*range(1, n)}),
    st.data(),
)
def test_the_nth_is_what_counting_finds(vlans: set[int], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(vlans) - 1))
    assert VlanSet.of(*vlans).nth(index) == sorted(vlans)[index]
    assert list(VlanSet.of(*vlans)) == sorted(vlans)


@given(st.sets(st.integers(VLAN_MIN, VLAN_MAX), max_size=400))
def test_many_ranges_are_found_as_few_are(vlans: set[int]) -> None:
    found = VlanSet.of(*vlans)
    assert {v for first, last in found.ranges() for v in range(first, last + 1)} == vlans
    assert list(found) == sorted(vlans)
    whole = ALL_VLANS - found
    assert VlanSet.from_ranges(whole.ranges()) == whole
