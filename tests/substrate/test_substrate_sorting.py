"""Sorting numbers alone finds the same order as sorting with their places."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from substrate.sorting import order_of, ranges

near = st.integers(-5, 5)
far = st.integers(-(2**62), 2**62)


@given(st.lists(st.one_of(near, far)))
def test_the_order_is_that_of_a_stable_sort(values: list[int]) -> None:
    order = order_of(np.array(values, np.int64)).tolist()
    assert order == sorted(range(len(values)), key=values.__getitem__)


@given(st.lists(near))
def test_what_lies_close_together_is_sorted_as_well(values: list[int]) -> None:
    order = order_of(np.array(values, np.int64)).tolist()
    assert order == sorted(range(len(values)), key=values.__getitem__)


@given(st.lists(st.tuples(near, st.integers(0, 4))))
def test_ranges_are_written_out_in_turn(given_ranges: list[tuple[int, int]]) -> None:
    firsts = np.array([first for first, _ in given_ranges], np.int64)
    lengths = np.array([length for _, length in given_ranges], np.int64)
    numbers, index = ranges(firsts, firsts + lengths)
    expected = [
        (first + i, at) for at, (first, length) in enumerate(given_ranges) for i in range(length)
    ]
    assert list(zip(numbers.tolist(), index.tolist(), strict=True)) == expected
