"""What domains answer at the same time costs one write, and only of what has changed."""

from __future__ import annotations

import asyncio

from orchestrated import Orchestrated, sites, until, virtual, wanted

from braid.v1 import reservations_pb2 as pb
from orchestrator.ports import Changes

COMMITTED = pb.RESERVATION_STATE_COMMITTED


@virtual
async def test_answers_that_come_while_one_is_written_are_written_together() -> None:
    async with Orchestrated(sites("m1", "m2", "m3")) as world:
        one = await world.start()
        save, acknowledged = world.store.save, list[Changes]()

        async def slow(changes: Changes, fence: int = 0) -> None:
            if any(event.body.HasField("part_settled") for event in changes.events):
                acknowledged.append(changes)
                await asyncio.sleep(0.1)
            await save(changes, fence)

        world.store.save = slow  # type: ignore[method-assign]
        record = await one.reserve(wanted(250))
        await until(lambda: sum(len(changes.events) for changes in acknowledged) == 5)
        assert len(acknowledged) == 2
        # Only what has changed is written.
        assert [len(changes.stored) for changes in acknowledged] == [4, 1]
        await asyncio.sleep(1)
        (stored,) = world.store._transactions.values()
        assert stored.settled
        assert record.state == COMMITTED
