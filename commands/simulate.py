"""braid simulate: the papers' experiments over the shipped code."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from commands.context import UNEXPECTED, USAGE, AsJson, console, fail, print_json, reporting
from commands.simulate_faults import faults
from commands.simulate_model_check import model_check
from runtime.logs import configure
from runtime.settings import LogSettings
from simulations import plots, success_rate, two_domains
from simulations.analytic import full_offers, success_rate as expected_rate

app = typer.Typer(no_args_is_help=True, help="The papers' experiments over the shipped code.")
app.command("faults")(faults)
app.command("model-check")(model_check)

Seed = Annotated[int, typer.Option("--seed", min=0, help="of the random numbers")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, max=256, help="processes at once")]
Runs = Annotated[int, typer.Option("--runs", min=1, max=100_000, help="schedules drawn")]
Requests = Annotated[
    int, typer.Option("--requests", min=1, max=100_000, help="requests drawn per run")
]
Csv = Annotated[Path | None, typer.Option("--csv", help="write the rows to this file")]
Plot = Annotated[Path | None, typer.Option("--plot", help="draw the figure into this PNG file")]

JOBS = min(os.cpu_count() or 1, 8)

R = TypeVar("R", success_rate.Row, two_domains.PairRow)
Simulate = Callable[[Callable[[], None]], Sequence[R]]
Draw = Callable[[Sequence[R], Path], None]


@app.command("success-rate")
def success_rate_(
    seed: Seed = success_rate.SEED,
    jobs: Jobs = JOBS,
    runs: Runs = success_rate.RUNS,
    requests: Requests = success_rate.REQUESTS,
    as_json: AsJson = False,
    csv_file: Csv = None,
    plot_file: Plot = None,
) -> None:
    """Success rate by strategy, for 1 to 4 domains (paper 003, figure 6c)."""
    rows = _experiment(
        lambda done: success_rate.simulate(seed, runs, requests, jobs, done),
        plots.plot_success_rate,
        {"seed": seed, "runs": runs, "json": as_json, "csv": csv_file, "plot": plot_file},
    )
    if not as_json:
        title = f"{rows[0].requests:,} requests per row, seed {seed}"
        table = Table("domains", "visible", "strategy", title=title, box=None)
        _rates(table)
        for row in rows:
            expected = float(expected_rate(row.domains, row.visible, row.strategy))
            names = (str(row.domains), str(row.visible), row.strategy.name.lower())
            table.add_row(*names, *_rate_cells(row.success_rate, expected))
        console().print(table)


@app.command("two-domains")
def two_domains_(
    seed: Seed = success_rate.SEED,
    jobs: Jobs = JOBS,
    runs: Runs = success_rate.RUNS,
    requests: Requests = success_rate.REQUESTS,
    as_json: AsJson = False,
    csv_file: Csv = None,
    plot_file: Plot = None,
) -> None:
    """Two R&E networks, each alone and both together (paper 003, figure 6b)."""
    rows = _experiment(
        lambda done: two_domains.simulate(seed, runs, requests, jobs, done),
        plots.plot_two_domains,
        {"seed": seed, "runs": runs, "json": as_json, "csv": csv_file, "plot": plot_file},
    )
    if not as_json:
        title = f"{rows[0].requests:,} requests per row, seed {seed}"
        table = Table("networks", "strategy", title=title, box=None)
        _rates(table)
        for row in rows:
            networks = row.trial.networks
            cells = _rate_cells(row.success_rate, float(full_offers(len(networks))))
            table.add_row(" + ".join(networks), row.trial.strategy.name.lower(), *cells)
        console().print(table)


def _experiment(simulate: Simulate[R], draw: Draw[R], options: dict[str, Any]) -> Sequence[R]:
    """Runs it, and writes the files that were asked for, and the JSON."""
    configure(LogSettings(level="warning", format="console"))
    with _failing():
        _check_folders(options["csv"], options["plot"])
        if options["plot"] is not None:
            plots.need_matplotlib()
        began_s = time.monotonic()
        with _progress(options["runs"]) as done:
            rows = simulate(done)
        seconds = round(time.monotonic() - began_s, 3)
        if options["csv"] is not None:
            _write_csv([row.to_dict() for row in rows], options["csv"])
        if options["plot"] is not None:
            draw(rows, options["plot"])
    if options["json"]:
        found = {"rows": [row.to_dict() for row in rows], "seed": options["seed"]}
        print_json({**found, "seconds": seconds})
    return rows


def _check_folders(*files: Path | None) -> None:
    for file in files:
        if file is not None and not file.parent.is_dir():
            fail(f"{file}: the folder {file.parent} does not exist", USAGE)


@contextmanager
def _failing() -> Iterator[None]:
    with reporting():
        try:
            yield
        except plots.PlotError as error:
            fail(str(error), UNEXPECTED)


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error, where that is a terminal; call what it yields after each run."""
    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("runs", total=runs)
        yield lambda: bar.advance(task)


def _rates(table: Table) -> None:
    for name in ("success", "analytic", "difference"):
        table.add_column(name, justify="right")


def _rate_cells(found: float, expected: float) -> tuple[str, str, str]:
    return f"{found:.2%}", f"{expected:.2%}", f"{100 * (found - expected):+.2f} pp"


def _write_csv(rows: list[dict[str, Any]], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
