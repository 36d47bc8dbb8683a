"""One domain's participant as a service, whatever carries its messages (paper 003, section 4).

Nothing is answered before it is durable (design, section 5, rules 1 and 10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence
from time import perf_counter
from typing import Any, TypeVar

import structlog

from agents import hand
from agents.advice import Advisor
from agents.book import Book
from agents.clouds import Clouds, hosting
from agents.followers import FOLLOWED_MS, Followers
from agents.meter import Meter
from agents.parts import Parts
from agents.peers import Send, Sender
from agents.recovery import Recovery
from agents.remote import Remote, remote_of
from agents.steps import Step, key_of, step_of, store_all
from agents.store import Store
from agents.tasks import outliving
from agents.timers import (
    RECHECK_MS,
    AsleepDue,
    Due,
    ImagesDue,
    OwnerDue,
    PartDue,
    RebalanceDue,
    RecoveryDue,
    ReservationDue,
    StraysDue,
    SweepDue,
    TidyDue,
    Timers,
)
from agents.turns import Turn
from agents.values import Decision, Key, Life, Record, Seen
from agents.watchers import Watcher
from protocol import participant
from protocol.messages import (
    Claims,
    PartMessage,
    ReqOffers,
    ReservationPrep,
    SendOffers,
    ToAgent,
    ToOrchestrator,
)
from protocol.participant import Rules
from runtime import telemetry
from runtime.clock import Clock, Ids, RandomIds
from runtime.database import StorageError
from runtime.errors import RequestError
from substrate.model import DataPlaneState, Domain, Refusal, RefusalKind
from substrate.values import replace

OWNER_CHECK_MS = 10_000
IDLE_MS = 5_000
"""How often what will begin is looked at."""
FORGET_AFTER_S = 2 * 86_400
"""Longer than what is over stays in the exact calendars (Rules.grace_s)."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class Agent:
    """Answers the messages of orchestrators for one domain, and keeps its devices in step.

    ``rules.hold_timeout_s`` is taken from the domain's description. ``orchestrators``: see
    :class:`agents.recovery.Recovery`. All methods belong to one event loop. ``superseded`` is set
    when another agent has taken the store over: stop then.
    """

    def __init__(
        self,
        book: Book,
        store: Store,
        clock: Clock,
        send: Send,
        rules: Rules | None = None,
        recheck_ms: int | None = RECHECK_MS,
        orchestrators: Collection[str] | None = None,
        ids: Ids | None = None,
    ) -> None:
        self.domain: Domain = book.backend.describe()
        self._book, self._store, self._clock, self._send = book, store, clock, send
        self._ids = ids or RandomIds()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: Timers[Due] = Timers(
            clock, self._fire, recheck_ms, lambda: self.parts.provisioner.look_back()
        )
        rules = replace(rules or Rules(), hold_timeout_s=self.domain.hold_timeout_s)
        self.parts = Parts(book, store, clock, rules, self._timers)
        self.remote = remote_of(book.backend, self.parts, self._timers)
        """Of a domain whose parts are held by somebody else too."""
        self._advisor = Advisor(self.parts, self.remote)
        self.recovery = Recovery(self.parts, self._timers, send, orchestrators, self._advisor)
        cloud = hosting(book)
        self.clouds = None if cloud is None else Clouds(self.parts, cloud, self._spawn)
        """Of a domain that runs VNodes on hosts of its own."""
        if self.clouds is not None and orchestrators is not None:
            # Else there may be one that has not claimed yet what is its own.
            self.recovery.over = lambda: self._fire(StraysDue())
        self.superseded = self.parts.superseded
        self.meter = Meter()
        self._followers = Followers(send)
        book.changed = self._followers.changed

    @property
    def life(self) -> Life:
        """Which life of the agent this is."""
        return self.recovery.life

    @property
    def epoch(self) -> int:
        """The agent's epoch."""
        return self.recovery.life.epoch

    @property
    def recovering(self) -> bool:
        """Whether it takes nothing new because it may have forgotten what it holds (rule 7)."""
        return self.parts.rules.recovering

    async def start(self, restored: bool = False) -> None:
        """Takes up what the store holds; what came due meanwhile happens at once.

        ``restored``: the store is a backup's (see :meth:`Store.load`). Raises WrongDatabaseError,
        RestoreError and StorageError.
        """
        incarnation, now_ms = self._ids.new(), self._clock.now_ms()
        loaded = await self._store.load(self.domain.name, now_ms, incarnation, restored)
        self.parts.take_up(loaded)
        self.recovery.take_up(loaded.life)
        self._timers.set(OwnerDue(), now_ms + OWNER_CHECK_MS)
        self._timers.start()
        if self.remote is not None:
            self.remote.start()
        if self.clouds is not None:
            self._spawn(self.recovery.look())
            self._timers.set(ImagesDue(), now_ms + IDLE_MS)
            self._timers.set(RebalanceDue(), now_ms + self.clouds.rebalance_ms)
        _log.info("agent started", domain=self.domain.name, parts=len(self.parts.records))

    async def stop(self) -> None:
        """Takes no new holds and finishes what is under way; devices stay as they are."""
        self.drain()
        self._timers.stop()
        self._followers.stop()
        if self.clouds is not None:
            self.clouds.stop()
        await self.parts.provisioner.stop()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.remote is not None:
            await self.remote.stop()
        self.end_watches()

    def abandon(self) -> None:
        """Stops at once and finishes nothing, as a crash would: for simulations."""
        self._timers.stop()
        self._followers.stop()
        self.parts.provisioner.abandon()
        if self.clouds is not None:
            self.clouds.stop()
        if self.remote is not None:
            self.remote.abandon()
        for task in list(self._tasks):
            task.cancel()
        self.end_watches()

    def drain(self) -> None:
        """Refuses new holds from now on."""
        refusal = Refusal(RefusalKind.UNAVAILABLE, "the agent is shutting down", self.domain.name)
        self.parts.rules = replace(self.parts.rules, refuse=refusal)

    def kick(self) -> None:
        """Fires what is due: for tests and simulations that move the clock themselves."""
        self._timers.kick()

    async def greet(self, seen: Seen | None, orchestrator_id: str = "") -> None:
        """See :meth:`agents.recovery.Recovery.greet`. Before the first message of a stream."""
        await outliving(self._spawn(self.recovery.greet(seen, orchestrator_id)))
        if self.remote is not None:
            self.remote.greeted(orchestrator_id)

    async def handle(self, sender: Sender | str, message: ToAgent) -> None:
        """Processes one message and sends the answer, if there is one, to ``sender``.

        A plain name is an orchestrator of one instance. Calls for one part are processed in the
        order of the calls, others side by side. The work is not lost when the caller is cancelled.
        """
        rest = self.receive(sender, message)
        if rest is not None:
            await asyncio.shield(rest)

    def receive(self, sender: Sender | str, *messages: ToAgent) -> asyncio.Task[None] | None:
        """As :meth:`handle`, without waiting, for messages that came together.

        What needs no waiting is done and answered now. What they change is written at once, all or
        nothing. Returns the task that does the rest; None: there is none.
        """
        if isinstance(sender, str):
            sender = Sender(sender, sender)
        began_s = perf_counter()
        steps: list[Step] = []
        late: list[asyncio.Future[None]] = []
        for message in messages:
            try:
                if isinstance(message, ReqOffers | Claims):
                    task = self._asked(sender, message, began_s)
                    late += [] if task is None else [task]
                    continue
                key = key_of(message)
                if self._advisor.wants(message) or not self.parts.turns.take(key):
                    turn = self.parts.turns.turn(key)
                    late.append(self._spawn(self._answer(turn, sender, message)))
                    continue
                step = self._begun(sender, key, message, began_s)
                if step.changes:
                    steps.append(step)
            except Exception as error:
                # A backend may be anyone's; what came together with it is not to suffer.
                late.append(_failed(error))
        return self._spawn(self._finish(sender, steps, late, began_s)) if steps or late else None

    async def settle(self, order: hand.Order) -> Decision:
        """See :func:`agents.hand.settle`."""
        return await outliving(self._spawn(hand.settle(self.parts, order)))

    def offers(self, sender: Sender, request: ReqOffers) -> SendOffers:
        """What a visible domain could carry; of a blind one no more than what VNodes may have."""
        if not self.domain.visible:
            request = replace(request, pairs=(), follow=False)
        now_ms = self._clock.now_ms()
        if request.follow and self._followers.follow(sender, request.window, now_ms):
            return replace(self._book.offers(request, now_ms, FOLLOWED_MS), followed=True)
        return self._book.offers(request, now_ms)

    def holdings(self, after: Key | None, limit: int) -> list[Record]:
        """Live records in the order of their keys, from behind ``after``."""
        return self.parts.records.live(after, limit)

    def rules_of(self, record: Record) -> tuple[str, ...]:
        """What is configured on the devices for a part, in the backend's words."""
        if record.data_plane.state is not DataPlaneState.ACTIVE:
            return ()
        return self._book.backend.rules(self._book.placement(record.part.mapping))

    def watch(self) -> Watcher:
        """The data plane of parts that are live or still configured, then each change.

        Of what is SCHEDULED to begin later nothing need be told before that.
        """
        return self.parts.watchers.open(self.parts.records.watched())

    def end_watches(self) -> None:
        """Ends every subscription once it has read what it has."""
        self.parts.watchers.close()

    def _asked(
        self, sender: Sender, message: ReqOffers | Claims, began_s: float
    ) -> asyncio.Task[None] | None:
        """Answers what is about no part; the task that does so; None: it is done."""
        if isinstance(message, Claims):
            return self._spawn(self._reconcile(sender, message))
        if message.aggregate and self.remote is not None:
            return self._spawn(self._tell(sender, message, self.remote))
        self._respond(sender, message, self.offers(sender, message), began_s)
        return None

    def _begun(self, sender: Sender, key: Key, message: PartMessage, began_s: float) -> Step:
        """What a message is to change, while its turn is kept; if it does not, it is answered."""
        changes = False
        try:
            step = step_of(self.parts, sender, key, message, self.epoch)
            changes = step.changes
            if not changes:
                self._respond(sender, message, step.answer, began_s)
        finally:
            if not changes:
                self.parts.turns.give(key)
        return step

    async def _finish(
        self,
        sender: Sender,
        steps: Sequence[Step],
        late: Sequence[asyncio.Future[None]],
        began_s: float,
    ) -> None:
        """Stores and answers what messages change, and waits for those that await their turn."""
        try:
            if steps:
                await store_all(self.parts, self.epoch, steps)
            for step in steps:
                self._respond(sender, step.message, step.answer, began_s)
        finally:
            for step in steps:
                self.parts.turns.give(step.key)
        if late:
            await asyncio.gather(*late)

    async def _answer(self, turn: Turn, sender: Sender, message: PartMessage) -> None:
        began_s = perf_counter()
        async with turn, self._advisor.on(sender, message) as admit:
            key = key_of(message)
            step = step_of(self.parts, sender, key, message, self.epoch, admit)
            if step.changes:
                await store_all(self.parts, self.epoch, [step])
        self._respond(sender, message, step.answer, began_s)

    async def _tell(self, sender: Sender, request: ReqOffers, remote: Remote) -> None:
        """Offers with what there is elsewhere for VNodes."""
        began_s = perf_counter()
        aggregate = await remote.aggregate(request.window, request.reservation_id)
        offers = replace(self.offers(sender, request), aggregate=aggregate)
        self._respond(sender, request, offers, began_s)

    async def _reconcile(self, sender: Sender, message: Claims) -> None:
        began_s = perf_counter()
        await self.recovery.hear(sender, message)
        self._respond(sender, message, None, began_s)

    def _respond(
        self, sender: Sender, message: ToAgent, answer: ToOrchestrator | None, began_s: float
    ) -> None:
        self.meter.answered(message, answer, perf_counter() - began_s)
        if telemetry.on():
            self._trace(message, began_s)
        if answer is not None:
            self._send(sender, answer)

    def _trace(self, message: ToAgent, began_s: float) -> None:
        """A span below the question's, or of what is done to a part below its first one's."""
        parent = ""
        if isinstance(message, ReqOffers | ReservationPrep):
            parent = message.traceparent
        elif not isinstance(message, Claims):
            record = self.parts.records.get(key_of(message))
            prep = None if record is None else record.part.prep
            parent = "" if prep is None else prep.traceparent
        telemetry.ended(type(message).__name__, parent, began_s, domain=self.domain.name)

    def _fire(self, due: Due) -> None:
        if isinstance(due, PartDue):
            self._spawn(self._tick(due.key))
        elif isinstance(due, ReservationDue):
            self.parts.provisioner.look(due.reservation_id)
        elif isinstance(due, AsleepDue):
            self.parts.rouse()
        elif isinstance(due, TidyDue | SweepDue):
            self._attend_remote(due)
        elif isinstance(due, ImagesDue):
            self._spawn(self._fill_images())
        elif isinstance(due, RebalanceDue):
            self._spawn(self._rebalance())
        elif isinstance(due, StraysDue):
            self._spawn(self._sweep_hosts())
        elif isinstance(due, RecoveryDue):
            self._spawn(self.recovery.attempt())
        else:
            self._spawn(self._check_owner())

    def _attend_remote(self, due: TidyDue | SweepDue) -> None:
        if self.remote is None:
            return
        one = due.reservation_id if isinstance(due, TidyDue) else None
        self._spawn(self.remote.sweep() if one is None else self.remote.tidy(one))

    async def _fill_images(self) -> None:
        if self.clouds is not None:
            await self.clouds.imaging.fill()
            self._timers.set(ImagesDue(), self._clock.now_ms() + IDLE_MS)

    async def _rebalance(self) -> None:
        if self.clouds is not None:
            try:
                await self.clouds.rebalance()
            except (RequestError, StorageError) as error:
                _log.warning("no hosts freed", reason=str(error))
            self._timers.set(RebalanceDue(), self._clock.now_ms() + self.clouds.rebalance_ms)

    async def _sweep_hosts(self) -> None:
        if self.clouds is not None and not await self.clouds.sweep():
            self._timers.set(StraysDue(), self._clock.now_ms() + IDLE_MS)

    async def _check_owner(self) -> None:
        """Finds out that another agent has the database now, also when nothing is written.

        That one may wait for orchestrators that are connected to this one. Forgets days gone by.
        """
        self._book.calendar.forget(self._clock.now_ms() // 1000 - FORGET_AFTER_S)
        self._timers.set(OwnerDue(), self._clock.now_ms() + OWNER_CHECK_MS)
        await self.parts.owned()

    async def _tick(self, key: Key) -> None:
        async with self.parts.turns.turn(key):
            record = self.parts.records.get(key)
            if record is None:
                return
            try:
                await self._attend(record)
            except StorageError as error:
                _log.warning("part not stored", part="/".join(key), error=str(error))
                self.parts.again(key)

    async def _attend(self, record: Record) -> None:
        now_ms, rules = self._clock.now_ms(), self.parts.rules
        if participant.forgettable(record.part, now_ms, rules):
            if not await self.parts.forget(record):
                self.parts.again(record.key)
            return
        part, inquire = participant.tick(record.part, now_ms, rules)
        if part.state is not record.part.state:
            await self.parts.advance((record, part))
        else:
            # When an inquiry is due next need not survive a restart.
            self.parts.keep(replace(record, part=part))
        if self.parts.overdue(record.key):
            self.parts.again(record.key)
        if inquire is not None and part.prep is not None:
            self._send(Sender(part.prep.orchestrator_id), inquire)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _failed(error: Exception) -> asyncio.Future[None]:
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    failed.set_exception(error)
    return failed
