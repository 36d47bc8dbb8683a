"""Servers that answer as a test wishes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from braid.v1 import agent_pb2, reservations_pb2 as pb
from braid.v1.agent_pb2_grpc import DomainAgentServicer, add_DomainAgentServicer_to_server
from braid.v1.reservations_pb2_grpc import (
    ReservationsServicer,
    add_ReservationsServicer_to_server,
)

Answer = Message | grpc.StatusCode


class FakeReservations(ReservationsServicer):
    """Gives the answers one after the other, whatever is asked; remembers the requests."""

    def __init__(self, answers: Iterable[Answer] = ()) -> None:
        self.answers = list(answers)
        self.requests: list[Any] = []
        self.asked = asyncio.Event()

    async def _next(self, request: Message, context: Any) -> Any:
        self.requests.append(request)
        self.asked.set()
        answer = self.answers.pop(0)
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, "as the test wishes")
        return answer

    async def Plan(self, request: pb.Reservation, context: Any) -> Any:
        raise NotImplementedError

    def Watch(self, request: pb.WatchRequest, context: Any) -> Any:
        raise NotImplementedError

    def ReserveMany(self, request_iterator: Any, context: Any) -> Any:
        raise NotImplementedError

    async def Reserve(self, request: pb.Reservation, context: Any) -> Any:
        return await self._next(request, context)

    async def Modify(self, request: pb.ModifyRequest, context: Any) -> Any:
        return await self._next(request, context)

    async def Cancel(self, request: pb.CancelRequest, context: Any) -> Any:
        return await self._next(request, context)

    async def Get(self, request: pb.GetRequest, context: Any) -> Any:
        return await self._next(request, context)

    async def List(self, request: pb.ListRequest, context: Any) -> Any:
        return await self._next(request, context)


class FakeAgent(DomainAgentServicer):
    """Serves these pages of holdings."""

    def __init__(self, pages: list[list[agent_pb2.Holding]]) -> None:
        self._pages = pages

    async def Describe(self, request: agent_pb2.DescribeRequest, context: Any) -> Any:
        raise NotImplementedError

    def Negotiate(self, request_iterator: Any, context: Any) -> Any:
        raise NotImplementedError

    def Watch(self, request: agent_pb2.WatchDomainRequest, context: Any) -> Any:
        raise NotImplementedError

    async def Holdings(self, request: agent_pb2.HoldingsRequest, context: Any) -> Any:
        number = int(request.page_token or 0)
        last = number + 1 == len(self._pages)
        return agent_pb2.HoldingsResponse(
            holdings=self._pages[number], next_page_token="" if last else str(number + 1)
        )


@asynccontextmanager
async def serving(*servicers: FakeReservations | FakeAgent) -> AsyncIterator[list[str]]:
    """Each at an address of its own."""
    servers, targets = [], []
    for servicer in servicers:
        server = grpc.aio.server()
        if isinstance(servicer, FakeAgent):
            add_DomainAgentServicer_to_server(servicer, server)
        else:
            add_ReservationsServicer_to_server(servicer, server)
        targets.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        await server.start()
        servers.append(server)
    try:
        yield targets
    finally:
        for server in servers:
            await server.stop(None)
