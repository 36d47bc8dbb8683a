"""Several instances on one store: what one leaves behind, another finishes; nobody writes twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from simulated import WINDOW, committed, diamond, virtual
from twins import LEASE_MS, TAKEN_OVER_S, Twins, until

from orchestrator import owner
from orchestrator.ports import Changes, LostError, Unfinished
from orchestrator.records import State
from orchestrator.service import DrainingError, NotNowError
from protocol.coordinator import Decision
from protocol.messages import (
    Abort,
    Commit,
    Phase,
    Release,
    ReqOffers,
    ReservationPrep,
    ReservationResp,
    SendOffers,
)
from simulations.gateway import Message


def said(kind: type[object], phase: Phase | None = None) -> Callable[[str, Message], bool]:
    """A filter of messages."""

    def lost(_domain: str, message: Message) -> bool:
        if not isinstance(message, kind):
            return False
        return phase is None or (isinstance(message, ReservationResp) and message.phase is phase)

    return lost


MOMENTS = {
    "offers asked": said(ReqOffers),
    "offers told": said(SendOffers),
    "parts asked": said(ReservationPrep),
    "parts held": said(ReservationResp, Phase.PREP),
    "commit sent": said(Commit),
    "commit acknowledged": said(ReservationResp, Phase.COMMIT),
}
"""What the instance never hears, or domains never, before it is killed."""


@pytest.mark.parametrize("moment", MOMENTS)
@virtual
async def test_what_a_killed_instance_was_doing_is_decided_within_seconds(moment: str) -> None:
    async with Twins(diamond(expiring=("m1",))) as twins:
        await twins.start("a")
        await twins.start("b")
        twins.lost = MOMENTS[moment]
        reservation_id = await twins.begun("a", 150)
        await asyncio.sleep(1)
        await twins.kill("a")
        twins.lost = lambda domain, message: False
        async with asyncio.timeout(TAKEN_OVER_S):
            record = committed(await twins.decided("b", reservation_id))
        await asyncio.sleep(30)
        assert sorted(twins.held()) == ["east", "m1", "m2", "west"]
        assert all(rows == [(reservation_id, 1)] for rows in twins.held().values())
        assert record.version == 1


@virtual
async def test_an_instance_takes_up_its_own_work_after_a_restart() -> None:
    async with Twins(diamond()) as twins:
        await twins.start("a")
        twins.lost = MOMENTS["parts asked"]
        reservation_id = await twins.begun("a", 150)
        await asyncio.sleep(1)
        await twins.kill("a")
        twins.lost = lambda domain, message: False
        await twins.start("a")
        async with asyncio.timeout(TAKEN_OVER_S):
            committed(await twins.decided("a", reservation_id))


@virtual
async def test_who_was_cut_off_and_comes_back_writes_nothing() -> None:
    async with Twins(diamond()) as twins:
        sleeping = await twins.start("a")
        await twins.start("b")
        reservation_id = await twins.begun("a", 10)
        await twins.decided("a", reservation_id)
        epoch = sleeping.engine.epoch
        twins.store.cut.add(epoch)
        await until(lambda: _owner(twins) != epoch)
        twins.store.cut.clear()
        before = len(twins.store.writes)
        await asyncio.sleep(TAKEN_OVER_S)
        assert epoch not in twins.store.writes[before:]
        # It begins a new life, and takes requests again.
        assert sleeping.engine.epoch > epoch
        other = await twins.begun("a", 10, "another")
        committed(await twins.decided("b", other))
        gone = await sleeping.orchestrator.cancel(reservation_id)
        assert gone.state is State.CANCELLED


def _owner(twins: Twins) -> int:
    (owner,) = set(twins.store._owners.values())
    return owner


@virtual
async def test_any_instance_changes_and_cancels_what_another_made() -> None:
    async with Twins(diamond()) as twins:
        a, b = await twins.start("a"), await twins.start("b")
        reservation_id = await twins.begun("a", 10)
        committed(await twins.decided("b", reservation_id))
        await twins.changed("b", reservation_id, 20)
        assert committed(await twins.decided("a", reservation_id)).version == 2
        assert (await a.orchestrator.cancel(reservation_id)).state is State.CANCELLED
        assert (await b.orchestrator.get(reservation_id)).state is State.CANCELLED
        await asyncio.sleep(5)
        assert twins.held() == {}


@virtual
async def test_what_goes_to_and_fro_between_two_heartbeats_is_finished() -> None:
    async with Twins(diamond()) as twins:
        a, b = await twins.start("a"), await twins.start("b")
        reservation_id = await twins.begun("a", 10)
        committed(await twins.decided("a", reservation_id))
        twins.lost = lambda domain, message: isinstance(message, Release)
        await b.orchestrator.cancel(reservation_id)
        # It is final: only what is to be released is taken up.
        with pytest.raises(LostError):
            await a.orchestrator.owner.take_one(reservation_id)
        await asyncio.sleep(TAKEN_OVER_S)
        twins.lost = lambda domain, message: False
        await until(lambda: twins.held() == {}, 120)


@virtual
async def test_what_a_life_writes_as_it_ends_is_worked_on_once() -> None:
    async with Twins(diamond()) as twins:
        a = await twins.start("a")
        register = twins.store.register

        async def slow(instance_id: str, lease_ms: int) -> int:
            epoch = await register(instance_id, lease_ms)
            await asyncio.sleep(1)
            return epoch

        # It slept until its lease was gone; a request comes as it begins anew.
        twins.store._leases.clear()
        twins.store.register = slow  # type: ignore[method-assign]
        beating = asyncio.create_task(a.beat())
        await asyncio.sleep(0.5)
        with pytest.raises(DrainingError):
            await twins.begun("a", 10)
        await beating
        reservation_id = await twins.begun("a", 10)
        committed(await twins.decided("a", reservation_id))
        assert len(twins.store._reservations) == 1


@virtual
async def test_a_request_that_was_written_before_its_life_ended_goes_on_in_the_next() -> None:
    async with Twins(diamond()) as twins:
        a = await twins.start("a")
        save = twins.store.save

        async def slow(changes: Changes, fence: int = 0) -> None:
            await save(changes, fence)
            await asyncio.sleep(1 if changes.request is not None else 0)

        twins.store.save = slow  # type: ignore[method-assign]
        asking = asyncio.create_task(twins.begun("a", 10))
        await asyncio.sleep(0.5)
        twins.store._leases.clear()
        await a.beat()
        reservation_id = await asking
        committed(await twins.decided("a", reservation_id))
        transactions = list(twins.store._transactions.values())
        assert all(tx.decision is not Decision.UNDECIDED for tx in transactions)
        assert all(rows == [(reservation_id, 1)] for rows in twins.held().values())


@virtual
async def test_the_same_request_at_both_instances_is_one_reservation() -> None:
    async with Twins(diamond()) as twins:
        await twins.start("a")
        await twins.start("b")
        ids = await asyncio.gather(twins.begun("a", 10), twins.begun("b", 10))
        assert len(set(ids)) == 1
        committed(await twins.decided("a", ids[0]))
        assert all(rows == [(ids[0], 1)] for rows in twins.held().values())


@virtual
async def test_who_drains_takes_nothing_new_and_finishes_what_it_has() -> None:
    async with Twins(diamond()) as twins:
        a = await twins.start("a")
        await twins.start("b")
        reservation_id = await twins.begun("a", 10)
        draining = asyncio.create_task(twins.stop("a"))
        await asyncio.sleep(0)
        with pytest.raises(DrainingError):
            await twins.begun("a", 10, "late")
        await draining
        assert a.engine.negotiating == 0
        committed(await twins.decided("b", reservation_id))


@virtual
async def test_what_cannot_be_finished_in_time_is_handed_over_at_once() -> None:
    async with Twins(diamond()) as twins:
        await twins.start("a")
        await twins.start("b")
        twins.lost = MOMENTS["parts held"]
        reservation_id = await twins.begun("a", 10)
        waiting = asyncio.create_task(twins.decided("a", reservation_id))
        await asyncio.sleep(1)
        await twins.stop("a", timeout_s=1)
        twins.lost = lambda domain, message: False
        with pytest.raises((LostError, DrainingError, NotNowError)):
            await waiting
        async with asyncio.timeout(3):
            committed(await twins.decided("b", reservation_id))


@virtual
async def test_two_lives_of_one_name_do_not_live_side_by_side() -> None:
    async with Twins(diamond()) as twins:
        first = await twins.start("a")
        gateway = twins.gateways["a"]
        await twins.start("a")
        await asyncio.wait_for(first.superseded.wait(), TAKEN_OVER_S)
        await first.stop()
        await gateway.close()


@pytest.mark.parametrize("then", ["cancelled", "ended"])
@virtual
async def test_an_old_version_is_given_back_though_its_owner_dies_before_it_could(
    then: str,
) -> None:
    """The new version is not confirmed by a domain yet, so the old one still stands there."""

    def no_second_commit(domain: str, message: Message) -> bool:
        return domain == "m1" and isinstance(message, Commit) and message.transaction_id in late

    late: set[str] = set()
    async with Twins(diamond(1)) as twins:
        await twins.start("a")
        window = WINDOW
        reservation_id = await twins.begun("a", 10, window=window)
        first = committed(await twins.decided("a", reservation_id))
        twins.lost = no_second_commit
        live = twins.instances["a"].engine.book.get(reservation_id)
        assert live is not None
        await twins.changed("a", reservation_id, 20)
        assert live.record.change is not None
        late.add(live.record.change.transaction_id)
        second = committed(await twins.decided("a", reservation_id))
        assert second.version == first.version + 1
        old = await twins.store.transaction(first.transaction_id)
        assert old is not None
        assert old.decision is Decision.COMMIT
        assert len(twins.held()["m1"]) == 2

        if then == "cancelled":
            await twins.instances["a"].orchestrator.cancel(reservation_id)
        else:
            twins.clock.start_ms += (window.end_s - window.start_s) * 1000 + 3600 * 1000
            await asyncio.sleep(1)
        twins.lost = lambda domain, message: isinstance(message, (Abort, Release))
        await twins.kill("a")
        twins.lost = lambda domain, message: False
        await twins.start("b")
        version = (reservation_id, first.version)
        await until(lambda: version not in twins.held().get("m1", []), 120)
        old = await twins.store.transaction(first.transaction_id)
        assert old is not None
        assert old.settled


@virtual
async def test_what_ended_while_nobody_was_there_is_closed_at_the_start() -> None:
    async with Twins(diamond(1)) as twins:
        await twins.start("a")
        reservation_id = await twins.begun("a", 10)
        committed(await twins.decided("a", reservation_id))
        await twins.kill("a")
        twins.clock.start_ms += 3 * 3600 * 1000
        b = await twins.start("b")
        await asyncio.sleep(TAKEN_OVER_S)
        assert (await b.orchestrator.get(reservation_id)).state is State.ENDED
        assert twins.held() == {}


@virtual
async def test_orphans_of_many_reservations_are_all_taken_up() -> None:
    async with Twins(diamond()) as twins:
        await twins.start("a")
        ids = [await twins.begun("a", 1, f"r{number}") for number in range(20)]
        await twins.kill("a")
        await twins.start("b")
        for reservation_id in ids:
            committed(await twins.decided("b", reservation_id))
        assert len(twins.held()["west"]) == 20


@virtual
async def test_a_long_take_over_does_not_cost_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Twins(diamond()) as twins:
        await twins.start("a")
        ids = [await twins.begun("a", 1, f"r{number}") for number in range(8)]
        await asyncio.sleep(5)
        await twins.kill("a")
        await asyncio.sleep(LEASE_MS / 1000 + 1)
        monkeypatch.setattr(owner, "TAKE_BATCH", 2)
        take = twins.store.take

        async def slow(epoch: int, limit: int) -> Unfinished:
            await asyncio.sleep(0.8 * LEASE_MS / 1000)
            return await take(epoch, limit)

        monkeypatch.setattr(twins.store, "take", slow)
        b = await twins.start("b")
        await asyncio.sleep(8 * LEASE_MS / 1000)
        assert set(twins.store._owners.values()) == {b.engine.epoch}
        assert b.engine.book.ids() == set(ids)
