"""The steps that every part of a reservation's life is made of.

One record changes only under its lock, and only in the same database write as the transaction step
that justifies the change. Negotiations run in tasks of their own: a caller that goes away changes
nothing (design, section 8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import field
from typing import Any

import structlog

from orchestrator.bargain import LiveBargain, OpenQuestions, Patience
from orchestrator.begun import Begun
from orchestrator.bent import Told, negotiate_any, negotiate_begun, negotiate_migration
from orchestrator.book import Live, LiveBook
from orchestrator.bounds import Bounds
from orchestrator.breaker import Signal
from orchestrator.breakers import Breakers
from orchestrator.carrying import carried
from orchestrator.events import Event, EventHub, prepare_event, progress_body
from orchestrator.finder import RouteFinder
from orchestrator.inbox import Inbox
from orchestrator.meter import Meter
from orchestrator.negotiation import Bargain, Failure, Progress, Question, spread
from orchestrator.offers import Offers
from orchestrator.ports import (
    REFUSED,
    Carrier,
    Changes,
    ConflictError,
    Gateway,
    LostError,
    Store,
)
from orchestrator.records import Granted, Reservation, State, explained
from orchestrator.steps import with_state
from orchestrator.transactions import Transactions
from orchestrator.work import Places, Work
from protocol.coordinator import Decide, Decision, ReleaseAll, Transaction
from protocol.messages import Joint, ReqOffers
from runtime import telemetry
from runtime.apart import Apart, at_once
from runtime.clock import Clock, Ids
from runtime.database import StorageBusyError, StorageError
from substrate.labels import Plan
from substrate.model import Criteria, Refusal, RefusalKind, Window
from substrate.tolls import Tariff
from substrate.values import dataclass, replace

log = structlog.get_logger()

RETRY_STORAGE_S = 1.0
PROGRESS_WAITS_S = 0.05
ROOMS_MAX = 2
"""So many refused circuits are made room for at once; others are refused as they are."""
UNSAVED_MAX = 10_000
"""Events of progress that wait to be stored; more are left out of the history."""

Refuse = Callable[[Reservation, tuple[Refusal, ...], int], Reservation]
"""How a failure changes the record: ``records.failed`` or ``records.unchanged``."""
Word = Callable[[Transaction, int], Reservation]
"""What the record becomes, given the decided transaction and the time in milliseconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one instance takes on."""

    negotiations_max: int = 1000
    patience: Patience = field(default_factory=Patience)
    offers_reuse_ms: int = 0
    """For how long the offers of domains serve other requests too; 0: not at all."""
    explanations_max: int = 2
    """So many refusals at once get what was in the way and what would be granted instead."""
    bounds: Bounds = field(default_factory=Bounds)
    """Nothing is proposed that is out of them."""
    moves_max: int = 4
    """How many others may be moved to admit one; 0: none."""
    carry_ms: int = 600_000
    """For how long it is tried to carry VNodes to other providers."""
    carry_rounds: int = 8
    """How many copies of each go ahead of it at most."""
    tariff: Tariff | None = None
    """What a request may take from others; None: anything."""


class OvertakenError(Exception):
    """What was held is held no more: negotiate again."""


class Engine(Work):
    """Everything that one instance works with; see the module.

    Without ``record_progress`` what negotiations report on the way is not made into events: for
    simulations that nobody watches.
    """

    def __init__(
        self,
        orchestrator_id: str,
        store: Store,
        gateway: Gateway,
        clock: Clock,
        ids: Ids,
        limits: Limits,
        record_progress: bool = True,
    ) -> None:
        super().__init__(limits.negotiations_max)
        self.orchestrator_id = orchestrator_id
        self.store, self.gateway, self.clock, self.ids = store, gateway, clock, ids
        self.now_ms = clock.now_ms
        self.limits = limits
        self._record_progress = record_progress
        self.hub = EventHub()
        self.book = LiveBook()
        self.breakers = Breakers(gateway, clock)
        self.inbox = Inbox(self.spawn)
        self.meter = Meter()
        self.carrier: Carrier | None = None
        """What carries VNodes from one provider to another; None: there they begin anew."""
        self.apart: Apart = at_once
        """Where long searches are done."""
        self.explaining = Places(limits.explanations_max)
        """For refusals that are being explained."""
        self.rooms = Places(ROOMS_MAX)
        """For refused circuits that room is looked for."""
        self.questions = OpenQuestions(
            gateway, ids, limits.patience, self.breakers, self.spawn, self.meter
        )
        self.offers = Offers(limits.offers_reuse_ms)
        self.transactions = Transactions(self.save, store, gateway, clock)
        self.transactions.on_settled = lambda seconds: self.meter.phase("commit", seconds)
        self._finder = RouteFinder()
        self._unsaved: list[Event] = []
        self._saving_soon = False
        self.on_doubt: Callable[[str], None] = lambda _reservation_id: None
        """Hears of reservations whose last write may or may not have happened."""
        self.epoch = 0
        """This life of the instance, as the store has registered it: the fence of every write."""

    async def save(self, changes: Changes) -> None:
        """Makes changes durable, then tells who watches. Raises what the store raises."""
        progress, self._unsaved = self._unsaved, []
        if progress:
            changes = replace(changes, events=(*progress, *changes.events))
        try:
            await self.store.save(changes, self.epoch)
            self.hub.publish(changes.events)
            self._count(changes)
        except REFUSED as refused:
            # Nothing of it was written; the progress is that of others.
            for event in progress:
                self.emit(event)
            if isinstance(refused, LostError):
                self.lose(refused.reservation_id)
            if isinstance(refused, ConflictError):
                # What is remembered here is not what was decided.
                self._doubt(changes)
            raise
        except StorageBusyError:
            raise
        except StorageError:
            # It may have been written all the same: only reading tells.
            self._doubt(changes)
            raise

    def _count(self, changes: Changes) -> None:
        for after in changes.records:
            live = self.book.get(after.reservation_id)
            if live is not None:
                self.meter.came_to(live.record, after)

    def _doubt(self, changes: Changes) -> None:
        for reservation_id in sorted(changes.reservation_ids):
            self.on_doubt(reservation_id)

    def lose(self, reservation_id: str) -> None:
        """Another instance owns the reservation: what this one remembers of it is out of date."""
        self.book.lose(reservation_id)
        self.transactions.lose(reservation_id)

    def errand_of(self, reservation_id: str) -> int:
        """On which errand its VNodes are carried; 0: on none that this instance knows."""
        live = self.book.get(reservation_id)
        return live.record.errands if live is not None else 0

    def remembered(self) -> set[str]:
        """The reservations of which anything is in memory."""
        return self.book.ids() | self.transactions.reservations()

    def lose_all(self) -> None:
        """As ``lose``, for everything: this life of the instance is over."""
        for reservation_id in sorted(self.remembered()):
            self.lose(reservation_id)

    def emit(self, event: Event) -> None:
        """Records an event of progress, in order with all others, without waiting for it.

        It is written with whatever is written next, or soon.
        """
        if len(self._unsaved) >= UNSAVED_MAX:
            return
        self._unsaved.append(event)
        if not self._saving_soon:
            self._saving_soon = True
            self.spawn(self._save_soon())

    async def store_record(self, live: Live, record: Reservation) -> None:
        """Makes a new record durable, with its event, and puts it in force."""
        changes = with_state(record, record.updated_ms, live.record)
        await self.persist(lambda: self.save(changes), live)
        live.set(record)

    async def persist(
        self, write: Callable[[], Coroutine[Any, Any, Any]], live: Live | None = None
    ) -> None:
        """Repeats a write until it is durable: it is already decided. Raises LostError."""
        while True:
            if live is not None and live.lost:
                raise LostError(live.record.reservation_id)
            try:
                await write()
                return
            except StorageError:
                log.exception("write failed, will be repeated")
                await asyncio.sleep(RETRY_STORAGE_S)

    # Negotiation and its outcome ------------------------------------------------------------------

    def question(
        self, criteria: Criteria, deadline_ms: int, in_force: Plan | None = None
    ) -> Question:
        """What is to be negotiated, over the domains that are up now and not left out.

        Once negotiated, tell ``breakers.ended``.
        """
        return self.breakers.question(criteria, deadline_ms, self._finder, in_force)

    async def probe(self, domain: str) -> None:
        """Asks a domain that was silent whether it is there; its breaker hears the answer."""
        now_s = self.now_ms() // 1000
        nothing = ReqOffers("", Window(now_s, now_s + 1), (), 0)
        if await self.questions.ask(domain, nothing, self.limits.patience.offers_s) is None:
            self.breakers.hear(domain, Signal.NOT_OFFERED)

    def bargain(
        self,
        question: Question,
        transaction_id: str = "",
        reservation_id: str = "",
        version: int = 0,
        told: Told | None = None,
        anew: bool = False,
        moved: tuple[str, ...] = (),
        joint: Joint | None = None,
    ) -> LiveBargain:
        """How that negotiation reaches the domains; without a transaction it only asks for offers.

        ``told``: what domains have told it already. ``anew``: offers are asked for it alone.
        ``moved``: what others hold that counts as free; ``joint``: with what it is decided.
        """

        def report(progress: Progress) -> None:
            if transaction_id and self._record_progress:
                self.emit(Event(reservation_id, self.now_ms(), progress_body(progress)))

        def announce(round_: int, domains: list[str]) -> None:
            if self._record_progress:
                self.emit(prepare_event(reservation_id, round_, domains, self.now_ms()))

        return LiveBargain(
            transaction_id=transaction_id,
            reservation_id=reservation_id,
            version=version,
            criteria=question.criteria,
            deadline_ms=question.deadline_ms,
            orchestrator_id=self.orchestrator_id,
            gateway=self.gateway,
            questions=self.questions,
            transactions=self.transactions,
            now_ms=self.now_ms,
            ids=self.ids,
            patience=self.limits.patience,
            breakers=self.breakers,
            tell=report,
            announce=announce,
            meter=self.meter,
            apart=self.apart,
            offers=self.offers,
            anew=anew or question.in_force is not None,
            told=told or {},
            moved=moved,
            joint=joint,
            carried=carried(question) if self.carrier is not None else {},
        )

    async def negotiate(
        self,
        question: Question,
        transaction_id: str,
        reservation_id: str,
        version: int,
        switch_s: int | None = None,
        begun: Begun | None = None,
    ) -> Granted | Failure:
        """Negotiates; a breakdown is a Failure too, its cause in the log.

        ``switch_s``: until then the paths in force stay. ``begun``: goes on with that.
        """
        telemetry.note(reservation_id=reservation_id, version=version)
        question = spread(question, reservation_id)

        def bargains(each: Question, told: Told) -> Bargain:
            return self.bargain(each, transaction_id, reservation_id, version, told)

        try:
            if begun is not None:
                outcome = await negotiate_begun(begun)
            elif switch_s is None:
                outcome = await negotiate_any(question, bargains)
            else:
                outcome = await negotiate_migration(question, switch_s, bargains)
            return self.breakers.explained(question, outcome)
        except LostError:
            raise
        except StorageError:
            log.exception("negotiation could not be recorded", reservation_id=reservation_id)
            reason = "the orchestrator could not write to its database"
        except Exception:
            log.exception("negotiation broke", reservation_id=reservation_id)
            reason = "the orchestrator failed internally; its log tells more"
        finally:
            self.breakers.ended(question)
        return Failure((Refusal(RefusalKind.UNAVAILABLE, reason),))

    @telemetry.traced("commit")
    async def commit(self, live: Live, transaction_id: str, word: Word, refuse: Refuse) -> bool:
        """Decides COMMIT in one write with the record; False when it could not and gave up.

        Call it with the lock of ``live``. Raises LostError, and OvertakenError when a domain was
        restored meanwhile and holds nothing any more.
        """
        now_ms = self.now_ms()
        records = list[Reservation]()

        def extra(transaction: Transaction) -> Changes:
            records.append(word(transaction, now_ms))
            return with_state(records[-1], now_ms, live.record)

        try:
            await self.transactions.apply(transaction_id, Decide(commit=True), extra)
        except ConflictError:
            raise LostError(live.record.reservation_id) from None
        except ValueError:
            raise OvertakenError(transaction_id) from None
        except StorageError:
            log.exception("commit could not be decided", transaction_id=transaction_id)
            reason = "the orchestrator could not record its decision"
            failure = Failure((Refusal(RefusalKind.UNAVAILABLE, reason),))
            await self.give_up(live, transaction_id, failure, refuse)
            return False
        live.set(records[-1])
        return True

    async def give_up(
        self,
        live: Live,
        transaction_id: str,
        failure: Failure,
        refuse: Refuse,
    ) -> None:
        """Decides ABORT in one write with the record. Call it with the lock of ``live``.

        Raises LostError.
        """
        now_ms = self.now_ms()
        record = refuse(live.record, failure.refusals, now_ms)
        record = explained(record, failure.explanation, failure.proof)

        async def abort() -> None:
            await self.transactions.apply(
                transaction_id,
                Decide(commit=False),
                lambda _tx: with_state(record, now_ms, live.record),
            )

        try:
            await self.persist(abort, live)
        except ConflictError:
            raise LostError(record.reservation_id) from None
        live.set(record)
        self.transactions.forget_settled(transaction_id)
        if record.state is State.FAILED:
            self.book.forget(record.reservation_id)

    async def withdraw(
        self, live: Live, transaction_id: str, record: Reservation | None = None
    ) -> None:
        """Aborts or releases a transaction, whichever it needs, in one write with the record.

        Call it with the lock of ``live``. Raises LostError.
        """
        if live.lost:
            raise LostError(live.record.reservation_id)
        changes = Changes()
        if record is not None:
            changes = with_state(record, record.updated_ms, live.record)
        transaction = self.transactions.get(transaction_id)
        if transaction is None:
            await self.save(changes)
        elif transaction.decision is Decision.UNDECIDED:
            await self.transactions.apply(transaction_id, Decide(commit=False), lambda _tx: changes)
        else:
            await self.transactions.apply(transaction_id, ReleaseAll(), lambda _tx: changes)

    async def verdict(self, transaction_id: str) -> Transaction:
        """Waits until success may be told, or never will be (design, section 5, rule 4).

        It never will be of what was cancelled before.
        """
        if self.transactions.get(transaction_id) is None:
            settled = await self.store.transaction(transaction_id)
            assert settled is not None, transaction_id
            return settled
        return await self.transactions.wait(
            transaction_id,
            lambda tx: tx.told_success or tx.decision is not Decision.COMMIT or tx.given_back,
            None,
        )

    async def _save_soon(self) -> None:
        try:
            await asyncio.sleep(PROGRESS_WAITS_S)
        finally:
            self._saving_soon = False
        if not self._unsaved:
            return
        try:
            await self.save(Changes())
        except StorageError:
            log.warning("events of progress are not stored")
