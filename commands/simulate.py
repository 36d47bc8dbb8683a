"""braid simulate: the papers' experiments over the shipped code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.table import Table

from commands.context import AsJson, console, print_json
from commands.experiments import (
    JOBS,
    Csv,
    Jobs,
    Plot,
    Seed,
    check_folders,
    failing,
    progress,
    write_csv,
)
from commands.simulate_embedding import embedding
from commands.simulate_faults import faults
from commands.simulate_loaded import loaded
from commands.simulate_model_check import model_check
from runtime.logs import configure
from runtime.settings import LogSettings
from simulations import plots, success_rate, two_domains
from simulations.analytic import full_offers, success_rate as expected_rate
from simulations.canvas import need_matplotlib

app = typer.Typer(no_args_is_help=True, help="The papers' experiments over the shipped code.")
app.command("loaded")(loaded)
app.command("embedding")(embedding)
app.command("faults")(faults)
app.command("model-check")(model_check)

Runs = Annotated[int, typer.Option("--runs", min=1, max=100_000, help="schedules drawn")]
Requests = Annotated[
    int, typer.Option("--requests", min=1, max=100_000, help="requests drawn per run")
]

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
    with failing():
        check_folders(options["csv"], options["plot"])
        if options["plot"] is not None:
            need_matplotlib()
        began_s = time.monotonic()
        with progress(options["runs"]) as done:
            rows = simulate(done)
        seconds = round(time.monotonic() - began_s, 3)
        if options["csv"] is not None:
            write_csv([row.to_dict() for row in rows], options["csv"])
        if options["plot"] is not None:
            draw(rows, options["plot"])
    if options["json"]:
        found = {"rows": [row.to_dict() for row in rows], "seed": options["seed"]}
        print_json({**found, "seconds": seconds})
    return rows


def _rates(table: Table) -> None:
    for name in ("success", "analytic", "difference"):
        table.add_column(name, justify="right")


def _rate_cells(found: float, expected: float) -> tuple[str, str, str]:
    return f"{found:.2%}", f"{expected:.2%}", f"{100 * (found - expected):+.2f} pp"
