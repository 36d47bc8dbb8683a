"""An agent whose database is an old copy finds out, takes nothing new, and is reconciled."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

import pytest
import structlog
from agent_world import GBPS, MBPS, ME, NOW_S, FaultyStore, World, fits, prep, refused

from agents.peers import RestoredError, Sender
from agents.store import MemoryStore
from agents.values import Life, Seen, is_old_copy
from protocol.messages import (
    Abort,
    Claim,
    Claims,
    Commit,
    Inquire,
    Phase,
    Reconciled,
    Release,
    ReservationPrep,
    ReservationResp,
    ToOrchestrator,
)
from protocol.participant import PartState, Rules
from runtime.database import StorageError
from substrate.model import DataPlaneState, RefusalKind

MINE = Sender(ME, ME)
OTHER = Sender("orchestrator-2", "orchestrator-2")
LIFE = Life(epoch=5, boot=3, incarnation="c", first_epoch=2)


def memory(world: World) -> MemoryStore:
    store = world.store.inner if isinstance(world.store, FaultyStore) else world.store
    assert isinstance(store, MemoryStore)
    return store


def seen(world: World) -> Seen:
    life = world.agent.life
    return Seen(life.epoch, life.boot, life.incarnation)


def claim(message: ReservationPrep, told: bool = True) -> Claim:
    return Claim(message, told)


def claims(
    world: World, *found: Claim, claims_id: str = "c1", page: int = 0, pages: int = 1
) -> Claims:
    return Claims(world.agent.epoch, claims_id, page, pages, found)


async def told(world: World, message: Claims, sender: Sender = MINE) -> list[ToOrchestrator]:
    """What ``sender`` is told after its claims."""
    before = len(world.sent)
    await world.agent.handle(sender, message)
    await world.settle()
    return [m for to, m in world.sent[before:] if to == sender]


async def restored(world: World, backup: MemoryStore) -> Seen:
    """The agent comes back with its database as it was; what it was seen as is remembered."""
    last = seen(world)
    await world.crash()
    if isinstance(world.store, FaultyStore):
        world.store.inner = backup
    else:
        world.store = backup
    world.agent = world._new_agent()
    await world.start()
    return last


async def recovering(*, orchestrators: list[str] | None = None) -> World:
    """An agent whose hold t1 (600 Mb/s) is in the backup, and whose t2 (400 Mb/s) is forgotten."""
    world = await World(FaultyStore(), orchestrators=orchestrators).start()
    await world.committed(prep())
    backup = memory(world).copy()
    await world.restart()
    await world.committed(T2)
    last = await restored(world, backup)
    with pytest.raises(RestoredError):
        await world.agent.greet(last, ME)
    world.sent.clear()
    return world


T2 = prep("t2", reservation_id="r2", bandwidth_bps=400 * MBPS, vlan=101)


# --- finding out --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "old"),
    [
        (Seen(5, 3, "c"), False),
        (Seen(5, 2, "b"), False),
        (Seen(4, 9, "x"), False),
        (Seen(2, 1, "x"), False),
        (Seen(6, 1, "x"), True),
        (Seen(5, 4, "x"), True),
        (Seen(5, 3, "x"), True),
        (Seen(1, 1, "x"), True),
    ],
)
def test_what_was_seen_tells_an_old_copy(found: Seen, old: bool) -> None:
    assert is_old_copy(LIFE, found) is old


def test_an_earlier_database_is_news_only_once() -> None:
    assert not is_old_copy(replace(LIFE, recovering=True), Seen(1, 1, "x"))
    assert is_old_copy(replace(LIFE, recovering=True), Seen(6, 1, "x"))


async def test_an_ordinary_restart_is_no_old_copy() -> None:
    world = await World().start()
    last = seen(world)
    await world.agent.greet(None, ME)
    await world.restart()
    await world.agent.greet(last, ME)
    assert (world.agent.epoch, world.agent.life.boot) == (last.epoch, last.boot + 1)
    assert not world.agent.recovering


async def test_an_old_copy_raises_its_epoch_durably_and_takes_nothing_new() -> None:
    world = await recovering()
    epoch = world.agent.epoch
    assert world.agent.recovering
    assert (
        refused(await world.hold(prep("t3", vlan=102, bandwidth_bps=1))) is RefusalKind.UNAVAILABLE
    )
    assert world.agent.parts.records.get(("t3", "p1")) is None
    assert await world.ask(Commit("t2", "p1")) is None
    await world.restart()
    assert world.agent.epoch == epoch
    assert world.agent.recovering


async def test_the_epoch_rises_above_what_was_seen_and_above_its_own() -> None:
    world = await World().start()
    epoch = world.agent.epoch
    with pytest.raises(RestoredError):
        await world.agent.greet(Seen(epoch + 70, 1, "x"), ME)
    assert world.agent.epoch == epoch + 71
    with pytest.raises(RestoredError):
        await world.agent.greet(Seen(epoch + 71, 1, "x"), ME)
    assert world.agent.epoch == epoch + 72


async def test_an_agent_whose_file_was_deleted_is_an_empty_old_copy() -> None:
    world = await World(MemoryStore()).start()
    await world.committed(prep())
    world.clock.time_ms += 1000
    last = await restored(world, MemoryStore())
    assert not world.agent.recovering
    with pytest.raises(RestoredError):
        await world.agent.greet(last, ME)
    assert world.agent.recovering
    assert world.agent.recovery.awaited() == (ME,)
    answers = await told(world, claims(world, claim(prep())))
    assert [m.ok for m in answers if isinstance(m, ReservationResp)] == [True]
    assert not await fits(world, 401 * MBPS)


async def test_who_knew_the_deleted_database_is_heard_even_when_he_comes_late() -> None:
    world = await World(MemoryStore()).start()
    world.clock.time_ms += 1000
    last = await restored(world, MemoryStore())
    with pytest.raises(RestoredError):
        await world.agent.greet(last, ME)
    await told(world, claims(world))
    assert not world.agent.recovering
    with pytest.raises(RestoredError):
        await world.agent.greet(last, OTHER.orchestrator_id)
    assert world.agent.recovery.awaited() == (OTHER.orchestrator_id,)
    await world.agent.greet(last, OTHER.orchestrator_id)
    await told(world, claims(world), OTHER)
    assert not world.agent.recovering
    await world.agent.greet(seen(world), OTHER.orchestrator_id)


async def test_two_who_find_out_at_once_raise_it_once_and_both_describe_again() -> None:
    store = FaultyStore()
    world = await World(store).start()
    ended: list[int] = []
    world.agent.recovery.raised = lambda: ended.append(world.agent.epoch)
    epoch = world.agent.epoch
    store.gate.clear()
    found = [Seen(epoch + 5, 1, "x"), Seen(epoch + 3, 1, "y"), None]
    greets = [asyncio.create_task(world.agent.greet(each, ME)) for each in found]
    await world.settle()
    assert world.agent.recovering
    assert refused(await world.ask(prep())) is RefusalKind.UNAVAILABLE
    store.gate.set()
    outcomes = await asyncio.gather(*greets, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RestoredError] * 3
    assert world.agent.epoch == epoch + 6
    assert ended == [epoch + 6]


async def test_who_goes_away_before_it_hears_of_the_copy_is_no_error() -> None:
    store = FaultyStore()
    world = await World(store).start()
    errors: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: errors.append(context["message"]))
    store.gate.clear()
    greet = asyncio.create_task(world.agent.greet(Seen(world.agent.epoch + 5, 1, "x"), ME))
    await world.settle()
    greet.cancel()
    await asyncio.gather(greet, return_exceptions=True)
    store.gate.set()
    await world.settle()
    gc.collect()
    assert world.agent.recovering
    assert errors == []


async def test_an_epoch_that_cannot_be_written_admits_nothing_and_is_tried_again() -> None:
    store = FaultyStore()
    world = await World(store).start()
    epoch = world.agent.epoch
    store.fails = True
    with pytest.raises(StorageError):
        await world.agent.greet(Seen(epoch + 5, 1, "x"), ME)
    store.fails = False
    assert world.agent.epoch == epoch
    assert refused(await world.hold(prep())) is RefusalKind.UNAVAILABLE
    assert await told(world, claims(world)) == []
    ended: list[int] = []
    world.agent.recovery.raised = lambda: ended.append(world.agent.epoch)
    await world.at(5)
    assert (world.agent.epoch, ended) == (epoch + 6, [epoch + 6])
    assert world.agent.life.recovering


async def test_a_restored_start_raises_the_epoch_and_recovers() -> None:
    world = await World().start()
    epoch = world.agent.epoch
    await world.committed(prep())
    await world.restart(restored=True)
    assert world.agent.epoch > epoch
    assert world.agent.recovering
    await world.agent.greet(Seen(epoch, 1, "whatever"), ME)
    assert (await told(world, claims(world, claim(prep()))))[-1] == Reconciled(
        world.agent.epoch, "c1"
    )


# --- reconciliation -------------------------------------------------------------------------------


async def test_what_is_claimed_is_held_again_and_the_rest_is_dropped() -> None:
    world = await recovering()
    epoch = world.agent.epoch
    answers = await told(world, claims(world, claim(T2)))
    assert answers == [
        ReservationResp("t2", "p1", Phase.COMMIT, True, None, epoch),
        Reconciled(epoch, "c1"),
    ]
    assert not world.agent.recovering
    assert world.record("t1").part.state is PartState.RELEASED
    assert not await fits(world, 601 * MBPS)
    assert await fits(world, 600 * MBPS)
    await world.restart()
    assert not world.agent.recovering
    assert (await world.commit("t2")).ok
    assert refused(await world.commit("t1")) is RefusalKind.TOMBSTONE
    assert not await fits(world, 601 * MBPS)


async def test_a_claimed_hold_is_committed_and_an_unclaimed_one_aborted() -> None:
    world = await World().start()
    await world.hold(prep())
    await world.hold(T2)
    await world.restart(restored=True)
    await told(world, claims(world, claim(prep(), told=False)))
    assert world.record("t1").part.state is PartState.COMMITTED
    assert world.record("t2").part.state is PartState.ABORTED
    assert world.inquiries() == []


async def test_told_ones_come_first_and_what_has_no_room_is_refused() -> None:
    world = await World().start()
    await world.restart(restored=True)
    untold = prep("a", reservation_id="ra", bandwidth_bps=700 * MBPS, vlan=110)
    first = prep("b", reservation_id="rb", bandwidth_bps=700 * MBPS, vlan=111)
    small = prep("c", reservation_id="rc", bandwidth_bps=300 * MBPS, vlan=112)
    answers = await told(
        world, claims(world, claim(untold, told=False), claim(first), claim(small, told=False))
    )
    said = {m.transaction_id: m.ok for m in answers if isinstance(m, ReservationResp)}
    assert said == {"a": False, "b": True, "c": True}
    kinds = [m.refusal for m in answers if isinstance(m, ReservationResp) and m.refusal]
    assert [(r.kind, r.domain) for r in kinds] == [(RefusalKind.BANDWIDTH, "renet1")]
    assert refused(await world.commit("a")) is RefusalKind.TOMBSTONE


async def with_a_hold_in_the_backup() -> World:
    """The backup remembers t1 (600 of 1,000 Mb/s) as held: it may have expired since."""
    world = await World(FaultyStore(), hold_timeout_s=30).start()
    await world.hold(prep())
    await world.restart(restored=True)
    world.sent.clear()
    return world


BIG = prep("t3", reservation_id="r3", bandwidth_bps=900 * MBPS, vlan=103)


async def test_a_hold_of_the_backup_yields_to_what_users_were_told() -> None:
    world = await with_a_hold_in_the_backup()
    answers = await told(world, claims(world, claim(prep(), told=False), claim(BIG)))
    said = {m.transaction_id: m.ok for m in answers if isinstance(m, ReservationResp)}
    assert said == {"t3": True, "t1": False}
    assert world.record("t3").part.state is PartState.COMMITTED
    assert world.record("t1").part.state is PartState.ABORTED
    assert not await fits(world, 101 * MBPS)
    assert await fits(world, 100 * MBPS)


async def test_a_hold_of_the_backup_is_taken_up_again_where_there_is_room() -> None:
    world = await with_a_hold_in_the_backup()
    await told(world, claims(world, claim(prep(), told=False), claim(T2)))
    assert world.record("t1").part.state is PartState.COMMITTED
    assert world.record("t2").part.state is PartState.COMMITTED
    assert not await fits(world, 1 * MBPS)


async def test_what_yielded_is_held_as_before_until_the_outcome_can_be_written() -> None:
    world = await with_a_hold_in_the_backup()
    store = world.store
    assert isinstance(store, FaultyStore)
    store.fails = True
    assert await told(world, claims(world, claim(prep(), told=False), claim(BIG))) == []
    assert world.record("t1").part.state is PartState.HELD
    assert world.agent.parts.book.placement(world.record("t1").part.mapping).claims
    store.fails = False
    await world.at(5)
    assert world.record("t3").part.state is PartState.COMMITTED
    assert world.record("t1").part.state is PartState.ABORTED
    assert await fits(world, 100 * MBPS)


async def test_a_commit_of_what_the_backup_holds_waits_for_reconciliation() -> None:
    world = await with_a_hold_in_the_backup()
    await world.agent.handle(MINE, Commit("t1", "p1"))
    await world.settle()
    assert world.sent == []
    assert world.record("t1").part.state is PartState.HELD
    await told(world, claims(world))
    assert world.record("t1").part.state is PartState.ABORTED
    assert refused(await world.commit("t1")) is RefusalKind.TOMBSTONE


async def test_todays_horizon_does_not_count_against_what_users_were_told() -> None:
    world = await World(horizon_s=1000).start()
    await world.restart(restored=True)
    far = prep("a", reservation_id="ra", start_s=NOW_S + 5000, end_s=NOW_S + 6000)
    farther = prep("b", reservation_id="rb", start_s=NOW_S + 7000, end_s=NOW_S + 8000)
    answers = await told(world, claims(world, claim(far), claim(farther, told=False)))
    assert [m.ok for m in answers if isinstance(m, ReservationResp)] == [True, False]
    assert refused(answers[1]) is RefusalKind.POLICY


async def test_a_claim_whose_window_is_over_needs_no_room() -> None:
    world = await World().start()
    await world.restart(restored=True)
    over = [
        prep(name, reservation_id=name, start_s=NOW_S - 20, end_s=NOW_S, bandwidth_bps=GBPS)
        for name in ("a", "b")
    ]
    late = prep("c", reservation_id="c", start_s=NOW_S - 20, end_s=NOW_S)
    found = [*map(claim, over), claim(late, told=False)]
    answers = await told(world, claims(world, *found))
    assert [m.ok for m in answers if isinstance(m, ReservationResp)] == [True, True, False]
    assert world.data_plane("a") is not DataPlaneState.ACTIVE
    assert (await world.release("a")).ok
    assert not world.device.on


async def test_what_is_over_takes_no_room_of_what_goes_on() -> None:
    world = await World().start()
    await world.restart(restored=True)
    over = prep("a", reservation_id="a", start_s=NOW_S - 20, end_s=NOW_S, bandwidth_bps=GBPS)
    lasting = prep("b", reservation_id="b", start_s=NOW_S - 10, bandwidth_bps=GBPS)
    answers = await told(world, claims(world, claim(over), claim(lasting)))
    assert [m.ok for m in answers if isinstance(m, ReservationResp)] == [True, True]
    assert world.device.on == {"b/p1"}


async def test_what_only_seems_to_be_over_as_the_clock_is_ahead_is_held_and_carried() -> None:
    world = await World().start()
    await world.at(701)
    await world.restart(restored=True)
    answers = await told(world, claims(world, claim(prep(bandwidth_bps=GBPS))))
    assert [m.ok for m in answers if isinstance(m, ReservationResp)] == [True]
    assert not world.device.on
    await world.at(50)
    assert not await fits(world, 1 * MBPS)
    assert not await fits(world, 1 * MBPS, vlan=100, start_s=NOW_S + 60, end_s=NOW_S + 101)
    await world.at(100)
    assert world.device.on == {"t1/p1"}
    assert world.data_plane() is DataPlaneState.ACTIVE
    await world.at(200)
    assert not world.device.on


async def test_claims_come_in_pages_in_any_order_and_twice() -> None:
    world = await recovering()
    first, second = claim(prep()), claim(T2)
    assert await told(world, claims(world, second, page=1, pages=2)) == []
    assert await told(world, claims(world, second, page=1, pages=2)) == []
    answers = await told(world, claims(world, first, page=0, pages=2))
    assert [m.ok for m in answers if isinstance(m, ReservationResp)] == [True, True]


async def test_pages_of_different_snapshots_do_not_mix() -> None:
    world = await recovering()
    await told(world, claims(world, claim(prep()), claims_id="old", page=0, pages=2))
    await told(world, claims(world, claim(T2), claims_id="new", page=1, pages=2))
    assert world.agent.recovering
    await told(world, claims(world, claims_id="new", page=0, pages=2))
    assert not world.agent.recovering
    assert world.record("t1").part.state is PartState.RELEASED


async def test_the_newest_complete_snapshot_counts() -> None:
    world = await recovering(orchestrators=[ME, OTHER.orchestrator_id])
    await told(world, claims(world, claim(prep()), claim(T2), claims_id="old"))
    await told(world, claims(world, claim(T2), claims_id="new"), Sender(ME, "instance-2"))
    before = len(world.sent)
    await told(world, claims(world), OTHER)
    assert world.record("t1").part.state is PartState.RELEASED
    heard = {to: m.claims_id for to, m in world.sent[before:] if isinstance(m, Reconciled)}
    assert heard == {MINE: "old", Sender(ME, "instance-2"): "new", OTHER: "c1"}


async def test_it_waits_for_every_orchestrator_that_it_knows() -> None:
    world = await World().start()
    theirs = replace(T2, orchestrator_id=OTHER.orchestrator_id)
    await world.committed(prep())
    assert (await world.ask(theirs, OTHER)) is not None
    await world.restart(restored=True)
    assert world.agent.recovery.awaited() == (ME, OTHER.orchestrator_id)
    assert await told(world, claims(world, claim(prep()))) == []
    assert world.agent.recovery.awaited() == (OTHER.orchestrator_id,)
    answers = await told(world, claims(world, claim(theirs)), OTHER)
    assert isinstance(answers[0], ReservationResp)
    assert (answers[0].transaction_id, answers[0].ok) == ("t2", True)
    mine = [m for to, m in world.sent if to == MINE]
    assert Reconciled(world.agent.epoch, "c1") in mine
    assert "t2" not in [m.transaction_id for m in mine if isinstance(m, ReservationResp)]


async def test_with_nobody_known_it_waits_for_the_first_that_comes() -> None:
    world = await World().start(restored=True)
    assert world.agent.recovering
    assert world.agent.recovery.awaited() == ()
    await told(world, claims(world, claim(prep(orchestrator_id=OTHER.orchestrator_id))), OTHER)
    assert not world.agent.recovering


async def test_the_list_of_orchestrators_is_authoritative() -> None:
    world = await World().start()
    theirs = replace(T2, orchestrator_id=OTHER.orchestrator_id)
    await world.committed(prep())
    await world.ask(theirs, OTHER)
    world.orchestrators = [ME]
    await world.restart(restored=True)
    assert await told(world, claims(world, claim(theirs)), OTHER) == []
    assert world.agent.recovering
    await told(world, claims(world, claim(prep())))
    assert not world.agent.recovering
    assert world.record("t2").part.state is PartState.ABORTED
    assert await told(world, claims(world, claim(theirs)), OTHER) == [
        Reconciled(world.agent.epoch, "c1")
    ]


async def test_claims_of_another_epoch_are_ignored() -> None:
    world = await recovering()
    epoch = world.agent.epoch
    for wrong in (epoch - 1, epoch + 1):
        assert await told(world, Claims(wrong, "c1", 0, 1, ())) == []
    assert world.agent.recovering


async def test_who_does_not_recover_answers_reconciled_alone() -> None:
    world = await World().start()
    await world.committed(prep())
    assert await told(world, claims(world)) == [Reconciled(world.agent.epoch, "c1")]
    assert world.record().part.state is PartState.COMMITTED


async def test_claims_for_another_orchestrator_are_ignored() -> None:
    world = await recovering()
    assert await told(world, claims(world, claim(prep())), OTHER) == []
    assert world.agent.recovering


async def test_nobody_claims_what_is_anothers() -> None:
    world = await World(orchestrators=[ME, OTHER.orchestrator_id]).start()
    await world.committed(prep())
    await world.restart(restored=True)
    stolen = [replace(p, orchestrator_id=OTHER.orchestrator_id) for p in (prep(), T2)]
    await told(world, claims(world, claim(T2)))
    answers = await told(world, claims(world, *map(claim, stolen)), OTHER)
    kinds = [refused(m) for m in answers if isinstance(m, ReservationResp)]
    assert kinds == [RefusalKind.POLICY, RefusalKind.POLICY]
    assert world.record("t1").part.state is PartState.RELEASED
    prep_of_t2 = world.record("t2").part.prep
    assert prep_of_t2 is not None
    assert prep_of_t2.orchestrator_id == ME


@pytest.mark.parametrize("state", ["released", "aborted"])
async def test_only_what_is_missing_and_was_not_given_back_is_an_error(state: str) -> None:
    world = await World().start()
    await world.committed(prep())
    await world.restart(restored=True)
    other = prep("t3", reservation_id="r3", bandwidth_bps=10 * MBPS, vlan=103)
    if state == "released":
        await world.agent.handle(MINE, Release("t1", "p1"))
    else:
        assert (await world.abort("t3")).ok
    with structlog.testing.capture_logs() as logs:
        await told(world, claims(world, claim(prep()), claim(other)))
    errors = [entry["event"] for entry in logs if entry["log_level"] == "error"]
    assert errors == ([] if state == "released" else ["what a user was told is not held"])


# --- while it recovers ---------------------------------------------------------------------------


async def test_what_the_backup_knows_takes_decisions_while_it_recovers() -> None:
    world = await World().start()
    await world.hold(prep())
    await world.hold(T2)
    await world.restart(restored=True)
    assert (await world.abort("t2")).ok
    assert (await world.abort("never")).ok
    await told(world, claims(world, claim(prep()), claim(prep("never", reservation_id="r9"))))
    assert (await world.commit("t1")).ok
    assert refused(await world.commit("never")) is RefusalKind.TOMBSTONE


async def test_a_doubled_prepare_does_not_revive_what_the_backup_remembers() -> None:
    world = await World().start()
    await world.hold(prep())
    await world.restart(restored=True)
    assert refused(await world.hold(prep())) is RefusalKind.UNAVAILABLE
    await told(world, claims(world))
    assert refused(await world.hold(prep())) is RefusalKind.TOMBSTONE


async def test_a_hold_does_not_expire_before_it_is_known_whether_it_was_committed() -> None:
    world = await World(hold_timeout_s=30).start()
    await world.hold(prep())
    await world.restart(restored=True)
    await world.at(60)
    assert world.record().part.state is PartState.HELD
    answers = await told(world, claims(world, claim(prep())))
    assert [m.ok for m in answers if isinstance(m, ReservationResp)] == [True]
    await world.at(99)
    assert world.record().part.state is PartState.COMMITTED


async def test_a_hold_that_expired_before_the_copy_was_known_as_old_is_taken_up_again() -> None:
    world = await World(hold_timeout_s=30).start()
    await world.hold(prep())
    backup = memory(world).copy()
    assert (await world.commit()).ok
    last = await restored(world, backup)
    await world.at(60)
    assert world.record().part.state is PartState.EXPIRED
    with pytest.raises(RestoredError):
        await world.agent.greet(replace(last, boot=last.boot + 1), ME)
    world.sent.clear()
    await world.agent.handle(MINE, Commit("t1", "p1"))
    assert world.sent == []
    answers = await told(world, claims(world, claim(prep())))
    assert [m.ok for m in answers if isinstance(m, ReservationResp)] == [True]
    assert world.record().part.state is PartState.COMMITTED
    assert world.data_plane() is DataPlaneState.SCHEDULED
    assert not await fits(world, 401 * MBPS)
    await world.at(100)
    assert world.data_plane() is DataPlaneState.ACTIVE


async def test_a_hold_asks_on_while_it_recovers() -> None:
    world = await World(rules=Rules(inquire_after_s=5)).start()
    await world.hold(prep())
    await world.restart(restored=True)
    await world.at(6)
    assert world.inquiries() == ["p1"]


# --- durability ----------------------------------------------------------------------------------


async def test_nobody_hears_the_outcome_before_it_is_durable() -> None:
    world = await recovering()
    store = world.store
    assert isinstance(store, FaultyStore)
    store.gate.clear()
    handling = asyncio.create_task(world.agent.handle(MINE, claims(world, claim(T2))))
    deciding = asyncio.create_task(world.agent.handle(MINE, Release("t1", "p1")))
    await world.settle()
    assert world.sent == []
    assert world.agent.recovering
    store.gate.set()
    await asyncio.gather(handling, deciding)
    assert len(world.sent) == 3


async def test_an_outcome_that_cannot_be_written_is_tried_again() -> None:
    world = await recovering()
    store = world.store
    assert isinstance(store, FaultyStore)
    store.fails = True
    assert await told(world, claims(world, claim(T2))) == []
    assert world.agent.recovering
    assert world.record("t1").part.state is PartState.COMMITTED
    assert world.agent.parts.records.get(("t2", "p1")) is None
    store.fails = False
    await world.at(5)
    assert not world.agent.recovering
    assert Reconciled(world.agent.epoch, "c1") in [m for _, m in world.sent]
    assert not await fits(world, 601 * MBPS)
    assert await fits(world, 600 * MBPS)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_amid_the_write_repeats_everything_or_finds_it_done(when: str) -> None:
    world = await recovering()
    store = world.store
    assert isinstance(store, FaultyStore)
    store.lies, store.fails = when == "after", when == "before"
    assert await told(world, claims(world, claim(T2))) == []
    store.lies = store.fails = False
    await world.restart()
    assert world.agent.recovering is (when == "before")
    answers = await told(world, claims(world, claim(T2), claims_id="again"))
    assert answers[-1] == Reconciled(world.agent.epoch, "again")
    assert (await world.commit("t2")).ok
    assert refused(await world.commit("t1")) is RefusalKind.TOMBSTONE
    assert not await fits(world, 601 * MBPS)


async def test_an_outcome_written_unknown_to_the_agent_is_not_found_half_after_a_crash() -> None:
    world = await recovering()
    store = world.store
    assert isinstance(store, FaultyStore)
    store.lies = True
    assert await told(world, claims(world, claim(T2))) == []
    store.lies = False
    life = memory(world).life
    assert life is not None
    assert not life.recovering
    # The next write takes back what was taken up, and with it that recovery is over.
    assert (await world.abort("another")).ok
    await world.restart()
    assert world.agent.recovering
    await told(world, claims(world, claim(T2)))
    assert world.record("t2").part.state is PartState.COMMITTED


async def test_another_raise_amid_the_write_is_not_lost() -> None:
    world = await recovering()
    store, epoch = world.store, world.agent.epoch
    assert isinstance(store, FaultyStore)
    store.gate.clear()
    finishing = asyncio.create_task(world.agent.handle(MINE, claims(world, claim(T2))))
    await world.settle()
    greeting = asyncio.create_task(world.agent.greet(Seen(epoch + 9, 1, "x"), ME))
    await world.settle()
    store.gate.set()
    await finishing
    with pytest.raises(RestoredError):
        await greeting
    assert (world.agent.epoch, world.agent.recovering) == (epoch + 10, True)
    await world.restart()
    assert (world.agent.epoch, world.agent.recovering) == (epoch + 10, True)


# --- devices -------------------------------------------------------------------------------------


async def test_devices_follow_what_was_dropped_and_adopted() -> None:
    world = await recovering()
    await world.at(100)
    assert world.device.on == {"t1/p1"}
    await told(world, claims(world, claim(T2)))
    assert world.device.on == {"t2/p1"}
    assert world.data_plane("t2") is DataPlaneState.ACTIVE


async def test_a_hold_that_was_committed_since_and_given_back_leaves_the_device() -> None:
    world = await World().start()
    await world.hold(prep())
    backup = memory(world).copy()
    await world.commit()
    await world.at(100)
    assert world.device.on == {"t1/p1"}
    await restored(world, backup)
    assert world.record().part.state is PartState.HELD
    with pytest.raises(RestoredError):
        await world.agent.greet(Seen(world.agent.epoch + 1, 1, "x"), ME)
    await world.settle()
    assert world.device.on == {"t1/p1"}
    await told(world, claims(world))
    assert world.device.on == set()
    assert world.data_plane() is DataPlaneState.RELEASED


# --- strangers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["held", "committed", "aborted"])
async def test_a_part_is_touched_by_its_own_orchestrator_only(state: str) -> None:
    world = await World().start()
    await world.hold(prep())
    if state != "held":
        await (world.commit() if state == "committed" else world.abort())
    before = world.record()
    for message in (prep(), Commit("t1", "p1"), Abort("t1", "p1"), Release("t1", "p1")):
        answer = await world.ask(message, OTHER)
        assert refused(answer) is RefusalKind.POLICY
        assert isinstance(answer, ReservationResp)
        assert answer.refusal is not None
        assert ME not in answer.refusal.reason
    assert world.record() == before


async def test_nobody_prepares_for_another() -> None:
    world = await World().start()
    assert refused(await world.ask(prep(), OTHER)) is RefusalKind.POLICY
    assert world.agent.parts.records.get(("t1", "p1")) is None


async def test_answers_go_to_the_instance_that_asked() -> None:
    world = await World().start()
    await world.ask(prep(), Sender(ME, "i1"))
    await world.ask(Commit("t1", "p1"), Sender(ME, "i2"))
    assert [to for to, m in world.sent if isinstance(m, ReservationResp)] == [
        Sender(ME, "i1"),
        Sender(ME, "i2"),
    ]
    assert not [m for _, m in world.sent if isinstance(m, Inquire)]
