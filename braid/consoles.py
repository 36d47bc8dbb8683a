"""The console of a VNode, wherever it runs: bytes both ways over one stream, never repeated."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from queue import Full, Queue
from typing import Any

import grpc
import grpc.aio

from braid.endings import Ending
from braid.errors import error_of
from braid.v1 import cloudnets_pb2 as pb

PIECE_BYTES = 1 << 16
"""Most that one message carries."""
WAITING = 16
"""Messages that wait to be sent; then who writes waits."""
LOOK_S = 0.5


class Console:
    """Iterate over what it says; ``write`` what it is to hear, from any thread.

    Iterating ends when the VNode stops or the console is closed, and raises a BraidError when it
    is lost.
    """

    def __init__(self, stub: Any, reservation_id: str, vnode: str) -> None:
        self._frames: Queue[pb.ConsoleInput | None] = Queue(WAITING)
        self._frames.put(pb.ConsoleInput(reservation_id=reservation_id, vnode=vnode))
        self._closed = threading.Event()
        self._call = stub.Console(iter(self._frames.get, None))

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Sends bytes; waits while the other side takes none. Does nothing once it has ended."""
        for piece in _pieces(data):
            while self._call.is_active():
                with suppress(Full):
                    self._frames.put(pb.ConsoleInput(data=piece), timeout=LOOK_S)
                    break

    def __iter__(self) -> Iterator[bytes]:
        try:
            for output in self._call:
                yield output.data
        except grpc.RpcError as error:
            if not self._closed.is_set():
                raise error_of(error) from error

    def close(self) -> None:
        """Ends it, for whoever iterates too; the VNode runs on."""
        self._closed.set()
        self._call.cancel()
        # Else the thread that sends would wait for ever.
        with suppress(Full):
            self._frames.put_nowait(None)


class AsyncConsole:
    """As :class:`Console`: iterate asynchronously, and await ``write``."""

    def __init__(self, stub: Any, reservation_id: str, vnode: str) -> None:
        self._first = pb.ConsoleInput(reservation_id=reservation_id, vnode=vnode)
        self._closed = False
        self._call = stub.Console()
        self._ending = Ending(self._call)

    async def __aenter__(self) -> AsyncConsole:
        await self._send(self._first)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def write(self, data: bytes) -> None:
        """Sends bytes; waits while the other side takes none. Does nothing once it has ended."""
        for piece in _pieces(data):
            await self._send(pb.ConsoleInput(data=piece))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for output in self._call:
                yield output.data
        except grpc.aio.AioRpcError as error:
            if not self._closed and (said := await self._ending.said(error)) is not None:
                raise error_of(said) from error
        except asyncio.CancelledError:
            # So grpc tells of its own cancelled calls too.
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise

    def close(self) -> None:
        """Ends it, for whoever iterates too; the VNode runs on."""
        self._closed = True
        self._call.cancel()

    async def _send(self, message: pb.ConsoleInput) -> None:
        # What went wrong is told to who iterates.
        with suppress(grpc.RpcError, grpc.aio.UsageError):
            if not self._call.done():
                await self._call.write(message)


def _pieces(data: bytes) -> Iterator[bytes]:
    return (data[i : i + PIECE_BYTES] for i in range(0, len(data), PIECE_BYTES))
