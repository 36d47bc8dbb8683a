"""Bandwidths, times and sizes as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from braid import units

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("text", "bps"),
    [
        ("10G", 10**10),
        ("2.5Gb/s", 25 * 10**8),
        ("400M", 4 * 10**8),
        ("1 tbps", 10**12),
        ("1000", 1000),
        (1000, 1000),
        ("0.5k", 500),
        ("64 kbit/s", 64_000),
    ],
)
def test_bandwidths(text: str | int, bps: int) -> None:
    assert units.parse_bandwidth(text) == bps


@pytest.mark.parametrize(
    "text", ["", "0", "-1G", "nan", "inf", "1e9", "fast", "10X", "G", "0.1", "1,5G", "١G", 0, -5]
)
def test_what_is_not_a_bandwidth_says_so(text: str | int) -> None:
    with pytest.raises(ValueError, match="not a bandwidth"):
        units.parse_bandwidth(text)


@given(st.integers(1, 10**6), st.sampled_from(["", "k", "M", "G", "T"]))
def test_a_formatted_bandwidth_reads_back(amount: int, prefix: str) -> None:
    bps = units.parse_bandwidth(f"{amount}{prefix}")
    read = units.parse_bandwidth(units.format_bandwidth(bps))
    assert abs(read - bps) <= bps * 1e-5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90m", 5400), ("1d12h", 129_600), ("30s", 30), ("45", 45), ("1.5h", 5400),
     ("1w", 604_800), ("10min", 600), ("1h 30m", 5400), (7, 7)],
)  # fmt: skip
def test_durations(text: str | int, seconds: int) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1h", "soon", "1x", "h", "1h!"])
def test_what_is_not_a_duration_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        units.parse_duration(text)


@given(st.integers(1, 10**7))
def test_a_formatted_duration_reads_back(seconds: int) -> None:
    assert units.parse_duration(units.format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", NOW),
        ("+10m", NOW + timedelta(minutes=10)),
        ("06:00", datetime(2026, 11, 21, 6, tzinfo=UTC)),
        ("18:00", datetime(2026, 11, 20, 18, tzinfo=UTC)),
        ("today 18:00:30", datetime(2026, 11, 20, 18, 0, 30, tzinfo=UTC)),
        ("tomorrow 06:00", datetime(2026, 11, 21, 6, tzinfo=UTC)),
        ("friday 06:00", datetime(2026, 11, 27, 6, tzinfo=UTC)),
        ("friday 18:00", datetime(2026, 11, 20, 18, tzinfo=UTC)),
        ("Monday 00:00", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2027-01-31T06:00", datetime(2027, 1, 31, 6, tzinfo=UTC)),
        ("2027-01-31T06:00+01:00", datetime(2027, 1, 31, 5, tzinfo=UTC)),
        ("2027-01-31 06:00Z", datetime(2027, 1, 31, 6, tzinfo=UTC)),
    ],
)
def test_times(text: str, at: datetime) -> None:
    assert units.parse_time(text, NOW_S, UTC) == int(at.timestamp())


def test_a_time_without_a_zone_is_meant_in_the_users() -> None:
    zone = timezone(timedelta(hours=5))
    assert units.parse_time("2027-01-31T06:00", NOW_S, zone) == int(
        datetime(2027, 1, 31, 1, tzinfo=UTC).timestamp()
    )
    assert units.parse_time("18:00", NOW_S, zone) == NOW_S + 3600


def test_utc_seconds_are_taken_as_they_are() -> None:
    assert units.parse_time(1_800_000_000, NOW_S) == 1_800_000_000


@pytest.mark.parametrize(
    "text", ["", "whenever", "25:00", "12:61", "someday 12:00", "+", "2027-13-01"]
)
def test_what_is_not_a_time_says_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a (time|duration)"):
        units.parse_time(text, NOW_S, UTC)


def test_times_are_shown_with_their_zone() -> None:
    assert units.format_time(NOW_S, UTC) == "2026-11-20 12:00:00 UTC"


@pytest.mark.parametrize(
    ("text", "us"), [("5ms", 5000), ("250us", 250), ("0.1s", 100_000), ("7", 7), ("1.5 ms", 1500)]
)
def test_latencies(text: str, us: int) -> None:
    assert units.parse_latency(text) == us


@pytest.mark.parametrize("text", ["", "0", "fast", "-1ms", "1h"])
def test_what_is_not_a_latency_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="not a latency"):
        units.parse_latency(text)


@pytest.mark.parametrize(
    ("text", "share"), [("20%", 0.2), (" 12.5 % ", 0.125), ("0.2", 0.2), (0.05, 0.05)]
)
def test_shares(text: str | float, share: float) -> None:
    assert units.parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "0", "0%", "100%", "1", "20", "-5%", "20%%", "20% of", "few"])
def test_what_is_not_a_share_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="not a share"):
        units.parse_share(text)


def test_vlans() -> None:
    assert units.parse_vlans("100-199, 300") == [(100, 199), (300, 300)]


@pytest.mark.parametrize("text", ["", "a", "0", "4095", "9-5", "1-", "-1", "1,,2"])
def test_what_are_not_vlans_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="VLAN"):
        units.parse_vlans(text)


@pytest.mark.parametrize(
    ("text", "volume_bytes"),
    [
        ("40TB", 40 * 10**12),
        ("40 TB", 40 * 10**12),
        ("500G", 500 * 10**9),
        ("2.5kB", 2500),
        ("1.5TiB", 3 * 2**39),
        ("1KiB", 1024),
        ("2PiB", 2**51),
        ("1EB", 10**18),
        ("1.5EiB", 3 * 2**59),
        ("7B", 7),
        ("123456789", 123_456_789),
        (10**15 + 1, 10**15 + 1),
        (4e13, 4 * 10**13),
    ],
)
def test_volumes(text: str | float, volume_bytes: int) -> None:
    assert units.parse_volume(text) == volume_bytes


@pytest.mark.parametrize(
    "text", ["", "lots", "0", "-1TB", "1iB", "TB", "1e9", "1e", "0.1", "4 0TB"]
)
def test_what_is_not_a_volume_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="is not a volume; possible: 40TB"):
        units.parse_volume(text)


@pytest.mark.parametrize(
    ("volume_bytes", "text"),
    [(40 * 10**12, "40 TB"), (1_500_000, "1.5 MB"), (999, "999 B"), (2**40, "1.09951 TB")],
)
def test_a_volume_is_shown_in_powers_of_ten(volume_bytes: int, text: str) -> None:
    assert units.format_volume(volume_bytes) == text


@given(st.integers(1, 10**18))
def test_a_formatted_volume_reads_back(volume_bytes: int) -> None:
    read = units.parse_volume(units.format_volume(volume_bytes))
    assert abs(read - volume_bytes) <= volume_bytes * 1e-5


@pytest.mark.parametrize(
    ("text", "end_s"),
    [
        ("12h", NOW_S + 3600 + 43_200),
        (600, NOW_S + 4200),
        ("+12h", NOW_S + 43_200),
        ("tomorrow 06:00", int(datetime(2026, 11, 21, 6, tzinfo=UTC).timestamp())),
        (1_900_000_000, 1_900_000_000),
    ],
)
def test_an_end_is_a_duration_from_the_start_or_a_time(text: str | int, end_s: int) -> None:
    assert units.parse_end(text, NOW_S + 3600, NOW_S, UTC) == end_s


@pytest.mark.parametrize("text", ["", "late", "-12h", "12 hours"])
def test_what_is_not_an_end_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="is neither a duration nor a time; possible: 90m"):
        units.parse_end(text, NOW_S, NOW_S, UTC)
