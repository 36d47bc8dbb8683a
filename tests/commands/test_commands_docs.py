"""Every command and option is in docs/cli.md, and has a help text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from commands.main import EPILOG, app

CLI_PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it."""
    children = getattr(command, "commands", None)
    if not children:
        yield path, command
        return
    for name in sorted(children):
        yield from commands(children[name], (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_is_documented_with_all_its_options(path: tuple[str, ...]) -> None:
    assert f"braid {' '.join(path)}" in CLI_PAGE
    for parameter in COMMANDS[path].params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                assert f"`{option}" in CLI_PAGE, f"{option} of {' '.join(path)}"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_and_its_options_have_help(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} of {' '.join(path)}"


def test_every_command_but_the_services_and_consoles_speaks_json() -> None:
    silent = {("serve",), ("agent",), ("health",), ("cloudnet", "console")}
    for path, command in COMMANDS.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options or path in silent, path


def test_the_exit_codes_are_documented_in_both_places() -> None:
    for number in range(8):
        assert f"| {number} |" in CLI_PAGE
        assert f"{number} " in EPILOG
