"""Many rows in few statements: one call of the driver, however many rows there are.

A driver that runs a statement once for every row gives Python's global lock away and takes it back
each time; beside a busy event loop every one of these may wait for milliseconds. The texts are made
once: values reach the driver as they are, so columns must be of types that SQLite and PostgreSQL
take from Python, and give back, without help: integers, booleans, text, bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    String,
    Table,
    any_,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import Insert

T = TypeVar("T")

ROWS_MAX = 64
"""Rows of one statement."""

Clause = Callable[[Any], Insert]
"""What follows VALUES, given the dialect's INSERT: ON CONFLICT and the like."""


def insert_rows(
    connection: Connection,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
    clause: Clause | None = None,
) -> None:
    """INSERTs rows, in order. ``clause`` must be one that lasts: its statements are kept.

    With ON CONFLICT no two rows may have the same key: PostgreSQL refuses that.
    """
    for chunk in _chunks(rows):
        text = _insert(connection.dialect.name, table, columns, len(chunk), clause)
        _run(connection, text, tuple(chain.from_iterable(chunk)))


def rows_of(
    connection: Connection,
    columns: tuple[Column[Any], ...],
    keys: Sequence[Any],
    locked: bool = False,
) -> Sequence[Any]:
    """SELECTs the rows whose first column is one of ``keys``.

    ``locked``: nobody else can change them before the transaction ends.
    """
    if not keys:
        return ()
    if len(keys) == 1:
        return _run(connection, _select_one(connection.dialect.name, columns, locked), tuple(keys))
    if connection.dialect.name == "postgresql":
        return _run(connection, _select("postgresql", columns, locked), (list(keys),))
    found = _run(connection, _select("sqlite", columns, locked), (json.dumps(keys),))
    return found if _has_bytes(columns) else json.loads(found[0][0])


def highest(connection: Connection, column: Column[Any]) -> int:
    """The largest number in a column; 0 where there is none."""
    [[found]] = _run(connection, _highest(connection.dialect.name, column), ())
    return int(found or 0)


def stream(
    connection: Connection, text: str, size: int
) -> Generator[Sequence[tuple[Any, ...]], None, None]:
    """SELECTs rows without keeping them: up to ``size`` at a time. Close it."""
    # By its name PostgreSQL knows that not all rows are wanted at once.
    named = {"name": "stream"} if connection.dialect.name == "postgresql" else {}
    cursor: Any = connection.connection.cursor(**named)
    try:
        cursor.execute(text)
        while rows := cursor.fetchmany(size):
            yield rows
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError(text, None, error) from error
    finally:
        cursor.close()


def _run(connection: Connection, text: str, values: tuple[Any, ...]) -> Sequence[Any]:
    """By the driver itself: SQLAlchemy takes ten times as long for it."""
    driver: Any = connection.connection.dbapi_connection
    try:
        cursor = driver.execute(text, values)
        return cursor.fetchall() if cursor.description else []
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError(text, None, error) from error


def _chunks(rows: Sequence[T]) -> Sequence[Sequence[T]]:
    if len(rows) <= ROWS_MAX:
        return (rows,) if rows else ()
    return [rows[at : at + ROWS_MAX] for at in range(0, len(rows), ROWS_MAX)]


@cache
def _insert(
    name: str, table: Table, columns: tuple[str, ...], count: int, clause: Clause | None
) -> str:
    """To compile many rows takes milliseconds, for every number of them: one is repeated."""
    if count > 1:
        before, values, rest = _insert(name, table, columns, 1, clause).partition(" VALUES ")
        row, on_conflict, changes = rest.partition(" ON CONFLICT ")
        return f"{before}{values}{', '.join([row] * count)}{on_conflict}{changes}"
    insert: Any = _DIALECTS[name][0].insert(table)
    if clause is not None:
        insert = clause(insert)
    places = {column: bindparam(column, type_=table.c[column].type) for column in columns}
    # A list of rows: one alone would return its new key on PostgreSQL.
    return _text(name, insert.values([places]), list(columns))


@cache
def _select(name: str, columns: tuple[Column[Any], ...], locked: bool) -> str:
    """One text for any number of keys, which are one value.

    SQLite's driver gives Python's global lock away at every row that it fetches, too: all come as
    one, in JSON, unless there are bytes among them, which JSON has none of.
    """
    if name == "postgresql":
        keys: Any = bindparam("keys", type_=postgresql.ARRAY(columns[0].type))
        query = select(*columns).where(columns[0] == any_(keys))
        return _text(name, query.with_for_update(read=True) if locked else query, ["keys"])
    listed = func.json_each(bindparam("keys", type_=String())).table_valued("value")
    wanted = columns if _has_bytes(columns) else [func.json_group_array(func.json_array(*columns))]
    query = select(*wanted).where(columns[0].in_(select(listed.c.value)))
    return _text(name, query, ["keys"])


@cache
def _select_one(name: str, columns: tuple[Column[Any], ...], locked: bool) -> str:
    query = select(*columns).where(columns[0] == bindparam("key", type_=columns[0].type))
    return _text(name, query.with_for_update(read=True) if locked else query, ["key"])


def _has_bytes(columns: tuple[Column[Any], ...]) -> bool:
    return any(isinstance(column.type, LargeBinary) for column in columns)


@cache
def _highest(name: str, column: Column[Any]) -> str:
    return _text(name, select(func.max(column)), [])


def _text(name: str, statement: Any, parameters: list[str]) -> str:
    """The statement's text, whose parameters are told by their place."""
    module, paramstyle = _DIALECTS[name]
    compiled = statement.compile(dialect=module.dialect(paramstyle=paramstyle))
    assert compiled.positiontup == parameters, compiled.positiontup
    return str(compiled)


_DIALECTS: dict[str, tuple[Any, str]] = {
    "postgresql": (postgresql, "format"),
    "sqlite": (sqlite, "qmark"),
}
