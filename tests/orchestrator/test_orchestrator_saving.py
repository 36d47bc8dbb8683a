"""What writes cost an SQLite file, counted in steps of its virtual machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection
from test_orchestrator_store import creation

from orchestrator.ports import Changes
from orchestrator.saving import save_all
from runtime.database import open_engine
from runtime.schema import upgrade


@pytest.fixture
def connection(sqlite_url: str) -> Iterator[Connection]:
    upgrade(sqlite_url, "orchestrator")
    engine = open_engine(sqlite_url)
    with engine.begin() as opened:
        yield opened
    engine.dispose()


def work_of(connection: Connection, batch: list[Changes]) -> int:
    """How many steps it takes to write them."""
    driver: Any = connection.connection.driver_connection
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    driver.set_progress_handler(count, 1)
    try:
        assert save_all(connection, [(changes, 0) for changes in batch]) == [None] * len(batch)
    finally:
        driver.set_progress_handler(None, 1)
    return steps


def test_what_new_requests_cost_does_not_grow_with_those_before(connection: Connection) -> None:
    first, *_, last = [
        work_of(connection, [creation(number) for number in range(many * 100, many * 100 + 100)])
        for many in range(5)
    ]
    assert last < 1.1 * first
