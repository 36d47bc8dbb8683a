"""Many rows in few statements: one call of the driver, however many rows there are.

A driver that runs a statement once for every row gives Python's global lock away and takes it back
each time; beside a busy event loop every one of these may wait for milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

SIZES = (64, 16, 4, 1)
"""Rows of one statement, so that few texts serve any number of rows."""

Clause = Callable[[Any], Insert]
"""What follows VALUES, given the dialect's INSERT: ON CONFLICT and the like."""


def insert_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    clause: Clause | None = None,
) -> None:
    """INSERTs rows that all have the same columns, in order; ``clause`` must be a module's own.

    Values reach the driver as they are, so columns must be of types that SQLite and PostgreSQL
    take from Python without help: integers, booleans, text, bytes.
    """
    if not rows:
        return
    columns = tuple(rows[0])
    for chunk in _chunks(rows):
        text = _text(connection.dialect.name, table, columns, len(chunk), clause)
        values = tuple(row[column] for row in chunk for column in columns)
        connection.exec_driver_sql(text, values)


def _chunks(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    at = 0
    for size in SIZES:
        while len(rows) - at >= size:
            yield rows[at : at + size]
            at += size


@cache
def _text(
    name: str, table: Table, columns: tuple[str, ...], count: int, clause: Clause | None
) -> str:
    """The statement's text, whose parameters are all columns of one row after those of another."""
    # The drivers' own styles of parameters that are told by their place.
    module, paramstyle = _DIALECTS[name]
    insert: Any = module.insert(table)
    if clause is not None:
        insert = clause(insert)
    places = [
        {c: bindparam(f"{c}_{n}", type_=table.c[c].type) for c in columns} for n in range(count)
    ]
    compiled = insert.values(places).compile(dialect=module.dialect(paramstyle=paramstyle))
    wanted = [f"{column}_{n}" for n in range(count) for column in columns]
    assert compiled.positiontup == wanted, compiled.positiontup
    return str(compiled)


_DIALECTS: dict[str, tuple[Any, str]] = {
    "postgresql": (postgresql, "format"),
    "sqlite": (sqlite, "qmark"),
}
