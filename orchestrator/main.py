"""Puts an orchestrator together, runs it, and takes it down in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog

from braid.v1.cloudnets_pb2_grpc import add_CloudNetsServicer_to_server
from braid.v1.doubts_pb2_grpc import add_DoubtsServicer_to_server
from braid.v1.reservations_pb2_grpc import add_ReservationsServicer_to_server
from braid.v1.topology_pb2_grpc import add_TopologyServicer_to_server
from orchestrator.carrier import GrpcCarrier
from orchestrator.cloudnet_server import CloudNetsService
from orchestrator.domains import GrpcGateway
from orchestrator.doubts import DoubtsService
from orchestrator.engine import Engine
from orchestrator.instance import Instance
from orchestrator.server import ReservationsService
from orchestrator.settings import OrchestratorSettings
from orchestrator.store import DatabaseStore, open_store
from orchestrator.topology_server import TopologyService
from runtime import signals
from runtime.apart import OneThread
from runtime.clock import RandomIds, SystemClock
from runtime.database import StorageError
from runtime.metrics import exposed
from runtime.schema import upgrade
from runtime.server import GRACE_S, Add, GrpcServer, open_channel
from runtime.settings import SettingsError
from substrate.values import dataclass

log = structlog.get_logger()

FOLLOW_S = 2.0
LAME_DUCK_S = 1.0
"""How long clients are told to go elsewhere, before they are sent away."""
READY_S = 3.0
"""How long a start waits for its domains, before it takes up old work and new requests."""


@dataclass(frozen=True, slots=True)
class Running:
    """An instance that serves at ``address``; ``metrics``: where Prometheus reads."""

    instance: Instance
    address: str
    metrics: str


@asynccontextmanager
async def running(settings: OrchestratorSettings) -> AsyncIterator[Running]:
    """An instance that serves for the length of the block.

    Raises SchemaError, WrongDatabaseError, StorageError, ListenError.
    """
    await asyncio.to_thread(upgrade, settings.database, "orchestrator")
    store = open_store(settings.database)
    clock, ids = SystemClock(), RandomIds()
    connect = partial(open_channel, tls=settings.tls, insecure=settings.insecure)
    instance_id = settings.instance()
    gateway = GrpcGateway(settings.orchestrator_id, instance_id, connect, clock)
    engine = Engine(settings.orchestrator_id, store, gateway, clock, ids, settings.limits())
    apart = engine.apart = OneThread()
    engine.carrier = GrpcCarrier(gateway, errand_of=engine.errand_of)
    instance = Instance(engine, instance_id, round(settings.lease_s * 1000))
    following: asyncio.Task[None] | None = None
    try:
        await store.belong(settings.orchestrator_id)
        server = GrpcServer(settings, _services(instance, gateway, settings))
        gateway.instance_epoch = lambda: engine.epoch
        await instance.start()
        await gateway.start({item.domain: item.target for item in settings.domains}, store)
        await gateway.ready(READY_S)
        await instance.resume()
        following = asyncio.create_task(_follow(gateway, store))
        engine.meter.watch(engine)
        store.measured_by(engine.meter.registry)
        with exposed(engine.meter.registry, settings.metrics) as metrics:
            await server.start()
            try:
                yield Running(instance, server.address, metrics)
            finally:
                await _drain(server, instance, settings.drain_timeout_s)
    finally:
        if following is not None:
            following.cancel()
        await instance.stop()
        apart.stop()
        await gateway.stop()
        await store.close()


async def run_orchestrator(
    settings: OrchestratorSettings, started: Callable[[str], None] | None = None
) -> None:
    """Serves until SIGTERM or SIGINT; ``started`` is called with the address.

    Raises as running, and SettingsError when another process runs under the same instance_id.
    """
    stopped = asyncio.Event()
    signals.on_stop(stopped.set)
    async with running(settings) as it:
        if started is not None:
            started(it.address)
        log.info(
            "orchestrator serves",
            address=it.address,
            metrics=it.metrics,
            orchestrator=settings.orchestrator_id,
            instance=it.instance.instance_id,
        )
        waiting = [asyncio.create_task(event.wait()) for event in (stopped, it.instance.superseded)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        log.info("orchestrator stops")
    if it.instance.superseded.is_set():
        if settings.database.startswith("sqlite"):
            raise SettingsError(
                "database: another process has taken this file over: several instances need"
                " PostgreSQL"
            )
        raise SettingsError(
            f"instance_id: another process runs as '{it.instance.instance_id}' on this database:"
            " give each its own"
        )


def _services(
    instance: Instance, gateway: GrpcGateway, settings: OrchestratorSettings
) -> dict[str, Add]:
    reservations = ReservationsService(instance.orchestrator, settings.bounds())
    topology = TopologyService(instance.engine, gateway)
    doubts = DoubtsService(instance.orchestrator, gateway)
    return {
        "braid.v1.Reservations": partial(add_ReservationsServicer_to_server, reservations),
        "braid.v1.Topology": partial(add_TopologyServicer_to_server, topology),
        "braid.v1.CloudNets": partial(
            add_CloudNetsServicer_to_server, CloudNetsService(reservations, gateway)
        ),
        "braid.v1.Doubts": partial(add_DoubtsServicer_to_server, doubts),
    }


async def _drain(server: GrpcServer, instance: Instance, timeout_s: float) -> None:
    """Says NOT_SERVING, then refuses new work, then closes; what is in progress is finished.

    Takes ``timeout_s`` and GRACE_S at most.
    """
    await server.drain()
    finishing = asyncio.create_task(instance.drain(timeout_s))
    await asyncio.wait([finishing], timeout=LAME_DUCK_S)
    # From now on clients go to other instances by themselves; calls in progress go on.
    closing = asyncio.create_task(server.stop(timeout_s + GRACE_S))
    await finishing
    await server.stop(GRACE_S)
    await closing


async def _follow(gateway: GrpcGateway, store: DatabaseStore) -> None:
    """Connects to domains that registered with another instance, and leaves who left there."""
    while True:
        await asyncio.sleep(FOLLOW_S)
        try:
            await gateway.follow(await store.targets())
        except StorageError as error:
            log.warning("registered domains cannot be read", error=str(error))
        except Exception:
            log.exception("registered domains cannot be followed")
