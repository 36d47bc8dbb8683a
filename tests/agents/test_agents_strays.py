"""VNodes on hosts that outlived a database: after recovery those go of which nobody knows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agent_world import ME, NOW_S
from cloud_site import memory
from cloud_world import CloudWorld, cloud_prep, graph
from test_agents_recovery import claim, claims

from agents.agent import IDLE_MS
from agents.backends.base import Free, Partial, Placement
from agents.backends.hosts.port import VNodeName
from agents.backends.switch import MemorySwitch
from agents.peers import Sender
from agents.store import MemoryStore
from protocol.messages import Claims, ReservationPrep, ReservationResp
from protocol.participant import PartState
from substrate.model import DataPlaneState, Refusal, RefusalKind
from substrate.values import replace

PAIR = graph({"a": 2, "b": 2}, [("a", "b")], apart=["a", "b"])
SOLO = graph({"c": 1})


async def running(*orchestrators: str) -> tuple[CloudWorld, MemoryStore]:
    """CloudNets that run, and a backup from before they were asked for."""
    known = orchestrators or None
    world = CloudWorld(MemoryStore(), lasting=True, orchestrators=known)
    await world.start()
    assert isinstance(world.store, MemoryStore)
    backup = world.store.copy()
    await world.committed(cloud_prep(PAIR))
    await world.committed(cloud_prep(SOLO, "t2", reservation_id="r2"))
    await world.at(100)
    assert await names(world) == {"r1:a", "r1:b", "r2:c"}
    return world, backup


async def names(world: CloudWorld) -> set[str]:
    return {name for some in (await world.runs()).values() for name in some}


def guests(world: CloudWorld) -> dict[str, object]:
    """What runs in each VNode: the same for as long as it is not interrupted."""
    hosts = memory(world.embedder)._vnodes.values()
    return {str(name): vnode.guest for vnodes in hosts for name, vnode in vnodes.items()}


async def restored(*claimed: Any) -> CloudWorld:
    """The backup is put in, and the orchestrator claims that much."""
    world, backup = await running(ME)
    world.store = backup
    await world.restart(restored=True)
    assert await names(world) == {"r1:a", "r1:b", "r2:c"}
    await told(world, claims(world, *claimed))
    return world


def only_with_advice(world: CloudWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """No place is found at once."""
    place = world.backend.place_graph

    def hard(partial: Partial, free: Free) -> Placement | Refusal:
        if partial.advice is None:
            return Refusal(RefusalKind.RESOURCE, "nothing was found at once")
        return place(partial, free)

    monkeypatch.setattr(world.backend, "place_graph", hard)


async def told(world: CloudWorld, message: Claims) -> list[bool]:
    """Whether what is claimed is held, as its orchestrator hears."""
    before = len(world.sent)
    await world.agent.handle(ME, message)
    await world.settle()
    return [m.ok for _, m in world.sent[before:] if isinstance(m, ReservationResp)]


async def test_what_nobody_claims_is_taken_off_hosts_and_switches() -> None:
    world = await restored(claim(cloud_prep(SOLO, "t2", reservation_id="r2")))
    assert await names(world) == {"r2:c"}
    switches = world.embedder.fabric.switches.values()
    assert not any(s.rules() for s in switches if isinstance(s, MemorySwitch))
    await world.end()


async def test_until_all_claims_are_there_everything_stays() -> None:
    world, backup = await running(ME)
    world.store = backup
    await world.restart(restored=True)
    await world.at(200)
    assert await names(world) == {"r1:a", "r1:b", "r2:c"}
    await world.end()


async def test_where_another_orchestrator_may_have_its_own_everything_stays() -> None:
    world, backup = await running()
    world.store = backup
    await world.restart(restored=True)
    await told(world, claims(world))
    assert not world.agent.recovering
    assert await names(world) == {"r1:a", "r1:b", "r2:c"}
    await world.end()


async def test_a_host_that_does_not_answer_is_asked_again() -> None:
    world, backup = await running(ME)
    world.store = backup
    await world.restart(restored=True)
    memory(world.embedder).broken["h1"] = "down"
    await told(world, claims(world))
    memory(world.embedder).broken.clear()
    assert await names(world) != set()
    await world.at(101 + IDLE_MS / 1000)
    assert await names(world) == set()
    await world.end()


async def test_a_restart_without_recovery_takes_nothing_away() -> None:
    world, backup = await running(ME)
    world.store = backup
    await world.restart()
    await world.at(200)
    assert await names(world) == {"r1:a", "r1:b", "r2:c"}
    await world.end()


async def test_what_stands_by_and_was_taken_up_by_claims_goes_when_it_is_released() -> None:
    world, backup = await running(ME)
    alone = cloud_prep(graph({"a": 2}), "t3", version=2)
    await world.committed(alone)
    world.store = backup
    await world.restart(restored=True)
    solo = cloud_prep(SOLO, "t2", reservation_id="r2")
    await told(world, claims(world, claim(cloud_prep(PAIR)), claim(alone), claim(solo)))
    assert await names(world) == {"r1:a", "r1:b", "r2:c"}
    await world.release("t1")
    await world.settle()
    assert await names(world) == {"r1:a", "r2:c"}
    await world.end()


@pytest.mark.parametrize("held", [True, False])
async def test_what_is_released_before_the_next_version_is_known_keeps_its_vnodes(
    held: bool,
) -> None:
    world = CloudWorld(MemoryStore(), lasting=True, orchestrators=[ME])
    await world.start()
    assert isinstance(world.store, MemoryStore)
    await world.committed(cloud_prep(PAIR))
    next_one = cloud_prep(PAIR, "t2", version=2)
    if held:
        await world.hold(next_one)
    backup = world.store.copy()
    if not held:
        await world.hold(next_one)
    await world.commit("t2")
    before = guests(world)
    world.store = backup
    await world.restart(restored=True)
    await world.release("t1")
    await world.at(200)
    assert await names(world) == {"r1:a", "r1:b"}
    await told(world, claims(world, claim(next_one)))
    await world.at(201)
    assert guests(world) == before
    await world.release("t2")
    await world.at(202)
    assert await names(world) == set()
    assert world.data_plane("t1") is world.data_plane("t2") is DataPlaneState.RELEASED
    await world.end()


async def test_what_is_over_goes_though_it_is_not_known_what_is_in_force() -> None:
    world = CloudWorld(MemoryStore(), lasting=True, orchestrators=[ME])
    await world.start()
    await world.committed(cloud_prep(PAIR, end_s=NOW_S + 300))
    await world.restart(restored=True)
    await world.at(301)
    assert await names(world) == set()
    await world.end()


async def test_what_runs_is_taken_up_where_it_runs_and_not_moved() -> None:
    world = CloudWorld(MemoryStore(), lasting=True, orchestrators=[ME])
    await world.start()
    assert isinstance(world.store, MemoryStore)
    backup = world.store.copy()
    await world.committed(cloud_prep(graph({"x": 8}), "t0", reservation_id="r0"))
    runs = [(cloud_prep(graph({"c": 5}), f"t{i}", reservation_id=f"r{i}")) for i in (2, 1)]
    for prep in runs:
        await world.committed(prep)
    await world.release("t0")
    await world.at(100)
    before, hosts = guests(world), await world.runs()
    assert set(before) == {"r1:c", "r2:c"}
    assert len(hosts) == 2
    coming = cloud_prep(graph({"d": 8}), "t00", reservation_id="r3", start_s=NOW_S + 5000)
    await world.hold(coming)
    await world.commit("t00")
    world.store = backup
    await world.restart(restored=True)
    await told(world, claims(world, *(claim(prep) for prep in (*runs, coming))))
    assert world.record("t00").part.state is PartState.COMMITTED
    await world.at(200)
    assert guests(world) == before
    assert await world.runs() == hosts
    assert {world.mapped(t).vnodes[0].host for t in ("t1", "t2")} == set(hosts)
    await world.end()


async def test_what_was_told_is_thought_about_again_where_no_place_is_found_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = CloudWorld(MemoryStore(), orchestrators=[ME])
    await world.start(restored=True)
    only_with_advice(world, monkeypatch)
    soon = cloud_prep(SOLO, "t2", reservation_id="r2", start_s=NOW_S + 50)
    untold = cloud_prep(SOLO, "t3", reservation_id="r3")
    some = claim(cloud_prep(PAIR)), claim(soon), claim(untold, told=False)
    await told(world, claims(world, *some))
    states = [world.record(t).part.state for t in ("t1", "t2", "t3")]
    assert states == [PartState.COMMITTED, PartState.COMMITTED, PartState.ABORTED]
    await world.end()


async def test_what_was_told_has_a_place_whatever_comes_first() -> None:
    world = CloudWorld(MemoryStore(), orchestrators=[ME])
    await world.start(restored=True)
    sizes = {"t1": 2, "t2": 2, "t3": 3, "t4": 8, "t5": 8}
    preps = {t: cloud_prep(graph({"v": n}), t, reservation_id=f"r{t}") for t, n in sizes.items()}
    answers = await told(world, claims(world, *map(claim, preps.values())))
    states = {t: world.record(t).part.state for t in sizes}
    assert states == dict.fromkeys(sizes, PartState.COMMITTED)
    assert len({world.mapped(t).vnodes[0].host for t in sizes}) == 3
    assert answers == [True] * 5
    await world.end()


async def test_what_can_have_no_place_is_refused_once() -> None:
    world = CloudWorld(MemoryStore(), hosts=1, orchestrators=[ME])
    await world.start(restored=True)
    preps = [cloud_prep(graph({"v": 5}), t, reservation_id=f"r{t}") for t in ("t1", "t2")]
    answers = await told(world, claims(world, *map(claim, preps)))
    assert sorted(answers) == [False, True]
    assert sorted(world.record(t).part.state.name for t in ("t1", "t2")) == ["ABORTED", "COMMITTED"]
    await world.at(200)
    assert len(await names(world)) == 1
    await world.end()


async def half_lost(*preps: ReservationPrep, hosts: int) -> CloudWorld:
    """A restored agent, which knows nothing of what was committed; ``b`` of ``r1`` is lost."""
    world = CloudWorld(MemoryStore(), hosts=hosts, lasting=True, orchestrators=[ME])
    await world.start()
    assert isinstance(world.store, MemoryStore)
    backup = world.store.copy()
    for prep in preps:
        await world.committed(prep)
    await world.at(100)
    lost = world.mapped("t1").vnode("b")
    assert lost is not None
    await memory(world.embedder).remove(lost.host, VNodeName("r1", "b"))
    world.store = backup
    await world.restart(restored=True)
    return world


async def test_beside_what_runs_is_the_rest_of_it_where_others_have_a_place_too() -> None:
    coming = cloud_prep(graph({"v": 8}), "t2", reservation_id="r2", start_s=NOW_S + 5000)
    runs = cloud_prep(graph({"a": 1, "b": 1}))
    world = await half_lost(coming, runs, hosts=2)
    before = guests(world)
    assert set(before) == {"r1:a"}
    assert await told(world, claims(world, claim(runs), claim(coming))) == [True, True]
    await world.at(200)
    assert guests(world)["r1:a"] is before["r1:a"]
    assert await names(world) == {"r1:a", "r1:b"}
    assert len(await world.runs()) == 1
    await world.end()


async def test_the_rest_of_what_runs_takes_no_place_of_what_runs() -> None:
    other = cloud_prep(graph({"v": 5}), "t2", reservation_id="r2")
    runs = cloud_prep(graph({"a": 5, "b": 5}, apart=["a", "b"]))
    world = await half_lost(other, runs, hosts=3)
    before = await world.runs()
    assert await told(world, claims(world, claim(runs), claim(other))) == [True, True]
    await world.at(200)
    after = await world.runs()
    assert {host: set(after[host]) - {"r1:b"} for host in before} == {
        host: set(vnodes) for host, vnodes in before.items()
    }
    assert await names(world) == {"r1:a", "r1:b", "r2:v"}
    await world.end()


async def test_what_was_not_seen_takes_no_place_of_what_runs() -> None:
    world = CloudWorld(MemoryStore(), hosts=2, lasting=True, orchestrators=[ME])
    await world.start()
    assert isinstance(world.store, MemoryStore)
    backup = world.store.copy()
    sizes = {"t3": 8, "t1": 4, "t2": 4}
    preps = [cloud_prep(graph({"v": n}), t, reservation_id=f"r{t}") for t, n in sizes.items()]
    for prep in preps:
        await world.committed(prep)
    await world.at(100)
    hosts = await world.runs()
    (large,) = (host for host, some in hosts.items() if "rt3:v" in some)
    (silent,) = set(hosts) - {large}
    world.store = backup
    await world.restart(restored=True)
    memory(world.embedder).broken[silent] = "no power"
    await told(world, claims(world, *map(claim, preps)))
    memory(world.embedder).broken.clear()
    assert [world.record(t).part.state for t in sizes] == [PartState.COMMITTED] * 3
    assert world.mapped("t3").vnodes[0].host == large
    await world.at(200)
    assert await world.runs() == hosts
    await world.end()


async def test_what_is_claimed_while_it_thinks_is_worked_on_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = CloudWorld(MemoryStore())
    await world.start(restored=True)
    only_with_advice(world, monkeypatch)
    thinking, goes_on, consult = asyncio.Event(), asyncio.Event(), world.backend.consult

    async def slow(partial: Partial, free: Free) -> object:
        thinking.set()
        await goes_on.wait()
        return await consult(partial, free)

    monkeypatch.setattr(world.backend, "consult", slow)
    first = asyncio.ensure_future(world.agent.handle(ME, claims(world, claim(cloud_prep(PAIR)))))
    await thinking.wait()
    other = Sender("other", "other-1")
    theirs = replace(cloud_prep(SOLO, "t2", reservation_id="r2"), orchestrator_id="other")
    second = asyncio.ensure_future(world.agent.handle(other, claims(world, claim(theirs))))
    await asyncio.sleep(0)
    goes_on.set()
    await first
    await second
    await world.settle()
    assert not world.agent.recovering
    states = [world.record(t).part.state for t in ("t1", "t2")]
    assert states == [PartState.COMMITTED, PartState.COMMITTED]
    await world.end()
