"""What domains confirm costs one write, and only of what has changed."""

from __future__ import annotations

import asyncio

from orchestrated import One, Orchestrated, sites, until, virtual, wanted

from orchestrator.ports import Changes
from protocol.coordinator import PartStatus
from protocol.messages import Commit
from simulations.gateway import Message


def confirmed(one: One) -> list[int]:
    """How many domains have confirmed, by each write that says so."""
    written = list[int]()
    save = one.engine.store.save

    async def noting(changes: Changes, fence: int = 0) -> None:
        words = [event for event in changes.events if event.body.HasField("part_settled")]
        if words:
            written.append(len(words))
        await save(changes, fence)

    one.engine.store.save = noting  # type: ignore[method-assign]
    return written


@virtual
async def test_confirmations_are_written_together_once_the_last_has_come() -> None:
    async with Orchestrated(sites("m1", "m2", "m3")) as world:
        one = await world.start()
        written = confirmed(one)
        await one.reserve(wanted(250))
        await until(lambda: bool(written))
        await asyncio.sleep(1)
        assert written == [5]
        (stored,) = world.store._transactions.values()
        assert stored.settled


@virtual
async def test_confirmations_are_written_soon_when_one_domain_does_not_confirm() -> None:
    async with Orchestrated(sites("m1", "m2", "m3")) as world:
        one = await world.start()
        written = confirmed(one)

        def lossy(domain: str, message: Message) -> float | None:
            return None if domain == "m2" and isinstance(message, Commit) else 0.0

        world.delay = lossy
        await one.reserve(wanted(250))
        await asyncio.sleep(2)
        (stored,) = world.store._transactions.values()
        status = {part.domain: part.status for part in stored.parts}
        assert status.pop("m2") is PartStatus.COMMITTING
        assert set(status.values()) == {PartStatus.COMMITTED}
        assert written == [4]
