"""What the long-running processes share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Annotated, Any

import typer
import uvloop

from commands.context import UNEXPECTED, USAGE, fail
from runtime import signals, telemetry
from runtime.database import StorageError, WrongDatabaseError
from runtime.interpreter import tune
from runtime.schema import SchemaError
from runtime.server import ListenError
from runtime.settings import SettingsError, TelemetrySettings

STDIN = 0

UntilStdinCloses = Annotated[
    bool,
    typer.Option(
        "--until-stdin-closes", help="end as by SIGTERM when standard input does: with a parent"
    ),
]


def trace(settings: TelemetrySettings | None, service: str) -> None:
    """Begins to trace, if that is set. Ends the process where it cannot."""
    try:
        telemetry.configure(settings, service)
    except SettingsError as error:
        fail(str(error), USAGE)


def run(service: Coroutine[Any, Any, None], until_stdin_closes: bool) -> None:
    """Runs a service until it stops; what it cannot live with ends the process with a reason."""
    tune()
    if until_stdin_closes:
        signals.end_with(STDIN)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(service)
        signals.ignore()
    except SettingsError as error:
        fail(str(error), USAGE)
    except (SchemaError, WrongDatabaseError, ListenError, StorageError) as error:
        fail(str(error), UNEXPECTED)


def say(address: str, service: str) -> None:
    """The first line on standard output: where it listens, for whoever started the process."""
    typer.echo(json.dumps({"listening": address, "service": service}))
