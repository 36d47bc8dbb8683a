"""Amounts and times as people write them, and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from braid.units import (
    format_bandwidth,
    format_duration,
    format_time,
    parse_bandwidth,
    parse_duration,
    parse_latency,
    parse_size,
    parse_time,
    parse_vlans,
)

BERLIN = ZoneInfo("Europe/Berlin")
NOT_AMOUNTS = ["", " ", "G", "0", "0G", "-1G", "nan", "inf", "-inf", "1e9", "1,5G", "10 X", "ten"]


def at(text: str, zone: timezone | ZoneInfo = UTC) -> int:
    """UTC seconds of an ISO time in a zone."""
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def outcome(parse: Callable[[str], int], text: str) -> tuple[int, str]:
    """The value, or 0 and the reason why there is none."""
    try:
        return parse(text), ""
    except ValueError as error:
        return 0, str(error)


# 2026-11-20 was a Friday.
NOW = at("2026-11-20T12:00:00")


@pytest.mark.parametrize(
    ("text", "bandwidth_bps"),
    [
        ("10G", 10 * 10**9),
        ("2.5Gb/s", 2_500_000_000),
        ("2.5 gbit/s", 2_500_000_000),
        ("100M", 10**8),
        ("64 kbps", 64_000),
        ("1.6T", 1_600_000_000_000),
        ("999", 999),
        (1_000_000, 1_000_000),
        (2.5e9, 2_500_000_000),
        (" 400 M ", 400_000_000),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_bandwidth_is_read(text: str, bandwidth_bps: int) -> None:
    assert parse_bandwidth(text) == bandwidth_bps


@pytest.mark.parametrize("text", [*NOT_AMOUNTS, "0.4", 0, -1, True, float("nan"), float("inf")])
def test_what_is_not_a_bandwidth_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not a bandwidth; possible: 10G"):
        parse_bandwidth(text)


@pytest.mark.parametrize("text", ["10GB", "10 GB/s", "10GBps", "1B"])
def test_bytes_are_not_taken_for_bits(text: str) -> None:
    with pytest.raises(ValueError, match="B is bytes"):
        parse_bandwidth(text)


@given(st.integers(1, 10**15))
def test_a_number_of_bits_per_second_is_itself(bandwidth_bps: int) -> None:
    assert parse_bandwidth(bandwidth_bps) == parse_bandwidth(str(bandwidth_bps)) == bandwidth_bps


@given(st.integers(1, 10**15))
def test_a_shown_bandwidth_reads_back_to_six_digits(bandwidth_bps: int) -> None:
    again = parse_bandwidth(format_bandwidth(bandwidth_bps))
    assert abs(again - bandwidth_bps) <= bandwidth_bps * 5e-6


@given(st.text())
def test_any_text_is_a_bandwidth_or_a_value_error(text: str) -> None:
    for parse in (parse_bandwidth, parse_size, parse_duration, parse_latency):
        value, reason = outcome(parse, text)
        assert value > 0 or "possible:" in reason


@pytest.mark.parametrize("digits", [400, 5000])
def test_endless_numbers_are_refused(digits: int) -> None:
    text = "9" * digits
    for parse in (parse_bandwidth, parse_size, parse_duration, parse_latency):
        with pytest.raises(ValueError, match="possible:"):
            parse(text)
        with pytest.raises(ValueError, match="possible:"):
            parse(text + "s")


@pytest.mark.parametrize(
    ("bandwidth_bps", "text"),
    [
        (10**10, "10 Gb/s"),
        (2_500_000_000, "2.5 Gb/s"),
        (1_600_000_000_000, "1.6 Tb/s"),
        (1500, "1.5 kb/s"),
        (999, "999 b/s"),
        (0, "0 b/s"),
    ],
)
def test_a_bandwidth_is_shown(bandwidth_bps: int, text: str) -> None:
    assert format_bandwidth(bandwidth_bps) == text


@pytest.mark.parametrize(("text", "size"), [("40TB", 40 * 10**12), ("500 GB", 5 * 10**11)])
def test_a_size_is_read_in_powers_of_ten(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", [*NOT_AMOUNTS, "40Tb"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not a size; possible: 40TB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("90m", 5400),
        ("90min", 5400),
        ("2h", 7200),
        ("1d12h", 129_600),
        ("1d 12h", 129_600),
        ("1w", 604_800),
        ("1.5h", 5400),
        ("45", 45),
        (45, 45),
    ],
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", [*NOT_AMOUNTS, "2 hours", "h2", "1d-2h", "+1h", 0, -5])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; possible: 30s"):
        parse_duration(text)


@given(st.integers(1, 10**9))
def test_a_shown_duration_reads_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "latency_us"), [("5ms", 5000), ("250us", 250), ("0.1s", 100_000), (70, 70)]
)
def test_a_latency_is_read(text: str, latency_us: int) -> None:
    assert parse_latency(text) == latency_us


@pytest.mark.parametrize("text", [*NOT_AMOUNTS, "5 min", 0])
def test_what_is_not_a_latency_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a latency; possible: 250us"):
        parse_latency(text)


def test_a_latency_of_nothing_is_read_where_it_means_something() -> None:
    assert parse_latency("0", least=0) == parse_latency("0ms", least=0) == 0
    with pytest.raises(ValueError, match="is not a latency"):
        parse_latency("-1ms", least=0)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("100", [(100, 100)]),
        ("100-199", [(100, 199)]),
        ("100-199,300", [(100, 199), (300, 300)]),
        (" 1 - 4094 ", [(1, 4094)]),
    ],
)
def test_vlans_are_read(text: str, ranges: list[tuple[int, int]]) -> None:
    assert parse_vlans(text) == ranges


@pytest.mark.parametrize("text", ["", "a", "100-", "-100", "100,,200", "1.5", "100-200-300"])
def test_what_are_not_vlans_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a VLAN; possible: 100-199,300"):
        parse_vlans(text)


@pytest.mark.parametrize("text", ["0", "4095", "4000-5000", "200-100"])
def test_vlans_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is not within VLANs 1-4094"):
        parse_vlans(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("now", "2026-11-20T12:00:00"),
        ("NOW", "2026-11-20T12:00:00"),
        ("+10m", "2026-11-20T12:10:00"),
        ("+1d12h", "2026-11-22T00:00:00"),
        ("18:00", "2026-11-20T18:00:00"),
        ("06:00", "2026-11-21T06:00:00"),
        ("12:00", "2026-11-21T12:00:00"),
        ("06:00:30", "2026-11-21T06:00:30"),
        ("today 18:00", "2026-11-20T18:00:00"),
        ("today 06:00", "2026-11-20T06:00:00"),
        ("tomorrow 06:00", "2026-11-21T06:00:00"),
        ("Monday 06:00", "2026-11-23T06:00:00"),
        ("friday 18:00", "2026-11-20T18:00:00"),
        ("friday 06:00", "2026-11-27T06:00:00"),
        ("2027-01-31T06:00", "2027-01-31T06:00:00"),
        ("2027-01-31 06:00", "2027-01-31T06:00:00"),
        ("2027-01-31T06:00Z", "2027-01-31T06:00:00"),
        ("2027-01-31T06:00+02:00", "2027-01-31T04:00:00"),
        ("2027-01-31", "2027-01-31T00:00:00"),
    ],
)
def test_a_time_is_read(text: str, found: str) -> None:
    assert parse_time(text, NOW, UTC) == at(found)


def test_a_number_is_a_time_in_utc_seconds() -> None:
    assert parse_time(NOW, NOW) == parse_time(str(NOW), 0) == NOW


@pytest.mark.parametrize(
    "text",
    [
        *("", "then", "+", "+10x", "-10m", "25:00", "06:60", "06:00:99", "yesterday 06:00"),
        *("tomorrow", "someday 06:00", "monday tuesday 06:00", "2027-02-30", "nan", "9" * 30),
    ],
)
def test_what_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a (time|duration); possible: "):
        parse_time(text, NOW, UTC)


@given(st.text())
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    value, reason = outcome(lambda given: parse_time(given, NOW, UTC), text)
    assert value != 0 or "possible:" in reason


def test_a_time_without_a_zone_is_meant_in_the_zone_given() -> None:
    east = timezone(timedelta(hours=9))
    assert parse_time("tomorrow 06:00", NOW, east) == at("2026-11-21T06:00:00", east)
    assert parse_time("2027-01-31T06:00", NOW, east) == at("2027-01-31T06:00:00", east)
    # In the east it is already 21:00.
    assert parse_time("today 22:00", NOW, east) == at("2026-11-20T22:00:00", east)


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ("2027-03-27T12:00:00", "2027-03-28T06:00:00"),
        ("2026-10-24T12:00:00", "2026-10-25T06:00:00"),
    ],
)
def test_six_in_the_morning_is_six_also_after_the_clocks_change(now: str, found: str) -> None:
    assert parse_time("tomorrow 06:00", at(now, BERLIN), BERLIN) == at(found, BERLIN)
    assert parse_time("06:00", at(now, BERLIN), BERLIN) == at(found, BERLIN)
    assert parse_time("sunday 06:00", at(now, BERLIN), BERLIN) == at(found, BERLIN)


def test_the_machines_own_zone_is_meant_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        now = at("2027-03-27T12:00:00", BERLIN)
        assert parse_time("tomorrow 06:00", now) == at("2027-03-28T06:00:00", BERLIN)
        assert parse_time("2027-07-01T06:00", now) == at("2027-07-01T06:00:00", BERLIN)
        assert format_time(at("2027-07-01T06:00:00", BERLIN)) == "2027-07-01 06:00:00 CEST"
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.integers(0, 2**33))
def test_a_shown_time_reads_back(at_s: int) -> None:
    shown = format_time(at_s, UTC)
    assert shown.endswith(" UTC")
    assert parse_time(shown.removesuffix(" UTC"), NOW, UTC) == at_s
