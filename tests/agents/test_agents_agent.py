"""What an agent promises: durable before told, held until decided, configured in its window."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agent_world import (
    GBPS,
    MBPS,
    ME,
    NOW_S,
    FaultyStore,
    World,
    fits,
    prep,
    refused,
)

from agents import parts
from agents.backends.base import Placement
from agents.parts import RestoreError
from agents.peers import Sender
from agents.store import MemoryStore, SupersededError
from agents.watchers import QUEUE_LIMIT, FellBehindError
from protocol.messages import (
    Abort,
    Commit,
    Inquire,
    Phase,
    Release,
    ReqOffers,
    ReservationPrep,
    ReservationResp,
    SendOffers,
)
from protocol.participant import Rules
from runtime.database import StorageError, WrongDatabaseError
from substrate.model import DataPlaneState, RefusalKind, Window

SCHEDULED, ACTIVE = DataPlaneState.SCHEDULED, DataPlaneState.ACTIVE
RELEASED, FAILED = DataPlaneState.RELEASED, DataPlaneState.FAILED


def watched(world: World) -> list[tuple[str, DataPlaneState]]:
    """What a watcher hears from now on, transaction and state; grows as it hears."""
    told: list[tuple[str, DataPlaneState]] = []

    async def listen() -> None:
        async for record in world.agent.watch():
            told.append((record.part.transaction_id, record.data_plane.state))

    world.listeners.append(asyncio.create_task(listen()))
    return told


async def twice(world: World, message: ReservationPrep | Commit | Abort | Release) -> object:
    """Delivers a message twice; both answers must be the same."""
    first = await world.ask(message)
    assert first is not None
    assert await world.ask(message) == first
    return first


# --- the life of a part -------------------------------------------------------------------------


async def test_each_message_delivered_twice_is_answered_the_same_and_done_once() -> None:
    world = await World().start()
    epoch = world.agent.epoch
    assert await twice(world, prep()) == ReservationResp("t1", "p1", Phase.PREP, True, None, epoch)
    assert not await fits(world, 600 * MBPS)
    assert await fits(world, 400 * MBPS)
    assert await twice(world, Commit("t1", "p1")) == ReservationResp(
        "t1", "p1", Phase.COMMIT, True, None, epoch
    )
    assert not await fits(world, 600 * MBPS)
    assert await twice(world, Release("t1", "p1")) == ReservationResp(
        "t1", "p1", Phase.RELEASE, True, None, epoch
    )
    assert await fits(world, GBPS)


async def test_an_abort_gives_back_once() -> None:
    world = await World().start()
    await world.hold(prep("t1", bandwidth_bps=500 * MBPS, vlan=100))
    await world.hold(prep("t2", bandwidth_bps=500 * MBPS, vlan=101, reservation_id="r2"))
    await twice(world, Abort("t1", "p1"))
    assert await fits(world, 500 * MBPS)
    assert not await fits(world, 501 * MBPS)


async def test_an_abort_that_overtakes_its_prepare_wins() -> None:
    world = await World().start()
    assert (await world.abort()).ok
    assert refused(await world.hold(prep())) is RefusalKind.TOMBSTONE
    assert await fits(world, GBPS)


async def test_a_commit_for_an_unknown_part_is_refused() -> None:
    world = await World().start()
    answer = await world.commit("never", "seen")
    assert (answer.phase, answer.ok) == (Phase.COMMIT, False)


async def test_a_refused_prepare_holds_nothing() -> None:
    world = await World().start()
    assert refused(await world.hold(prep(bandwidth_bps=2 * GBPS))) is RefusalKind.BANDWIDTH
    assert refused(await world.hold(prep("t2", vlan=7))) is RefusalKind.LABEL
    assert await fits(world, GBPS, vlan=100)


async def test_two_reservations_never_get_one_vlan() -> None:
    world = await World().start()
    assert (await world.hold(prep("t1", bandwidth_bps=1, vlan=100))).ok
    second = prep("t2", bandwidth_bps=1, vlan=100, reservation_id="r2")
    assert refused(await world.hold(second)) is RefusalKind.LABEL


async def test_a_window_beyond_the_horizon_is_refused_by_policy() -> None:
    horizon_s = 3600
    world = await World(horizon_s=horizon_s).start()
    late = prep("t1", end_s=NOW_S + horizon_s + 1)
    answer = await world.hold(late)
    assert refused(answer) is RefusalKind.POLICY
    assert answer.refusal is not None
    assert "takes up to 3600 s" in answer.refusal.reason
    assert (await world.hold(prep("t2", end_s=NOW_S + horizon_s))).ok


async def test_a_window_that_is_over_is_refused_by_policy() -> None:
    world = await World().start()
    over = prep(start_s=NOW_S - 20, end_s=NOW_S)
    assert refused(await world.hold(over)) is RefusalKind.POLICY


async def test_sixteen_at_once_for_six_tenths_of_a_port_hold_exactly_one() -> None:
    world = await World().start()
    asks = [prep(f"t{n}", reservation_id=f"r{n}", vlan=100 + n) for n in range(16)]
    await asyncio.gather(*(world.agent.handle(ME, ask) for ask in asks))
    held = [m.transaction_id for _, m in world.sent if isinstance(m, ReservationResp) and m.ok]
    assert len(held) == 1


# --- offers -------------------------------------------------------------------------------------


async def test_a_visible_domain_offers_what_is_free() -> None:
    world = await World().start()
    await world.committed(prep(bandwidth_bps=300 * MBPS))
    pairs = (("renet1:west", "renet1:east"),)
    ask = ReqOffers("q1", Window(NOW_S + 100, NOW_S + 200), pairs, GBPS)
    answer = await world.ask(ask)
    assert isinstance(answer, SendOffers)
    assert (answer.query_id, answer.domain) == ("q1", "renet1")
    assert [offer.profile[0].bandwidth_bps for offer in answer.offers] == [700 * MBPS]


async def test_a_blind_domain_offers_nothing_and_tells_no_numbers() -> None:
    world = await World(visible=False).start()
    pairs = (("renet1:west", "renet1:east"),)
    ask = ReqOffers("q1", Window(NOW_S + 100, NOW_S + 200), pairs, GBPS)
    assert await world.ask(ask) == SendOffers("q1", "renet1", (), ())
    answer = await world.hold(prep(bandwidth_bps=2 * GBPS))
    assert answer.refusal is not None
    assert answer.refusal.available_bps is None


# --- durable before told ------------------------------------------------------------------------


async def test_nothing_is_answered_before_it_is_durable() -> None:
    store = FaultyStore()
    world = await World(store).start()
    store.gate.clear()
    handling = asyncio.create_task(world.agent.handle(ME, prep()))
    await world.settle()
    assert world.sent == []
    assert not await_free(world)
    store.gate.set()
    await handling
    assert [m.ok for _, m in world.sent if isinstance(m, ReservationResp)] == [True]


def await_free(world: World) -> bool:
    """Whether the book would admit 600 Mb/s more, asked past the agent."""
    answer = world.agent._book.admit(prep("direct", "p", reservation_id="direct", vlan=150))
    world.agent._book.free("direct", "p")
    return hasattr(answer, "mapping")


async def test_a_hold_that_cannot_be_written_is_refused_and_forgotten() -> None:
    store = FaultyStore()
    world = await World(store).start()
    store.fails = True
    assert refused(await world.hold(prep())) is RefusalKind.UNAVAILABLE
    store.fails = False
    assert await fits(world, GBPS)
    assert (await world.hold(prep())).ok


@pytest.mark.parametrize("message", [Commit("t1", "p1"), Abort("t1", "p1"), Release("t1", "p1")])
async def test_a_decision_that_cannot_be_written_is_not_answered(
    message: Commit | Abort | Release,
) -> None:
    store = FaultyStore()
    world = await World(store).start()
    await world.hold(prep())
    if isinstance(message, Release):
        await world.commit()
    store.fails = True
    assert await world.ask(message) is None
    assert not await_free(world)
    store.fails = False
    answer = await world.ask(message)
    assert isinstance(answer, ReservationResp)
    assert answer.ok
    assert await_free(world) is not isinstance(message, Commit)


async def test_an_abort_frees_only_after_it_is_durable() -> None:
    store = FaultyStore()
    world = await World(store).start()
    await world.hold(prep())
    store.gate.clear()
    handling = asyncio.create_task(world.agent.handle(ME, Abort("t1", "p1")))
    await world.settle()
    assert not await_free(world)
    store.gate.set()
    await handling
    assert await_free(world)


async def test_messages_for_one_part_wait_for_each_other_and_others_do_not() -> None:
    store = FaultyStore()
    world = await World(store).start()
    store.gate.clear()
    first = asyncio.create_task(world.agent.handle(ME, prep()))
    second = asyncio.create_task(world.agent.handle(ME, Abort("t1", "p1")))
    other = asyncio.create_task(world.agent.handle(ME, Abort("t2", "p1")))
    await world.settle()
    assert store.writes == 2
    store.gate.set()
    await asyncio.gather(first, second, other)
    mine = [m for _, m in world.sent if isinstance(m, ReservationResp) and m.transaction_id == "t1"]
    assert [(m.phase, m.ok) for m in mine] == [(Phase.PREP, True), (Phase.ABORT, True)]
    assert await fits(world, GBPS)


async def test_a_caller_that_goes_away_does_not_stop_the_work() -> None:
    store = FaultyStore()
    world = await World(store).start()
    store.gate.clear()
    handling = asyncio.create_task(world.agent.handle(ME, prep()))
    await world.settle()
    handling.cancel()
    await world.settle()
    store.gate.set()
    await world.settle()
    assert (await world.commit()).ok


async def test_a_write_that_failed_and_yet_happened_is_undone_by_the_next() -> None:
    store = FaultyStore()
    world = await World(store).start()
    store.lies = True
    assert refused(await world.hold(prep())) is RefusalKind.UNAVAILABLE
    store.lies = False
    assert (await world.hold(prep("t2", reservation_id="r2", vlan=101))).ok
    await world.restart()
    assert not await fits(world, 401 * MBPS)
    assert await fits(world, 400 * MBPS)


async def test_a_prepare_repeated_after_a_doubtful_write_is_kept() -> None:
    store = FaultyStore()
    world = await World(store).start()
    store.lies = True
    await world.hold(prep())
    store.lies = False
    assert (await world.hold(prep())).ok
    assert (await world.hold(prep("t2", bandwidth_bps=1, reservation_id="r2", vlan=101))).ok
    await world.restart()
    assert (await world.commit()).ok


# --- restart ------------------------------------------------------------------------------------


async def test_holds_and_commitments_outlive_a_restart() -> None:
    world = await World().start()
    await world.hold(prep("t1", bandwidth_bps=400 * MBPS))
    await world.committed(prep("t2", bandwidth_bps=400 * MBPS, reservation_id="r2", vlan=101))
    await world.hold(prep("t3", bandwidth_bps=100 * MBPS, reservation_id="r3", vlan=102))
    await world.abort("t3")
    epoch = world.agent.epoch
    await world.restart()
    assert world.agent.epoch == epoch
    assert not await fits(world, 201 * MBPS)
    assert await fits(world, 200 * MBPS)
    assert (await world.commit("t1")).ok
    assert not (await world.commit("t3")).ok
    assert refused(await world.hold(prep("t3"))) is RefusalKind.TOMBSTONE


async def test_a_crash_amid_a_write_answers_nothing_and_the_part_is_held_or_not_at_all() -> None:
    store = FaultyStore()
    world = await World(store).start()
    store.gate.clear()
    handling = asyncio.create_task(world.agent.handle(ME, prep()))
    await world.settle()
    await world.crash()
    store.gate.set()
    await world.start()
    assert handling.cancelled()
    assert world.sent == []
    assert await fits(world, GBPS) is (world.agent.parts.records.get(("t1", "p1")) is None)


async def test_a_crash_amid_an_activation_is_made_good() -> None:
    world = await World().start()
    await world.committed(prep())
    world.device.hangs = "t1/p1"
    await world.at(100)
    await world.crash()
    world.device.hangs = ""
    await world.start()
    assert world.device.on == {"t1/p1"}
    assert world.data_plane() is ACTIVE


async def test_another_domains_store_is_refused() -> None:
    store = MemoryStore()
    await World(store).start()
    other = World(store, domain="renet2")
    with pytest.raises(WrongDatabaseError, match="belongs to the domain 'renet1', not to 'renet2'"):
        await other.agent.start()


async def test_promises_that_no_longer_fit_the_settings_are_named() -> None:
    store = MemoryStore()
    world = await World(store).start()
    await world.committed(prep(bandwidth_bps=600 * MBPS))
    await world.agent.stop()
    ports = [{**port, "capacity": "500M"} for port in world.config["ports"]]
    with pytest.raises(RestoreError, match=r"renet1 has promised more .*, for part t1/p1: put"):
        await World(store, ports=ports).agent.start()


async def test_an_agent_restored_from_a_backup_raises_its_epoch() -> None:
    world = await World().start()
    epoch = world.agent.epoch
    await world.crash()
    await world.agent.start(restored=True)
    assert world.agent.epoch > epoch


async def test_an_agent_that_is_superseded_says_so() -> None:
    class Taken(MemoryStore):
        async def save(self, *_: object, **__: object) -> None:
            raise SupersededError("taken over")

    world = await World(Taken()).start()
    assert refused(await world.hold(prep())) is RefusalKind.UNAVAILABLE
    assert world.agent.superseded.is_set()


async def test_a_draining_agent_takes_decisions_but_no_holds() -> None:
    world = await World().start()
    await world.hold(prep())
    world.agent.drain()
    assert refused(await world.hold(prep("t2", vlan=101))) is RefusalKind.UNAVAILABLE
    assert (await world.commit()).ok


# --- inquiries, expiry, forgetting --------------------------------------------------------------


async def test_a_hold_without_a_decision_is_asked_after_and_never_dropped() -> None:
    world = await World(rules=Rules(inquire_after_s=5, inquire_max_s=60)).start()
    await world.hold(prep())
    await world.at(4)
    assert world.inquiries() == []
    for second in range(5, 400):
        await world.at(second)
    asked = len(world.inquiries())
    assert 5 <= asked <= 20
    assert not await fits(world, GBPS)
    await world.abort()
    await world.at(900)
    assert len(world.inquiries()) == asked
    assert await fits(world, GBPS, start_s=NOW_S + 1000, end_s=NOW_S + 1100)


async def test_after_a_restart_a_hold_is_asked_after() -> None:
    world = await World().start()
    await world.hold(prep())
    await world.restart()
    await world.at(6)
    assert world.inquiries() == ["p1"]


async def test_inquiries_name_the_orchestrator_of_the_prepare() -> None:
    world = await World().start()
    await world.ask(prep(orchestrator_id="home"), Sender("home", "instance-2"))
    await world.at(6)
    assert world.sent[-1] == (Sender("home"), Inquire("t1", "p1", "r1"))


async def test_a_domain_that_insists_on_expiry_drops_the_hold_and_refuses_its_commit() -> None:
    world = await World(hold_timeout_s=30).start()
    await world.hold(prep())
    await world.at(31)
    assert await fits(world, GBPS)
    assert not (await world.commit()).ok
    await world.restart()
    assert not (await world.commit()).ok


async def test_an_expiry_that_cannot_be_written_keeps_the_hold_until_it_can() -> None:
    store = FaultyStore()
    world = await World(store, hold_timeout_s=30).start()
    await world.hold(prep())
    store.fails = True
    await world.at(31)
    store.fails = False
    assert not await fits(world, GBPS)
    await world.at(40)
    assert await fits(world, GBPS)


async def test_records_are_forgotten_after_their_grace() -> None:
    world = await World(rules=Rules(grace_s=100)).start()
    await world.committed(prep())
    await world.hold(prep("t2", reservation_id="r2", bandwidth_bps=1, vlan=101))
    await world.abort("t2")
    await world.at(150)
    await world.at(200)
    assert len(world.agent.parts.records) == 2
    for second in (301, 330, 360):
        await world.at(second)
    assert len(world.agent.parts.records) == 0
    assert world.agent.parts.records.reservations() == []
    assert world.agent._book.is_empty()
    await world.restart()
    assert len(world.agent.parts.records) == 0


# --- the data plane -----------------------------------------------------------------------------


async def test_a_circuit_is_on_exactly_in_its_window() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(99)
    assert world.device.calls == []
    assert world.data_plane() is SCHEDULED
    await world.at(100)
    assert world.device.calls == [("provision", "t1/p1")]
    assert world.data_plane() is ACTIVE
    await world.at(199)
    assert world.device.on == {"t1/p1"}
    await world.at(200)
    assert world.device.calls[1:] == [("withdraw", "t1/p1")]
    assert world.data_plane() is RELEASED


async def test_a_circuit_follows_a_clock_that_is_set_back_and_comes_back_with_it() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(100)
    assert world.data_plane() is ACTIVE
    await world.at(50)
    world.agent.parts.provisioner.look(prep().reservation_id)
    await world.settle()
    assert world.data_plane() is SCHEDULED
    await world.at(100)
    assert world.data_plane() is ACTIVE
    assert world.device.on == {"t1/p1"}


@pytest.mark.parametrize("ahead_s", [150, 250])
async def test_a_clock_that_was_ahead_before_it_began_ends_nothing(ahead_s: int) -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(ahead_s)
    assert world.data_plane() is (ACTIVE if ahead_s < 200 else RELEASED)
    await world.at(50)
    await world.at(100)
    assert world.data_plane() is ACTIVE
    assert world.device.on == {"t1/p1"}


async def test_what_is_forgotten_is_not_looked_at_when_the_clock_is_set_back() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(250)
    provisioner = world.agent.parts.provisioner
    assert provisioner._over == {prep().reservation_id}
    await world.agent.parts.forget(world.agent.parts.records.parts_of(prep().reservation_id)[0])
    assert provisioner._over == set()


async def test_a_hold_is_never_configured() -> None:
    world = await World().start()
    await world.hold(prep())
    await world.at(150)
    assert world.device.calls == []
    await world.commit()
    assert world.device.calls == [("provision", "t1/p1")]


async def test_a_cancel_while_active_withdraws() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(150)
    await world.release()
    assert world.device.on == set()
    assert world.data_plane() is RELEASED


async def test_a_cancel_before_the_start_touches_no_device() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.release()
    await world.at(150)
    assert world.device.calls == []
    assert world.data_plane() is RELEASED


async def test_an_activation_missed_while_down_happens_at_once() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.crash()
    world.clock.time_ms = (NOW_S + 150) * 1000
    await world.start()
    assert world.device.on == {"t1/p1"}
    assert world.data_plane() is ACTIVE


async def test_a_release_missed_while_down_happens_at_once() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(100)
    await world.crash()
    world.clock.time_ms = (NOW_S + 250) * 1000
    await world.start()
    assert world.device.calls == [("withdraw", "t1/p1")]
    assert world.device.on == set()
    assert world.data_plane() is RELEASED


async def test_a_window_missed_entirely_while_down_is_never_configured() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.crash()
    world.clock.time_ms = (NOW_S + 250) * 1000
    await world.start()
    assert ("provision", "t1/p1") not in world.device.calls
    assert world.data_plane() is RELEASED


async def test_a_restart_configures_again_what_a_device_may_have_lost() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(100)
    watcher = world.agent.watch()
    watcher.close()
    await world.restart()
    assert world.device.calls == [("provision", "t1/p1")]
    assert world.data_plane() is ACTIVE


async def test_a_cancel_that_a_crash_cut_short_is_finished_after_it() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(100)
    world.device.refuses = "no connection"
    await world.release()
    assert world.device.on == {"t1/p1"}
    await world.crash()
    world.device.refuses = ""
    await world.start()
    assert world.device.on == set()
    assert world.data_plane() is RELEASED


async def test_a_device_that_refuses_is_failed_with_its_reason_and_tried_again() -> None:
    world = await World().start()
    await world.committed(prep())
    world.device.refuses = "table is full"
    await world.at(100)
    record = world.record()
    assert (record.data_plane.state, record.data_plane.reason) == (FAILED, "table is full")
    for second in range(101, 130):
        await world.at(second)
    tries = len(world.device.calls)
    assert 4 <= tries <= 7
    world.device.refuses = ""
    for second in range(130, 170):
        await world.at(second)
    assert world.data_plane() is ACTIVE
    assert len(world.device.calls) == tries + 1


async def test_a_backend_that_breaks_is_failed_without_its_text() -> None:
    world = await World().start()

    async def broken(key: str, placement: object) -> None:
        raise KeyError("the password is 1234")

    world.device.provision = broken  # type: ignore[method-assign]
    await world.committed(prep())
    await world.at(100)
    record = world.record()
    assert record.data_plane.state is FAILED
    assert "1234" not in record.data_plane.reason


async def test_a_data_plane_change_that_cannot_be_written_is_tried_again() -> None:
    store = FaultyStore()
    world = await World(store).start()
    await world.committed(prep())
    store.fails = True
    await world.at(100)
    assert world.data_plane() is SCHEDULED
    store.fails = False
    await world.at(102)
    assert world.data_plane() is ACTIVE


async def test_a_release_while_an_activation_is_written_is_not_lost() -> None:
    store = FaultyStore()
    world = await World(store).start()
    await world.committed(prep())
    store.gate.clear()
    await world.at(100)
    releasing = asyncio.create_task(world.agent.handle(ME, Release("t1", "p1")))
    await world.settle()
    store.gate.set()
    await releasing
    await world.settle()
    assert world.device.on == set()
    assert world.data_plane() is RELEASED
    await world.restart()
    assert not (await world.commit()).ok
    assert world.device.calls == []


async def test_an_end_during_a_slow_activation_is_not_missed() -> None:
    world = await World().start()
    await world.hold(prep())
    await world.at(199)
    world.device.hangs = "t1/p1"
    await world.commit()
    await world.at(200)
    world.device.gate.set()
    await world.settle()
    await world.at(200)
    assert world.device.calls == [("provision", "t1/p1"), ("withdraw", "t1/p1")]
    assert world.device.on == set()
    assert world.data_plane() is RELEASED


async def test_a_release_during_a_slow_activation_ends_withdrawn() -> None:
    world = await World().start()
    await world.committed(prep())
    world.device.hangs = "t1/p1"
    await world.at(100)
    await world.release()
    world.device.gate.set()
    await world.settle()
    assert world.device.on == set()
    assert world.data_plane() is RELEASED


# --- modify: alternatives of one reservation -----------------------------------------------------


def second(**changes: object) -> ReservationPrep:
    return prep("t2", "p2", version=2, **changes)  # type: ignore[arg-type]


async def test_alternatives_of_one_reservation_share_capacity_and_labels() -> None:
    world = await World().start()
    await world.committed(prep(bandwidth_bps=600 * MBPS))
    assert (await world.hold(second(bandwidth_bps=800 * MBPS))).ok
    assert not await fits(world, 201 * MBPS)
    assert await fits(world, 200 * MBPS)
    await world.abort("t2", "p2")
    assert await fits(world, 400 * MBPS)


async def test_a_modify_before_the_start_activates_only_the_new_version() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.committed(second(bandwidth_bps=800 * MBPS))
    await world.release("t1", "p1")
    await world.at(100)
    assert world.device.calls == [("provision", "t2/p2")]


async def test_a_modify_while_active_switches_and_the_release_of_the_old_changes_nothing() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(100)
    await world.committed(second(bandwidth_bps=800 * MBPS))
    assert world.device.on == {"t2/p2"}
    assert (world.data_plane("t1", "p1"), world.data_plane("t2", "p2")) == (SCHEDULED, ACTIVE)
    await world.release("t1", "p1")
    assert world.device.on == {"t2/p2"}
    assert (world.data_plane("t1", "p1"), world.data_plane("t2", "p2")) == (RELEASED, ACTIVE)


async def test_a_modify_that_is_undone_switches_back() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(100)
    await world.committed(second())
    await world.release("t2", "p2")
    assert world.device.on == {"t1/p1"}
    assert (world.data_plane("t1", "p1"), world.data_plane("t2", "p2")) == (ACTIVE, RELEASED)


async def test_a_modify_of_the_end_releases_at_the_new_end() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(100)
    await world.committed(second(end_s=NOW_S + 300))
    await world.release("t1", "p1")
    await world.at(250)
    assert world.device.on == {"t2/p2"}
    await world.at(300)
    assert world.device.on == set()


async def test_an_earlier_end_holds_even_before_the_old_version_is_released() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(100)
    await world.committed(second(end_s=NOW_S + 150))
    await world.at(150)
    assert world.device.on == set()
    await world.release("t1", "p1")
    assert world.device.on == set()


async def test_a_new_version_that_the_device_refuses_is_failed_and_retried() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(100)
    world.device.refuses = "table is full"
    await world.committed(second())
    assert world.data_plane("t2", "p2") is FAILED
    world.device.refuses = ""
    await world.at(110)
    assert world.device.on == {"t2/p2"}
    assert (world.data_plane("t1", "p1"), world.data_plane("t2", "p2")) == (SCHEDULED, ACTIVE)


async def test_a_switch_on_which_old_and_new_rules_meet_takes_the_old_away_first() -> None:
    world = await World(backend="sdx").start()
    await world.committed(prep())
    await world.at(100)
    await world.committed(second(bandwidth_bps=800 * MBPS))
    assert world.device.on == {"t2/p2"}
    assert (world.data_plane("t1", "p1"), world.data_plane("t2", "p2")) == (SCHEDULED, ACTIVE)


@pytest.mark.parametrize(("refused", "on"), [("", "t2/p2"), ("t2/p2", "t1/p1")])
async def test_what_takes_the_place_of_another_waits_for_no_database(
    refused: str, on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FaultyStore()
    world = await World(store, backend="sdx").start()
    await world.committed(prep())
    await world.at(100)
    withdraw = world.device.inner.withdraw

    async def withdraw_and_fill_the_disk(key: str, placement: Placement) -> None:
        await withdraw(key, placement)
        store.fails = True

    monkeypatch.setattr(world.device.inner, "withdraw", withdraw_and_fill_the_disk)
    world.device.refuses_key = refused
    await world.committed(second(bandwidth_bps=800 * MBPS))
    assert store.fails
    assert world.device.on == {on}
    monkeypatch.undo()
    store.fails, world.device.refuses_key = False, ""
    await world.at(110)
    assert world.device.on == {"t2/p2"}
    assert (world.data_plane("t1", "p1"), world.data_plane("t2", "p2")) == (SCHEDULED, ACTIVE)


async def test_a_new_version_that_the_switch_refuses_leaves_the_old_one_on() -> None:
    world = await World(backend="sdx").start()
    await world.committed(prep())
    await world.at(100)
    world.device.refuses_key = "t2/p2"
    await world.committed(second())
    assert world.device.on == {"t1/p1"}
    assert (world.data_plane("t1", "p1"), world.data_plane("t2", "p2")) == (ACTIVE, FAILED)
    world.device.refuses_key = ""
    await world.at(110)
    assert world.device.on == {"t2/p2"}
    assert (world.data_plane("t1", "p1"), world.data_plane("t2", "p2")) == (SCHEDULED, ACTIVE)


@pytest.mark.parametrize("names", [("r1", "r2"), ("r2", "r1")])
async def test_a_vlan_passes_from_one_reservation_to_the_next_without_a_failure(
    names: tuple[str, str],
) -> None:
    world = await World(backend="sdx").start()
    first, then = names
    await world.committed(prep("a", reservation_id=first))
    following = prep("b", reservation_id=then, start_s=NOW_S + 200, end_s=NOW_S + 300)
    await world.committed(following)
    told = watched(world)
    await world.at(100)
    await world.at(200)
    assert world.device.on == {"b/p1"}
    assert FAILED not in [state for _, state in told]
    await world.agent.stop()


@pytest.mark.parametrize("names", ["ab", "ba", "abc", "cab"])
async def test_reservations_whose_next_phases_have_one_another_s_vlans_change_at_once(
    names: str,
) -> None:
    world = await World(backend="sdx").start()
    for vlan, name in enumerate(names, 100):
        of, then = f"r{name}", 100 + (vlan - 99) % len(names)
        await world.hold(prep(name, reservation_id=of, bandwidth_bps=MBPS, vlan=vlan))
        later: dict[str, Any] = {"start_s": NOW_S + 200, "end_s": NOW_S + 300}
        await world.hold(
            prep(name, "p2", reservation_id=of, bandwidth_bps=MBPS, vlan=then, **later)
        )
        await world.commit(name, "p1")
        await world.commit(name, "p2")
    told = watched(world)
    await world.at(100)
    assert world.device.on == {f"{name}/p1" for name in names}
    await world.at(200)
    assert world.device.on == {f"{name}/p2" for name in names}
    assert FAILED not in [state for _, state in told]
    await world.agent.stop()


async def test_a_device_that_hangs_for_one_reservation_serves_the_others() -> None:
    world = await World().start()
    await world.committed(prep("a", bandwidth_bps=1))
    await world.committed(prep("b", bandwidth_bps=1, reservation_id="r2", vlan=101))
    world.device.hangs = "a/p1"
    await world.at(100)
    assert world.device.on == {"b/p1"}
    world.device.gate.set()
    await world.settle()


# --- watching and holdings ------------------------------------------------------------------------


async def test_a_watcher_hears_the_present_and_then_each_change() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.hold(prep("t2", reservation_id="r2", bandwidth_bps=1, vlan=101))
    await world.abort("t2")
    told = watched(world)
    await world.settle()
    assert told == [("t1", SCHEDULED)]
    await world.at(100)
    await world.at(200)
    assert told == [("t1", SCHEDULED), ("t1", ACTIVE), ("t1", RELEASED)]
    await world.agent.stop()


async def test_a_watcher_hears_of_what_could_not_be_withdrawn_yet() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.at(100)
    world.device.refuses = "no connection"
    await world.release()
    told = watched(world)
    await world.settle()
    assert told == [("t1", FAILED)]
    world.device.refuses = ""
    await world.at(102)
    assert told == [("t1", FAILED), ("t1", RELEASED)]
    await world.agent.stop()


async def test_a_watch_ends_with_the_agent() -> None:
    world = await World().start()

    async def listen() -> None:
        async for _ in world.agent.watch():
            pass

    listening = asyncio.create_task(listen())
    await world.settle()
    await world.agent.stop()
    await asyncio.wait_for(listening, 60)


async def test_a_watcher_that_does_not_read_is_told_to_begin_again() -> None:
    world = await World().start()
    await world.committed(prep())
    watcher = world.agent.watch()
    record = world.record()
    for _ in range(QUEUE_LIMIT + 1):
        world.agent.parts.watchers.publish(record)
    with pytest.raises(FellBehindError, match="subscribe again"):
        async for _ in watcher:
            pass


async def test_holdings_are_paged_in_order() -> None:
    world = await World().start()
    for number in range(7):
        name = f"t{number}"
        await world.hold(prep(name, reservation_id=name, bandwidth_bps=1, vlan=100 + number))
    await world.abort("t3")
    pages = [[record.key for record in world.agent.holdings(None, 4)]]
    pages.append([record.key for record in world.agent.holdings(pages[0][-1], 4)])
    assert [[tx for tx, _ in page] for page in pages] == [["t0", "t1", "t2", "t4"], ["t5", "t6"]]


async def test_who_has_lost_its_database_finds_out_without_writing_anything() -> None:
    world = await World().start()
    store: Any = world.store

    async def taken() -> None:
        raise SupersededError("another agent has taken over this database")

    async def unreadable() -> None:
        raise StorageError("no way to the database")

    store.check_owner = unreadable
    await world.at(11)
    assert not world.agent.superseded.is_set()
    store.check_owner = taken
    await world.at(19)
    assert not world.agent.superseded.is_set()
    await world.at(22)
    assert world.agent.superseded.is_set()


async def test_whose_database_another_has_taken_touches_no_device_any_more() -> None:
    world = await World().start()
    await world.committed(prep())
    store: Any = world.store

    async def taken() -> None:
        raise SupersededError("another agent has taken over this database")

    # It is not time yet to look whose database it is, but to act.
    await world.at(91)
    store.check_owner = taken
    await world.at(100)
    assert world.device.calls == []
    assert world.agent.superseded.is_set()


@pytest.mark.parametrize("answers", [True, False])
async def test_circuits_begin_although_the_database_is_away(
    answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "OWNER_WAIT_S", 0.01)
    world = await World().start()
    await world.committed(prep())
    store: Any = world.store

    async def away() -> None:
        if answers:
            raise StorageError("no way to the database")
        await asyncio.Event().wait()

    store.check_owner = away
    await world.at(100)
    await asyncio.sleep(0.05)
    assert world.device.calls == [("provision", "t1/p1")]
    assert not world.agent.superseded.is_set()
