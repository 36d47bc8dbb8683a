"""A whole Braid in one process for tests: real gRPC on loopback, real databases, real backends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio

from agents.settings import RunningAgent, agent_settings, open_agent
from braid.v1 import agent_pb2, common_pb2, reservations_pb2 as pb, topology_pb2
from braid.v1.agent_pb2_grpc import DomainAgentStub
from braid.v1.reservations_pb2_grpc import ReservationsStub
from braid.v1.topology_pb2_grpc import TopologyStub
from orchestrator.main import running
from orchestrator.settings import OrchestratorSettings

G = 10**9
M = 10**6


def port(
    name: str, remote: str | None = None, capacity: str = "100G", **more: Any
) -> dict[str, Any]:
    values = {"name": name, "capacity": capacity, "vlans": "100-199", **more}
    return {**values, "remote": remote} if remote else values


def agent(name: str, backend: str, ports: Iterable[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"domain": name, "backend": backend, "ports": list(ports), "visible": True, **more}


def diamond(
    middle: int = 2, capacity: str = "100G", **kinds: dict[str, Any]
) -> list[dict[str, Any]]:
    """Sites west and east joined by parallel WAN domains m1, m2, …; ``kinds`` adds settings."""
    names = [f"m{i}" for i in range(1, middle + 1)]
    west = [port("host", capacity="1000G")] + [port(n, f"{n}:west", capacity) for n in names]
    east = [port("host", capacity="1000G")] + [port(n, f"{n}:east", capacity) for n in names]
    return [
        agent("west", "pip", west, **kinds.get("west", {})),
        agent("east", "pip", east, **kinds.get("east", {})),
        *(
            agent(
                n,
                "wan",
                [port("west", f"west:{n}", capacity), port("east", f"east:{n}", capacity)],
                **kinds.get(n, {}),
            )
            for n in names
        ),
    ]


def line(length: int) -> list[dict[str, Any]]:
    """Domains d1 … dN in a row, with a port "host" at each end."""
    domains = []
    for i in range(1, length + 1):
        left = port("host") if i == 1 else port("left", f"d{i - 1}:right")
        right = port("host") if i == length else port("right", f"d{i + 1}:left")
        domains.append(agent(f"d{i}", "wan", [left, right]))
    return domains


@dataclass
class World:
    """One orchestrator and its agents. ``stop_agent`` and ``start_agent`` make outages."""

    folder: Path
    database: str
    configs: dict[str, dict[str, Any]]
    extra: dict[str, Any] = field(default_factory=dict)
    agents: dict[str, RunningAgent] = field(default_factory=dict)
    _stacks: dict[str, AsyncExitStack] = field(default_factory=dict)
    _ports: dict[str, str] = field(default_factory=dict)
    requests: int = 0

    async def start_agent(self, name: str) -> None:
        stack = AsyncExitStack()
        config = {
            "database": f"sqlite:///{self.folder}/{name}.db",
            "insecure": True,
            "inquire_after_s": 1,
            **self.configs[name],
            "listen": self._ports.get(name, "127.0.0.1:0"),
        }
        settings = agent_settings(config, name)
        self.agents[name] = await stack.enter_async_context(open_agent(settings))
        self._stacks[name] = stack
        self._ports[name] = self.agents[name].address

    async def stop_agent(self, name: str) -> None:
        del self.agents[name]
        await self._stacks.pop(name).aclose()

    async def start_orchestrator(self) -> None:
        stack = AsyncExitStack()
        settings = OrchestratorSettings.model_validate(
            {
                "listen": "127.0.0.1:0",
                "insecure": True,
                "database": self.database,
                "domains": [{"domain": n, "target": t} for n, t in sorted(self._ports.items())],
                **self.extra,
            }
        )
        self.target = (await stack.enter_async_context(running(settings))).address
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(self.target))
        self.reservations: Any = ReservationsStub(channel)
        self.topology: Any = TopologyStub(channel)
        self._stacks["orchestrator"] = stack

    async def stop_orchestrator(self) -> None:
        await self._stacks.pop("orchestrator").aclose()

    async def all_up(self, names: Iterable[str] | None = None) -> None:
        wanted = set(self.agents if names is None else names)
        await eventually(lambda: self._up(wanted))

    async def _up(self, wanted: set[str]) -> bool:
        answer = await self.topology.Get(topology_pb2.GetTopologyRequest())
        up = {s.domain.name for s in answer.domains if s.state == topology_pb2.DOMAIN_STATE_UP}
        return wanted <= up

    async def close(self) -> None:
        for name in ["orchestrator", *list(self.agents)]:
            if name in self._stacks:
                await self._stacks.pop(name).aclose()

    def request(
        self,
        bandwidth_bps: int,
        source: str = "west:host",
        destination: str = "east:host",
        start_in_s: int = 3600,
        duration_s: int = 3600,
        **more: Any,
    ) -> pb.Reservation:
        self.requests += 1
        start_s = int(time.time()) + start_in_s
        values: dict[str, Any] = {
            "request_id": f"request-{self.requests}",
            "source": source,
            "destination": destination,
            "bandwidth_bps": bandwidth_bps,
            "window": common_pb2.Window(start_s=start_s, end_s=start_s + duration_s),
            **more,
        }
        return pb.Reservation(**values)

    async def reserve(self, bandwidth_bps: int, **more: Any) -> pb.ReservationRecord:
        record: pb.ReservationRecord = await self.reservations.Reserve(
            self.request(bandwidth_bps, **more), timeout=60
        )
        return record

    async def get(self, reservation_id: str) -> pb.ReservationRecord:
        request = pb.GetRequest(reservation_id=reservation_id)
        record: pb.ReservationRecord = await self.reservations.Get(request)
        return record

    async def cancel(self, reservation_id: str) -> pb.ReservationRecord:
        request = pb.CancelRequest(reservation_id=reservation_id)
        record: pb.ReservationRecord = await self.reservations.Cancel(request)
        return record

    async def holdings(self, name: str) -> list[agent_pb2.Holding]:
        async with grpc.aio.insecure_channel(self.agents[name].address) as channel:
            stub: Any = DomainAgentStub(channel)
            answer = await stub.Holdings(agent_pb2.HoldingsRequest())
            return list(answer.holdings)

    async def held(self) -> dict[str, int]:
        """Number of live parts by domain, only where there are any."""
        counts = {name: len(await self.holdings(name)) for name in sorted(self.agents)}
        return {name: count for name, count in counts.items() if count}

    async def nothing_held(self) -> None:
        await eventually(self._nothing_held)

    async def _nothing_held(self) -> bool:
        return not await self.held()


async def eventually(condition: Any, timeout_s: float = 20.0) -> None:
    """Waits until ``condition()`` (awaited) is true; fails with its last value after the time."""
    import asyncio

    deadline = time.monotonic() + timeout_s
    while not (value := await condition()):
        assert time.monotonic() < deadline, f"{condition} stayed {value!r}"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def world(
    folder: Path, configs: list[dict[str, Any]], database: str = "", **extra: Any
) -> AsyncIterator[World]:
    """A running world; everything is up when the block begins."""
    made = World(
        folder,
        database or f"sqlite:///{folder}/braid.db",
        {config["domain"]: config for config in configs},
        extra,
    )
    try:
        for name in made.configs:
            await made.start_agent(name)
        await made.start_orchestrator()
        await made.all_up()
        yield made
    finally:
        await made.close()
