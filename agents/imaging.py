"""Brings images to hosts while nothing else is to be done (paper 002, section 4.2.2)."""

from __future__ import annotations

import asyncio

import structlog

from agents.backends.base import Placement
from agents.backends.hosts.embedder import Embedder
from agents.parts import Parts
from protocol.participant import PartState

_log = structlog.get_logger(__name__)


class Imaging:
    """``ahead_s``: how long before VNodes begin."""

    def __init__(self, parts: Parts, embedder: Embedder, ahead_s: int) -> None:
        self._parts, self._embedder, self._ahead_s = parts, embedder, ahead_s
        self._task: asyncio.Task[None] | None = None

    async def fill(self) -> None:
        """Prepares what will begin soon, unless devices are busy."""
        if not self._parts.provisioner.busy():
            self._task = asyncio.create_task(self._prepare())
            await asyncio.wait([self._task])

    def stop(self) -> None:
        """Leaves the rest to who needs it."""
        if self._task is not None:
            self._task.cancel()

    async def _prepare(self) -> None:
        try:
            await self._embedder.prepare(self._soon())
        except Exception:
            # A plugin may be anyone's.
            _log.exception("images not prepared")

    def _soon(self) -> list[Placement]:
        """What will begin, the soonest first; what sleeps is not looked at."""
        now_s = self._parts.clock.now_ms() // 1000
        found = []
        for record in self._parts.records.awake():
            prep = record.part.prep
            if record.part.state is not PartState.COMMITTED or prep is None or not prep.graph:
                continue
            if now_s < prep.window.start_s <= now_s + self._ahead_s:
                placement = self._parts.book.placement(record.part.mapping)
                found.append((prep.window.start_s, record.key, placement))
        return [placement for _, _, placement in sorted(found, key=lambda each: each[:2])]
