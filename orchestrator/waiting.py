"""Waiting for a value to be as one wants it: woken once, when it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Waiting(Generic[T]):
    """Those who wait. What they wait for may have changed again once they run: look again."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[T], bool], asyncio.Future[None]]] = []

    def tell(self, value: T, over: bool = False) -> None:
        """The value is now this; wakes those for whom it is ready, or all when it is ``over``."""
        for ready, woken in self._waiting:
            if not woken.done() and (over or ready(value)):
                woken.set_result(None)

    async def until(self, ready: Callable[[T], bool]) -> None:
        """Waits until a ready value is told, or that it is over."""
        waiting = (ready, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            await waiting[1]
        finally:
            self._waiting.remove(waiting)
