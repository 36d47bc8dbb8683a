"""Puts an orchestrator together, runs it, and takes it down in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog

from braid.v1.reservations_pb2_grpc import add_ReservationsServicer_to_server
from braid.v1.topology_pb2_grpc import add_TopologyServicer_to_server
from orchestrator.domains import GrpcGateway
from orchestrator.engine import Engine
from orchestrator.recovery import recover, resume
from orchestrator.server import ReservationsService
from orchestrator.service import Orchestrator
from orchestrator.settings import OrchestratorSettings
from orchestrator.store import DatabaseStore
from orchestrator.topology_server import TopologyService
from runtime.clock import RandomIds, SystemClock
from runtime.database import Database, StorageError
from runtime.schema import upgrade
from runtime.server import open_channel, serving

log = structlog.get_logger()

TICK_S = 0.5
READY_S = 3.0
"""How long a start waits for its domains, before it takes up old work and new requests."""


@asynccontextmanager
async def running(settings: OrchestratorSettings) -> AsyncIterator[str]:
    """An orchestrator that serves for the length of the block; yields its address.

    Raises SchemaError, StorageError, ListenError.
    """
    await asyncio.to_thread(upgrade, settings.database, "orchestrator")
    database = Database(settings.database)
    clock, ids = SystemClock(), RandomIds()
    store = DatabaseStore(database)
    connect = partial(open_channel, tls=settings.tls, insecure=settings.insecure)
    gateway = GrpcGateway(settings.orchestrator_id, connect, clock)
    engine = Engine(settings.orchestrator_id, store, gateway, clock, ids, settings.limits())
    orchestrator = Orchestrator(engine)
    reservations = ReservationsService(orchestrator, settings.bounds())
    topology = TopologyService(engine, gateway)
    services = {
        "braid.v1.Reservations": partial(add_ReservationsServicer_to_server, reservations),
        "braid.v1.Topology": partial(add_TopologyServicer_to_server, topology),
    }
    ticking = asyncio.create_task(_tick(orchestrator))
    try:
        unfinished = await recover(engine)
        await gateway.start({item.domain: item.target for item in settings.domains}, store)
        await gateway.ready(READY_S)
        for live in unfinished:
            await resume(engine, live)
        async with serving(settings, services) as server:
            yield server.address
    finally:
        ticking.cancel()
        await engine.stop()
        await gateway.stop()
        await database.close()


async def run_orchestrator(
    settings: OrchestratorSettings, started: Callable[[str], None] | None = None
) -> None:
    """Serves until SIGTERM or SIGINT; ``started`` is called with the address. Raises as running."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with running(settings) as address:
        if started is not None:
            started(address)
        log.info("orchestrator serves", address=address, orchestrator=settings.orchestrator_id)
        await stopped.wait()
        log.info("orchestrator stops")


async def _tick(orchestrator: Orchestrator) -> None:
    while True:
        try:
            await orchestrator.tick()
        except StorageError:
            log.exception("tick could not write, will be repeated")
        await asyncio.sleep(TICK_S)
