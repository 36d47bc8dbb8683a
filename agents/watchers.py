"""Tells subscribers how the data plane changes, without ever waiting for a slow one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from agents.values import Record

QUEUE_LIMIT = 10_000


class FellBehindError(Exception):
    """A subscriber read too slowly and has missed changes; it must subscribe again."""


class Watcher:
    """One subscription: iterate over it, and close it."""

    def __init__(self, watchers: Watchers, present: Iterable[Record]) -> None:
        self._watchers = watchers
        self._present = iter(present)
        # None ends the stream.
        self._queue: asyncio.Queue[Record | None] = asyncio.Queue(QUEUE_LIMIT)
        self._behind = False

    def put(self, record: Record | None) -> None:
        """Adds a change, or marks the subscription as fallen behind."""
        try:
            self._queue.put_nowait(record)
        except asyncio.QueueFull:
            self._behind = True
            self.close()

    def close(self) -> None:
        """Ends the subscription."""
        self._watchers.discard(self)

    async def __aiter__(self) -> AsyncIterator[Record]:
        """The present records, then changes. Raises FellBehindError."""
        for record in self._present:
            yield record
        self._present = iter(())
        while not self._behind:
            change = await self._queue.get()
            if change is None:
                return
            yield change
        raise FellBehindError(f"more than {QUEUE_LIMIT} changes waited: subscribe again")


class Watchers:
    """All subscriptions of an agent."""

    def __init__(self) -> None:
        self._open: list[Watcher] = []

    def open(self, present: Iterable[Record]) -> Watcher:
        """A new subscription that begins with ``present``."""
        watcher = Watcher(self, present)
        self._open.append(watcher)
        return watcher

    def discard(self, watcher: Watcher) -> None:
        """Forgets a subscription."""
        if watcher in self._open:
            self._open.remove(watcher)

    def publish(self, record: Record) -> None:
        """Tells every subscriber of a change."""
        for watcher in list(self._open):
            watcher.put(record)

    def close(self) -> None:
        """Ends every subscription."""
        for watcher in list(self._open):
            watcher.put(None)
