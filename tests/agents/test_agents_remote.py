"""Parts that are held elsewhere too: asked for before they are admitted, given back for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

import pytest
from agent_world import MBPS, ME, NOW_S, Device, FaultyStore, World, prep, refused

from agents.backends import open_backend
from agents.backends.base import DeviceError, Free, Partial, Placement
from agents.peers import RestoredError, Sender
from agents.remote import RETRY_MS, SOON_MS, SWEEP_MS
from agents.store import MemoryStore
from agents.values import Seen
from protocol.messages import Commit, Phase, ReservationPrep, ReservationResp
from substrate.model import DataPlaneState, Domain, Refusal, RefusalKind, Window
from substrate.values import replace

OTHER = "orchestrator-2"


class Elsewhere(Device):
    """A device of which the other end is a table: who asked for a reservation, and how much."""

    def __init__(self, world: World) -> None:
        super().__init__(open_backend(world.config))
        self.table: dict[str, tuple[str, int]] = {}
        self.asked: list[str] = []
        self.refusal: Refusal | None = None
        self.away = False
        self.open = asyncio.Event()
        self.open.set()
        self.disturbed: Callable[[str], None] = lambda reservation_id: None

    async def hold(self, prep: ReservationPrep, parts: Sequence[ReservationPrep]) -> Refusal | None:
        assert prep in parts
        self.asked.append(prep.transaction_id)
        await self.open.wait()
        if self.away:
            return Refusal(RefusalKind.UNAVAILABLE, "away")
        if self.refusal is None:
            self.table[prep.reservation_id] = (prep.orchestrator_id, _most(parts))
        return self.refusal

    async def tidy(self, reservation_id: str, parts: Sequence[ReservationPrep]) -> None:
        if self.away:
            raise DeviceError("away")
        if not parts:
            self.table.pop(reservation_id, None)
        elif reservation_id in self.table:
            self.table[reservation_id] = (self.table[reservation_id][0], _most(parts))

    async def kept(self, orchestrator_ids: Collection[str]) -> Collection[str]:
        if self.away:
            raise DeviceError("away")
        return [r for r, (owner, _) in self.table.items() if owner in orchestrator_ids]

    def cloudnets(self) -> None:
        return None

    async def aggregated(self, window: Window, reservation_id: str) -> bytes:
        if self.away:
            raise DeviceError("away")
        return f"{window.start_s}".encode()

    async def follow(self, disturbed: Callable[[str], None]) -> None:
        self.disturbed = disturbed
        await asyncio.Event().wait()


def _most(parts: Sequence[ReservationPrep]) -> int:
    return max(part.segments[0].bandwidth_bps for part in parts)


async def remote(store: MemoryStore | FaultyStore | None = None) -> tuple[World, Elsewhere]:
    """An agent whose orchestrator has connected, and what is behind it."""
    world = World(store)
    elsewhere = world.device = Elsewhere(world)
    world.agent = world._new_agent()
    await world.start()
    await world.agent.greet(None, ME)
    await world.settle()
    return world, elsewhere


async def test_a_part_is_held_elsewhere_before_it_is_answered_and_given_back_after() -> None:
    world, elsewhere = await remote()
    assert (await world.hold(prep())).ok
    assert elsewhere.table == {"r1": (ME, 600 * MBPS)}
    await world.abort()
    await world.at(1)
    assert not elsewhere.table


async def test_what_is_refused_elsewhere_is_refused_and_takes_nothing_here() -> None:
    world, elsewhere = await remote()
    elsewhere.refusal = Refusal(RefusalKind.BANDWIDTH, "full", available_bps=1)
    assert refused(await world.hold(prep())) is RefusalKind.BANDWIDTH
    elsewhere.refusal = None
    assert (await world.hold(prep("t2", bandwidth_bps=1000 * MBPS))).ok


async def test_what_cannot_be_held_here_is_not_asked_for_elsewhere() -> None:
    world, elsewhere = await remote()
    assert refused(await world.hold(prep(bandwidth_bps=1001 * MBPS))) is RefusalKind.BANDWIDTH
    late = prep("t2", deadline_ms=NOW_S * 1000 - 1)
    assert refused(await world.hold(late)) is RefusalKind.UNAVAILABLE
    world.agent.drain()
    assert refused(await world.hold(prep("t3"))) is RefusalKind.UNAVAILABLE
    assert not elsewhere.asked


async def test_a_part_that_is_asked_for_twice_is_held_elsewhere_once() -> None:
    world, elsewhere = await remote()
    elsewhere.open.clear()
    first = asyncio.create_task(world.agent.handle(ME, prep()))
    second = asyncio.create_task(world.agent.handle(ME, prep()))
    await world.settle()
    elsewhere.open.set()
    await asyncio.gather(first, second)
    assert elsewhere.asked == ["t1"]
    answers = [m for _, m in world.sent]
    assert answers[0] == answers[1]


async def test_an_abort_that_overtakes_the_answer_from_elsewhere_gives_it_back() -> None:
    world, elsewhere = await remote()
    elsewhere.open.clear()
    holding = asyncio.create_task(world.agent.handle(ME, prep()))
    await world.settle()
    aborting = asyncio.create_task(world.abort())
    await world.settle()
    elsewhere.open.set()
    await asyncio.gather(holding, aborting)
    await world.at(1)
    assert aborting.result().ok
    assert elsewhere.asked
    assert not elsewhere.table


async def test_what_comes_after_its_abort_is_not_asked_for() -> None:
    world, elsewhere = await remote()
    await world.abort()
    assert refused(await world.hold(prep())) is RefusalKind.TOMBSTONE
    assert not elsewhere.asked


async def test_what_could_not_be_stored_is_given_back_elsewhere() -> None:
    store = FaultyStore()
    world, elsewhere = await remote(store)
    store.fails = True
    assert refused(await world.hold(prep())) is RefusalKind.UNAVAILABLE
    assert elsewhere.asked
    await world.at(1)
    assert not elsewhere.table


async def test_while_the_other_end_is_away_parts_stay_and_are_given_back_when_it_is_there() -> None:
    world, elsewhere = await remote()
    await world.committed(prep())
    elsewhere.away = True
    assert (await world.release()).ok
    for second in range(1, 5):
        await world.at(second)
    assert elsewhere.table
    elsewhere.away = False
    await world.at(5 + 16 * RETRY_MS / 1000)
    assert not elsewhere.table


async def test_what_an_earlier_life_held_elsewhere_and_did_not_store_is_given_back() -> None:
    world, elsewhere = await remote()
    await world.committed(prep())
    elsewhere.table["lost"] = (ME, 1)
    await world.restart()
    assert set(elsewhere.table) == {"r1", "lost"}, "its orchestrator has not connected"
    await world.agent.greet(None, ME)
    await world.at(1)
    assert set(elsewhere.table) == {"r1"}


async def test_what_an_earlier_life_had_sent_and_comes_late_is_given_back_soon() -> None:
    world, elsewhere = await remote()
    await world.at(1)
    elsewhere.table["late"] = (ME, 1)
    await world.at(1 + SOON_MS / 1000)
    assert not elsewhere.table


async def test_what_an_orchestrator_asked_for_that_has_not_connected_stays() -> None:
    world, elsewhere = await remote()
    elsewhere.table["theirs"] = (OTHER, 1)
    await world.at(2 * SWEEP_MS / 1000)
    assert elsewhere.table
    await world.agent.greet(None, OTHER)
    await world.at(2 * SWEEP_MS / 1000 + 1)
    assert not elsewhere.table


async def test_an_agent_restored_from_a_backup_gives_nothing_back_before_it_is_reconciled() -> None:
    world, elsewhere = await remote()
    life = world.agent.life
    elsewhere.table["promised"] = (ME, 1)
    await world.restart()
    with pytest.raises(RestoredError):
        await world.agent.greet(Seen(life.epoch + 5, 9, "later"), ME)
    await world.at(2 * SWEEP_MS / 1000)
    assert world.agent.recovering
    assert elsewhere.table


async def test_alternatives_are_asked_for_together_and_what_is_left_of_them_stays() -> None:
    world, elsewhere = await remote()
    await world.committed(prep())
    await world.committed(prep("t2", bandwidth_bps=900 * MBPS, version=2))
    assert elsewhere.table["r1"] == (ME, 900 * MBPS)
    await world.release("t2")
    await world.at(1)
    assert elsewhere.table["r1"] == (ME, 600 * MBPS)


async def test_a_backend_that_fails_refuses_and_hides_its_error() -> None:
    world, elsewhere = await remote()

    async def broken(*_: object) -> Refusal | None:
        raise KeyError("secret")

    elsewhere.hold = broken  # type: ignore[method-assign,assignment]
    answer = await world.hold(prep())
    assert refused(answer) is RefusalKind.UNAVAILABLE
    assert "secret" not in str(answer)


async def test_a_disturbance_elsewhere_shows_in_the_data_plane_and_passes() -> None:
    world, elsewhere = await remote()
    await world.committed(prep(start_s=NOW_S))
    await world.at(1)
    assert world.data_plane() is DataPlaneState.ACTIVE
    elsewhere.refuses = "a link is cut"
    elsewhere.disturbed("r1")
    await world.settle()
    assert world.data_plane() is DataPlaneState.FAILED
    assert world.record().data_plane.reason == "a link is cut"
    elsewhere.refuses = ""
    await world.at(5)
    assert world.data_plane() is DataPlaneState.ACTIVE


class Thinker(Device):
    """A domain that runs VNodes, and thinks of each partial graph for a while."""

    def describe(self) -> Domain:
        return replace(super().describe(), cloud_stp="renet1:user")

    def aggregate(self, free: Free) -> bytes:
        return b""

    async def consult(self, partial: Partial, free: Free) -> object:
        await asyncio.sleep(0)
        if not partial.graph.startswith(b"g"):
            raise KeyError("secret")
        return f"advice on {partial.graph.decode()}"

    def place_graph(self, partial: Partial, free: Free) -> Placement | Refusal:
        return Placement((), (), str(partial.advice))


@pytest.mark.parametrize(("graph", "advice"), [(b"graph", "advice on graph"), (b"bad", "None")])
async def test_a_partial_graph_is_placed_by_the_advice_that_was_found_before(
    graph: bytes, advice: str
) -> None:
    world = World()
    world.device = Thinker(open_backend(world.config))
    world.agent = world._new_agent()
    await world.start()
    assert (await world.hold(replace(prep(), graph=graph))).ok
    mapping = world.record().part.mapping
    assert Placement.from_json(mapping).detail == advice


async def test_the_answer_of_a_part_that_waits_does_not_keep_others_waiting() -> None:
    world, elsewhere = await remote()
    await world.committed(prep("t0", reservation_id="r0", bandwidth_bps=MBPS, vlan=150))
    elsewhere.open.clear()
    waiting = world.agent.receive(Sender(ME), prep(), Commit("t0", "p1"))
    await world.settle()
    answer = world.sent[-1][1]
    assert isinstance(answer, ReservationResp)
    assert (answer.transaction_id, answer.phase) == ("t0", Phase.COMMIT)
    assert elsewhere.asked[-1] == "t1"
    elsewhere.open.set()
    assert waiting is not None
    await waiting
    assert world.record().live
