"""SQL of who owns what (design, section 5, rule 3), and of domains as last met (rule 7).

Every writing transaction of an orchestrator's database is alone (see ``alone`` in store.py), so
what these functions read cannot change before they write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select, text

from orchestrator import tables as t
from orchestrator.part_states import states_of
from orchestrator.ports import (
    AgentIdentity,
    ConflictError,
    PartKey,
    Renewal,
    Unfinished,
    is_earlier,
)
from orchestrator.records import FINAL, State
from orchestrator.rows import (
    DECISIONS,
    insert,
    prep_of,
    reservation_of,
    transactions,
    upsert,
)
from protocol.coordinator import PROMISED, Decision, PartStatus
from protocol.messages import Claim
from runtime.database import WrongDatabaseError
from runtime.statements import highest, rows_of

LOST_AT_ONCE = 10_000
ROWS_AT_ONCE = 1000
STATES = (t.transaction.c.transaction_id, t.transaction.c.states)


def belong(connection: Connection, orchestrator_id: str) -> None:
    """Makes a new database this orchestrator's. Raises WrongDatabaseError: it is another's."""
    found = connection.execute(select(t.orchestrator.c.orchestrator_id)).scalar()
    if found is None:
        connection.execute(t.orchestrator.insert().values(orchestrator_id=orchestrator_id))
    elif found != orchestrator_id:
        raise WrongDatabaseError(
            f"the database belongs to the orchestrator '{found}', not to '{orchestrator_id}':"
            " give another one"
        )


def register(connection: Connection, instance_id: str, lease_ms: int) -> int:
    """See Membership. An SQLite file has one process: a new one ends all others."""
    former = t.instance.delete()
    if connection.dialect.name != "sqlite":
        former = former.where(t.instance.c.instance_id == instance_id)
    connection.execute(former)
    row = {"instance_id": instance_id, "lease_until_ms": now_ms(connection) + lease_ms}
    statement = t.instance.insert().values(row).returning(t.instance.c.epoch)
    return int(connection.execute(statement).scalar_one())


def renew(connection: Connection, epoch: int, instance_id: str, lease_ms: int) -> Renewal:
    """See Membership."""
    at_ms = now_ms(connection)
    mine = t.instance.c.epoch == epoch
    held = t.instance.update().where(mine).values(lease_until_ms=at_ms + lease_ms)
    if connection.execute(held).rowcount != 1:
        newer = t.instance.c.instance_id == instance_id
        if connection.dialect.name == "sqlite":
            newer = t.instance.c.epoch > epoch
        superseded = connection.execute(select(t.instance.c.epoch).where(newer)).first()
        return Renewal(alive=False, superseded=superseded is not None)
    connection.execute(t.instance.delete().where(t.instance.c.lease_until_ms < at_ms))
    # Not what was taken back since.
    lost = (
        select(t.taken.c.reservation_id)
        .join(t.reservation, t.reservation.c.reservation_id == t.taken.c.reservation_id)
        .where(t.taken.c.epoch == epoch, t.reservation.c.owner != epoch)
        .order_by(t.taken.c.reservation_id)
        .limit(LOST_AT_ONCE)
    )
    return Renewal(alive=True, lost=tuple(connection.execute(lost).scalars()))


def told_lost(connection: Connection, epoch: int, reservation_ids: Sequence[str]) -> None:
    """See Membership."""
    told = and_(t.taken.c.epoch == epoch, t.taken.c.reservation_id.in_(reservation_ids))
    connection.execute(t.taken.delete().where(told))


def lives(connection: Connection, epoch: int) -> bool:
    """Whether this life of an instance is not over."""
    return bool(list(rows_of(connection, (t.instance.c.epoch,), [epoch])))


def leave(connection: Connection, epoch: int) -> None:
    """See Membership."""
    connection.execute(t.instance.delete().where(t.instance.c.epoch == epoch))
    connection.execute(t.taken.delete().where(t.taken.c.epoch == epoch))


def take(connection: Connection, epoch: int, limit: int) -> Unfinished:
    """See Membership."""
    ids = list[str]()
    for orphaned in _owners_gone(connection):
        going_on = (
            select(t.reservation.c.reservation_id)
            .where(orphaned, t.is_live)
            .order_by(t.reservation.c.owner, t.reservation.c.position)
            .limit(limit - len(ids))
        )
        ids += connection.execute(going_on).scalars()
    if len(ids) < limit:
        awaited = select(t.transaction.c.reservation_id).where(t.is_unsettled)
        to_settle = (
            select(t.reservation.c.reservation_id)
            .where(
                t.reservation.c.reservation_id.in_(awaited),
                t.reservation.c.reservation_id.not_in(ids),
                or_(*_owners_gone(connection)),
            )
            .limit(limit - len(ids))
        )
        ids += connection.execute(to_settle).scalars()
    return _owned(connection, epoch, ids)


def _owners_gone(connection: Connection) -> list[Any]:
    """Conditions of which one holds for what no living instance owns: between two that live.

    Each is a range of an index. Whatever is owned would be looked at for one that excludes owners.
    """
    owner = t.reservation.c.owner
    query = select(t.instance.c.epoch).order_by(t.instance.c.epoch)
    bounds = [-1, *connection.execute(query).scalars()]
    between = [and_(owner > a, owner < b) for a, b in pairwise(bounds)]
    return [*between, owner > bounds[-1]]


def take_one(connection: Connection, epoch: int, reservation_id: str) -> Unfinished:
    """See Membership. Tells the owner before, by its next heartbeat."""
    query = select(t.reservation.c.owner).where(t.reservation.c.reservation_id == reservation_id)
    owner = connection.execute(query).scalar_one_or_none()
    if owner is None:
        return Unfinished()
    if owner != epoch:
        row = {"epoch": owner, "reservation_id": reservation_id}
        connection.execute(insert(connection, t.taken).values(row).on_conflict_do_nothing())
    return _owned(connection, epoch, [reservation_id])


def met(connection: Connection, domain: str) -> AgentIdentity | None:
    """See Store."""
    row = connection.execute(
        select(t.domain_agent).where(t.domain_agent.c.domain == domain)
    ).one_or_none()
    return None if row is None else AgentIdentity(row.epoch, row.boot, row.incarnation)


def meet(connection: Connection, domain: str, identity: AgentIdentity) -> None:
    """See Store."""
    known = met(connection, domain)
    if known is not None and is_earlier(identity, known):
        raise ConflictError(domain)
    row = {
        "domain": domain,
        "epoch": identity.epoch,
        "boot": identity.boot,
        "incarnation": identity.incarnation,
    }
    connection.execute(upsert(connection, t.domain_agent, "domain"), [row])


def epochs(connection: Connection, domains: Sequence[str]) -> dict[str, int]:
    """The epochs of those domains that were ever met."""
    columns = (t.domain_agent.c.domain, t.domain_agent.c.epoch)
    return dict(rows_of(connection, columns, sorted(domains)))


def claims(connection: Connection, domain: str) -> tuple[Claim, ...]:
    """See Store."""
    committed = t.transaction.c.decision == DECISIONS[Decision.COMMIT]
    query = _parts_in(domain).where(committed)
    found = []
    for row in _streamed(connection, query.order_by(t.part.c.transaction_id, t.part.c.part_id)):
        status = states_of(row.states)[row.part_id].status
        if status in PROMISED or (row.told and status is PartStatus.NACKED):
            found.append(Claim(prep_of(row), row.told))
    return tuple(found)


def relied_on(connection: Connection, domain: str) -> frozenset[PartKey]:
    """See Store. Success that was told may rest on a hold that is not confirmed yet.

    An operator's word is not the domain's.
    """
    by_hand = select(t.hand_decision.c.part_id).where(
        t.hand_decision.c.transaction_id == t.part.c.transaction_id,
        t.hand_decision.c.part_id == t.part.c.part_id,
    )
    query = _parts_in(domain).where(
        t.transaction.c.decision == DECISIONS[Decision.COMMIT],
        ~by_hand.exists(),
        t.reservation.c.end_s * 1000 > now_ms(connection),
    )
    found = []
    for row in _streamed(connection, query):
        status = states_of(row.states)[row.part_id].status
        told = row.told and status is PartStatus.COMMITTING
        if told or status is PartStatus.COMMITTED:
            found.append((row.transaction_id, row.part_id))
    return frozenset(found)


def given_back(connection: Connection, parts: frozenset[PartKey]) -> frozenset[PartKey]:
    """See Store. An operator's word is not the domain's."""
    ids = sorted({transaction_id for transaction_id, _ in parts})
    hand = t.hand_decision.c
    released = {
        (transaction_id, part_id)
        for transaction_id, text_ in rows_of(connection, STATES, ids)
        for part_id, state in states_of(text_).items()
        if state.status is PartStatus.RELEASED
    }
    by_hand = rows_of(connection, (hand.transaction_id, hand.part_id), ids)
    return parts & released - set(map(tuple, by_hand))


def uses(connection: Connection, domain: str) -> bool:
    """See Store."""
    for row in _streamed(connection, _parts_in(domain)):
        undecided = row.decision == DECISIONS[Decision.UNDECIDED]
        if undecided or states_of(row.states)[row.part_id].status in PROMISED:
            return True
    return False


def _parts_in(domain: str) -> Any:
    """Parts in a domain, of reservations that are not final, with what their transactions say."""
    tx = t.transaction.c
    return (
        select(t.part, tx.decision, tx.told, tx.states)
        .join(t.transaction, tx.transaction_id == t.part.c.transaction_id)
        .join(t.reservation, t.reservation.c.reservation_id == tx.reservation_id)
        .where(t.part.c.domain == domain, t.is_live)
    )


def _streamed(connection: Connection, query: Any) -> Iterator[Row[Any]]:
    """Rows of a query, a few at a time: there may be very many, of which the first may do."""
    with connection.execute(query, execution_options={"yield_per": ROWS_AT_ONCE}) as rows:
        yield from rows


def now_ms(connection: Connection) -> int:
    """The database's clock, which all instances share."""
    if connection.dialect.name == "sqlite":
        query = "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    else:
        query = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
    return int(connection.execute(text(query)).scalar_one())


def last_event(connection: Connection) -> int:
    """See Store."""
    return highest(connection, t.event.c.sequence)


def _owned(connection: Connection, epoch: int, ids: Sequence[str]) -> Unfinished:
    """Makes these reservations this instance's own, with what is not over of them."""
    if not ids:
        return Unfinished()
    these: Any = t.reservation.c.reservation_id.in_(ids)
    connection.execute(t.reservation.update().where(these).values(owner=epoch))
    rows = connection.execute(
        select(t.reservation).where(these).order_by(t.reservation.c.position)
    ).all()
    live = tuple(reservation_of(row) for row in rows if State(row.state) not in FINAL)
    going_on = [record.reservation_id for record in live]
    found = transactions(
        connection,
        and_(
            t.transaction.c.reservation_id.in_(ids),
            or_(
                t.is_unsettled,
                and_(
                    t.transaction.c.decision == DECISIONS[Decision.COMMIT],
                    t.transaction.c.reservation_id.in_(going_on),
                ),
            ),
        ),
    )
    domains = {part.domain for transaction in found for part in transaction.parts}
    return Unfinished(live, found, epochs(connection, sorted(domains)))
