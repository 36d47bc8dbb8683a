"""An instance takes back what it still took for its own."""

from __future__ import annotations

import asyncio

from orchestrated import LEASE_MS, Orchestrated, sites, virtual, wanted

from braid.v1 import reservations_pb2 as pb
from orchestrator.ports import Unfinished
from protocol.messages import ReservationPrep

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


@virtual
async def test_what_is_in_doubt_as_it_is_taken_up_is_not_cancelled_by_its_record_alone() -> None:
    async with Orchestrated(sites("m1")) as world:
        one, other = await world.start("a"), await world.start("b")
        reservation_id = (await one.reserve(wanted())).reservation_id
        await asyncio.sleep(1)
        world.delay = lambda _domain, message: None if isinstance(message, ReservationPrep) else 0.0
        changing = asyncio.create_task(one.modify(reservation_id, "m", 20))
        await asyncio.sleep(1)
        await world.kill("a")
        changing.cancel()
        failures = ["before"]
        world.store.fails = lambda _changes: failures.pop() if failures else ""
        assert (await other.cancel(reservation_id)).state == CANCELLED
        await asyncio.sleep(30)
        assert not failures
        assert world.held() == {}
