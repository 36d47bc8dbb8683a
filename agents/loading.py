"""Reads an agent's parts at start: of many in an SQLite file a second process reads half.

python -m agents.loading < what it is to read > what it found
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from subprocess import PIPE, Popen
from typing import Any

import structlog
from sqlalchemy import Connection, select, text

from agents.intake import Intake
from agents.rows import PARTS
from runtime.database import open_engine
from runtime.statements import stream

MANY_ROWS = 100_000
"""With fewer the second process would not be there in time to help."""
CHUNK_ROWS = 256
ALL_PARTS = str(select(PARTS))
SPAN = text(f"SELECT min(rowid), max(rowid) FROM {PARTS.name}")

Row = Sequence[Any]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Half:
    """What the second process is to read: the rows above ``above`` in the file at ``url``.

    ``above`` is an SQLite rowid; ``last_number``: see :class:`agents.intake.Intake`.
    """

    url: str
    above: int
    now_ms: int
    last_number: int


def load_parts(connection: Connection, now_ms: int) -> tuple[Intake, list[Row]]:
    """What sleeps, and the rows of all other parts.

    The transaction must keep others from writing, and have changed no part.
    """
    intake = Intake(now_ms)
    middle = _middle(connection)
    if middle is None:
        return intake, _read(connection, intake)
    first, above = middle
    url = connection.engine.url.render_as_string(hide_password=False)
    with _second_process(_Half(url, above, now_ms, above - first + 1)) as process:
        left = _read(connection, intake, f" WHERE rowid <= {above}")
        found = _found(process)
    if found is None:
        return intake, left + _read(connection, intake, f" WHERE rowid > {above}")
    intake.join(found[0])
    return intake, left + found[1]


def _middle(connection: Connection) -> tuple[int, int] | None:
    """The first rowid, and one about in the middle, where half of the rows are worth a process."""
    if connection.dialect.name != "sqlite" or (os.cpu_count() or 1) < 2:
        return None
    first, last = connection.execute(SPAN).one()
    if first is None or last - first < MANY_ROWS:
        return None
    return first, (first + last) // 2


def _read(connection: Connection, intake: Intake, where: str = "") -> list[Row]:
    """Rows that ``intake`` leaves."""
    with closing(stream(connection, ALL_PARTS + where, CHUNK_ROWS)) as chunks:
        return [row for chunk in chunks for row in intake.take(chunk)]


@contextmanager
def _second_process(half: _Half) -> Iterator[Popen[bytes]]:
    """Reads half at the same time; a process of its own, as one thread runs Python at a time."""
    path = os.pathsep.join(each for each in sys.path if each)
    command = [sys.executable, "-m", "agents.loading"]
    environment = {**os.environ, "PYTHONPATH": path}
    with Popen(command, stdin=PIPE, stdout=PIPE, env=environment) as process:
        try:
            assert process.stdin is not None
            with process.stdin:
                process.stdin.write(json.dumps(asdict(half)).encode())
            yield process
        finally:
            process.kill()


def _found(process: Popen[bytes]) -> tuple[Intake, list[Row]] | None:
    """What the second process has found; None: it has failed."""
    assert process.stdout is not None
    try:
        found: tuple[Intake, list[Row]] = pickle.load(process.stdout)
    except (EOFError, pickle.UnpicklingError) as error:
        _log.warning("the second process has not read its half", error=str(error))
        return None
    return found


def _main() -> None:
    """The second process."""
    half = _Half(**json.load(sys.stdin))
    engine = open_engine(half.url).execution_options(sqlite_begin="DEFERRED")
    intake = Intake(half.now_ms, half.last_number)
    with engine.begin() as connection:
        left = _read(connection, intake, f" WHERE rowid > {half.above}")
    pickle.dump((intake, left), sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    _main()
