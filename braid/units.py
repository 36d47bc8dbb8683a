"""Bandwidths, times and sizes as people write them. The wire knows only bit/s and UTC seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

_PREFIX = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)\s*(?:bit/s|bits/s|b/s|bps|bit|b)?\s*", re.I)
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)\s*b?\s*", re.I)
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s*(w|d|h|min|m|s)", re.I)
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "min": 60, "m": 60, "s": 1}
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def parse_bandwidth(text: str | int) -> int:
    """Bit/s from "10G", "2.5 Gb/s", "400M", 1000. Raises ValueError unless it is 1 bit/s or more."""
    if isinstance(text, int):
        text = str(text)
    match = _AMOUNT.fullmatch(text)
    value = round(float(match[1]) * _PREFIX[match[2].lower()]) if match else 0
    if value <= 0:
        raise ValueError(f"'{text}' is not a bandwidth; possible: 10G, 2.5Gb/s, 400M, more than 0")
    return value


def format_bandwidth(bandwidth_bps: int) -> str:
    """ "10 Gb/s", "2.5 Gb/s", "999 b/s"."""
    for prefix in ("p", "t", "g", "m", "k"):
        if bandwidth_bps >= _PREFIX[prefix]:
            shown = prefix if prefix == "k" else prefix.upper()
            return f"{bandwidth_bps / _PREFIX[prefix]:.6g} {shown}b/s"
    return f"{bandwidth_bps} b/s"


def parse_size(text: str | int) -> int:
    """Bytes from "40TB", "500 GB" (powers of ten). Raises ValueError."""
    match = _SIZE.fullmatch(str(text))
    value = round(float(match[1]) * _PREFIX[match[2].lower()]) if match else 0
    if value <= 0:
        raise ValueError(f"'{text}' is not a size; possible: 40TB, 500GB, more than 0")
    return value


def parse_duration(text: str | int) -> int:
    """Seconds from "2h", "90m", "1d12h", "30s", or a number of seconds. Raises ValueError."""
    plain = str(text).strip()
    if plain.isdecimal():
        seconds = float(plain)
    else:
        rest = _PIECE.sub("", plain).strip()
        pieces = _PIECE.findall(plain)
        seconds = -1.0 if rest or not pieces else 0.0
        seconds += sum(float(number) * _SECONDS[unit.lower()] for number, unit in pieces)
    if round(seconds) <= 0:
        raise ValueError(f"'{text}' is not a duration; possible: 30s, 90m, 2h, 1d12h, more than 0")
    return round(seconds)


def format_duration(seconds: int) -> str:
    """ "1d12h", "2h", "90s" → the largest units that say it exactly."""
    if seconds <= 0:
        return f"{seconds}s"
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, seconds = divmod(seconds, _SECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def parse_latency(text: str | int) -> int:
    """Microseconds from "5ms", "250us", "0.1s", or a number of microseconds. Raises ValueError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s|)\s*", str(text), re.I)
    factor = {"us": 1, "µs": 1, "": 1, "ms": 1000, "s": 1_000_000}
    value = round(float(match[1]) * factor[match[2].lower()]) if match else 0
    if value <= 0:
        raise ValueError(f"'{text}' is not a latency; possible: 250us, 5ms, 0.1s, more than 0")
    return value


def parse_vlans(text: str) -> list[tuple[int, int]]:
    """Inclusive ranges from "100-199,300". Raises ValueError outside 1..4094."""
    ranges = []
    for piece in text.split(","):
        first, dash, last = (part.strip() for part in piece.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"'{piece}' is not a VLAN; possible: 100-199,300")
        low, high = int(first), int(last or first)
        if not 1 <= low <= high <= 4094:
            raise ValueError(f"'{piece}' is not within VLANs 1-4094")
        ranges.append((low, high))
    return ranges


def parse_time(text: str | int, now_s: int, zone: tzinfo | None = None) -> int:
    """UTC seconds from "now", "+10m", "06:00" (the next one), "tomorrow 06:00", "friday 18:00",
    an ISO 8601 time, or UTC seconds.

    Without a zone of its own a time is meant in ``zone`` (None: this machine's). Raises ValueError.
    """
    plain = str(text).strip().lower()
    if plain == "now":
        return now_s
    if plain.startswith("+"):
        return now_s + parse_duration(plain[1:])
    if plain.isdecimal():
        return int(plain)
    now = datetime.fromtimestamp(now_s, UTC).astimezone(zone)
    found = _named_day(plain, now) or _iso(str(text).strip(), zone)
    if found is None:
        raise ValueError(
            f"'{text}' is not a time; possible: now, +10m, 06:00, tomorrow 06:00, friday 18:00, "
            "2027-01-31T06:00, 2027-01-31T06:00Z"
        )
    return int(found.timestamp())


def format_time(at_s: int, zone: tzinfo | None = None) -> str:
    """ "2027-01-31 06:00:00 CET", in ``zone`` (None: this machine's)."""
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def _named_day(plain: str, now: datetime) -> datetime | None:
    *day, clock = plain.split() or [""]
    match = _CLOCK.fullmatch(clock)
    if match is None or len(day) > 1:
        return None
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    at = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
    word = day[0] if day else ""
    if word == "today":
        return at
    if word == "tomorrow":
        return at + timedelta(days=1)
    if word in _DAYS:
        ahead = (_DAYS.index(word) - at.weekday()) % 7
        at += timedelta(days=ahead)
        return at if at > now else at + timedelta(days=7)
    if word:
        return None
    return at if at > now else at + timedelta(days=1)


def _iso(text: str, zone: tzinfo | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=zone).astimezone()
