"""braid simulate model-check: every state of small worlds, and variants that must be caught."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from commands.context import UNEXPECTED, USAGE, AsJson, console, fail, print_json
from simulations.modelcheck.run import Report, check, count
from simulations.modelcheck.scenarios import FULL, UnknownScenarioError, bounds_of
from simulations.modelcheck.weaker import WEAKER

JOBS_USUAL = min(os.cpu_count() or 1, 8)


class Bound(StrEnum):
    """How many scenarios are searched."""

    SMALL = "small"
    FULL = "full"


def model_check(
    bound: Annotated[
        Bound, typer.Option("--bound", help="small: seconds; full: minutes")
    ] = Bound.SMALL,
    only: Annotated[str | None, typer.Option("--only", help="one scenario, by name")] = None,
    seeded: Annotated[
        bool, typer.Option("--seeded/--no-seeded", help="search the weaker variants too")
    ] = True,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, max=256, help="processes at once")
    ] = JOBS_USUAL,
    as_json: AsJson = False,
) -> None:
    """Every state of small worlds: nothing promised is lost, whatever fails when."""
    began_s = time.monotonic()
    try:
        with _progress(count(bound.value, only, seeded)) as done:
            report = check(bound.value, only, seeded, jobs, done)
    except UnknownScenarioError as error:
        fail(f"--only: {error}", USAGE)
    seconds = round(time.monotonic() - began_s, 3)
    if as_json:
        print_json(_as_dict(report, seconds))
    else:
        _show(report, seconds)
    _explain(report)
    if not report.passed:
        raise typer.Exit(UNEXPECTED)


def _as_dict(report: Report, seconds: float) -> dict[str, object]:
    of = len(report.seeded)
    return {
        "states": report.states,
        "violations": len(report.violations),
        "seeded": {"caught": of - len(report.missed), "of": of},
        "seconds": seconds,
    }


def _show(report: Report, seconds: float) -> None:
    table = Table("scenario", "bounds", box=None)
    for name in ("states", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("result")
    for each in report.explored:
        result = "holds" if each.violation is None else "VIOLATED"
        figures = (f"{each.states:,}", f"{each.seconds:.1f}")
        table.add_row(each.scenario, bounds_of(FULL[each.scenario]), *figures, result)
    console().print(table)
    if report.seeded:
        console().print()
        variants = Table("variant", "what is weaker", "result", box=None)
        for each in report.seeded:
            steps = each.violation and len(each.violation.trace)
            result = f"caught in {steps} steps" if steps else "NOT CAUGHT"
            variants.add_row(each.scenario, WEAKER[each.scenario].about, result)
        console().print(variants)
        caught = len(report.seeded) - len(report.missed)
        console().print(f"\nweaker variants caught: {caught} of {len(report.seeded)}")
    violations = len(report.violations)
    console().print(f"{report.states:,} states, {violations} violations, {seconds:.1f} s")


def _explain(report: Report) -> None:
    """The shortest way to each violation, and what was not caught, on standard error."""
    for each in report.violations:
        assert each.violation is not None
        typer.echo(each.violation.text(), err=True)
    for name in report.missed:
        typer.echo(f"not caught: {name}, {WEAKER[name].about}", err=True)


@contextmanager
def _progress(searches: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error, where that is a terminal."""
    columns = (TextColumn("searches"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("searches", total=searches)
        yield lambda: bar.advance(task)
