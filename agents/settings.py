"""An agent's settings file, and the wiring of everything that it describes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import grpc
import grpc.aio
import structlog
from pydantic import Field, model_validator

from agents.agent import Agent
from agents.backends import open_backend
from agents.book import Book
from agents.server import service
from agents.store import DatabaseStore
from agents.streams import Streams
from braid.v1 import topology_pb2, topology_pb2_grpc
from protocol.participant import Rules
from runtime import logs, schema, signals
from runtime.clock import Clock, SystemClock
from runtime.database import Database
from runtime.metrics import exposed, measure_database
from runtime.server import GrpcServer, open_channel
from runtime.settings import ListenSettings, LogSettings, SettingsError, read_yaml, validate
from substrate.values import dataclass

JOIN_RETRY_S = 1.0
JOIN_RETRY_MAX_S = 60.0
JOIN_TIMEOUT_S = 10.0

_log = structlog.get_logger(__name__)


OrchestratorId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]


class AgentSettings(ListenSettings):
    """What ``braid agent`` reads, apart from the backend's own settings, kept in ``backend``.

    ``database``: a URL, ``sqlite:///file.db`` or ``postgresql://user@host/name``, of this agent
    alone. ``inquire_after_s``: how long a hold waits for a decision before the agent asks, 1 or
    more. ``orchestrators``: ids of the orchestrators whose claims the agent waits for when it
    recovers, and no others; None: of all that its database or they themselves tell of. ``join``:
    orchestrators (``host:port`` or ``unix:path``) at which the agent registers itself, as reachable
    at ``advertise`` (by default the address on which it listens).
    """

    database: str
    inquire_after_s: int = Field(default=5, ge=1, le=3600)
    orchestrators: tuple[OrchestratorId, ...] | None = Field(default=None, min_length=1)
    join: tuple[str, ...] = ()
    advertise: str | None = None
    log: LogSettings = LogSettings()
    backend: dict[str, Any]

    @model_validator(mode="after")
    def _can_be_reached(self) -> AgentSettings:
        wildcard = self.listen.startswith(("0.0.0.0:", "[::]:", ":"))
        if self.join and self.advertise is None and wildcard:
            raise ValueError(
                f"join needs advertise: nobody can connect to {self.listen}; give the host:port at"
                " which orchestrators reach this agent"
            )
        return self


def load_settings(path: Path) -> AgentSettings:
    """Reads a settings file. Raises SettingsError."""
    return agent_settings(read_yaml(path), str(path))


def agent_settings(values: dict[str, Any], source: str) -> AgentSettings:
    """``values`` as settings; what is not the agent's is the backend's. Raises SettingsError."""
    own = set(AgentSettings.model_fields) - {"backend"}
    mine = {name: value for name, value in values.items() if name in own}
    backend = {name: value for name, value in values.items() if name not in own}
    return validate(AgentSettings, {**mine, "backend": backend}, source)


@dataclass(frozen=True)
class RunningAgent:
    """An agent that serves at ``address`` (``host:port`` with the port that was chosen)."""

    agent: Agent
    address: str


@asynccontextmanager
async def open_agent(
    settings: AgentSettings, clock: Clock | None = None, restored: bool = False
) -> AsyncIterator[RunningAgent]:
    """Wires an agent and serves for the length of a block.

    ``restored``: the database comes from a backup (see :meth:`agents.store.Store.load`). Raises
    SettingsError, SchemaError, WrongDatabaseError, RestoreError, StorageError or ListenError.
    """
    clock = clock or SystemClock()
    book = Book(open_backend(settings.backend))
    await asyncio.to_thread(schema.upgrade, settings.database, "agent")
    database = Database(settings.database)
    store = DatabaseStore(database)
    streams = Streams()
    rules = Rules(inquire_after_s=settings.inquire_after_s)
    agent = Agent(book, store, clock, streams.send, rules, orchestrators=settings.orchestrators)
    try:
        await agent.start(restored)
        server = GrpcServer(settings, service(agent, streams, clock))
        agent.meter.watch(agent)
        measure_database(agent.meter.registry, database)
        with exposed(agent.meter.registry, settings.metrics) as metrics:
            await server.start()
            _log.info(
                "agent listening",
                domain=agent.domain.name,
                address=server.address,
                metrics=metrics,
            )
            joining = asyncio.create_task(_join_all(settings, agent.domain.name, server.address))
            try:
                yield RunningAgent(agent, server.address)
            finally:
                joining.cancel()
                agent.drain()
                stopping = asyncio.create_task(server.stop())
                agent.end_watches()
                streams.finish()
                await stopping
    finally:
        await agent.stop()
        await store.close()


async def run_agent(
    settings: AgentSettings,
    started: Callable[[RunningAgent], None] | None = None,
    restored: bool = False,
) -> None:
    """Runs an agent as this process, until SIGTERM or SIGINT; ``started`` is called once it serves.

    Raises as :func:`open_agent`, and SettingsError's when another agent takes its database over.
    """
    logs.configure(settings.log)
    stop = asyncio.Event()
    signals.on_stop(stop.set)
    async with open_agent(settings, restored=restored) as running:
        # What was loaded stays: the collector need not look at all of it again and again.
        gc.freeze()
        if started is not None:
            started(running)
        waiting = [
            asyncio.create_task(stop.wait()),
            asyncio.create_task(running.agent.superseded.wait()),
        ]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        superseded = running.agent.superseded.is_set()
    if superseded:
        raise SettingsError("database: another agent has taken it over; one agent per database")


async def _join_all(settings: AgentSettings, domain: str, address: str) -> None:
    target = settings.advertise or address
    await asyncio.gather(
        *(_join(settings, orchestrator, domain, target) for orchestrator in settings.join)
    )


async def _join(settings: AgentSettings, orchestrator: str, domain: str, target: str) -> None:
    """Registers with one orchestrator, however long it takes."""
    wait_s = JOIN_RETRY_S
    request = topology_pb2.RegisterRequest(domain=domain, target=target)
    async with open_channel(orchestrator, tls=settings.tls, insecure=settings.insecure) as channel:
        stub = topology_pb2_grpc.TopologyStub(channel)
        while True:
            try:
                await stub.Register(request, timeout=JOIN_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                _log.warning(
                    "not joined yet",
                    orchestrator=orchestrator,
                    code=error.code().name,
                    reason=error.details(),
                )
            else:
                _log.info("joined", orchestrator=orchestrator, target=target)
                return
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, JOIN_RETRY_MAX_S)
