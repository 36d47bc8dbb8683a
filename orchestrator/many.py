"""Many requests over one stream: side by side, within bounds, answered as they are decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from braid.v1 import reservations_pb2 as pb

IN_WORK_MAX = 1024
AT_ONCE = 32
"""Requests of one frame that are begun before others have their turn: what came together would stay
together, and orchestrator and agents would wait for one another by turns."""
FRAME_OUTCOMES = 512
FRAME_BYTES = 2 << 20

Frames = AsyncIterator[pb.ReserveManyRequest]
Reserve = Callable[[pb.Reservation], Awaitable[pb.ReserveOutcome]]
"""Never raises: what goes wrong is an outcome."""


async def many(frames: Frames, reserve: Reserve) -> AsyncGenerator[pb.ReserveManyResponse, None]:
    """Outcomes of all requests, as many in a frame as there are at that moment.

    Once more than IN_WORK_MAX are in work or not yet sent, no more are taken in. When the stream
    ends before its time, nobody waits for what is in work; it goes on.
    """
    work = _Work(reserve)
    reader = asyncio.create_task(work.read(frames))
    try:
        async for response in work.responses():
            yield response
        await reader
    finally:
        reader.cancel()
        work.abandon()
        await asyncio.gather(reader, return_exceptions=True)


class _Work:
    def __init__(self, reserve: Reserve) -> None:
        self._reserve = reserve
        self._room = asyncio.Semaphore(IN_WORK_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._outcomes: list[pb.ReserveOutcome] = []
        self._news = asyncio.Event()
        self._all_read = False

    async def read(self, frames: Frames) -> None:
        try:
            async for frame in frames:
                for number, request in enumerate(frame.reservations):
                    if number and number % AT_ONCE == 0:
                        await asyncio.sleep(0)
                    await self._room.acquire()
                    task = asyncio.create_task(self._one(request))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        finally:
            self._all_read = True
            self._news.set()

    async def responses(self) -> AsyncIterator[pb.ReserveManyResponse]:
        while True:
            if self._outcomes:
                yield self._frame()
            elif self._all_read and not self._tasks:
                return
            else:
                self._news.clear()
                await self._news.wait()

    def abandon(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _one(self, request: pb.Reservation) -> None:
        try:
            outcome = await self._reserve(request)
            self._outcomes.append(outcome)
        finally:
            # Seen by whoever waits for news after this task is done.
            asyncio.get_running_loop().call_soon(self._news.set)

    def _frame(self) -> pb.ReserveManyResponse:
        size, count = 0, 0
        for outcome in self._outcomes[:FRAME_OUTCOMES]:
            size += outcome.ByteSize()
            if count and size > FRAME_BYTES:
                break
            count += 1
        taken, self._outcomes = self._outcomes[:count], self._outcomes[count:]
        for _ in taken:
            self._room.release()
        return pb.ReserveManyResponse(outcomes=taken)
