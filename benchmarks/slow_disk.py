"""Runs a module as ``python -m`` does, on a disk that is slower to sync.

    python -m benchmarks.slow_disk MILLISECONDS MODULE ARGUMENT...

Every commit of SQLite takes so much longer: in WAL mode it has one fsync.
"""

from __future__ import annotations

import runpy
import sqlite3
import sys
import time
from functools import partial


def main() -> None:
    """See the module."""
    delay_s, module = float(sys.argv[1]) / 1000, sys.argv[2]

    class Slow(sqlite3.Connection):
        def commit(self) -> None:
            time.sleep(delay_s)
            super().commit()

    # By this name SQLAlchemy opens a file.
    sqlite3.dbapi2.connect = partial(sqlite3.connect, factory=Slow)  # type: ignore[assignment]
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
