"""SQL of what is in doubt, and of decisions by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, select, tuple_

from braid.v1 import doubts_pb2 as pb
from orchestrator import tables as t
from orchestrator.part_states import states_of
from orchestrator.ports import Doubt, DoubtMark
from orchestrator.records import HandDecision, State
from orchestrator.rows import DECISIONS, part_of, upsert
from protocol.coordinator import SETTLEMENTS, Decision, PartStatus

AWAITED = frozenset({status for status, _ in SETTLEMENTS}) - {PartStatus.NACKED}


def doubts(
    connection: Connection, until_ms: int, after: DoubtMark, limit: int
) -> tuple[Doubt, ...]:
    """See orchestrator.ports.Doubts."""
    marks = [mark for mark in _marks(connection) if mark[0] <= until_ms and mark > after]
    return _at(connection, sorted(marks)[:limit])


def doubt(connection: Connection, transaction_id: str, part_id: str) -> Doubt | None:
    """See orchestrator.ports.Doubts."""
    this = t.transaction.c.transaction_id == transaction_id
    marks = [mark for mark in _marks(connection, this) if mark[2] == part_id]
    return next(iter(_at(connection, marks)), None)


def _marks(connection: Connection, *conditions: Any) -> Iterator[DoubtMark]:
    """Of parts in doubt, of transactions that fulfil the conditions."""
    for row in connection.execute(_awaited().where(*conditions)):
        for part_id, state in states_of(row.states).items():
            if state.status in AWAITED:
                yield state.since_ms, row.transaction_id, part_id
    accepted = set(map(tuple, connection.execute(_accepted())))
    for row in connection.execute(_broken().where(*conditions)):
        for part_id, state in states_of(row.states).items():
            broken = state.status is PartStatus.NACKED
            if broken and (row.transaction_id, part_id) not in accepted:
                yield state.since_ms, row.transaction_id, part_id


def _awaited() -> Select[Any]:
    """What domains have not acknowledged; without a circuit whose window is over anyway."""
    over = and_(
        t.reservation.c.state == State.ENDED.value,
        t.reservation.c.transaction_id == t.transaction.c.transaction_id,
    )
    decided = t.transaction.c.decision != DECISIONS[Decision.UNDECIDED]
    return _transactions().where(t.is_unsettled, decided, ~over)


def _broken() -> Select[Any]:
    """What a user was promised and a domain says it does not hold."""
    return _transactions().where(t.is_broken, t.is_live)


def _accepted() -> Select[Any]:
    """The broken parts of which an operator has accepted that."""
    columns = t.hand_decision.c
    return (
        select(columns.transaction_id, columns.part_id)
        .join(t.transaction, t.transaction.c.transaction_id == columns.transaction_id)
        .where(t.is_broken, columns.settlement == pb.SETTLEMENT_GIVE_UP)
    )


def _transactions() -> Select[Any]:
    tx = t.transaction.c
    of_reservation = t.reservation.c.reservation_id == tx.reservation_id
    return select(tx.transaction_id, tx.states).join(t.reservation, of_reservation)


def _at(connection: Connection, marks: Sequence[DoubtMark]) -> tuple[Doubt, ...]:
    """The doubts, whole."""
    keys = [(transaction_id, part_id) for _, transaction_id, part_id in marks]
    query = (
        select(t.part, t.transaction.c.reservation_id, t.transaction.c.states)
        .join(t.transaction, t.transaction.c.transaction_id == t.part.c.transaction_id)
        .where(tuple_(t.part.c.transaction_id, t.part.c.part_id).in_(keys))
    )
    found = {(row.transaction_id, row.part_id): row for row in connection.execute(query)}
    return tuple([_doubt(found[key]) for key in keys])


def _doubt(row: Row[Any]) -> Doubt:
    state = states_of(row.states)[row.part_id]
    return Doubt(row.reservation_id, part_of(row, state), state.since_ms)


def hand_decisions(connection: Connection, domain: str, limit: int) -> tuple[HandDecision, ...]:
    """See orchestrator.ports.Doubts."""
    columns = t.hand_decision.c
    query = select(t.hand_decision).order_by(
        columns.at_ms.desc(), columns.transaction_id, columns.part_id
    )
    if domain:
        query = query.where(columns.domain == domain)
    return tuple(_decision(row) for row in connection.execute(query.limit(limit)))


def hand_decision(connection: Connection, transaction_id: str, part_id: str) -> HandDecision | None:
    """See orchestrator.ports.Doubts."""
    query = select(t.hand_decision).where(
        t.hand_decision.c.transaction_id == transaction_id, t.hand_decision.c.part_id == part_id
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _decision(row)


def save_hand(connection: Connection, decision: HandDecision) -> None:
    """Writes a decision, over an earlier one about the same part."""
    row = {
        "transaction_id": decision.transaction_id,
        "part_id": decision.part_id,
        "reservation_id": decision.reservation_id,
        "domain": decision.domain,
        "settlement": _settlement(decision),
        "operator": decision.operator,
        "reason": decision.reason,
        "at_ms": decision.at_ms,
        "contradicted": decision.contradicted,
    }
    connection.execute(upsert(connection, t.hand_decision, "transaction_id", "part_id"), [row])


def contradict(connection: Connection, decision: HandDecision) -> bool:
    """See orchestrator.ports.Doubts."""
    columns = t.hand_decision.c
    standing = and_(
        columns.transaction_id == decision.transaction_id,
        columns.part_id == decision.part_id,
        columns.settlement == _settlement(decision),
        columns.at_ms == decision.at_ms,
        columns.contradicted.is_(False),
    )
    marked = t.hand_decision.update().where(standing).values(contradicted=True)
    return connection.execute(marked).rowcount == 1


def _settlement(decision: HandDecision) -> int:
    return pb.SETTLEMENT_COMMIT if decision.commit else pb.SETTLEMENT_GIVE_UP


def _decision(row: Row[Any]) -> HandDecision:
    return HandDecision(
        transaction_id=row.transaction_id,
        part_id=row.part_id,
        reservation_id=row.reservation_id,
        domain=row.domain,
        commit=row.settlement == pb.SETTLEMENT_COMMIT,
        operator=row.operator,
        reason=row.reason,
        at_ms=row.at_ms,
        contradicted=row.contradicted,
    )
