"""``braid health`` tells a server that serves from one that does not, and from none."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import pytest
from grpc_health.v1 import health as grpc_health, health_pb2, health_pb2_grpc
from typer.testing import CliRunner

from commands.health import serving
from commands.main import app

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass
class Server:
    """A server that has nothing but the standard health service."""

    target: str
    health: grpc_health.HealthServicer


@pytest.fixture
def server() -> Iterator[Server]:
    running = grpc.server(ThreadPoolExecutor(2))
    health = grpc_health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    yield Server(f"127.0.0.1:{port}", health)
    running.stop(None)


def test_a_server_that_serves_is_healthy(server: Server) -> None:
    assert serving(server.target, 10.0) == (True, "SERVING")


def test_a_server_that_drains_is_not_healthy(server: Server) -> None:
    server.health.set("", NOT_SERVING)
    assert serving(server.target, 10.0) == (False, "NOT_SERVING")
    server.health.set("", SERVING)
    assert serving(server.target, 10.0) == (True, "SERVING")


def test_a_server_that_is_away_is_waited_for_no_longer_than_asked() -> None:
    before = time.monotonic()
    assert serving("127.0.0.1:1", 0.2) == (False, "DEADLINE_EXCEEDED")
    assert 0.2 <= time.monotonic() - before < 10


def test_the_command_says_the_state_and_exits_by_it(server: Server) -> None:
    done = CliRunner().invoke(app, ["health", server.target])
    assert (done.exit_code, done.output) == (0, f"{server.target} SERVING\n")
    server.health.set("", NOT_SERVING)
    done = CliRunner().invoke(app, ["health", server.target])
    assert (done.exit_code, done.output) == (1, f"{server.target} NOT_SERVING\n")


def test_the_module_is_a_health_check_without_the_rest_of_braid(server: Server) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "commands.health", server.target]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{server.target} SERVING\n"
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "grpc" in imported
    assert not {name.partition(".")[0] for name in imported} & {"agents", "orchestrator"}
