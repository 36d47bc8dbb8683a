"""Spreads independent work over processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

from runtime.logs import configure
from runtime.settings import LogSettings

T = TypeVar("T")
R = TypeVar("R")


def spread(
    work: Callable[[T], R], items: Sequence[T], jobs: int, done: Callable[[], None] = lambda: None
) -> list[R]:
    """``work`` of every item, in the order of the items whatever finishes first.

    ``jobs`` processes (1: this one), at most one per item, started anew: gRPC does not survive a
    fork. ``work`` must be a module's function then. ``done`` is called after each item. Raises what
    ``work`` raises, for the earliest to fail.
    """
    if min(jobs, len(items)) <= 1:
        return [_counted(work(item), done) for item in items]
    processes, context = min(jobs, len(items)), get_context("spawn")
    with ProcessPoolExecutor(processes, context, _quiet) as executor:
        futures = [executor.submit(work, item) for item in items]
        try:
            for future in as_completed(futures):
                _counted(future.result(), done)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _quiet() -> None:
    """A new process logs only what is wrong, and never on standard output."""
    configure(LogSettings(level="warning", format="console"))


def _counted(result: R, done: Callable[[], None]) -> R:
    done()
    return result
