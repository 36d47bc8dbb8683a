"""Databases as released versions of Braid left them: SQL text below released/, one file each.

Each was written by the code of its revision: six reservations between the sites west and east over
m1 and m2, in windows of the year 2100, when the process was killed.

    kept         COMMITTED over both paths
    moved        COMMITTED, changed once
    failed       FAILED
    gone         CANCELLED while m1 was away: it is still to be told
    changing     COMMITTED, and a Modify of it is being negotiated (request "change")
    negotiating  held by west and east, not yet answered by m2
"""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from runtime import schema
from runtime.database import open_engine
from runtime.schema import Branch

FOLDER = Path(__file__).parent / "released"
DOMAINS = ("east", "m1", "m2", "west")
REQUESTS = ("kept", "moved", "failed", "gone", "changing", "negotiating")


def revisions(branch: Branch) -> list[str]:
    """The revisions that have been released, the oldest first."""
    return sorted({path.stem[: len(branch) + 5] for path in FOLDER.glob(f"{branch}_*.sql")})


def restore(url: str, branch: Branch, revision: str, name: str = "") -> None:
    """Makes an empty database one of ``revision``, with the rows of ``name``."""
    schema.upgrade(url, branch, revision)
    content = (FOLDER / f"{'_'.join(filter(None, (revision, name)))}.sql").read_text()
    engine = open_engine(url)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            content = re.sub(r"X'([0-9a-f]*)'", r"'\\x\1'::bytea", content)
        for statement in filter(None, content.split(";\n")):
            connection.exec_driver_sql(statement.replace("%", "%%"))
        _continue_numbers(connection)
    engine.dispose()


def _continue_numbers(connection: Connection) -> None:
    """PostgreSQL counts on from where the rows end; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in inspect(connection).get_table_names():
        for column in inspect(connection).get_columns(table):
            if column.get("autoincrement"):
                name = column["name"]
                sequence = f"pg_get_serial_sequence('{table}', '{name}')"
                last = f"(SELECT coalesce(max({name}), 0) + 1 FROM {table})"
                connection.execute(text(f"SELECT setval({sequence}, {last}, false)"))
