"""Orchestrator instances and agents as processes: wired as production wires them, and mortal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, cast

import grpc

from agents.agent import Agent
from agents.backends import open_backend
from agents.backends.base import Free
from agents.backends.hosts.embedder import Embedder
from agents.backends.hosts.fabric import Fabric
from agents.backends.hosts.memory import MemoryHosts
from agents.book import Book
from agents.clouds import Hosting
from agents.server import service
from agents.streams import Streams
from braid.v1.reservations_pb2_grpc import add_ReservationsServicer_to_server
from orchestrator.bounds import Bounds
from orchestrator.carrier import GrpcCarrier
from orchestrator.domains import GrpcGateway
from orchestrator.engine import Engine, Limits
from orchestrator.instance import Instance
from orchestrator.memory import MemoryStore
from orchestrator.ports import Changes, Store
from orchestrator.server import ReservationsService
from protocol.messages import Offer
from protocol.participant import Rules
from runtime.apart import at_once
from runtime.database import StorageError
from simulations.clock import EPOCH_MS
from simulations.faults.disks import AgentDatabase, AgentDisk, Connection
from simulations.faults.loop import FaultLoop, Process
from simulations.faults.pipeline import Pipeline, Writes
from simulations.faults.rpc import Channel, Services
from simulations.faults.wire import Wire
from substrate.model import Directionality, Step, Window

LIMITS = Limits(offers_reuse_ms=2000, carry_ms=15_000)
START_AGAIN_S = 1.0
READY_S = 1.0
STALL_S = 10.0
"""After how long a copy that does not go on is begun again."""


@dataclass(slots=True)
class Surroundings:
    """What every party needs of the world."""

    loop: FaultLoop
    seed: str
    wire: Wire
    writes: Writes
    note: Callable[[str], None]


class PartyIds:
    """The :class:`runtime.clock.Ids` of one life of one party: nobody else makes the same."""

    def __init__(self, party: int, life: int) -> None:
        self._head, self._last = f"{party:04x}{life:04x}", 0

    def new(self) -> str:
        """The next id."""
        self._last += 1
        return f"{self._head}{self._last:024x}"


@dataclass(slots=True)
class PartyClock:
    """The :class:`runtime.clock.Clock` of one party's machine, which may be wrong."""

    loop: FaultLoop
    skew_ms: int = 0

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return EPOCH_MS + self.skew_ms + round(self.loop.now_s * 1000)


@dataclass(slots=True)
class Life:
    """One process of a party and its way to the database."""

    process: Process
    pipeline: Pipeline


@dataclass
class Party:
    """An instance or a domain: at most times one process, which is started again when it ends."""

    name: str
    number: int
    around: Surroundings
    clock: PartyClock = field(init=False)
    slow: float = 1.0
    down: int = 0
    """How many faults keep it from being started."""
    lives: list[Life] = field(default_factory=list)
    _started: int = 0

    def __post_init__(self) -> None:
        self.clock = PartyClock(self.around.loop)

    def start(self, twin: bool = False) -> None:
        """Starts a process, unless it may not run or (no twin) one does."""
        if self.down or (self.lives and not twin):
            return
        self._started += 1
        around, number = self.around, self._started
        process = Process(around.loop, f"{self.name}.{number}")
        dice = Random(f"{around.seed}/{self.name}/{number}")
        pipeline = Pipeline(
            around.loop, around.wire.context, self.name, dice, around.writes, around.note
        )
        pipeline.slow = self.slow
        life = Life(process, pipeline)
        self.lives.append(life)
        around.note(f"{process.name} starts")
        task = process.spawn(self._live(life, PartyIds(self.number, number)))
        task.add_done_callback(partial(self._ended, life), context=self.around.wire.context.copy())

    def kill(self, life: Life | None = None) -> None:
        """One process dies at once, or all of them."""
        for dead in [life] if life is not None else list(self.lives):
            if dead in self.lives:
                self.lives.remove(dead)
                dead.process.kill()
                dead.pipeline.killed()
                self.around.wire.gone(dead.process)
                self.around.note(f"{dead.process.name} is dead")

    def slow_down(self, factor: float) -> None:
        """Its database takes so many times as long."""
        self.slow = factor
        for life in self.lives:
            life.pipeline.slow = factor

    async def run(self, life: Life, ids: PartyIds) -> None:
        """A life; returns when another one has taken over. Raises StorageError."""
        raise NotImplementedError

    async def _live(self, life: Life, ids: PartyIds) -> None:
        with suppress(StorageError):
            await self.run(life, ids)

    def _ended(self, life: Life, task: asyncio.Task[None]) -> None:
        """As whoever watches over services does: starts it again."""
        error = task.exception()
        if error is not None:
            self.around.wire.broken(error)
        self.kill(life)
        self.around.loop.call_later(START_AGAIN_S, self.start, context=self.around.wire.context)


@dataclass
class AgentParty(Party):
    """A domain with its agent, whose database survives it."""

    config: Mapping[str, Any] = field(default_factory=dict)
    orchestrators: tuple[str, ...] = ()
    wrote: Callable[[str], None] = lambda _domain: None
    dies: Callable[[], None] = lambda: None
    """Called before its hosts may forget what they have."""
    database: AgentDatabase = field(default_factory=AgentDatabase)
    truth: int = 100
    """How many percent of the truth its offers say."""
    restored: bool = False
    lasting: bool = False
    """Whether hosts and inner switches stay as they are when the agent's process ends."""
    machines: Embedder | None = None
    """Of an earlier life, by which they were reached."""
    agents: list[tuple[Life, Agent]] = field(default_factory=list)

    @property
    def agent(self) -> Agent | None:
        """The running agent: of two processes that which took the database over last."""
        known = self.database.memory.life
        since = known.boot if known is not None else 0
        # One whose database another has taken over may run on when that one has died.
        running = [a for life, a in self.agents if life in self.lives and a.life.boot >= since]
        if len(running) < 2:
            return running[0] if running else None
        return max(running, key=lambda agent: agent.life.boot)

    @property
    def embedder(self) -> Embedder | None:
        """Of a provider that runs: what its agent has made on hosts and inner switches."""
        agent = self.agent if "cloud" in self.config else None
        return agent.clouds._backend.embedder if agent is not None and agent.clouds else None

    def kill(self, life: Life | None = None) -> None:
        self.dies()
        super().kill(life)
        self.agents = [(life, agent) for life, agent in self.agents if life in self.lives]

    async def run(self, life: Life, ids: PartyIds) -> None:
        book = Book(open_backend(self.config))
        if book.cloud is not None:
            self._with_machines(cast(Hosting, book.backend))
        _make_lie(book, lambda: self.truth)
        disk = AgentDisk(self.database, life.pipeline, lambda: self.wrote(self.name))
        streams = Streams()
        agent = Agent(
            book,
            disk,
            self.clock,
            streams.send,
            Rules(inquire_after_s=2, inquire_max_s=20),
            orchestrators=self.orchestrators,
            ids=ids,
        )
        await agent.start(self.restored)
        self.agents.append((life, agent))
        self.restored = False
        services = Services()
        for add in service(agent, streams, self.clock).values():
            add(cast(grpc.aio.Server, services))
        self.around.wire.serve(self.name, life.process, services)
        await agent.superseded.wait()

    def _with_machines(self, backend: Hosting) -> None:
        # The loop knows no threads.
        backend.apart = at_once
        for host in backend.embedder.hosts.specs:
            plugin = backend.embedder.hosts.plugin(host)
            assert isinstance(plugin, MemoryHosts)
            plugin._clock = self.clock
        if not self.lasting:
            return
        if self.machines is not None:
            fabric = self.machines.fabric
            backend.embedder = Embedder(self.machines.hosts, Fabric(fabric.switches, fabric.wiring))
        self.machines = backend.embedder


@dataclass
class InstanceParty(Party):
    """An instance of an orchestrator."""

    orchestrator_id: str = ""
    domains: tuple[str, ...] = ()
    lease_ms: int = 3000
    memory: MemoryStore = field(default_factory=MemoryStore)
    saved: Callable[[str, Changes], None] = lambda _orchestrator, _changes: None
    instance: Instance | None = None

    async def run(self, life: Life, ids: PartyIds) -> None:
        around = self.around
        saved = partial(self.saved, self.orchestrator_id)
        store = cast(Store, Connection(self.memory, life.pipeline, saved))
        gateway = GrpcGateway(self.orchestrator_id, self.name, self._channel, self.clock)
        engine = Engine(
            self.orchestrator_id, store, gateway, self.clock, ids, LIMITS, record_progress=False
        )
        engine.carrier = GrpcCarrier(gateway, STALL_S, engine.errand_of)
        instance = Instance(engine, self.name, self.lease_ms)
        gateway.instance_epoch = lambda: engine.epoch
        await instance.start()
        await gateway.start({name: name for name in self.domains}, store)
        await gateway.ready(READY_S)
        await instance.resume()
        services = Services()
        service = ReservationsService(instance.orchestrator, Bounds())
        add_ReservationsServicer_to_server(service, cast(grpc.aio.Server, services))
        around.wire.serve(self.name, life.process, services)
        self.instance = instance
        await instance.superseded.wait()

    @property
    def reaches_all(self) -> bool:
        """Whether it is connected with every domain, if it ever started."""
        return self.instance is None or all(self.instance.engine.gateway.states().values())

    def _channel(self, target: str) -> grpc.aio.Channel:
        channel: Channel = self.around.wire.channel(self.name, target)
        return cast(grpc.aio.Channel, channel)


def _make_lie(book: Book, truth: Callable[[], int]) -> None:
    """Offers then promise too much or too little; holds are decided as ever."""
    backend = book.backend
    honest = backend.offers

    def offers(
        pairs: Any, window: Window, directionality: Directionality, free: Free
    ) -> tuple[Offer, ...]:
        percent = truth()
        found = honest(pairs, window, directionality, free)
        if percent == 100:
            return found
        return tuple(_untrue(offer, percent) for offer in found)

    backend.offers = offers  # type: ignore[method-assign]


def _untrue(offer: Offer, percent: int) -> Offer:
    profile = tuple(
        Step(step.start_s, step.bandwidth_bps * percent // 100) for step in offer.profile
    )
    return replace(offer, profile=profile)
