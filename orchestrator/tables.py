"""The orchestrator's tables (SQLAlchemy Core); migrations/ makes the same ones."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

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
    Index("reservation_by_owner", "owner", "state"),
    Index("reservation_by_kind", "kind", "position"),
    sqlite_autoincrement=True,
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
    Index("transaction_by_reservation", "reservation_id"),
    Index("transaction_by_settled", "settled"),
)

part = Table(
    "reservation_part",
    metadata,
    Column("transaction_id", String(128), primary_key=True),
    Column("part_id", String(128), primary_key=True),
    Column("domain", String(128), nullable=False),
    Column("status", Integer, nullable=False),
    Column("expires", Boolean, nullable=False),
    Column("prep", LargeBinary, nullable=False),
    Column("refusal", LargeBinary),
    Column("agent_epoch", BigInteger, nullable=False, server_default="0"),
    Column("since_ms", BigInteger, nullable=False, server_default="0"),
    Index("part_by_domain", "domain", "status"),
)

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
