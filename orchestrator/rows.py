"""Rows of the orchestrator's tables as values, and values as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import Executable

from braid.v1 import agent_pb2, common_pb2, reservations_pb2 as pb
from orchestrator import tables as t
from orchestrator.part_states import Line, PartState, is_broken, states_of, to_text
from orchestrator.records import Reservation
from orchestrator.wire import change_from_pb, change_to_pb, record_from_pb
from protocol.codec import prep_from_pb, prep_to_pb, refusal_from_pb, refusal_to_pb
from protocol.coordinator import CoordinatorPart, Decision, Transaction
from protocol.messages import ReservationPrep
from runtime.remembered import Remembered
from runtime.statements import Clause

_DIALECTS: dict[str, Any] = {"postgresql": postgresql, "sqlite": sqlite}

PREPS_MAX = 4096
LASTING = (
    *("position", "kind", "created_ms", "owner"),
    *("reservation_id", "domain", "expires", "prep"),
)
"""What never changes in a row, or not by what is written over it."""

DECISIONS = {
    Decision.UNDECIDED: 0,
    Decision.COMMIT: 1,
    Decision.ABORT: 2,
    Decision.UNDO: 3,
}
DECISION_OF = {number: decision for decision, number in DECISIONS.items()}


def insert(connection: Connection, table: Any) -> Any:
    """The dialect's INSERT, which knows ON CONFLICT."""
    return _DIALECTS[connection.dialect.name].insert(table)


def upsert(connection: Connection, table: Table, *keys: str) -> Executable:
    """Writes rows over those with the same keys. The same statement every time."""
    return _upsert(connection.dialect.name, table, keys)


@cache
def _upsert(dialect: str, table: Table, keys: tuple[str, ...]) -> Executable:
    statement: Executable = over(*keys)(_DIALECTS[dialect].insert(table))
    return statement


@cache
def over(*keys: str) -> Clause:
    """For ``insert_rows``: over rows with the same keys; what is LASTING is not written again, so
    that indexes of it are left alone."""

    def clause(insert: Any) -> Any:
        names = [c.name for c in insert.table.columns if c.name not in (*keys, *LASTING)]
        values = {name: insert.excluded[name] for name in names}
        return insert.on_conflict_do_update(index_elements=list(keys), set_=values)

    return clause


RESERVATION = (
    "reservation_id",
    "state",
    "version",
    "transaction_id",
    "record",
    "change_transaction_id",
    "change_record",
    "created_ms",
    "end_s",
    "owner",
    "kind",
)
TRANSACTION = (
    "transaction_id",
    "reservation_id",
    "version",
    "decision",
    "told",
    "settled",
    "broken",
    "states",
)
PART = ("transaction_id", "part_id", "domain", "expires", "prep", "refusal")


def reservation_row(record: Reservation, record_bytes: bytes, owner: int) -> tuple[Any, ...]:
    """A reservation, encoded already, and the Modify under way; as RESERVATION says.

    ``owner``: the epoch of the instance that owns it.
    """
    change = record.change
    return (
        record.reservation_id,
        record.state._value_,
        record.version,
        record.transaction_id,
        record_bytes,
        change.transaction_id if change else None,
        change_to_pb(change).SerializeToString() if change else None,
        record.created_ms,
        record.criteria.window.end_s,
        owner,
        record.kind.value,
    )


def reservation_of(row: Row[Any]) -> Reservation:
    """The inverse of reservation_row."""
    change = None
    if row.change_transaction_id is not None:
        message = pb.ReservationRecord.FromString(row.change_record)
        change = change_from_pb(message, row.change_transaction_id)
    message = pb.ReservationRecord.FromString(row.record)
    return record_from_pb(message, row.transaction_id, change)


def transaction_row(transaction: Transaction, parts: Mapping[str, Line]) -> tuple[Any, ...]:
    """A transaction and how its parts are; as TRANSACTION says."""
    decision = transaction.decision
    return (
        transaction.transaction_id,
        transaction.reservation_id,
        transaction.version,
        DECISIONS[decision],
        transaction.told,
        transaction.settled,
        decision is Decision.COMMIT and is_broken(parts),
        to_text(parts),
    )


def part_row(transaction_id: str, part: CoordinatorPart) -> tuple[Any, ...]:
    """A part but for its state, as PART says."""
    refusal = part.refusal
    return (
        transaction_id,
        part.part_id,
        part.domain,
        part.expires,
        prep_bytes(part.prep),
        refusal_to_pb(refusal).SerializeToString() if refusal else None,
    )


def _encoded(prep: ReservationPrep) -> bytes:
    return prep_to_pb(prep).SerializeToString()


prep_bytes = Remembered(_encoded, PREPS_MAX)
"""It is written and sent, soon after one another."""


def transactions(connection: Connection, condition: Any) -> tuple[Transaction, ...]:
    """Those that fulfil the condition, with their parts, in the order of their ids."""
    query = select(t.transaction).where(condition).order_by(t.transaction.c.transaction_id)
    rows = connection.execute(query).all()
    ids = select(t.transaction.c.transaction_id).where(condition)
    part_query = (
        select(t.part)
        .where(t.part.c.transaction_id.in_(ids))
        .order_by(t.part.c.transaction_id, t.part.c.part_id)
    )
    parts: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(part_query):
        parts.setdefault(row.transaction_id, []).append(row)
    return tuple(_transaction(row, parts.get(row.transaction_id, [])) for row in rows)


def part_of(row: Row[Any], state: PartState) -> CoordinatorPart:
    """A part, of its row and what the row of its transaction says."""
    refusal = common_pb2.Refusal.FromString(row.refusal) if row.refusal is not None else None
    return CoordinatorPart(
        domain=row.domain,
        part_id=row.part_id,
        prep=prep_of(row),
        expires=row.expires,
        status=state.status,
        refusal=refusal_from_pb(refusal) if refusal is not None else None,
        epoch=state.epoch,
    )


def prep_of(row: Row[Any]) -> ReservationPrep:
    """What a part was asked for."""
    return prep_from_pb(agent_pb2.ReservationPrep.FromString(row.prep))


def _transaction(row: Row[Any], parts: Iterable[Row[Any]]) -> Transaction:
    states = states_of(row.states)
    return Transaction(
        transaction_id=row.transaction_id,
        reservation_id=row.reservation_id,
        version=row.version,
        decision=DECISION_OF[row.decision],
        parts=tuple([part_of(part, states[part.part_id]) for part in parts]),
        told=row.told,
    )
