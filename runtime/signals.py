"""SIGTERM and SIGINT of a service."""

from __future__ import annotations

import asyncio
import signal
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
