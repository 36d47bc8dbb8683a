"""One at a time for one thing, in the order of arrival; different things side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Turns:
    """A lock per key that exists only while somebody holds or awaits it, and one over all."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, _Lock] = {}
        self._held = 0
        self._at_rest = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._alone = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        """Holds the turn of ``key`` for the length of a block; blocks must not be nested."""
        lock = self._locks.setdefault(key, _Lock())
        lock.users += 1
        try:
            async with lock.lock:
                while not self._open.is_set():
                    await self._open.wait()
                self._held += 1
                try:
                    yield
                finally:
                    self._held -= 1
                    if not self._held:
                        self._at_rest.set()
        finally:
            lock.users -= 1
            if lock.users == 0:
                del self._locks[key]

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Holds the turns of all keys: lets those that are held end, and keeps others waiting."""
        async with self._alone:
            self._open.clear()
            try:
                while self._held:
                    self._at_rest.clear()
                    await self._at_rest.wait()
                yield
            finally:
                self._open.set()


class _Lock:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
