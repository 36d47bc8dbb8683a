"""When holds expire, and what operators decided by hand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "agent_0002"
down_revision = "agent_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds two columns and a table. A hold from before is marked -1: it follows the settings."""
    op.add_column("agent_parts", sa.Column("expires_ms", sa.BigInteger))
    op.add_column(
        "agent_parts",
        sa.Column("heuristic", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.execute("UPDATE agent_parts SET expires_ms = -1 WHERE state = 'HELD'")
    op.create_table(
        "agent_decisions",
        sa.Column("transaction_id", sa.Text, primary_key=True),
        sa.Column("part_id", sa.Text, primary_key=True),
        sa.Column("reservation_id", sa.Text, nullable=False),
        sa.Column("orchestrator_id", sa.Text, nullable=False),
        sa.Column("settlement", sa.Text, nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("contradicted", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Takes them away again; parts stay as they are."""
    op.drop_table("agent_decisions")
    op.drop_column("agent_parts", "heuristic")
    op.drop_column("agent_parts", "expires_ms")
