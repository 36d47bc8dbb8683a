"""What domains tell an instance: answers, inquiries, data planes, and that they are there."""

from __future__ import annotations

from orchestrator.book import Live
from orchestrator.breaker import Signal
from orchestrator.engine import Engine
from orchestrator.events import data_plane_event
from orchestrator.hand import Hand
from orchestrator.owner import Owner
from orchestrator.ports import AgentIdentity, Changes, DataPlaneReport, Holdings, LostError
from orchestrator.reconciling import Reconciling
from orchestrator.records import (
    Kind,
    Reservation,
    State,
    with_change_data_plane,
    with_data_plane,
    with_released,
)
from protocol.coordinator import PartStatus, Transaction
from protocol.messages import (
    Inquire,
    OffersStale,
    Reconciled,
    ReservationResp,
    SendOffers,
    ToOrchestrator,
)
from runtime.database import StorageError
from substrate.model import DataPlaneState, Window


class Reports:
    """The :class:`orchestrator.ports.Listener` of an instance."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.owner = Owner(engine, self.on_data_plane)
        self.hand = Hand(engine, self.owner, self._moved)
        self.reconciling = Reconciling(engine)

    def on_message(self, domain: str, message: ToOrchestrator) -> None:
        match message:
            case SendOffers():
                self.engine.questions.answered(domain, message)
            case OffersStale():
                self.engine.offers.stale(domain, message)
            case ReservationResp():
                odd = self.hand.is_odd(message)
                if odd or not self.engine.transactions.take(domain, message):
                    self.engine.inbox.take(domain, self._answered(domain, message))
            case Inquire():
                self.engine.inbox.take(domain, self._inquired(domain, message))
            case Reconciled():
                self.reconciling.done(domain, message)

    def on_data_plane(self, domain: str, report: DataPlaneReport) -> None:
        known = self.engine.book.get(report.reservation_id) is not None
        if known or report.state is DataPlaneState.RELEASED:
            self.engine.inbox.report(domain, report, self._data_plane)
        else:
            self.owner.remember(domain, report)

    async def met(self, domain: str) -> AgentIdentity | None:
        return await self.reconciling.met(domain)

    async def on_meet(self, domain: str, identity: AgentIdentity, holdings: Holdings) -> None:
        await self.reconciling.meet(domain, identity, holdings)
        await self.hand.meet(domain, holdings)

    def on_up(self, domain: str) -> None:
        self.engine.breakers.hear(domain, Signal.CONNECTED)
        self.engine.offers.drop(domain)
        self.engine.spawn(self.engine.transactions.retry(domain))
        self.engine.spawn(self.hand.returned(domain))
        self.reconciling.up(domain)

    async def _answered(self, domain: str, response: ReservationResp) -> None:
        await self.hand.heard(domain, response)
        transaction = await self.engine.transactions.answered(domain, response)
        if transaction is not None:
            await self._moved(transaction)

    async def _inquired(self, domain: str, inquire: Inquire) -> None:
        await self.hand.heard(domain, inquire)
        await self.engine.transactions.inquired(domain, inquire)

    async def _moved(self, transaction: Transaction) -> None:
        """What follows for the record from an answer, or from an operator's word instead."""
        live = self.engine.book.get(transaction.reservation_id)
        if live is None and any(part.status is PartStatus.RELEASED for part in transaction.parts):
            live = await self._cancelled(transaction.reservation_id)
        if live is not None and live.record.state is State.CANCELLED:
            await self._note_releases(live, transaction)
        if self.engine.book.get(transaction.reservation_id) is None:
            await self.engine.transactions.dismiss(transaction.transaction_id)
        self.engine.transactions.forget_settled(transaction.transaction_id)

    async def _cancelled(self, reservation_id: str) -> Live | None:
        """The record of a cancelled reservation that was taken over, or has nothing to release any
        more: what its domains say of it is noted too."""
        engine = self.engine
        record = await engine.store.reservation(reservation_id)
        if record is None or record.state is not State.CANCELLED:
            return None
        live = engine.book.adopt(record)
        async with live.turn():
            # Another answer may have been noted, and the record forgotten, since it was read.
            live.set(await engine.store.reservation(reservation_id) or record)
        return live

    async def _note_releases(self, live: Live, transaction: Transaction) -> None:
        async with live.turn():
            record = live.record
            if transaction.transaction_id != record.transaction_id:
                return
            for part in transaction.parts:
                if part.status is PartStatus.RELEASED:
                    window = part.prep.window
                    record = with_released(record, part.domain, self.engine.now_ms(), window)
            if record is not live.record:
                await self.engine.save(Changes(reservation=record))
                live.set(record)
            self._forget_cancelled(record)

    def _forget_cancelled(self, record: Reservation) -> None:
        """Once nothing of it is left anywhere."""
        if record.state is State.CANCELLED and all(part.released for part in record.parts):
            self.engine.book.forget(record.reservation_id)

    async def _window(self, report: DataPlaneReport) -> Window | None:
        """When the part is there that a report is about."""
        transaction = self.engine.transactions.get(report.transaction_id)
        if transaction is None:
            transaction = await self.engine.store.transaction(report.transaction_id)
        parts = transaction.parts if transaction is not None else ()
        return next((p.prep.window for p in parts if p.part_id == report.part_id), None)

    async def _data_plane(self, domain: str, report: DataPlaneReport) -> None:
        live = self.engine.book.get(report.reservation_id)
        if live is None and report.state is DataPlaneState.RELEASED:
            # Domains may acknowledge a release before they have taken their part down.
            live = await self._cancelled(report.reservation_id)
        if live is None:
            self.owner.remember(domain, report)
            return
        try:
            await self._note_data_plane(live, domain, report)
        finally:
            self._forget_cancelled(live.record)

    async def _note_data_plane(self, live: Live, domain: str, report: DataPlaneReport) -> None:
        async with live.turn():
            now_ms, change = self.engine.now_ms(), live.record.change
            pending = change.transaction_id if change is not None else ""
            if live.record.kind is Kind.CLOUDNET and pending == report.transaction_id:
                record = with_change_data_plane(
                    live.record, domain, report.state, report.reason, now_ms
                )
            elif live.record.transaction_id != report.transaction_id:
                return
            else:
                window = await self._window(report) if live.record.granted.phased else None
                record = with_data_plane(
                    live.record, domain, report.state, report.reason, now_ms, window
                )
            if record is live.record:
                return
            event = data_plane_event(
                record.reservation_id, domain, report.state, report.reason, now_ms
            )
            try:
                await self.engine.save(Changes(reservation=record, events=(event,)))
            except (StorageError, LostError):
                # Whoever takes the reservation up notes it.
                self.owner.remember(domain, report)
                raise
            live.set(record)
            if record.state is State.ENDED and not record.to_be_released:
                await self.engine.transactions.dismiss(record.transaction_id)
                self.engine.book.forget(record.reservation_id)
