"""A store without a disk, for simulations and tests: the same promises, until the process ends.

Several instances may share one, as they share a PostgreSQL database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from orchestrator.events import Event
from orchestrator.ports import (
    AgentIdentity,
    Changes,
    ConflictError,
    Doubt,
    DoubtMark,
    KnownRequestError,
    LostError,
    PartKey,
    Renewal,
    Request,
    StaleEpochError,
    Unfinished,
    is_earlier,
)
from orchestrator.records import FINAL, HandDecision, Kind, Reservation, State
from protocol.coordinator import (
    Decision,
    PartStatus,
    Transaction,
    claims,
    in_doubt,
    relied_on,
)
from protocol.messages import Claim
from substrate.values import replace


class MemoryStore:
    """The :class:`orchestrator.ports.Store` in memory; without ``keep_events`` there are none.

    ``now_ms``: the clock that leases are measured with.
    """

    def __init__(self, *, keep_events: bool = True, now_ms: Callable[[], int] = lambda: 0) -> None:
        self._keep_events, self._now_ms = keep_events, now_ms
        self._requests: dict[str, Request] = {}
        self._reservations: dict[str, Reservation] = {}
        self._transactions: dict[str, Transaction] = {}
        self._of_reservation: dict[str, list[str]] = {}
        self._events: list[Event] = []
        self._targets: dict[str, str] = {}
        self._sequence = 0
        self._owners: dict[str, int] = {}
        self._over: set[str] = set()
        """Of reservations that were found to be over, those that were not written since."""
        self._leases: dict[int, tuple[str, int]] = {}
        self._taken: dict[int, set[str]] = {}
        self._last_epoch = 0
        self._met: dict[str, AgentIdentity] = {}
        self._since: dict[tuple[str, str], tuple[PartStatus, int]] = {}
        self._hand: dict[tuple[str, str], HandDecision] = {}

    async def save(self, changes: Changes, fence: int = 0) -> None:
        self._check(changes, fence)
        self._requests.update((request.request_id, request) for request in changes.requests)
        for record in changes.records:
            self._reservations[record.reservation_id] = record
            self._owners[record.reservation_id] = fence
            self._over.discard(record.reservation_id)
        if changes.answers and changes.reservation is not None:
            known = self._requests[changes.answers]
            answer = replace(changes.reservation, transaction_id="")
            self._requests[changes.answers] = replace(known, answer=answer)
        for transaction in changes.transactions:
            if transaction.transaction_id not in self._transactions:
                ids = self._of_reservation.setdefault(transaction.reservation_id, [])
                ids.append(transaction.transaction_id)
            self._over.discard(transaction.reservation_id)
            transaction = self._with_stored(transaction, changes.stored)
            self._transactions[transaction.transaction_id] = transaction
            self._note_since(transaction, changes.at_ms)
        if changes.hand is not None:
            self._hand[changes.hand.transaction_id, changes.hand.part_id] = changes.hand
        if self._keep_events:
            self._number(changes.events)

    async def request(self, request_id: str) -> Request | None:
        return self._requests.get(request_id)

    async def reservation(self, reservation_id: str) -> Reservation | None:
        return self._reservations.get(reservation_id)

    async def transaction(self, transaction_id: str) -> Transaction | None:
        return self._transactions.get(transaction_id)

    async def reservations(
        self, states: frozenset[int], before: str, limit: int, kind: Kind | None = None
    ) -> tuple[tuple[str, Reservation], ...]:
        rows = list(enumerate(self._reservations.values(), start=1))
        below = int(before) if before else len(rows) + 1
        found = [
            (str(position), record)
            for position, record in reversed(rows)
            if position < below
            and (not states or record.state.value in states)
            and kind in (None, record.kind)
        ]
        return tuple(found[:limit])

    async def events(self, reservation_id: str, after: int, limit: int) -> tuple[Event, ...]:
        found = [
            event
            for event in self._events
            if event.sequence > after and reservation_id in ("", event.reservation_id)
        ]
        return tuple(found[:limit])

    async def last_event(self) -> int:
        return self._sequence

    async def targets(self) -> dict[str, str]:
        return dict(self._targets)

    async def set_target(self, domain: str, target: str | None) -> None:
        if target is None:
            self._targets.pop(domain, None)
        else:
            self._targets[domain] = target

    # Who owns what (orchestrator.ports.Membership), and domains as last met -----------------------

    async def register(self, instance_id: str, lease_ms: int) -> int:
        for epoch, (name, _) in list(self._leases.items()):
            if name == instance_id:
                del self._leases[epoch]
        self._last_epoch += 1
        self._leases[self._last_epoch] = (instance_id, self._now_ms() + lease_ms)
        return self._last_epoch

    async def renew(self, epoch: int, instance_id: str, lease_ms: int) -> Renewal:
        if epoch not in self._leases:
            names = {name for name, _ in self._leases.values()}
            return Renewal(alive=False, superseded=instance_id in names)
        now_ms = self._now_ms()
        self._leases[epoch] = (instance_id, now_ms + lease_ms)
        for other, (_, until_ms) in list(self._leases.items()):
            if until_ms < now_ms:
                del self._leases[other]
        taken = sorted(self._taken.get(epoch, ()))
        lost = tuple(each for each in taken if self._owners[each] != epoch)
        return Renewal(alive=True, lost=lost)

    async def told_lost(self, epoch: int, reservation_ids: Sequence[str]) -> None:
        self._taken.get(epoch, set()).difference_update(reservation_ids)

    async def take(self, epoch: int, limit: int) -> Unfinished:
        ids = [
            reservation_id
            for reservation_id, owner in self._owners.items()
            if owner not in self._leases and not self._is_over(reservation_id)
        ]
        return self._owned(epoch, ids[:limit]) if ids else Unfinished()

    async def take_one(self, epoch: int, reservation_id: str) -> Unfinished:
        if reservation_id not in self._reservations:
            return Unfinished()
        owner = self._owners[reservation_id]
        if owner != epoch:
            self._taken.setdefault(owner, set()).add(reservation_id)
        return self._owned(epoch, [reservation_id])

    async def leave(self, epoch: int) -> None:
        self._leases.pop(epoch, None)
        self._taken.pop(epoch, None)

    async def met(self, domain: str) -> AgentIdentity | None:
        return self._met.get(domain)

    async def meet(self, domain: str, identity: AgentIdentity) -> None:
        known = self._met.get(domain)
        if known is not None and is_earlier(identity, known):
            raise ConflictError(domain)
        self._met[domain] = identity

    async def claims(self, domain: str) -> tuple[Claim, ...]:
        found = [
            claim
            for reservation_id, record in self._reservations.items()
            if record.state not in FINAL
            for transaction in self._transactions_of(reservation_id)
            for claim in claims(transaction, domain)
        ]
        return tuple(sorted(found, key=lambda c: (c.prep.transaction_id, c.prep.part_id)))

    async def relied_on(self, domain: str) -> frozenset[PartKey]:
        return frozenset(
            (transaction.transaction_id, part.part_id)
            for reservation_id, record in self._reservations.items()
            if record.state not in FINAL and record.criteria.window.end_s * 1000 > self._now_ms()
            for transaction in self._transactions_of(reservation_id)
            if transaction.decision is Decision.COMMIT
            for part in transaction.parts
            if part.domain == domain
            and (transaction.transaction_id, part.part_id) not in self._hand
            and (
                part.status is PartStatus.COMMITTED
                or (transaction.told and part.status is PartStatus.COMMITTING)
            )
        )

    async def given_back(self, parts: frozenset[PartKey]) -> frozenset[PartKey]:
        stored = [tx for name, _ in sorted(parts) if (tx := self._transactions.get(name))]
        released = {
            (tx.transaction_id, part.part_id)
            for tx in stored
            for part in tx.parts
            if part.status is PartStatus.RELEASED
        }
        return parts & released - self._hand.keys()

    async def uses(self, domain: str) -> bool:
        return any(
            part.domain == domain
            for record in self._reservations.values()
            if record.state not in FINAL
            for part in record.parts
        )

    # What is in doubt (orchestrator.ports.Doubts) -------------------------------------------------

    async def doubts(self, until_ms: int, after: DoubtMark, limit: int) -> tuple[Doubt, ...]:
        found = [doubt for tx in self._transactions.values() for doubt in self._doubts_of(tx)]
        listed = [doubt for doubt in found if doubt.since_ms <= until_ms and doubt.mark > after]
        return tuple(sorted(listed, key=lambda doubt: doubt.mark)[:limit])

    async def doubt(self, transaction_id: str, part_id: str) -> Doubt | None:
        tx = self._transactions.get(transaction_id)
        found = self._doubts_of(tx) if tx is not None else []
        return next((doubt for doubt in found if doubt.part.part_id == part_id), None)

    async def hand_decisions(self, domain: str, limit: int) -> tuple[HandDecision, ...]:
        found = [each for each in self._hand.values() if domain in ("", each.domain)]
        found.sort(key=lambda each: (-each.at_ms, each.transaction_id, each.part_id))
        return tuple(found[:limit])

    async def hand_decision(self, transaction_id: str, part_id: str) -> HandDecision | None:
        return self._hand.get((transaction_id, part_id))

    async def contradict(self, decision: HandDecision) -> bool:
        key = (decision.transaction_id, decision.part_id)
        if self._hand.get(key) != decision or decision.contradicted:
            return False
        self._hand[key] = replace(decision, contradicted=True)
        return True

    def _doubts_of(self, tx: Transaction) -> list[Doubt]:
        record = self._reservations.get(tx.reservation_id)
        if record is None or (
            record.state is State.ENDED and record.transaction_id == tx.transaction_id
        ):
            return []
        found = []
        for part in in_doubt(tx):
            key = (tx.transaction_id, part.part_id)
            hand = self._hand.get(key)
            accepted = record.state in FINAL or (hand is not None and not hand.commit)
            if part.status is not PartStatus.NACKED or not accepted:
                found.append(Doubt(tx.reservation_id, part, self._since[key][1]))
        return found

    def _note_since(self, tx: Transaction, at_ms: int) -> None:
        for part in tx.parts:
            key = (tx.transaction_id, part.part_id)
            known = self._since.get(key)
            if known is None or known[0] is not part.status:
                self._since[key] = (part.status, at_ms)

    def _check(self, changes: Changes, fence: int) -> None:
        for reservation_id in sorted(changes.reservation_ids):
            if self._owners.get(reservation_id, fence) != fence:
                raise LostError(reservation_id)
            if reservation_id not in self._owners and fence and fence not in self._leases:
                # Nobody would own what a life that is over begins.
                raise LostError(reservation_id)
        for transaction in changes.transactions:
            self._check_epochs(transaction)
        for request in changes.requests:
            known = self._requests.get(request.request_id)
            if known is not None:
                raise KnownRequestError(known)
        for transaction_id in changes.decides:
            stored = self._transactions.get(transaction_id)
            if stored is not None and stored.decision is not Decision.UNDECIDED:
                raise ConflictError(transaction_id)

    def _check_epochs(self, transaction: Transaction) -> None:
        stored = self._transactions.get(transaction.transaction_id)
        if stored is not None and (stored.told or stored.decision is Decision.UNDO):
            return
        for part in relied_on(transaction):
            known = self._met.get(part.domain)
            if known is not None and part.epoch < known.epoch:
                raise StaleEpochError(part.domain, known.epoch)

    def _with_stored(self, transaction: Transaction, stored: frozenset[PartKey]) -> Transaction:
        """The transaction with those parts as they are here."""
        known = self._transactions.get(transaction.transaction_id)
        before = {part.part_id: part for part in known.parts} if known is not None else {}
        parts = tuple(
            before[part.part_id] if (transaction.transaction_id, part.part_id) in stored else part
            for part in transaction.parts
        )
        return replace(transaction, parts=parts)

    def _number(self, events: Iterable[Event]) -> None:
        for event in events:
            self._sequence += 1
            self._events.append(replace(event, sequence=self._sequence))

    def _transactions_of(self, reservation_id: str) -> list[Transaction]:
        return [self._transactions[i] for i in self._of_reservation.get(reservation_id, ())]

    def _is_over(self, reservation_id: str) -> bool:
        if reservation_id in self._over:
            return True
        over = self._reservations[reservation_id].state in FINAL and all(
            transaction.settled for transaction in self._transactions_of(reservation_id)
        )
        if over:
            self._over.add(reservation_id)
        return over

    def _owned(self, epoch: int, ids: Iterable[str]) -> Unfinished:
        live, found = [], []
        for reservation_id in ids:
            self._owners[reservation_id] = epoch
            record = self._reservations[reservation_id]
            going_on = record.state not in FINAL
            if going_on:
                live.append(record)
            found += [
                transaction
                for transaction in self._transactions_of(reservation_id)
                if not transaction.settled or (going_on and transaction.decision is Decision.COMMIT)
            ]
        epochs = {name: identity.epoch for name, identity in self._met.items()}
        return Unfinished(tuple(live), tuple(found), epochs)
