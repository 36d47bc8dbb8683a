"""VNodes that go to another provider with what is on their disks (paper 002, sections 4 and 6)."""

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
from typing import Any

import grpc.aio
import pytest
import yaml
from test_endtoend_cli import braid
from test_endtoend_cloudnets import (
    NET,
    RUNNING,
    STOPPED,
    all_run,
    committed,
    power,
    providers,
    row,
    says,
    states,
    three_providers,
)
from world import World, eventually, world

from braid.v1 import cloudnets_pb2 as cpb, reservations_pb2 as pb, topology_pb2
from braid.v1.cloudnets_pb2_grpc import CloudNetsStub

TIMEOUT_S = 90.0

pytestmark = pytest.mark.timeout(300)


def places(record: pb.ReservationRecord) -> dict[str, str]:
    return {vnode: part.domain for part in record.parts for vnode in part.vnodes}


def moving(record: pb.ReservationRecord, domain: str, **more: Any) -> cpb.MigrateRequest:
    more = {"request_id": f"to-{domain}", "vnode": "middle", **more}
    return cpb.MigrateRequest(reservation_id=record.reservation_id, domain=domain, **more)


async def migrated(nets: Any, request: cpb.MigrateRequest) -> None:
    await nets.Migrate(request, timeout=TIMEOUT_S)


async def written(it: World, nets: Any, vnode: str = "middle") -> pb.ReservationRecord:
    """A CloudNet that runs, with a file on the disk of one VNode."""
    record = await committed(it, row())
    await all_run(nets, record)
    await says(nets, record, vnode, "write diary went well")
    assert "went well" in await says(nets, record, vnode, "read diary")
    return record


async def reads(nets: Any, record: pb.ReservationRecord, vnode: str = "middle") -> str:
    await all_run(nets, record)
    return await says(nets, record, vnode, "read diary")


async def test_what_a_vnode_has_written_is_at_the_provider_that_it_moves_to(tmp_path: Path) -> None:
    async with providers(tmp_path) as (it, nets):
        record = await written(it, nets)
        await nets.Migrate(moving(record, "zurich"), timeout=TIMEOUT_S)
        after = await it.get(record.reservation_id)
        assert (after.version, places(after)["middle"]) == (2, "zurich")
        assert "went well" in await reads(nets, after)

        async def munich_is_empty() -> bool:
            return "munich" not in await it.held()

        await eventually(munich_is_empty)
        await nets.Migrate(moving(after, "munich"), timeout=TIMEOUT_S)
        again = await it.get(record.reservation_id)
        assert places(again)["middle"] == "munich"
        assert "went well" in await reads(nets, again)
        await it.cancel(record.reservation_id)
        await it.nothing_held()


async def test_a_vnode_that_is_to_begin_anew_does_so(tmp_path: Path) -> None:
    async with providers(tmp_path) as (it, nets):
        record = await written(it, nets)
        await nets.Migrate(moving(record, "zurich", anew=True), timeout=TIMEOUT_S)
        after = await it.get(record.reservation_id)
        assert places(after)["middle"] == "zurich"
        assert list(after.criteria.cloudnet.anew) == ["middle"]
        assert "no such file" in await reads(nets, after)


async def test_what_its_user_has_stopped_arrives_stopped_with_what_it_has(tmp_path: Path) -> None:
    async with providers(tmp_path) as (it, nets):
        record = await written(it, nets)
        await power(nets, record, cpb.POWER_ACTION_STOP, "middle")
        await nets.Migrate(moving(record, "zurich"), timeout=TIMEOUT_S)
        after = await it.get(record.reservation_id)

        async def stopped() -> bool:
            return (await states(nets, after)) == {
                "left": RUNNING,
                "middle": STOPPED,
                "right": RUNNING,
            }

        await eventually(stopped)
        # It is stopped because its user wants it so, and not because it waits.
        await eventually(lambda: started(nets, after))
        assert "went well" in await reads(nets, after)


async def started(nets: Any, record: pb.ReservationRecord) -> bool:
    with suppress(grpc.aio.AioRpcError):
        await power(nets, record, cpb.POWER_ACTION_START, "middle")
        return True
    return False


# Killed in the midst of it ------------------------------------------------------------------------


class Zurich:
    """Its agent as a process of its own, whose hosts take in nothing before they may."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.target = folder, "127.0.0.1:0"
        self._config = next(c for c in three_providers() if c["domain"] == "zurich")
        plugin = {"plugin": "slow_hosts:make", "folder": str(folder)}
        self._config["cloud"]["plugins"] = {"/node/host": plugin}

    async def start(self) -> None:
        database = f"sqlite:///{self.folder}/zurich.db"
        own = {"listen": self.target, "insecure": True, "database": database}
        config = self.folder / "zurich.yaml"
        config.write_text(yaml.safe_dump({**self._config, **own, "inquire_after_s": 1}))
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "commands.main", "agent", str(config),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip
        assert self._process.stdout is not None
        line = json.loads(await asyncio.wait_for(self._process.stdout.readline(), 60))
        self.target = line["listening"]

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def importing(self) -> None:
        """Waits until it is amid an import; the next one says so anew."""

        async def begun() -> bool:
            return (self.folder / "importing").exists()

        await eventually(begun, 60)
        (self.folder / "importing").unlink()

    def let_go(self) -> None:
        (self.folder / "go").touch()


@asynccontextmanager
async def slow_zurich(folder: Path, **more: Any) -> AsyncIterator[tuple[World, Any, Zurich]]:
    others = [config for config in three_providers() if config["domain"] != "zurich"]
    zurich = Zurich(folder)
    async with (
        world(folder, others, drain_timeout_s=0.5, **more) as it,
        grpc.aio.insecure_channel(it.target) as channel,
    ):
        await zurich.start()
        try:
            await it.topology.Register(
                topology_pb2.RegisterRequest(domain="zurich", target=zurich.target)
            )
            await it.all_up([*it.agents, "zurich"])
            yield it, CloudNetsStub(channel), zurich
        finally:
            await zurich.kill()


async def test_an_agent_that_is_killed_amid_an_import_gets_it_again(tmp_path: Path) -> None:
    async with slow_zurich(tmp_path, carry_rounds=0) as (it, nets, zurich):
        record = await written(it, nets)
        move = asyncio.create_task(migrated(nets, moving(record, "zurich")))
        await zurich.importing()
        await zurich.kill()
        # Nobody is told that it has moved, and nobody writes where it was.
        meanwhile = await it.get(record.reservation_id)
        assert (meanwhile.version, places(meanwhile)["middle"]) == (1, "munich")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await power(nets, record, cpb.POWER_ACTION_START, "middle")
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert not move.done()
        await zurich.start()
        zurich.let_go()
        began_s = time.monotonic()
        await move
        print(f"carried {time.monotonic() - began_s:.2f} s after the agent was there again")
        after = await it.get(record.reservation_id)
        assert (after.version, places(after)["middle"]) == (2, "zurich")
        assert "went well" in await reads(nets, after)


async def test_an_orchestrator_that_dies_amid_an_import_finishes_it_in_its_next_life(
    tmp_path: Path,
) -> None:
    async with slow_zurich(tmp_path, carry_rounds=0) as (it, nets, zurich):
        record = await written(it, nets)
        move = asyncio.create_task(migrated(nets, moving(record, "zurich")))
        await zurich.importing()
        await it.stop_orchestrator()
        with pytest.raises(grpc.aio.AioRpcError):
            await move
        await it.start_orchestrator()
        zurich.let_go()

        async def moved() -> bool:
            return places(await it.get(record.reservation_id))["middle"] == "zurich"

        await eventually(moved, 60)
        async with grpc.aio.insecure_channel(it.target) as channel:
            nets = CloudNetsStub(channel)
            assert "went well" in await reads(nets, await it.get(record.reservation_id))


async def test_what_is_cancelled_amid_an_import_leaves_nothing_anywhere(tmp_path: Path) -> None:
    async with slow_zurich(tmp_path) as (it, nets, zurich):
        record = await written(it, nets)
        move = asyncio.create_task(migrated(nets, moving(record, "zurich")))
        await zurich.importing()
        await it.cancel(record.reservation_id)
        zurich.let_go()
        with pytest.raises(grpc.aio.AioRpcError):
            await move
        await it.nothing_held()


# By the command -----------------------------------------------------------------------------------


async def test_the_command_moves_a_vnode_with_what_it_has_or_says_why_not(tmp_path: Path) -> None:
    async with providers(tmp_path) as (it, nets):
        record = await written(it, nets)
        name = record.reservation_id
        moved = await braid(it, "cloudnet", "migrate", name, "middle", "--to", "zurich")
        assert moved.exit_code == 0, moved.output
        assert "went well" in await reads(nets, await it.get(name))
        net = tmp_path / "row.yaml"
        net.write_text(NET)
        back = ["cloudnet", "modify", name, str(net), "--at", "middle=munich"]
        done = await braid(it, *back)
        assert done.exit_code == 0, done.output
        assert "went well" in await reads(nets, await it.get(name))
        anew = await braid(it, "cloudnet", "migrate", name, "middle", "--to", "zurich", "--anew")
        assert anew.exit_code == 0, anew.output
        assert "copied" not in anew.output
        assert "no such file" in await reads(nets, await it.get(name))
        plugin = it.agents["zurich"].agent.clouds
        assert plugin is not None
        # As an operator would find whose hosts are of another kind than the others'.
        hosts = plugin.carrying._embedder.hosts
        hosts._plugins = {host: Other(hosts.plugin(host)) for host in hosts.specs}
        refused = await braid(it, *back)
        assert refused.exit_code == 3, refused.output
        assert "what VNode middle has could not be carried" in " ".join(refused.output.split())
        assert places(await it.get(name))["middle"] == "zurich"
        await all_run(nets, record)


class Other:
    """Hosts that cannot carry: others, without what these can beyond that."""

    def __init__(self, hosts: Any) -> None:
        self._hosts = hosts

    def __getattr__(self, name: str) -> Any:
        if name in ("export", "import_"):
            raise AttributeError(name)
        return getattr(self._hosts, name)
