"""braid simulate embedding: requests of VNodes and VLinks on a substrate, beside baselines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from commands.context import USAGE, AsJson, console, fail, print_json
from commands.experiments import Jobs, Plot, Seed, check_folders, failing, progress
from embedding.objectives import OBJECTIVES
from runtime.logs import configure
from runtime.settings import LogSettings
from simulations.canvas import need_matplotlib
from simulations.embedding.baselines import BASELINES
from simulations.embedding.draw import Demand, draw_substrate
from simulations.embedding.figure import plot_embedding
from simulations.embedding.rows import Row, Settings, Source, simulate
from simulations.embedding.scenario import VNODES_MAX, read_scenario
from simulations.schedules import dice

POSSIBLE = "possible: above 0, and finite"
DRAWN = ("substrate", "requests", "rate", "lifetime", "vnodes", "runs", "seed")
"""What says nothing to a scenario that is read."""


def embedding(
    context: typer.Context,
    scenario: Annotated[
        Path | None, typer.Option("--scenario", help="replay the requests in this file")
    ] = None,
    substrate: Annotated[
        str,
        typer.Option("--substrate", help="waxman, fat-tree-K, or the file of a topology"),
    ] = "waxman",
    objective: Annotated[
        str, typer.Option("--objective", help=f"one of {', '.join(OBJECTIVES)}")
    ] = "cost",
    time_limit: Annotated[
        float, typer.Option("--time-limit", help="seconds of programs per request; 0: none")
    ] = 0.0,
    requests: Annotated[
        int, typer.Option("--requests", min=1, max=100_000, help="requests drawn per run")
    ] = 1000,
    rate: Annotated[float, typer.Option("--rate", help="arrivals per unit of time")] = 0.14,
    lifetime: Annotated[float, typer.Option("--lifetime", help="mean, in units of time")] = 500.0,
    vnodes: Annotated[
        int, typer.Option("--vnodes", min=2, max=VNODES_MAX, help="most VNodes of a request")
    ] = 10,
    seed: Seed = 1,
    runs: Annotated[int, typer.Option("--runs", min=1, max=1000, help="scenarios drawn")] = 1,
    jobs: Jobs = 1,
    as_json: AsJson = False,
    plot_file: Plot = None,
) -> None:
    """Acceptance, revenue to cost and time of embedding requests, beside GRC and NRM."""
    configure(LogSettings(level="warning", format="console"))
    _check(objective, {"--rate": rate, "--lifetime": lifetime}, time_limit)
    if scenario is not None:
        _check_alone(context)
    with failing():
        check_folders(plot_file)
        if plot_file is not None:
            need_matplotlib()
        read = None if scenario is None else read_scenario(scenario)
        if read is None:
            draw_substrate(substrate, dice("check", seed, 0))
        demand = Demand(requests, rate, lifetime, (2, vnodes))
        source = Source(read, substrate, demand, seed)
        with progress(runs * (1 + len(BASELINES))) as done:
            settings = Settings(objective, time_limit)
            rows = simulate(source, settings, runs=runs, jobs=jobs, done=done)
        title = read.name if read else substrate
        if plot_file is not None:
            plot_embedding(rows, title, plot_file)
    if as_json:
        print_json(_json(rows))
    else:
        _show(rows, title)


def _check(objective: str, above_0: dict[str, float], time_limit: float) -> None:
    if objective not in OBJECTIVES:
        fail(f"--objective: given '{objective}', possible: {', '.join(OBJECTIVES)}", USAGE)
    for option, value in above_0.items():
        if not 0 < value < float("inf"):
            fail(f"{option}: given {value:g}, {POSSIBLE}", USAGE)
    if not 0 <= time_limit <= 3600:
        fail(f"--time-limit: given {time_limit:g}, possible: 0 to 3600", USAGE)


def _check_alone(context: typer.Context) -> None:
    for name in DRAWN:
        said = context.get_parameter_source(name)
        if said is not None and said.name == "COMMANDLINE":
            fail(f"--{name}: not together with --scenario, which says it", USAGE)


def _json(rows: Sequence[Row]) -> dict[str, Any]:
    braid, *others = rows
    baselines = {row.name: row.to_dict() for row in others}
    return {**braid.to_dict(), "proven_share": braid.proven_share, "baselines": baselines}


def _show(rows: Sequence[Row], title: str) -> None:
    table = Table("", title=f"{title}, {rows[0].requests:,} requests", box=None)
    for name in ("accepted", "revenue/cost", "ms p50", "ms p99", "proven"):
        table.add_column(name, justify="right")
    for i, row in enumerate(rows):
        table.add_row(
            row.name,
            f"{row.acceptance:.1%}",
            f"{row.revenue_to_cost:.3f}",
            f"{row.ms_p50:.1f}",
            f"{row.ms_p99:.1f}",
            "" if i else f"{row.proven_share:.1%}",
        )
    console().print(table)
