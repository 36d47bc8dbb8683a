"""One domain's participant as a service, whatever carries its messages (paper 003, section 4).

Take early, give late: capacity is taken in memory before a hold is written, and given back only
once a release is durable. Nothing is answered before it is durable (design, section 5, rules 1, 9
and 10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import structlog

from agents.book import Book
from agents.ledger import Ledger
from agents.provisioner import Provisioner
from agents.records import Records
from agents.store import DataPlane, Key, Record, Store, SupersededError
from agents.timers import RECHECK_MS, Timers
from agents.turns import Turns
from agents.watchers import Watcher, Watchers
from protocol import participant
from protocol.messages import (
    PartMessage,
    Phase,
    ReqOffers,
    ReservationPrep,
    ReservationResp,
    SendOffers,
    ToAgent,
    ToOrchestrator,
)
from protocol.participant import Admitted, Part, PartState, Rules
from runtime.clock import Clock
from runtime.database import StorageError
from substrate.calendar import CalendarError
from substrate.model import DataPlaneState, Domain, Refusal, RefusalKind

AGAIN_MS = 5_000

Send = Callable[[str, ToOrchestrator], None]
"""Sends to an orchestrator, by its id; must not block. What cannot be sent may be dropped."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _PartDue:
    key: Key


@dataclass(frozen=True, slots=True)
class _ReservationDue:
    reservation_id: str


class RestoreError(Exception):
    """What the store holds does not fit into the domain as it is now configured."""


class Agent:
    """Answers the messages of orchestrators for one domain, and keeps its devices in step.

    ``rules.hold_timeout_s`` is taken from the domain's description. All methods belong to one event
    loop. ``superseded`` is set when another agent has taken the store over: stop then.
    """

    def __init__(
        self,
        book: Book,
        store: Store,
        clock: Clock,
        send: Send,
        rules: Rules | None = None,
        recheck_ms: int | None = RECHECK_MS,
    ) -> None:
        self.domain: Domain = book.backend.describe()
        self.epoch = 0
        self.superseded = asyncio.Event()
        self._book = book
        self._store = store
        self._clock = clock
        self._send = send
        self._rules = replace(rules or Rules(), hold_timeout_s=self.domain.hold_timeout_s)
        self._records = Records()
        self._turns = Turns()
        self._ledger = Ledger(store)
        self._tasks: set[asyncio.Task[None]] = set()
        self._watchers = Watchers()
        self._timers: Timers[_PartDue | _ReservationDue] = Timers(clock, self._fire, recheck_ms)
        self._provisioner = Provisioner(
            book.backend,
            lambda record: book.placement(record.part.mapping),
            clock,
            self._records.parts_of,
            self._settle_data_plane,
            lambda reservation, due_ms: self._timers.set(_ReservationDue(reservation), due_ms),
        )

    async def start(self, restored: bool = False) -> None:
        """Takes up what the store holds; what came due meanwhile happens at once.

        ``restored``: the store is a backup's (see :meth:`Store.load`). Raises WrongDatabaseError,
        RestoreError and StorageError.
        """
        loaded = await self._store.load(self.domain.name, self._clock.now_ms(), restored)
        self.epoch = loaded.epoch
        for record in loaded.records:
            self._keep(record)
            self._restore(record)
        self._provisioner.restore(loaded.records)
        for reservation_id in self._records.reservations():
            self._provisioner.look(reservation_id)
        self._timers.start()
        _log.info("agent started", domain=self.domain.name, parts=len(loaded.records))

    async def stop(self) -> None:
        """Takes no new holds and finishes what is under way; devices stay as they are."""
        self.drain()
        self._timers.stop()
        await self._provisioner.stop()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self.end_watches()

    def abandon(self) -> None:
        """Stops at once and finishes nothing, as a crash would: for simulations."""
        self._timers.stop()
        self._provisioner.abandon()
        for task in list(self._tasks):
            task.cancel()
        self.end_watches()

    def drain(self) -> None:
        """Refuses new holds from now on."""
        refusal = Refusal(RefusalKind.UNAVAILABLE, "the agent is shutting down", self.domain.name)
        self._rules = replace(self._rules, refuse=refusal)

    def kick(self) -> None:
        """Fires what is due: for tests and simulations that move the clock themselves."""
        self._timers.kick()

    async def handle(self, orchestrator_id: str, message: ToAgent) -> None:
        """Processes one message and sends the answer, if there is one, to ``orchestrator_id``.

        Calls for one part are processed in the order of the calls, others side by side. The work is
        not lost when the caller is cancelled.
        """
        await asyncio.shield(self.receive(orchestrator_id, message))

    def receive(self, orchestrator_id: str, message: ToAgent) -> asyncio.Task[None]:
        """As :meth:`handle`, without waiting: the task that does the work."""
        return self._spawn(self._answer(orchestrator_id, message))

    def offers(self, request: ReqOffers) -> SendOffers:
        """What a visible domain could carry; nothing for a blind one."""
        if not self.domain.visible:
            return SendOffers(request.query_id, self.domain.name, (), ())
        return self._book.offers(request, self._clock.now_ms())

    def holdings(self, after: Key | None, limit: int) -> list[Record]:
        """Live records in the order of their keys, from behind ``after``."""
        return self._records.live(after, limit)

    def rules_of(self, record: Record) -> tuple[str, ...]:
        """What is configured on the devices for a part, in the backend's words."""
        if record.data_plane.state is not DataPlaneState.ACTIVE:
            return ()
        return self._book.backend.rules(self._book.placement(record.part.mapping))

    def watch(self) -> Watcher:
        """The data plane of every part that is live or still configured, then each change."""
        return self._watchers.open(self._records.watched())

    def end_watches(self) -> None:
        """Ends every subscription once it has read what it has."""
        self._watchers.close()

    def _restore(self, record: Record) -> None:
        if not record.live or record.part.prep is None:
            return
        try:
            self._book.restore(record.part.prep, record.part.mapping)
        except CalendarError as error:
            raise RestoreError(
                f"{self.domain.name} has promised more than its settings now allow: {error}, for"
                f" part {'/'.join(record.key)}: put back what was taken away"
            ) from error

    async def _answer(self, orchestrator_id: str, message: ToAgent) -> None:
        if isinstance(message, ReqOffers):
            self._send(orchestrator_id, self.offers(message))
            return
        key = (message.transaction_id, message.part_id)
        async with self._turns.turn(key):
            answer = await self._step(key, message)
        if answer is not None:
            self._send(orchestrator_id, answer)

    async def _step(self, key: Key, message: PartMessage) -> ReservationResp | None:
        before = self._records.get(key)
        part, answer = participant.step(
            before.part if before else None,
            message,
            self._clock.now_ms(),
            self._admit,
            self._rules,
            self.epoch,
        )
        if answer.refusal is not None and not answer.refusal.domain:
            answer = replace(answer, refusal=replace(answer.refusal, domain=self.domain.name))
        if before is not None and part == before.part:
            return answer
        try:
            await self._advance(before, part)
        except StorageError as error:
            _log.warning("part not stored", part="/".join(key), error=str(error))
            return self._unavailable(message) if isinstance(message, ReservationPrep) else None
        return answer

    def _unavailable(self, prep: ReservationPrep) -> ReservationResp:
        name = self.domain.name
        refusal = Refusal(RefusalKind.UNAVAILABLE, f"{name} cannot write now", name)
        return ReservationResp(
            prep.transaction_id, prep.part_id, Phase.PREP, False, refusal, self.epoch
        )

    def _admit(self, prep: ReservationPrep) -> Admitted | Refusal:
        name, horizon_s = self.domain.name, self.domain.horizon_s
        left_s = prep.window.end_s - self._clock.now_ms() // 1000
        if left_s <= 0:
            reason = f"the window ended {-left_s} s ago"
            return Refusal(RefusalKind.POLICY, reason, name)
        if horizon_s and left_s > horizon_s:
            reason = f"the window ends {left_s} s from now, {name} takes up to {horizon_s} s"
            return Refusal(RefusalKind.POLICY, reason, name)
        return self._book.admit(prep)

    async def _advance(self, before: Record | None, part: Part) -> None:
        """Makes a part's new state durable and gives capacity back only then."""
        record = Record(part, self._data_plane_of(before, part))
        held = before is not None and before.live
        try:
            await self._save(record, fresh=before is None)
        except StorageError:
            if record.live and not held:
                self._book.free(*record.key)
            raise
        if held and not record.live:
            self._book.free(*record.key)
        self._keep(record)
        self._publish(before, record)
        if part.prep is not None:
            self._provisioner.look(part.prep.reservation_id)

    def _data_plane_of(self, before: Record | None, part: Part) -> DataPlane:
        """The data plane that goes with a part's new state, before any device was asked."""
        found = before.data_plane if before else DataPlane(DataPlaneState.RELEASED)
        key = (part.transaction_id, part.part_id)
        if part.state is PartState.HELD:
            state = DataPlaneState.SCHEDULED
        elif part.state is PartState.COMMITTED or self._provisioner.configured(key):
            state = found.state
        else:
            state = DataPlaneState.RELEASED
        return found if found.state is state else DataPlane(state, "", self._clock.now_ms())

    async def _settle_data_plane(self, key: Key, data_plane: DataPlane) -> None:
        async with self._turns.turn(key):
            before = self._records.get(key)
            if before is None:
                return
            record = replace(before, data_plane=data_plane)
            await self._save(record)
            self._keep(record)
            self._publish(before, record)
        _log.info(
            "data plane changed",
            part="/".join(key),
            state=data_plane.state.name,
            reason=data_plane.reason,
        )

    async def _save(self, record: Record, fresh: bool = False) -> None:
        try:
            await self._ledger.save(record, fresh)
        except SupersededError:
            self.superseded.set()
            raise

    def _publish(self, before: Record | None, record: Record) -> None:
        if before is not None and before.data_plane != record.data_plane:
            self._watchers.publish(record)

    def _keep(self, record: Record) -> None:
        self._records.put(record)
        self._timers.set(_PartDue(record.key), self._due_ms(record))

    def _due_ms(self, record: Record) -> int:
        """When a part wants attention next: an inquiry, its expiry, or to be forgotten."""
        part, rules = record.part, self._rules
        if part.state is PartState.HELD:
            times = [] if part.inquire_at_ms is None else [part.inquire_at_ms]
            if rules.hold_timeout_s is not None:
                times.append(part.changed_ms + rules.hold_timeout_s * 1000)
            return min(times, default=part.changed_ms + rules.grace_s * 1000)
        if part.prep is None:
            return part.changed_ms + participant.FORGET_UNSEEN_S * 1000
        return max(part.changed_ms, part.prep.window.end_s * 1000) + rules.grace_s * 1000

    def _fire(self, due: _PartDue | _ReservationDue) -> None:
        if isinstance(due, _PartDue):
            self._spawn(self._tick(due.key))
        else:
            self._provisioner.look(due.reservation_id)

    async def _tick(self, key: Key) -> None:
        async with self._turns.turn(key):
            record = self._records.get(key)
            if record is None:
                return
            try:
                await self._attend(record)
            except StorageError as error:
                _log.warning("part not stored", part="/".join(key), error=str(error))
                self._timers.set(_PartDue(key), self._clock.now_ms() + AGAIN_MS)

    async def _attend(self, record: Record) -> None:
        now_ms = self._clock.now_ms()
        if participant.forgettable(record.part, now_ms, self._rules):
            await self._forget(record)
            return
        part, inquire = participant.tick(record.part, now_ms, self._rules)
        if part.state is not record.part.state:
            await self._advance(record, part)
        else:
            # When an inquiry is due next need not survive a restart.
            self._keep(replace(record, part=part))
        due_ms = self._timers.due_ms(_PartDue(record.key))
        if due_ms is not None and due_ms <= now_ms:
            self._timers.set(_PartDue(record.key), now_ms + AGAIN_MS)
        if inquire is not None and part.prep is not None:
            self._send(part.prep.orchestrator_id, inquire)

    async def _forget(self, record: Record) -> None:
        if self._provisioner.configured(record.key):
            self._timers.set(_PartDue(record.key), self._clock.now_ms() + AGAIN_MS)
            return
        await self._ledger.forget(record.key)
        if record.live:
            self._book.free(*record.key)
        self._records.drop(record)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
