"""Where drawings of CloudNets go: to the terminal, or into a file."""

from __future__ import annotations

import shutil
from pathlib import Path

import typer

from commands.context import UNEXPECTED, USAGE, fail
from commands.drawing_figure import draw as draw_figure
from commands.drawing_text import drawing
from commands.mapping import Mapping
from simulations.canvas import PlotError, need_matplotlib

LEAST_WIDTH = 40


def check_drawing(png: Path | None) -> None:
    """Ends the command, before anything is asked, where a figure cannot be drawn."""
    if png is None:
        return
    if not png.parent.is_dir():
        fail(f"--png: the folder {png.parent} does not exist", USAGE)
    try:
        need_matplotlib()
    except PlotError as error:
        fail(f"--png: {error}", UNEXPECTED)


def draw_mapping(mapping: Mapping, subtitle: str, draw: bool, png: Path | None) -> None:
    """As wide as the terminal, 80 characters where there is none; and into the file."""
    if draw:
        width = max(shutil.get_terminal_size().columns, LEAST_WIDTH)
        typer.echo("\n" + "\n".join(drawing(mapping, width)))
    if png is not None:
        try:
            draw_figure(mapping, subtitle, png)
        except PlotError as error:
            fail(f"--png: {error}", UNEXPECTED)
