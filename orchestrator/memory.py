"""A store without a disk, for simulations and tests: the same promises, until the process ends."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.events import Event
from orchestrator.ports import Changes, ConflictError, KnownRequestError, Request, Unfinished
from orchestrator.records import FINAL, Reservation
from protocol.coordinator import Decision, Transaction


class MemoryStore:
    """The :class:`orchestrator.ports.Store` in memory; without ``keep_events`` there are none."""

    def __init__(self, *, keep_events: bool = True) -> None:
        self._keep_events = keep_events
        self._requests: dict[str, Request] = {}
        self._reservations: dict[str, Reservation] = {}
        self._transactions: dict[str, Transaction] = {}
        self._events: list[Event] = []
        self._targets: dict[str, str] = {}
        self._sequence = 0

    async def save(self, changes: Changes) -> tuple[Event, ...]:
        if changes.request is not None:
            known = self._requests.get(changes.request.request_id)
            if known is not None:
                raise KnownRequestError(known)
        for transaction_id in changes.decides:
            stored = self._transactions.get(transaction_id)
            if stored is not None and stored.decision is not Decision.UNDECIDED:
                raise ConflictError(transaction_id)
        if changes.request is not None:
            self._requests[changes.request.request_id] = changes.request
        if changes.reservation is not None:
            self._reservations[changes.reservation.reservation_id] = changes.reservation
        if changes.answers and changes.reservation is not None:
            known = self._requests[changes.answers]
            answer = replace(changes.reservation, transaction_id="")
            self._requests[changes.answers] = replace(known, answer=answer)
        for transaction in changes.transactions:
            self._transactions[transaction.transaction_id] = transaction
        if not self._keep_events:
            return ()
        numbered = tuple(
            replace(event, sequence=self._sequence + i)
            for i, event in enumerate(changes.events, start=1)
        )
        self._sequence += len(numbered)
        self._events.extend(numbered)
        return numbered

    async def request(self, request_id: str) -> Request | None:
        return self._requests.get(request_id)

    async def reservation(self, reservation_id: str) -> Reservation | None:
        return self._reservations.get(reservation_id)

    async def transaction(self, transaction_id: str) -> Transaction | None:
        return self._transactions.get(transaction_id)

    async def reservations(
        self, states: frozenset[int], before: str, limit: int
    ) -> tuple[tuple[str, Reservation], ...]:
        rows = list(enumerate(self._reservations.values(), start=1))
        below = int(before) if before else len(rows) + 1
        found = [
            (str(position), record)
            for position, record in reversed(rows)
            if position < below and (not states or record.state.value in states)
        ]
        return tuple(found[:limit])

    async def events(self, reservation_id: str, after: int, limit: int) -> tuple[Event, ...]:
        found = [
            event
            for event in self._events
            if event.sequence > after and reservation_id in ("", event.reservation_id)
        ]
        return tuple(found[:limit])

    async def unfinished(self) -> Unfinished:
        live = [r for r in self._reservations.values() if r.state not in FINAL]
        ids = {record.reservation_id for record in live}
        transactions = [
            transaction
            for transaction in self._transactions.values()
            if not transaction.settled
            or (transaction.reservation_id in ids and transaction.decision is Decision.COMMIT)
        ]
        return Unfinished(tuple(live), tuple(transactions))

    async def targets(self) -> dict[str, str]:
        return dict(self._targets)

    async def set_target(self, domain: str, target: str | None) -> None:
        if target is None:
            self._targets.pop(domain, None)
        else:
            self._targets[domain] = target
