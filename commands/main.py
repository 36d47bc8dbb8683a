"""The ``braid`` command: everything is wired together here and in the modules beside."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Annotated

import typer

from commands.lazy import group_of

EPILOG = (
    "Exit codes: 0 done, 1 unexpected, 2 wrong argument, 3 refused for lack of capacity, "
    "4 not found, 5 nobody answers, 6 not in this state, 7 out of time (the work goes on)."
)

PLACES = {
    "demo": "commands.demo:demo",
    "serve": "commands.serving:serve",
    "agent": "commands.agency:agent",
    "plan": "commands.reservations:plan",
    "reserve": "commands.reservations:reserve",
    "list": "commands.reservations:list_",
    "show": "commands.reservations:show",
    "watch": "commands.reservations:watch",
    "modify": "commands.reservations:modify",
    "migrate": "commands.reservations:migrate",
    "cancel": "commands.reservations:cancel",
    "health": "commands.health:health",
    "topology": "commands.topology:app",
    "cloudnet": "commands.cloudnets:app",
    "doubt": "commands.doubt:app",
    "simulate": "commands.simulate:app",
}
"""Where each command is. Starting a process imports none but the one that is called."""

app = typer.Typer(
    cls=group_of(PLACES),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"braid {version('braid-orchestrator')}")
        raise typer.Exit


@app.callback()
def braid(
    version_: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_tell_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Reserve bandwidth across many networks at once: all of it or nothing."""


def main() -> None:
    """The entry point of the ``braid`` command."""
    # Read when numpy is imported. Arrays here are small: to share a product of two out to threads
    # takes longer than the product, above all where other processes want the cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    app()


if __name__ == "__main__":
    main()
