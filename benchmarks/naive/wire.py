"""A call per message: the messages of agent.proto, each as a unary call of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from braid.v1 import agent_pb2

SERVICE = "benchmarks.naive.Agent"
METHODS = ("offer", "prepare", "commit")
THREADS = 64

Call = Callable[[agent_pb2.OrchestratorMessage], agent_pb2.AgentMessage]


def handlers(**calls: Call) -> grpc.GenericRpcHandler:
    """Serves these methods."""
    methods = {
        name: grpc.unary_unary_rpc_method_handler(
            lambda request, _context, call=call: call(request),
            agent_pb2.OrchestratorMessage.FromString,
            agent_pb2.AgentMessage.SerializeToString,
        )
        for name, call in calls.items()
    }
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def stubs(target: str) -> dict[str, Any]:
    """How each method is called at an agent."""
    channel = grpc.insecure_channel(target)
    return {
        name: channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=agent_pb2.OrchestratorMessage.SerializeToString,
            response_deserializer=agent_pb2.AgentMessage.FromString,
        )
        for name in METHODS
    }


def serve(add: Callable[[grpc.Server], None]) -> None:
    """Serves on any free port until it is killed; prints the address first."""
    server = grpc.server(ThreadPoolExecutor(THREADS))
    add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f'{{"listening": "127.0.0.1:{port}"}}', flush=True)
    server.wait_for_termination()
