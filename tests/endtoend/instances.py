"""Several ``braid serve`` processes on one database, over agents in this process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc.aio
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from world import World, diamond, eventually

from agents.peers import Sender
from braid.v1 import reservations_pb2 as pb, topology_pb2
from braid.v1.reservations_pb2_grpc import ReservationsStub
from braid.v1.topology_pb2_grpc import TopologyStub
from protocol.messages import ReservationPrep, ToAgent

STATES = pb.ReservationState


class Instance:
    """One ``braid serve``, with a channel to it; ``stderr`` is what it has said so far."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, log: Path) -> None:
        self.name = name
        self._process, self._log = process, log

    async def _open(self) -> None:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 50)
        assert line, self.stderr
        self.target = str(json.loads(line)["listening"])
        self.channel = grpc.aio.insecure_channel(self.target)
        self.reservations: Any = ReservationsStub(self.channel)
        self.topology: Any = TopologyStub(self.channel)

    @property
    def stderr(self) -> str:
        return self._log.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    async def ended(self, within_s: float = 30) -> int:
        """Its exit code, once it has ended; one that does not end says where all threads are."""
        try:
            return await asyncio.wait_for(self._process.wait(), within_s)
        except TimeoutError:
            self.signal(signal.SIGABRT)
            await self._process.wait()
            raise AssertionError(f"{self.name} did not end:\n{self.stderr}") from None

    async def kill(self) -> None:
        """As ``kill -9``."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def close(self) -> None:
        with suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        await self.ended()
        if hasattr(self, "channel"):
            await self.channel.close()

    # What a client asks --------------------------------------------------------------------------

    async def reserve(self, request: pb.Reservation, timeout_s: float = 50) -> pb.ReservationRecord:
        record: pb.ReservationRecord = await self.reservations.Reserve(request, timeout=timeout_s)
        return record

    async def get(self, reservation_id: str = "", request_id: str = "") -> pb.ReservationRecord:
        asked = pb.GetRequest(reservation_id=reservation_id, request_id=request_id)
        record: pb.ReservationRecord = await self.reservations.Get(asked, timeout=60)
        return record

    async def modify(
        self, reservation_id: str, request_id: str, bandwidth_bps: int
    ) -> pb.ReservationRecord:
        asked = pb.ModifyRequest(
            reservation_id=reservation_id, request_id=request_id, bandwidth_bps=bandwidth_bps
        )
        record: pb.ReservationRecord = await self.reservations.Modify(asked, timeout=50)
        return record

    async def cancel(self, reservation_id: str) -> pb.ReservationRecord:
        asked = pb.CancelRequest(reservation_id=reservation_id)
        record: pb.ReservationRecord = await self.reservations.Cancel(asked, timeout=60)
        return record

    async def events(self, reservation_id: str) -> list[pb.ReservationEvent]:
        """All events of a reservation, until it is decided; without an id, of all, without end."""
        asked = pb.WatchRequest(reservation_id=reservation_id, until_decided=bool(reservation_id))
        return [event async for event in self.reservations.Watch(asked, timeout=50)]

    async def up(self) -> set[str]:
        """The domains that are connected."""
        answer = await self.topology.Get(topology_pb2.GetTopologyRequest(), timeout=60)
        up = topology_pb2.DOMAIN_STATE_UP
        return {status.domain.name for status in answer.domains if status.state == up}

    async def health(self) -> AsyncIterator[int]:
        """Each state of health, as it changes."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
            yield answer.status


class Gate:
    """Keeps an agent from seeing any ReservationPrep while it is closed; decisions pass."""

    def __init__(self, world: World, name: str) -> None:
        self._open = asyncio.Event()
        self.waiting = 0
        agent: Any = world.agents[name].agent
        receive = agent.receive

        def received(sender: Sender, *messages: ToAgent) -> asyncio.Task[None]:
            return asyncio.create_task(passed(sender, messages))

        async def passed(sender: Sender, messages: Sequence[ToAgent]) -> None:
            for message in messages:
                if isinstance(message, ReservationPrep):
                    self.waiting += 1
                    await self._open.wait()
                rest = receive(sender, message)
                if rest is not None:
                    await rest

        agent.receive = received
        self.open()

    def open(self) -> None:
        self._open.set()

    def close(self) -> None:
        self._open.clear()
        self.waiting = 0

    async def reached(self) -> None:
        """Waits until somebody asks for a hold."""

        async def asked() -> bool:
            return self.waiting > 0

        await eventually(asked)


class Instances:
    """Starts instances on ``database``; ``gate`` is before the agent of the domain east."""

    def __init__(self, world: World, database: str) -> None:
        self.world, self.database = world, database
        self.gate = Gate(world, "east")
        self.all: list[Instance] = []

    async def start(self, name: str, domains: bool = True, **settings: Any) -> Instance:
        """A new process; it serves, and all domains are up (unless without ``domains``)."""
        targets = [
            {"domain": name, "target": agent.address} for name, agent in self.world.agents.items()
        ]
        config = self.world.folder / f"{name}.{len(self.all)}.yaml"
        values: dict[str, Any] = {"prepare_timeout_s": 60, "domains": targets if domains else []}
        config.write_text(yaml.safe_dump({**values, **settings}))
        log = config.with_suffix(".log")
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "commands.main", "serve", "--config", config, "--insecure",
                "--listen", "127.0.0.1:0", "--database", self.database, "--instance-id", name,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                env={**os.environ, "PYTHONFAULTHANDLER": "1"},
            )  # fmt: skip
        instance = Instance(process, name, log)
        self.all.append(instance)
        await instance._open()
        if domains:
            await self.connected(instance)
        return instance

    async def connected(self, instance: Instance) -> None:
        """Waits until it sees all domains."""

        async def all_up() -> bool:
            return await instance.up() >= set(self.world.agents)

        await eventually(all_up)

    async def settled_on(self, *reservation_ids: str) -> None:
        """Waits until exactly these are held, each once, committed, in every domain they cross."""

        async def only() -> bool:
            for name in self.world.agents:
                holdings = await self.world.holdings(name)
                ids = [holding.reservation_id for holding in holdings]
                if len(set(ids)) != len(ids) or not set(ids) <= set(reservation_ids):
                    return False
                if name == "east" and set(ids) != set(reservation_ids):
                    return False
            return True

        await eventually(only)


@asynccontextmanager
async def instances(folder: Path, database: str) -> AsyncIterator[Instances]:
    """A diamond of agents without an orchestrator yet; whatever was started ends with the block."""
    world = World(folder, database, {config["domain"]: config for config in diamond()})
    made = None
    try:
        for name in world.configs:
            await world.start_agent(name)
        made = Instances(world, database)
        yield made
    finally:
        if made is not None:
            made.gate.open()
            for instance in made.all:
                await instance.close()
        await world.close()
