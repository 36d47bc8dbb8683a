"""Wakes an agent when something is due: one heap, one task, any clock."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from agents.values import Key
from runtime.clock import Clock
from substrate.values import dataclass

RECHECK_MS = 5_000
BATCH_LIMIT = 1000

T = TypeVar("T")


class PartDue(NamedTuple):
    """A part wants attention."""

    # Named tuples, of those that are set for every part: they are hashed without a call of Python.
    key: Key


class ReservationDue(NamedTuple):
    """A reservation's devices want attention; ``what`` makes it unlike any other of these."""

    reservation_id: str
    what: str = "devices"


@dataclass(frozen=True, slots=True)
class RecoveryDue:
    """Recovery is to be tried again."""


@dataclass(frozen=True, slots=True)
class OwnerDue:
    """It is to be asked whose database it is."""


@dataclass(frozen=True, slots=True)
class AsleepDue:
    """Some of what sleeps wants attention."""


@dataclass(frozen=True, slots=True)
class TidyDue:
    """What is held elsewhere for a reservation is to be looked at."""

    reservation_id: str


@dataclass(frozen=True, slots=True)
class SweepDue:
    """All that is held elsewhere is to be looked through."""


@dataclass(frozen=True, slots=True)
class ImagesDue:
    """Images are to be brought to hosts."""


@dataclass(frozen=True, slots=True)
class RebalanceDue:
    """It is to be seen whether hosts can be freed."""


@dataclass(frozen=True, slots=True)
class StraysDue:
    """VNodes of which nobody knows are to be taken away."""


Due = (
    PartDue
    | ReservationDue
    | RecoveryDue
    | OwnerDue
    | AsleepDue
    | TidyDue
    | SweepDue
    | ImagesDue
    | RebalanceDue
    | StraysDue
)


class Timers(Generic[T]):
    """Calls ``fire(item)`` once when the time set for ``item`` has come; an item has one time.

    Waiting uses ``loop.call_at`` with what ``clock`` says is left, so a loop with virtual time
    drives it. As a machine's clock may be set or sleep, it is asked again every ``recheck_ms``
    (None: never), and ``asked`` called then. Neither ``fire`` nor ``asked`` may block or raise.
    """

    def __init__(
        self,
        clock: Clock,
        fire: Callable[[T], None],
        recheck_ms: int | None = RECHECK_MS,
        asked: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._fire, self._asked = fire, asked
        self._recheck_ms = recheck_ms
        self._due_ms: dict[T, int] = {}
        # The count keeps items of one millisecond in the order in which they were set.
        self._heap: list[tuple[int, int, T]] = []
        self._count = 0
        self._handle: asyncio.TimerHandle | None = None
        self._running = False

    def set(self, item: T, due_ms: int | None) -> None:
        """Sets the time of ``item`` in place of an earlier one; None takes it out."""
        if due_ms is None:
            self._due_ms.pop(item, None)
        elif self._due_ms.get(item) != due_ms:
            self._due_ms[item] = due_ms
            self._count += 1
            heapq.heappush(self._heap, (due_ms, self._count, item))
            # Drops times that were replaced, once they are most of the heap.
            if len(self._heap) > 64 + 2 * len(self._due_ms):
                self._compact()
            if self._heap[0][2] is item:
                self._arm()

    def due_ms(self, item: T) -> int | None:
        """The time set for ``item``."""
        return self._due_ms.get(item)

    def start(self) -> None:
        """Begins to fire, what is overdue first; needs a running event loop."""
        self._running = True
        self.kick()

    def stop(self) -> None:
        """Fires no more."""
        self._running = False
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def kick(self) -> None:
        """Fires what is due now, the earliest first: for whoever moved the clock."""
        if not self._running:
            return
        self._asked()
        for item in self._take_due(self._clock.now_ms()):
            self._fire(item)
        self._arm()

    def _take_due(self, now_ms: int) -> list[T]:
        """At most a batch: the rest follows after other tasks had their turn."""
        due: list[T] = []
        while self._heap and self._heap[0][0] <= now_ms and len(due) < BATCH_LIMIT:
            due_ms, _, item = heapq.heappop(self._heap)
            if self._due_ms.get(item) == due_ms:
                del self._due_ms[item]
                due.append(item)
        return due

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        # Nobody is to be woken for times that were replaced: of most parts, when to inquire.
        while self._heap and self._due_ms.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._running or not self._heap:
            return
        left_ms = max(0, self._heap[0][0] - self._clock.now_ms())
        if self._recheck_ms is not None:
            left_ms = min(left_ms, self._recheck_ms)
        loop = asyncio.get_running_loop()
        self._handle = loop.call_at(loop.time() + left_ms / 1000, self.kick)

    def _compact(self) -> None:
        self._heap = [entry for entry in self._heap if self._due_ms.get(entry[2]) == entry[0]]
        heapq.heapify(self._heap)
