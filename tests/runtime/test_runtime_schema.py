"""Databases are brought to the newest schema, or refused untouched."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from agents.rows import METADATA as AGENT_METADATA
from braid.v1 import reservations_pb2
from runtime import schema
from runtime.database import open_engine
from runtime.schema import VERSION_TABLES, Branch, SchemaError

BRANCHES: list[Branch] = ["orchestrator", "agent"]


def tables(url: str) -> set[str]:
    engine = open_engine(url)
    with engine.connect() as connection:
        found = set(inspect(connection).get_table_names())
    engine.dispose()
    return found


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@pytest.mark.parametrize("branch", BRANCHES)
def test_an_empty_database_is_brought_to_head_and_down_again(
    database_url: str, branch: Branch
) -> None:
    schema.upgrade(database_url, branch)
    schema.check(database_url, branch)
    assert len(tables(database_url)) > 1

    schema.downgrade(database_url, branch)
    assert tables(database_url) == {VERSION_TABLES[branch]}

    schema.upgrade(database_url, branch)
    schema.check(database_url, branch)


def test_tables_in_code_are_those_that_migrations_make(
    database_url: str, schema_drift: Any
) -> None:
    schema.upgrade(database_url, "agent")
    assert schema_drift(database_url, AGENT_METADATA) == []


def test_drift_is_noticed(database_url: str, schema_drift: Any) -> None:
    schema.upgrade(database_url, "agent")
    engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE agent_parts DROP COLUMN inquiries"))
    engine.dispose()
    assert "inquiries" in str(schema_drift(database_url, AGENT_METADATA))


def test_both_branches_live_in_one_database_of_a_server(postgres_url: str) -> None:
    for branch in BRANCHES:
        schema.upgrade(postgres_url, branch)
    for branch in BRANCHES:
        schema.check(postgres_url, branch)
    schema.downgrade(postgres_url, "agent")
    schema.check(postgres_url, "orchestrator")
    assert "agent_parts" not in tables(postgres_url)


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_file_of_the_other_service_is_refused_untouched(sqlite_url: str, branch: Branch) -> None:
    other = BRANCHES[1 - BRANCHES.index(branch)]
    schema.upgrade(sqlite_url, other)
    content = file_of(sqlite_url).read_bytes()
    with pytest.raises(SchemaError, match=f"is an {other}'s: give the {branch} a file of its own"):
        schema.upgrade(sqlite_url, branch)
    assert file_of(sqlite_url).read_bytes() == content


def test_upgrading_again_keeps_the_rows(database_url: str) -> None:
    schema.upgrade(database_url, "agent")
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO agent_meta VALUES ('domain', 'renet1')"))
    schema.upgrade(database_url, "agent")
    with engine.begin() as connection:
        assert connection.execute(text("SELECT value FROM agent_meta")).scalar() == "renet1"
    engine.dispose()


def test_instances_that_upgrade_at_once_do_not_disturb_each_other(postgres_url: str) -> None:
    command = f"from runtime import schema; schema.upgrade({postgres_url!r}, 'agent')"
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(subprocess.run, [sys.executable, "-c", command], capture_output=True)
            for _ in range(3)
        ]
    assert [run.result().stderr for run in runs] == [b"", b"", b""]
    schema.check(postgres_url, "agent")


def test_check_says_what_to_do_about_an_empty_database(database_url: str) -> None:
    with pytest.raises(SchemaError, match=r"schema 'none', but 'agent_.*start the agent on it"):
        schema.check(database_url, "agent")
    assert tables(database_url) == set()


def test_a_newer_revision_is_refused(database_url: str) -> None:
    schema.upgrade(database_url, "agent")
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE braid_version_agent SET version_num = 'agent_9999'"))
    for action in (schema.upgrade, schema.check):
        with pytest.raises(SchemaError, match=r"'agent_9999', .*newer version"):
            action(database_url, "agent")
    with engine.begin() as connection:
        version = connection.execute(text("SELECT version_num FROM braid_version_agent")).scalar()
    assert version == "agent_9999"
    engine.dispose()


def test_a_database_with_foreign_tables_is_refused_untouched(database_url: str) -> None:
    engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE bookmarks (name TEXT)"))
    engine.dispose()
    before = tables(database_url)
    content = file_of(database_url).read_bytes() if "sqlite" in database_url else b""
    with pytest.raises(SchemaError, match=r"not Braid's \(bookmarks\): give an empty database"):
        schema.upgrade(database_url, "agent")
    if "sqlite" in database_url:
        assert file_of(database_url).read_bytes() == content
    assert tables(database_url) == before


def test_a_file_that_is_no_database_is_refused_untouched(sqlite_url: str) -> None:
    file_of(sqlite_url).write_text("a letter to nobody, longer than the header of a database" * 9)
    content = file_of(sqlite_url).read_bytes()
    with pytest.raises(SchemaError, match="is not an SQLite database: give the path of another"):
        schema.upgrade(sqlite_url, "agent")
    assert file_of(sqlite_url).read_bytes() == content


def test_a_damaged_file_is_refused_untouched(sqlite_url: str, tmp_path: Path) -> None:
    schema.upgrade(sqlite_url, "agent")
    engine = open_engine(sqlite_url)
    with engine.begin() as connection:
        for number in range(2000):
            row = {"key": f"key-{number}", "value": "x" * 50}
            connection.execute(text("INSERT INTO agent_meta VALUES (:key, :value)"), row)
    engine.dispose()
    path = file_of(sqlite_url)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 6000] = b"\xff" * 6000
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=r"is damaged \(.*restore it from a backup"):
        schema.upgrade(sqlite_url, "agent")
    assert path.read_bytes() == content


def test_what_a_killed_process_left_in_the_log_is_kept(sqlite_url: str, tmp_path: Path) -> None:
    schema.upgrade(sqlite_url, "agent")
    engine = open_engine(sqlite_url)
    held = engine.connect()
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO agent_meta VALUES ('domain', 'renet1')"))
    copy = tmp_path / "copy.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{file_of(sqlite_url)}{suffix}", f"{copy}{suffix}")
    held.close()
    engine.dispose()
    schema.upgrade(f"sqlite:///{copy}", "agent")
    with sqlite3.connect(copy) as connection_:
        assert connection_.execute("SELECT value FROM agent_meta").fetchone() == ("renet1",)
    connection_.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "give sqlite:///path/to/file.db"),
        ("sqlite:////nowhere/at/all/braid.db", "the folder /nowhere/at/all does not exist"),
        ("mysql://user@host/name", "no support for 'mysql': possible are"),
        ("no url", "cannot be read: possible are sqlite:///file.db"),
        ("postgresql://user:secret@127.0.0.1:1/name", r"user:\*\*\*@.* cannot be used"),
    ],
)
def test_a_url_that_cannot_be_used_is_explained(url: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        schema.upgrade(url, "agent")
    assert "secret" not in str(caught.value)


def test_a_folder_in_place_of_a_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="Is a directory"):
        schema.upgrade(f"sqlite:///{tmp_path}", "agent")


def test_upgrading_says_nothing(sqlite_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    schema.upgrade(sqlite_url, "agent")
    assert capfd.readouterr() == ("", "")


def test_cloudnets_of_an_older_database_are_known_as_such(database_url: str) -> None:
    schema.upgrade(database_url, "orchestrator", "orchestrator_0002")
    nets = {3, 1005}
    rows = []
    for number in range(1, 1008):
        criteria = reservations_pb2.Reservation(source="a:b")
        if number in nets:
            criteria = reservations_pb2.Reservation(cloudnet=reservations_pb2.CloudNet())
        message = reservations_pb2.ReservationRecord(criteria=criteria)
        values = {"id": f"r{number}", "record": message.SerializeToString()}
        rows.append({**values, "state": 2, "version": 1, "tx": "t", "ms": 1, "end": 2})
    insert = text(
        "INSERT INTO reservation"
        " (reservation_id, state, version, transaction_id, record, created_ms, end_s)"
        " VALUES (:id, :state, :version, :tx, :record, :ms, :end)"
    )
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(insert, rows)
    schema.upgrade(database_url, "orchestrator")
    with engine.connect() as connection:
        query = text("SELECT reservation_id FROM reservation WHERE kind = 2 ORDER BY position")
        found = [row.reservation_id for row in connection.execute(query)]
    engine.dispose()
    assert found == ["r3", "r1005"]
