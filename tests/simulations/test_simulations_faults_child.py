"""Work in a forked process: its result, its error, or its death."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os
from simulations.faults.child import ChildError, in_child

def twice(number):
    return [os.getpid(), 2 * number]

pid, number = in_child(twice, 21)
assert pid != os.getpid() and number == 42
assert len(in_child(lambda size: b"x" * size, 3_000_000)) == 3_000_000
try:
    in_child(lambda _: {}["nothing"], 0)
except ChildError as error:
    assert "KeyError: 'nothing'" in str(error)
else:
    raise SystemExit("no error")
try:
    in_child(lambda _: os._exit(7), 0)
except ChildError as error:
    assert "ended with status" in str(error)
else:
    raise SystemExit("no death")
for _ in range(50):
    in_child(twice, 1)
print(len(os.listdir("/proc/self/fd")))
"""


def test_results_errors_and_deaths() -> None:
    # In a process of its own: this one may have threads, which a fork does not take along.
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 10
