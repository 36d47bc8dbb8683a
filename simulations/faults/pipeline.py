"""One process's way to its database: slow, full, away, or lying about what became of a write.

An operation happens in the database at one moment and is answered later. What a process that is
killed had asked for and did not get answered has happened or not, as the dice say; what was
answered has.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any, TypeVar

from runtime.database import StorageError
from simulations.faults.loop import FaultLoop, Process, current

T = TypeVar("T")

WRITE_S = 0.004
READ_S = 0.001

_Operation = tuple[Callable[[], Coroutine[Any, Any, Any]], bool, asyncio.Future[Any], Process]
"""What to do, whether that writes, who waits for it, and in which process."""

Hook = Callable[[str], None]
"""Called when something worth a line of the trace, or a count, has happened."""


class Pipeline:
    """One process's way to its database: operations happen in order, each takes its time.

    ``planned``: what befalls the n-th write: "refused" (it does not happen, and says so), "unknown"
    (it happens, and seems to have failed), "crash before" and "crash after" (of the process).
    """

    def __init__(
        self,
        loop: FaultLoop,
        context: contextvars.Context,
        name: str,
        dice: Random,
        writes: Writes,
        note: Hook,
    ) -> None:
        self.name = name
        self._note = note
        self.slow = 1.0
        self._loop, self._context, self._dice, self._writes = loop, context, dice, writes
        self._last_s = 0.0
        self._under_way: dict[int, _Operation] = {}
        self._number = 0

    def note(self, text: str) -> None:
        """A line of the trace."""
        self._note(f"{self.name} {text}")

    def killed(self) -> None:
        """The process is gone: a first part of what it had asked for still happens."""
        done = self._dice.randint(0, len(self._under_way))
        pending = list(self._under_way.values())
        self._under_way.clear()
        for operation in pending[:done]:
            self._happen(operation)

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]], write: bool) -> T:
        """One operation. Raises StorageError, or what ``work`` raises."""
        mean_s = (WRITE_S if write else READ_S) * self.slow
        loop, asked_s = self._loop, self._loop.now_s
        begins_s = self._last_s if self._last_s > asked_s else asked_s
        self._last_s = begins_s + mean_s * (0.5 + self._dice.random())
        self._number = number = self._number + 1
        answer: asyncio.Future[T] = loop.create_future()
        self._under_way[number] = (work, write, answer, current())
        loop.call_at(self._last_s, self._due, number, context=self._context)
        return await answer

    def _due(self, number: int) -> None:
        operation = self._under_way.pop(number, None)
        if operation is not None:
            self._happen(operation)

    def _happen(self, operation: _Operation) -> None:
        work, write, answer, process = operation
        writes = self._writes
        fault = writes.next(self.name) if write else ""
        if writes.away(self.name, write) or fault == "refused":
            self._answer(answer, None, StorageError("the disk is full"))
            return
        if fault == "crash before":
            writes.crash(process)
            return
        result, error = _complete(work())
        if fault == "crash after":
            writes.crash(process)
        elif fault == "unknown":
            self._answer(answer, None, StorageError("the connection was lost"))
        else:
            self._answer(answer, result, error)

    def _answer(
        self, answer: asyncio.Future[T], result: T | None, error: BaseException | None
    ) -> None:
        delay_s = READ_S * self.slow * (0.1 + self._dice.random())
        self._loop.call_later(delay_s, _settle, answer, result, error, context=self._context)


class Writes:
    """What befalls writes: single ones as planned, and all while a disk is full or away."""

    def __init__(
        self,
        planned: Mapping[tuple[str, int], str],
        crash: Callable[[Process], None],
        count: Hook,
    ) -> None:
        self._planned, self.crash, self._count = planned, crash, count
        self._numbers: dict[str, int] = {}
        self._full: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        self._healed = False

    def next(self, name: str) -> str:
        """The fault of the next write under this name, if any; writes count over all lives."""
        number = self._numbers[name] = self._numbers.get(name, 0) + 1
        fault = "" if self._healed else self._planned.get((name, number), "")
        if fault:
            self._count(f"{fault} {name} {number}")
        return fault

    def away(self, name: str, write: bool) -> bool:
        """Whether an operation fails because nothing can be written, or the database is away."""
        return self._gone.get(name, 0) > 0 or (write and self._full.get(name, 0) > 0)

    def fill(self, name: str) -> Callable[[], None]:
        """No write succeeds until what is returned is called."""
        return _counted(self._full, name)

    def lose(self, name: str) -> Callable[[], None]:
        """Nothing succeeds until what is returned is called."""
        return _counted(self._gone, name)

    def heal(self) -> None:
        """No planned fault happens any more."""
        self._healed = True


def _counted(counter: dict[str, int], name: str) -> Callable[[], None]:
    counter[name] = counter.get(name, 0) + 1

    def less() -> None:
        counter[name] -= 1

    return less


def _complete(work: Coroutine[Any, Any, T]) -> tuple[T | None, BaseException | None]:
    """Runs a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value, None
    except Exception as error:
        return None, error
    raise AssertionError("a database in memory waited")


def _settle(answer: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)
