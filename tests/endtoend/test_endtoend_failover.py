"""A client that knows several instances goes on at another when one is killed or stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from instances import STATES, Instance, Instances, instances
from world import G

from braid.client import AsyncClient, Unreachable
from braid.v1 import reservations_pb2 as pb

COMMITTED = STATES.RESERVATION_STATE_COMMITTED

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def many(tmp_path: Path, postgres_url: str) -> AsyncIterator[Instances]:
    async with instances(tmp_path, postgres_url) as made:
        await asyncio.gather(made.start("a"), made.start("b"))
        yield made


def both(many: Instances) -> str:
    """Both instances as one target, in gRPC's way."""
    return f"ipv4:{','.join(instance.target for instance in many.all)}"


def reached_first(many: Instances) -> Instance:
    """The instance that a client of ``both`` talks to while it lives."""
    return many.all[0]


async def reserve(client: AsyncClient) -> pb.ReservationRecord:
    record: pb.ReservationRecord = await client.reserve(
        "west:host", "east:host", "1G", start="+1h", duration="1h"
    )
    return record


async def test_a_client_goes_on_at_the_other_when_one_is_killed(many: Instances) -> None:
    async with AsyncClient(both(many), insecure=True) as client:
        record = await reserve(client)
        assert record.state == COMMITTED
        many.gate.close()
        asked = asyncio.create_task(reserve(client))
        await many.gate.reached()
        await reached_first(many).kill()
        many.gate.open()
        second = await asked
        assert second.state == COMMITTED
        assert (await client.get(record.reservation_id)).state == COMMITTED
        await many.settled_on(record.reservation_id, second.reservation_id)
        await client.cancel(record.reservation_id)
        await client.cancel(second.reservation_id)
        await many.world.nothing_held()


async def test_nobody_notices_that_one_is_stopped(many: Instances) -> None:
    async with AsyncClient(both(many), insecure=True) as client:
        first = reached_first(many)
        ended = asyncio.create_task(first.ended())
        while not ended.done():
            record = await reserve(client)
            assert record.state == COMMITTED
            await client.cancel(record.reservation_id)
            with suppress(ProcessLookupError):  # It may end at any time.
                first.signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
        assert await ended == 0
        assert (await reserve(client)).state == COMMITTED


async def test_a_watch_goes_on_at_the_other_without_a_gap(many: Instances) -> None:
    async with AsyncClient(both(many), insecure=True) as client:
        many.gate.close()
        begun = await client.reserve("west:host", "east:host", "1G", duration="1h", detach=True)
        await many.gate.reached()
        seen: list[pb.ReservationEvent] = []

        async def watch() -> None:
            async for event in client.watch(begun.reservation_id, until_decided=True):
                seen.append(event)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(1)
        await reached_first(many).kill()
        many.gate.open()
        await watching
        # Asked for again later there is more: what the domains said after the decision.
        assert seen == (await many.all[1].events(begun.reservation_id))[: len(seen)]
        assert "decided" in {event.WhichOneof("kind") for event in seen}
        assert [event.sequence for event in seen] == sorted({event.sequence for event in seen})


@pytest.mark.parametrize("form", ["ipv4:{a},{b}", "dns:///localhost:{port_b}", "{b}"])
async def test_the_command_takes_every_form_of_target(many: Instances, form: str) -> None:
    a, b = (instance.target for instance in many.all)
    record = await many.all[0].reserve(many.world.request(1 * G))
    target = form.format(a=a, b=b, port_b=b.rpartition(":")[2])
    await many.all[0].kill()
    for command in ("show", "cancel"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "commands.main", command, record.reservation_id,
            "--target", target, "--insecure", "--json",
            env={**os.environ, "NO_COLOR": "1"},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), 40)
        assert process.returncode == 0
        assert record.reservation_id.encode() in output


async def test_when_all_are_gone_it_is_said(many: Instances) -> None:
    async with AsyncClient(both(many), insecure=True) as client:
        for instance in many.all:
            await instance.kill()
        with pytest.raises(Unreachable):
            await client.get("anything")
