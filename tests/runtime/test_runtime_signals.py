"""A service ends in order however often it is told to."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SERVICE = """
import asyncio, atexit, time
from runtime import signals

async def main():
    stopped = asyncio.Event()
    signals.on_stop(stopped.set)
    print("ready", flush=True)
    await stopped.wait()
    await asyncio.sleep(0.2)
    print("over", flush=True)

try:
    asyncio.run(main())
    print("loop closed", flush=True)
    time.sleep(0.5)
finally:
    signals.ignore()
print("ending", flush=True)
atexit.register(time.sleep, 0.5)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_further_signals_change_nothing_until_the_process_is_gone(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        for line in it.stdout:
            it.send_signal(number)
            last = line.strip()
        assert it.wait(10) == 0
    assert last == "ending"
