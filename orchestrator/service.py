"""What users may do with reservations, and what domains tell of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import structlog

from orchestrator.bent import plan_any
from orchestrator.book import Live
from orchestrator.engine import Engine
from orchestrator.events import state_event
from orchestrator.explaining import explained
from orchestrator.modifying import negotiate_next
from orchestrator.negotiation import Failure
from orchestrator.ports import (
    Changes,
    ConflictError,
    KnownRequestError,
    LostError,
    Request,
)
from orchestrator.records import (
    FINAL,
    Change,
    Granted,
    Reservation,
    State,
    cancelled,
    ended,
)
from orchestrator.recovery import tend
from orchestrator.reports import Reports
from orchestrator.reserving import begin_first, negotiate_first
from orchestrator.room import find_room, may_have_room
from orchestrator.steps import is_over
from protocol.coordinator import Outbound, Transaction, begin, step
from runtime.database import StorageError
from substrate.model import Criteria, Refusal
from substrate.values import dataclass, replace

log = structlog.get_logger()

T = TypeVar("T")

GIVE_BACK_WAIT_S = 1.0
POLL_S = 0.2
"""How often is looked what another instance has decided."""
LINGER_S = 60
"""For how long after its end the reports of domains are noted."""
OWN_ATTEMPTS = 3
ACCEPTED = "accepted/"
"""Before the id of an alternative: no request_id has a slash."""


class NotFoundError(Exception):
    """No such reservation or request."""


class RequestTakenError(Exception):
    """The request_id was used with another body."""


class TokenTakenError(Exception):
    """Another request has taken the alternative."""


class DrainingError(Exception):
    """This instance takes no new work: another one does."""


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
    accepts: str = ""
    """The id of the alternative that is taken; empty: none."""
    switch_s: int | None = None
    """Of a Modify: when its paths take over; None: at once."""
    rests_on: int = 0
    """Of a Modify: the version whose criteria it changes; 0: any."""


class Orchestrator:
    """The coordinator of the reservations of one instance; see also :mod:`orchestrator.instance`.

    ``draining``: no new negotiations are begun. ``closed``: who still waits or watches must ask
    another instance.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.reports = Reports(engine)
        self.owner, self.hand = self.reports.owner, self.reports.hand
        engine.on_doubt = self.owner.doubt
        self.draining = False
        self.closed = False
        engine.gateway.listen(self.reports)

    # What users ask -------------------------------------------------------------------------------

    async def recorded(self, request_id: str, digest: str) -> Reservation | None:
        """The record of a request that was made before, with the same body; None for a new one.

        Ask before a request is refused: what was a good one once may not be one now.
        Raises RequestTakenError.
        """
        request = await self.engine.store.request(request_id)
        return None if request is None else await self._same(request, digest)

    async def reserve(self, order: Order) -> Reservation:
        """Records the request and starts to negotiate; what is recorded already for the same id.

        Raises RequestTakenError, TooManyError, DrainingError, StorageError.
        """
        self._must_not_drain()
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
            asked=order.criteria if order.criteria.bend is not None else None,
        )
        transaction = begin(record.transaction_id, record.reservation_id, record.version)
        outbound: Sequence[Outbound] = ()
        with engine.place() as negotiate:
            epoch, begun = engine.epoch, await begin_first(engine, record)
            if begun is not None:
                transaction, outbound = step(transaction, begun.parts, now_ms)
            try:
                await engine.save(_opening(order, record, transaction))
            except KnownRequestError as taken:
                if taken.request.request_id != order.request_id:
                    raise TokenTakenError from None
                return await self._same(taken.request, order.digest)
            except LostError:
                raise DrainingError("this instance begins anew, its lease had run out") from None
            if engine.epoch != epoch:
                # The life that made it is over: the next one, or another instance, takes it up.
                return record
            live = engine.book.adopt(record)
            engine.transactions.adopt(transaction, outbound)
            negotiate(tend(engine, live, negotiate_first(engine, live, begun)))
        return record

    async def modify(self, reservation_id: str, order: Order) -> Reservation:
        """Records the change and starts to negotiate it; the old version stands meanwhile.

        Raises NotFoundError, RequestTakenError, NotNowError, TooManyError, DrainingError,
        ConflictError, StorageError.
        """
        self._must_not_drain()
        return await self.engine.detached(
            self._owning(
                reservation_id,
                lambda live: self._modify(live, order),
                lambda record: self._must_rest(record, order.request_id),
            )
        )

    async def _modify(self, live: Live, order: Order) -> Reservation:
        engine, reservation_id = self.engine, live.record.reservation_id
        with engine.place() as negotiate:
            async with live.turn():
                record, now_ms = live.record, engine.now_ms()
                self._must_rest(record, order.request_id)
                if order.rests_on not in (0, record.version):
                    known = await engine.store.request(order.request_id)
                    if known is not None:
                        return await self._same(known, order.digest)
                    # Its criteria would undo what was granted meanwhile.
                    raise ConflictError(reservation_id)
                change = Change(
                    order.request_id,
                    engine.ids.new(),
                    order.criteria,
                    order.timeout_s,
                    now_ms,
                    switch_s=order.switch_s,
                )
                record = replace(record, change=change, modified=None, updated_ms=now_ms)
                transaction = begin(change.transaction_id, reservation_id, record.version + 1)
                try:
                    await engine.save(_opening(order, record, transaction))
                except KnownRequestError as taken:
                    return await self._same(taken.request, order.digest)
                if live.lost:
                    return record
                live.set(record)
            engine.transactions.adopt(transaction)
            negotiate(tend(engine, live, negotiate_next(engine, live)))
        return record

    async def decided(self, reservation_id: str) -> Reservation:
        """Waits, for as long as it takes, until nothing is being negotiated for it, anywhere.

        Raises NotFoundError, DrainingError, StorageError.
        """
        return await self._until(reservation_id, lambda record: record.decided)

    async def changed(self, reservation_id: str, request_id: str) -> Reservation:
        """Waits until that change is decided; the record as it was then, whatever came next.

        Raises NotFoundError, DrainingError, StorageError.
        """
        record = await self._until(
            reservation_id, lambda r: r.change is None or r.change.request_id != request_id
        )
        request = await self.engine.store.request(request_id)
        return (request.answer if request is not None else None) or record

    async def _until(
        self, reservation_id: str, ready: Callable[[Reservation], bool]
    ) -> Reservation:
        while True:
            live = self.engine.book.get(reservation_id)
            if live is not None:
                waited = not ready(live.record)
                with suppress(LostError):
                    record = await live.wait(ready)
                    if waited:
                        # This very moment it was written.
                        return record
            # Another instance may own it by now, and be at work on a change of it.
            record = await self.get(reservation_id)
            if ready(record):
                return record
            if self.closed:
                raise DrainingError("this instance is shutting down")
            await asyncio.sleep(POLL_S)

    async def cancel(self, reservation_id: str) -> Reservation:
        """Gives the reservation back everywhere; who is away is told when it returns.

        Raises NotFoundError, NotNowError, ConflictError, StorageError.
        """
        return await self.engine.detached(self._owning(reservation_id, self._cancel))

    async def _cancel(self, live: Live) -> Reservation:
        reservation_id = live.record.reservation_id
        async with live.turn():
            record = live.record
            if record.state is State.CANCELLED:
                return record
            if record.state is not State.NEGOTIATING:
                self._must_stand(record)
            await self._withdraw_others(live)
            gone = cancelled(record, self.engine.now_ms())
            await self.engine.withdraw(live, record.transaction_id, gone)
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
            # Whoever owns it meanwhile sees to it.
            with suppress(LostError):
                await transactions.wait(transaction_id, is_over, GIVE_BACK_WAIT_S)

    async def get(self, reservation_id: str) -> Reservation:
        """The record as it is now, whoever owns it. Raises NotFoundError, StorageError."""
        record = await self.engine.store.reservation(reservation_id)
        if record is None:
            raise NotFoundError(reservation_id)
        return record

    async def by_request(self, request_id: str) -> Reservation:
        """The record that a request_id made or changed. Raises NotFoundError."""
        request = await self.engine.store.request(request_id)
        if request is None:
            raise NotFoundError(request_id)
        return await self.get(request.reservation_id)

    async def plan(self, criteria: Criteria, timeout_s: int) -> Granted | Failure:
        """What ``reserve`` would first try to hold, or why it would refuse; holds nothing."""
        engine = self.engine
        question = engine.question(criteria, engine.now_ms() + timeout_s * 1000)
        question = replace(question, tariff=engine.limits.tariff)
        try:
            outcome = await plan_any(question, lambda each, told: engine.bargain(each, told=told))
            outcome = engine.breakers.explained(question, outcome)
            if isinstance(outcome, Failure):
                if may_have_room(engine, question, outcome.refusals):
                    room = await find_room(engine, question)
                    if isinstance(room, Refusal):
                        outcome = replace(outcome, refusals=(*outcome.refusals, room))
                    elif room is not None:
                        return room.grant
                return await explained(engine, question, outcome)
            return outcome
        finally:
            engine.breakers.ended(question)

    # Time -----------------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Sends again what is due, and closes what has ended. Call it about once a second.

        Asks domains that were silent whether they are there.
        """
        for domain in self.engine.breakers.due():
            self.engine.spawn(self.engine.probe(domain))
        await self.engine.transactions.retry()
        for live in self.engine.book.over(self.engine.now_ms() // 1000):
            try:
                async with live.turn():
                    await self._end(live)
            except LostError:
                continue
            except (StorageError, ConflictError) as error:
                log.warning("an end is not stored, will be tried again", error=str(error))
                self.engine.book.watch_end(live.record)

    async def _end(self, live: Live) -> None:
        engine, record = self.engine, live.record
        if record.state is State.NEGOTIATING:
            # It is decided soon, and then looked at again.
            engine.book.watch_end(record)
            return
        lingers = False
        if record.state is State.COMMITTED:
            await self._withdraw_others(live)
            await engine.store_record(live, ended(record, engine.now_ms()))
            lingers = live.record.to_be_released
        await engine.transactions.dismiss(record.transaction_id)
        if lingers:
            # Domains are about to tell that their circuits are taken down.
            engine.book.look_again(record, engine.now_ms() // 1000 + LINGER_S)
        else:
            engine.book.forget(record.reservation_id)

    async def _withdraw_others(self, live: Live) -> None:
        """A change under way, and old versions that are still to be given back.

        All before the record is final: nobody looks after a final record's transactions that wait
        for no answer.
        """
        record = live.record
        for transaction_id in self.engine.transactions.of(record.reservation_id):
            if transaction_id != record.transaction_id:
                await self.engine.withdraw(live, transaction_id)

    # Small things ---------------------------------------------------------------------------------

    async def _same(self, request: Request, digest: str) -> Reservation:
        if request.digest != digest:
            raise RequestTakenError(request.request_id)
        return request.answer or await self.get(request.reservation_id)

    async def _owning(
        self,
        reservation_id: str,
        work: Callable[[Live], Awaitable[Reservation]],
        check: Callable[[Reservation], None] = lambda _record: None,
    ) -> Reservation:
        """Does it as the owner of the reservation, which another instance may be until now.

        Raises ConflictError when another one takes it back again and again.
        """
        for _ in range(OWN_ATTEMPTS):
            with suppress(LostError):
                live = self.engine.book.get(reservation_id)
                if live is None:
                    record = await self.get(reservation_id)
                    check(record)
                    if record.state in FINAL:
                        return await work(Live(record))
                    live = await self.owner.take_one(reservation_id)
                return await work(live)
        raise ConflictError(reservation_id)

    def _must_not_drain(self) -> None:
        if self.draining:
            raise DrainingError("this instance is shutting down")

    def _must_rest(self, record: Reservation, request_id: str) -> None:
        self._must_stand(record)
        if record.granted.phased:
            raise NotNowError("its rate or paths change in time: cancel it and ask anew")
        if record.change is not None and record.change.moves_for:
            raise NotNowError("it is being moved to make room for another: ask again in a moment")
        # The same request again is recorded already, which saving it shows.
        if record.change is not None and record.change.request_id != request_id:
            raise NotNowError("another Modify of it is being negotiated")

    def _must_stand(self, record: Reservation) -> None:
        if record.state in FINAL or record.state is State.NEGOTIATING:
            raise NotNowError(f"it is {record.state.name}; only a COMMITTED one can be changed")
        if record.criteria.window.end_s * 1000 <= self.engine.now_ms():
            raise NotNowError("its window has ended")


def _opening(order: Order, record: Reservation, transaction: Transaction) -> Changes:
    """What is recorded before anything is negotiated."""
    return Changes(
        request=Request(order.request_id, order.digest, record.reservation_id),
        accepted=Request(ACCEPTED + order.accepts, order.digest, record.reservation_id)
        if order.accepts
        else None,
        reservation=record,
        transactions=(transaction,),
        events=(state_event(record, record.updated_ms),),
        at_ms=record.updated_ms,
    )
