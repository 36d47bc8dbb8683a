"""Who calls one command does not wait until all others are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from commands.main import PLACES, app

HEAVY = ("agents", "orchestrator", "simulations", "embedding", "sqlalchemy", "highspy", "numpy")
PROGRAM = """
import sys
from typer.testing import CliRunner
from commands.main import app
result = CliRunner().invoke(app, {arguments!r})
assert result.exit_code == 0, result.output
print(*sorted(name for name in {heavy!r} if name in sys.modules))
"""


def imported(*arguments: str) -> set[str]:
    """Which of the heavy packages a command imports."""
    program = PROGRAM.format(arguments=[*arguments], heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("command", ["reserve", "list", "watch", "cancel", "health", "doubt"])
def test_what_speaks_to_a_server_imports_none(command: str) -> None:
    assert not imported(command, "--help") & set(HEAVY)


def test_an_agent_imports_no_orchestrator_and_the_other_way_round() -> None:
    assert not imported("agent", "--help") & {"orchestrator", "simulations"}
    assert not imported("serve", "--help") & {"agents", "simulations"}


def test_a_command_that_is_misspelt_is_guessed_without_importing_any() -> None:
    result = CliRunner().invoke(app, ["resrve"])
    assert result.exit_code == 2
    assert "Did you mean 'reserve'" in result.output


@pytest.mark.parametrize("name", PLACES)
def test_every_command_is_where_it_is_said_to_be(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert f"braid {name}" in result.output.replace("root", "braid")


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("4", "4")])
def test_products_of_small_arrays_are_not_shared_out_to_threads_unless_one_says_so(
    given: str | None, expected: str
) -> None:
    program = (
        "import os, sys; from commands import main\n"
        "main.app = lambda: print('numpy' in sys.modules, os.environ['OPENBLAS_NUM_THREADS'])\n"
        "main.main()"
    )
    name = "OPENBLAS_NUM_THREADS"
    environment = {key: value for key, value in os.environ.items() if key != name}
    if given is not None:
        environment[name] = given
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == f"False {expected}\n"


def test_the_version_is_told_without_any_command() -> None:
    told = CliRunner().invoke(app, ["--version"])
    assert (told.exit_code, told.output) == (0, f"braid {version('braid-orchestrator')}\n")
