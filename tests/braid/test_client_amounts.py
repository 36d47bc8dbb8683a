"""Amounts that are easily misread: bytes, endless numbers, half-right words, changing clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from braid.units import (
    format_bandwidth,
    format_time,
    parse_bandwidth,
    parse_duration,
    parse_latency,
    parse_time,
    parse_volume,
)

BERLIN = ZoneInfo("Europe/Berlin")
AMOUNTS = (parse_bandwidth, parse_volume, parse_duration, parse_latency)


def at(text: str, zone: ZoneInfo = BERLIN) -> int:
    """UTC seconds of an ISO time in a zone."""
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def outcome(parse: Callable[[str], int], text: str) -> tuple[int, str]:
    """The value, or 0 and the reason why there is none."""
    try:
        return parse(text), ""
    except ValueError as error:
        return 0, str(error)


@pytest.mark.parametrize("text", ["10GB", "10 GB/s", "10GBps", "1B"])
def test_bytes_are_not_taken_for_bits(text: str) -> None:
    with pytest.raises(ValueError, match="B is bytes"):
        parse_bandwidth(text)


@pytest.mark.parametrize("text", ["40Tb", "40 Tbit", "7bits"])
def test_bits_are_not_taken_for_bytes(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a volume \(b is bits\); possible: 40TB"):
        parse_volume(text)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, 0.0, True])
def test_a_number_that_is_no_bandwidth_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="is not a bandwidth; possible: 10G"):
        parse_bandwidth(number)


@given(st.integers(1, 10**18))
def test_a_number_keeps_every_digit(bandwidth_bps: int) -> None:
    assert parse_bandwidth(bandwidth_bps) == parse_bandwidth(str(bandwidth_bps)) == bandwidth_bps


def test_a_float_is_read_without_its_exponent() -> None:
    assert parse_bandwidth(2.5e17) == 25 * 10**16
    assert parse_duration(1.5e3) == 1500
    assert parse_time(1.8e9 + 0.5, 0) == 1_800_000_000


@pytest.mark.parametrize("text", ["2 hours", "1d-2h", "h2", "+1h", "1h and 2m"])
def test_a_duration_that_is_half_right_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; possible: 30s"):
        parse_duration(text)


@pytest.mark.parametrize("digits", [400, 5000])
def test_endless_numbers_are_refused(digits: int) -> None:
    for parse in AMOUNTS:
        for text in ("9" * digits, "9" * digits + "s"):
            with pytest.raises(ValueError, match="possible:"):
                parse(text)
    with pytest.raises(ValueError, match="is not a time"):
        parse_time("9" * digits, 0, UTC)


@given(st.text())
def test_any_text_is_an_amount_or_a_value_error_that_helps(text: str) -> None:
    for parse in AMOUNTS:
        value, reason = outcome(parse, text)
        assert value > 0 or "possible:" in reason


@given(st.text())
def test_any_text_is_a_time_or_a_value_error_that_helps(text: str) -> None:
    value, reason = outcome(lambda given: parse_time(given, 10**9, UTC), text)
    assert value != 0 or reason == "" or "possible:" in reason


def test_no_latency_at_all_is_read_where_it_means_something() -> None:
    assert parse_latency("0", least=0) == parse_latency("0ms", least=0) == 0
    with pytest.raises(ValueError, match="is not a latency"):
        parse_latency("-1ms", least=0)


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ("2027-03-27T12:00:00", "2027-03-28T06:00:00"),
        ("2026-10-24T12:00:00", "2026-10-25T06:00:00"),
    ],
)
def test_six_in_the_morning_is_six_also_after_the_clocks_change(
    now: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        for zone in (None, BERLIN):
            for text in ("06:00", "tomorrow 06:00", "sunday 06:00", found):
                assert parse_time(text, at(now), zone) == at(found), (zone, text)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_is_shown_as_the_clocks_stood_then() -> None:
    assert format_time(at("2027-01-31T06:00:00"), BERLIN) == "2027-01-31 06:00:00 CET"
    assert format_time(at("2027-07-31T06:00:00"), BERLIN) == "2027-07-31 06:00:00 CEST"


@given(st.integers(0, 2**33))
def test_a_shown_time_reads_back(at_s: int) -> None:
    assert parse_time(format_time(at_s, UTC).removesuffix(" UTC"), 0, UTC) == at_s


@pytest.mark.parametrize(
    ("bandwidth_bps", "text"), [(999, "999 b/s"), (1500, "1.5 kb/s"), (0, "0 b/s")]
)
def test_a_small_bandwidth_is_shown(bandwidth_bps: int, text: str) -> None:
    assert format_bandwidth(bandwidth_bps) == text
