"""The command beside an orchestrator that answers what a test says."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from commands.main import app


def braid(target: str, *arguments: str) -> Result:
    environment = {"BRAID_TARGET": target, "BRAID_INSECURE": "1"}
    return CliRunner().invoke(app, list(arguments), env=environment)
