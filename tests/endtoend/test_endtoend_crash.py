"""The orchestrator as a process of its own, killed with SIGKILL at bad moments."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from world import G, World, diamond, eventually

from braid.v1 import reservations_pb2 as pb
from braid.v1.reservations_pb2_grpc import ReservationsStub
from braid.v1.topology_pb2_grpc import TopologyStub


@asynccontextmanager
async def world_without_orchestrator(folder: Path) -> AsyncIterator[World]:
    made = World(folder, "", {config["domain"]: config for config in diamond()})
    try:
        for name in made.configs:
            await made.start_agent(name)
        yield made
    finally:
        await made.close()


class Process:
    """``braid serve`` as a child process; reachable through ``world`` while it runs."""

    def __init__(self, made: World, database: str) -> None:
        self._world, self._database = made, database

    async def start(self) -> None:
        domains = [f"--domain={n}={a.address}" for n, a in sorted(self._world.agents.items())]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "commands.main", "serve", "--insecure", "--listen",
            "127.0.0.1:0", "--database", self._database, *domains,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert self._process.stdout is not None
        line = json.loads(await asyncio.wait_for(self._process.stdout.readline(), 60))
        self._channel = grpc.aio.insecure_channel(line["listening"])
        self._world.reservations = ReservationsStub(self._channel)
        self._world.topology = TopologyStub(self._channel)
        await self._world.all_up()

    async def kill(self, number: int = signal.SIGKILL) -> int:
        os.kill(self._process.pid, number)
        code = await asyncio.wait_for(self._process.wait(), 60)
        await self._channel.close()
        return code


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, database: str) -> None:
    async with world_without_orchestrator(tmp_path) as w:
        process = Process(w, database)
        await process.start()
        record = await w.reserve(150 * G)
        assert record.state == pb.RESERVATION_STATE_COMMITTED
        await process.kill()
        await process.start()
        kept = await w.get(record.reservation_id)
        assert kept.state == pb.RESERVATION_STATE_COMMITTED
        assert kept.paths == record.paths
        assert set(await w.held()) == {"west", "east", "m1", "m2"}
        await w.cancel(record.reservation_id)
        await w.nothing_held()
        await process.kill()


async def test_a_negotiation_killed_half_way_ends_decided_and_consistent(
    tmp_path: Path, database: str
) -> None:
    async with world_without_orchestrator(tmp_path) as w:
        process = Process(w, database)
        await process.start()
        for pause_s in (0.0, 0.01, 0.03):
            request = w.request(150 * G, detach=True)
            await w.reservations.Reserve(request)
            await asyncio.sleep(pause_s)
            await process.kill()
            await process.start()
            request.detach = False
            again: Any = await w.reservations.Reserve(request, timeout=60)
            assert again.state == pb.RESERVATION_STATE_COMMITTED, again.refusals

            async def each_domain_once(reservation_id: str = again.reservation_id) -> bool:
                held = [await w.holdings(name) for name in ("west", "m1", "m2", "east")]
                return all(
                    [h.reservation_id for h in parts] == [reservation_id] and parts[0].state == 2
                    for parts in held
                )

            await eventually(each_domain_once)
            await w.cancel(again.reservation_id)
            await w.nothing_held()
        await process.kill()


async def test_sigterm_ends_the_process_in_order(tmp_path: Path, sqlite_url: str) -> None:
    async with world_without_orchestrator(tmp_path) as w:
        process = Process(w, sqlite_url)
        await process.start()
        await w.reserve(10 * G)
        assert await process.kill(signal.SIGTERM) == 0
