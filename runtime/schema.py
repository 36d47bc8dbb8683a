"""Brings a database to the schema that this version of Braid needs, or says why it cannot.

Two branches of tables, ``orchestrator`` and ``agent``, each with its own version table. A database
that is not ours, damaged, half migrated, or made by a newer version is refused and left as it is,
byte for byte.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from runtime.database import open_engine

Branch = Literal["orchestrator", "agent"]
VERSION_TABLES: dict[Branch, str] = {
    "orchestrator": "braid_version_orchestrator",
    "agent": "braid_version_agent",
}
_SQLITE_MAGIC = b"SQLite format 3\x00"
_ADVISORY_LOCK = 0x627261696400

Tables = Mapping[str, frozenset[str]]
"""Names of tables, and of the columns of each."""

# Alembic keeps the migration that runs in module variables.
_alembic = threading.RLock()


class SchemaError(Exception):
    """A database that cannot be used; the text says why and what to do."""


def upgrade(url: str, branch: Branch, revision: str = "head") -> None:
    """Brings an empty or older database to a schema, the newest, in one transaction.

    Blocks; call it before the event loop serves. Raises SchemaError.
    """
    _run(url, branch, lambda config: command.upgrade(config, revision))


def downgrade(url: str, branch: Branch, revision: str = "base") -> None:
    """Takes a database back to ``revision``; "base": no tables at all. Raises SchemaError."""
    _run(url, branch, lambda config: command.downgrade(config, revision))


def check(url: str, branch: Branch) -> None:
    """Raises SchemaError unless the database is exactly at the newest schema; changes nothing."""
    shown = _shown(_parsed(url))
    with _connected(url, branch) as connection:
        found = _revision(connection, branch, shown)
    newest = _scripts(branch).get_current_head()
    if found != newest:
        raise SchemaError(
            f"{shown} has the {branch}'s schema '{found or 'none'}', but '{newest}' is needed:"
            f" start the {branch} on it, which upgrades it"
        )


def revisions(branch: Branch) -> tuple[str, ...]:
    """All revisions of a branch, the oldest first."""
    return tuple(script.revision for script in _scripts(branch).walk_revisions())[::-1]


def _run(url: str, branch: Branch, action: Callable[[Config], None]) -> None:
    shown = _shown(_parsed(url))
    with _alembic, _connected(url, branch) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        _revision(connection, branch, shown)
        _migrate(connection, branch, action)


def _migrate(connection: Connection, branch: Branch, action: Callable[[Config], None]) -> None:
    config = _config(branch)
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLES[branch]
    action(config)


@contextmanager
def _connected(url: str, branch: Branch) -> Iterator[Connection]:
    """A transaction on the database, once it is known that touching it does no harm."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        _inspect_file(parsed, branch)
    try:
        engine = open_engine(url)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        reason = getattr(error, "orig", None) or error
        raise SchemaError(f"{_shown(parsed)} cannot be used: {reason}") from error


def _revision(connection: Connection, branch: Branch, shown: str) -> str | None:
    """The revision that the database is at; None when the branch is not there yet."""
    tables = set(inspect(connection).get_table_names())
    _refuse_foreign(tables, shown)
    if connection.dialect.name == "sqlite":
        _refuse_others(tables, branch, shown)
    table = VERSION_TABLES[branch]
    found: list[str] = []
    if table in tables:
        rows = connection.execute(text(f"SELECT version_num FROM {table}"))
        found = [str(row[0]) for row in rows]
    if len(found) > 1 or not set(revisions(branch)).issuperset(found):
        raise SchemaError(
            f"{shown} has the {branch}'s schema '{', '.join(sorted(found))}', which this version of"
            " Braid does not know: a newer version made it; run that version or a newer one"
        )
    revision = found[0] if found else None
    _refuse_half(connection, branch, revision, shown)
    return revision


def _refuse_half(connection: Connection, branch: Branch, revision: str | None, shown: str) -> None:
    """Each table must be as the revision says: no migration leaves it otherwise."""
    wanted = _tables_at(branch, revision)
    present = _columns(connection)
    ours = {name for known in revisions(branch) for name in _tables_at(branch, known)}
    for name in sorted(ours):
        columns, expected = present.get(name, frozenset()), wanted.get(name, frozenset())
        missing, extra = sorted(expected - columns), sorted(columns - expected)
        if not missing and not extra:
            continue
        what = f"is without {', '.join(missing)}" if missing else f"has {', '.join(extra)}"
        raise SchemaError(
            f"{shown} says that it has the {branch}'s schema '{revision or 'none'}', but its table"
            f" {name} {what}: it was copied or changed in part; restore it from a backup"
        )


@cache
def _tables_at(branch: Branch, revision: str | None) -> Tables:
    """The tables that a revision has, found by making it in memory."""
    if revision is None:
        return {}
    engine = create_engine("sqlite://")
    try:
        with _alembic, engine.begin() as connection:
            _migrate(connection, branch, lambda config: command.upgrade(config, revision))
            found = _columns(connection)
    finally:
        engine.dispose()
    return {name: found[name] for name in found if name != VERSION_TABLES[branch]}


def _columns(connection: Connection) -> Tables:
    found = inspect(connection).get_multi_columns()
    return {name: frozenset(c["name"] for c in columns) for (_, name), columns in found.items()}


def _inspect_file(url: URL, branch: Branch) -> None:
    """Looks at an SQLite file without changing it; a missing or empty one is fine."""
    if url.database in (None, "", ":memory:"):
        raise SchemaError("sqlite:// without a file keeps nothing: give sqlite:///path/to/file.db")
    path = Path(str(url.database))
    shown = _shown(url)
    if not path.parent.is_dir():
        raise SchemaError(f"{shown}: the folder {path.parent} does not exist: make it first")
    try:
        if not path.exists() or path.stat().st_size == 0:
            return
        with path.open("rb") as file:
            magic = file.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise SchemaError(f"{shown} cannot be read: {error.strerror}") from error
    if magic != _SQLITE_MAGIC:
        raise SchemaError(f"{shown} is not an SQLite database: give the path of another file")
    engine = _open_untouched(path)
    try:
        with engine.connect() as connection:
            verdict = str(connection.execute(text("PRAGMA quick_check(1)")).scalar_one())
            if verdict == "ok":
                _revision(connection, branch, shown)
    except DatabaseError as error:
        verdict = str(error.orig)
    finally:
        engine.dispose()
    if verdict != "ok":
        verdict = " ".join(verdict.split())
        raise SchemaError(f"{shown} is damaged ({verdict}): restore it from a backup")


def _refuse_others(tables: set[str], branch: Branch, shown: str) -> None:
    """A file is one service's; of a server's database, each branch may have its tables."""
    for other in VERSION_TABLES:
        if other != branch and VERSION_TABLES[other] in tables:
            raise SchemaError(f"{shown} is an {other}'s: give the {branch} a file of its own")


def _open_untouched(path: Path) -> Engine:
    """Reads a file without leaving anything beside it."""
    logged = any(Path(f"{path}{suffix}").exists() for suffix in ("-wal", "-journal"))
    # A mere reader of a file in WAL mode leaves an empty log behind, unless the file is immutable:
    # that it is when no process has it open, and then there is no log.
    mode = "mode=ro" if logged else "mode=ro&immutable=1"
    uri = f"{path.resolve().as_uri()}?{mode}"
    opening = partial(sqlite3.connect, uri, uri=True)
    return create_engine("sqlite://", creator=opening, poolclass=NullPool)


def _refuse_foreign(tables: set[str], shown: str) -> None:
    if tables and tables.isdisjoint(VERSION_TABLES.values()):
        names = ", ".join(sorted(tables)[:5])
        raise SchemaError(
            f"{shown} holds tables that are not Braid's ({names}): give an empty database"
        )


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SchemaError(
            "the database's URL cannot be read: possible are sqlite:///file.db and"
            " postgresql://user@host/name"
        ) from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql", "postgres"):
        raise SchemaError(
            f"{_shown(parsed)}: there is no support for '{parsed.get_backend_name()}':"
            " possible are sqlite:///file.db and postgresql://user@host/name"
        )
    return parsed


def _shown(url: URL) -> str:
    return f"the database {url.render_as_string(hide_password=True)}"


def _config(branch: Branch) -> Config:
    config = Config()
    config.set_main_option("script_location", "migrations:")
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", f"migrations:versions_{branch}")
    return config


def _scripts(branch: Branch) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(branch))
