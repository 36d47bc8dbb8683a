"""The reservations that live in memory: one lock and one wake-up call each."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.records import FINAL, Reservation


@dataclass(slots=True)
class Live:
    """A reservation that can still change. Take ``lock`` to change ``record``."""

    record: Reservation
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, record: Reservation) -> None:
        """The new record, once durable."""
        self.record = record
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    async def wait(self, ready: Callable[[Reservation], bool]) -> Reservation:
        """The first record that is ``ready``; for as long as it takes."""
        while not ready(self.record):
            await self.changed.wait()
        return self.record


class LiveBook:
    """All live reservations, and when their windows end."""

    def __init__(self) -> None:
        self._live: dict[str, Live] = {}
        self._ends: list[tuple[int, str]] = []

    def adopt(self, record: Reservation) -> Live:
        """Takes a reservation up; the one already there if there is."""
        live = self._live.setdefault(record.reservation_id, Live(record))
        self.watch_end(record)
        return live

    def watch_end(self, record: Reservation) -> None:
        """Its window ends then; an earlier entry that no longer holds is skipped later."""
        heapq.heappush(self._ends, (record.criteria.window.end_s, record.reservation_id))

    def get(self, reservation_id: str) -> Live | None:
        return self._live.get(reservation_id)

    def forget(self, reservation_id: str) -> None:
        self._live.pop(reservation_id, None)

    def over(self, now_s: int) -> list[Live]:
        """Those whose window has ended, once each."""
        found = {}
        while self._ends and self._ends[0][0] <= now_s:
            _, reservation_id = heapq.heappop(self._ends)
            live = self._live.get(reservation_id)
            if live is not None and live.record.criteria.window.end_s <= now_s:
                found[reservation_id] = live
        return [found[key] for key in sorted(found)]

    def uses(self, domain: str) -> bool:
        """Whether any live reservation has a part in the domain."""
        return any(
            part.domain == domain
            for live in self._live.values()
            if live.record.state not in FINAL
            for part in live.record.parts
        )
