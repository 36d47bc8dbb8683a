"""What a WAN's provisioning speaks to, and one in memory."""

from __future__ import annotations

from typing import Protocol

from agents.backends.base import DeviceError


class Device(Protocol):
    """Takes configuration lines under a key, and clears them again. Both are idempotent."""

    async def configure(self, key: str, lines: tuple[str, ...]) -> None:
        """Makes exactly these lines configured under ``key``. Raises DeviceError."""

    async def clear(self, key: str) -> None:
        """Removes what is configured under ``key``. Raises DeviceError."""


class MemoryDevice:
    """Remembers what is configured; refuses while ``broken`` says why."""

    def __init__(self) -> None:
        self.lines: dict[str, tuple[str, ...]] = {}
        self.broken = ""

    async def configure(self, key: str, lines: tuple[str, ...]) -> None:
        """Raises DeviceError while broken."""
        self._must_work()
        self.lines[key] = lines

    async def clear(self, key: str) -> None:
        """Raises DeviceError while broken."""
        self._must_work()
        self.lines.pop(key, None)

    def _must_work(self) -> None:
        if self.broken:
            raise DeviceError(self.broken)
