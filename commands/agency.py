"""braid agent: the agent of a domain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agents.settings import RunningAgent, load_settings, run_agent
from commands.context import USAGE, fail
from commands.running import UntilStdinCloses, run, say, trace
from runtime.logs import configure
from runtime.settings import SettingsError


def agent(
    config: Annotated[Path, typer.Argument(help="YAML file, see docs/configuration.md")],
    restored: Annotated[
        bool, typer.Option("--restored", help="the database comes from a backup: raise the epoch")
    ] = False,
    until_stdin_closes: UntilStdinCloses = False,
) -> None:
    """Run a domain's agent until SIGTERM or Ctrl-C."""
    try:
        settings = load_settings(config)
    except SettingsError as error:
        fail(str(error), USAGE)
    configure(settings.log)
    trace(settings.telemetry, "braid-agent")

    def started(running: RunningAgent) -> None:
        say(running.address, "braid.v1.DomainAgent")

    run(run_agent(settings, started, restored), until_stdin_closes)
