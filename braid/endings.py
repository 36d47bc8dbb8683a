"""How a stream of grpc.aio has ended, as the other side says it.

A message that is being sent when the other side ends the stream cannot be sent any more. grpc.aio
takes that for the end, INTERNAL and in words of its own, over what the other side has said
(https://github.com/grpc/grpc/issues/36066).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import grpc
import grpc.aio

T = TypeVar("T")

OWN_WORDS = "Internal error from Core"
"""What grpc.aio says of its own."""
PATIENCE_S = 1.0
"""What the other side has said is here or comes at once, unless the connection is lost with it."""


class Ending:
    """Of one call, and made with it: remembers what the other side has ended it with."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._told = asyncio.Event()
        self._error: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._ended)

    async def said(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError | None:
        """What the call that broke with ``error`` was ended with; None: with no error."""
        if not _own(error):
            return error
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._told.wait()
        return self._error if self._told.is_set() else error

    def _ended(self, _call: object) -> None:
        # A task of its own would come too late: it may be overwritten in this turn of the loop.
        code, call = _at_once(self._call.code()), self._call
        error = grpc.aio.AioRpcError(
            code,
            _at_once(call.initial_metadata()),
            _at_once(call.trailing_metadata()),
            details=_at_once(call.details()),
        )
        if not _own(error):
            self._error = None if code is grpc.StatusCode.OK else error
            self._told.set()


def _own(error: grpc.aio.AioRpcError) -> bool:
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == OWN_WORDS


def _at_once(known: Coroutine[Any, Any, T]) -> T:
    """What is known of a call that is over, for which nobody need wait."""
    try:
        known.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    known.close()
    raise RuntimeError("a call is over whose end is not known")
