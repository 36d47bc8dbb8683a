"""``braid health``: asks a server for its state by the standard gRPC health protocol.

``python -m commands.health`` does the same and starts three times as fast, for health checks.
"""

from __future__ import annotations

from typing import Annotated

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc


def serving(target: str, timeout_s: float) -> tuple[bool, str]:
    """Whether the server at ``target`` ("host:port") says SERVING, and its answer or the reason.

    Waits at most ``timeout_s`` seconds in all; never raises for a server that is away.
    """
    with grpc.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        try:
            check = stub.Check  # type: ignore[attr-defined]  # the stubs forgot it
            answer = check(request, timeout=timeout_s, wait_for_ready=True)
        except grpc.RpcError as error:
            return False, error.code().name
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return answer.status == health_pb2.HealthCheckResponse.SERVING, status


def health(
    target: Annotated[str, typer.Argument(help="host:port of an orchestrator or an agent")],
    timeout_s: Annotated[float, typer.Option("--timeout", help="seconds to wait", min=0.1)] = 3.0,
) -> None:
    """Tells whether a server is ready; exits with 1 when it is not."""
    ready, answer = serving(target, timeout_s)
    typer.echo(f"{target} {answer}")
    if not ready:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(health)
