"""All domains of one orchestrator over gRPC: configured, registered, up or down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import grpc

from orchestrator.link import AgentLink, Caller, OpenChannel, Status
from orchestrator.ports import Listener, Store
from protocol.messages import ToAgent
from runtime.clock import Clock
from substrate.model import Domain
from substrate.topology import Topology


class GrpcGateway:
    """The :class:`orchestrator.ports.Gateway` of production."""

    def __init__(
        self, orchestrator_id: str, instance_id: str, open_channel: OpenChannel, clock: Clock
    ) -> None:
        self._orchestrator_id, self._instance_id = orchestrator_id, instance_id
        self._open_channel, self._clock = open_channel, clock
        self._registered: set[str] = set()
        self.instance_epoch: Callable[[], int] = lambda: 0
        self._links: dict[str, AgentLink] = {}
        self._configured: frozenset[str] = frozenset()
        self._listener: Listener | None = None
        # Drawn when they are wanted: links change more often, all at once after a start.
        self._up: Topology | None = None
        self._known: Topology | None = None
        self._moved = asyncio.Event()

    def listen(self, listener: Listener) -> None:
        self._listener = listener

    async def start(self, configured: Mapping[str, str], store: Store) -> None:
        """Connects to the configured domains and those that registered earlier."""
        registered = await store.targets()
        self._registered = set(registered) - set(configured)
        self._configured = frozenset(configured)
        targets = {**registered, **configured}
        for name in sorted(targets):
            await self.join(name, targets[name])

    async def stop(self) -> None:
        """Closes all connections."""
        await asyncio.gather(*(link.stop() for link in self._links.values()))

    async def join(self, name: str, target: str) -> None:
        """Connects to a domain, now and for good; another target moves it."""
        link = self._links.get(name)
        if link is not None:
            if link.status.target == target:
                return
            await link.stop()
        assert self._listener is not None, "listen() comes first"
        self._links[name] = AgentLink(
            name,
            target,
            self._caller,
            self._open_channel,
            self._clock,
            self._listener,
            self._refresh,
        )
        self._links[name].start()
        self._refresh()

    async def follow(self, targets: Mapping[str, str]) -> None:
        """Connects to what is registered now, and leaves what no longer is."""
        wanted = {name: targets[name] for name in sorted(targets) if name not in self._configured}
        for name in sorted(self._registered - set(wanted)):
            await self.leave(name)
        for name, target in wanted.items():
            await self.join(name, target)
        self._registered = set(wanted)

    async def leave(self, name: str) -> None:
        """Forgets a domain."""
        link = self._links.pop(name, None)
        if link is not None:
            await link.stop()
            self._refresh()

    async def settled(self, name: str, timeout_s: float) -> Status | None:
        """Its status once it is up, or after ``timeout_s``; None: it has left meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while (status := self.status(name)) is not None and not status.up:
                    await self._moved.wait()
        return self.status(name)

    async def ready(self, timeout_s: float) -> None:
        """Waits until every domain is up, or for ``timeout_s``: who is not there is left out."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not all(link.status.up for link in self._links.values()):
                    await self._moved.wait()

    def statuses(self) -> tuple[Status, ...]:
        """All domains, by name."""
        return tuple(self._links[name].status for name in sorted(self._links))

    def status(self, name: str) -> Status | None:
        link = self._links.get(name)
        return link.status if link is not None else None

    def topology(self) -> Topology:
        if self._up is None:
            self._up = Topology([s.domain for s in self.statuses() if s.domain and s.up])
        return self._up

    def known(self) -> Topology:
        if self._known is None:
            self._known = Topology([s.domain for s in self.statuses() if s.domain])
        return self._known

    def states(self) -> dict[str, bool]:
        statuses = [link.status for link in list(self._links.values())]
        return {status.name: status.up for status in statuses}

    def awaited(self) -> frozenset[str]:
        return frozenset(status.name for status in self.statuses() if status.domain is None)

    def domain(self, name: str) -> Domain | None:
        link = self._links.get(name)
        return link.status.domain if link is not None else None

    def channel(self, name: str) -> grpc.aio.Channel:
        """A channel of its own to a domain's agent; who asks for it closes it."""
        return self._open_channel(self._links[name].status.target)

    def send(self, domain: str, message: ToAgent) -> bool:
        link = self._links.get(domain)
        return link is not None and link.send(message)

    def _caller(self) -> Caller:
        return Caller(self._orchestrator_id, self._instance_id, self.instance_epoch())

    def _refresh(self) -> None:
        self._up = self._known = None
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
