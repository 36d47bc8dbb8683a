"""One at a time for one thing, in the order of arrival; different things side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class Turns:
    """A turn per key, and one over all."""

    def __init__(self) -> None:
        # Of each key whose turn somebody has: who waits for it.
        self._queues: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self._held = 0
        self._at_rest = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._alone = asyncio.Lock()

    def take(self, key: Hashable) -> bool:
        """Takes the turn of ``key`` if it can be had now; whoever has it must ``give`` it."""
        if key in self._queues or not self._open.is_set():
            return False
        self._queues[key] = deque()
        self._held += 1
        return True

    def give(self, key: Hashable) -> None:
        """Gives back the turn of ``key``, to who has waited longest."""
        self._held -= 1
        if not self._held:
            self._at_rest.set()
        self._pass_on(key)

    def turn(self, key: Hashable) -> Turn:
        """The turn of ``key`` for the length of an ``async with``; these must not be nested.

        Its place in the queue is taken now, so the block must be entered.
        """
        return Turn(self, key)

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

    def _join(self, key: Hashable) -> asyncio.Future[None] | None:
        """A place in the queue; None: it is the first."""
        queue = self._queues.get(key)
        if queue is None:
            self._queues[key] = deque()
            return None
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(called)
        return called

    async def _begin(self, key: Hashable, called: asyncio.Future[None] | None) -> None:
        try:
            if called is not None:
                await called
            while not self._open.is_set():
                await self._open.wait()
        except asyncio.CancelledError:
            if called is None or not called.cancelled():
                self._pass_on(key)
            raise
        self._held += 1

    def _pass_on(self, key: Hashable) -> None:
        queue = self._queues[key]
        while queue:
            called = queue.popleft()
            if not called.done():
                called.set_result(None)
                return
        del self._queues[key]


class Turn:
    """See :meth:`Turns.turn`."""

    def __init__(self, turns: Turns, key: Hashable) -> None:
        self._turns, self._key = turns, key
        self._called = turns._join(key)

    async def __aenter__(self) -> None:
        await self._turns._begin(self._key, self._called)

    async def __aexit__(self, *_: object) -> None:
        self._turns.give(self._key)
