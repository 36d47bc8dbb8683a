"""Work that goes on when who asked for it has gone."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def outliving(task: asyncio.Task[T]) -> T:
    """The result of a task, which is not cancelled when the caller is."""
    # Heard, in case nobody waits for it any more.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(task)
