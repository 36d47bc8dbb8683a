"""Reservations, their transactions and parts, requests, events, registered domains."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "orchestrator_0001"
down_revision = None
branch_labels = ("orchestrator",)
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Makes all tables."""
    _reservations()
    _transactions()
    op.create_table(
        "reservation_event",
        sa.Column("sequence", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("reservation_id", sa.String(128), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("event_by_reservation", "reservation_event", ["reservation_id", "sequence"])
    op.create_table(
        "domain_target",
        sa.Column("domain", sa.String(128), primary_key=True),
        sa.Column("target", sa.String(512), nullable=False),
    )


def downgrade() -> None:
    """Drops all tables."""
    for table in (
        "domain_target",
        "reservation_event",
        "reservation_part",
        "reservation_transaction",
        "request",
        "reservation",
    ):
        op.drop_table(table)


def _reservations() -> None:
    op.create_table(
        "reservation",
        sa.Column("position", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("reservation_id", sa.String(128), nullable=False, unique=True),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("transaction_id", sa.String(128), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("change_transaction_id", sa.String(128)),
        sa.Column("change_record", sa.LargeBinary()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_s", sa.BigInteger(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("reservation_by_state", "reservation", ["state"])
    op.create_table(
        "request",
        sa.Column("request_id", sa.String(128), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column(
            "reservation_id",
            sa.String(128),
            sa.ForeignKey("reservation.reservation_id", deferrable=True, initially="DEFERRED"),
            nullable=False,
        ),
        sa.Column("answer", sa.LargeBinary()),
    )


def _transactions() -> None:
    op.create_table(
        "reservation_transaction",
        sa.Column("transaction_id", sa.String(128), primary_key=True),
        sa.Column("reservation_id", sa.String(128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("decision", sa.Integer(), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
    )
    op.create_index("transaction_by_reservation", "reservation_transaction", ["reservation_id"])
    op.create_index("transaction_by_settled", "reservation_transaction", ["settled"])
    op.create_table(
        "reservation_part",
        sa.Column("transaction_id", sa.String(128), primary_key=True),
        sa.Column("part_id", sa.String(128), primary_key=True),
        sa.Column("domain", sa.String(128), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("expires", sa.Boolean(), nullable=False),
        sa.Column("prep", sa.LargeBinary(), nullable=False),
        sa.Column("refusal", sa.LargeBinary()),
    )
