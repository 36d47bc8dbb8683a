"""Writes the steps of many reservations at once: a few statements, however many they are.

Every step is checked against what is stored and what the steps before it write. One that is
refused writes nothing and leaves the others alone. Every writing transaction is alone (``alone`` in
store.py), so what is read here cannot change before it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam

from braid.v1 import reservations_pb2 as pb
from orchestrator import doubt_rows, owning, tables as t
from orchestrator.event_rows import EVENT, event_rows
from orchestrator.events import Event
from orchestrator.part_states import Line, line_after, lines_of, was_refused
from orchestrator.ports import (
    REFUSED,
    Changes,
    ConflictError,
    KnownRequestError,
    LostError,
    PartKey,
    Request,
    StaleEpochError,
)
from orchestrator.rows import (
    DECISIONS,
    PART,
    RESERVATION,
    TRANSACTION,
    over,
    part_row,
    reservation_row,
    transaction_row,
)
from orchestrator.wire import recent_to_pb, record_from_pb
from protocol.coordinator import Decision, Transaction, relied_on
from runtime.statements import insert_rows, rows_of

Row = tuple[Any, ...]
Step = tuple[Changes, int]
"""What is to be written, and the fence: the epoch of the instance that writes it."""

REQUEST = ("request_id", "digest", "reservation_id")
ANSWERED = tuple([t.request.c[name] for name in (*REQUEST, "answer")])
OWNER = (t.reservation.c.reservation_id, t.reservation.c.owner)
STORED = tuple([t.transaction.c[name] for name in ("transaction_id", "decision", "told", "states")])
OVER_RESERVATION = over("reservation_id")
OVER_TRANSACTION = over("transaction_id")
OVER_PART = over("transaction_id", "part_id")
UNDECIDED, UNDO = DECISIONS[Decision.UNDECIDED], DECISIONS[Decision.UNDO]


def save_all(connection: Connection, steps: Sequence[Step]) -> list[Exception | None]:
    """Each step all or nothing, in order; why it was refused, or None. See Store.save."""
    ids = [changes.reservation_ids for changes, _ in steps]
    known = _Known(connection, steps, frozenset().union(*ids))
    rows = _Rows()
    outcomes: list[Exception | None] = []
    for (changes, fence), reservation_ids in zip(steps, ids, strict=True):
        try:
            known.check_owner(reservation_ids, fence)
            known.check(changes)
        except REFUSED as refused:
            outcomes.append(refused)
            continue
        known.learn(changes, fence)
        rows.add(changes, fence, known)
        outcomes.append(None)
    rows.write(connection)
    return outcomes


@dataclass(slots=True)
class _Stored:
    """What is stored of a transaction, as far as steps depend on it."""

    decision: int
    told: bool
    parts: dict[str, Line]


class _Known:
    """What the database holds of all that the steps are about, and what they make of it."""

    def __init__(
        self, connection: Connection, steps: Sequence[Step], reservation_ids: frozenset[str]
    ) -> None:
        self._connection = connection
        every = [changes for changes, _ in steps]
        transactions = [tx for changes in every for tx in changes.transactions]
        stored = {one for changes in every for one in changes.decides}
        stored.update([tx.transaction_id for tx in transactions if not _is_fresh(tx)])
        asked = {request.request_id for changes in every for request in changes.requests}
        domains = {part.domain for tx in transactions for part in relied_on(tx)}
        self._owners = self._read_owners(reservation_ids)
        self._stored = self._read_stored(stored)
        self._requests = self._read_requests(asked)
        self._epochs = owning.epochs(connection, sorted(domains)) if domains else {}
        self._lives: dict[int, bool] = {}

    def check_owner(self, reservation_ids: frozenset[str], fence: int) -> None:
        """The fence. Raises LostError."""
        unknown = None
        for reservation_id in reservation_ids:
            owner = self._owners.get(reservation_id)
            if owner is None:
                unknown = reservation_id
            elif owner != fence:
                raise LostError(reservation_id)
        if unknown is not None and fence and not self._alive(fence):
            # Nobody would own what a life that is over begins.
            raise LostError(unknown)

    def check(self, changes: Changes) -> None:
        """Raises one of REFUSED. The owner is checked first."""
        for transaction in changes.transactions:
            self._check_epochs(transaction)
        for request in changes.requests:
            if request.request_id in self._requests:
                raise KnownRequestError(self._requests[request.request_id])
        for transaction_id in changes.decides:
            stored = self._stored.get(transaction_id)
            if stored is None or stored.decision != UNDECIDED:
                raise ConflictError(transaction_id)

    def parts(self, transaction_id: str) -> dict[str, Line]:
        """How the parts of a transaction are, by their ids."""
        stored = self._stored.get(transaction_id)
        return stored.parts if stored is not None else {}

    def learn(self, changes: Changes, fence: int) -> None:
        """The step is written; of its transactions see ``became``."""
        for request in changes.requests:
            self._requests[request.request_id] = request
        for record in changes.records:
            self._owners[record.reservation_id] = fence

    def became(self, tx: Transaction, parts: dict[str, Line]) -> None:
        """A transaction is written."""
        self._stored[tx.transaction_id] = _Stored(DECISIONS[tx.decision], tx.told, parts)

    def _alive(self, fence: int) -> bool:
        if fence not in self._lives:
            self._lives[fence] = owning.lives(self._connection, fence)
        return self._lives[fence]

    def _check_epochs(self, transaction: Transaction) -> None:
        """Success, or its undoing, follows only from what domains said in their present epochs."""
        relied = relied_on(transaction)
        if not relied:
            return
        stored = self._stored.get(transaction.transaction_id)
        if stored is not None and (stored.told or stored.decision == UNDO):
            return
        for part in relied:
            if part.epoch < self._epochs.get(part.domain, part.epoch):
                raise StaleEpochError(part.domain, self._epochs[part.domain])

    def _read_owners(self, ids: frozenset[str]) -> dict[str, int]:
        return dict(rows_of(self._connection, OWNER, sorted(ids)))

    def _read_stored(self, ids: set[str]) -> dict[str, _Stored]:
        rows = rows_of(self._connection, STORED, sorted(ids))
        return {row[0]: _Stored(row[1], bool(row[2]), lines_of(row[3])) for row in rows}

    def _read_requests(self, ids: set[str]) -> dict[str, Request]:
        found = requests_of(self._connection, sorted(ids)) if ids else []
        return {request.request_id: request for request in found if request is not None}


@dataclass(slots=True)
class _Rows:
    """What the steps write, in order, per table; of what is written twice, the last."""

    requests: list[Row] = field(default_factory=list)
    reservations: dict[str, Row] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)
    transactions: dict[str, Row] = field(default_factory=dict)
    parts: dict[PartKey, Row] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    hand: list[Changes] = field(default_factory=list)

    def add(self, changes: Changes, fence: int, known: _Known) -> None:
        for request in changes.requests:
            self.requests.append(_request_row(request))
        for record in changes.records:
            encoded = recent_to_pb(record).SerializeToString()
            self.reservations[record.reservation_id] = reservation_row(record, encoded, fence)
            if changes.answers and record is changes.reservation:
                self.answers.append({"b_request_id": changes.answers, "answer": encoded})
        for transaction in changes.transactions:
            self._add_transaction(transaction, changes, known)
        self.events += changes.events
        if changes.hand is not None:
            self.hand.append(changes)

    def _add_transaction(self, tx: Transaction, changes: Changes, known: _Known) -> None:
        """Its row, and those of parts that are new or whose refusal may be."""
        transaction_id, at_ms = tx.transaction_id, changes.at_ms
        before = known.parts(transaction_id)
        after = before.copy()
        for part in tx.parts:
            part_id = part.part_id
            was = before.get(part_id)
            if was is not None and (transaction_id, part_id) in changes.stored:
                continue
            line = after[part_id] = line_after(was, part, at_ms)
            if was is None or was_refused(was) or was_refused(line):
                self.parts[transaction_id, part_id] = part_row(transaction_id, part)
        known.became(tx, after)
        self.transactions[transaction_id] = transaction_row(tx, after)

    def write(self, connection: Connection) -> None:
        """Few statements, whose text is the same every time."""
        for table, columns, rows, clause in (
            # Before the requests that refer to it: SQLite would look through all of these.
            (t.reservation, RESERVATION, self.reservations.values(), OVER_RESERVATION),
            (t.request, REQUEST, self.requests, None),
            (t.transaction, TRANSACTION, self.transactions.values(), OVER_TRANSACTION),
            (t.part, PART, self.parts.values(), OVER_PART),
            (t.event, EVENT, self._event_rows(connection), None),
        ):
            if rows:
                insert_rows(connection, table, columns, list(rows), clause)
        if self.answers:
            connection.execute(_ANSWER, self.answers)
        for changes in self.hand:
            assert changes.hand is not None
            doubt_rows.save_hand(connection, changes.hand)

    def _event_rows(self, connection: Connection) -> list[Row]:
        """Numbered on from the last, which nobody else changes meanwhile."""
        return event_rows(self.events, owning.last_event(connection)) if self.events else []


def _is_fresh(tx: Transaction) -> bool:
    """Whether nothing can be stored of it yet."""
    return not tx.parts and tx.decision is Decision.UNDECIDED


_ANSWER = (
    t.request.update()
    .where(t.request.c.request_id == bindparam("b_request_id"))
    .values(answer=bindparam("answer"))
)


def requests_of(connection: Connection, ids: Sequence[str]) -> list[Request | None]:
    """What was recorded under each request_id."""
    found = {row[0]: row for row in rows_of(connection, ANSWERED, sorted(set(ids)))}
    return [_request_of(*found[one]) if one in found else None for one in ids]


def _request_of(
    request_id: str, digest: str, reservation_id: str, answered: bytes | None
) -> Request:
    answer = None
    if answered is not None:
        answer = record_from_pb(pb.ReservationRecord.FromString(answered), "", None)
    return Request(request_id, digest, reservation_id, answer)


def _request_row(request: Request) -> Row:
    return request.request_id, request.digest, request.reservation_id
