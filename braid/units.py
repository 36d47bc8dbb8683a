"""Bandwidths, times and volumes as people write them. The wire knows bit/s, UTC seconds, bytes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

Amount = str | float
"""As people write it ("10G", "2h", "tomorrow 06:00") or a plain number in the wire's unit."""

_PREFIX = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15, "e": 10**18}
_NUMBER = r"([0-9]{1,20}(?:\.[0-9]{1,20})?)"
_BANDWIDTH = re.compile(rf"\s*{_NUMBER}\s*([kKmMgGtTpP]?)\s*(?:(?i:bits?/s|bits?)|bps|b/s|b)?\s*")
_BYTES = re.compile(r"[^B]*[kKmMgGtTpP\d\s]B(?:ps|/s)?\s*")
_BITS = re.compile(r".*[kKmMgGtTpPE\d\s]b(?:its?)?\s*")
_VOLUME = re.compile(rf"\s*{_NUMBER}\s*(?:([kKmMgGtTpPE])(i?))?\s*B?\s*")
_PIECE = re.compile(rf"{_NUMBER}\s*(w|d|h|min|m|s)\s*", re.I)
_LATENCY = re.compile(rf"\s*{_NUMBER}\s*(us|µs|ms|s|)\s*", re.I)
_MICROSECONDS = {"us": 1, "µs": 1, "": 1, "ms": 1000, "s": 1_000_000}
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "min": 60, "m": 60, "s": 1}
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def parse_bandwidth(text: str | float) -> int:
    """Bit/s, 1 or more, from "10G", "2.5 Gb/s", "400M" or a number. Raises ValueError."""
    plain = _plain(text)
    match = _BANDWIDTH.fullmatch(plain)
    value = round(Decimal(match[1]) * _PREFIX[match[2].lower()]) if match else 0
    if value <= 0:
        hint = " (B is bytes)" if _BYTES.fullmatch(plain) else ""
        raise ValueError(
            f"'{text}' is not a bandwidth{hint}; possible: 10G, 2.5Gb/s, 400M, more than 0"
        )
    return value


def format_bandwidth(bandwidth_bps: int) -> str:
    """ "10 Gb/s", "2.5 Gb/s", "999 b/s"."""
    return _with_prefix(bandwidth_bps, "b/s")


def parse_volume(text: str | float) -> int:
    """Bytes, 1 or more, from "40TB" (powers of ten), "1.5TiB" (of two) or a number of them.

    Raises ValueError.
    """
    plain = _plain(text)
    match = _VOLUME.fullmatch(plain)
    value = round(Decimal(match[1]) * _bytes_in(match[2], match[3])) if match else 0
    if value <= 0:
        hint = " (b is bits)" if _BITS.fullmatch(plain) else ""
        raise ValueError(
            f"'{text}' is not a volume{hint}; possible: 40TB, 1.5TiB, 500GB, more than 0"
        )
    return value


def format_volume(volume_bytes: int) -> str:
    """ "40 TB", "1.5 GB", "999 B": powers of ten."""
    return _with_prefix(volume_bytes, "B")


def parse_duration(text: str | float, *, least: int = 1) -> int:
    """Seconds, ``least`` or more, from "2h", "90m", "1d12h", "30s", or a number of seconds.

    Raises ValueError.
    """
    plain = _plain(text).strip()
    if re.fullmatch(_NUMBER, plain):
        plain += "s"
    pieces = _PIECE.findall(plain) if not _PIECE.sub("", plain) else []
    seconds = round(sum(Decimal(number) * _SECONDS[unit.lower()] for number, unit in pieces))
    if not pieces or seconds < least:
        limit = "more than 0" if least else "0s or more"
        raise ValueError(f"'{text}' is not a duration; possible: 30s, 90m, 2h, 1d12h, {limit}")
    return seconds


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


def parse_latency(text: str | float, *, least: int = 1) -> int:
    """Microseconds, ``least`` or more, from "5ms", "250us", "0.1s", or a number of them.

    Raises ValueError.
    """
    match = _LATENCY.fullmatch(_plain(text))
    value = round(Decimal(match[1]) * _MICROSECONDS[match[2].lower()]) if match else -1
    if value < least:
        raise ValueError(
            f"'{text}' is not a latency; possible: 250us, 5ms, 0.1s, {least} us or more"
        )
    return value


def parse_share(text: str | float) -> float:
    """Above 0 and below 1, from "20%" or 0.2. Raises ValueError."""
    number, percent, rest = _plain(text).strip().partition("%")
    match = re.fullmatch(_NUMBER, number.strip())
    share = float(match[1]) / (100 if percent else 1) if match and not rest else 0.0
    if not 0 < share < 1:
        raise ValueError(f"'{text}' is not a share; possible: 20%, 0.2, above 0 and below 1")
    return share


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


def parse_time(text: str | float, now_s: int, zone: tzinfo | None = None) -> int:
    """UTC seconds from "now", "+10m", "06:00" (the next one), "tomorrow 06:00", "friday 18:00",
    an ISO 8601 time, or UTC seconds.

    Without a zone of its own a time is meant in ``zone`` (None: this machine's). Raises ValueError.
    """
    plain = _plain(text).strip().lower()
    if plain == "now":
        return now_s
    if plain.startswith("+"):
        return now_s + parse_duration(plain[1:])
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", plain):
        return int(Decimal(plain))
    # Times of day are reckoned without a zone, and only then put into it: clocks change.
    now = datetime.fromtimestamp(now_s, zone).replace(tzinfo=None)
    try:
        found = _named_day(plain, now) or datetime.fromisoformat(plain.upper())
        return int((found if found.tzinfo else found.replace(tzinfo=zone)).timestamp())
    except (ValueError, OverflowError):
        raise ValueError(
            f"'{text}' is not a time; possible: now, +10m, 06:00, tomorrow 06:00, friday 18:00, "
            "2027-01-31T06:00, 2027-01-31T06:00Z"
        ) from None


def parse_end(text: str | float, start_s: int, now_s: int, zone: tzinfo | None = None) -> int:
    """UTC seconds from a duration after ``start_s`` ("12h"), or a time as for ``parse_time``.

    Raises ValueError.
    """
    try:
        length_s = parse_duration(text)
    except ValueError:
        try:
            return parse_time(text, now_s, zone)
        except ValueError:
            raise ValueError(
                f"'{text}' is neither a duration nor a time; possible: 90m, 1d12h, +12h, "
                "tomorrow 06:00, 2027-01-31T06:00Z"
            ) from None
    # A number that would be longer than all time until then is UTC seconds.
    return length_s if length_s > start_s else start_s + length_s


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


def _bytes_in(prefix: str | None, binary: str | None) -> int:
    decimal = _PREFIX[(prefix or "").lower()]
    return 1024 ** ((len(str(decimal)) - 1) // 3) if binary else decimal


def _with_prefix(amount: int, unit: str) -> str:
    for prefix in ("p", "t", "g", "m", "k"):
        if amount >= _PREFIX[prefix]:
            shown = prefix if prefix == "k" else prefix.upper()
            return f"{amount / _PREFIX[prefix]:.6g} {shown}{unit}"
    return f"{amount} {unit}"


def _plain(number: str | float) -> str:
    """As text; a float without the exponent that ``str`` would give it."""
    return f"{number:f}" if isinstance(number, float) else str(number)
