"""Several operating-system processes in one event loop, in virtual time, by a seeded scheduler.

Every callback belongs to the :class:`Process` whose code asked for it (a context variable says
which). Within a process callbacks run in asyncio's order; between processes the dice choose. A
process may be paused, as by SIGSTOP, or killed: what it had queued is then never run.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from heapq import heappop, heappush
from inspect import CORO_CREATED, getcoroutinestate
from random import Random
from types import CoroutineType
from typing import Any, TypeVar, TypeVarTuple

from simulations.clock import StalledError

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Process:
    """One process; code that it spawns, and all that follows from it, belongs to it."""

    def __init__(self, loop: FaultLoop, name: str) -> None:
        self.name = name
        self.alive = True
        self.paused = False
        self.ready: deque[_Handle] = deque()
        self._loop = loop
        self._context = contextvars.copy_context()
        self._context.run(_PROCESS.set, self)
        loop.processes.append(self)

    @property
    def runs(self) -> bool:
        """Neither dead nor paused."""
        return self.alive and not self.paused

    @property
    def context(self) -> contextvars.Context:
        """A context of this process, for callbacks that others schedule."""
        return self._context.copy()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs work in this process."""
        return self._loop.create_task(work, context=self.context)

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Calls a function in this process, soon."""
        self._loop.call_soon(function, *arguments, context=self._context)

    def kill(self) -> None:
        """Nothing of it ever runs again."""
        self.alive = False
        _drop(self.ready)
        self.ready.clear()
        self._loop.rest(self)

    def pause(self) -> None:
        """Nothing of it runs until :meth:`resume`; its timers come due meanwhile."""
        self.paused = True
        self._loop.rest(self)

    def resume(self) -> None:
        """Goes on where it was."""
        self.paused = False
        self._loop.wake(self)


def _drop(ready: Iterable[_Handle]) -> None:
    """What was to begin never does: Python would complain that nobody awaited it."""
    for callback, _, _ in ready:
        task = getattr(callback, "__self__", None)
        work = task.get_coro() if isinstance(task, asyncio.Task) else None
        if isinstance(work, CoroutineType) and getcoroutinestate(work) == CORO_CREATED:
            work.close()


_PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


def current() -> Process:
    """The process whose code runs now."""
    return _PROCESS.get()


class FaultLoop(asyncio.BaseEventLoop):
    """An event loop with virtual time in seconds from 0, for many processes.

    ``seed`` decides which of several processes runs next. Raises StalledError when all wait for one
    another.
    """

    def __init__(self, seed: int | str) -> None:
        super().__init__()
        self.now_s = 0.0
        """As :meth:`time`, without a call."""
        self._dice = Random(seed)
        self._runnable: list[Process] = []
        self.processes: list[Process] = []
        self._timers: list[tuple[float, int, _Handle, Process]] = []
        self._count = 0
        self.outside = Process(self, "outside")
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now_s

    get_debug = staticmethod(bool)
    """Always false, without a Python function: asyncio asks at every future."""

    _asyncgen_firstiter_hook = staticmethod(id)
    """Nothing: there is no need to know all asynchronous generators."""

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if context is None:
            context = contextvars.copy_context()
        handle = _Handle((callback, args, context))
        process = context.get(_PROCESS) or self.outside
        if process.alive:
            process.ready.append(handle)
            if len(process.ready) == 1 and not process.paused:
                self._runnable.append(process)
        else:
            _drop([handle])
        return handle  # type: ignore[return-value]

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        # Once more what call_at does: half of all timers, and a call takes as long as this.
        if context is None:
            context = contextvars.copy_context()
        handle = _Handle((callback, args, context))
        process = context.get(_PROCESS) or self.outside
        self._count += 1
        heappush(self._timers, (self.now_s + delay, self._count, handle, process))
        return handle  # type: ignore[return-value]

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if context is None:
            context = contextvars.copy_context()
        handle = _Handle((callback, args, context))
        process = context.get(_PROCESS) or self.outside
        self._count += 1
        heappush(self._timers, (when, self._count, handle, process))
        return handle  # type: ignore[return-value]

    def rest(self, process: Process) -> None:
        """The process does not run any more, for now or for ever."""
        if process in self._runnable:
            self._runnable.remove(process)

    def wake(self, process: Process) -> None:
        """The process may run again."""
        if process.ready and process.runs and process not in self._runnable:
            self._runnable.append(process)

    def close(self) -> None:
        """Nothing runs any more."""
        for process in self.processes:
            _drop(process.ready)
            process.ready.clear()
        super().close()

    def _run_once(self) -> None:
        """Called by ``run_forever`` until the loop is stopped; returns only then."""
        runnable, roll = self._runnable, self._dice.random
        while not self._stopping:  # type: ignore[attr-defined]
            if runnable:
                several = len(runnable)
                at = int(roll() * several) if several > 1 else 0
                ready = runnable[at].ready
                callback, arguments, context = ready.popleft()
                if not ready:
                    del runnable[at]
                if callback is None:
                    continue
            else:
                handle = self._jump()
                if handle is None:
                    continue
                callback, arguments, context = handle
            try:
                context.run(callback, *arguments)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                what = {"message": f"calling {callback!r}", "exception": error}
                self.call_exception_handler(what)

    def _jump(self) -> _Handle | None:
        """To the next timer; all that are due then join their processes' queues.

        The one that may run is returned instead, when there is no other: most are alone.
        """
        timers = self._timers
        while timers:
            when_s, _, handle, process = heappop(timers)
            if handle[0] is not None and process.alive:
                break
        else:
            raise StalledError("every task waits for another, and no timer is set")
        if when_s > self.now_s:
            self.now_s = when_s
        if not process.paused and not (timers and timers[0][0] <= self.now_s):
            return handle
        self._come_due(handle, process)
        while timers and timers[0][0] <= self.now_s:
            _, _, handle, process = heappop(timers)
            self._come_due(handle, process)
        return None

    def _come_due(self, handle: _Handle, process: Process) -> None:
        if process.alive and handle[0] is not None:
            process.ready.append(handle)
            if len(process.ready) == 1 and not process.paused:
                self._runnable.append(process)

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        """A task that hashes by its number."""
        self._count += 1
        task = _Task.__new__(_Task)
        # Before it begins: the set of all tasks may ask at once.
        task.number = self._count
        task.__init__(coro, loop=self, name=name, context=context)  # type: ignore[misc]
        # Tasks of killed processes are never finished, and that is meant.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        return task

    def _write_to_self(self) -> None:
        """There is no other thread to wake."""

    def _process_events(self, event_list: object) -> None:
        """There is no I/O."""


class _Handle(list[Any]):
    """For an asyncio.Handle: [callback or None, arguments, context].

    A list, as thousands are made in every run, and nothing is made faster.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """It is never called."""
        self[0], self[1] = None, ()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self[0] is None


class _Task(asyncio.Task[Any]):
    """Hashed by its number: sets of tasks are then in the same order in every run."""

    number: int

    def __hash__(self) -> int:
        return self.number
