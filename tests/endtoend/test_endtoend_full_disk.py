"""Processes that cannot write any more: no new work, what stands stands, and then as before.

A limit on the size of files stands for a full disk: unlike a small filesystem it needs no root.
"""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import grpc
import grpc.aio
import pytest
from instances import STATES, Instance, Instances, instances
from world import G, eventually

from braid.v1 import agent_pb2, reservations_pb2 as pb

COMMITTED, CANCELLED = STATES.RESERVATION_STATE_COMMITTED, STATES.RESERVATION_STATE_CANCELLED
LEASE_S = 1.0

pytestmark = pytest.mark.timeout(300)


def allow(instance: Instance, size: int) -> None:
    """How large its files may become, in bytes; what is there stays."""
    _, hard = resource.prlimit(instance.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(instance.pid, resource.RLIMIT_FSIZE, (size, hard))


async def refused(instance: Instance, request: pb.Reservation) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await instance.reserve(request, timeout_s=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "sqlite" not in str(caught.value.details()).lower()


async def held(many: Instances) -> set[str]:
    found = [await many.world.holdings(name) for name in many.world.agents]
    return {holding.reservation_id for holdings in found for holding in holdings}


async def test_a_full_disk_refuses_new_work_and_works_again_without_a_hand(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with instances(tmp_path, sqlite_url) as many:
        a = await many.start("a", lease_s=LEASE_S)
        kept = await a.reserve(many.world.request(10 * G))
        assert kept.state == COMMITTED
        allow(a, 0)
        wanted = many.world.request(20 * G)
        await refused(a, wanted)
        # Longer than its lease, of which it cannot write either.
        await asyncio.sleep(2 * LEASE_S)
        await refused(a, wanted)
        assert await a.get(kept.reservation_id) == kept
        with pytest.raises(grpc.aio.AioRpcError):
            await a.modify(kept.reservation_id, "change", 30 * G)
        assert await held(many) == {kept.reservation_id}

        allow(a, resource.RLIM_INFINITY)
        made = await a.reserve(wanted)
        assert made.state == COMMITTED
        assert await a.get(kept.reservation_id) == kept
        assert (await a.modify(kept.reservation_id, "change", 30 * G)).version == 2
        await many.settled_on(kept.reservation_id, made.reservation_id)
        for record in (kept, made):
            assert (await a.cancel(record.reservation_id)).state == CANCELLED
        await many.world.nothing_held()


async def test_what_a_full_disk_interrupts_is_decided_when_there_is_room_again(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with instances(tmp_path, sqlite_url) as many:
        a = await many.start("a")
        many.gate.close()
        begun = await a.reserve(many.world.request(10 * G, detach=True))
        await many.gate.reached()
        allow(a, 0)
        many.gate.open()
        await asyncio.sleep(2)
        # No decision could be written: nobody has been told of one.
        assert (await a.get(begun.reservation_id)).state == STATES.RESERVATION_STATE_NEGOTIATING
        for name in many.world.agents:
            states = {part.state for part in await many.world.holdings(name)}
            assert states <= {agent_pb2.HOLDING_STATE_HELD}
        allow(a, resource.RLIM_INFINITY)

        async def decided() -> bool:
            state = (await a.get(begun.reservation_id)).state
            return state != STATES.RESERVATION_STATE_NEGOTIATING

        await eventually(decided)
        if (await a.get(begun.reservation_id)).state == COMMITTED:
            await many.settled_on(begun.reservation_id)
            await a.cancel(begun.reservation_id)
        await many.world.nothing_held()
