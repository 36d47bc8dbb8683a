"""Rates as people write them: short, or so that no bit is lost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from substrate.rates import PREFIXES, about, exactly

UNITS = {f"{prefix}b/s": size for prefix, size in PREFIXES}


@pytest.mark.parametrize(
    ("bandwidth_bps", "text"),
    [
        (0, "0 b/s"),
        (999, "999 b/s"),
        (1_000, "1 kb/s"),
        (2_500_000_000, "2.5 Gb/s"),
        (100_000_000_000, "100 Gb/s"),
        (1_200_000_000_000, "1.2 Tb/s"),
    ],
)
def test_a_rate_is_told_in_the_largest_unit_of_which_it_has_one(
    bandwidth_bps: int, text: str
) -> None:
    assert about(bandwidth_bps) == exactly(bandwidth_bps) == text


@given(st.integers(0, 10**15 - 1))
def test_what_is_told_exactly_is_the_very_same(bandwidth_bps: int) -> None:
    amount, unit = exactly(bandwidth_bps).split()
    assert Decimal(amount) * UNITS.get(unit, 1) == bandwidth_bps


def test_what_is_one_bit_short_is_told_apart_where_it_matters() -> None:
    assert about(10**11 - 1) == "100 Gb/s"
    assert exactly(10**11 - 1) == "99.999999999 Gb/s"
