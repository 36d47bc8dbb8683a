"""Many rows in few statements, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    select,
)
from sqlalchemy.exc import DBAPIError

from runtime.database import open_engine
from runtime.statements import ROWS_MAX, insert_rows, rows_of

THING = Table(
    "thing",
    MetaData(),
    Column("name", String(20), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("good", Boolean, nullable=False),
    Column("body", LargeBinary),
    Column("left_out", Integer, nullable=False, server_default="7"),
)
COLUMNS = ("name", "number", "good", "body")


def over(insert: Any) -> Any:
    values = {"number": insert.excluded.number}
    return insert.on_conflict_do_update(index_elements=["name"], set_=values)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = open_engine(database_url)
    THING.metadata.create_all(engine)
    with engine.begin() as opened:
        yield opened
    engine.dispose()


def things(count: int) -> list[tuple[Any, ...]]:
    return [(f"n{n:04}", n, n % 2 == 0, bytes([n % 256]) if n % 3 else None) for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 3, ROWS_MAX, 2 * ROWS_MAX + 1])
def test_all_rows_are_written_in_order_and_read_again(connection: Connection, count: int) -> None:
    insert_rows(connection, THING, COLUMNS, things(count))
    columns = [THING.c[name] for name in COLUMNS]
    stored = connection.execute(select(*columns, THING.c.left_out)).all()
    assert [tuple(row) for row in stored] == [(*row, 7) for row in things(count)]
    keys = [row[0] for row in things(count)][::2]
    found = rows_of(connection, (THING.c.name, THING.c.number), [*keys, "absent"])
    assert sorted(map(tuple, found)) == [row[:2] for row in things(count)[::2]]
    found = rows_of(connection, tuple(columns), keys)
    assert sorted(map(tuple, found)) == things(count)[::2]


def test_a_clause_says_what_becomes_of_rows_that_are_there(connection: Connection) -> None:
    insert_rows(connection, THING, COLUMNS, things(5), over)
    newer = [(name, 10 + number, not good, b"other") for name, number, good, _ in things(9)]
    insert_rows(connection, THING, COLUMNS, newer, over)
    stored = {row.name: row for row in connection.execute(select(THING))}
    assert [row.number for row in stored.values()] == [10 + n for n in range(9)]
    assert stored["n0002"].body != b"other"
    assert stored["n0008"].body == b"other"


def test_a_row_that_breaks_a_rule_fails_as_any_statement_does(connection: Connection) -> None:
    insert_rows(connection, THING, COLUMNS, things(2))
    with pytest.raises(DBAPIError), connection.begin_nested():
        insert_rows(connection, THING, COLUMNS, things(2))
