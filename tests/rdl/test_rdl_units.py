"""Amounts are exact, have units, and are written as people would."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from rdl.units import (
    AMOUNT_MAX,
    SPELLINGS,
    Amount,
    Unit,
    format_amount,
    parse_amount,
    readable,
)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("10 Gb/s", 10**10, Unit.BANDWIDTH_BPS),
        ("2.5Gb/s", 2_500_000_000, Unit.BANDWIDTH_BPS),
        ("7 b/s", 7, Unit.BANDWIDTH_BPS),
        ("8 GiB", 8 << 30, Unit.DATA_BYTES),
        ("100 GB", 10**11, Unit.DATA_BYTES),
        ("0 B", 0, Unit.DATA_BYTES),
        ("4 cores", 4000, Unit.COMPUTE_MCORES),
        ("1 core", 1000, Unit.COMPUTE_MCORES),
        ("0.5 cores", 500, Unit.COMPUTE_MCORES),
        ("1500 mcores", 1500, Unit.COMPUTE_MCORES),
        ("2 pieces", 2, Unit.COUNT_PIECES),
        ("5 ms", 5000, Unit.DURATION_US),
    ],
)
def test_an_amount_is_read(text: str, value: int, unit: Unit) -> None:
    assert parse_amount(text) == Amount(value, unit)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("10", "'10' has no unit; possible: 10 Gb/s, 8 GiB, 4 cores, 2 pieces, 5 ms"),
        ("10G", "'10G' is in the wrong unit"),
        ("10 gb/s", "'10 gb/s' is in the wrong unit"),
        ("-4 cores", "'-4 cores' is negative"),
        ("4,5 cores", "is not an amount"),
        ("four cores", "is not an amount"),
        ("1e3 B", "is not an amount"),
        ("٤ cores", "is not an amount"),
        ("NaN cores", "is not an amount"),
        ("inf B", "is not an amount"),
        ("", "is not an amount"),
        ("0.0001 cores", "is finer than 1 mcores"),
        ("1.5 b/s", "is finer than 1 b/s"),
        ("1001 PB", "is over the most possible, 1000 PB"),
        ("9" * 19 + " PiB", "is over the most possible"),
        ("x" * 100, f"'{'x' * 40}…' is not an amount"),
    ],
)
def test_what_is_no_amount_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="possible") as caught:
        parse_amount(text)
    assert reason in str(caught.value)


def test_an_amount_in_the_wrong_unit_is_refused_with_the_right_one() -> None:
    with pytest.raises(ValueError, match="'8 GiB' is in the wrong unit; possible: 4 cores"):
        parse_amount("8 GiB", Unit.COMPUTE_MCORES)
    assert parse_amount("8 GiB", Unit.DATA_BYTES).value == 8 << 30


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (8 << 30, Unit.DATA_BYTES, "8 GiB"),
        (10**12, Unit.DATA_BYTES, "1 TB"),
        (1025, Unit.DATA_BYTES, "1025 B"),
        (0, Unit.DATA_BYTES, "0 B"),
        (1_500_000_000, Unit.BANDWIDTH_BPS, "1500 Mb/s"),
        (1000, Unit.COMPUTE_MCORES, "1 core"),
        (1, Unit.COMPUTE_MCORES, "1 mcore"),
        (0, Unit.COMPUTE_MCORES, "0 mcores"),
        (1, Unit.COUNT_PIECES, "1 piece"),
        (5000, Unit.DURATION_US, "5 ms"),
    ],
)
def test_an_amount_is_written_in_the_largest_unit_that_is_exact(
    value: int, unit: Unit, text: str
) -> None:
    assert format_amount(Amount(value, unit)) == text


@given(st.integers(0, AMOUNT_MAX), st.sampled_from(Unit))
def test_what_is_written_reads_as_the_same(value: int, unit: Unit) -> None:
    assert parse_amount(str(Amount(value, unit)), unit) == Amount(value, unit)


@pytest.mark.parametrize(
    ("value", "beside", "unit", "text"),
    [
        (8000 << 30, None, Unit.DATA_BYTES, "8000 GiB"),
        (66048 << 20, None, Unit.DATA_BYTES, "64.5 GiB"),
        (2001 * 10**9, None, Unit.DATA_BYTES, "2001 GB"),
        (10**15 - (1 << 40), 10**15, Unit.DATA_BYTES, "998.91 TB"),
        (5 * 10**9, 512 << 30, Unit.DATA_BYTES, "4.66 GiB"),
        (100 << 30, 512 << 30, Unit.DATA_BYTES, "100 GiB"),
        (0, 1 << 30, Unit.DATA_BYTES, "0 B"),
        (7, 1 << 30, Unit.DATA_BYTES, "7 B"),
        (1500, 4000, Unit.COMPUTE_MCORES, "1.5 cores"),
        (500, None, Unit.COMPUTE_MCORES, "500 mcores"),
        (12_345_678, None, Unit.DURATION_US, "12.35 s"),
    ],
)
def test_amounts_that_people_compare_are_short_and_of_one_kind(
    value: int, beside: int | None, unit: Unit, text: str
) -> None:
    other = None if beside is None else Amount(beside, unit)
    assert readable(Amount(value, unit), other) == text


@given(st.integers(0, AMOUNT_MAX), st.none() | st.integers(1, AMOUNT_MAX), st.sampled_from(Unit))
def test_what_is_told_to_people_is_no_less_and_hardly_more(
    value: int, beside: int | None, unit: Unit
) -> None:
    other = None if beside is None else Amount(beside, unit)
    count, _, spelled = readable(Amount(value, unit), other).partition(" ")
    plural = {one[:-1]: factor for one, factor in SPELLINGS[unit].items()}
    told = Decimal(count) * {**plural, **SPELLINGS[unit]}[spelled]
    assert value <= told <= value * Decimal("1.01")


def test_no_spelling_stands_for_two_units() -> None:
    spelled = [text for table in SPELLINGS.values() for text in table]
    assert len(spelled) == len(set(spelled))
