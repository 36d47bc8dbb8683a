"""Plays one schedule from beginning to end, in a loop of its own."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Never

import structlog
from grpc.aio import AioRpcError

from orchestrator.ports import ConflictError, LostError, StaleEpochError
from runtime.database import StorageError
from simulations.clock import StalledError
from simulations.faults.loop import FaultLoop
from simulations.faults.plan import Schedule
from simulations.faults.stage import Stage

EXPECTED = (StorageError, LostError, ConflictError, StaleEpochError, AioRpcError)
"""What faults may make the code log as errors."""

EXPECTED_WORDS = frozenset({"commit could not be decided"})
"""Said with a ValueError when a domain was restored at that moment: the hold is gone."""


SWEEP_EVERY = 8
"""Runs between two collections of garbage."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to; ``trace`` only if it was wanted."""

    schedule: Schedule
    reservations: int
    faults: Mapping[str, int]
    violations: tuple[str, ...]
    trace: tuple[str, ...] = ()


def play(schedule: Schedule, trace: bool = False) -> Outcome:
    """Runs a schedule. What it does depends on nothing else."""
    return next(play_all([schedule], trace))


def play_all(schedules: Iterable[Schedule], trace: bool = False) -> Iterator[Outcome]:
    """Runs one schedule after another."""
    for several in _batches(schedules, SWEEP_EVERY):
        # What is swept up says nothing either.
        with _quiet([]), _without_cycles():
            outcomes = play_unswept(several, trace)
        yield from outcomes


def play_unswept(schedules: Iterable[Schedule], trace: bool = False) -> list[Outcome]:
    """Runs one schedule after another, and leaves about 1 MB of garbage of each."""
    heard: list[str] = []
    outcomes = []
    with _quiet(heard):
        for schedule in schedules:
            outcomes.append(_play(schedule, trace, heard))
            heard.clear()
    return outcomes


def _play(schedule: Schedule, trace: bool, heard: list[str]) -> Outcome:
    loop = FaultLoop(f"order {schedule.seed}")
    loop.set_exception_handler(lambda _loop, context: _unheard(heard, context))
    stage = Stage(loop, schedule, trace)
    try:
        loop.run_until_complete(stage.play())
    except StalledError as error:
        heard.append(f"stalled: {error}")
    except Exception as error:
        raise RuntimeError(f"schedule {schedule.seed} could not be played") from error
    finally:
        loop.close()
    return Outcome(
        schedule,
        len(schedule.of("reserve", "cloudnet")),
        Counter(stage.counts),
        (*stage.checker.violations, *dict.fromkeys(heard)),
        tuple(stage.lines or ()),
    )


def _is_expected(error: object) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_expected, error.exceptions))
    return isinstance(error, EXPECTED)


def _unheard(heard: list[str], context: Mapping[str, Any]) -> None:
    error = context.get("exception")
    if not _is_expected(error):
        heard.append(f"internal error: {context.get('message')}: {error!r}")


@contextmanager
def _quiet(heard: list[str]) -> Iterator[None]:
    """Nothing is logged; errors that no fault explains are ``heard``.

    Tasks of killed processes are dropped where they stood; what their clean-up says is of no
    interest, as a killed process has none.
    """
    before, hook = structlog.get_config(), sys.unraisablehook

    def hear(_logger: object, _name: str, entry: MutableMapping[str, Any]) -> Never:
        error = sys.exc_info()[1] if entry.get("exc_info") is True else entry.get("exc_info")
        # Without an exception it tells operators what a fault did: the checker judges that.
        if error and not _is_expected(error) and entry.get("event") not in EXPECTED_WORDS:
            heard.append(f"internal error: {entry.get('event')}: {error!r}")
        raise structlog.DropEvent

    structlog.configure(
        processors=[hear],
        wrapper_class=structlog.make_filtering_bound_logger(40),
        cache_logger_on_first_use=False,
    )
    sys.unraisablehook = lambda _unraisable: None
    try:
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning), _untracked():
            yield
    finally:
        sys.unraisablehook = hook
        structlog.configure(**before)


@contextmanager
def _untracked() -> Iterator[None]:
    """asyncio keeps no list of all tasks: nobody asks, and it costs a twentieth of the time."""
    tasks: Any = getattr(asyncio.tasks, "_all_tasks", None)
    if tasks is None or "add" in vars(tasks):
        yield
        return
    tasks.add = bool
    try:
        yield
    finally:
        del tasks.add


def _batches(schedules: Iterable[Schedule], size: int) -> Iterator[list[Schedule]]:
    rest = iter(schedules)
    while batch := list(islice(rest, size)):
        yield batch


@contextmanager
def _without_cycles() -> Iterator[None]:
    """No cyclic garbage is collected meanwhile: when depends on what ran before."""
    enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()
        if enabled:
            gc.enable()
