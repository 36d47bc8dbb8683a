"""What the other side has ended a stream with is told, also where grpc.aio overwrites it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import grpc.aio
import pytest

from braid import endings
from braid.endings import OWN_WORDS, Ending

OK, INTERNAL = grpc.StatusCode.OK, grpc.StatusCode.INTERNAL
NOT_NOW = grpc.StatusCode.FAILED_PRECONDITION


class Call:
    """Ends as calls of grpc.aio do: a status may take the place of another, told or untold."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[object], None]] = []
        self._status = (OK, "")

    def add_done_callback(self, listener: Callable[[object], None]) -> None:
        self._listeners.append(listener)

    def end(
        self, code: grpc.StatusCode, details: str, *, told: bool = True
    ) -> grpc.aio.AioRpcError:
        self._status = code, details
        for listener in self._listeners if told else ():
            listener(self)
        none = grpc.aio.Metadata()
        return grpc.aio.AioRpcError(code, none, none, details=details)

    async def code(self) -> grpc.StatusCode:
        return self._status[0]

    async def details(self) -> str:
        return self._status[1]

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(("why", self._status[1]))


@pytest.mark.parametrize("told", [False, True])
async def test_what_the_other_side_has_said_is_not_overwritten(told: bool) -> None:
    call = Call()
    ending = Ending(call)
    call.end(NOT_NOW, "it is stopped")
    said = await ending.said(call.end(INTERNAL, OWN_WORDS, told=told))
    assert said is not None
    assert (said.code(), said.details()) == (NOT_NOW, "it is stopped")
    assert list(said.trailing_metadata()) == [("why", "it is stopped")]


async def test_what_the_other_side_says_a_moment_later_is_waited_for() -> None:
    call = Call()
    ending = Ending(call)
    asking = asyncio.create_task(ending.said(call.end(INTERNAL, OWN_WORDS)))
    await asyncio.sleep(0)
    assert not asking.done()
    call.end(NOT_NOW, "it is stopped")
    said = await asking
    assert said is not None
    assert said.code() is NOT_NOW


async def test_a_stream_that_the_other_side_has_ended_well_did_not_break() -> None:
    call = Call()
    ending = Ending(call)
    call.end(OK, "")
    assert await ending.said(call.end(INTERNAL, OWN_WORDS, told=False)) is None


@pytest.mark.parametrize(("code", "details"), [(NOT_NOW, OWN_WORDS), (INTERNAL, "a bug")])
async def test_what_the_other_side_says_itself_is_told_at_once(
    code: grpc.StatusCode, details: str
) -> None:
    call = Call()
    ending = Ending(call)
    broke = call.end(code, details)
    assert await ending.said(broke) is broke


async def test_who_never_says_anything_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endings, "PATIENCE_S", 0.0)
    call = Call()
    ending, broke = Ending(call), call.end(INTERNAL, OWN_WORDS)
    assert await ending.said(broke) is broke
