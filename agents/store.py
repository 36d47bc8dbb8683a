"""What an agent must not forget: its parts, whose database this is, and who may write to it.

One process owns a domain's calendar. Opening the store writes a new owner into it, and every later
write checks that the owner is still the same (a fence): a second agent on the same database takes
over, and the first can neither write nor, therefore, answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    delete,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from braid.v1 import agent_pb2, common_pb2
from protocol.codec import refusal_from_pb, refusal_to_pb, to_agent_from_pb, to_agent_to_pb
from protocol.messages import ReservationPrep
from protocol.participant import Part, PartState
from runtime.clock import Ids, RandomIds
from runtime.database import Database, StorageError
from substrate.model import DataPlaneState

Key = tuple[str, str]
"""(transaction_id, part_id)."""

METADATA = MetaData()
PARTS = Table(
    "agent_parts",
    METADATA,
    Column("transaction_id", Text, primary_key=True),
    Column("part_id", Text, primary_key=True),
    Column("reservation_id", Text, nullable=False),
    Column("orchestrator_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("prep", LargeBinary),
    Column("mapping", Text, nullable=False),
    Column("refusal", LargeBinary),
    Column("changed_ms", BigInteger, nullable=False),
    Column("inquire_at_ms", BigInteger),
    Column("inquiries", Integer, nullable=False),
    Column("start_s", BigInteger),
    Column("end_s", BigInteger),
    Column("data_plane", Text, nullable=False),
    Column("data_plane_reason", Text, nullable=False),
    Column("data_plane_ms", BigInteger, nullable=False),
)
META = Table(
    "agent_meta",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)


class WrongDatabaseError(Exception):
    """The database belongs to another domain."""


class SupersededError(StorageError):
    """Another agent has taken over this database; this one must stop."""


@dataclass(frozen=True, slots=True)
class DataPlane:
    """The state of a part on the device, why (when FAILED), and since when."""

    state: DataPlaneState = DataPlaneState.SCHEDULED
    reason: str = ""
    changed_ms: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """A part and its data plane, as stored in one row."""

    part: Part
    data_plane: DataPlane

    @property
    def key(self) -> Key:
        """The idempotence key."""
        return (self.part.transaction_id, self.part.part_id)

    @property
    def live(self) -> bool:
        """Whether the part claims capacity and labels."""
        return self.part.state in (PartState.HELD, PartState.COMMITTED)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A store's content at start: the agent's epoch, and every record, sorted by key."""

    epoch: int
    records: tuple[Record, ...]


class Store(Protocol):
    """Keeps records. A method that returns has made its effect durable."""

    async def load(self, domain: str, now_ms: int, restored: bool = False) -> Loaded:
        """Takes the store over for ``domain``; a new one gets ``now_ms`` as its epoch.

        ``restored`` says that the content may be older than what the agent once answered: it raises
        the epoch (design, section 5, rule 7). Raises WrongDatabaseError, StorageError.
        """

    async def save(self, records: Sequence[Record], forgotten: Iterable[Key] = ()) -> None:
        """Writes ``records`` and drops ``forgotten``, all or nothing. Raises StorageError."""

    async def close(self) -> None:
        """Finishes what was asked."""


class MemoryStore:
    """A store for simulations: survives the agent, not the process."""

    def __init__(self) -> None:
        self._records: dict[Key, Record] = {}
        self._domain: str | None = None
        self._epoch = 0

    async def load(self, domain: str, now_ms: int, restored: bool = False) -> Loaded:
        """See :class:`Store`."""
        _refuse_other(self._domain, domain)
        self._domain = domain
        self._epoch = _epoch(self._epoch, now_ms, restored)
        return Loaded(self._epoch, tuple(self._records[key] for key in sorted(self._records)))

    async def save(self, records: Sequence[Record], forgotten: Iterable[Key] = ()) -> None:
        """See :class:`Store`."""
        for key in forgotten:
            self._records.pop(key, None)
        self._records.update((record.key, record) for record in records)

    async def close(self) -> None:
        """See :class:`Store`."""


class DatabaseStore:
    """A store in SQLite or PostgreSQL, whose schema must be at the ``agent`` branch's head."""

    def __init__(self, database: Database, ids: Ids | None = None) -> None:
        self._database = database
        self._owner = (ids or RandomIds()).new()
        dialect = database.engine.dialect.name
        self._insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
        self._upsert = self._replacing(PARTS)

    async def load(self, domain: str, now_ms: int, restored: bool = False) -> Loaded:
        """See :class:`Store`."""

        def run(connection: Connection) -> tuple[int, list[Row[Any]]]:
            meta = {row.key: row.value for row in connection.execute(select(META))}
            _refuse_other(meta.get("domain"), domain)
            epoch = _epoch(int(meta.get("epoch", "0")), now_ms, restored)
            told = {"domain": domain, "epoch": str(epoch), "owner": self._owner}
            rows = [{"key": key, "value": value} for key, value in told.items()]
            connection.execute(self._replacing(META), rows)
            query = select(PARTS).order_by(PARTS.c.transaction_id, PARTS.c.part_id)
            return epoch, list(connection.execute(query))

        epoch, rows = await self._database.write(run)
        return Loaded(epoch, tuple(sorted(map(_record, rows), key=lambda record: record.key)))

    async def save(self, records: Sequence[Record], forgotten: Iterable[Key] = ()) -> None:
        """See :class:`Store`. Raises SupersededError once another agent has taken over."""
        rows = [_row(record) for record in records]
        dropped = list(forgotten)

        def run(connection: Connection) -> None:
            self._check_owner(connection)
            for transaction_id, part_id in dropped:
                connection.execute(
                    delete(PARTS).where(
                        PARTS.c.transaction_id == transaction_id, PARTS.c.part_id == part_id
                    )
                )
            if rows:
                connection.execute(self._upsert, rows)

        await self._database.write(run)

    async def close(self) -> None:
        """See :class:`Store`."""
        await self._database.close()

    def _check_owner(self, connection: Connection) -> None:
        query = select(META.c.value).where(META.c.key == "owner").with_for_update(read=True)
        if connection.execute(query).scalar_one_or_none() != self._owner:
            raise SupersededError("another agent has taken over this database")

    def _replacing(self, table: Table) -> Any:
        insert = self._insert(table)
        keys = [column.name for column in table.primary_key]
        changed = {
            column.name: insert.excluded[column.name]
            for column in table.columns
            if not column.primary_key
        }
        return insert.on_conflict_do_update(index_elements=keys, set_=changed)


def _refuse_other(found: str | None, domain: str) -> None:
    if found not in (None, domain):
        raise WrongDatabaseError(
            f"the database belongs to the domain '{found}', not to '{domain}': give another one"
        )


def _epoch(found: int, now_ms: int, restored: bool) -> int:
    return max(found + 1, now_ms) if restored or not found else found


def _row(record: Record) -> dict[str, Any]:
    part, prep = record.part, record.part.prep
    return {
        "transaction_id": part.transaction_id,
        "part_id": part.part_id,
        "reservation_id": prep.reservation_id if prep else "",
        "orchestrator_id": prep.orchestrator_id if prep else "",
        "state": part.state.name,
        "prep": to_agent_to_pb(prep).SerializeToString() if prep else None,
        "mapping": part.mapping,
        "refusal": refusal_to_pb(part.refusal).SerializeToString() if part.refusal else None,
        "changed_ms": part.changed_ms,
        "inquire_at_ms": part.inquire_at_ms,
        "inquiries": part.inquiries,
        "start_s": prep.window.start_s if prep else None,
        "end_s": prep.window.end_s if prep else None,
        "data_plane": record.data_plane.state.name,
        "data_plane_reason": record.data_plane.reason,
        "data_plane_ms": record.data_plane.changed_ms,
    }


def _record(row: Row[Any]) -> Record:
    part = Part(
        transaction_id=row.transaction_id,
        part_id=row.part_id,
        state=PartState[row.state],
        prep=None if row.prep is None else _prep(row.prep),
        mapping=row.mapping,
        refusal=None
        if row.refusal is None
        else refusal_from_pb(common_pb2.Refusal.FromString(row.refusal)),
        changed_ms=row.changed_ms,
        inquire_at_ms=row.inquire_at_ms,
        inquiries=row.inquiries,
    )
    state = DataPlaneState[row.data_plane]
    return Record(part, DataPlane(state, row.data_plane_reason, row.data_plane_ms))


def _prep(stored: bytes) -> ReservationPrep:
    message = to_agent_from_pb(agent_pb2.OrchestratorMessage.FromString(stored))
    assert isinstance(message, ReservationPrep)
    return message
