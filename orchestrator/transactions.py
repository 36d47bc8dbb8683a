"""The coordinator as a service: drives ``protocol.coordinator`` for every live transaction.

New state is durable before its messages leave; see :mod:`orchestrator.steps` for what need not be
written, or not at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from orchestrator.events import Event
from orchestrator.ports import Changes, Gateway, LostError, PartKey, StaleEpochError, Store
from orchestrator.steps import (
    events_of,
    hurried,
    is_older,
    is_over,
    may_wait,
    must_last,
    same_parts,
)
from orchestrator.waiting import Waiting
from protocol.coordinator import (
    Answered,
    Decide,
    Decision,
    EpochRaised,
    Event as Cause,
    Inquired,
    Outbound,
    PartStatus,
    Retry,
    Transaction,
    answer_unknown,
    begin,
    step,
)
from protocol.messages import Inquire, ReservationResp
from runtime.clock import Clock
from substrate.values import replace

Save = Callable[[Changes], Awaitable[None]]
"""Makes changes durable and tells who watches."""
Extra = Callable[[Transaction], Changes]
"""What else to write in the same database transaction, given the new state."""


Ready = Callable[[Transaction], bool]


@dataclass(slots=True)
class _Live:
    """``stored``: as the store has it. ``answers``: heard, and not yet worked in."""

    state: Transaction
    stored: Transaction
    answers: list[Cause] = field(default_factory=list)
    decided_ms: int | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: Waiting[Transaction] = field(default_factory=Waiting)
    lost: bool = False

    def wake(self) -> None:
        self.waiting.tell(self.state, over=self.lost)


class Transactions:
    """All transactions that are not settled, and those in force."""

    def __init__(self, save: Save, store: Store, gateway: Gateway, clock: Clock) -> None:
        self._save = save
        self._store, self._gateway, self._clock = store, gateway, clock
        self._live: dict[str, _Live] = {}
        self._of_reservation: dict[str, set[str]] = {}
        # Since when; of those that were decided before they were taken up, since that.
        self._unsettled: dict[str, int] = {}
        self.on_settled: Callable[[float], None] = lambda seconds: None
        """Hears how long after its decision each transaction was settled."""

    def adopt(self, transaction: Transaction, outbound: Iterable[Outbound] = ()) -> None:
        """Takes up a transaction as it is in the store; what is to be sent now that it is there."""
        live = self._live.setdefault(transaction.transaction_id, _Live(transaction, transaction))
        if not live.state.settled:
            self._unsettled[transaction.transaction_id] = self._clock.now_ms()
        ids = self._of_reservation.setdefault(transaction.reservation_id, set())
        ids.add(transaction.transaction_id)
        self._send(outbound)

    def all(self) -> list[Transaction]:
        """Those that are live, as they are now."""
        return [live.state for live in list(self._live.values())]

    def in_doubt_since_ms(self) -> int | None:
        """Since when a domain's word has been missing for longest after a decision, or since it is
        known here; None: nowhere. Any thread may ask."""
        found = [
            since_ms
            for transaction_id, since_ms in self._unsettled.copy().items()
            if (live := self._live.get(transaction_id)) is not None
            and live.state.decision is not Decision.UNDECIDED
        ]
        return min(found, default=None)

    def get(self, transaction_id: str) -> Transaction | None:
        """The present state of a live transaction."""
        live = self._live.get(transaction_id)
        return live.state if live else None

    def forget(self, transaction_id: str) -> None:
        """Drops one from memory; the store keeps it."""
        live = self._live.pop(transaction_id, None)
        self._unsettled.pop(transaction_id, None)
        if live is None:
            return
        ids = self._of_reservation[live.state.reservation_id]
        ids.discard(transaction_id)
        if not ids:
            del self._of_reservation[live.state.reservation_id]

    async def dismiss(self, transaction_id: str) -> None:
        """Drops one that nobody needs here any more; who is away must still hear of it."""
        live = self._live.get(transaction_id)
        if live is None:
            return
        # What is being written may unsettle it: a domain was restored.
        async with live.lock:
            if live.state.settled and not live.lost:
                self.forget(transaction_id)

    def lose(self, reservation_id: str) -> None:
        """Drops those of a reservation that another instance owns now; who waits hears of it."""
        for transaction_id in self.of(reservation_id):
            live = self._live[transaction_id]
            live.lost = True
            live.wake()
            self.forget(transaction_id)

    def of(self, reservation_id: str) -> list[str]:
        """The live transactions of a reservation: its versions."""
        return sorted(self._of_reservation.get(reservation_id, ()))

    def versions(self, reservation_id: str) -> list[Transaction]:
        """As :meth:`of`, each as it is now."""
        return [self._live[transaction_id].state for transaction_id in self.of(reservation_id)]

    def reservations(self) -> set[str]:
        """The reservations that have live transactions."""
        return set(self._of_reservation)

    def forget_settled(self, transaction_id: str) -> None:
        """Drops one from memory if nothing of it stands or will stand anywhere."""
        live = self._live.get(transaction_id)
        if live is not None and is_over(live.state):
            self.forget(transaction_id)

    async def apply(
        self, transaction_id: str, cause: Cause, extra: Extra | None = None
    ) -> Transaction:
        """One step: write, then remember, then send, then wake who waits.

        Raises LostError when it is not live (any more), ConflictError when the decision was lost to
        another, StorageError when the write failed (nothing changed then), ValueError for an
        illegal step.
        """
        live = self._live.get(transaction_id)
        if live is None:
            raise LostError("")
        # Not by ``async with``: that takes twice as many calls, for every step.
        await live.lock.acquire()
        try:
            return await self._apply(live, (cause,), extra)
        finally:
            live.lock.release()

    async def _apply(
        self, live: _Live, causes: Sequence[Cause], extra: Extra | None
    ) -> Transaction:
        """One step after the other, in one write."""
        if live.lost:
            raise LostError(live.state.reservation_id)
        while True:
            try:
                after, outbound = await self._steps(live, causes, extra)
                break
            except StaleEpochError as stale:
                raised = EpochRaised(stale.domain, stale.epoch)
                live.state, _ = await self._steps(live, (raised,), None)
        self._enter(live, after, outbound)
        return after

    async def decide_together(self, ids: Iterable[str], more: Changes) -> None:
        """COMMIT of several transactions in one write with ``more``: all of them, or none.

        Raises LostError, ConflictError, StaleEpochError, StorageError as ``apply`` does, and
        ValueError where one cannot be decided, or success not be told at once.
        """
        lives = [self._live.get(transaction_id) for transaction_id in sorted(ids)]
        async with AsyncExitStack() as locks:
            steps = []
            for live in lives:
                if live is None:
                    raise LostError("")
                await locks.enter_async_context(live.lock)
                if live.lost:
                    raise LostError(live.state.reservation_id)
                after, outbound = step(live.state, Decide(commit=True), self._clock.now_ms())
                if not after.told:
                    raise ValueError(f"{after.transaction_id}: a domain may still drop its hold")
                steps.append((live, after, outbound))
            await self._write([(live, after) for live, after, _ in steps], more)
            for live, after, outbound in steps:
                self._enter(live, after, outbound)

    def _enter(self, live: _Live, after: Transaction, outbound: Sequence[Outbound]) -> None:
        """The new state: remembered, sent, told."""
        before, live.state = live.state, after
        if outbound:
            self._send(outbound)
        if after is before:
            return
        if after.decision is not Decision.UNDECIDED:
            self._sort(live, before)
        live.waiting.tell(after, over=live.lost)

    def _sort(self, live: _Live, before: Transaction) -> None:
        """Keeps apart what must be looked after, and tells how long it had to be."""
        after, settled = live.state, live.state.settled
        if before.decision is not after.decision:
            live.decided_ms = self._clock.now_ms()
        if settled and live.decided_ms is not None and not before.settled:
            self.on_settled((self._clock.now_ms() - live.decided_ms) / 1000)
        if self._live.get(after.transaction_id) is not live:
            return
        if settled:
            self._unsettled.pop(after.transaction_id, None)
        elif before.decision is not after.decision or after.transaction_id not in self._unsettled:
            self._unsettled[after.transaction_id] = self._clock.now_ms()

    async def _steps(
        self, live: _Live, causes: Sequence[Cause], extra: Extra | None
    ) -> tuple[Transaction, list[Outbound]]:
        after, outbound, now_ms = live.state, list[Outbound](), self._clock.now_ms()
        for cause in causes:
            after, more = step(after, cause, now_ms)
            outbound += more
        if extra is not None or must_last(live.stored, after):
            await self._write([(live, after)], extra(after) if extra is not None else Changes())
        return after, outbound

    async def wait(self, transaction_id: str, ready: Ready, timeout_s: float | None) -> Transaction:
        """The first state that is ``ready``, or the present one when time is over (None: never).

        Raises LostError.
        """
        live = self._live.get(transaction_id)
        if live is None:
            raise LostError("")
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not ready(live.state) and not live.lost:
                    await live.waiting.until(ready)
        if live.lost:
            raise LostError(live.state.reservation_id)
        return live.state

    def held(self, domain: str) -> frozenset[PartKey]:
        """The parts that the domain holds for transactions that are not decided."""
        return frozenset(
            (transaction_id, part.part_id)
            for transaction_id, live in self._live.items()
            if live.state.decision is Decision.UNDECIDED
            for part in live.state.parts
            if part.domain == domain and part.status is PartStatus.HELD and not part.expires
        )

    async def epoch_raised(self, domain: str, epoch: int) -> None:
        """The domain was restored from a backup: holds are gone, commitments must be confirmed.

        Raises StorageError.
        """
        for transaction_id in sorted(self._live):
            live = self._live.get(transaction_id)
            if live is None or not is_older(live.state, domain, epoch):
                continue
            with suppress(LostError):
                await self.apply(transaction_id, EpochRaised(domain, epoch))

    def take(self, domain: str, response: ReservationResp) -> bool:
        """Works in a ReservationResp for which nothing is to be written now; False: not done."""
        live = self._live.get(response.transaction_id)
        if live is None or live.lost or live.lock.locked():
            return False
        before = live.state
        after, outbound = step(before, Answered(domain, response), self._clock.now_ms())
        settled = after is before and before.decision is not Decision.UNDECIDED
        if settled or not (may_wait(before, after) or not must_last(live.stored, after)):
            return False
        self._enter(live, after, outbound)
        return True

    async def answered(self, domain: str, response: ReservationResp) -> Transaction | None:
        """A ReservationResp came in; None when the transaction is not live any more.

        Those that come while another is being written are written together: when that fails they
        are as good as lost, and what they answered is sent again.
        """
        live = self._live.get(response.transaction_id)
        if live is None:
            return None
        live.answers.append(Answered(domain, response))
        async with live.lock:
            answers, live.answers = live.answers, []
            if not answers:
                if live.lost:
                    raise LostError(live.state.reservation_id)
                return live.state
            return await self._apply(live, answers, None)

    async def inquired(self, domain: str, inquire: Inquire) -> None:
        """An agent asks what became of its part: decided and written first, then answered."""
        transaction = await self._find(inquire.transaction_id)
        if transaction is None:
            await self._write_abort(inquire)
            self._gateway.send(domain, answer_unknown(inquire))
        else:
            _, outbound = step(transaction, Inquired(domain, inquire), self._clock.now_ms())
            self._send(outbound)

    async def retry(self, domain: str = "") -> None:
        """Sends again what is due; with a domain (it came back) all that waits for it, at once.

        Writes what was left to be written later.
        """
        for transaction_id in sorted(self._unsettled):
            live = self._live.get(transaction_id)
            if live is None:
                continue
            if domain:
                async with live.lock:
                    live.state = hurried(live.state, domain)
            with suppress(LostError):
                await self.apply(transaction_id, Retry())

    def _send(self, outbound: Iterable[Outbound]) -> None:
        for item in outbound:
            self._gateway.send(item.domain, item.message)

    async def _find(self, transaction_id: str) -> Transaction | None:
        return self.get(transaction_id) or await self._store.transaction(transaction_id)

    async def _write_abort(self, inquire: Inquire) -> None:
        now_ms = self._clock.now_ms()
        fresh = begin(inquire.transaction_id, inquire.reservation_id, 0)
        aborted, _ = step(fresh, Decide(commit=False), now_ms)
        await self._save(Changes(transactions=(aborted,)))

    async def _write(self, steps: Sequence[tuple[_Live, Transaction]], more: Changes) -> None:
        """The new states of transactions, and what else is to be written with them."""
        now_ms = self._clock.now_ms()
        events, decided, same = list[Event](), list[str](), list[PartKey]()
        for live, after in steps:
            events += events_of(live.stored, after, more.hand, now_ms)
            same += same_parts(live.stored, after)
            if _decides(live.stored, after):
                decided.append(after.transaction_id)
        changes = replace(
            more,
            transactions=(*[after for _, after in steps], *more.transactions),
            events=(*events, *more.events),
            decides=frozenset(decided),
            stored=frozenset(same),
            at_ms=now_ms,
        )
        await self._save(changes)
        for live, after in steps:
            live.stored = after


def _decides(stored: Transaction, after: Transaction) -> bool:
    return stored.decision is not after.decision and stored.decision is Decision.UNDECIDED
