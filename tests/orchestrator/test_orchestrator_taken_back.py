"""An instance takes back what it still took for its own."""

from __future__ import annotations

import asyncio

from orchestrated import LEASE_MS, Orchestrated, sites, virtual, wanted

from braid.v1 import reservations_pb2 as pb
from orchestrator.ports import Unfinished

CANCELLED = pb.RESERVATION_STATE_CANCELLED


@virtual
async def test_what_is_written_while_a_reservation_is_taken_back_counts() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(wanted())).reservation_id
        # Another life took it up and ended, and the owner has not heard of that yet.
        other = await world.store.register("other", LEASE_MS)
        await world.store.take_one(other, reservation_id)
        await world.store.leave(other)
        take = world.store.take

        async def answered_late(epoch: int, limit: int) -> Unfinished:
            found = await take(epoch, limit)
            await asyncio.sleep(1)
            return found

        world.store.take = answered_late  # type: ignore[method-assign]
        taking = asyncio.create_task(one.instance.orchestrator.owner.take_orphans())
        await asyncio.sleep(0.5)
        assert (await one.cancel(reservation_id)).state == CANCELLED
        await taking
        await asyncio.sleep(10)
        assert (await one.get(reservation_id)).state == CANCELLED
        assert world.held() == {}
        transactions = world.store._transactions.values()
        assert all(transaction.settled for transaction in transactions)
