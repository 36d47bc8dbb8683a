"""Several instances of one orchestrator on one store, and the agents that they share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from simulated import circuit

from agents.agent import Agent
from agents.backends import open_backend
from agents.book import Book
from agents.peers import Sender
from agents.store import MemoryStore as AgentStore
from orchestrator.engine import Engine, Limits
from orchestrator.instance import Instance
from orchestrator.memory import MemoryStore
from orchestrator.ports import Changes
from orchestrator.records import Reservation
from orchestrator.service import Order
from protocol.messages import ToAgent, ToOrchestrator
from protocol.participant import Rules
from runtime.database import StorageError
from simulations.clock import CountingIds, LoopClock
from simulations.gateway import ORCHESTRATOR_ID, MemoryGateway, Message

LEASE_MS = 3_000
TAKEN_OVER_S = 10


class Gateway(MemoryGateway):
    """Says at the agents which instance it belongs to."""

    def __init__(self, name: str, passage: Any) -> None:
        super().__init__(passage)
        self.sender_is = Sender(ORCHESTRATOR_ID, name)

    def _reach_agent(self, domain: str, session: int, message: ToAgent) -> None:
        if self._sessions[domain] == session:
            self._agents[domain].receive(self.sender_is, message)


class CutStore(MemoryStore):
    """Writes of the epochs in ``cut`` fail: no way to the database. ``writes``: who wrote."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        super().__init__(now_ms=now_ms)
        self.cut: set[int] = set()
        self.writes: list[int] = []

    async def save(self, changes: Changes, fence: int = 0) -> None:
        if fence in self.cut:
            raise StorageError("no way to the database")
        await super().save(changes, fence)
        self.writes.append(fence)

    async def renew(self, epoch: int, instance_id: str, lease_ms: int) -> Any:
        if epoch in self.cut:
            raise StorageError("no way to the database")
        return await super().renew(epoch, instance_id, lease_ms)


class Twins:
    """``async with`` it; ``start`` instances by name. ``lost``: messages that never arrive."""

    def __init__(self, configs: Collection[dict[str, Any]], **limits: Any) -> None:
        self.clock, self.ids = LoopClock(), CountingIds()
        self.store = CutStore(self.clock.now_ms)
        self.instances: dict[str, Instance] = {}
        self.gateways: dict[str, Gateway] = {}
        self.agents: dict[str, Agent] = {}
        self.lost: Callable[[str, Message], bool] = lambda domain, message: False
        self._configs, self._limits = configs, Limits(**limits)

    async def start(self, name: str) -> Instance:
        """A new life of an instance, with its domains."""
        gateway = self.gateways[name] = Gateway(name, self._passage)
        engine = Engine(ORCHESTRATOR_ID, self.store, gateway, self.clock, self.ids, self._limits)
        instance = self.instances[name] = Instance(engine, name, LEASE_MS)
        await instance.start()
        gateway.up(*self.agents.values())
        await instance.resume()
        return instance

    async def kill(self, name: str) -> None:
        """As ``kill -9``: nothing is left in order."""
        await self.instances[name].abandon()
        await self.gateways[name].close()

    async def stop(self, name: str, timeout_s: float = 5) -> None:
        """As on SIGTERM."""
        await self.instances[name].drain(timeout_s)
        await self.instances[name].stop()
        await self.gateways[name].close()

    async def begun(self, name: str, gbps: float, request_id: str = "r", **more: Any) -> str:
        """A reservation that an instance has begun to negotiate."""
        order = Order(request_id, request_id, circuit(gbps, **more), 30)
        return (await self.instances[name].orchestrator.reserve(order)).reservation_id

    async def decided(self, name: str, reservation_id: str) -> Reservation:
        """Its end, as an instance tells it."""
        return await self.instances[name].orchestrator.decided(reservation_id)

    async def changed(self, name: str, reservation_id: str, gbps: float) -> None:
        """Another bandwidth is asked for."""
        order = Order(self.ids.new(), self.ids.new(), circuit(gbps), 30)
        await self.instances[name].orchestrator.modify(reservation_id, order)

    def held(self) -> dict[str, list[tuple[str, int]]]:
        """Reservation and version of what each domain holds; those that hold nothing left out."""
        found = {}
        for name, agent in self.agents.items():
            preps = [record.part.prep for record in agent.holdings(None, 1000)]
            found[name] = sorted((p.reservation_id, p.version) for p in preps if p is not None)
        return {name: rows for name, rows in found.items() if rows}

    async def __aenter__(self) -> Twins:
        for config in self._configs:
            book = Book(open_backend(dict(config)))
            name = book.backend.describe().name
            agent = Agent(
                book,
                AgentStore(),
                self.clock,
                self._sends(name),
                Rules(hold_timeout_s=config.get("hold_timeout_s")),
                recheck_ms=None,
                ids=self.ids,
            )
            await agent.start()
            self.agents[name] = agent
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in self.instances:
            await self.kill(name)
        for agent in self.agents.values():
            await agent.stop()

    def _passage(self, domain: str, message: Message) -> tuple[float, ...]:
        return () if self.lost(domain, message) else (0.0,)

    def _sends(self, domain: str) -> Callable[[Sender, ToOrchestrator], None]:
        def send(to: Sender, message: ToOrchestrator) -> None:
            gateway = self.gateways.get(to.instance_id)
            if gateway is not None:
                gateway.sender(domain)(to, message)

        return send


async def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    """Waits in virtual time."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
