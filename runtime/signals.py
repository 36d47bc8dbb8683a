"""SIGTERM and SIGINT of a service."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

NUMBERS = (signal.SIGTERM, signal.SIGINT)


def on_stop(call: Callable[[], None]) -> None:
    """From now on SIGTERM and SIGINT call this in the running loop; once the loop is over, nothing.

    Not with the loop's own handlers: those end with it, and a second signal, sent while the
    process is about to end in order, would kill it.
    """
    loop = asyncio.get_running_loop()

    def heard(*_: object) -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(call)

    for number in NUMBERS:
        signal.signal(number, heard)


def ignore() -> None:
    """For the end of a process: the interpreter takes handlers away before it is done."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def end_with(descriptor: int) -> None:
    """SIGTERM for this process once nothing can be read from there any more.

    The other end of a pipe is closed with the process that holds it, also by SIGKILL.
    """

    def wait() -> None:
        with suppress(OSError):
            # Not by sys.stdin: its lock would be held when the interpreter ends.
            while os.read(descriptor, 1 << 16):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="end-with", daemon=True).start()
