"""Every revision of both branches: up, down, without drift, and from what was released."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import released_databases as released
from sqlalchemy import MetaData, inspect, text

from agents.rows import METADATA as AGENT_TABLES
from commands.context import UNEXPECTED
from orchestrator.tables import metadata as ORCHESTRATOR_TABLES
from runtime import schema
from runtime.database import open_engine
from runtime.schema import VERSION_TABLES, Branch, SchemaError

BRANCHES: list[Branch] = ["orchestrator", "agent"]
TABLES: dict[Branch, MetaData] = {"orchestrator": ORCHESTRATOR_TABLES, "agent": AGENT_TABLES}
FIRST_TABLE: dict[Branch, str] = {"orchestrator": "reservation", "agent": "agent_parts"}

pytestmark = pytest.mark.parametrize("branch", BRANCHES)


def shape(url: str) -> dict[str, Any]:
    """Tables with their columns, types, defaults, indexes and keys."""
    engine = open_engine(url)
    with engine.connect() as connection:
        found = inspect(connection)
        result = {
            table: (
                [
                    (c["name"], str(c["type"]), c["nullable"], c["default"])
                    for c in sorted(found.get_columns(table), key=lambda c: c["name"])
                ],
                sorted(
                    (i["name"] or "", tuple(i["column_names"])) for i in found.get_indexes(table)
                ),
                found.get_pk_constraint(table)["constrained_columns"],
                [key["constrained_columns"] for key in found.get_foreign_keys(table)],
            )
            for table in sorted(found.get_table_names())
        }
    engine.dispose()
    return result


def execute(url: str, *statements: str) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def content(url: str) -> Any:
    """Everything that a refusal must leave alone: a folder's files, or tables and their shape."""
    if not url.startswith("sqlite"):
        return shape(url)
    folder = Path(url.removeprefix("sqlite:///")).parent
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def refused(url: str, branch: Branch, message: str) -> None:
    """A start on this database is refused, and leaves it untouched."""
    before = content(url)
    for action in (schema.upgrade, schema.check, schema.downgrade):
        with pytest.raises(SchemaError, match=message):
            action(url, branch)
    assert content(url) == before


# Up and down --------------------------------------------------------------------------------------


def test_a_branch_is_one_line_of_revisions(branch: Branch) -> None:
    found = schema.revisions(branch)
    assert found == tuple(f"{branch}_{number:04}" for number in range(1, len(found) + 1))
    assert released.revisions(branch) == list(found[: len(released.revisions(branch))])


def test_each_revision_goes_down_and_up_again(database_url: str, branch: Branch) -> None:
    made: dict[str, Any] = {}
    for revision in schema.revisions(branch):
        schema.upgrade(database_url, branch, revision)
        made[revision] = shape(database_url)
    assert len({str(value) for value in made.values()}) == len(made)
    for revision in reversed(schema.revisions(branch)):
        assert shape(database_url) == made[revision]
        below = "base" if revision.endswith("_0001") else "-1"
        schema.downgrade(database_url, branch, below)
        schema.upgrade(database_url, branch, revision)
        assert shape(database_url) == made[revision]
        schema.downgrade(database_url, branch, below)
    assert set(shape(database_url)) == {VERSION_TABLES[branch]}


def test_code_and_migrations_make_the_same_tables(
    database_url: str, branch: Branch, schema_drift: Callable[[str, MetaData], list[Any]]
) -> None:
    schema.upgrade(database_url, branch)
    assert schema_drift(database_url, TABLES[branch]) == []
    assert set(shape(database_url)) == {*TABLES[branch].tables, VERSION_TABLES[branch]}


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE {} ADD COLUMN more TEXT",
        "CREATE INDEX more ON {} (reservation_id)",
        "ALTER TABLE {} DROP COLUMN version",
    ],
)
def test_drift_of_columns_and_indexes_is_noticed(
    database_url: str,
    branch: Branch,
    change: str,
    schema_drift: Callable[[str, MetaData], list[Any]],
) -> None:
    schema.upgrade(database_url, branch)
    column = {"orchestrator": "version", "agent": "inquiries"}[branch]
    execute(database_url, change.format(FIRST_TABLE[branch]).replace("version", column))
    assert len(schema_drift(database_url, TABLES[branch])) == 1


def test_drift_of_types_and_defaults_is_noticed(
    postgres_url: str, branch: Branch, schema_drift: Callable[[str, MetaData], list[Any]]
) -> None:
    schema.upgrade(postgres_url, branch)
    table, column, other = {
        "orchestrator": ("reservation_part", "domain", "'x'"),
        "agent": ("agent_parts", "heuristic", "true"),
    }[branch]
    execute(postgres_url, f"ALTER TABLE {table} ALTER {column} SET DEFAULT {other}")
    assert "modify_default" in str(schema_drift(postgres_url, TABLES[branch]))
    execute(postgres_url, f"ALTER TABLE {table} ALTER part_id TYPE bigint USING 0")
    assert "modify_type" in str(schema_drift(postgres_url, TABLES[branch]))


# From what was released ---------------------------------------------------------------------------


def rows(url: str, branch: Branch, revision: str, today: bool = False) -> dict[str, list[Any]]:
    """All rows, in the columns that the tables had at a revision; those that they have today."""
    engine = open_engine(url)
    found = {}
    with engine.connect() as connection:
        for table, columns in sorted(schema._tables_at(branch, revision).items()):
            kept = columns & set(TABLES[branch].tables[table].c.keys()) if today else columns
            names = ", ".join(sorted(kept))
            values = connection.execute(text(f"SELECT {names} FROM {table}"))
            found[table] = sorted(tuple(map(repr, row)) for row in values)
    engine.dispose()
    return found


def test_every_row_of_a_released_version_is_kept_up_and_down(
    database_url: str, branch: Branch
) -> None:
    for revision in released.revisions(branch):
        name = "west" if branch == "agent" else ""
        released.restore(database_url, branch, revision, name)
        before = rows(database_url, branch, revision)
        kept = rows(database_url, branch, revision, today=True)
        assert all(kept[table] for table in kept if table != "domain_target")
        schema.upgrade(database_url, branch)
        schema.check(database_url, branch)
        assert rows(database_url, branch, revision, today=True) == kept
        schema.downgrade(database_url, branch, revision)
        assert rows(database_url, branch, revision) == before
        schema.downgrade(database_url, branch)


# Refusals -----------------------------------------------------------------------------------------


def test_an_unknown_revision_is_refused(database_url: str, branch: Branch) -> None:
    schema.upgrade(database_url, branch)
    execute(database_url, f"UPDATE {VERSION_TABLES[branch]} SET version_num = '{branch}_9999'")
    refused(database_url, branch, rf"'{branch}_9999'.* newer version made it; run that version")


def test_two_revisions_at_once_are_refused(database_url: str, branch: Branch) -> None:
    schema.upgrade(database_url, branch)
    execute(database_url, f"INSERT INTO {VERSION_TABLES[branch]} VALUES ('{branch}_9999')")
    refused(database_url, branch, "does not know.* run that version or a newer one")


@pytest.mark.parametrize("cut", ["version", "table", "column", "rows"])
def test_half_migrated_is_refused(database_url: str, branch: Branch, cut: str) -> None:
    schema.upgrade(database_url, branch)
    statement = {
        "version": f"UPDATE {{}} SET version_num = '{branch}_0001'",
        "table": f"DROP TABLE {max(TABLES[branch].tables)}",
        "column": {
            "orchestrator": "ALTER TABLE reservation_transaction DROP COLUMN states",
            "agent": "ALTER TABLE agent_parts DROP COLUMN heuristic",
        }[branch],
        "rows": "DELETE FROM {}",
    }[cut]
    execute(database_url, statement.format(VERSION_TABLES[branch]))
    refused(database_url, branch, r"its table \w+ (is without|has) .*restore it from a backup")


def test_tables_of_others_are_refused(database_url: str, branch: Branch) -> None:
    schema.upgrade(database_url, branch)
    execute(database_url, f"DROP TABLE {VERSION_TABLES[branch]}")
    refused(database_url, branch, r"not Braid's \(.*\): give an empty database")


def test_a_file_in_another_journal_mode_stays_in_it_when_refused(
    sqlite_url: str, branch: Branch
) -> None:
    schema.upgrade(sqlite_url, branch)
    execute(sqlite_url, f"UPDATE {VERSION_TABLES[branch]} SET version_num = 'other'")
    copy = f"{sqlite_url}.copy"
    engine = open_engine(sqlite_url).execution_options(sqlite_begin="DEFERRED")
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.rollback()
        driver.execute(f"VACUUM INTO '{copy.removeprefix('sqlite:///')}'")
    engine.dispose()
    refused(copy, branch, "newer version made it")


# As processes -------------------------------------------------------------------------------------


def service(branch: Branch, url: str, folder: Path) -> list[str]:
    """The command that starts the service of a branch on a database."""
    braid = [sys.executable, "-m", "commands.main"]
    if branch == "orchestrator":
        return [*braid, "serve", "--insecure", "--listen", "127.0.0.1:0", "--database", url]
    config = folder / "agent.yaml"
    ports = [f"{{name: {name}, capacity: 100G, vlans: 100-199}}" for name in ("west", "east")]
    config.write_text(
        f"{{domain: m1, backend: wan, insecure: true, listen: '127.0.0.1:0', database: '{url}',"
        f" ports: [{', '.join(ports)}]}}"
    )
    return [*braid, "agent", str(config)]


@pytest.mark.parametrize("harm", ["newer", "half", "foreign", "corrupt"])
def test_a_service_refuses_to_start_and_says_what_to_do(
    sqlite_url: str, tmp_path_factory: pytest.TempPathFactory, branch: Branch, harm: str
) -> None:
    version = VERSION_TABLES[branch]
    if harm == "foreign":
        execute(sqlite_url, "CREATE TABLE bookmarks (name TEXT)")
    else:
        schema.upgrade(sqlite_url, branch)
    if harm == "newer":
        execute(sqlite_url, f"UPDATE {version} SET version_num = 'newest'")
    if harm == "half":
        execute(sqlite_url, f"UPDATE {version} SET version_num = '{branch}_0001'")
    if harm == "corrupt":
        path = Path(sqlite_url.removeprefix("sqlite:///"))
        path.write_bytes(path.read_bytes()[:1000] + b"\xff" * 9000)
    before = content(sqlite_url)

    command = service(branch, sqlite_url, tmp_path_factory.mktemp("config"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    told = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert done.returncode == UNEXPECTED, done.stderr
    assert len(told) == 1
    assert told[0].startswith("braid: the database sqlite:///")
    advice = {
        "newer": "run that version or a newer one",
        "half": "restore it from a backup",
        "foreign": "give an empty database",
        "corrupt": "restore it from a backup",
    }
    assert told[0].endswith(advice[harm])
    assert done.stdout == ""
    assert content(sqlite_url) == before


def test_a_service_upgrades_what_was_released_and_serves(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, branch: Branch
) -> None:
    revision = released.revisions(branch)[0]
    released.restore(database_url, branch, revision, "m1" if branch == "agent" else "")
    command = service(branch, database_url, tmp_path_factory.mktemp("config"))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        assert b'"listening"' in process.stdout.readline()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    schema.check(database_url, branch)
