"""Runs a module as ``python -m`` does, on a disk that is slower to sync.

    python -m benchmarks.slow_disk MILLISECONDS MODULE ARGUMENT...

Every commit of SQLAlchemy takes so much longer: it has one fsync, with SQLite in WAL mode.
"""

from __future__ import annotations

import runpy
import sys
import time

from sqlalchemy import Engine, event


def main() -> None:
    """See the module."""
    delay_s, module = float(sys.argv[1]) / 1000, sys.argv[2]
    event.listen(Engine, "commit", lambda _connection: time.sleep(delay_s))
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
