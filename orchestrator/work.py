"""What an instance is busy with: tasks that outlive the calls which began them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog

from orchestrator.ports import LostError
from runtime.database import StorageError

log = structlog.get_logger()
T = TypeVar("T")

DETACHED_MAX = 10_000
"""Steps for callers, some of which may have gone away."""


class TooManyError(Exception):
    """There are ``limit`` of ``what`` at this moment, and this instance takes no more."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{limit} {what} at once; ask again in a moment")
        self.what, self.limit = what, limit


class Places:
    """For ``most`` at once; who finds none does without."""

    def __init__(self, most: int) -> None:
        self._free = most

    @contextmanager
    def one(self) -> Iterator[bool]:
        """A place, as long as it is needed; yields False where there is none."""
        found = self._free > 0
        self._free -= found
        try:
            yield found
        finally:
            self._free += found


class Work:
    """At most ``negotiations_max`` negotiations that somebody asks for, and steps of all kinds."""

    def __init__(self, negotiations_max: int) -> None:
        self._negotiations_max = negotiations_max
        self.negotiating = 0
        self.quiet = asyncio.Event()
        """Set while nothing is being negotiated."""
        self.quiet.set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._detached: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs work in a task that nobody's call can cancel."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def detached(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of work that goes on when the caller is cancelled: a client that goes away
        must not stop a step between its write and what follows from it.

        Raises TooManyError, and what the work raises.
        """
        if len(self._detached) >= DETACHED_MAX:
            work.close()
            raise TooManyError("changes of reservations", DETACHED_MAX)
        task = asyncio.get_running_loop().create_task(work)
        for tasks in (self._tasks, self._detached):
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return await asyncio.shield(task)

    @contextmanager
    def place(self) -> Iterator[Callable[[Coroutine[Any, Any, None]], None]]:
        """Room for one negotiation; yields what starts it, and counts until it has ended.

        Raises TooManyError.
        """
        most = self._negotiations_max
        if self.negotiating >= most:
            raise TooManyError("negotiations", most)
        self._enter()
        try:
            yield self.go_on
        finally:
            self._leave()

    def go_on(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a negotiation, which counts until it has ended."""
        self._enter()
        self.spawn(work).add_done_callback(self._leave)

    def _enter(self) -> None:
        self.negotiating += 1
        self.quiet.clear()

    def _leave(self, _task: object = None) -> None:
        self.negotiating -= 1
        if not self.negotiating:
            self.quiet.set()

    async def drain(self) -> None:
        """Waits for the work that runs now."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def stop(self) -> None:
        """Cancels the work that runs; the store holds all that a restart needs."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StorageError):
            log.warning("background work could not be stored", error=str(error))
        elif error is not None and not isinstance(error, LostError):
            log.error("background work failed", exc_info=error)
