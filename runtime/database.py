"""One writer per database: queued operations share a transaction, answered when it is synced.

Design, section 8: group commit. Operations are plain functions of a SQLAlchemy connection and run
in one thread, so a batch costs one hop and one fsync however many callers wait for it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import groupby
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from types import TracebackType
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

_log = structlog.get_logger(__name__)

T = TypeVar("T")
Item = TypeVar("Item")
Operation = Callable[[Connection], T]
Together = Callable[[Connection, Sequence[Item]], Sequence[T | Exception]]
"""Works on many items at once; for each its result, or why nothing of it was written."""
Begin = Callable[[], AbstractContextManager[Connection]]

BATCH_LIMIT = 512
QUEUE_LIMIT = 10_000
READS_LIMIT = 10_000
HANGING_S = 5


class StorageError(Exception):
    """The database could not make a write durable (full disk, lost connection)."""


class WrongDatabaseError(Exception):
    """The database belongs to another domain or orchestrator."""


class StorageBusyError(StorageError):
    """A queue is full: ``limit`` of ``what`` are waiting. Try again later."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"{limit} {what} are waiting, the most that may")
        self.what, self.limit = what, limit


@dataclass(slots=True)
class _Pending:
    together: Together[Any, Any]
    item: Any
    done: asyncio.Future[Any]


_SQLITE = {"timeout": 30, "check_same_thread": False, "cached_statements": 1024}
"""``cached_statements``: runtime.statements has a text for every number of rows."""


def open_engine(url: str) -> Engine:
    """An engine for ``sqlite:///file`` (WAL, synchronous=FULL, BEGIN IMMEDIATE) or ``postgresql://…``.

    Raises sqlalchemy.exc.ArgumentError for a URL that SQLAlchemy cannot read.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args=_SQLITE)
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed, pool_pre_ping=True)
    event.listen(engine, "connect", _configure_postgresql)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _configure_postgresql(connection: Any, _record: Any) -> None:
    # A process that hangs within a transaction must not keep others from theirs.
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{HANGING_S}s'")
    connection.commit()


def _begin_immediate(connection: Connection) -> None:
    driver: Any = connection.connection.dbapi_connection
    if not driver.in_transaction:
        begin = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
        _by_driver(driver.execute, f"BEGIN {begin}")


def _by_driver(do: Callable[..., object], *statement: str) -> None:
    """What SQLite's driver does by itself, without the seventy calls that SQLAlchemy takes."""
    try:
        do(*statement)
    except sqlite3.Error as error:
        raise DBAPIError("".join(statement), None, error) from error


class Database:
    """A database with one writing thread and one reading thread; made for one event loop."""

    def __init__(self, url: str, opening: Operation[None] | None = None) -> None:
        """``opening`` runs first in every writing transaction."""
        self.engine = open_engine(url)
        begin_writing: Begin = self.engine.begin
        begin_reading: Begin = self.engine.execution_options(sqlite_begin="DEFERRED").begin
        self._kept: tuple[_Kept, ...] = ()
        if self.engine.dialect.name == "sqlite":
            self._kept = _Kept(self.engine, "BEGIN IMMEDIATE"), _Kept(self.engine, "BEGIN DEFERRED")
            begin_writing, begin_reading = (kept.begin for kept in self._kept)
        self._writes = _Lane("writes", lambda: QUEUE_LIMIT, begin_writing, self._observe, opening)
        self._reads = _Lane("reads", lambda: READS_LIMIT, begin_reading, self._observe)
        self._closed = False
        self.observe: Callable[[str, int, float], None] = lambda lane, size, duration_s: None
        """Hears of every batch: which lane, how many operations, how long; in another thread."""

    def waiting(self) -> dict[str, int]:
        """How many operations wait for their turn, by lane."""
        return {"writes": self._writes.waiting, "reads": self._reads.waiting}

    async def write(self, operation: Operation[T]) -> T:
        """Runs ``operation`` in a transaction shared with others and returns after its commit.

        ``operation`` may run twice (when another one in its batch fails), so it must have no effect
        but on the connection; never once its commit was asked for. Raises StorageError (it may have
        happened all the same), StorageBusyError at once when QUEUE_LIMIT writes wait, or what
        ``operation`` raised.
        """
        return await self.write_with(_one_by_one, operation)

    async def write_with(self, together: Together[Item, T], item: Item) -> T:
        """As :meth:`write`, with all items that wait one after the other for the same ``together``.

        Raises the exception that it has for the item; one that it raises itself undoes the batch,
        whose items are then written one by one.
        """
        self._must_be_open()
        result: T = await self._writes.run(together, item)
        return result

    async def read(self, operation: Operation[T]) -> T:
        """Runs ``operation`` in a read-only transaction shared with others that wait.

        Raises StorageError, StorageBusyError at once when READS_LIMIT reads wait, or what
        ``operation`` raised.
        """
        return await self.read_with(_one_by_one, operation)

    async def read_with(self, together: Together[Item, T], item: Item) -> T:
        """As :meth:`read`, with all items that wait one after the other for ``together``."""
        self._must_be_open()
        result: T = await self._reads.run(together, item)
        return result

    async def close(self) -> None:
        """Finishes what is queued and closes every connection."""
        self._closed = True
        await self._writes.close()
        await self._reads.close()
        for kept in self._kept:
            kept.close()
        self.engine.dispose()

    def _must_be_open(self) -> None:
        if self._closed:
            raise StorageError("the database is closed")

    def _observe(self, lane: str, size: int, duration_s: float) -> None:
        self.observe(lane, size, duration_s)


class _Kept:
    """One connection from one transaction to the next, until one fails: for a file of SQLite.

    To take one from the pool and give it back is a hundred calls, for each batch, and so it is to
    let SQLAlchemy begin and commit. A server's connection may be lost in between, and the pool asks
    before it gives one out.
    """

    def __init__(self, engine: Engine, statement: str) -> None:
        """``statement`` begins a transaction."""
        self._engine, self._statement = engine, statement
        self._connection: Connection | None = None

    def begin(self) -> _Kept:
        """A transaction for the length of a block. One thread at a time."""
        return self

    def __enter__(self) -> Connection:
        connection = self._connection = self._connection or self._engine.connect()
        try:
            driver: Any = connection.connection.dbapi_connection
            _by_driver(driver.execute, self._statement)
        except BaseException:
            self.close()
            raise
        return connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        connection = self._connection
        assert connection is not None
        committed = False
        try:
            if kind is None and connection.in_transaction():
                # SQLAlchemy takes what it was given to execute for a transaction of its own.
                connection.commit()
            elif kind is None:
                driver: Any = connection.connection.dbapi_connection
                _by_driver(driver.commit)
            committed = kind is None
        finally:
            if not committed:
                self.close()

    def close(self) -> None:
        """Gives the connection up, and what it has not committed."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            # What a failed commit leaves open, SQLAlchemy takes for ended.
            _by_driver(connection.connection.rollback)
        except SQLAlchemyError:
            connection.invalidate()
        connection.close()


class _Lane:
    """One thread that takes all that has queued through one transaction after the other.

    It is a daemon: what was not committed when the process ends was not answered either.
    """

    def __init__(
        self,
        name: str,
        limit: Callable[[], int],
        begin: Begin,
        observe: Callable[[str, int, float], None],
        opening: Operation[None] | None = None,
    ) -> None:
        self._name, self._limit, self._begin, self._observe = name, limit, begin, observe
        self._opening = opening
        self._queue: list[_Pending] = []
        self._given: SimpleQueue[tuple[asyncio.AbstractEventLoop, list[_Pending]] | None]
        self._given = SimpleQueue()
        self._thread = Thread(target=self._work, name=f"database-{name}", daemon=True)
        self._busy = False
        self._rest: asyncio.Event | None = None

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def run(self, together: Together[Any, Any], item: Any) -> Any:
        """The item's result, whatever becomes of its caller. Raises StorageBusyError at once."""
        if len(self._queue) >= self._limit():
            raise StorageBusyError(f"database {self._name}", self._limit())
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        self._queue.append(_Pending(together, item, done))
        if not self._busy:
            self._busy = True
            # Whatever else is asked for at this moment shares its transaction.
            loop.call_soon(self._give, loop)
        return await done

    async def close(self) -> None:
        """Finishes what is queued."""
        if self._busy:
            self._rest = self._rest or asyncio.Event()
            await self._rest.wait()
        if self._thread.ident is not None:
            self._given.put(None)
            self._thread.join()

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._queue = self._queue[:BATCH_LIMIT], self._queue[BATCH_LIMIT:]
        try:
            if self._thread.ident is None:
                self._thread.start()
        except RuntimeError as error:
            # The machine has no thread to give; it may have one for who comes next.
            self._take(loop, batch, [StorageError(str(error)) for _ in batch])
        else:
            self._given.put((loop, batch))

    def _take(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Pending], outcomes: list[Any]
    ) -> None:
        """Answers a batch, and gives the thread the next one."""
        for pending, outcome in zip(batch, outcomes, strict=True):
            _settle(pending.done, outcome)
        if self._queue:
            self._give(loop)
            return
        self._busy = False
        if self._rest is not None:
            self._rest.set()

    def _work(self) -> None:
        """What the thread does. An executor takes sixty calls to hand a batch over."""
        while (given := self._given.get()) is not None:
            loop, batch = given
            try:
                outcomes = self._timed(batch)
            except BaseException as error:
                # Whatever it is: without the thread nobody is answered any more.
                _log.exception("batch broke")
                outcomes = [StorageError(repr(error)) for _ in batch]
            # Nobody waits for it any more where the loop is closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._take, loop, batch, outcomes)

    def _timed(self, batch: list[_Pending]) -> list[Any]:
        began_s = perf_counter()
        outcomes = self._run(batch)
        try:
            self._observe(self._name, len(batch), perf_counter() - began_s)
        except Exception:
            _log.exception("batch not measured")
        return outcomes

    def _run(self, batch: list[_Pending]) -> list[Any]:
        """The result of each item, or the exception that it ended with."""
        results: list[Any] = []
        begun = False
        try:
            with self._begin() as connection:
                begun = True
                if self._opening is not None:
                    self._opening(connection)
                for together, run in groupby(batch, key=lambda pending: pending.together):
                    items = [pending.item for pending in run]
                    found = together(connection, items)
                    if len(found) != len(items):
                        raise TypeError(f"{len(found)} results of {len(items)} items")
                    results += found
            return results
        except Exception as error:
            if not begun or len(results) == len(batch):
                # To wait for a lock once more for each of them would take minutes. Or the commit
                # failed, or only its answer: run again they might find their own doing.
                return [_failure(error) for _ in batch]
            if len(batch) > 1:
                return [self._run([pending])[0] for pending in batch]
            return [_failure(error)]


def _one_by_one(connection: Connection, operations: Sequence[Operation[Any]]) -> list[Any]:
    return [operation(connection) for operation in operations]


def _failure(error: Exception) -> Exception:
    """What an operation ended with, as its caller hears of it."""
    if isinstance(error, StopIteration):
        # No future takes it.
        return RuntimeError(repr(error))
    if not isinstance(error, SQLAlchemyError):
        return error
    failure = StorageError(_reason(error))
    failure.__cause__ = error
    return failure


def _reason(error: SQLAlchemyError) -> str:
    """What the database said, without the statement and its values."""
    return str(getattr(error, "orig", None) or error)


def _settle(done: asyncio.Future[Any], outcome: Any) -> None:
    if done.done():
        # Who waited for it has gone away.
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
        done.exception()  # Heard, in case nobody waits for it any more.
    else:
        done.set_result(outcome)
