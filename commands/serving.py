"""braid serve: an orchestrator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.context import USAGE, fail
from commands.running import UntilStdinCloses, run, say, trace
from orchestrator.main import run_orchestrator
from orchestrator.settings import load_settings
from runtime.logs import configure
from runtime.settings import SettingsError

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
    until_stdin_closes: UntilStdinCloses = False,
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
    trace(settings.telemetry, "braid-orchestrator")
    service = run_orchestrator(settings, lambda address: say(address, "braid.v1.Reservations"))
    run(service, until_stdin_closes)


def _domain(text: str) -> dict[str, str]:
    name, equals, target = text.partition("=")
    if not equals:
        fail(f"--domain: given '{text}', possible: name=host:port", USAGE)
    return {"domain": name, "target": target}
