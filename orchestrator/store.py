"""The durable store, on SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, select, text

from orchestrator import doubt_rows, owning, tables as t
from orchestrator.event_rows import events_in
from orchestrator.events import Event
from orchestrator.ports import (
    AgentIdentity,
    Changes,
    Doubt,
    DoubtMark,
    PartKey,
    Renewal,
    Request,
    Unfinished,
)
from orchestrator.records import HandDecision, Kind, Reservation
from orchestrator.rows import (
    reservation_of,
    transactions,
)
from orchestrator.saving import requests_of, save_all
from protocol.coordinator import Transaction
from protocol.messages import Claim
from runtime.database import Database
from runtime.metrics import measure_database

T = TypeVar("T")

WRITERS_LOCK = 0x627261696401


def alone(connection: Connection) -> None:
    """Lets one instance write at a time, as SQLite does anyway.

    So a fence, an epoch or a request_id that a transaction has read cannot change before it writes,
    and events get their sequence numbers in the order in which they can be seen.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITERS_LOCK})


def open_store(url: str) -> DatabaseStore:
    """A store on a database whose schema is at the ``orchestrator`` branch's head."""
    return DatabaseStore(Database(url, opening=alone))


class DatabaseStore:
    """The :class:`orchestrator.ports.Store` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def measured_by(self, registry: CollectorRegistry) -> None:
        """Lets Prometheus see its batches and queues."""
        measure_database(registry, self._database)

    async def close(self) -> None:
        """Finishes what is queued and closes every connection."""
        await self._database.close()

    async def save(self, changes: Changes, fence: int = 0) -> None:
        await self._database.write_with(save_all, (changes, fence))

    async def request(self, request_id: str) -> Request | None:
        return await self._database.read_with(requests_of, request_id)

    async def reservation(self, reservation_id: str) -> Reservation | None:
        return await self._database.read_with(reservations_of, reservation_id)

    async def transaction(self, transaction_id: str) -> Transaction | None:
        condition = t.transaction.c.transaction_id == transaction_id
        found = await self._database.read(lambda connection: transactions(connection, condition))
        return found[0] if found else None

    async def reservations(
        self, states: frozenset[int], before: str, limit: int, kind: Kind | None = None
    ) -> tuple[tuple[str, Reservation], ...]:
        query = select(t.reservation).order_by(t.reservation.c.position.desc()).limit(limit)
        if states:
            query = query.where(t.reservation.c.state.in_(sorted(states)))
        if kind is not None:
            query = query.where(t.reservation.c.kind == kind.value)
        if before:
            query = query.where(t.reservation.c.position < int(before))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return tuple((str(row.position), reservation_of(row)) for row in rows)

    async def events(self, reservation_id: str, after: int, limit: int) -> tuple[Event, ...]:
        query = select(t.event).where(t.event.c.sequence > after)
        if reservation_id:
            query = query.where(t.event.c.reservation_id == reservation_id)
        query = query.order_by(t.event.c.sequence).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        found = [event for row in rows for event in events_in(row) if event.sequence > after]
        return tuple(found[:limit])

    async def last_event(self) -> int:
        return await self._read(owning.last_event)

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

    # Who owns what (orchestrator.ports.Membership), and domains as last met -----------------------

    async def belong(self, orchestrator_id: str) -> None:
        """Makes a new database this orchestrator's. Raises WrongDatabaseError, StorageError."""
        await self._write(owning.belong, orchestrator_id)

    async def register(self, instance_id: str, lease_ms: int) -> int:
        return await self._write(owning.register, instance_id, lease_ms)

    async def renew(self, epoch: int, instance_id: str, lease_ms: int) -> Renewal:
        return await self._write(owning.renew, epoch, instance_id, lease_ms)

    async def told_lost(self, epoch: int, reservation_ids: Sequence[str]) -> None:
        await self._write(owning.told_lost, epoch, reservation_ids)

    async def take(self, epoch: int, limit: int) -> Unfinished:
        return await self._write(owning.take, epoch, limit)

    async def take_one(self, epoch: int, reservation_id: str) -> Unfinished:
        return await self._write(owning.take_one, epoch, reservation_id)

    async def leave(self, epoch: int) -> None:
        await self._write(owning.leave, epoch)

    async def met(self, domain: str) -> AgentIdentity | None:
        return await self._read(owning.met, domain)

    async def meet(self, domain: str, identity: AgentIdentity) -> None:
        await self._write(owning.meet, domain, identity)

    async def claims(self, domain: str) -> tuple[Claim, ...]:
        return await self._read(owning.claims, domain)

    async def relied_on(self, domain: str) -> frozenset[PartKey]:
        return await self._read(owning.relied_on, domain)

    async def given_back(self, parts: frozenset[PartKey]) -> frozenset[PartKey]:
        return await self._read(owning.given_back, parts)

    async def uses(self, domain: str) -> bool:
        return await self._read(owning.uses, domain)

    # What is in doubt (orchestrator.ports.Doubts) -------------------------------------------------

    async def doubts(self, until_ms: int, after: DoubtMark, limit: int) -> tuple[Doubt, ...]:
        return await self._read(doubt_rows.doubts, until_ms, after, limit)

    async def doubt(self, transaction_id: str, part_id: str) -> Doubt | None:
        return await self._read(doubt_rows.doubt, transaction_id, part_id)

    async def hand_decisions(self, domain: str, limit: int) -> tuple[HandDecision, ...]:
        return await self._read(doubt_rows.hand_decisions, domain, limit)

    async def hand_decision(self, transaction_id: str, part_id: str) -> HandDecision | None:
        return await self._read(doubt_rows.hand_decision, transaction_id, part_id)

    async def contradict(self, decision: HandDecision) -> bool:
        return await self._write(doubt_rows.contradict, decision)

    async def _read(self, operation: Callable[..., T], *arguments: Any) -> T:
        return await self._database.read(lambda connection: operation(connection, *arguments))

    async def _write(self, operation: Callable[..., T], *arguments: Any) -> T:
        return await self._database.write(lambda connection: operation(connection, *arguments))


def reservations_of(connection: Connection, ids: Sequence[str]) -> list[Reservation | None]:
    """Many at once."""
    query = select(t.reservation).where(t.reservation.c.reservation_id.in_(sorted(set(ids))))
    found = {row.reservation_id: row for row in connection.execute(query)}
    return [reservation_of(found[one]) if one in found else None for one in ids]
