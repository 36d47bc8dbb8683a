"""The parts that a domain holds or has answered for, and whose database this is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "agent_0001"
down_revision = None
branch_labels = ("agent",)
depends_on = None


def upgrade() -> None:
    """Makes both tables."""
    op.create_table(
        "agent_parts",
        sa.Column("transaction_id", sa.Text, primary_key=True),
        sa.Column("part_id", sa.Text, primary_key=True),
        sa.Column("reservation_id", sa.Text, nullable=False),
        sa.Column("orchestrator_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("prep", sa.LargeBinary),
        sa.Column("mapping", sa.Text, nullable=False),
        sa.Column("refusal", sa.LargeBinary),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        sa.Column("inquire_at_ms", sa.BigInteger),
        sa.Column("inquiries", sa.Integer, nullable=False),
        sa.Column("start_s", sa.BigInteger),
        sa.Column("end_s", sa.BigInteger),
        sa.Column("data_plane", sa.Text, nullable=False),
        sa.Column("data_plane_reason", sa.Text, nullable=False),
        sa.Column("data_plane_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "agent_meta",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drops both tables."""
    op.drop_table("agent_meta")
    op.drop_table("agent_parts")
