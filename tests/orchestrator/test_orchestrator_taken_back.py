"""An instance takes back what it still took for its own."""

from __future__ import annotations

import asyncio

from orchestrated import LEASE_MS, Orchestrated, sites, until, virtual, wanted

from braid.v1 import reservations_pb2 as pb
from orchestrator.outcomes import WITHDRAWN
from orchestrator.ports import Changes, Unfinished
from orchestrator.records import State
from protocol.coordinator import Transaction
from protocol.messages import Commit, Phase, ReservationPrep, ReservationResp

COMMITTED = pb.RESERVATION_STATE_COMMITTED
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


@virtual
async def test_an_answer_as_a_reservation_is_taken_up_does_not_make_a_version_forgotten() -> None:
    async with Orchestrated(sites("m1")) as world:
        one, other = await world.start("a"), await world.start("b")
        record = await one.reserve(wanted())
        old_id = one.engine.transactions.of(record.reservation_id)[0]
        part = next(p for p in transaction(world, old_id).parts if p.domain == "m1")
        world.delay = lambda _domain, message: None if isinstance(message, ReservationPrep) else 0.0
        changing = asyncio.create_task(one.modify(record.reservation_id, "m", 20))
        await asyncio.sleep(1)
        await world.kill("a")
        changing.cancel()
        world.delay = lambda _domain, _message: 0.0
        save = world.store.save

        async def slow(changes: Changes, fence: int = 0) -> None:
            await asyncio.sleep(1)
            await save(changes, fence)

        world.store.save = slow  # type: ignore[method-assign]
        await until(lambda: bool(other.engine.transactions.of(record.reservation_id)))
        again = ReservationResp(old_id, part.part_id, Phase.COMMIT, True, None, part.epoch)
        other.instance.orchestrator.reports.on_message("m1", again)
        changed = await other.modify(record.reservation_id, "m", 20)
        assert changed.modified
        await asyncio.sleep(30)
        now_held = [(record.reservation_id, 2)]
        assert world.held() == {"west": now_held, "m1": now_held, "east": now_held}


@virtual
async def test_a_change_that_a_cancel_had_begun_to_give_back_is_not_told() -> None:
    async with Orchestrated(sites("m1", expiring="m1")) as world:
        one, other = await world.start("a"), await world.start("b")
        record = await one.reserve(wanted())
        await asyncio.sleep(1)
        world.delay = lambda _domain, message: None if isinstance(message, Commit) else 0.0
        changing = asyncio.create_task(one.modify(record.reservation_id, "m", 20))
        await asyncio.sleep(1)
        save = world.store.save

        async def dies(changes: Changes, fence: int = 0) -> None:
            if changes.reservation is not None and changes.reservation.state is State.CANCELLED:
                await asyncio.sleep(1000)
            await save(changes, fence)

        world.store.save = dies  # type: ignore[method-assign]
        cancelling = asyncio.create_task(one.cancel(record.reservation_id))
        await asyncio.sleep(1)
        await world.kill("a")
        for task in (changing, cancelling):
            task.cancel()
        world.store.save = save  # type: ignore[method-assign]
        world.delay = lambda _domain, _message: 0.0
        answer = await other.modify(record.reservation_id, "m", 20)
        assert not answer.modified
        assert [refusal.reason for refusal in answer.refusals] == [WITHDRAWN]
        assert (answer.state, answer.version) == (COMMITTED, 1)
        await asyncio.sleep(10)
        assert world.held()["m1"] == [(record.reservation_id, 1)]
        assert (await other.cancel(record.reservation_id)).state == CANCELLED
        await asyncio.sleep(10)
        assert world.held() == {}


def transaction(world: Orchestrated, transaction_id: str) -> Transaction:
    return world.store._transactions[transaction_id]
