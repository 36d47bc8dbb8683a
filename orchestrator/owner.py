"""Taking over reservations that this instance does not own yet (design, section 5, rule 3)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

import structlog

from orchestrator.book import Live
from orchestrator.carry_out import begin_again
from orchestrator.engine import Engine
from orchestrator.ports import DataPlaneReport, LostError, Renewal, Unfinished
from orchestrator.recovery import adopt, resume, tend
from runtime.database import StorageError
from substrate.values import replace

log = structlog.get_logger()

TAKE_BATCH = 500
REMEMBERED_MAX = 10_000
READ_AGAIN_S = 1.0

Report = Callable[[str, DataPlaneReport], None]


class Owner:
    """One take-over at a time, so that nothing is taken up twice.

    ``report`` hears again what domains said of a reservation before it was taken up.
    """

    def __init__(self, engine: Engine, report: Report) -> None:
        self._engine, self._report = engine, report
        self._turn = asyncio.Lock()
        self._doubtful: set[str] = set()
        self._reading: set[str] = set()
        self.ready = asyncio.Event()
        """Set when domains are there to negotiate with."""
        self.ready.set()
        self._reports: OrderedDict[tuple[str, str], dict[str, DataPlaneReport]] = OrderedDict()

    async def take_orphans(self) -> bool:
        """Takes up some whose owner is gone, and goes on with them; False: there were none.

        Raises StorageError, LostError.
        """
        engine = self._engine
        async with self._turn:
            mine = engine.remembered()
            found = await engine.store.take(engine.epoch, TAKE_BATCH)
            if not (found.reservations or found.transactions):
                return False
            await self._adopt(self._without(mine | engine.remembered(), found))
        return True

    def _without(self, mine: set[str], found: Unfinished) -> Unfinished:
        """Without what this instance took for its own: what it has written since may not be there.

        That is read again.
        """
        reservations = [r for r in found.reservations if r.reservation_id not in mine]
        transactions = [t for t in found.transactions if t.reservation_id not in mine]
        ids = {record.reservation_id for record in found.reservations}
        ids.update(transaction.reservation_id for transaction in found.transactions)
        for reservation_id in sorted(ids & mine):
            self.doubt(reservation_id)
        return replace(found, reservations=tuple(reservations), transactions=tuple(transactions))

    async def register(self, instance_id: str, lease_ms: int) -> None:
        """Begins a new life, which owns nothing yet. Raises StorageError."""
        engine = self._engine
        async with self._turn:
            epoch = await engine.store.register(instance_id, lease_ms)
            # At one stroke: what the former life was still at must not go on beside the new one.
            engine.lose_all()
            engine.epoch = epoch

    async def renew(self, instance_id: str, lease_ms: int) -> Renewal:
        """The heartbeat: drops what others own now. Raises StorageError."""
        engine = self._engine
        async with self._turn:
            renewal = await engine.store.renew(engine.epoch, instance_id, lease_ms)
            for reservation_id in renewal.lost:
                engine.lose(reservation_id)
            if renewal.lost:
                await engine.store.told_lost(engine.epoch, renewal.lost)
        return renewal

    async def take_one(self, reservation_id: str) -> Live:
        """Takes up one, whoever owns it now; what was being negotiated for it goes on here.

        Raises StorageError, and LostError when it has become final meanwhile or is in doubt.
        """
        async with self._turn:
            live = self._engine.book.get(reservation_id)
            if live is not None:
                return live
            try:
                await self._take(reservation_id)
            except StorageError:
                self.doubt(reservation_id)
                raise
        live = self._engine.book.get(reservation_id)
        if live is None:
            raise LostError(reservation_id)
        return live

    def doubt(self, reservation_id: str) -> None:
        """A write about it may or may not have happened: it is read again, once that can be.

        Until then nobody here writes about it.
        """
        self._engine.lose(reservation_id)
        self._doubtful.add(reservation_id)
        if reservation_id not in self._reading:
            self._reading.add(reservation_id)
            self._engine.spawn(self._read_again(reservation_id))

    async def _read_again(self, reservation_id: str) -> None:
        try:
            while reservation_id in self._doubtful:
                async with self._turn:
                    try:
                        await self._take(reservation_id)
                    except StorageError:
                        self._doubtful.add(reservation_id)
                if reservation_id in self._doubtful:
                    await asyncio.sleep(READ_AGAIN_S)
        finally:
            self._reading.discard(reservation_id)

    async def _take(self, reservation_id: str) -> None:
        # What was asked to be written before is read then, and nothing may be asked afterwards.
        self._engine.lose(reservation_id)
        # What is written in doubt from here on is in doubt again.
        self._doubtful.discard(reservation_id)
        found = await self._engine.store.take_one(self._engine.epoch, reservation_id)
        if self._engine.book.get(reservation_id) is not None:
            # It was begun here meanwhile, and is negotiated: nobody else may do so beside it.
            self.doubt(reservation_id)
            return
        await self._adopt(found)

    async def _go_on(self, live: Live) -> None:
        await self.ready.wait()
        await tend(self._engine, live, resume(self._engine, live))

    def remember(self, domain: str, report: DataPlaneReport) -> None:
        """What a domain says of another's reservation: this instance may take that up next."""
        key = (report.reservation_id, domain)
        self._reports.setdefault(key, {})[report.part_id] = report
        self._reports.move_to_end(key)
        if len(self._reports) > REMEMBERED_MAX:
            self._reports.popitem(last=False)

    async def _adopt(self, found: Unfinished) -> None:
        engine = self._engine
        waiting = await adopt(engine, found)
        for record in found.reservations:
            # Its transactions are gone from memory since: nobody may go by the record alone.
            if record.reservation_id in self._doubtful:
                engine.lose(record.reservation_id)
        if found.reservations or found.transactions:
            log.info(
                "taken over",
                reservations=len(found.reservations),
                transactions=len(found.transactions),
            )
        for record in found.reservations:
            for part in record.parts:
                reports = self._reports.pop((record.reservation_id, part.domain), {})
                for report in reports.values():
                    self._report(part.domain, report)
        for live in (engine.book.get(record.reservation_id) for record in found.reservations):
            if live is not None:
                begin_again(engine, live)
        for live in waiting:
            if not live.lost:
                engine.go_on(self._go_on(live))
