"""Of each reservation whether it is a circuit or a CloudNet, so that either can be listed alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from braid.v1 import reservations_pb2

revision = "orchestrator_0003"
down_revision = "orchestrator_0002"
branch_labels = None
depends_on = None

CIRCUIT, CLOUDNET = 1, 2
BATCH = 1000

_reservation = sa.table(
    "reservation",
    sa.column("position", sa.BigInteger()),
    sa.column("record", sa.LargeBinary()),
    sa.column("kind", sa.Integer()),
)


def upgrade() -> None:
    """Adds the column, and looks up what is there."""
    kind = sa.Column("kind", sa.Integer(), nullable=False, server_default=str(CIRCUIT))
    op.add_column("reservation", kind)
    _look_up(op.get_bind())
    op.create_index("reservation_by_kind", "reservation", ["kind", "position"])


def downgrade() -> None:
    """Takes it away again: the record says it too."""
    op.drop_index("reservation_by_kind", "reservation")
    op.drop_column("reservation", "kind")


def _look_up(connection: sa.Connection) -> None:
    position, record = _reservation.c.position, _reservation.c.record
    seen = 0
    while True:
        query = sa.select(position, record).where(position > seen).order_by(position).limit(BATCH)
        rows = connection.execute(query).all()
        if not rows:
            return
        seen = rows[-1].position
        found = [row.position for row in rows if _is_cloudnet(row.record)]
        if found:
            of_these = _reservation.update().where(position.in_(found))
            connection.execute(of_these.values(kind=CLOUDNET))


def _is_cloudnet(record: bytes) -> bool:
    message = reservations_pb2.ReservationRecord.FromString(record)
    return message.criteria.HasField("cloudnet")
