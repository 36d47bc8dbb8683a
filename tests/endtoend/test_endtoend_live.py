"""VNodes that go to another provider as they run, over real processes, sockets and databases."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from test_endtoend_carried import Other, migrated, moving, places, slow_zurich, written
from test_endtoend_cli import braid
from test_endtoend_cloudnets import all_run, providers, says
from world import World, eventually

from braid.v1 import reservations_pb2 as pb
from braid.v1.cloudnets_pb2_grpc import CloudNetsStub

pytestmark = pytest.mark.timeout(300)


async def heard(nets: Any, record: pb.ReservationRecord) -> int:
    """How many lines the VNode has heard since it began to run, this one included."""
    return int((await says(nets, record, "middle", "count")).split("\r\n")[-2])


async def carried(it: World, record: pb.ReservationRecord) -> pb.CarriedVNode:
    """What is told of the VNode, once it runs."""

    async def told() -> bool:
        now = await it.get(record.reservation_id)
        return any(each.HasField("still_ms") for each in now.carried)

    await eventually(told)
    (each,) = (await it.get(record.reservation_id)).carried
    return each


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_vnode_is_the_same_running_one_at_the_provider_that_it_moves_to(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue("postgres_url") if kind == "postgres" else ""
    async with providers(tmp_path, database) as (it, nets):
        record = await written(it, nets)
        await says(nets, record, "middle", "set mood good")
        before = await heard(nets, record)
        for domain in ("zurich", "munich"):
            await migrated(nets, moving(record, domain))
            after = await it.get(record.reservation_id)
            assert places(after)["middle"] == domain
            each = await carried(it, record)
            assert (each.live, each.target, each.reason) == (True, domain, "")
            print(f"live to {domain}: it stood still for {each.still_ms} ms")
            await all_run(nets, after)
            assert "went well" in await says(nets, after, "middle", "read diary")
            assert "good" in await says(nets, after, "middle", "get mood")
            now = await heard(nets, after)
            assert now == before + 3
            before = now
        await it.cancel(record.reservation_id)
        await it.nothing_held()


async def test_one_whose_new_provider_is_killed_amid_a_copy_runs_on_and_arrives(
    tmp_path: Path,
) -> None:
    async with slow_zurich(tmp_path) as (it, nets, zurich):
        record = await written(it, nets)
        move = asyncio.create_task(migrated(nets, moving(record, "zurich")))
        for i in range(2):
            await zurich.importing()
            # It is amid a copy, and goes on running all the time, whatever becomes of that.
            await says(nets, record, "middle", f"set mood{i} good")
            await zurich.kill()
            await says(nets, record, "middle", f"write note{i} while it is away")
            meanwhile = await it.get(record.reservation_id)
            assert (meanwhile.version, places(meanwhile)["middle"]) == (1, "munich")
            assert not move.done()
            await zurich.start()
        await zurich.importing()
        await says(nets, record, "middle", "write late amid the copy")
        before = await heard(nets, record)
        zurich.let_go()
        began_s = time.monotonic()
        await move
        print(f"carried {time.monotonic() - began_s:.2f} s after it was let go")
        after = await it.get(record.reservation_id)
        assert (after.version, places(after)["middle"]) == (2, "zurich")
        await all_run(nets, after)
        assert await heard(nets, after) == before + 1
        for line, text in (
            ("read diary", "went well"),
            ("read note0", "while it is away"),
            ("read note1", "while it is away"),
            ("read late", "amid the copy"),
            ("get mood0", "good"),
            ("get mood1", "good"),
        ):
            assert text in await says(nets, after, "middle", line)
        each = await carried(it, record)
        assert each.live
        print(f"it stood still for {each.still_ms} ms")


async def test_an_orchestrator_that_dies_amid_a_copy_finishes_it_in_its_next_life(
    tmp_path: Path,
) -> None:
    async with slow_zurich(tmp_path) as (it, nets, zurich):
        record = await written(it, nets)
        await says(nets, record, "middle", "set mood good")
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
            after = await it.get(record.reservation_id)
            await all_run(nets, after)
            assert "good" in await says(nets, after, "middle", "get mood")
            assert (await carried(it, record)).live


class Cold(Other):
    """Hosts that carry, but nothing that runs."""

    def __getattr__(self, name: str) -> Any:
        if name in ("copy", "keep", "kept", "make", "pause"):
            raise AttributeError(name)
        return getattr(self._hosts, name)


async def test_the_command_tells_whether_it_was_live_and_for_how_long_it_stood_still(
    tmp_path: Path,
) -> None:
    async with providers(tmp_path) as (it, nets):
        record = await written(it, nets)
        to = ["cloudnet", "migrate", record.reservation_id, "middle", "--to"]
        live = await braid(it, *to, "zurich")
        assert live.exit_code == 0, live.output
        line = r"middle: from munich to zurich, carried live, (\d+) B copied ahead and (\d+) B at"
        told = re.search(f"{line} the end, stood still for", " ".join(live.output.split()))
        assert told is not None, live.output
        # The diary and what is in its memory, and then what had changed of it.
        assert int(told[1]) > int(told[2]) > 0
        assert f"middle {int(told[1]) + int(told[2])} B" in " ".join(live.output.split())
        clouds = it.agents["munich"].agent.clouds
        assert clouds is not None
        hosts = clouds.carrying._embedder.hosts
        hosts._plugins = {host: Cold(hosts.plugin(host)) for host in hosts.specs}
        await all_run(nets, await it.get(record.reservation_id))
        cold = await braid(it, *to, "munich")
        assert cold.exit_code == 0, cold.output
        line = r"middle: from zurich to munich, carried cold, [1-9]\d* B copied, stood still for"
        words = " ".join(cold.output.split())
        assert re.search(line, words), cold.output
        assert "can be carried as they run" in words
        shown = await braid(it, "cloudnet", "show", record.reservation_id)
        assert re.search(line, " ".join(shown.output.split())), shown.output
        assert "went well" in await says(nets, record, "middle", "read diary")
