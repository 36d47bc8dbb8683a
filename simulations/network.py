"""One orchestrator and its agents in one event loop: the shipped code without gRPC, disk or clock.

Messages travel by ``loop.call_soon``, so they keep their order; a :data:`Passage` may lose, delay
or double them, and domains may be cut off or restarted. In a
:class:`simulations.clock.VirtualLoop` a run depends on nothing but its input.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from agents.agent import Agent
from agents.backends import open_backend
from agents.book import Book
from agents.store import MemoryStore as AgentStore, Record
from agents.watchers import Watcher
from orchestrator.engine import Engine, Limits
from orchestrator.memory import MemoryStore as OrchestratorStore
from orchestrator.negotiation import Failure
from orchestrator.ports import DataPlaneReport, Listener
from orchestrator.records import Reservation
from orchestrator.service import Orchestrator, Order
from protocol.coordinator import begin
from protocol.messages import ToAgent, ToOrchestrator
from protocol.participant import Rules
from runtime.clock import Clock
from simulations.clock import CountingIds, LoopClock
from substrate.labels import Plan
from substrate.model import Criteria, Domain
from substrate.topology import Topology

ORCHESTRATOR_ID = "simulated"
TICK_S = 0.5

Message = ToAgent | ToOrchestrator
Passage = Callable[[str, Message], Iterable[float]]
"""What happens to a message from or to a domain: after how many seconds each copy of it arrives. An
empty answer loses it."""


def once(domain: str, message: Message) -> Iterable[float]:
    """The :data:`Passage` of a network without faults."""
    return (0.0,)


def twice(domain: str, message: Message) -> Iterable[float]:
    """Every message of the orchestrator arrives twice, every answer once."""
    return (0.0, 0.0) if isinstance(message, ToAgent) else (0.0,)


class MemoryGateway:
    """The :class:`orchestrator.ports.Gateway` to agents in the same event loop.

    A domain that is down hears and says nothing, and what was under way to or from it is lost.
    """

    def __init__(self, passage: Passage = once) -> None:
        self.passage = passage
        self._agents: dict[str, Agent] = {}
        self._sessions: dict[str, int] = {}
        self._watchers: dict[str, Watcher] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        self._known = self._up = Topology([])

    # orchestrator.ports.Gateway -------------------------------------------------------------------

    def topology(self) -> Topology:
        """The domains that are up."""
        return self._up

    def known(self) -> Topology:
        """All domains that were ever up."""
        return self._known

    def domain(self, name: str) -> Domain | None:
        """What a domain tells of itself."""
        return self._known.domains.get(name)

    def listen(self, listener: Listener) -> None:
        """Names the one who hears."""
        self._listener = listener

    def send(self, domain: str, message: ToAgent) -> bool:
        """Sends to an agent; False when its domain is down."""
        if domain not in self._watchers:
            return False
        self._carry(domain, message, self._reach_agent)
        return True

    # The world ------------------------------------------------------------------------------------

    def sender(self, domain: str) -> Callable[[str, ToOrchestrator], None]:
        """How that domain's agent sends."""

        def send(orchestrator_id: str, message: ToOrchestrator) -> None:
            if domain in self._watchers:
                self._carry(domain, message, self._reach_orchestrator)

        return send

    def up(self, *agents: Agent) -> None:
        """These agents are there: for the first time, again, or with another description."""
        for agent in agents:
            name = agent.domain.name
            self._cut(name)
            self._agents[name] = agent
            self._watchers[name] = agent.watch()
            self._spawn(self._watch(name, self._watchers[name]))
        self._redraw()
        for agent in agents:
            self._heard().on_up(agent.domain.name)

    def down(self, *names: str) -> None:
        """These domains are cut off; their agents go on alone."""
        for name in names:
            self._cut(name)
        self._redraw()

    async def close(self) -> None:
        """Cuts all domains off."""
        self.down(*self._agents)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cut(self, name: str) -> None:
        self._sessions[name] = self._sessions.get(name, 0) + 1
        watcher = self._watchers.pop(name, None)
        if watcher is not None:
            watcher.put(None)
            watcher.close()

    def _redraw(self) -> None:
        domains = {name: self._agents[name].domain for name in sorted(self._agents)}
        self._known = Topology(domains.values())
        self._up = Topology(domains[name] for name in sorted(self._watchers))

    def _carry(self, domain: str, message: Any, arrive: Callable[[str, int, Any], None]) -> None:
        loop, session = asyncio.get_running_loop(), self._sessions[domain]
        for delay_s in self.passage(domain, message):
            if delay_s > 0:
                loop.call_later(delay_s, arrive, domain, session, message)
            else:
                loop.call_soon(arrive, domain, session, message)

    def _reach_agent(self, domain: str, session: int, message: ToAgent) -> None:
        if self._sessions[domain] == session:
            self._agents[domain].receive(ORCHESTRATOR_ID, message)

    def _reach_orchestrator(self, domain: str, session: int, message: ToOrchestrator) -> None:
        if self._sessions[domain] == session:
            self._heard().on_message(domain, message)

    async def _watch(self, name: str, watcher: Watcher) -> None:
        async for record in watcher:
            if self._watchers.get(name) is watcher:
                self._heard().on_data_plane(name, _report(record))

    def _heard(self) -> Listener:
        assert self._listener is not None, "listen() comes first"
        return self._listener

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


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
        agent = Agent(book, store, self.clock, send, Rules(), recheck_ms=None)
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

    async def attempt(self, criteria: Criteria, timeout_s: int = 30) -> Plan | Failure:
        """Negotiates until every domain holds its part, and aborts instead of committing.

        A plan: the circuit could be had. What was held is given back at once.
        """
        engine, transaction_id, reservation_id = self.engine, self.ids.new(), self.ids.new()
        question = engine.question(criteria, engine.now_ms() + timeout_s * 1000)
        engine.transactions.adopt(begin(transaction_id, reservation_id, 1))
        outcome = await engine.negotiate(question, transaction_id, reservation_id, 1)
        await engine.withdraw(transaction_id)
        engine.transactions.forget_settled(transaction_id)
        return outcome

    async def modify(self, reservation_id: str, timeout_s: int = 30, **changes: Any) -> Reservation:
        """Asks for other criteria and waits until that is decided. Raises as the orchestrator."""
        record = await self.orchestrator.get(reservation_id)
        order = self._order(replace(record.criteria, **changes), timeout_s)
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


def _report(record: Record) -> DataPlaneReport:
    prep = record.part.prep
    return DataPlaneReport(
        transaction_id=record.part.transaction_id,
        part_id=record.part.part_id,
        reservation_id=prep.reservation_id if prep else "",
        state=record.data_plane.state,
        reason=record.data_plane.reason,
    )
