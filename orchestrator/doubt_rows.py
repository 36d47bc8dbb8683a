"""SQL of what is in doubt, and of decisions by hand."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, and_, select, tuple_, union_all

from braid.v1 import doubts_pb2 as pb
from orchestrator import tables as t
from orchestrator.ports import Doubt, DoubtMark
from orchestrator.records import FINAL, HandDecision, State
from orchestrator.rows import DECISIONS, STATUSES, part_of, upsert
from protocol.coordinator import SETTLEMENTS, Decision, PartStatus

AWAITED = sorted({STATUSES[s] for s, _ in SETTLEMENTS if s is not PartStatus.NACKED})
ORDER = (t.part.c.since_ms, t.part.c.transaction_id, t.part.c.part_id)


def doubts(
    connection: Connection, until_ms: int, after: DoubtMark, limit: int
) -> tuple[Doubt, ...]:
    """See orchestrator.ports.Doubts."""
    listed = and_(t.part.c.since_ms <= until_ms, tuple_(*ORDER) > tuple_(*after))
    return _found(connection, listed, limit)


def doubt(connection: Connection, transaction_id: str, part_id: str) -> Doubt | None:
    """See orchestrator.ports.Doubts."""
    this = and_(t.part.c.transaction_id == transaction_id, t.part.c.part_id == part_id)
    return next(iter(_found(connection, this, 1)), None)


def _found(connection: Connection, condition: Any, limit: int) -> tuple[Doubt, ...]:
    found = union_all(_awaited(condition), _broken(condition)).subquery()
    keys = (found.c.since_ms, found.c.transaction_id, found.c.part_id)
    rows = connection.execute(select(found).order_by(*keys).limit(limit))
    return tuple(Doubt(row.reservation_id, part_of(row), row.since_ms) for row in rows)


def _awaited(condition: Any) -> Any:
    """What a domain has not acknowledged; without a circuit whose window is over anyway."""
    over = and_(
        t.reservation.c.state == State.ENDED.value,
        t.reservation.c.transaction_id == t.transaction.c.transaction_id,
    )
    return _parts().where(
        condition,
        t.transaction.c.settled.is_(False),
        t.transaction.c.decision != DECISIONS[Decision.UNDECIDED],
        t.part.c.status.in_(AWAITED),
        ~over,
    )


def _broken(condition: Any) -> Any:
    """What a user was promised and a domain says it does not hold; unless that is accepted."""
    accepted = and_(
        t.hand_decision.c.transaction_id == t.part.c.transaction_id,
        t.hand_decision.c.part_id == t.part.c.part_id,
        t.hand_decision.c.settlement == pb.SETTLEMENT_GIVE_UP,
    )
    return _parts().where(
        condition,
        t.transaction.c.decision == DECISIONS[Decision.COMMIT],
        t.part.c.status == STATUSES[PartStatus.NACKED],
        t.reservation.c.state.not_in(sorted(state.value for state in FINAL)),
        ~select(t.hand_decision.c.part_id).where(accepted).exists(),
    )


def _parts() -> Any:
    of_transaction = t.transaction.c.transaction_id == t.part.c.transaction_id
    of_reservation = t.reservation.c.reservation_id == t.transaction.c.reservation_id
    return (
        select(t.part, t.transaction.c.reservation_id)
        .join(t.transaction, of_transaction)
        .join(t.reservation, of_reservation)
    )


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
