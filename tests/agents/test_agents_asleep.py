"""What sleeps is as if it were awake: found by key, by reservation, and when its time comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from agent_world import MBPS, NOW_S, World, fits, prep
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agents import parts, records
from agents.parts import RestoreError
from agents.records import Records
from agents.store import DatabaseStore
from agents.values import DataPlane, Key, Record
from protocol.messages import ReqOffers, SendOffers
from protocol.participant import Part, PartState
from runtime import schema
from runtime.database import Database
from substrate.model import DataPlaneState, Refusal, RefusalKind, Window

NOW_MS = NOW_S * 1000
SCHEDULED, ACTIVE = DataPlaneState.SCHEDULED, DataPlaneState.ACTIVE
RELEASED = DataPlaneState.RELEASED
PORTS = ("renet1:west", "renet1:east")


@pytest.fixture
def tired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever may sleep does as soon as something else happens."""
    monkeypatch.setattr(records, "AWAKE_MAX", 0)
    monkeypatch.setattr(parts, "NAP_MS", 0)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[DatabaseStore]:
    schema.upgrade(database_url, "agent")
    opened = DatabaseStore(Database(database_url))
    yield opened
    await opened.close()


def asleep(world: World) -> int:
    found = world.agent.parts.records
    return len(found) - len(list(found.awake()))


def record(key: Key, reservation_id: str, state: PartState) -> Record:
    refusal = Refusal(RefusalKind.LABEL, "none") if state is PartState.REFUSED else None
    asked = prep(*key, reservation_id=reservation_id)
    part = Part(*key, state, asked, "{}", refusal, NOW_MS, expires_ms=7)
    plane = SCHEDULED if state is PartState.COMMITTED else RELEASED
    return Record(part, DataPlane(plane, "", NOW_MS))


class RecordsAgainstDict(RuleBasedStateMachine):
    """Records that fall asleep at any time, against a plain dictionary."""

    keys = st.tuples(st.sampled_from(["t1", "t1.", "t2"]), st.sampled_from(["p", "p1", "q"]))

    def __init__(self) -> None:
        super().__init__()
        self.woken: dict[Key, int] = {}
        self.records = Records(lambda found, number: self.woken.update({found.key: number}))
        self.model: dict[Key, Record] = {}
        self.numbers: dict[str, int] = {}

    @rule(key=keys, state=st.sampled_from([PartState.COMMITTED, PartState.REFUSED]))
    def put(self, key: Key, state: PartState) -> None:
        made = record(key, f"r{len(key[0] + key[1]) % 3}", state)
        self.records.put(made)
        self.model[key] = made

    @rule(key=keys)
    def drop(self, key: Key) -> None:
        if key in self.model:
            self.records.drop(self.model.pop(key))

    @rule(reservation=st.sampled_from(["r0", "r1", "r2"]), due_ms=st.integers(0, 5))
    def lull(self, reservation: str, due_ms: int) -> None:
        found = self.records.parts_of(reservation)
        if found:
            number = self.numbers[reservation] = len(self.numbers) + 1
            self.records.lull(reservation, [(each, due_ms) for each in found], number)

    @rule(key=keys)
    def get(self, key: Key) -> None:
        self.woken.clear()
        assert self.records.get(key) == self.model.get(key)
        for each, number in self.woken.items():
            asked = self.model[each].part.prep
            assert asked is not None
            live = self.model[each].live
            assert number == (self.numbers[asked.reservation_id] if live else 0)

    @rule(now_ms=st.integers(0, 5))
    def rouse(self, now_ms: int) -> None:
        for reservation in self.records.due(now_ms, 100):
            self.records.wake(reservation)
        next_ms = self.records.next_due_ms()
        assert next_ms is None or next_ms > now_ms

    @rule(after=st.none() | keys, limit=st.integers(0, 4))
    def page(self, after: Key | None, limit: int) -> None:
        keys = sorted(k for k, v in self.model.items() if v.live and (not after or k > after))
        assert [each.key for each in self.records.live(after, limit)] == keys[:limit]

    @invariant()
    def are_the_same(self) -> None:
        found = {each.key: each for each in self.records.all()}
        assert found == self.model
        assert len(self.records) == len(self.model)
        live = sorted(key for key, each in found.items() if each.live)
        assert sorted(self.records.live_keys()) == live
        awake = sorted(each.key for each in self.records.awake() if each.live)
        assert [each.key for each in self.records.watched()] == awake
        states = [each.part.state for each in self.model.values()]
        assert +self.records.states() == {state: states.count(state) for state in set(states)}
        assert self.records.orchestrators() == {"orchestrator-1" for _ in self.model}


TestRecordsAgainstDict = RecordsAgainstDict.TestCase
TestRecordsAgainstDict.settings = settings(max_examples=60, stateful_step_count=40)


@pytest.mark.usefixtures("tired")
async def test_what_sleeps_takes_its_capacity_until_it_is_released() -> None:
    world = await World().start()
    await world.committed(prep(bandwidth_bps=600 * MBPS))
    await world.committed(prep("t2", reservation_id="r2", bandwidth_bps=300 * MBPS, vlan=101))
    assert asleep(world) == 1
    assert not await fits(world, 200 * MBPS)
    assert not await fits(world, 1, vlan=100)
    assert (await world.release()).ok
    assert await fits(world, 200 * MBPS)
    assert await fits(world, 1, vlan=100)


@pytest.mark.usefixtures("tired")
async def test_a_new_version_may_use_what_its_sleeping_reservation_has() -> None:
    world = await World().start()
    await world.committed(prep(bandwidth_bps=600 * MBPS))
    await world.committed(prep("t2", reservation_id="r2", bandwidth_bps=100 * MBPS, vlan=101))
    assert asleep(world) == 1
    question = ReqOffers("q1", Window(NOW_S + 100, NOW_S + 200), (PORTS,), 1, reservation_id="r1")
    offered = await world.ask(question)
    assert isinstance(offered, SendOffers)
    assert offered.offers[0].profile[0].bandwidth_bps == 900 * MBPS
    await world.committed(prep("t3", "p3", version=2, bandwidth_bps=800 * MBPS))
    assert not await fits(world, 101 * MBPS)
    assert (await world.release("t3", "p3")).ok
    assert await fits(world, 300 * MBPS)


@pytest.mark.usefixtures("tired")
async def test_what_sleeps_is_on_the_device_during_its_window_and_forgotten_later() -> None:
    world = await World().start()
    await world.committed(prep())
    await world.committed(prep("t2", reservation_id="r2", start_s=NOW_S + 300, end_s=NOW_S + 400))
    assert asleep(world) == 1
    await world.at(100)
    assert (world.device.on, world.data_plane()) == ({"t1/p1"}, ACTIVE)
    await world.at(200)
    assert (world.device.on, world.data_plane()) == (set(), RELEASED)
    await world.at(200 + 3600)
    await world.at(400 + 3600)
    await world.at(400 + 3600 + 1)
    assert len(world.agent.parts.records) == 0
    assert world.agent._book.is_empty()


@pytest.mark.usefixtures("tired")
async def test_a_hold_never_sleeps() -> None:
    world = await World().start()
    await world.hold(prep(bandwidth_bps=1))
    await world.hold(prep("t2", reservation_id="r2", bandwidth_bps=1, vlan=101))
    assert asleep(world) == 0
    await world.at(10)
    assert set(world.inquiries()) == {"p1"}


async def test_what_begins_later_sleeps_from_the_start(store: DatabaseStore) -> None:
    world = await World(store).start()
    await world.committed(prep(bandwidth_bps=600 * MBPS))
    await world.committed(prep("t2", reservation_id="r2", bandwidth_bps=300 * MBPS, vlan=101))
    await world.abort("t9", "p9")
    before = world.agent.holdings(None, 10)
    await world.restart()
    assert asleep(world) == 2
    assert world.agent.holdings(None, 10) == before
    assert not await fits(world, 101 * MBPS)
    assert not await fits(world, 1, vlan=101)
    assert (await world.commit()).ok
    assert asleep(world) == 1
    await world.at(100)
    await store.check_owner()
    await world.settle()
    assert asleep(world) == 0
    assert world.device.on == {"t1/p1", "t2/p1"}


async def test_alternatives_are_not_added_up_at_the_start(store: DatabaseStore) -> None:
    world = await World(store).start()
    await world.committed(prep(bandwidth_bps=600 * MBPS))
    await world.committed(prep("t3", "p3", version=2, bandwidth_bps=800 * MBPS))
    await world.restart()
    assert asleep(world) == 0
    assert await fits(world, 200 * MBPS)
    assert not await fits(world, 201 * MBPS)


async def test_a_sleeping_part_that_does_not_fit_any_more_is_named(store: DatabaseStore) -> None:
    world = await World(store).start()
    await world.committed(prep(bandwidth_bps=600 * MBPS))
    await world.crash()
    for ports in (
        [{**port, "capacity": "500M"} for port in world.config["ports"]],
        [{**port, "vlans": "101-199"} for port in world.config["ports"]],
        world.config["ports"][1:],
    ):
        with pytest.raises(RestoreError, match=r"renet1 has promised more .*, for part t1/p1: put"):
            await World(store, ports=ports).agent.start()
