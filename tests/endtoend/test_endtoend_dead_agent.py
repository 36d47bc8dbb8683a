"""Agents that are dead or frozen, as processes: whoever does not need them does not notice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import yaml
from world import G, World, agent, diamond, port, world

from braid.v1 import reservations_pb2 as pb, topology_pb2

COMMITTED, FAILED = pb.RESERVATION_STATE_COMMITTED, pb.RESERVATION_STATE_FAILED
PATIENCE_S = 12.0
QUICK_S = 6.0
"""Far less than the patience with an agent that does not answer."""

pytestmark = pytest.mark.timeout(300)


@asynccontextmanager
async def far_away(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """``braid agent`` for the domain far, which nobody else borders on, and its address."""
    config = folder / "far.yaml"
    own = {"listen": "127.0.0.1:0", "insecure": True, "database": f"sqlite:///{folder}/far.db"}
    config.write_text(yaml.safe_dump(agent("far", "wan", [port("a"), port("b")], **own)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "commands.main", "agent", str(config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 50)
        yield process, str(json.loads(line)["listening"])
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def reserve_far(made: World) -> pb.ReservationRecord:
    return await made.reserve(1 * G, source="far:a", destination="far:b")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "frozen"])
async def test_who_does_not_need_an_agent_does_not_wait_for_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with (
        world(
            tmp_path, diamond(), offers_timeout_s=PATIENCE_S, prepare_timeout_s=PATIENCE_S
        ) as made,
        far_away(tmp_path) as (process, target),
    ):
        await made.topology.Register(topology_pb2.RegisterRequest(domain="far", target=target))
        await made.all_up(["far"])
        assert (await reserve_far(made)).state == COMMITTED

        os.kill(process.pid, number)
        needs_it = asyncio.create_task(reserve_far(made))
        took_s = []
        for _ in range(8):
            began = time.monotonic()
            assert (await made.reserve(150 * G // 8)).state == COMMITTED
            took_s.append(time.monotonic() - began)
        print("took", *(f"{item:.2f}" for item in took_s))
        print(f"reserved in {min(took_s):.3f} to {max(took_s):.3f} s beside the {number.name}")
        assert max(took_s) < QUICK_S
        assert (await needs_it).state == FAILED
