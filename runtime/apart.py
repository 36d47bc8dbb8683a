"""Long searches, where they keep nobody waiting who only wants a message passed on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Apart(Protocol):
    """Computes something pure and long."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """What ``work`` returns; raises what it raises."""


async def at_once(work: Callable[[], T]) -> T:
    """In the event loop: simulations are to be the same each time."""
    return work()


async def threaded(work: Callable[[], T]) -> T:
    """In any thread that is idle."""
    return await asyncio.to_thread(work)


class OneThread:
    """One search after the other in a thread: all together take half of a processor at most while
    the event loop has something to do, because both share one interpreter."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "searches")

    async def __call__(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def stop(self) -> None:
        """Begins no further search."""
        self._executor.shutdown(wait=False, cancel_futures=True)
