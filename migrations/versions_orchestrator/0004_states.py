"""How the parts of a transaction are is told by its row; indexes of what is not over alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "orchestrator_0004"
down_revision = "orchestrator_0003"
branch_labels = None
depends_on = None

COMMIT, NACKED = 1, 5
BATCH = 1000
WITHOUT_ROWID = {"sqlite_with_rowid": False}
LIVE = "state NOT IN (3, 4, 5)"

_transaction = sa.table(
    "reservation_transaction",
    sa.column("transaction_id", sa.String()),
    sa.column("decision", sa.Integer()),
    sa.column("broken", sa.Boolean()),
    sa.column("states", sa.Text()),
)
_part = sa.table(
    "reservation_part",
    sa.column("transaction_id", sa.String()),
    sa.column("part_id", sa.String()),
    sa.column("status", sa.Integer()),
    sa.column("agent_epoch", sa.BigInteger()),
    sa.column("since_ms", sa.BigInteger()),
    sa.column("refusal", sa.LargeBinary()),
)


def upgrade() -> None:
    """Moves what changes of parts to the rows of their transactions."""
    op.drop_index("transaction_by_settled", "reservation_transaction")
    with op.batch_alter_table("reservation_transaction", table_kwargs=WITHOUT_ROWID) as batch:
        batch.add_column(
            sa.Column("broken", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch.add_column(sa.Column("states", sa.Text()))
    _each_batch(op.get_bind(), _gather)
    op.drop_index("part_by_domain", "reservation_part")
    with op.batch_alter_table("reservation_part", table_kwargs=WITHOUT_ROWID) as batch:
        for name in ("status", "agent_epoch", "since_ms"):
            batch.drop_column(name)
    op.create_index("part_by_domain", "reservation_part", ["domain"])
    op.drop_index("reservation_by_owner", "reservation")
    _partial("reservation_by_owner", "reservation", ["owner", "position"], LIVE, LIVE)
    for name, lite, other in (
        ("transaction_unsettled", "settled IS 0", "settled IS false"),
        ("transaction_broken", "broken IS 1", "broken IS true"),
    ):
        _partial(name, "reservation_transaction", ["reservation_id"], lite, other)


def downgrade() -> None:
    """Moves it back."""
    op.drop_index("transaction_broken", "reservation_transaction")
    op.drop_index("transaction_unsettled", "reservation_transaction")
    op.drop_index("reservation_by_owner", "reservation")
    op.create_index("reservation_by_owner", "reservation", ["owner", "state"])
    op.drop_index("part_by_domain", "reservation_part")
    with op.batch_alter_table("reservation_part") as batch:
        batch.add_column(sa.Column("status", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(_number("agent_epoch"))
        batch.add_column(_number("since_ms"))
    _each_batch(op.get_bind(), _spread)
    with op.batch_alter_table("reservation_part") as batch:
        batch.alter_column("status", server_default=None, existing_type=sa.Integer())
    op.create_index("part_by_domain", "reservation_part", ["domain", "status"])
    with op.batch_alter_table("reservation_transaction") as batch:
        batch.drop_column("states")
        batch.drop_column("broken")
    op.create_index("transaction_by_settled", "reservation_transaction", ["settled"])


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")


def _partial(name: str, table: str, columns: list[str], lite: str, other: str) -> None:
    op.create_index(
        name, table, columns, sqlite_where=sa.text(lite), postgresql_where=sa.text(other)
    )


def _each_batch(
    connection: sa.Connection, move: Callable[[sa.Connection, Sequence[sa.Row[Any]]], None]
) -> None:
    """Moves what is there, some transactions at a time."""
    key = _transaction.c.transaction_id
    seen = ""
    while True:
        query = sa.select(_transaction).where(key > seen).order_by(key).limit(BATCH)
        rows = connection.execute(query).all()
        if not rows:
            return
        seen = rows[-1].transaction_id
        move(connection, rows)


def _gather(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> None:
    """A line for each part: status, epoch, since when, whether refused, part_id."""
    key, part_id = _part.c.transaction_id, _part.c.part_id
    query = sa.select(_part).where(key.in_([row.transaction_id for row in rows]))
    parts: dict[str, list[sa.Row[Any]]] = {}
    for part in connection.execute(query.order_by(key, part_id)):
        parts.setdefault(part.transaction_id, []).append(part)
    values = [
        {
            "key": row.transaction_id,
            "is_broken": row.decision == COMMIT and NACKED in [p.status for p in parts[row[0]]],
            "text": "\n".join(map(_line, parts[row.transaction_id])),
        }
        for row in rows
        if row.transaction_id in parts
    ]
    statement = _transaction.update().where(_transaction.c.transaction_id == sa.bindparam("key"))
    statement = statement.values(broken=sa.bindparam("is_broken"), states=sa.bindparam("text"))
    if values:
        connection.execute(statement, values)


def _line(part: sa.Row[Any]) -> str:
    refused = int(part.refusal is not None)
    return f"{part.status} {part.agent_epoch} {part.since_ms} {refused} {part.part_id}"


def _spread(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> None:
    lines = [(row.transaction_id, line) for row in rows for line in (row.states or "").splitlines()]
    values = []
    for transaction_id, line in lines:
        status, epoch, since_ms, _, part_id = line.split(" ", 4)
        values.append(
            {
                "key": transaction_id,
                "part": part_id,
                "new_status": int(status),
                "new_agent_epoch": int(epoch),
                "new_since_ms": int(since_ms),
            }
        )
    names = ("status", "agent_epoch", "since_ms")
    statement = (
        _part.update()
        .where(_part.c.transaction_id == sa.bindparam("key"))
        .where(_part.c.part_id == sa.bindparam("part"))
        .values({name: sa.bindparam(f"new_{name}") for name in names})
    )
    if values:
        connection.execute(statement, values)
