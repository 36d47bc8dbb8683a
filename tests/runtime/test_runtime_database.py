"""Group commit: shared transactions, and nobody is answered before they are durable."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, event, text

from runtime import database as module
from runtime.database import Database, StorageBusyError, StorageError
from runtime.statements import insert_rows

NUMBERS = Table("t", MetaData(), Column("n", Integer, primary_key=True))


def sql(statement: str) -> module.Operation[None]:
    def run(connection: Connection) -> None:
        connection.execute(text(statement))

    return run


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    await opened.write(sql("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    yield opened
    await opened.close()


def insert(number: int) -> module.Operation[int]:
    def run(connection: Connection) -> int:
        connection.execute(text("INSERT INTO t VALUES (:n)"), {"n": number})
        return number

    return run


def numbers(connection: Connection) -> list[int]:
    return [row[0] for row in connection.execute(text("SELECT n FROM t ORDER BY n"))]


async def test_writes_that_wait_share_a_transaction(database: Database) -> None:
    commits = []
    event.listen(database.engine, "commit", lambda connection: commits.append(connection))
    first = asyncio.create_task(database.write(insert(0)))
    await asyncio.sleep(0)
    rest = await asyncio.gather(first, *(database.write(insert(n)) for n in range(1, 200)))
    assert rest == list(range(200))
    assert len(commits) <= 3
    assert await database.read(numbers) == list(range(200))


async def test_one_that_fails_does_not_take_the_others_along(database: Database) -> None:
    await database.write(insert(3))
    results = await asyncio.gather(
        *(database.write(insert(n)) for n in range(6)), return_exceptions=True
    )
    assert isinstance(results.pop(3), StorageError)
    assert results == [0, 1, 2, 4, 5]
    assert await database.read(numbers) == [0, 1, 2, 3, 4, 5]


async def test_what_an_operation_raises_comes_back_and_undoes_its_writes(
    database: Database,
) -> None:
    def fail(connection: Connection) -> None:
        insert(7)(connection)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await database.write(fail)
    assert await database.read(numbers) == []


async def test_a_caller_that_goes_away_does_not_undo_the_write(database: Database) -> None:
    task = asyncio.create_task(database.write(insert(1)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.write(insert(2))
    assert await database.read(numbers) == [1, 2]


async def test_a_full_queue_refuses(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_LIMIT", 2)
    gate = threading.Event()
    held = asyncio.create_task(database.write(lambda _: gate.wait(10)))
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(database.write(insert(n))) for n in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(StorageBusyError, match="2 database writes are waiting"):
        await database.write(insert(9))
    gate.set()
    await asyncio.gather(held, *waiting)
    assert await database.read(numbers) == [0, 1]


async def test_reads_are_bounded_and_a_caller_that_goes_away_keeps_its_place(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READS_LIMIT", 2)
    gate = threading.Event()
    held = asyncio.create_task(database.read(lambda _: gate.wait(10)))
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(database.read(numbers)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    with pytest.raises(StorageBusyError, match="2 database reads are waiting"):
        await database.read(numbers)
    gate.set()
    assert await held
    assert await waiting[1] == []
    assert await database.read(numbers) == []


async def test_a_read_that_fails_does_not_take_the_others_along(database: Database) -> None:
    await database.write(insert(1))

    def fail(connection: Connection) -> None:
        connection.execute(text("SELECT nothing FROM nowhere"))

    results = await asyncio.gather(
        database.read(numbers),
        database.read(fail),
        database.read(numbers),
        return_exceptions=True,
    )
    assert [results[0], results[2]] == [[1], [1]]
    assert isinstance(results[1], StorageError)


async def test_items_for_the_same_work_are_worked_on_together(database: Database) -> None:
    seen: list[list[int]] = []

    def together(connection: Connection, items: Sequence[int]) -> list[int | Exception]:
        seen.append(list(items))
        wanted = [{"n": item} for item in items if item != 2]
        connection.execute(text("INSERT INTO t VALUES (:n)"), wanted)
        return [KeyError(item) if item == 2 else 10 * item for item in items]

    results = await asyncio.gather(
        *(database.write_with(together, item) for item in (1, 2, 3)),
        database.write(insert(9)),
        database.write_with(together, 4),
        return_exceptions=True,
    )
    assert [results[0], *results[2:]] == [10, 30, 9, 40]
    assert isinstance(results[1], KeyError)
    assert seen == [[1, 2, 3], [4]]
    assert await database.read(numbers) == [1, 3, 4, 9]


async def test_a_closed_database_says_so(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    await database.write(sql("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    await database.close()
    with pytest.raises(StorageError, match="closed"):
        await database.write(insert(1))
    with pytest.raises(StorageError, match="closed"):
        await database.read(numbers)


async def test_a_full_disk_is_a_storage_error(sqlite_url: str) -> None:
    database = Database(sqlite_url)

    def limit(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE t (n INTEGER PRIMARY KEY, x BLOB)"))
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    await database.write(limit)
    with pytest.raises(StorageError, match=r"^database or disk is full$"):
        await database.write(sql("INSERT INTO t VALUES (1, zeroblob(1000000))"))
    assert await database.read(numbers) == []
    await database.close()


async def test_a_file_s_connection_is_kept_until_a_transaction_fails(sqlite_url: str) -> None:
    database, taken = Database(sqlite_url), list[object]()
    event.listen(database.engine, "checkout", lambda connection, *_: taken.append(connection))
    await database.write(sql("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    for number in range(3):
        await database.write(insert(number))
    assert len(taken) == 1
    with pytest.raises(StorageError):
        await database.write(insert(0))
    await database.write(insert(3))
    assert len(taken) == 2
    assert await database.read(numbers) == [0, 1, 2, 3]
    await database.close()


def by_driver(number: int) -> module.Operation[None]:
    def run(connection: Connection) -> None:
        insert_rows(connection, NUMBERS, ("n",), [(number,)])

    return run


async def test_what_only_the_driver_has_run_is_committed_or_undone_too(database: Database) -> None:
    await database.write(by_driver(1))

    def fail(connection: Connection) -> None:
        by_driver(2)(connection)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await database.write(fail)
    with pytest.raises(StorageError):
        await database.write(by_driver(1))
    await asyncio.gather(database.write(by_driver(3)), database.write(insert(4)))
    assert await database.read(numbers) == [1, 3, 4]


async def test_who_closes_it_waits_for_what_is_queued(sqlite_url: str) -> None:
    database, gate = Database(sqlite_url), threading.Event()
    await database.write(sql("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    held = asyncio.create_task(database.write(lambda _: gate.wait(10)))
    await asyncio.sleep(0.05)
    queued = asyncio.create_task(database.write(insert(1)))
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    gate.set()
    await closing
    await asyncio.gather(held, queued)
    again = Database(sqlite_url)
    assert await again.read(numbers) == [1]
    await again.close()


async def test_what_another_holds_locked_is_a_storage_error(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module._SQLITE, "timeout", 0)
    database = Database(sqlite_url)
    await database.write(sql("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    other = module.open_engine(sqlite_url)
    with other.begin(), pytest.raises(StorageError, match="locked"):
        await database.write(insert(1))
    await database.write(insert(1))
    assert await database.read(numbers) == [1]
    other.dispose()
    await database.close()


async def test_all_that_wait_for_a_lock_hear_at_once_that_it_is_not_to_be_had(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module._SQLITE, "timeout", 0)
    database, begun = Database(sqlite_url), list[object]()
    await database.write(sql("CREATE TABLE t (n INTEGER PRIMARY KEY)"))
    by_driver = module._by_driver

    def noted(do: Callable[..., object], *statement: str) -> None:
        begun.extend(statement)
        by_driver(do, *statement)

    other = module.open_engine(sqlite_url)
    with other.begin():
        monkeypatch.setattr(module, "_by_driver", noted)
        results = await asyncio.gather(
            *(database.write(insert(n)) for n in range(5)), return_exceptions=True
        )
    assert [type(result) for result in results] == [StorageError] * 5
    assert begun == ["BEGIN IMMEDIATE"]
    other.dispose()
    await database.close()


async def test_a_commit_that_fails_leaves_no_transaction_open(database: Database) -> None:
    await database.write(
        sql(
            "CREATE TABLE child (n INTEGER PRIMARY KEY, "
            "t INTEGER REFERENCES t(n) DEFERRABLE INITIALLY DEFERRED)"
        )
    )
    with pytest.raises(StorageError, match=r"(?i)foreign key"):
        await database.write(sql("INSERT INTO child VALUES (1, 77)"))
    await database.write(insert(1))
    await database.write(sql("INSERT INTO child VALUES (2, 1)"))

    def children(connection: Connection) -> list[int]:
        return [row[0] for row in connection.execute(text("SELECT n FROM child"))]

    assert await database.read(children) == [2]


def _ends_the_interpreter(_connection: Connection) -> None:
    raise SystemExit(3)


def _finds_nothing(_connection: Connection) -> None:
    next(iter(()))


@pytest.mark.parametrize(
    ("operation", "error"), [(_finds_nothing, RuntimeError), (_ends_the_interpreter, StorageError)]
)
async def test_whatever_an_operation_raises_its_caller_hears_of_it_and_others_go_on(
    database: Database, operation: module.Operation[None], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await asyncio.wait_for(database.write(operation), 10)
    await asyncio.wait_for(database.write(insert(1)), 10)
    assert await database.read(numbers) == [1]


async def test_work_that_has_no_result_for_an_item_is_undone(database: Database) -> None:
    def together(connection: Connection, items: Sequence[int]) -> list[int | Exception]:
        insert(items[0])(connection)
        return []

    with pytest.raises(TypeError, match="0 results of 1 items"):
        await asyncio.wait_for(database.write_with(together, 1), 10)
    await asyncio.wait_for(database.write(insert(2)), 10)
    assert await database.read(numbers) == [2]


async def test_where_no_thread_can_be_started_callers_hear_of_it(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(sqlite_url)

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", start)
        with pytest.raises(StorageError, match="new thread"):
            await asyncio.wait_for(database.write(sql("CREATE TABLE u (n INTEGER)")), 10)
    await asyncio.wait_for(database.write(sql("CREATE TABLE t (n INTEGER PRIMARY KEY)")), 10)
    assert await database.read(numbers) == []
    await database.close()


@pytest.mark.parametrize("first", ["waits", "goes away"])
async def test_who_closes_it_while_another_does_waits_too(sqlite_url: str, first: str) -> None:
    database, gate, broken = Database(sqlite_url), threading.Event(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: broken.append(what))
    held = asyncio.create_task(database.write(lambda _: gate.wait(10)))
    await asyncio.sleep(0.05)
    closing = [asyncio.create_task(database.close()) for _ in range(2)]
    await asyncio.sleep(0)
    if first == "goes away":
        closing[0].cancel()
        await asyncio.sleep(0)
    gate.set()
    _, waiting = await asyncio.wait(closing, timeout=10)
    assert (waiting, broken, await held) == (set(), [], True)
