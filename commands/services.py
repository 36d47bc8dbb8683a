"""serve and agent: the long-running processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from agents.settings import RunningAgent, load_settings as load_agent_settings, run_agent
from commands.context import UNEXPECTED, USAGE, fail
from orchestrator.main import run_orchestrator
from orchestrator.settings import load_settings
from runtime import signals, telemetry
from runtime.database import StorageError, WrongDatabaseError
from runtime.interpreter import tune
from runtime.logs import configure
from runtime.schema import SchemaError
from runtime.server import ListenError
from runtime.settings import SettingsError, TelemetrySettings

Listen = Annotated[str | None, typer.Option("--listen", help="host:port; port 0: any free one")]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database", help="sqlite:///file.db or postgresql://user@host/name")
]


def serve(
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file, see docs/configuration.md")
    ] = None,
    listen: Listen = None,
    database: DatabaseUrl = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="serve and connect without TLS")
    ] = False,
    instance_id: Annotated[
        str | None, typer.Option("--instance-id", help="its name among instances on one database")
    ] = None,
    domain: Annotated[
        list[str] | None, typer.Option("--domain", help="a domain and its agent: name=host:port")
    ] = None,
) -> None:
    """Run an orchestrator until SIGTERM or Ctrl-C."""
    overrides: dict[str, Any] = {"listen": listen, "database": database, "instance_id": instance_id}
    if insecure:
        overrides["insecure"] = True
    if domain:
        overrides["domains"] = [_domain(text) for text in domain]
    try:
        settings = load_settings(config, {k: v for k, v in overrides.items() if v is not None})
    except SettingsError as error:
        fail(str(error), USAGE)
    configure(settings.log)
    _trace(settings.telemetry, "braid-orchestrator")
    _run(run_orchestrator(settings, lambda address: _say(address, "braid.v1.Reservations")))


def agent(
    config: Annotated[Path, typer.Argument(help="YAML file, see docs/configuration.md")],
    restored: Annotated[
        bool, typer.Option("--restored", help="the database comes from a backup: raise the epoch")
    ] = False,
) -> None:
    """Run a domain's agent until SIGTERM or Ctrl-C."""
    try:
        settings = load_agent_settings(config)
    except SettingsError as error:
        fail(str(error), USAGE)
    configure(settings.log)
    _trace(settings.telemetry, "braid-agent")

    def started(running: RunningAgent) -> None:
        _say(running.address, "braid.v1.DomainAgent")

    _run(run_agent(settings, started, restored))


def _domain(text: str) -> dict[str, str]:
    name, equals, target = text.partition("=")
    if not equals:
        fail(f"--domain: given '{text}', possible: name=host:port", USAGE)
    return {"domain": name, "target": target}


def _trace(settings: TelemetrySettings | None, service: str) -> None:
    try:
        telemetry.configure(settings, service)
    except SettingsError as error:
        fail(str(error), USAGE)


def _run(service: Coroutine[Any, Any, None]) -> None:
    tune()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(service)
        signals.ignore()
    except SettingsError as error:
        fail(str(error), USAGE)
    except (SchemaError, WrongDatabaseError, ListenError, StorageError) as error:
        fail(str(error), UNEXPECTED)


def _say(address: str, service: str) -> None:
    """The first line on standard output: where it listens, for whoever started the process."""
    typer.echo(json.dumps({"listening": address, "service": service}))
