"""braid simulate faults: the shipped code under every kind of failure, in virtual time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from commands.context import UNEXPECTED, USAGE, AsJson, console, fail, print_json, reporting
from runtime.logs import configure
from runtime.settings import LogSettings
from simulations.faults.bugs import BUGS
from simulations.faults.campaign import Failure, Totals, campaign, play_with, shortest
from simulations.faults.draw import draw
from simulations.faults.plan import PlanError, Schedule, from_json, to_json
from simulations.faults.run import Outcome

JOBS_USUAL = min(os.cpu_count() or 1, 256)
TELL_EVERY_S = 10.0
SHOWN = 3
"""Failing schedules that are made shorter and printed."""

Replay = Annotated[
    Path | None, typer.Option("--replay", help="play the schedule in this file instead")
]
Trace = Annotated[
    Path | None, typer.Option("--trace", help="write what the first schedule does to this file")
]
Out = Annotated[
    Path | None, typer.Option("--out", help="write the shortest reproduction to this file")
]


def faults(
    schedules: Annotated[
        int, typer.Option("--schedules", min=1, max=10_000_000, help="schedules played")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of the random numbers")] = 1,
    first: Annotated[
        int, typer.Option("--first", min=0, help="the number of the first schedule of the seed")
    ] = 0,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, max=256, help="processes at once")
    ] = JOBS_USUAL,
    bug: Annotated[
        str, typer.Option("--bug", help=f"put a bug into the code: {', '.join(BUGS)}")
    ] = "",
    replay: Replay = None,
    trace: Trace = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Crashes, partitions, lost writes and messages: nothing promised may be lost."""
    configure(LogSettings(level="warning", format="console"))
    if bug and bug not in BUGS:
        fail(f"--bug: given '{bug}', possible: {', '.join(BUGS)}", USAGE)
    began_s = time.monotonic()
    with reporting():
        if replay is not None:
            totals = _replayed(_read(replay), bug, trace)
        else:
            totals = _played(seed, first, schedules, jobs, bug)
            if trace is not None:
                _write(trace, play_with(draw(seed, first), bug, trace=True))
    _tell(totals, time.monotonic() - began_s, as_json)
    for failure in totals.failures[:SHOWN]:
        _explain(failure, bug, out)
        out = None
    if totals.failures:
        raise typer.Exit(UNEXPECTED)


def _played(seed: int, first: int, schedules: int, jobs: int, bug: str) -> Totals:
    with _progress(schedules) as done:
        return campaign(seed, first, schedules, jobs, bug, done)


def _replayed(schedule: Schedule, bug: str, trace: Path | None) -> Totals:
    outcome = play_with(schedule, bug, trace=trace is not None)
    if trace is not None:
        _write(trace, outcome)
    return Totals.of(0, outcome)


def _tell(totals: Totals, seconds: float, as_json: bool) -> None:
    found = {
        "schedules": totals.schedules,
        "reservations": totals.reservations,
        "faults": totals.faults.total(),
        "violations": len(totals.failures),
        "seconds": round(seconds, 3),
    }
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        console().print(f"{name:>12}  {value:,}")
    for kind, count in sorted(totals.faults.items()):
        console().print(f"{kind:>12}  {count:,}", style="dim")


def _explain(failure: Failure, bug: str, out: Path | None) -> None:
    """The shortest reproduction on standard error, and in a file."""
    schedule = shortest(failure, bug)
    outcome = play_with(schedule, bug)
    text = to_json(schedule)
    typer.echo(f"schedule {failure.number} violates:", err=True)
    for violation in outcome.violations:
        typer.echo(f"  {violation}", err=True)
    typer.echo("repeat it with --replay and a file of this:", err=True)
    typer.echo(text, err=True)
    if out is not None:
        out.write_text(text, encoding="utf-8")


def _read(file: Path) -> Schedule:
    try:
        return from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"--replay: {file}: {error.strerror}", USAGE)
    except (UnicodeDecodeError, PlanError) as error:
        fail(f"--replay: {file}: {error}", USAGE)


def _write(file: Path, outcome: Outcome) -> None:
    try:
        file.write_text("".join(f"{line}\n" for line in outcome.trace), encoding="utf-8")
    except OSError as error:
        fail(f"--trace: {file}: {error.strerror}", USAGE)


@contextmanager
def _progress(schedules: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; where that is no terminal, a line now and then."""
    if not sys.stderr.isatty():
        yield _lines(schedules)
        return
    columns = (TextColumn("schedules"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("schedules", total=schedules)
        yield lambda count: bar.advance(task, count)


def _lines(schedules: int) -> Callable[[int], None]:
    began_s = told_s = time.monotonic()
    over = 0

    def done(count: int) -> None:
        nonlocal over, told_s
        over += count
        now_s = time.monotonic()
        if now_s - told_s >= TELL_EVERY_S:
            told_s = now_s
            a_minute = 60 * over / (now_s - began_s)
            typer.echo(f"{over:,} of {schedules:,} schedules, {a_minute:,.0f} a minute", err=True)

    return done
