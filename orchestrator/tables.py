"""The orchestrator's tables (SQLAlchemy Core); migrations/ makes the same ones."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
    literal_column,
)

from orchestrator.records import FINAL

metadata = MetaData()

SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
_FINAL: list[ColumnElement[int]] = [
    literal_column(str(number)) for number in sorted(state.value for state in FINAL)
]

reservation = Table(
    "reservation",
    metadata,
    Column("position", SEQUENCE, primary_key=True, autoincrement=True),
    Column("reservation_id", String(128), nullable=False, unique=True),
    Column("state", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("transaction_id", String(128), nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("change_transaction_id", String(128)),
    Column("change_record", LargeBinary),
    Column("created_ms", BigInteger, nullable=False),
    Column("end_s", BigInteger, nullable=False),
    Column("owner", BigInteger, nullable=False, server_default="0"),
    Column("kind", Integer, nullable=False, server_default="1"),
    Index("reservation_by_state", "state"),
    Index("reservation_by_kind", "kind", "position"),
    sqlite_autoincrement=True,
)

is_live = reservation.c.state.not_in(_FINAL)
"""Condition: it is not final. In the same words as in the index, so that SQLite uses that."""
Index(
    "reservation_by_owner",
    reservation.c.owner,
    reservation.c.position,
    sqlite_where=is_live,
    postgresql_where=is_live,
)

request = Table(
    "request",
    metadata,
    Column("request_id", String(128), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column(
        "reservation_id",
        String(128),
        ForeignKey("reservation.reservation_id", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
    Column("answer", LargeBinary),
)

transaction = Table(
    "reservation_transaction",
    metadata,
    Column("transaction_id", String(128), primary_key=True),
    Column("reservation_id", String(128), nullable=False),
    Column("version", Integer, nullable=False),
    Column("decision", Integer, nullable=False),
    Column("told", Boolean, nullable=False),
    Column("settled", Boolean, nullable=False),
    Column("broken", Boolean, nullable=False, server_default=false()),
    Column("states", Text),
    Index("transaction_by_reservation", "reservation_id"),
    sqlite_with_rowid=False,
)
"""``states``: see orchestrator.part_states. ``broken``: committed, and a domain says no."""

is_unsettled = transaction.c.settled.is_(False)
is_broken = transaction.c.broken.is_(True)
for _name, _condition in (("unsettled", is_unsettled), ("broken", is_broken)):
    Index(
        f"transaction_{_name}",
        transaction.c.reservation_id,
        sqlite_where=_condition,
        postgresql_where=_condition,
    )

part = Table(
    "reservation_part",
    metadata,
    Column("transaction_id", String(128), primary_key=True),
    Column("part_id", String(128), primary_key=True),
    Column("domain", String(128), nullable=False),
    Column("expires", Boolean, nullable=False),
    Column("prep", LargeBinary, nullable=False),
    Column("refusal", LargeBinary),
    Index("part_by_domain", "domain"),
    sqlite_with_rowid=False,
)
"""What does not change of a part, and why it was refused."""

event = Table(
    "reservation_event",
    metadata,
    Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
    Column("reservation_id", String(128), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("events", Integer, nullable=False, server_default="0"),
    Index("event_by_reservation", "reservation_id", "sequence"),
    sqlite_autoincrement=True,
)

domain_target = Table(
    "domain_target",
    metadata,
    Column("domain", String(128), primary_key=True),
    Column("target", String(512), nullable=False),
)

orchestrator = Table(
    "orchestrator",
    metadata,
    Column("orchestrator_id", String(128), primary_key=True),
)

instance = Table(
    "instance",
    metadata,
    Column("epoch", SEQUENCE, primary_key=True, autoincrement=True),
    Column("instance_id", String(128), nullable=False, unique=True),
    Column("lease_until_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

taken = Table(
    "reservation_taken",
    metadata,
    Column("epoch", BigInteger, primary_key=True),
    Column("reservation_id", String(128), primary_key=True),
)

domain_agent = Table(
    "domain_agent",
    metadata,
    Column("domain", String(128), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("boot", BigInteger, nullable=False),
    Column("incarnation", String(128), nullable=False),
)

hand_decision = Table(
    "hand_decision",
    metadata,
    Column("transaction_id", String(128), primary_key=True),
    Column("part_id", String(128), primary_key=True),
    Column("reservation_id", String(128), nullable=False),
    Column("domain", String(128), nullable=False),
    Column("settlement", Integer, nullable=False),
    Column("operator", String(128), nullable=False),
    Column("reason", String(256), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("contradicted", Boolean, nullable=False),
)
