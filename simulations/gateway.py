"""Domains in the same event loop as their orchestrator: messages handed over in memory.

They travel by ``loop.call_soon``, so they keep their order; a :data:`Passage` may lose, delay or
double them, and domains may be cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from agents.agent import Agent
from agents.peers import Send, Sender
from agents.values import Record
from agents.watchers import Watcher
from orchestrator.ports import DataPlaneReport, Listener
from protocol.messages import ToAgent, ToOrchestrator
from substrate.model import Domain
from substrate.topology import Topology

ORCHESTRATOR_ID = "simulated"

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

    def states(self) -> dict[str, bool]:
        """Whether each domain that was ever up is so now."""
        return {name: name in self.topology().domains for name in self.known().domains}

    def awaited(self) -> frozenset[str]:
        """None: those that are not up yet are none of it yet."""
        return frozenset()

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

    def sender(self, domain: str) -> Send:
        """How that domain's agent sends."""

        def send(_to: Sender, message: ToOrchestrator) -> None:
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


def _report(record: Record) -> DataPlaneReport:
    prep = record.part.prep
    return DataPlaneReport(
        transaction_id=record.part.transaction_id,
        part_id=record.part.part_id,
        reservation_id=prep.reservation_id if prep else "",
        state=record.data_plane.state,
        reason=record.data_plane.reason,
    )
