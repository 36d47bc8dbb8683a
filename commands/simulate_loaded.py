"""braid simulate loaded: success and volume on a network that reservations consume."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from commands.context import USAGE, AsJson, console, fail, print_json
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
from runtime.logs import configure
from runtime.settings import LogSettings
from simulations.canvas import need_matplotlib
from simulations.dask_pool import need_dask, spread_over_dask
from simulations.loaded.figure import plot_loaded
from simulations.loaded.rows import LOADS, RUNS, SEED, Row, Spread, simulate
from simulations.loaded.strategies import SHAPES
from simulations.loaded.world import abilene, read_world
from simulations.pool import spread

LOAD_MAX = 100.0

Loads = Annotated[
    list[float], typer.Option("--load", help="offered load, of the links' capacity; repeatable")
]
Strategies = Annotated[
    list[str], typer.Option("--strategy", help=f"one of {', '.join(SHAPES)}; repeatable")
]
Topology = Annotated[
    Path | None,
    typer.Option(
        "--topology",
        help="a published topology, or a folder that `braid topology import` wrote; else Abilene",
    ),
]
Dask = Annotated[
    str, typer.Option("--dask", metavar="ADDRESS", help="of a Dask scheduler, instead of --jobs")
]


def loaded(
    load: Loads = list(LOADS),  # noqa: B006
    strategy: Strategies = list(SHAPES),  # noqa: B006
    topology: Topology = None,
    seed: Seed = SEED,
    jobs: Jobs = JOBS,
    dask: Dask = "",
    runs: Annotated[
        int, typer.Option("--runs", min=1, max=10_000, help="draws of requests per load")
    ] = RUNS,
    as_json: AsJson = False,
    csv_file: Csv = None,
    plot_file: Plot = None,
) -> None:
    """Success and accepted volume under load, by strategy, beside the offline bound."""
    configure(LogSettings(level="warning", format="console"))
    loads, strategies = list(dict.fromkeys(load)), list(dict.fromkeys(strategy))
    _check(loads, strategies)
    with failing():
        check_folders(csv_file, plot_file)
        if plot_file is not None:
            need_matplotlib()
        if dask:
            need_dask()
        world = abilene() if topology is None else read_world(topology)
        workers: Spread = (
            partial(spread_over_dask, address=dask) if dask else partial(spread, jobs=jobs)
        )
        began_s = time.monotonic()
        with progress(len(loads) * runs) as done:
            rows = simulate(world, loads, strategies, seed, runs, workers, done)
        seconds = round(time.monotonic() - began_s, 3)
        if csv_file is not None:
            write_csv([row.to_dict() for row in rows], csv_file)
        if plot_file is not None:
            plot_loaded(rows, plot_file)
    if as_json:
        found: dict[str, Any] = {"rows": [row.to_dict() for row in rows], "seed": seed}
        print_json({**found, "seconds": seconds})
    else:
        _show(rows)


def _check(loads: Sequence[float], strategies: Sequence[str]) -> None:
    for load in loads:
        if not 0 < load <= LOAD_MAX:
            fail(f"--load: given {load:g}, possible: above 0 to {LOAD_MAX:g}", USAGE)
    for strategy in strategies:
        if strategy not in SHAPES:
            fail(f"--strategy: given '{strategy}', possible: {', '.join(SHAPES)}", USAGE)


def _show(rows: Sequence[Row]) -> None:
    table = Table("load", "strategy", title=f"{rows[0].topology}, seed {rows[0].seed}", box=None)
    for name in ("requests", "success", "bound", "volume", "bound", "by size, small to large"):
        table.add_column(name, justify="right")
    for row in rows:
        shares = (row.success, row.bound_success, row.volume, row.bound_volume)
        table.add_row(
            f"{row.load:g}",
            row.strategy,
            f"{row.requests:,}",
            *(f"{share:.1%}" for share in shares),
            " ".join(f"{share:.0%}" for share in row.fairness),
        )
    console().print(table)
