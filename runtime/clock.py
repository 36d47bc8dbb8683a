"""Clocks and ids as ports, so that simulations and tests bring their own."""

from __future__ import annotations

import os
import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time; only liveness may depend on it (design, section 5, rule 8)."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Ids(Protocol):
    """Makes ids that no other party makes."""

    def new(self) -> str:
        """A fresh id: 32 characters of [0-9a-f]."""


class RandomIds:
    """Ids that begin with the time in milliseconds, 74 random bits behind (RFC 9562, version 7).

    Those made together are neighbours in the indexes of databases, so that a write of many
    reservations changes few pages (docs/decisions/0018-values.md).
    """

    def new(self) -> str:
        random = int.from_bytes(os.urandom(10), "big")
        return f"{time.time_ns() // 1_000_000:012x}{random & ~_MARKED | _MARKS:020x}"


_MARKED = 0xF << 76 | 0b11 << 62
"""The bits that say which version and variant an id is."""
_MARKS = 0x7 << 76 | 0b10 << 62
