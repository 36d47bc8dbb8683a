"""What the simulations that make rows share: options, progress, files."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from commands.context import UNEXPECTED, USAGE, fail, reporting
from runtime.settings import SettingsError
from simulations.canvas import PlotError
from simulations.dask_pool import DaskError

Seed = Annotated[int, typer.Option("--seed", min=0, help="of the random numbers")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, max=256, help="processes at once")]
Csv = Annotated[Path | None, typer.Option("--csv", help="write the rows to this file")]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="draw the figure into this file, PNG or .svg")
]

JOBS = min(os.cpu_count() or 1, 8)


def check_folders(*files: Path | None) -> None:
    """Ends the command unless these files can be written, as far as folders go."""
    for file in files:
        if file is not None and not file.parent.is_dir():
            fail(f"{file}: the folder {file.parent} does not exist", USAGE)


@contextmanager
def failing() -> Iterator[None]:
    """Turns what simulations raise into one line and an exit code."""
    with reporting():
        try:
            yield
        except SettingsError as error:
            fail(str(error), USAGE)
        except (PlotError, DaskError) as error:
            fail(str(error), UNEXPECTED)


@contextmanager
def progress(runs: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error, where that is a terminal; call what it yields after each run."""
    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("runs", total=runs)
        yield lambda: bar.advance(task)


def write_csv(rows: list[dict[str, Any]], file: Path) -> None:
    """A table with the names of the first row; what is a list is written with spaces between."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value
