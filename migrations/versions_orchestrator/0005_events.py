"""Events of one reservation that are written at one time share a row."""

from __future__ import annotations

from struct import Struct

import sqlalchemy as sa
from alembic import op

revision = "orchestrator_0005"
down_revision = "orchestrator_0004"
branch_labels = None
depends_on = None

BATCH = 1000
HEAD = Struct(">qI")

_event = sa.table(
    "reservation_event",
    sa.column("sequence", sa.BigInteger()),
    sa.column("reservation_id", sa.String()),
    sa.column("at_ms", sa.BigInteger()),
    sa.column("body", sa.LargeBinary()),
    sa.column("events", sa.Integer()),
)


def upgrade() -> None:
    """Rows that are there have one event each, which their number says: 0."""
    events = sa.Column("events", sa.Integer(), nullable=False, server_default="0")
    op.add_column("reservation_event", events)


def downgrade() -> None:
    """A row for each event."""
    connection, sequence, seen = op.get_bind(), _event.c.sequence, 0
    shared = _event.c.events > 0
    while True:
        query = sa.select(_event).where(sequence > seen, shared).order_by(sequence).limit(BATCH)
        rows = connection.execute(query).all()
        if not rows:
            break
        seen = rows[-1].sequence
        of_these = sequence.in_([row.sequence for row in rows])
        connection.execute(_event.delete().where(of_these))
        singles = [single for row in rows for single in _singles(row)]
        connection.execute(_event.insert(), singles)
    op.drop_column("reservation_event", "events")


def _singles(row: sa.Row[tuple[int, str, int, bytes, int]]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    at = 0
    for number in range(row.events):
        at_ms, size = HEAD.unpack_from(row.body, at)
        at += HEAD.size + size
        found.append(
            {
                "sequence": row.sequence - row.events + 1 + number,
                "reservation_id": row.reservation_id,
                "at_ms": at_ms,
                "body": row.body[at - size : at],
                "events": 0,
            }
        )
    return found
