"""Reads an agent's parts at start: of many in an SQLite file a second process reads a share.

    python -m agents.loading < what it is to read > what it has found

This process reads pieces from the first on, the second one from the last, until they meet. Two
threads would take turns: only one of them runs Python at a time.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from queue import SimpleQueue
from subprocess import PIPE, Popen
from threading import Thread
from typing import IO, Any

import structlog
from sqlalchemy import Connection, select, text

from agents.intake import Intake
from agents.rows import PARTS
from runtime.database import open_engine
from runtime.statements import stream
from substrate.values import dataclass

MANY_ROWS = 100_000
"""With fewer the second process would not be there in time to help."""
PIECE_ROWS = 32_768
CHUNK_ROWS = 256
"""Of larger chunks the first rows have left the processor's cache when they are looked at."""
FAR = 1 << 32
"""Numbers of reservations above it are given by the second process."""
ALL_PARTS = str(select(PARTS))
SPAN = text(f"SELECT min(rowid), max(rowid) FROM {PARTS.name}")

Row = Sequence[Any]
Found = tuple[Intake, list[Row]]
"""What sleeps of some rows, and the others."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Task:
    """All parts in the SQLite file at ``url``, whose rowids are from ``first`` to ``last``."""

    url: str
    now_ms: int
    first: int
    last: int
    piece_rows: int

    def pieces(self) -> list[str]:
        """Conditions, each of which takes in about as many rows."""
        size = self.piece_rows
        firsts = range(self.first, self.last + 1, size)
        return [f" WHERE rowid BETWEEN {at} AND {at + size - 1}" for at in firsts]


def load_parts(connection: Connection, now_ms: int) -> Found:
    """What sleeps, and the rows of all other parts.

    The transaction must keep others from writing, and have changed no part.
    """
    intake = Intake(now_ms)
    task = _task(connection, now_ms)
    if task is None:
        return intake, _read(connection, intake)
    with _second_process(task) as found:
        return intake, _share(connection, intake, task.pieces(), found)


def _task(connection: Connection, now_ms: int) -> _Task | None:
    """What is worth a second process, if it is."""
    if connection.dialect.name != "sqlite" or (os.cpu_count() or 1) < 2:
        return None
    first, last = connection.execute(SPAN).one()
    if first is None or last - first < MANY_ROWS:
        return None
    url = connection.engine.url.render_as_string(hide_password=False)
    return _Task(url, now_ms, first, last, PIECE_ROWS)


def _share(
    connection: Connection, intake: Intake, pieces: list[str], found: SimpleQueue[Found | None]
) -> list[Row]:
    """Takes all pieces into ``intake``; the rows that it leaves."""
    left: list[Row] = []
    at, end, helped = 0, len(pieces), True
    while at < end:
        # The second process is at work on the last of them.
        if helped and (at == end - 1 or not found.empty()):
            other = found.get()
            if other is None:
                _log.warning("the second process has failed: the agent starts more slowly")
                helped = False
                continue
            intake.join(other[0])
            left += other[1]
            end -= 1
        else:
            left += _read(connection, intake, pieces[at])
            at += 1
    return left


def _read(connection: Connection, intake: Intake, where: str = "") -> list[Row]:
    """Rows that ``intake`` leaves."""
    with closing(stream(connection, ALL_PARTS + where, CHUNK_ROWS)) as chunks:
        return [row for chunk in chunks for row in intake.take(chunk)]


@contextmanager
def _second_process(task: _Task) -> Iterator[SimpleQueue[Found | None]]:
    """Reads pieces, the last first, while the block lasts; None after the last one of all."""
    found: SimpleQueue[Found | None] = SimpleQueue()
    command = [sys.executable, "-m", "agents.loading", json.dumps(asdict(task))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        process = Popen(command, stdout=PIPE, env=environment)
    except OSError:
        found.put(None)
        yield found
        return
    with process:
        assert process.stdout is not None
        receiver = Thread(target=_receive, args=(process.stdout, found), name="pieces")
        receiver.start()
        try:
            yield found
        finally:
            process.kill()
            receiver.join()


def _receive(source: IO[bytes], found: SimpleQueue[Found | None]) -> None:
    try:
        while True:
            found.put(pickle.load(source))
    except (EOFError, pickle.UnpicklingError):
        pass
    finally:
        # Whatever happens here, nobody must wait for more.
        found.put(None)


def _main() -> None:
    """The second process."""
    task = _Task(**json.loads(sys.argv[1]))
    engine = open_engine(task.url).execution_options(sqlite_begin="DEFERRED")
    last_number = FAR
    with engine.begin() as connection:
        for piece in reversed(task.pieces()):
            intake = Intake(task.now_ms, last_number)
            left = _read(connection, intake, piece)
            last_number = intake.last_number
            pickle.dump((intake, left), sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main()
