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
    """Random ids (RFC 9562, version 4)."""

    def new(self) -> str:
        random = int.from_bytes(os.urandom(16), "big")
        return f"{random & ~_MARKED | _MARKS:032x}"


_MARKED = 0xF << 76 | 0b11 << 62
"""The bits that say which version and variant an id is."""
_MARKS = 0x4 << 76 | 0b10 << 62
