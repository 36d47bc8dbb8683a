"""A database that fails at any write, or for a while: decided all the same, once, everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from orchestrated import G, One, Orchestrated, noisy, sites, until, virtual, wanted

from braid.v1 import reservations_pb2 as pb
from orchestrator.ports import Changes
from protocol.coordinator import Decision
from protocol.messages import ReservationPrep
from runtime.database import StorageBusyError, StorageError
from runtime.errors import RequestError

COMMITTED = pb.RESERVATION_STATE_COMMITTED
FAILED = pb.RESERVATION_STATE_FAILED
CANCELLED = pb.RESERVATION_STATE_CANCELLED
WHOLE = ["east", "m1", "west"]


def nth(number: int, how: str) -> Callable[[Changes], str]:
    """Only the n-th write from now on fails."""
    left = number

    def fails(_changes: Changes) -> str:
        nonlocal left
        left -= 1
        return how if left == -1 else ""

    return fails


def deciding(decision: Decision, how: str) -> Callable[[Changes], str]:
    """The first write of this decision fails."""
    done = False

    def fails(changes: Changes) -> str:
        nonlocal done
        ours = any(tx.decision is decision for tx in changes.transactions) and changes.decides
        if done or not ours:
            return ""
        done = True
        return how

    return fails


async def tried(call: Any) -> None:
    """A client whose call may fail, or that is to ask again."""
    with suppress(StorageError, RequestError):
        await call


async def agreed(world: Orchestrated, record: pb.ReservationRecord, version: int) -> None:
    """In the end the domains hold what the user was told, and nothing else."""
    held = world.held()
    if record.state == COMMITTED:
        assert sorted(held) == WHOLE
        assert all(rows == [(record.reservation_id, version)] for rows in held.values())
    else:
        assert held == {}


async def settled(world: Orchestrated, one: One) -> None:
    """Time enough to read again what is in doubt, and to repeat what was lost."""
    world.store.fails = lambda changes: ""
    await asyncio.sleep(60)
    assert one.engine.negotiating == 0


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("number", range(7))
@noisy
async def test_a_reserve_is_decided_whichever_write_fails(number: int, how: str) -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        world.store.fails = nth(number, how)
        await tried(one.reserve(wanted()))
        await settled(world, one)
        record = await one.reserve(wanted())
        assert record.state in (COMMITTED, FAILED)
        assert await one.reserve(wanted()) == record
        await agreed(world, record, 1)


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("number", range(9))
@noisy
async def test_a_modify_is_old_or_new_whichever_write_fails(number: int, how: str) -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(wanted())).reservation_id
        await asyncio.sleep(1)
        world.store.fails = nth(number, how)
        await tried(one.modify(reservation_id, "m-1", 20))
        await settled(world, one)
        answer = await one.modify(reservation_id, "m-1", 20)
        assert answer.state == COMMITTED
        assert answer.criteria.bandwidth_bps == (20 * G if answer.modified else 10 * G)
        assert answer.version == (2 if answer.modified else 1)
        await asyncio.sleep(30)
        await agreed(world, answer, answer.version)
        # It can be changed on.
        assert (await one.modify(reservation_id, "m-2", 30)).modified


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("number", range(5))
@noisy
async def test_a_cancel_is_done_when_it_is_asked_again_whichever_write_fails(
    number: int, how: str
) -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        record = await one.reserve(wanted())
        await asyncio.sleep(1)
        world.store.fails = nth(number, how)
        await tried(one.cancel(record.reservation_id))
        await settled(world, one)
        gone = await one.cancel(record.reservation_id)
        assert gone.state == CANCELLED
        await asyncio.sleep(30)
        assert world.held() == {}
        shown = await one.get(record.reservation_id)
        assert all(part.released for part in shown.parts)
        assert one.engine.transactions.reservations() == set()


@noisy
async def test_a_decision_that_cannot_be_written_is_a_refusal_that_says_so() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        world.store.fails = deciding(Decision.COMMIT, "before")
        record = await one.reserve(wanted())
        # Whoever reads it again meanwhile begins anew; both are fine, a lie is not.
        await settled(world, one)
        final = await one.get(record.reservation_id)
        assert final.state == record.state
        if record.state == FAILED:
            assert record.refusals[0].reason == "the orchestrator could not record its decision"
        await agreed(world, final, 1)


@noisy
async def test_a_commit_whose_write_only_seemed_to_fail_is_kept() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        world.store.fails = deciding(Decision.COMMIT, "after")
        record = await one.reserve(wanted())
        assert record.state == COMMITTED
        await settled(world, one)
        await agreed(world, record, 1)


@noisy
async def test_nobody_is_told_anything_while_nothing_can_be_written() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        begun = await one.reserve(wanted(detach=True))
        attempts = 0

        def never(_changes: Changes) -> str:
            nonlocal attempts
            attempts += 1
            # Without this a test of something that never pauses would never end.
            return "before" if attempts < 1000 else ""

        world.store.fails = never
        waiting = asyncio.create_task(one.reserve(wanted()))
        await asyncio.sleep(20)
        assert attempts < 200
        assert not waiting.done()
        assert (await one.get(begun.reservation_id)).state == pb.RESERVATION_STATE_NEGOTIATING
        world.store.fails = lambda changes: ""
        async with asyncio.timeout(60):
            record = await waiting
        await settled(world, one)
        await agreed(world, record, 1)


@noisy
async def test_a_bug_in_a_negotiation_is_a_refusal_that_tells_nothing_of_it() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        send = one.gateway.send

        def broken(domain: str, message: Any) -> bool:
            if isinstance(message, ReservationPrep) and domain == "m1":
                raise RuntimeError("a secret")
            return send(domain, message)

        one.gateway.send = broken  # type: ignore[method-assign]
        record = await one.reserve(wanted())
        assert record.state == FAILED
        assert [refusal.reason for refusal in record.refusals] == [
            "the orchestrator failed internally; its log tells more"
        ]
        one.gateway.send = send  # type: ignore[method-assign]
        await until(lambda: world.held() == {})
        assert (await one.reserve(wanted(request_id="next"))).state == COMMITTED


@virtual
async def test_a_full_database_is_told_to_the_caller_and_read_again_by_nobody() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        doubted: list[str] = []
        one.engine.on_doubt = doubted.append
        save = world.store.save

        async def busy(changes: Changes, fence: int = 0) -> Any:
            raise StorageBusyError("writes", 10)

        world.store.save = busy  # type: ignore[method-assign]
        with pytest.raises(StorageBusyError):
            await one.reserve(wanted())
        world.store.save = save  # type: ignore[method-assign]
        assert doubted == []
        assert (await one.reserve(wanted())).state == COMMITTED


@virtual
async def test_progress_that_cannot_be_stored_holds_up_nothing() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        world.store.fails = lambda changes: (
            "" if changes.transactions or changes.reservation else "before"
        )
        record = await one.reserve(wanted())
        assert record.state == COMMITTED
        kinds = [event.WhichOneof("kind") for event in await one.events(record.reservation_id)]
        assert kinds[0] == "state_changed"
        assert "decided" in kinds


@virtual
async def test_the_progress_of_one_is_not_lost_with_the_refused_write_of_another() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        known = await one.reserve(wanted())
        # Both write at the same moment: progress waits for the next write, whosever it is.
        engine = one.engine
        again = engine.store.request

        async def late(request_id: str) -> Any:
            """Two instances may have looked before either has written."""
            return None if request_id == "r" else await again(request_id)

        engine.store.request = late  # type: ignore[method-assign]
        for moment in range(1, 40):
            fresh = asyncio.create_task(one.reserve(wanted(1, f"new-{moment}")))
            for _ in range(moment):
                await asyncio.sleep(0)
            assert (await one.reserve(wanted())).reservation_id == known.reservation_id
            record = await fresh
            kinds = [e.WhichOneof("kind") for e in await one.events(record.reservation_id)]
            assert kinds.count("prepare_answered") == 3, (moment, kinds)
            assert "paths_found" in kinds, moment
            await one.cancel(record.reservation_id)
