"""The coordinator as a service: drives ``protocol.coordinator`` for every live transaction.

New state is durable before its messages leave. Holds being answered is the one change that is not
written: an undecided transaction is aborted by recovery whatever its parts said (presumed abort).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from orchestrator.events import Event, decided_event, settled_event
from orchestrator.ports import Changes, Gateway, LostError, PartKey, StaleEpochError, Store
from orchestrator.records import HandDecision
from protocol.coordinator import (
    Answered,
    CoordinatorPart,
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

SETTLED_WORDS = {
    PartStatus.COMMITTED: "COMMITTED",
    PartStatus.ABORTED: "ABORTED",
    PartStatus.RELEASED: "RELEASED",
}

GONE = frozenset({PartStatus.RELEASED, PartStatus.REFUSED, PartStatus.ABORTED})
"""Statuses of parts of which their domains hold nothing."""

Save = Callable[[Changes], Awaitable[None]]
"""Makes changes durable and tells who watches."""
Extra = Callable[[Transaction], Changes]
"""What else to write in the same database transaction, given the new state."""


@dataclass(slots=True)
class _Live:
    """``stored``: as the store has it. ``answers``: heard, and not yet worked in."""

    state: Transaction
    stored: Transaction
    answers: list[Cause] = field(default_factory=list)
    decided_ms: int | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False

    def wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Transactions:
    """All transactions that are not settled, and those in force."""

    def __init__(self, save: Save, store: Store, gateway: Gateway, clock: Clock) -> None:
        self._save = save
        self._store, self._gateway, self._clock = store, gateway, clock
        self._live: dict[str, _Live] = {}
        self._of_reservation: dict[str, set[str]] = {}
        self.on_settled: Callable[[float], None] = lambda seconds: None
        """Hears how long after its decision each transaction was settled."""

    def adopt(self, transaction: Transaction) -> None:
        """Takes up a transaction as it is in the store."""
        self._live.setdefault(transaction.transaction_id, _Live(transaction, transaction))
        ids = self._of_reservation.setdefault(transaction.reservation_id, set())
        ids.add(transaction.transaction_id)

    def all(self) -> list[Transaction]:
        """Those that are live, as they are now."""
        return [live.state for live in list(self._live.values())]

    def get(self, transaction_id: str) -> Transaction | None:
        """The present state of a live transaction."""
        live = self._live.get(transaction_id)
        return live.state if live else None

    def forget(self, transaction_id: str) -> None:
        """Drops one from memory; the store keeps it."""
        live = self._live.pop(transaction_id, None)
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
        async with live.lock:
            return await self._apply(live, (cause,), extra)

    async def _apply(
        self, live: _Live, causes: Sequence[Cause], extra: Extra | None
    ) -> Transaction:
        """One step after the other, in one write."""
        if live.lost:
            raise LostError(live.state.reservation_id)
        before = live.state
        while True:
            try:
                after, outbound = await self._steps(live, causes, extra)
                break
            except StaleEpochError as stale:
                raised = EpochRaised(stale.domain, stale.epoch)
                live.state, _ = await self._steps(live, (raised,), None)
        live.state = after
        self._send(outbound)
        if after is not before:
            self._time(live, before, after)
            live.wake()
        return after

    def _time(self, live: _Live, before: Transaction, after: Transaction) -> None:
        now_ms = self._clock.now_ms()
        if before.decision is not after.decision:
            live.decided_ms = now_ms
        if after.settled and not before.settled and live.decided_ms is not None:
            self.on_settled((now_ms - live.decided_ms) / 1000)

    async def _steps(
        self, live: _Live, causes: Sequence[Cause], extra: Extra | None
    ) -> tuple[Transaction, list[Outbound]]:
        after, outbound = live.state, list[Outbound]()
        for cause in causes:
            after, more = step(after, cause, self._clock.now_ms())
            outbound += more
        if extra is not None or _must_last(live.state, after):
            await self._write(live, after, extra)
        return after, outbound

    async def wait(
        self, transaction_id: str, ready: Callable[[Transaction], bool], timeout_s: float | None
    ) -> Transaction:
        """The first state that is ``ready``, or the present one when time is over (None: never).

        Raises LostError.
        """
        live = self._live.get(transaction_id)
        if live is None:
            raise LostError("")
        try:
            async with asyncio.timeout(timeout_s):
                while not ready(live.state) and not live.lost:
                    await live.changed.wait()
        except TimeoutError:
            pass
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
            if live is None or not _older(live.state, domain, epoch):
                continue
            with suppress(LostError):
                await self.apply(transaction_id, EpochRaised(domain, epoch))

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
        """Sends again what is due; with a domain (it came back) all that waits for it, at once."""
        for transaction_id in sorted(self._live):
            live = self._live.get(transaction_id)
            if live is None or live.state.settled:
                continue
            if domain:
                async with live.lock:
                    live.state = _hurry(live.state, domain)
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

    async def _write(self, live: _Live, after: Transaction, extra: Extra | None) -> None:
        before = live.state
        more = extra(after) if extra is not None else Changes()
        events = (*self._events(before, after, more.hand), *more.events)
        decides = frozenset([after.transaction_id] if before.decision is not after.decision else [])
        changes = replace(
            more,
            transactions=(after, *more.transactions),
            events=events,
            stored=_same_parts(live.stored, after),
            at_ms=self._clock.now_ms(),
            decides=decides if before.decision is Decision.UNDECIDED else frozenset(),
        )
        await self._save(changes)
        live.stored = after

    def _events(
        self, before: Transaction, after: Transaction, hand: HandDecision | None
    ) -> tuple[Event, ...]:
        """What was decided, and what domains have acknowledged; not what was said by hand."""
        now_ms, reservation_id = self._clock.now_ms(), after.reservation_id
        events = []
        if before.decision is not after.decision:
            events.append(decided_event(reservation_id, after.decision.name, now_ms))
        was = {part.part_id: part.status for part in before.parts}
        by_hand = hand.part_id if hand is not None else None
        for part in after.parts:
            word = SETTLED_WORDS.get(part.status)
            moved = was.get(part.part_id) is not part.status and part.part_id != by_hand
            if word is not None and moved:
                events.append(settled_event(reservation_id, part.domain, word, now_ms))
        return tuple(events)


def is_over(transaction: Transaction) -> bool:
    """Whether nothing of it stands, or will stand, anywhere."""
    if transaction.decision is Decision.COMMIT:
        return all(part.status in GONE for part in transaction.parts)
    return transaction.settled


def _must_last(before: Transaction, after: Transaction) -> bool:
    if before is after or before == after:
        return False
    if after.decision is not Decision.UNDECIDED:
        return _lasting(before) != _lasting(after)
    return {p.part_id for p in before.parts} != {p.part_id for p in after.parts}


def _lasting(transaction: Transaction) -> tuple[object, ...]:
    """All that a step may change, without what retries count."""
    return transaction.decision, transaction.told, [_lasting_of(p) for p in transaction.parts]


def _lasting_of(part: CoordinatorPart) -> tuple[object, ...]:
    return part.part_id, part.status, part.refusal, part.epoch


def _same_parts(stored: Transaction, after: Transaction) -> frozenset[PartKey]:
    known = {part.part_id: _lasting_of(part) for part in stored.parts}
    return frozenset(
        (after.transaction_id, part.part_id)
        for part in after.parts
        if known.get(part.part_id) == _lasting_of(part)
    )


def _older(transaction: Transaction, domain: str, epoch: int) -> bool:
    return any(part.domain == domain and part.epoch < epoch for part in transaction.parts)


def _hurry(transaction: Transaction, domain: str) -> Transaction:
    parts = tuple(
        replace(part, sent_ms=0, attempts=0) if part.domain == domain else part
        for part in transaction.parts
    )
    return replace(transaction, parts=parts)
