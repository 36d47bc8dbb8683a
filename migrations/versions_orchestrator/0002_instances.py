"""Several instances on one database: owners, leases; agents as last met; decisions by hand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "orchestrator_0002"
down_revision = "orchestrator_0001"
branch_labels = None
depends_on = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds columns to what is there, and five tables."""
    op.add_column("reservation", _number("owner"))
    op.create_index("reservation_by_owner", "reservation", ["owner", "state"])
    op.add_column("reservation_part", _number("agent_epoch"))
    op.add_column("reservation_part", _number("since_ms"))
    op.create_index("part_by_domain", "reservation_part", ["domain", "status"])
    op.create_table(
        "orchestrator",
        sa.Column("orchestrator_id", sa.String(128), primary_key=True),
    )
    op.create_table(
        "instance",
        sa.Column("epoch", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("instance_id", sa.String(128), nullable=False, unique=True),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "reservation_taken",
        sa.Column("epoch", sa.BigInteger(), primary_key=True),
        sa.Column("reservation_id", sa.String(128), primary_key=True),
    )
    op.create_table(
        "domain_agent",
        sa.Column("domain", sa.String(128), primary_key=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("boot", sa.BigInteger(), nullable=False),
        sa.Column("incarnation", sa.String(128), nullable=False),
    )
    op.create_table(
        "hand_decision",
        sa.Column("transaction_id", sa.String(128), primary_key=True),
        sa.Column("part_id", sa.String(128), primary_key=True),
        sa.Column("reservation_id", sa.String(128), nullable=False),
        sa.Column("domain", sa.String(128), nullable=False),
        sa.Column("settlement", sa.Integer(), nullable=False),
        sa.Column("operator", sa.String(128), nullable=False),
        sa.Column("reason", sa.String(256), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("contradicted", sa.Boolean(), nullable=False),
    )


def downgrade() -> None:
    """Takes them away again; what was promised stays."""
    for table in ("hand_decision", "domain_agent", "reservation_taken", "instance", "orchestrator"):
        op.drop_table(table)
    op.drop_index("part_by_domain", "reservation_part")
    op.drop_column("reservation_part", "since_ms")
    op.drop_column("reservation_part", "agent_epoch")
    op.drop_index("reservation_by_owner", "reservation")
    op.drop_column("reservation", "owner")


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
