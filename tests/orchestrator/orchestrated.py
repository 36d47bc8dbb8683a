"""Instances of an orchestrator with the services they offer and shipped agents, in virtual time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import Any, Self

import pytest
import structlog
from grpc import StatusCode

from agents.agent import Agent
from agents.backends import open_backend
from agents.backends.base import Backend
from agents.backends.cloud import ProviderBackend
from agents.backends.hosts.embedder import Embedder
from agents.book import Book
from agents.peers import Sender
from agents.store import MemoryStore as AgentStore
from braid.v1 import common_pb2, reservations_pb2 as pb
from orchestrator.bounds import Bounds
from orchestrator.engine import Engine, Limits
from orchestrator.instance import Instance
from orchestrator.memory import MemoryStore
from orchestrator.ports import Carrier, Changes
from orchestrator.records import Reservation
from orchestrator.server import ReservationsService
from protocol.messages import ToAgent, ToOrchestrator
from protocol.participant import Rules
from runtime.apart import at_once
from runtime.database import StorageError
from runtime.errors import RequestError
from simulations.clock import EPOCH_MS, CountingIds, LoopClock, run_virtual
from simulations.gateway import ORCHESTRATOR_ID, MemoryGateway, Message

G = 10**9
NOW_S = EPOCH_MS // 1000
HOUR_S = 3600
LEASE_MS = 3_000
NO_CONTEXT: Any = None
"""No call of these services looks at its context."""

Test = Callable[..., Coroutine[Any, Any, None]]


def virtual(test: Test) -> Callable[..., None]:
    """Runs a coroutine test in virtual time; what breaks in the background fails it."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with structlog.testing.capture_logs() as logs:
            run_virtual(test(*args, **kwargs))
        assert not [entry for entry in logs if entry["log_level"] in ("error", "critical")]

    return run


def noisy(test: Test) -> Callable[..., None]:
    """As ``virtual``, where errors in the log are part of the matter."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with structlog.testing.capture_logs():
            run_virtual(test(*args, **kwargs))

    return run


def port(name: str, remote: str = "", capacity: str = "100G") -> dict[str, Any]:
    values = {"name": name, "capacity": capacity, "vlans": "100-199"}
    return {**values, "remote": remote} if remote else values


def sites(
    *middle: str, expiring: str = "", blind: str = "", names: Collection[str] = ("west", "east")
) -> list[dict[str, Any]]:
    """West and east, joined by parallel domains of 100 Gb/s each; one may insist on expiry."""
    ends = [
        {
            "domain": site,
            "backend": "pip",
            "ports": [port("host", capacity="1T"), *(port(m, f"{m}:{site}") for m in middle)],
        }
        for site in names
    ]
    return ends + [
        {
            "domain": name,
            "backend": "wan",
            "visible": name != blind,
            "hold_timeout_s": 30 if name == expiring else None,
            "ports": [port(site, f"{site}:{name}") for site in names],
        }
        for name in middle
    ]


class Store(MemoryStore):
    """``fails``: what becomes of a write, "before" it is done or "after"; ``reads_take_s``."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        super().__init__(now_ms=now_ms)
        self.fails: Callable[[Changes], str] = lambda changes: ""
        self.reads_take_s = 0.0

    async def save(self, changes: Changes, fence: int = 0) -> None:
        failure = self.fails(changes)
        if failure == "before":
            raise StorageError("the disk is full")
        await super().save(changes, fence)
        if failure == "after":
            raise StorageError("the connection was lost")

    async def reservation(self, reservation_id: str) -> Reservation | None:
        await asyncio.sleep(self.reads_take_s)
        return await super().reservation(reservation_id)


class Gateway(MemoryGateway):
    """Tells agents which instance it belongs to."""

    def __init__(self, name: str, passage: Any) -> None:
        super().__init__(passage)
        self._sender = Sender(ORCHESTRATOR_ID, name)

    def _reach_agent(self, domain: str, session: int, message: ToAgent) -> None:
        if self._sessions[domain] == session:
            self._agents[domain].receive(self._sender, message)


@dataclass(frozen=True, slots=True)
class One:
    """One instance, as its clients see it."""

    instance: Instance
    gateway: Gateway
    reservations: ReservationsService

    @property
    def engine(self) -> Engine:
        return self.instance.engine

    async def reserve(self, request: pb.Reservation) -> pb.ReservationRecord:
        return await self.reservations.Reserve(request, NO_CONTEXT)

    async def modify(self, reservation_id: str, request_id: str, gbps: int) -> pb.ReservationRecord:
        change = pb.ModifyRequest(
            reservation_id=reservation_id, request_id=request_id, bandwidth_bps=gbps * G
        )
        return await self.reservations.Modify(change, NO_CONTEXT)

    async def cancel(self, reservation_id: str) -> pb.ReservationRecord:
        request = pb.CancelRequest(reservation_id=reservation_id)
        return await self.reservations.Cancel(request, NO_CONTEXT)

    async def get(self, reservation_id: str) -> pb.ReservationRecord:
        request = pb.GetRequest(reservation_id=reservation_id)
        return await self.reservations.Get(request, NO_CONTEXT)

    async def events(self, reservation_id: str, after: int = 0) -> list[pb.ReservationEvent]:
        """All events until it is decided."""
        request = pb.WatchRequest(
            reservation_id=reservation_id, after_sequence=after, until_decided=True
        )
        return [event async for event in self.reservations.Watch(request, NO_CONTEXT)]


class Orchestrated:
    """``async with`` it. ``delay`` tells when a message arrives, in seconds; None: never."""

    def __init__(self, configs: Collection[dict[str, Any]], **limits: Any) -> None:
        self.clock, self.ids = LoopClock(), CountingIds()
        self.carrier: Carrier | None = None
        self.hosts: Embedder | None = None
        """Those of the next provider whose agent starts; None: its own."""
        self.store = Store(self.clock.now_ms)
        self.agents: dict[str, Agent] = {}
        self.agent_stores: dict[str, AgentStore] = {}
        self.delay: Callable[[str, Message], float | None] = lambda domain, message: 0.0
        self._ones: dict[str, One] = {}
        self._configs, self._limits = configs, Limits(**limits)

    async def start(self, name: str = "a") -> One:
        """A new life of an instance, connected to all domains."""
        gateway = Gateway(name, self._passage)
        engine = Engine(ORCHESTRATOR_ID, self.store, gateway, self.clock, self.ids, self._limits)
        engine.carrier = self.carrier
        instance = Instance(engine, name, LEASE_MS)
        service = ReservationsService(instance.orchestrator, Bounds())
        self._ones[name] = One(instance, gateway, service)
        await instance.start()
        gateway.up(*self.agents.values())
        await instance.resume()
        return self._ones[name]

    async def kill(self, name: str) -> None:
        """As ``kill -9`` does."""
        one = self._ones.pop(name)
        await one.instance.abandon()
        await one.gateway.close()

    def held(self) -> dict[str, list[tuple[str, int]]]:
        """Reservation and version of what each domain holds; those that hold nothing left out."""
        found = {}
        for name, agent in self.agents.items():
            preps = [record.part.prep for record in agent.holdings(None, 1000)]
            found[name] = sorted((p.reservation_id, p.version) for p in preps if p is not None)
        return {name: rows for name, rows in found.items() if rows}

    async def __aenter__(self) -> Self:
        for config in self._configs:
            await self.start_agent(config)
        return self

    async def start_agent(self, config: dict[str, Any]) -> Agent:
        """A new life of an agent, with what it stored before."""
        book = Book(self.opened(config))
        name = book.backend.describe().name
        rules = Rules(hold_timeout_s=config.get("hold_timeout_s"))
        send, store = self._sends(name), self.agent_stores.setdefault(name, AgentStore())
        agent = Agent(book, store, self.clock, send, rules, recheck_ms=None, ids=self.ids)
        await agent.start()
        self.agents[name] = agent
        return agent

    def opened(self, config: dict[str, Any]) -> Backend:
        """The backend of a domain."""
        backend = open_backend(dict(config))
        if isinstance(backend, ProviderBackend):
            backend.apart = at_once
            backend.embedder, self.hosts = self.hosts or backend.embedder, None
        return backend

    async def __aexit__(self, *_: object) -> None:
        for name in list(self._ones):
            await self.kill(name)
        for agent in self.agents.values():
            await agent.stop()

    def _passage(self, domain: str, message: Message) -> tuple[float, ...]:
        after_s = self.delay(domain, message)
        return () if after_s is None else (after_s,)

    def _sends(self, domain: str) -> Callable[[Sender, ToOrchestrator], None]:
        def send(to: Sender, message: ToOrchestrator) -> None:
            one = self._ones.get(to.instance_id)
            if one is not None:
                one.gateway.sender(domain)(to, message)

        return send


def wanted(gbps: int = 10, request_id: str = "r", **fields: Any) -> pb.Reservation:
    """A circuit from west to east, from an hour from now; ``fields`` replace what it is made of."""
    values: dict[str, Any] = {
        "request_id": request_id,
        "source": "west:host",
        "destination": "east:host",
        "bandwidth_bps": gbps * G,
        "window": common_pb2.Window(start_s=NOW_S + 3600, end_s=NOW_S + 7200),
        **fields,
    }
    return pb.Reservation(**values)


def asked(gbps: int, request_id: str, hours: tuple[int, int] = (1, 2), **more: Any) -> Any:
    """The same, from and until so many hours from now."""
    window = common_pb2.Window(start_s=NOW_S + hours[0] * HOUR_S, end_s=NOW_S + hours[1] * HOUR_S)
    return wanted(gbps, request_id, window=window, **more)


def deaf(domain: str, *kinds: type[object]) -> Any:
    """Messages of these kinds never reach the domain."""

    def delay(name: str, message: Message) -> float | None:
        return None if name == domain and isinstance(message, kinds) else 0.0

    return delay


async def refused(call: Awaitable[object], code: StatusCode, field: str) -> RequestError:
    """The call ends with this status, which names this field."""
    with pytest.raises(RequestError) as caught:
        await call
    assert (caught.value.code, caught.value.field) == (code, field)
    return caught.value


async def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    """Waits in virtual time."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
