"""Gives live parts other placements: in the book, durably, and only then on the devices.

The new place is held beside the old one until it is certain which of them the database says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

from agents.backends.base import Free, Placement
from agents.parts import Parts
from agents.values import Key, Record
from protocol.messages import ReservationPrep
from runtime.database import StorageError
from substrate.model import Refusal, RefusalKind
from substrate.values import replace

WRITE_AGAIN_S = 5.0

Place = Callable[[Record, ReservationPrep, Free], Placement | Refusal]
Spawn = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]
"""Runs work that must not end with who asked for it."""

_log = structlog.get_logger(__name__)


class Remaps:
    """All of one domain."""

    def __init__(self, parts: Parts, spawn: Spawn) -> None:
        self._parts, self._spawn = parts, spawn
        self._stopping = asyncio.Event()
        self._doubtful: set[Key] = set()

    def stop(self) -> None:
        """Waits no more for a database that does not write."""
        self._stopping.set()

    async def remap(
        self,
        key: Key,
        place: Place,
    ) -> Refusal | None:
        """What ``place`` finds for a live part, given its record and what is free for it.

        Raises StorageError.
        """
        parts, book = self._parts, self._parts.book
        async with parts.turns.turn(key):
            record = parts.records.get(key)
            prep = record.part.prep if record is not None else None
            if record is None or prep is None or not record.live:
                return no("it has just ended")
            if parts.rules.recovering:
                return no("the domain recovers: it changes nothing until it is reconciled")
            await self._make_certain(key, prep)
            outcome = book.remap(prep, lambda free: place(record, prep, free))
            if isinstance(outcome, Refusal):
                return outcome
            mapping = outcome.to_json(prep.joint is not None)
            try:
                await parts.advance((record, replace(record.part, mapping=mapping)))
            except StorageError:
                # It may have been written all the same.
                self._doubtful.add(key)
                self._spawn(self._put_back(key, prep))
                raise
            book.remapped(prep, done=True)
        return None

    async def _put_back(self, key: Key, prep: ReservationPrep) -> None:
        """Holds both places until the old one is certainly what the database says."""
        while key in self._doubtful and not self._stopping.is_set():
            async with self._parts.turns.turn(key):
                try:
                    await self._make_certain(key, prep)
                    return
                except StorageError as error:
                    _log.warning("part not stored", part="/".join(key), error=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), WRITE_AGAIN_S)

    async def _make_certain(self, key: Key, prep: ReservationPrep) -> None:
        """Writes again what a part is, after a write that failed. The caller has its turn."""
        if key in self._doubtful:
            record = self._parts.records.get(key)
            if record is not None and record.live:
                await self._parts.write([record])
            self._parts.book.remapped(prep, done=False)
            self._doubtful.discard(key)


def no(reason: str) -> Refusal:
    """A part cannot be mapped so."""
    return Refusal(RefusalKind.UNAVAILABLE, reason)
