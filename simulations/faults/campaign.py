"""Many schedules over several processes, and what they come to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from multiprocessing import parent_process

from simulations.faults.bugs import BUGS
from simulations.faults.child import in_child
from simulations.faults.draw import draw
from simulations.faults.plan import Schedule
from simulations.faults.run import Outcome, play, play_all, play_unswept
from simulations.faults.shrink import shrink
from simulations.pool import spread

CHUNK = 25
"""Schedules that a process plays before it reports."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A schedule that violates something. ``number``: which one of its seed."""

    number: int
    schedule: Schedule
    violations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """What a campaign came to: how much was played, faults by kind, and what failed."""

    schedules: int = 0
    reservations: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failures: tuple[Failure, ...] = ()

    @staticmethod
    def of(number: int, outcome: Outcome) -> Totals:
        """Of a single schedule."""
        failures: tuple[Failure, ...] = ()
        if outcome.violations:
            failures = (Failure(number, outcome.schedule, outcome.violations),)
        return Totals(1, outcome.reservations, Counter(outcome.faults), failures)

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.schedules + other.schedules,
            self.reservations + other.reservations,
            self.faults + other.faults,
            self.failures + other.failures,
        )


@dataclass(frozen=True, slots=True)
class _Chunk:
    seed: int
    first: int
    count: int
    bug: str


def campaign(
    seed: int,
    first: int,
    schedules: int,
    jobs: int,
    bug: str = "",
    done: Callable[[int], None] = lambda _count: None,
) -> Totals:
    """Plays schedules ``first`` to ``first + schedules`` of a seed, the same whatever ``jobs``.

    ``done`` is called with how many more are over.
    """
    chunks = [
        _Chunk(seed, at, min(CHUNK, first + schedules - at), bug)
        for at in range(first, first + schedules, CHUNK)
    ]
    sizes = iter([chunk.count for chunk in chunks])
    played = spread(_play_chunk, chunks, jobs, lambda: done(next(sizes)))
    return reduce(Totals.__add__, played, Totals())


def fault_of(bug: str) -> AbstractContextManager[object]:
    """The shipped code with a bug put in; with none for an empty name."""
    return BUGS[bug].put_in() if bug else nullcontext()


def play_with(schedule: Schedule, bug: str = "", trace: bool = False) -> Outcome:
    """As ``run.play``, with a bug put in."""
    with fault_of(bug):
        return play(schedule, trace)


def shortest(failure: Failure, bug: str = "") -> Schedule:
    """The shortest reproduction found: it violates the same, or part of the same."""
    kinds = {kind_of(violation) for violation in failure.violations}

    def fails(candidate: Schedule) -> bool:
        found = {kind_of(violation) for violation in play(candidate).violations}
        return bool(found & kinds)

    with fault_of(bug):
        return shrink(failure.schedule, fails)


def kind_of(violation: str) -> str:
    """A violation without the names and numbers in it."""
    words = [word for word in violation.split() if not any(c.isdigit() for c in word)]
    return " ".join(islice(words, 8))


def _play_chunk(chunk: _Chunk) -> Totals:
    numbers = range(chunk.first, chunk.first + chunk.count)
    schedules = [draw(chunk.seed, number) for number in numbers]
    # A process that was started for this has nothing that a fork could break, as gRPC's threads.
    apart = parent_process() is not None and hasattr(os, "fork")
    with fault_of(chunk.bug):
        outcomes = in_child(play_unswept, schedules) if apart else list(play_all(schedules))
    each = [Totals.of(*found) for found in zip(numbers, outcomes, strict=True)]
    return reduce(Totals.__add__, each, Totals())
