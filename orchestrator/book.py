"""The reservations that live in memory: one lock and one wake-up call each."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from orchestrator.ports import LostError
from orchestrator.records import Reservation
from orchestrator.waiting import Waiting


@dataclass(slots=True)
class Live:
    """A reservation that can still change. Take a ``turn`` to change ``record``."""

    record: Reservation
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: Waiting[Reservation] = field(default_factory=Waiting)
    lost: bool = False

    def turn(self) -> Turn:
        """One at a time. Raises LostError when another instance owns it, or it was read again."""
        return Turn(self)

    def set(self, record: Reservation) -> None:
        """The new record, once durable."""
        self.record = record
        self.waiting.tell(record, over=self.lost)

    def lose(self) -> None:
        """Another instance owns it now: the record here is out of date."""
        self.lost = True
        self.set(self.record)

    async def wait(self, ready: Callable[[Reservation], bool]) -> Reservation:
        """The first record that is ``ready``; for as long as it takes. Raises LostError."""
        while not ready(self.record) and not self.lost:
            await self.waiting.until(ready)
        if self.lost:
            raise LostError(self.record.reservation_id)
        return self.record


class Turn:
    """See :meth:`Live.turn`: an ``async with``."""

    __slots__ = ("_live",)

    def __init__(self, live: Live) -> None:
        self._live = live

    async def __aenter__(self) -> None:
        await self._live.lock.acquire()
        if self._live.lost:
            self._live.lock.release()
            raise LostError(self._live.record.reservation_id)

    async def __aexit__(self, *_: object) -> None:
        self._live.lock.release()


class LiveBook:
    """All live reservations, and when their windows end."""

    def __init__(self) -> None:
        self._live: dict[str, Live] = {}
        self._movable: dict[str, Live] = {}
        self._ends: list[tuple[int, str]] = []

    def adopt(self, record: Reservation) -> Live:
        """Takes a reservation up; the one already there if there is."""
        live = self._live.get(record.reservation_id)
        if live is None:
            live = self._live[record.reservation_id] = Live(record)
            if record.criteria.movable:
                self._movable[record.reservation_id] = live
        self.watch_end(record)
        return live

    def watch_end(self, record: Reservation) -> None:
        """Its window ends then; an earlier entry that no longer holds is skipped later."""
        self.look_again(record, record.criteria.window.end_s)

    def look_again(self, record: Reservation, at_s: int) -> None:
        """``over`` finds it once more, then."""
        heapq.heappush(self._ends, (at_s, record.reservation_id))

    def get(self, reservation_id: str) -> Live | None:
        return self._live.get(reservation_id)

    def forget(self, reservation_id: str) -> None:
        self._live.pop(reservation_id, None)
        self._movable.pop(reservation_id, None)

    def movable(self) -> Iterable[Live]:
        """Those whose owners let them be moved, in the order in which they came."""
        return self._movable.values()

    def cloudnets(self) -> list[Live]:
        """Those that are CloudNets."""
        return [live for live in self._live.values() if live.record.criteria.cloudnet is not None]

    def lose(self, reservation_id: str) -> None:
        """Drops one that another instance owns now; who waits for it hears of that."""
        live = self._live.pop(reservation_id, None)
        self._movable.pop(reservation_id, None)
        if live is not None:
            live.lose()

    def __len__(self) -> int:
        return len(self._live)

    def ids(self) -> set[str]:
        """All that live here."""
        return set(self._live)

    def over(self, now_s: int) -> list[Live]:
        """Those whose window has ended, once each."""
        found = {}
        while self._ends and self._ends[0][0] <= now_s:
            _, reservation_id = heapq.heappop(self._ends)
            live = self._live.get(reservation_id)
            if live is not None and live.record.criteria.window.end_s <= now_s:
                found[reservation_id] = live
        return [found[key] for key in sorted(found)]
