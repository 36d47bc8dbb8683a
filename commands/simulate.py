"""braid simulate: the papers' experiments over the shipped code."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="The papers' experiments over the shipped code.")
