"""What an agent must not forget: its parts, whose database this is, and who may write to it.

One process owns a domain's calendar. Opening the store writes a new owner into it, and every later
write checks that the owner is still the same (a fence): a second agent on the same database takes
over, and the first can neither write nor, therefore, answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field
from operator import attrgetter
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from agents.intake import Intake
from agents.loading import load_parts
from agents.rows import (
    DECISIONS,
    META,
    PARTS,
    decision_from_row,
    decision_to_row,
    life_from_meta,
    life_to_meta,
    prep_to_bytes,
    record_from_row,
    record_to_row,
    replacing,
    replacing_part,
)
from agents.values import Decision, Key, Life, Record
from runtime.clock import Ids, RandomIds
from runtime.database import Database, StorageError, WrongDatabaseError
from runtime.statements import insert_rows, rows_of
from substrate.values import dataclass, replace

PART_COLUMNS = tuple(column.name for column in PARTS.columns)

FORGOTTEN = ("b_transaction_id", "b_part_id")
FORGET = delete(PARTS).where(
    PARTS.c.transaction_id == bindparam(FORGOTTEN[0]),
    PARTS.c.part_id == bindparam(FORGOTTEN[1]),
)


class SupersededError(StorageError):
    """Another agent has taken over this database; this one must stop."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A store's content at start; records and decisions sorted by key.

    ``asleep``: parts of which no records were made.
    """

    life: Life
    records: tuple[Record, ...] = ()
    decisions: tuple[Decision, ...] = ()
    asleep: Intake | None = None


class Store(Protocol):
    """Keeps records. A method that returns has made its effect durable."""

    async def load(
        self, domain: str, now_ms: int, incarnation: str, restored: bool = False
    ) -> Loaded:
        """Takes the store over for ``domain``, and writes which start this is.

        A new one gets ``now_ms`` as its epoch. ``restored`` says that the content may be older than
        what the agent once answered: it raises the epoch, and the agent recovers (design, section
        5, rule 7). Raises WrongDatabaseError, StorageError.
        """

    async def save(
        self,
        records: Sequence[Record] = (),
        forgotten: Iterable[Key] = (),
        life: Life | None = None,
        decisions: Sequence[Decision] = (),
    ) -> None:
        """Writes all of it and drops ``forgotten``, all or nothing. Raises StorageError."""

    async def check_owner(self) -> None:
        """Raises SupersededError once another agent has taken the store over, StorageError."""

    async def close(self) -> None:
        """Finishes what was asked."""


@dataclass
class MemoryStore:
    """A store for simulations: survives the agent, not the process."""

    records: dict[Key, Record] = field(default_factory=dict)
    decisions: dict[Key, Decision] = field(default_factory=dict)
    domain: str | None = None
    life: Life | None = None

    def copy(self) -> MemoryStore:
        """A backup: the content as it is now."""
        return MemoryStore(dict(self.records), dict(self.decisions), self.domain, self.life)

    async def load(
        self, domain: str, now_ms: int, incarnation: str, restored: bool = False
    ) -> Loaded:
        """See :class:`Store`."""
        _refuse_other(self.domain, domain)
        self.domain = domain
        self.life = _next_life(self.life, now_ms, incarnation, restored)
        records = tuple(self.records[key] for key in sorted(self.records))
        decisions = tuple(self.decisions[key] for key in sorted(self.decisions))
        return Loaded(self.life, records, decisions)

    async def save(
        self,
        records: Sequence[Record] = (),
        forgotten: Iterable[Key] = (),
        life: Life | None = None,
        decisions: Sequence[Decision] = (),
    ) -> None:
        """See :class:`Store`."""
        for key in forgotten:
            self.records.pop(key, None)
        self.records.update((record.key, record) for record in records)
        self.decisions.update((decision.key, decision) for decision in decisions)
        self.life = life or self.life

    async def check_owner(self) -> None:
        """See :class:`Store`."""

    async def close(self) -> None:
        """See :class:`Store`."""


@dataclass(frozen=True, slots=True)
class _Write:
    """What one save asks for, as rows; of a part None: it is forgotten."""

    parts: dict[Key, tuple[Any, ...] | None]
    life: dict[str, str] | None
    decisions: tuple[dict[str, Any], ...]


class DatabaseStore:
    """A store in SQLite or PostgreSQL, whose schema must be at the ``agent`` branch's head."""

    def __init__(self, database: Database, ids: Ids | None = None) -> None:
        self._database = database
        self._owner = (ids or RandomIds()).new()
        dialect = database.engine.dialect.name
        insert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
        self._put = {table: replacing(table, insert(table)) for table in (META, DECISIONS)}

    async def load(
        self, domain: str, now_ms: int, incarnation: str, restored: bool = False
    ) -> Loaded:
        """See :class:`Store`."""

        def run(connection: Connection) -> Loaded:
            meta = {row.key: row.value for row in connection.execute(select(META))}
            _refuse_other(meta.get("domain"), domain)
            life = _next_life(life_from_meta(meta), now_ms, incarnation, restored)
            self._tell(connection, {"domain": domain, "owner": self._owner, **life_to_meta(life)})
            intake, rows = load_parts(connection, now_ms)
            records = map(record_from_row, rows)
            decisions = map(decision_from_row, connection.execute(select(DECISIONS)))
            # Sorted here: databases differ in the order of text.
            by_key = attrgetter("key")
            found = tuple(sorted(records, key=by_key)), tuple(sorted(decisions, key=by_key))
            return Loaded(life, *found, intake)

        return await self._database.write(run)

    async def save(
        self,
        records: Sequence[Record] = (),
        forgotten: Iterable[Key] = (),
        life: Life | None = None,
        decisions: Sequence[Decision] = (),
    ) -> None:
        """See :class:`Store`. Raises SupersededError once another agent has taken over."""
        parts: dict[Key, tuple[Any, ...] | None] = dict.fromkeys(forgotten)
        for record in records:
            prep = record.part.prep
            parts[record.key] = record_to_row(record, None if prep is None else prep_to_bytes(prep))
        write = _Write(
            parts,
            None if life is None else life_to_meta(life),
            tuple(decision_to_row(decision) for decision in decisions),
        )
        await self._database.write_with(self._save_all, write)

    def _save_all(
        self, connection: Connection, writes: Sequence[_Write]
    ) -> Sequence[Exception | None]:
        """What they come to in the end: the last that is said of a part counts."""
        try:
            self._refuse_former(connection, locked=True)
        except SupersededError as error:
            return [error for _ in writes]
        parts: dict[Key, tuple[Any, ...] | None] = {}
        for write in writes:
            parts.update(write.parts)
        gone = [key for key, row in parts.items() if row is None]
        if gone:
            connection.execute(FORGET, [dict(zip(FORGOTTEN, key, strict=True)) for key in gone])
        rows = [row for row in parts.values() if row is not None]
        insert_rows(connection, PARTS, PART_COLUMNS, rows, replacing_part)
        decisions = [row for write in writes for row in write.decisions]
        if decisions:
            connection.execute(self._put[DECISIONS], decisions)
        for write in writes:
            if write.life is not None:
                self._tell(connection, write.life)
        return [None for _ in writes]

    async def check_owner(self) -> None:
        """See :class:`Store`."""
        await self._database.read(self._refuse_former)

    async def close(self) -> None:
        """See :class:`Store`."""
        await self._database.close()

    def _refuse_former(self, connection: Connection, locked: bool = False) -> None:
        found = dict(rows_of(connection, (META.c.key, META.c.value), ["owner"], locked))
        if found.get("owner") != self._owner:
            raise SupersededError("another agent has taken over this database")

    def _tell(self, connection: Connection, told: dict[str, str]) -> None:
        rows = [{"key": key, "value": value} for key, value in told.items()]
        connection.execute(self._put[META], rows)


def _refuse_other(found: str | None, domain: str) -> None:
    if found not in (None, domain):
        raise WrongDatabaseError(
            f"the database belongs to the domain '{found}', not to '{domain}': give another one"
        )


def _next_life(found: Life | None, now_ms: int, incarnation: str, restored: bool) -> Life:
    if found is None:
        found = Life(epoch=now_ms, first_epoch=now_ms, recovering=restored)
    elif restored:
        found = replace(found, epoch=max(found.epoch + 1, now_ms), recovering=True)
    return replace(found, boot=found.boot + 1, incarnation=incarnation)
