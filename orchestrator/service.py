"""What users may do with reservations, and what domains tell of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.book import Live
from orchestrator.engine import Engine
from orchestrator.events import data_plane_event, state_event
from orchestrator.modifying import negotiate_next
from orchestrator.negotiation import Failure, plan_only
from orchestrator.ports import Changes, DataPlaneReport, KnownRequestError, Request
from orchestrator.records import (
    FINAL,
    Change,
    Reservation,
    State,
    cancelled,
    ended,
    with_data_plane,
    with_released,
)
from orchestrator.reserving import negotiate_first
from orchestrator.transactions import is_over
from protocol.coordinator import PartStatus, Transaction, begin
from protocol.messages import Inquire, ReservationResp, SendOffers, ToOrchestrator
from substrate.labels import Plan
from substrate.model import Criteria

GIVE_BACK_WAIT_S = 1.0


class NotFoundError(Exception):
    """No such reservation or request."""


class RequestTakenError(Exception):
    """The request_id was used with another body."""


class NotNowError(Exception):
    """The reservation is not in a state that allows this; the text says why."""


@dataclass(frozen=True, slots=True)
class Order:
    """A validated Reserve or Modify: the criteria wished for, under a caller's request_id."""

    request_id: str
    digest: str
    criteria: Criteria
    timeout_s: int
    description: str = ""


class Orchestrator:
    """The coordinator of the reservations of one instance."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        engine.gateway.listen(self)

    # What users ask -------------------------------------------------------------------------------

    async def recorded(self, request_id: str, digest: str) -> Reservation | None:
        """The record of a request that was made before, with the same body; None for a new one.

        Ask before anything else is checked: what was a good request once may not be one now.
        Raises RequestTakenError.
        """
        request = await self.engine.store.request(request_id)
        return None if request is None else await self._same(request, digest)

    async def reserve(self, order: Order) -> Reservation:
        """Records the request and starts to negotiate; what is recorded already for the same id.

        Raises RequestTakenError, TooManyError, StorageError.
        """
        return await self.engine.detached(self._reserve(order))

    async def _reserve(self, order: Order) -> Reservation:
        engine, now_ms = self.engine, self.engine.now_ms()
        record = Reservation(
            reservation_id=engine.ids.new(),
            request_id=order.request_id,
            criteria=order.criteria,
            transaction_id=engine.ids.new(),
            created_ms=now_ms,
            updated_ms=now_ms,
            description=order.description,
            timeout_s=order.timeout_s,
        )
        transaction = begin(record.transaction_id, record.reservation_id, record.version)
        with engine.place() as negotiate:
            try:
                await engine.save(_opening(order, record, transaction))
            except KnownRequestError as taken:
                return await self._same(taken.request, order.digest)
            live = engine.book.adopt(record)
            engine.transactions.adopt(transaction)
            negotiate(negotiate_first(engine, live))
        return record

    async def modify(self, reservation_id: str, order: Order) -> Reservation:
        """Records the change and starts to negotiate it; the old version stands meanwhile.

        Raises NotFoundError, RequestTakenError, NotNowError, TooManyError, StorageError.
        """
        return await self.engine.detached(self._modify(reservation_id, order))

    async def _modify(self, reservation_id: str, order: Order) -> Reservation:
        engine = self.engine
        live = await self._live(reservation_id)
        with engine.place() as negotiate:
            async with live.lock:
                record, now_ms = live.record, engine.now_ms()
                self._must_stand(record)
                if record.change is not None:
                    raise NotNowError("another Modify of it is being negotiated")
                change = Change(
                    order.request_id, engine.ids.new(), order.criteria, order.timeout_s, now_ms
                )
                record = replace(record, change=change, modified=None, updated_ms=now_ms)
                transaction = begin(change.transaction_id, reservation_id, record.version + 1)
                try:
                    await engine.save(_opening(order, record, transaction))
                except KnownRequestError as taken:
                    return await self._same(taken.request, order.digest)
                live.set(record)
            engine.transactions.adopt(transaction)
            negotiate(negotiate_next(engine, live))
        return record

    async def decided(self, reservation_id: str) -> Reservation:
        """Waits, for as long as it takes, until nothing is being negotiated for it.

        Raises NotFoundError.
        """
        live = self.engine.book.get(reservation_id)
        if live is not None:
            return await live.wait(lambda record: record.decided)
        return await self.get(reservation_id)

    async def cancel(self, reservation_id: str) -> Reservation:
        """Gives the reservation back everywhere; who is away is told when it returns.

        Raises NotFoundError, NotNowError, StorageError.
        """
        return await self.engine.detached(self._cancel(reservation_id))

    async def _cancel(self, reservation_id: str) -> Reservation:
        live = await self._live(reservation_id)
        async with live.lock:
            record = live.record
            if record.state is State.CANCELLED:
                return record
            if record.state is not State.NEGOTIATING:
                self._must_stand(record)
            if record.change is not None:
                await self.engine.withdraw(record.change.transaction_id)
            gone = cancelled(record, self.engine.now_ms())
            await self.engine.withdraw(record.transaction_id, gone)
            live.set(gone)
            if not gone.parts:
                self.engine.book.forget(reservation_id)
            return gone

    async def given_back(self, transaction_id: str) -> None:
        """Waits a moment for the domains to give back what a transaction held.

        After a Cancel or Modify has answered, what it freed can then be asked for at once, unless
        a domain is away.
        """
        transactions = self.engine.transactions
        if transactions.get(transaction_id) is not None:
            await transactions.wait(transaction_id, is_over, GIVE_BACK_WAIT_S)

    async def get(self, reservation_id: str) -> Reservation:
        """The record as it is now. Raises NotFoundError."""
        live = self.engine.book.get(reservation_id)
        record = live.record if live else await self.engine.store.reservation(reservation_id)
        if record is None:
            raise NotFoundError(reservation_id)
        return record

    async def by_request(self, request_id: str) -> Reservation:
        """The record that a request_id made or changed. Raises NotFoundError."""
        request = await self.engine.store.request(request_id)
        if request is None:
            raise NotFoundError(request_id)
        return await self.get(request.reservation_id)

    async def plan(self, criteria: Criteria, timeout_s: int) -> Plan | Failure:
        """What ``reserve`` would first try to hold; holds nothing."""
        engine = self.engine
        question = engine.question(criteria, engine.now_ms() + timeout_s * 1000)
        return await plan_only(question, engine.bargain(question))

    # What domains say (orchestrator.ports.Listener) -----------------------------------------------

    def on_message(self, domain: str, message: ToOrchestrator) -> None:
        match message:
            case SendOffers():
                self.engine.questions.answered(domain, message)
            case ReservationResp():
                self.engine.spawn(self._answered(domain, message))
            case Inquire():
                self.engine.spawn(self.engine.transactions.inquired(domain, message))

    def on_data_plane(self, domain: str, report: DataPlaneReport) -> None:
        self.engine.spawn(self._data_plane(domain, report))

    def on_up(self, domain: str) -> None:
        self.engine.spawn(self.engine.transactions.retry(domain))

    # Time -----------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Sends again what is due, and closes what has ended. Call it about once a second."""
        await self.engine.transactions.retry()
        for live in self.engine.book.over(self.engine.now_ms() // 1000):
            async with live.lock:
                await self._end(live)

    async def _end(self, live: Live) -> None:
        engine, record = self.engine, live.record
        if record.state is State.NEGOTIATING:
            return
        if record.state is State.COMMITTED:
            if record.change is not None:
                await engine.withdraw(record.change.transaction_id)
            await engine.store_record(live, ended(record, engine.now_ms()))
        engine.transactions.forget(record.transaction_id)
        engine.book.forget(record.reservation_id)

    # Reports of domains ---------------------------------------------------------------------------

    async def _answered(self, domain: str, response: ReservationResp) -> None:
        transactions = self.engine.transactions
        transaction = await transactions.answered(domain, response)
        if transaction is None:
            return
        live = self.engine.book.get(transaction.reservation_id)
        if live is not None and live.record.state is State.CANCELLED:
            await self._note_releases(live, transaction)
        transactions.forget_settled(transaction.transaction_id)

    async def _note_releases(self, live: Live, transaction: Transaction) -> None:
        async with live.lock:
            record = live.record
            if transaction.transaction_id != record.transaction_id:
                return
            noted = {part.domain for part in record.parts if part.released}
            for part in transaction.parts:
                if part.status is PartStatus.RELEASED and part.domain not in noted:
                    record = with_released(record, part.domain, self.engine.now_ms())
            if record is not live.record:
                await self.engine.save(Changes(reservation=record))
                live.set(record)
            if all(part.released for part in record.parts):
                self.engine.book.forget(record.reservation_id)

    async def _data_plane(self, domain: str, report: DataPlaneReport) -> None:
        live = self.engine.book.get(report.reservation_id)
        if live is None:
            return
        async with live.lock:
            if live.record.transaction_id != report.transaction_id:
                return
            now_ms = self.engine.now_ms()
            record = with_data_plane(live.record, domain, report.state, report.reason, now_ms)
            if record is live.record:
                return
            event = data_plane_event(
                record.reservation_id, domain, report.state, report.reason, now_ms
            )
            await self.engine.save(Changes(reservation=record, events=(event,)))
            live.set(record)

    # Small things ---------------------------------------------------------------------------------

    async def _same(self, request: Request, digest: str) -> Reservation:
        if request.digest != digest:
            raise RequestTakenError(request.request_id)
        return request.answer or await self.get(request.reservation_id)

    async def _live(self, reservation_id: str) -> Live:
        live = self.engine.book.get(reservation_id)
        if live is not None:
            return live
        return Live(await self.get(reservation_id))

    def _must_stand(self, record: Reservation) -> None:
        if record.state in FINAL or record.state is State.NEGOTIATING:
            raise NotNowError(f"it is {record.state.name}; only a COMMITTED one can be changed")
        if record.criteria.window.end_s * 1000 <= self.engine.now_ms():
            raise NotNowError("its window has ended")


def _opening(order: Order, record: Reservation, transaction: Transaction) -> Changes:
    """What is recorded before anything is negotiated."""
    return Changes(
        request=Request(order.request_id, order.digest, record.reservation_id),
        reservation=record,
        transactions=(transaction,),
        events=(state_event(record, record.updated_ms),),
    )
