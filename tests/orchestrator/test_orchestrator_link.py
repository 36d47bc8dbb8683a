"""One agent over gRPC that misbehaves: the link stays honest about it and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
import pytest

from braid.v1 import agent_pb2 as pb, common_pb2
from braid.v1.agent_pb2_grpc import DomainAgentServicer, add_DomainAgentServicer_to_server
from orchestrator.domains import GrpcGateway
from orchestrator.link import AgentLink
from orchestrator.memory import MemoryStore
from orchestrator.ports import AgentIdentity, DataPlaneReport, Holdings
from protocol.messages import Abort, Inquire, ReservationResp, ToOrchestrator
from runtime.clock import SystemClock
from substrate.model import DataPlaneState


def described(name: str) -> common_pb2.Domain:
    ports = [common_pb2.Port(stp=f"{name}:host", capacity_bps=1)]
    return common_pb2.Domain(
        name=name, visibility=common_pb2.VISIBILITY_VISIBLE, backend="wan", ports=ports
    )


class Agent(DomainAgentServicer):
    """Says what it is told to say, and remembers what it heard."""

    def __init__(self, name: str = "m1") -> None:
        self.description = described(name)
        self.heard: list[str] = []
        self.orchestrators: list[str] = []
        self.to_say: asyncio.Queue[pb.AgentFrame | None] = asyncio.Queue()
        self.events: asyncio.Queue[pb.DomainEvent] = asyncio.Queue()

    async def Describe(self, request: Any, context: Any) -> pb.DescribeResponse:
        return pb.DescribeResponse(domain=self.description, agent_epoch=1)

    async def Negotiate(self, frames: Any, context: Any) -> AsyncIterator[pb.AgentFrame]:
        self.orchestrators.append(dict(context.invocation_metadata())["braid-orchestrator-id"])
        await context.send_initial_metadata(())
        reader = asyncio.create_task(self._read(frames))
        try:
            while (frame := await self.to_say.get()) is not None:
                yield frame
        finally:
            reader.cancel()

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[pb.DomainEvent]:
        while True:
            yield await self.events.get()

    async def Holdings(self, request: Any, context: Any) -> pb.HoldingsResponse:
        return pb.HoldingsResponse()

    async def _read(self, frames: Any) -> None:
        async for frame in frames:
            self.heard += [message.WhichOneof("kind") for message in frame.messages]


@dataclass
class Heard:
    """A listener that remembers."""

    messages: list[ToOrchestrator] = field(default_factory=list)
    reports: list[DataPlaneReport] = field(default_factory=list)
    ups: int = 0
    meetings: int = 0
    identity: AgentIdentity | None = None

    def on_message(self, domain: str, message: ToOrchestrator) -> None:
        self.messages.append(message)

    def on_data_plane(self, domain: str, report: DataPlaneReport) -> None:
        self.reports.append(report)

    async def met(self, domain: str) -> AgentIdentity | None:
        return self.identity

    async def on_meet(self, domain: str, identity: AgentIdentity, holdings: Holdings) -> None:
        assert await holdings() == frozenset()
        assert self.ups == self.meetings
        self.meetings += 1
        self.identity = identity

    def on_up(self, domain: str) -> None:
        self.ups += 1


@dataclass
class Scene:
    agent: Agent
    gateway: GrpcGateway
    heard: Heard
    server: Any
    target: str

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def up(self) -> bool:
        status = self.gateway.status("m1")
        return status is not None and status.up

    def reason(self) -> str:
        status = self.gateway.status("m1")
        return status.reason if status is not None else ""


async def serve(agent: Agent, target: str = "127.0.0.1:0") -> tuple[Any, str]:
    server = grpc.aio.server()
    add_DomainAgentServicer_to_server(agent, server)
    bound = server.add_insecure_port(target)
    await server.start()
    return server, f"127.0.0.1:{bound}"


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    agent = Agent()
    server, target = await serve(agent)
    gateway = GrpcGateway("tester", "tester-1", grpc.aio.insecure_channel, SystemClock())
    heard = Heard()
    gateway.listen(heard)
    made = Scene(agent, gateway, heard, server, target)
    try:
        yield made
    finally:
        await gateway.stop()
        await made.server.stop(0)


async def test_a_domain_that_is_up_is_in_the_topology(scene: Scene) -> None:
    assert not scene.gateway.send("m1", Abort("t", "p"))
    await scene.gateway.start({"m1": scene.target}, MemoryStore())
    await scene.gateway.ready(5)
    assert scene.up()
    assert list(scene.gateway.topology().domains) == ["m1"]
    assert scene.heard.ups == 1
    assert scene.agent.orchestrators == ["tester"]


async def test_messages_go_out_in_order_and_come_in(scene: Scene) -> None:
    await scene.gateway.join("m1", scene.target)
    await scene.gateway.settled("m1", 5)
    for i in range(300):
        assert scene.gateway.send("m1", Abort("t", f"p{i}"))
    await scene.until(lambda: len(scene.agent.heard) == 300)
    inquire = pb.AgentMessage(
        inquire=pb.Inquire(transaction_id="t", part_id="p", reservation_id="r")
    )
    nonsense = pb.AgentMessage()
    response = pb.AgentMessage(
        reservation_resp=pb.ReservationResp(
            transaction_id="t", part_id="p", phase=pb.PHASE_ABORT, ok=True
        )
    )
    await scene.agent.to_say.put(pb.AgentFrame(messages=[inquire, nonsense, response]))
    await scene.until(lambda: len(scene.heard.messages) == 2)
    assert isinstance(scene.heard.messages[0], Inquire)
    assert isinstance(scene.heard.messages[1], ReservationResp)


async def test_data_plane_reports_come_in(scene: Scene) -> None:
    await scene.gateway.join("m1", scene.target)
    event = pb.DomainEvent(
        transaction_id="t",
        part_id="p",
        reservation_id="r",
        state=common_pb2.DATA_PLANE_STATE_FAILED,
        reason="burnt",
    )
    await scene.agent.events.put(event)
    await scene.until(lambda: scene.heard.reports)
    assert scene.heard.reports[0] == DataPlaneReport("t", "p", "r", DataPlaneState.FAILED, "burnt")


async def test_an_agent_that_speaks_for_another_domain_is_not_believed(scene: Scene) -> None:
    scene.agent.description = described("somebody")
    await scene.gateway.join("m1", scene.target)
    await scene.until(lambda: "somebody" in scene.reason())
    assert not scene.up()
    assert list(scene.gateway.known().domains) == []


async def test_an_agent_with_a_malformed_description_is_left_out(scene: Scene) -> None:
    scene.agent.description.ports[0].capacity_bps = 0
    await scene.gateway.join("m1", scene.target)
    await scene.until(lambda: "capacity_bps" in scene.reason())
    assert not scene.up()


async def test_a_closed_stream_is_noticed_and_opened_again(scene: Scene) -> None:
    await scene.gateway.join("m1", scene.target)
    await scene.gateway.settled("m1", 5)
    await scene.agent.to_say.put(None)
    await scene.until(lambda: scene.heard.ups == 2)
    assert scene.up()


async def test_an_agent_that_describes_itself_otherwise_next_time_is_heard(scene: Scene) -> None:
    await scene.gateway.join("m1", scene.target)
    await scene.gateway.settled("m1", 5)
    scene.agent.description.ports[0].capacity_bps = 2
    await scene.agent.to_say.put(None)
    await scene.until(lambda: scene.heard.ups == 2)
    assert scene.gateway.topology().domains["m1"].ports[0].capacity_bps == 2


async def test_an_agent_that_goes_away_is_down_and_comes_back_by_itself(scene: Scene) -> None:
    await scene.gateway.join("m1", scene.target)
    await scene.gateway.settled("m1", 5)
    await scene.server.stop(0)
    await scene.until(lambda: not scene.up())
    assert scene.reason()
    assert list(scene.gateway.topology().domains) == []
    assert list(scene.gateway.known().domains) == ["m1"]
    assert scene.gateway.domain("m1") is not None
    assert not scene.gateway.send("m1", Abort("t", "p"))
    scene.server, _ = await serve(scene.agent, scene.target)
    await scene.until(scene.up)
    assert scene.heard.ups == 2


async def test_a_domain_moves_to_another_target_and_leaves(scene: Scene) -> None:
    await scene.gateway.join("m1", "127.0.0.1:1")
    status = await scene.gateway.settled("m1", 0.2)
    assert status is not None
    assert not status.up
    await scene.gateway.join("m1", scene.target)
    status = await scene.gateway.settled("m1", 5)
    assert status is not None
    assert status.up
    await scene.gateway.join("m1", scene.target)
    assert scene.up()
    await scene.gateway.leave("m1")
    await scene.gateway.leave("m1")
    assert scene.gateway.statuses() == ()
    assert scene.gateway.domain("m1") is None


async def test_a_start_does_not_wait_longer_than_it_may(scene: Scene) -> None:
    store = MemoryStore()
    await store.set_target("away", "127.0.0.1:1")
    await scene.gateway.start({"m1": scene.target}, store)
    await scene.gateway.ready(1.0)
    assert [(s.name, s.up) for s in scene.gateway.statuses()] == [("away", False), ("m1", True)]


async def test_it_stops_also_while_the_session_is_ending_by_itself(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = asyncio.Event()

    async def watch(_link: AgentLink, _stub: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await asyncio.sleep(0.1)

    monkeypatch.setattr(AgentLink, "_watch", watch)
    await scene.gateway.start({"m1": scene.target}, MemoryStore())
    await scene.until(scene.up)
    scene.agent.to_say.put_nowait(None)
    async with asyncio.timeout(30):
        await ending.wait()
        await scene.gateway.stop()
