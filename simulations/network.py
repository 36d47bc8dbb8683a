"""One orchestrator and its agents in one event loop: the shipped code without gRPC, disk or clock.

In a :class:`simulations.clock.VirtualLoop` a run depends on nothing but its input.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from agents.agent import Agent
from agents.backends import open_backend
from agents.book import Book
from agents.store import MemoryStore as AgentStore
from agents.values import Record
from orchestrator.engine import Engine, Limits
from orchestrator.memory import MemoryStore as OrchestratorStore
from orchestrator.negotiation import Failure
from orchestrator.records import Granted, Reservation
from orchestrator.service import Orchestrator, Order
from protocol.coordinator import Decide, begin
from protocol.participant import Rules
from runtime.clock import Clock
from simulations.clock import CountingIds, LoopClock
from simulations.gateway import ORCHESTRATOR_ID, MemoryGateway, Passage, once, twice
from substrate.model import Criteria

TICK_S = 0.5


@dataclass(slots=True)
class Member:
    """One domain: how its agent is made, what survives a crash, and the agent itself."""

    config: Mapping[str, Any]
    store: AgentStore
    book: Book
    agent: Agent


class Network:
    """An orchestrator and its domains; ``async with`` it, or call ``stop``.

    ``errors``: what background tasks failed with unheard; there should be none.
    """

    def __init__(self, clock: Clock, passage: Passage, limits: Limits, keep_events: bool) -> None:
        self.clock = clock
        self.ids = CountingIds()
        self._incarnations = CountingIds()
        self.gateway = MemoryGateway(passage)
        self.store = OrchestratorStore(keep_events=keep_events)
        self.engine = Engine(
            ORCHESTRATOR_ID,
            self.store,
            self.gateway,
            clock,
            self.ids,
            limits,
            record_progress=keep_events,
        )
        self.orchestrator = Orchestrator(self.engine)
        self.members: dict[str, Member] = {}
        self.errors: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: self.errors.append(str(context)))
        self._ticking = loop.create_task(self._tick())

    async def add(self, config: Mapping[str, Any], store: AgentStore | None = None) -> Member:
        """Starts the agent of one domain, not connected yet. Raises what its backend raises."""
        book = Book(open_backend(dict(config)))
        store = store or AgentStore()
        name = book.backend.describe().name
        send = self.gateway.sender(name)
        agent = Agent(
            book, store, self.clock, send, Rules(), recheck_ms=None, ids=self._incarnations
        )
        await agent.start()
        self.members[name] = Member(config, store, book, agent)
        return self.members[name]

    async def restart(self, name: str) -> None:
        """The agent crashes, and starts again with what its store holds."""
        member = self.members[name]
        self.gateway.down(name)
        member.agent.abandon()
        self.gateway.up((await self.add(member.config, member.store)).agent)

    def up(self, *names: str) -> None:
        """Connects these domains; their descriptions may have changed."""
        self.gateway.up(*(self.members[name].agent for name in names))

    def down(self, *names: str) -> None:
        """Cuts these domains off."""
        self.gateway.down(*names)

    async def reserve(self, criteria: Criteria, timeout_s: int = 30) -> Reservation:
        """Asks for a circuit and waits until it is decided."""
        record = await self.orchestrator.reserve(self._order(criteria, timeout_s))
        return await self.orchestrator.decided(record.reservation_id)

    async def attempt(self, criteria: Criteria, timeout_s: int = 30) -> Granted | Failure:
        """Negotiates until every domain holds its part, and aborts instead of committing.

        A grant: the circuit could be had. What was held is given back at once.
        """
        engine, transaction_id, reservation_id = self.engine, self.ids.new(), self.ids.new()
        question = engine.question(criteria, engine.now_ms() + timeout_s * 1000)
        engine.transactions.adopt(begin(transaction_id, reservation_id, 1))
        outcome = await engine.negotiate(question, transaction_id, reservation_id, 1)
        await engine.transactions.apply(transaction_id, Decide(commit=False))
        engine.transactions.forget_settled(transaction_id)
        return outcome

    async def modify(
        self,
        reservation_id: str,
        timeout_s: int = 30,
        switch_s: int | None = None,
        **changes: Any,
    ) -> Reservation:
        """Asks for other criteria and waits until that is decided. Raises as the orchestrator."""
        record = await self.orchestrator.get(reservation_id)
        order = self._order(replace(record.criteria, **changes), timeout_s)
        order = replace(order, switch_s=switch_s)
        await self.orchestrator.modify(reservation_id, order)
        return await self.orchestrator.decided(reservation_id)

    async def cancel(self, reservation_id: str) -> Reservation:
        """Gives a reservation back. Raises as the orchestrator."""
        return await self.orchestrator.cancel(reservation_id)

    def held(self) -> dict[str, list[Record]]:
        """What agents hold, by domain; domains that hold nothing are left out."""
        found = {name: self.members[name].agent.holdings(None, 10**9) for name in self.members}
        return {name: records for name, records in sorted(found.items()) if records}

    async def stop(self) -> None:
        """Takes everything down."""
        self._ticking.cancel()
        await self.engine.stop()
        await self.gateway.close()
        for name in sorted(self.members):
            await self.members[name].agent.stop()
        asyncio.get_running_loop().set_exception_handler(None)

    async def __aenter__(self) -> Network:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _order(self, criteria: Criteria, timeout_s: int) -> Order:
        request_id = self.ids.new()
        return Order(request_id, request_id, criteria, timeout_s)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.orchestrator.tick()


async def build_network(
    configs: Iterable[Mapping[str, Any]],
    clock: Clock | None = None,
    *,
    duplicate: bool = False,
    passage: Passage = once,
    limits: Limits | None = None,
    keep_events: bool = True,
) -> Network:
    """A network of these domains, all up. ``configs``: what ``open_backend`` takes, one per domain.

    ``duplicate`` delivers every message of the orchestrator twice. Without ``keep_events`` no
    history of reservations is kept. Raises what the backends raise for wrong settings.
    """
    network = Network(
        clock or LoopClock(), twice if duplicate else passage, limits or Limits(), keep_events
    )
    for config in configs:
        await network.add(config)
    network.up(*sorted(network.members))
    return network
