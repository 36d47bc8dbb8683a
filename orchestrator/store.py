"""The durable store, on SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import Executable

from braid.v1 import agent_pb2, common_pb2, reservations_pb2 as pb
from orchestrator import tables as t
from orchestrator.events import Event
from orchestrator.ports import Changes, ConflictError, KnownRequestError, Request, Unfinished
from orchestrator.records import FINAL, Reservation
from orchestrator.wire import change_from_pb, change_to_pb, record_from_pb, record_to_pb
from protocol.codec import prep_from_pb, prep_to_pb, refusal_from_pb, refusal_to_pb
from protocol.coordinator import CoordinatorPart, Decision, PartStatus, Transaction
from runtime.database import Database

DECISIONS = {
    Decision.UNDECIDED: 0,
    Decision.COMMIT: 1,
    Decision.ABORT: 2,
    Decision.UNDO: 3,
}
STATUSES = {
    PartStatus.PREPARING: 0,
    PartStatus.HELD: 1,
    PartStatus.REFUSED: 2,
    PartStatus.COMMITTING: 3,
    PartStatus.COMMITTED: 4,
    PartStatus.NACKED: 5,
    PartStatus.ABORTING: 6,
    PartStatus.ABORTED: 7,
    PartStatus.RELEASING: 8,
    PartStatus.RELEASED: 9,
}
DECISION_OF = {number: decision for decision, number in DECISIONS.items()}
STATUS_OF = {number: status for status, number in STATUSES.items()}


class DatabaseStore:
    """The :class:`orchestrator.ports.Store` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, changes: Changes) -> tuple[Event, ...]:
        return await self._database.write(lambda connection: _save(connection, changes))

    async def request(self, request_id: str) -> Request | None:
        return await self._database.read(lambda connection: _request(connection, request_id))

    async def reservation(self, reservation_id: str) -> Reservation | None:
        query = select(t.reservation).where(t.reservation.c.reservation_id == reservation_id)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return _reservation(row) if row is not None else None

    async def transaction(self, transaction_id: str) -> Transaction | None:
        def read(connection: Connection) -> tuple[Transaction, ...]:
            return _transactions(connection, t.transaction.c.transaction_id == transaction_id)

        found = await self._database.read(read)
        return found[0] if found else None

    async def reservations(
        self, states: frozenset[int], before: str, limit: int
    ) -> tuple[tuple[str, Reservation], ...]:
        query = select(t.reservation).order_by(t.reservation.c.position.desc()).limit(limit)
        if states:
            query = query.where(t.reservation.c.state.in_(sorted(states)))
        if before:
            query = query.where(t.reservation.c.position < int(before))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return tuple((str(row.position), _reservation(row)) for row in rows)

    async def events(self, reservation_id: str, after: int, limit: int) -> tuple[Event, ...]:
        query = select(t.event).where(t.event.c.sequence > after)
        if reservation_id:
            query = query.where(t.event.c.reservation_id == reservation_id)
        query = query.order_by(t.event.c.sequence).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return tuple(_event(row) for row in rows)

    async def unfinished(self) -> Unfinished:
        return await self._database.read(_unfinished)

    async def targets(self) -> dict[str, str]:
        query = select(t.domain_target).order_by(t.domain_target.c.domain)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.domain: row.target for row in rows}

    async def set_target(self, domain: str, target: str | None) -> None:
        def write(connection: Connection) -> None:
            connection.execute(t.domain_target.delete().where(t.domain_target.c.domain == domain))
            if target is not None:
                row = {"domain": domain, "target": target}
                connection.execute(t.domain_target.insert(), [row])

        await self._database.write(write)


def _save(connection: Connection, changes: Changes) -> tuple[Event, ...]:
    if changes.request is not None:
        _insert_request(connection, changes.request)
    if changes.reservation is not None:
        row = _reservation_row(changes.reservation)
        connection.execute(_upsert(connection, t.reservation, [row], ["reservation_id"]))
    if changes.answers and changes.reservation is not None:
        answer = record_to_pb(changes.reservation).SerializeToString()
        answered = t.request.update().where(t.request.c.request_id == changes.answers)
        connection.execute(answered.values(answer=answer))
    for transaction in changes.transactions:
        _save_transaction(connection, transaction, transaction.transaction_id in changes.decides)
    return tuple(_insert_event(connection, event) for event in changes.events)


def _insert_request(connection: Connection, request: Request) -> None:
    known = _request(connection, request.request_id)
    if known is None:
        row = {
            "request_id": request.request_id,
            "digest": request.digest,
            "reservation_id": request.reservation_id,
        }
        statement = _insert(connection, t.request).values(row).on_conflict_do_nothing()
        if connection.execute(statement.returning(t.request.c.request_id)).first() is not None:
            return
        known = _request(connection, request.request_id)
    assert known is not None
    raise KnownRequestError(known)


def _save_transaction(connection: Connection, transaction: Transaction, decides: bool) -> None:
    row = {
        "transaction_id": transaction.transaction_id,
        "reservation_id": transaction.reservation_id,
        "version": transaction.version,
        "decision": DECISIONS[transaction.decision],
        "told": transaction.told_success,
        "settled": transaction.settled,
    }
    if decides:
        changed = connection.execute(
            t.transaction.update()
            .where(
                t.transaction.c.transaction_id == transaction.transaction_id,
                t.transaction.c.decision == DECISIONS[Decision.UNDECIDED],
            )
            .values(row)
        )
        if changed.rowcount != 1:
            raise ConflictError(transaction.transaction_id)
    else:
        connection.execute(_upsert(connection, t.transaction, [row], ["transaction_id"]))
    if transaction.parts:
        rows = [_part_row(transaction.transaction_id, part) for part in transaction.parts]
        connection.execute(_upsert(connection, t.part, rows, ["transaction_id", "part_id"]))


def _insert_event(connection: Connection, event: Event) -> Event:
    statement = (
        t.event.insert()
        .values(
            reservation_id=event.reservation_id,
            at_ms=event.at_ms,
            body=event.body.SerializeToString(),
        )
        .returning(t.event.c.sequence)
    )
    return replace(event, sequence=connection.execute(statement).scalar_one())


def _insert(connection: Connection, table: Any) -> Any:
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def _upsert(
    connection: Connection, table: Any, rows: Sequence[dict[str, Any]], keys: list[str]
) -> Executable:
    statement = _insert(connection, table).values(rows)
    values = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    result: Executable = statement.on_conflict_do_update(index_elements=keys, set_=values)
    return result


def _request(connection: Connection, request_id: str) -> Request | None:
    query = select(t.request).where(t.request.c.request_id == request_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    answer = None
    if row.answer is not None:
        answer = record_from_pb(pb.ReservationRecord.FromString(row.answer), "", None)
    return Request(row.request_id, row.digest, row.reservation_id, answer)


def _unfinished(connection: Connection) -> Unfinished:
    final = sorted(state.value for state in FINAL)
    query = (
        select(t.reservation)
        .where(t.reservation.c.state.not_in(final))
        .order_by(t.reservation.c.position)
    )
    live = connection.execute(query).all()
    in_force = and_(
        t.transaction.c.decision == DECISIONS[Decision.COMMIT],
        t.transaction.c.reservation_id.in_(
            select(t.reservation.c.reservation_id).where(t.reservation.c.state.not_in(final))
        ),
    )
    transactions = _transactions(connection, or_(t.transaction.c.settled.is_(False), in_force))
    return Unfinished(tuple(_reservation(row) for row in live), transactions)


def _transactions(connection: Connection, condition: Any) -> tuple[Transaction, ...]:
    query = select(t.transaction).where(condition).order_by(t.transaction.c.transaction_id)
    rows = connection.execute(query).all()
    ids = select(t.transaction.c.transaction_id).where(condition)
    part_query = (
        select(t.part)
        .where(t.part.c.transaction_id.in_(ids))
        .order_by(t.part.c.transaction_id, t.part.c.part_id)
    )
    parts: dict[str, list[CoordinatorPart]] = {}
    for row in connection.execute(part_query):
        parts.setdefault(row.transaction_id, []).append(_part(row))
    return tuple(_transaction(row, parts.get(row.transaction_id, [])) for row in rows)


def _reservation_row(record: Reservation) -> dict[str, Any]:
    change = record.change
    return {
        "reservation_id": record.reservation_id,
        "state": record.state.value,
        "version": record.version,
        "transaction_id": record.transaction_id,
        "record": record_to_pb(record).SerializeToString(),
        "change_transaction_id": change.transaction_id if change else None,
        "change_record": change_to_pb(change).SerializeToString() if change else None,
        "created_ms": record.created_ms,
        "end_s": record.criteria.window.end_s,
    }


def _reservation(row: Row[Any]) -> Reservation:
    change = None
    if row.change_transaction_id is not None:
        message = pb.ReservationRecord.FromString(row.change_record)
        change = change_from_pb(message, row.change_transaction_id)
    message = pb.ReservationRecord.FromString(row.record)
    return record_from_pb(message, row.transaction_id, change)


def _part_row(transaction_id: str, part: CoordinatorPart) -> dict[str, Any]:
    refusal = part.refusal
    return {
        "transaction_id": transaction_id,
        "part_id": part.part_id,
        "domain": part.domain,
        "status": STATUSES[part.status],
        "expires": part.expires,
        "prep": prep_to_pb(part.prep).SerializeToString(),
        "refusal": refusal_to_pb(refusal).SerializeToString() if refusal else None,
    }


def _part(row: Row[Any]) -> CoordinatorPart:
    refusal = common_pb2.Refusal.FromString(row.refusal) if row.refusal is not None else None
    return CoordinatorPart(
        domain=row.domain,
        part_id=row.part_id,
        prep=prep_from_pb(agent_pb2.ReservationPrep.FromString(row.prep)),
        expires=row.expires,
        status=STATUS_OF[row.status],
        refusal=refusal_from_pb(refusal) if refusal is not None else None,
        sent_ms=0,
        attempts=0,
    )


def _transaction(row: Row[Any], parts: Iterable[CoordinatorPart]) -> Transaction:
    return Transaction(
        transaction_id=row.transaction_id,
        reservation_id=row.reservation_id,
        version=row.version,
        decision=DECISION_OF[row.decision],
        parts=tuple(parts),
        told=row.told,
    )


def _event(row: Row[Any]) -> Event:
    body = pb.ReservationEvent.FromString(row.body)
    return Event(row.reservation_id, row.at_ms, body, row.sequence)
