"""Time and ids for simulations: time jumps, ids count, and every run is the same.

A :class:`VirtualLoop` runs whatever is ready; when nothing is, its time jumps to the next timer.
So time-outs, retries and inquiries of the real code happen in order and cost nothing, and no wall
clock is ever read.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH_MS = 1_900_000_000_000
"""When simulations begin (a time in 2030): far from zero, as real times are."""


class StalledError(RuntimeError):
    """Every task waits, and no timer will ever wake one: real code would wait for ever."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with virtual time, in seconds from 0. Nothing in it may wait for I/O.

    Raises StalledError when all tasks wait for one another.
    """

    def __init__(self) -> None:
        self._virtual_s = 0.0
        super().__init__(_Jumping(self))
        # How early a timer may fire. asyncio's own (1 ns) drowns in rounding after a few days.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._virtual_s

    def jump(self, seconds: float) -> None:
        """Time goes on by so much."""
        self._virtual_s += seconds


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting for I/O, moves the time of its loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            return []
        events = super().select(0)
        if not events:
            if timeout is None:
                raise StalledError("every task waits for another, and no timer is set")
            self._loop.jump(timeout)
        return events


class LoopClock:
    """The :class:`runtime.clock.Clock` of the running loop: ``start_ms`` plus the loop's time.

    ``start_ms`` may be changed at any time: a party's clock that is wrong, or set by hand.
    """

    def __init__(self, start_ms: int = EPOCH_MS) -> None:
        self.start_ms = start_ms
        self._time_s = asyncio.get_running_loop().time

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return self.start_ms + round(self._time_s() * 1000)


class CountingIds:
    """The :class:`runtime.clock.Ids` 1, 2, 3, … as 32 hexadecimal digits."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> str:
        """The next id."""
        self._last += 1
        return f"{self._last:032x}"


def run_virtual(work: Coroutine[Any, Any, T]) -> T:
    """Runs ``work`` to its end in a new :class:`VirtualLoop`. Raises what it does, StalledError."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
