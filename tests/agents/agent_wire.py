"""Speaks to an agent as an orchestrator does, over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
from agent_world import MBPS, config

from agents.metadata import (
    AGENT_SEEN_KEY,
    INSTANCE_EPOCH_KEY,
    INSTANCE_ID_KEY,
    ORCHESTRATOR_ID_KEY,
)
from agents.settings import AgentSettings, agent_settings
from agents.values import Seen
from braid.v1 import agent_pb2, agent_pb2_grpc
from protocol.codec import to_agent_to_pb, to_orchestrator_from_pb
from protocol.messages import (
    Inquire,
    ReservationPrep,
    ReservationResp,
    ToAgent,
    ToOrchestrator,
)
from runtime.server import open_channel
from substrate.model import Segment, Window

TIMEOUT_S = 60


def settings_of(database: str, **changes: Any) -> AgentSettings:
    values = {"listen": "127.0.0.1:0", "insecure": True, "database": database}
    return agent_settings({**config(), **values, **changes}, "test")


def soon(
    transaction_id: str = "t1",
    *,
    reservation_id: str = "r1",
    bandwidth_bps: int = 600 * MBPS,
    vlan: int = 100,
    start_s: int | None = None,
    duration_s: int = 3600,
    orchestrator_id: str = "me",
) -> ReservationPrep:
    """A part whose window begins now, or at ``start_s``, by the machine's clock."""
    now_s = int(time.time())
    start_s = now_s if start_s is None else start_s
    return ReservationPrep(
        transaction_id,
        "p1",
        reservation_id,
        1,
        (Segment("s1", "renet1:west", vlan, "renet1:east", vlan, bandwidth_bps),),
        Window(start_s, start_s + duration_s),
        orchestrator_id,
        (now_s + 600) * 1000,
    )


class Orchestrator:
    """One end of a Negotiate stream."""

    def __init__(
        self,
        stub: agent_pb2_grpc.DomainAgentAsyncStub,
        name: str | None,
        instance: str | None = None,
        epoch: int | str | None = None,
        seen: Seen | str | None = None,
    ) -> None:
        if isinstance(seen, Seen):
            seen = f"{seen.epoch}.{seen.boot}.{seen.incarnation}"
        given = {
            ORCHESTRATOR_ID_KEY: name,
            INSTANCE_ID_KEY: instance,
            INSTANCE_EPOCH_KEY: epoch if epoch is None else str(epoch),
            AGENT_SEEN_KEY: seen,
        }
        metadata = tuple((key, value) for key, value in given.items() if value is not None)
        self.call = stub.Negotiate(metadata=metadata)
        self.frames: list[int] = []
        self._waiting: list[ToOrchestrator] = []

    async def send(self, *messages: ToAgent) -> None:
        await self.send_raw([to_agent_to_pb(message) for message in messages])

    async def send_raw(self, messages: Sequence[agent_pb2.OrchestratorMessage]) -> None:
        await self.call.write(agent_pb2.OrchestratorFrame(messages=messages))

    async def next(self) -> ToOrchestrator:
        while not self._waiting:
            frame = await asyncio.wait_for(self.call.read(), TIMEOUT_S)
            assert isinstance(frame, agent_pb2.AgentFrame), "the stream has ended"
            self.frames.append(len(frame.messages))
            self._waiting = [to_orchestrator_from_pb(message) for message in frame.messages]
        return self._waiting.pop(0)

    async def ask(self, message: ToAgent) -> ReservationResp:
        await self.send(message)
        # On a slow machine a hold asks in between.
        while isinstance(answer := await self.next(), Inquire):
            pass
        assert isinstance(answer, ReservationResp), answer
        return answer

    async def up(self) -> Orchestrator:
        """Waits until the agent has taken the stream. Raises AioRpcError when it does not."""
        await self.call.initial_metadata()
        if self.call.done():
            await self.call.read()
        return self

    async def ending(self) -> grpc.aio.AioRpcError:
        """Reads to the end, which must be an error."""
        try:
            while await asyncio.wait_for(self.call.read(), TIMEOUT_S) is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError as error:
            return error
        raise AssertionError("the stream ended in order")

    async def end(self) -> None:
        await self.call.done_writing()
        while await asyncio.wait_for(self.call.read(), TIMEOUT_S) is not grpc.aio.EOF:
            pass


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[agent_pb2_grpc.DomainAgentAsyncStub]:
    async with open_channel(address, insecure=True) as channel:
        stub: Any = agent_pb2_grpc.DomainAgentStub(channel)
        yield stub
