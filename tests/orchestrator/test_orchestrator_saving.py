"""What writes cost an SQLite file, counted in steps of its virtual machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection
from test_orchestrator_store import GRANT, creation

from orchestrator import owning
from orchestrator.ports import Changes
from orchestrator.records import committed, failed
from orchestrator.saving import save_all
from protocol.coordinator import Decision
from runtime.database import open_engine
from runtime.schema import upgrade
from substrate.values import replace

LEASE_MS = 60_000


@pytest.fixture
def connection(sqlite_url: str) -> Iterator[Connection]:
    upgrade(sqlite_url, "orchestrator")
    engine = open_engine(sqlite_url)
    with engine.begin() as opened:
        yield opened
    engine.dispose()


def work_of(connection: Connection, action: Callable[[], Any]) -> int:
    """How many steps the database takes for it."""
    driver: Any = connection.connection.driver_connection
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    driver.set_progress_handler(count, 1)
    try:
        action()
    finally:
        driver.set_progress_handler(None, 1)
    return steps


def write(connection: Connection, batch: list[Changes], fence: int = 0) -> None:
    assert save_all(connection, [(changes, fence) for changes in batch]) == [None] * len(batch)


def creations(many: int) -> list[Changes]:
    """The next hundred requests."""
    return [creation(number) for number in range(many * 100, many * 100 + 100)]


def settled(began: Changes, commit: bool) -> Changes:
    """Committed, or failed, and nothing is awaited."""
    (made,), (tx,) = began.records, began.transactions
    made = committed(made, GRANT, 9) if commit else failed(made, (), 9)
    decision = Decision.COMMIT if commit else Decision.ABORT
    return Changes(reservation=made, transactions=(replace(tx, decision=decision),))


def test_what_new_requests_cost_does_not_grow_with_those_before(connection: Connection) -> None:
    batches = [creations(many) for many in range(5)]
    first, *_, last = [work_of(connection, partial(write, connection, each)) for each in batches]
    assert last < 1.1 * first


def test_what_a_heartbeat_costs_does_not_grow_with_what_is_owned_or_over(
    connection: Connection,
) -> None:
    epoch = owning.register(connection, "i", LEASE_MS)
    heartbeat = partial(owning.take, connection, epoch, 10)
    costs = []
    for many in range(3):
        began = creations(many)
        write(connection, began, epoch)
        write(connection, [settled(each, at % 2 == 0) for at, each in enumerate(began)], epoch)
        costs.append(work_of(connection, heartbeat))
    assert costs[0] == costs[-1]
