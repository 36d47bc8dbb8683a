"""What a command says when it does not reach an orchestrator, and what to do about it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from faked import braid
from typer.testing import CliRunner, Result

from braid import retries
from braid.client import BraidError, Unreachable
from commands.main import app
from commands.unreached import advice
from tests.braid.fake_orchestrator import FakeOrchestrator

TOGETHER = "braid: {}: only together with {}\n"


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "BACKOFF_S", (0.01,))


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nobody listens while a test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def with_tls(target: str, *options: str) -> Result:
    return CliRunner().invoke(app, ["list", "--target", target, *options])


def test_where_nobody_listens_the_command_says_which_option_is_to_be_looked_at(nobody: str) -> None:
    done = braid(nobody, "list")
    assert done.exit_code == 5
    assert f"Nobody listens at {nobody}: is --target (or BRAID_TARGET) right?" in done.stderr


def test_what_is_no_address_is_told_with_what_is_one() -> None:
    done = braid("http://127.0.0.1:7000", "list")
    assert done.exit_code == 5
    assert done.stderr.endswith(
        "--target (or BRAID_TARGET) is host:port, or ipv4:HOST:PORT,HOST:PORT.\n"
    )


def test_a_server_without_tls_is_told_with_the_option_that_does_without(target: str) -> None:
    done = with_tls(target)
    assert done.exit_code == 5
    assert f"{target} speaks without TLS: so must you (--insecure" in done.stderr


def test_who_does_not_know_the_command_may_be_an_agent(target: str, fake: FakeOrchestrator) -> None:
    fake.fail(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    done = braid(target, "list")
    assert done.exit_code == 1
    assert f"What listens at {target} does not know this command: an agent" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("Tls handshake failed: CERTIFICATE_VERIFY_FAILED: self signed", "--ca is the file"),
        ("Tls: CERTIFICATE_VERIFY_FAILED: certificate has expired: OK", "it must be renewed there"),
        ("Tls: CERTIFICATE_VERIFY_FAILED: certificate is not yet valid", "is a clock wrong?"),
        ("Custom verification check failed: Hostname Verification Check failed.", "for this name"),
        ("last error: UNKNOWN: Failed to create security handshaker.", "are not a pair"),
        ("last error: UNAVAILABLE: ipv4:127.0.0.1:7: Socket closed", "may speak TLS only"),
        ("Socket closed", ""),
        ("the orchestrator is being stopped", ""),
    ],
)
def test_each_failure_of_tls_has_its_advice_and_others_none(words: str, told: str) -> None:
    said = advice(Unreachable(words, grpc.StatusCode.UNAVAILABLE), "host:7")
    assert told in said
    assert bool(told) is bool(said)
    assert advice(BraidError(words, grpc.StatusCode.INTERNAL), "host:7") == ""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--cert", "good.pem"], TOGETHER.format("--cert", "--key")),
        (["--key", "good.key"], TOGETHER.format("--key", "--cert")),
        (["--ca", "names"], "braid: --ca: has no CERTIFICATE in PEM\n"),
        (["--cert", "good.key", "--key", "good.key"], "braid: --cert: has no CERTIFICATE in PEM\n"),
        (["--cert", "good.pem", "--key", "names"], "braid: --key: has no PRIVATE KEY in PEM\n"),
        (["--ca", "gone"], "braid: --ca: gone cannot be read: No such file or directory\n"),
    ],
)
def test_files_for_tls_that_cannot_be_used_are_wrong_options(
    certificates: Path, nobody: str, options: list[str], told: str
) -> None:
    # In a process of its own, which gRPC would end.
    command = [sys.executable, "-m", "commands.main", "list", "--target", nobody, *options]
    places = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": places}
    done = subprocess.run(
        command, cwd=certificates, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (2, told)
