"""CloudNets that are committed at a provider: power, consoles, and moves inside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from agent_world import ME, NOW_S, FaultyStore, refused
from cloud_site import frame, memory
from cloud_world import GIB, CloudWorld, cloud_prep, graph
from grpc import StatusCode
from hypothesis import given, settings, strategies as st
from test_agents_hosts_memory import said, shown

from agents import remaps
from agents.backends.base import Placement
from agents.store import DatabaseStore, MemoryStore, Store
from cloudnets.freeing import Move
from protocol.messages import Claim, Claims
from runtime import schema
from runtime.database import Database, StorageError
from runtime.errors import RequestError
from substrate.model import DataPlaneState, RefusalKind
from substrate.values import replace

PAIR = graph({"a": 2, "b": 2}, [("a", "b")], apart=["a", "b"])


@asynccontextmanager
async def world(store: Store | None = None, **options: Any) -> AsyncIterator[CloudWorld]:
    made = CloudWorld(store, **options)
    await made.start()
    try:
        yield made
    finally:
        await made.end()


async def states(of: CloudWorld, reservation_id: str = "r1") -> dict[str, str]:
    found = await of.clouds.show(reservation_id)
    return {name: condition.state.value for name, condition in found.conditions.items()}


def flat(runs: dict[str, dict[str, str]]) -> dict[str, str]:
    """The host of each VNode."""
    return {name: host for host, some in runs.items() for name in some}


async def until(ready: Callable[[], Any]) -> None:
    """Waits for what happens by itself."""
    async with asyncio.timeout(60):
        while not ready():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def failing(work: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await work
    return caught.value


# --- In force -----------------------------------------------------------------------------------


async def test_a_committed_cloudnet_runs_during_its_window_and_is_gone_after_it() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR, start_s=NOW_S + 100, end_s=NOW_S + 200))
        assert await w.runs() == {}
        assert await states(w) == {"a": "gone", "b": "gone"}
        await w.at(100)
        assert set(flat(await w.runs())) == {"r1:a", "r1:b"}
        assert await states(w) == {"a": "running", "b": "running"}
        await w.at(200)
        assert await w.runs() == {}
        assert (await failing(w.clouds.show("r1"))).code is StatusCode.FAILED_PRECONDITION


async def test_what_is_not_here_and_what_is_not_in_force_is_told_apart() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR, start_s=NOW_S + 100, end_s=NOW_S + 200))
        assert (await failing(w.clouds.show("r9"))).code is StatusCode.NOT_FOUND
        early = await failing(w.clouds.console("r1", "a"))
        assert (early.code, early.retry_after_s) == (StatusCode.FAILED_PRECONDITION, 100)
        await w.at(100)
        assert (await failing(w.clouds.console("r1", "z"))).code is StatusCode.NOT_FOUND
        assert (await failing(w.clouds.migrate("r1", "a", "h9"))).code is StatusCode.NOT_FOUND
        await w.hold(cloud_prep(PAIR, "t2", reservation_id="r2"))
        assert (await failing(w.clouds.show("r2"))).code is StatusCode.FAILED_PRECONDITION


async def test_a_console_of_what_does_not_run_is_refused_with_its_state_and_no_host() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        await w.clouds.switch("r1", ["a"], off=True)
        stopped = await failing(w.clouds.console("r1", "a"))
        assert stopped.code is StatusCode.FAILED_PRECONDITION
        assert str(stopped) == "vnode: given 'a', possible: one that runs: it is stopped"
        burning = dict.fromkeys(("h1", "h2", "h3"), "it burns")
        memory(w.embedder).broken.update(burning)
        broken = await failing(w.clouds.console("r1", "b"))
        assert str(broken) == "vnode: given 'b', possible: one that runs: it is failed"
        memory(w.embedder).broken.clear()


async def looked_at(w: CloudWorld) -> None:
    provisioner = w.agent.parts.provisioner
    provisioner.look("r1")
    await provisioner.settled("r1")


async def test_a_clock_that_is_set_back_ends_no_vnode() -> None:
    async with world(lasting=True) as w:
        await w.committed(cloud_prep(PAIR))
        console = await w.clouds.console("r1", "a")
        await w.at(-500)
        await looked_at(w)
        assert w.data_plane() is DataPlaneState.ACTIVE
        await w.restart()
        await looked_at(w)
        await shown(console, "$ ")
        assert await said(console, "id") == "r1:a"
        await w.clouds.switch("r1", ["b"], off=True)
        assert await states(w) == {"a": "running", "b": "stopped"}
        await w.at(0)
        assert await states(w) == {"a": "running", "b": "stopped"}


async def test_a_new_version_takes_over_what_runs_though_the_clock_was_set_back() -> None:
    async with world(lasting=True) as w:
        await w.committed(cloud_prep(PAIR))
        console = await w.clouds.console("r1", "a")
        await w.at(-500)
        larger = graph({"a": 2, "b": 2, "c": 1}, [("a", "b")], apart=["a", "b"])
        await w.committed(cloud_prep(larger, "t2", version=2))
        await w.release("t1")
        await looked_at(w)
        assert set(flat(await w.runs())) == {"r1:a", "r1:b", "r1:c"}
        await shown(console, "$ ")
        assert await said(console, "id") == "r1:a"


async def test_what_could_not_be_made_whole_is_not_ended_by_a_clock_that_is_set_back() -> None:
    async with world(lasting=True) as w:
        await w.committed(cloud_prep(PAIR))
        memory(w.embedder).broken["h1"] = "no power"
        w.agent.parts.provisioner.disturbed("r1")
        await looked_at(w)
        assert w.data_plane() is DataPlaneState.FAILED
        await w.at(-500)
        memory(w.embedder).broken.clear()
        await looked_at(w)
        assert len(flat(await w.runs())) == 2


@pytest.mark.parametrize("end", ["released", "over"])
async def test_vnodes_that_are_given_back_or_over_are_gone_whatever_the_clock_was(end: str) -> None:
    async with world(lasting=True) as w:
        await w.committed(cloud_prep(PAIR, end_s=NOW_S + 100))
        await w.at(-500)
        await looked_at(w)
        assert len(flat(await w.runs())) == 2
        if end == "released":
            await w.release()
        else:
            await w.at(100)
            await looked_at(w)
        assert await w.runs() == {}


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("restored", [True, False])
async def test_what_runs_on_lasting_hosts_is_taken_away_though_no_record_says_that_it_began(
    restored: bool, known: bool
) -> None:
    async with world(lasting=True) as w:
        await w.hold(cloud_prep(PAIR))
        await w.at(-500)
        await w.commit()
        assert isinstance(w.store, MemoryStore)
        backup = w.store.copy()
        await w.at(0)
        await looked_at(w)
        assert len(flat(await w.runs())) == 2
        w.store = backup if known else MemoryStore()
        await w.at(-500)
        await w.restart(restored=restored or not known)
        if w.agent.recovering:
            claim = Claim(cloud_prep(PAIR), told=True)
            await w.agent.handle(ME, Claims(w.agent.epoch, "c", 0, 1, (claim,)))
            await w.settle()
        await looked_at(w)
        assert len(flat(await w.runs())) == 2
        await w.release()
        assert await w.runs() == {}


async def test_vnodes_that_never_ran_do_not_begin_before_their_window() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR, start_s=NOW_S + 100))
        await w.at(-500)
        await looked_at(w)
        assert await w.runs() == {}


async def test_a_restarted_agent_makes_again_what_hosts_in_memory_have_lost() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        before = await w.runs()
        await w.restart()
        assert await w.runs() == before
        assert w.data_plane() is DataPlaneState.ACTIVE


async def test_a_restarted_agent_finds_what_lasting_hosts_have_and_lets_it_run() -> None:
    async with world(lasting=True) as w:
        await w.committed(cloud_prep(PAIR))
        console = await w.clouds.console("r1", "a")
        await w.restart()
        await shown(console, "$ ")
        assert await said(console, "id") == "r1:a"
        await w.release()
        assert await w.runs() == {}


# --- Power --------------------------------------------------------------------------------------


async def test_what_is_stopped_stays_so_over_a_restart_of_the_agent(sqlite_url: str) -> None:
    schema.upgrade(sqlite_url, "agent")
    async with world(DatabaseStore(Database(sqlite_url))) as w:
        await w.committed(cloud_prep(PAIR))
        await w.clouds.switch("r1", ["a"], off=True)
        assert await states(w) == {"a": "stopped", "b": "running"}
        w.agent.abandon()
        await w.store.close()
    async with world(DatabaseStore(Database(sqlite_url))) as again:
        await again.settle()
        await again.agent.parts.provisioner.settled("r1")
        assert again.data_plane() is DataPlaneState.ACTIVE
        assert await states(again) == {"a": "stopped", "b": "running"}
        await again.clouds.switch("r1", [], off=False)
        assert await states(again) == {"a": "running", "b": "running"}
        await again.store.close()


async def test_power_is_written_before_it_is_done_and_not_done_when_it_cannot_be_written() -> None:
    store = FaultyStore()
    async with world(store) as w:
        await w.committed(cloud_prep(PAIR))
        store.fails = True
        with pytest.raises(StorageError):
            await w.clouds.switch("r1", ["a"], off=True)
        assert (await states(w))["a"] == "running"
        assert w.mapped().off == ()
        store.fails = False
        await w.clouds.switch("r1", ["a"], off=True)
        assert (await states(w))["a"] == "stopped"


async def test_power_is_idempotent_and_cycles_only_what_was_not_stopped() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        for off, state in ((True, "stopped"), (True, "stopped"), (False, "running")):
            await w.clouds.switch("r1", ["b"], off=off)
            assert (await states(w))["b"] == state
        console = await w.clouds.console("r1", "b")
        await w.clouds.cycle("r1", ["b"])
        while await console.read():
            pass
        assert (await states(w))["b"] == "running"
        await w.clouds.switch("r1", ["a"], off=True)
        wrong = await failing(w.clouds.cycle("r1", ["a"]))
        assert (wrong.code, wrong.field) == (StatusCode.FAILED_PRECONDITION, "vnodes")
        await w.clouds.cycle("r1", [])
        assert await states(w) == {"a": "stopped", "b": "running"}


async def test_what_is_stopped_stays_so_in_a_new_version() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        await w.clouds.switch("r1", ["a"], off=True)
        larger = graph({"a": 3, "b": 2, "c": 1}, [("a", "b")], apart=["a", "b"])
        await w.committed(cloud_prep(larger, "t2", version=2))
        await w.release("t1")
        assert await states(w) == {"a": "stopped", "b": "running", "c": "running"}


# --- Taken back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_a_new_version_leaves_out_stays_until_that_is_not_taken_back_any_more(
    *, restarted: bool
) -> None:
    """Both versions are committed here until the orchestrator has heard so from all domains."""
    async with world(lasting=True) as w:
        await w.committed(cloud_prep(PAIR))
        console = await w.clouds.console("r1", "b")
        await shown(console, "$ ")
        await w.committed(cloud_prep(graph({"a": 3}), "t2", version=2))
        if restarted:
            await w.restart()
        assert sorted(flat(await w.runs())) == ["r1:a", "r1:b"]
        await w.release("t2")
        assert await said(console, "id") == "r1:b"
        assert await states(w) == {"a": "running", "b": "running"}
        await w.committed(cloud_prep(graph({"a": 3}), "t3", version=3))
        await w.release("t1")
        assert sorted(flat(await w.runs())) == ["r1:a"]
        await w.release("t3")
        assert await w.runs() == {}


@pytest.mark.parametrize("restarted", [False, True])
async def test_of_three_versions_the_second_keeps_all_that_it_has_when_the_first_is_released(
    *, restarted: bool
) -> None:
    """The third one is in force, and may still be given back; the second one's VNodes run on."""
    three = graph({"a": 1, "b": 1, "c": 1}, [("a", "b"), ("b", "c")], apart=["a", "b"])
    two = graph({"a": 1, "b": 1}, [("a", "b")], apart=["a", "b"])
    async with world(lasting=True) as w:
        await w.committed(cloud_prep(three))
        console = await w.clouds.console("r1", "a")
        await shown(console, "$ ")
        await w.committed(cloud_prep(two, "t2", version=2))
        await w.committed(cloud_prep(graph({"d": 1}), "t3", version=3))
        if restarted:
            await w.restart()
        await w.release("t1")
        assert sorted(flat(await w.runs())) == ["r1:a", "r1:b", "r1:d"]
        assert await said(console, "id") == "r1:a"
        assert joined(w, "t2")
        await w.release("t3")
        assert await said(console, "id") == "r1:a"
        assert await states(w) == {"a": "running", "b": "running"}
        assert joined(w, "t2")
        await w.release("t2")
        assert await w.runs() == {}


def joined(of: CloudWorld, transaction_id: str) -> bool:
    """Whether a frame of its first VLink gets from one end to the other."""
    mapped = of.mapped(transaction_id)
    vlink = mapped.vlinks[0]
    one, other = (mapped.vnode(end) for end in vlink.ends)
    assert one is not None
    assert other is not None
    arrived = of.embedder.fabric.trace(one.host, frame(one.id, vlink.vlan))
    return arrived == (other.host, frame(other.id, vlink.vlan))


async def test_what_is_taken_back_is_as_large_as_it_was() -> None:
    async with world() as w:
        await w.committed(cloud_prep(graph({"a": 2})))
        console = await w.clouds.console("r1", "a")
        await shown(console, "$ ")
        assert (await said(console, "free")).startswith("2 cores")
        await w.committed(cloud_prep(graph({"a": 5, "b": 1}), "t2", version=2))
        assert (await said(console, "free")).startswith("5 cores")
        await w.release("t2")
        assert (await said(console, "free")).startswith("2 cores")


async def test_where_there_is_room_for_one_version_only_the_old_one_stands_until_released() -> None:
    async with world(hosts=1) as w:
        await w.committed(cloud_prep(graph({"a": 8})))
        console = await w.clouds.console("r1", "a")
        await shown(console, "$ ")
        await said(console, "write diary it rains")
        await w.committed(cloud_prep(graph({"b": 8}), "t2", version=2))
        assert (w.data_plane(), w.data_plane("t2")) == (
            DataPlaneState.ACTIVE,
            DataPlaneState.FAILED,
        )
        for later_s in (2, 4, 8, 16):
            await w.at(later_s)
        assert await said(console, "read diary") == "it rains"
        await w.release("t2")
        assert await said(console, "read diary") == "it rains"
        await w.committed(cloud_prep(graph({"b": 8}), "t3", version=3))
        await w.release("t1")
        assert await w.runs() == {"h1": {"r1:b": "running"}}
        assert w.data_plane("t3") is DataPlaneState.ACTIVE


async def test_a_new_version_is_made_beside_what_it_leaves_out_where_there_is_room() -> None:
    async with world(hosts=2) as w:
        await w.committed(cloud_prep(graph({"a": 6, "c": 1})))
        before = flat(await w.runs())
        await w.committed(cloud_prep(graph({"b": 6, "c": 1}), "t2", version=2))
        assert w.data_plane("t2") is DataPlaneState.ACTIVE
        both = flat(await w.runs())
        assert before.items() < both.items()
        await w.release("t1")
        assert flat(await w.runs()) == {n: h for n, h in both.items() if n != "r1:a"}


async def test_what_grows_where_something_is_left_out_stays_and_grows_when_that_is_gone() -> None:
    async with world(hosts=2) as w:
        await w.committed(cloud_prep(graph({"a": 4, "b": 4}), end_s=NOW_S + 1000))
        together = flat(await w.runs())
        if len(set(together.values())) == 2:
            await w.clouds.migrate("r1", "b", together["r1:a"])
        (host,) = await w.runs()
        await w.committed(cloud_prep(graph({"a": 8}), "t2", version=2))
        assert set(flat(await w.runs()).values()) == {host}
        await w.release("t1")
        assert await w.runs() == {host: {"r1:a": "running"}}
        assert w.data_plane("t2") is DataPlaneState.ACTIVE


async def test_a_host_that_fails_for_the_new_version_takes_nothing_of_the_old_one() -> None:
    async with world(hosts=2) as w:
        await w.committed(cloud_prep(graph({"a": 2})))
        console = await w.clouds.console("r1", "a")
        (there,) = await w.runs()
        (other,) = {"h1", "h2"} - {there}
        memory(w.embedder).broken[other] = "no power"
        await w.committed(cloud_prep(graph({"b": 8}), "t2", version=2))
        assert w.data_plane("t2") is DataPlaneState.FAILED
        await shown(console, "$ ")
        assert await said(console, "id") == "r1:a"
        memory(w.embedder).broken.clear()
        await w.at(2)
        assert w.data_plane("t2") is DataPlaneState.ACTIVE
        assert await said(console, "id") == "r1:a"


async def test_a_version_that_was_never_made_does_not_stand_in_for_one_that_cannot_be() -> None:
    async with world() as w:
        begins = NOW_S + 100
        await w.committed(cloud_prep(graph({"a": 1, "left-out": 1}), start_s=begins))
        newer = cloud_prep(graph({"a": 1, "b": 8}), "t2", version=2, start_s=begins)
        await w.committed(newer)
        b = w.mapped("t2").vnode("b")
        assert b is not None
        memory(w.embedder).broken[b.host] = "no power"
        for second in (101, 105):
            await w.at(second)
            assert w.data_plane("t2") is DataPlaneState.FAILED
            assert w.data_plane("t1") is DataPlaneState.SCHEDULED
        memory(w.embedder).broken.clear()
        await w.at(120)
        assert w.data_plane("t2") is DataPlaneState.ACTIVE
        assert sorted(flat(await w.runs())) == ["r1:a", "r1:b"]


async def test_a_host_that_fails_is_told_and_tried_again() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        await w.clouds.switch("r1", ["a"], off=True)
        host = w.mapped().vnodes[0].host
        memory(w.embedder).broken[host] = "no power"
        error = await failing(w.clouds.switch("r1", ["a"], off=False))
        assert error.code is StatusCode.UNAVAILABLE
        assert "no power" in str(error)
        assert "no power" in (await w.clouds.show("r1")).conditions["a"].reason
        memory(w.embedder).broken.clear()
        await w.at(61)
        assert await states(w) == {"a": "running", "b": "running"}


async def test_a_domain_that_recovers_changes_nothing() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        await w.restart(restored=True)
        error = await failing(w.clouds.switch("r1", ["a"], off=True))
        assert (error.code, "recovers" in str(error)) == (StatusCode.UNAVAILABLE, True)
        assert w.mapped().off == ()


# --- Moves --------------------------------------------------------------------------------------


async def test_a_vnode_migrates_as_it_runs_and_the_calendar_moves_with_it() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        console = await w.clouds.console("r1", "a")
        await shown(console, "$ ")
        before = w.mapped().vnode("a")
        assert before is not None
        free = min({"h1", "h2", "h3"} - set(flat(await w.runs()).values()))
        moves = await w.clouds.migrate("r1", "a", free)
        assert moves == (Move("r1", "a", before.host, free, 2 * GIB),)
        # It is there now: nothing moves, and nothing is copied.
        assert await w.clouds.migrate("r1", "a", free) == ()
        assert flat(await w.runs())["r1:a"] == free
        assert await said(console, "id") == "r1:a"
        held = {
            c.resource.name for c in w.agent.parts.book.placement(w.record().part.mapping).claims
        }
        assert f"{free}/resource/cpu" in held
        assert f"{before.host}/resource/cpu" not in held
        await w.restart()
        assert flat(await w.runs())["r1:a"] == free
        await w.release()
        assert w.agent.parts.book.is_empty()
        assert await w.runs() == {}


async def test_to_where_there_is_no_room_nothing_moves() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        b = w.mapped().vnode("b")
        assert b is not None
        before = w.record()
        error = await failing(w.clouds.migrate("r1", "a", b.host))
        assert error.code is StatusCode.FAILED_PRECONDITION, "they must be apart"
        host = min({"h1", "h2", "h3"} - set(flat(await w.runs()).values()))
        full = graph({"x": 7})
        for number in range(3):
            await w.hold(cloud_prep(full, f"x{number}", reservation_id=f"x{number}"))
        error = await failing(w.clouds.migrate("r1", "a", host))
        assert (error.code, error.field) == (StatusCode.FAILED_PRECONDITION, "host")
        assert w.record() == before


async def test_while_a_move_is_written_both_places_are_held_and_then_only_one() -> None:
    store = FaultyStore()
    async with world(store, hosts=2) as w:
        await w.committed(cloud_prep(graph({"a": 8})))
        source = w.mapped().vnodes[0].host
        target = "h1" if source == "h2" else "h2"
        store.gate.clear()
        moving = asyncio.create_task(w.clouds.migrate("r1", "a", target))
        await w.settle()
        whole = cloud_prep(graph({"x": 8}), "t2", reservation_id="r2")
        held = asyncio.create_task(w.hold(whole))
        await w.settle()
        assert flat(await w.runs()) == {"r1:a": source}, "devices follow what is written"
        store.gate.set()
        await moving
        assert refused(await held) is RefusalKind.RESOURCE
        assert flat(await w.runs()) == {"r1:a": target}
        await w.committed(cloud_prep(graph({"x": 8}), "t3", reservation_id="r3"))
        assert flat(await w.runs()) == {"r1:a": target, "r3:x": source}


@pytest.mark.parametrize("lies", [True, False])
async def test_a_move_that_cannot_be_written_does_not_happen_and_loses_no_place(
    lies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``lies``: it was written all the same; a restart in between would find it so."""
    monkeypatch.setattr(remaps, "WRITE_AGAIN_S", 0.01)
    store = FaultyStore()
    async with world(store, hosts=2) as w:
        await w.committed(cloud_prep(graph({"a": 8})))
        source = w.mapped().vnodes[0].host
        store.fails, store.lies = not lies, lies
        with pytest.raises(StorageError):
            await w.clouds.migrate("r1", "a", "h1" if source == "h2" else "h2")
        assert flat(await w.runs()) == {"r1:a": source}
        other = cloud_prep(graph({"x": 8}), "t2", reservation_id="r2")
        await asyncio.sleep(0.03)
        store.fails = store.lies = False
        await until(lambda: w.agent.parts.book.calendar.free_bps(*_room(w, source)))
        await w.committed(other)
        await w.restart()
        assert flat(await w.runs())["r1:a"] == source
        assert len(await w.runs()) == 2


def _room(w: CloudWorld, but: str) -> tuple[Any, Any]:
    """The processors of the other host, and the window."""
    for resource in w.agent.parts.book.calendar.capacities:
        if resource.name.endswith("/resource/cpu") and not resource.name.startswith(but):
            return resource, cloud_prep(PAIR).window
    raise AssertionError


async def test_a_move_to_a_host_that_fails_is_written_told_and_done_later() -> None:
    async with world(hosts=2) as w:
        await w.committed(cloud_prep(graph({"a": 2})))
        source = w.mapped().vnodes[0].host
        target = "h1" if source == "h2" else "h2"
        memory(w.embedder).broken[target] = "no power"
        error = await failing(w.clouds.migrate("r1", "a", target))
        assert error.code is StatusCode.UNAVAILABLE
        assert flat({source: (await w.embedder.hosts.plugin(source).found(source))})  # type: ignore[dict-item]
        memory(w.embedder).broken.clear()
        await w.at(61)
        assert flat(await w.runs()) == {"r1:a": target}


async def test_a_move_that_was_written_when_the_agent_died_is_done_by_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(lasting=True, hosts=2) as w:
        await w.committed(cloud_prep(graph({"a": 2})))
        source = w.mapped().vnodes[0].host
        target = "h1" if source == "h2" else "h2"
        console = await w.clouds.console("r1", "a")
        stuck = asyncio.Event()

        async def hangs(key: str, placement: Placement) -> None:
            await stuck.wait()

        monkeypatch.setattr(w.embedder, "provision", hangs)
        moving = asyncio.create_task(w.clouds.migrate("r1", "a", target))
        await w.settle()
        assert w.mapped().vnodes[0].host == target, "it is written"
        assert flat(await w.runs()) == {"r1:a": source}, "and not yet done"
        await w.crash()
        moving.cancel()
        await w.start()
        assert flat(await w.runs()) == {"r1:a": target}
        await shown(console, "$ ")
        assert await said(console, "id") == "r1:a", "it has moved as it ran"


async def test_a_new_version_stays_where_the_last_move_brought_it() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        free = min({"h1", "h2", "h3"} - set(flat(await w.runs()).values()))
        await w.clouds.migrate("r1", "a", free)
        await w.committed(cloud_prep(graph({"a": 4, "b": 2}, [("a", "b")]), "t2", version=2))
        await w.release("t1")
        assert flat(await w.runs())["r1:a"] == free


# --- What if ------------------------------------------------------------------------------------


async def spread(w: CloudWorld, count: int = 4) -> None:
    """A CloudNet of one VNode on each of the first hosts."""
    for i in range(1, count + 1):
        await w.committed(cloud_prep(graph({"v": 2}), f"t{i}", reservation_id=f"r{i}"))
        at = flat(await w.runs())[f"r{i}:v"]
        if at != f"h{i}":
            await w.clouds.migrate(f"r{i}", "v", f"h{i}")


async def test_what_if_says_what_migrate_then_does_and_changes_nothing() -> None:
    async with world(hosts=4) as w:
        await spread(w)
        before = await w.runs()
        planned = await w.clouds.what_if(0.5)
        assert await w.runs() == before
        assert (len(planned.hosts), planned.of, planned.wanted) == (2, 4, 2)
        assert planned.cost_bytes == 2 * 2 * GIB == planned.bound_bytes
        assert await w.clouds.what_if(0.5) == planned
        assert await w.clouds.free(0.5) == planned
        assert not set(planned.hosts) & set(await w.runs())
        after = flat(await w.runs())
        assert all(after[f"{m.reservation_id}:{m.vnode}"] == m.target for m in planned.moves)
        assert (await w.clouds.what_if(0.5)).moves == ()


async def test_hosts_that_could_not_be_freed_after_all_are_not_told_as_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(hosts=4) as w:
        await spread(w)
        planned = await w.clouds.what_if(0.5)
        stays, *_ = (move.reservation_id for move in planned.moves)
        moved_whole = w.clouds._moved_whole

        async def but_one(reservation_id: str, targets: Any) -> bool:
            return reservation_id != stays and await moved_whole(reservation_id, targets)

        monkeypatch.setattr(w.clouds, "_moved_whole", but_one)
        done = await w.clouds.free(0.5)
        assert (len(planned.hosts), len(done.hosts), done.wanted) == (2, 1, 2)
        assert not set(done.hosts) & set(await w.runs())


async def test_what_begins_later_counts_as_well_and_what_is_being_modified_stays() -> None:
    async with world(hosts=2) as w:
        await w.committed(cloud_prep(graph({"a": 2}), start_s=NOW_S + 100))
        other = "h1" if w.mapped().vnodes[0].host == "h2" else "h2"
        await w.committed(cloud_prep(graph({"b": 2}), "t2", reservation_id="r2"))
        if w.mapped("t2").vnodes[0].host != other:
            await w.clouds.migrate("r2", "b", other)
        assert len((await w.clouds.what_if(0.4)).hosts) == 1
        await w.hold(cloud_prep(graph({"b": 3}), "t3", reservation_id="r2", version=2))
        planned = await w.clouds.what_if(0.4)
        assert [move.reservation_id for move in planned.moves] == ["r1"]
        assert await w.clouds.free(0.4) == planned
        assert w.mapped().vnodes[0].host == other
        await w.at(100)
        assert list(await w.runs()) == [other]


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan"), float("inf")])
async def test_a_share_is_above_0_and_below_1(share: float) -> None:
    async with world() as w:
        assert (await failing(w.clouds.what_if(share))).code is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("policy", "emptied"),
    [
        ({"free_share": 0.5, "rebalance_s": 60}, 2),
        ({"free_share": 0.5, "rebalance_s": 60, "free_bytes_max": 2 * GIB}, 2),
        ({"free_share": 0.5, "rebalance_s": 60, "free_bytes_max": 2 * GIB - 1}, 0),
        ({"rebalance_s": 60}, 0),
    ],
)
async def test_a_policy_frees_hosts_by_itself_if_that_is_worth_it(
    policy: dict[str, Any], emptied: int
) -> None:
    async with world(hosts=4, **policy) as w:
        await spread(w)
        await w.at(59)
        assert len(await w.runs()) == 4
        for second in (60, 120):
            await w.at(second)
            await until(lambda: len(w.agent._tasks) == 0)
            assert len(await w.runs()) == 4 - emptied


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["h1", "h2", "h3"])), max_size=8),
    st.integers(0, 100),
)
@settings(max_examples=15)
def test_after_any_moves_what_runs_is_what_is_written_and_nothing_is_held_twice(
    moves: list[tuple[str, str]], crash: int
) -> None:
    async def run() -> None:
        async with world() as w:
            net = graph({"a": 3, "b": 3, "c": 3}, [("a", "b"), ("b", "c")])
            await w.committed(cloud_prep(net))
            for number, (vnode, host) in enumerate(moves):
                with suppress(RequestError):
                    await w.clouds.migrate("r1", vnode, host)
                if number == crash:
                    await w.restart()
                written = {f"r1:{v.id}": v.host for v in w.mapped().vnodes}
                assert flat(await w.runs()) == written
            await w.release()
            assert await w.runs() == {}
            assert w.agent.parts.book.is_empty()

    asyncio.run(run())


# --- Images -------------------------------------------------------------------------------------


async def test_what_will_begin_finds_its_images() -> None:
    async with world(prepare_ahead_s=300) as w:
        await w.committed(cloud_prep(PAIR, start_s=NOW_S + 200))
        late = cloud_prep(PAIR, "t2", reservation_id="r2", start_s=NOW_S + 400)
        await w.committed(late)
        assert w.embedder.images.ready() == ()
        await w.at(5)
        assert set(w.embedder.images.ready()) == {(v.host, "debian") for v in w.mapped().vnodes}
        await w.at(200)
        assert (w.embedder.images.hits, w.embedder.images.misses) == (2, 0)


# --- Changes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start_s", "hold_s", "ok"),
    [(-10, 30, False), (50, 30, False), (100, 30, True), (100, 100, False), (101, 100, True)],
)
async def test_vnodes_that_would_have_to_change_places_as_they_run_stay_where_they_are(
    start_s: int, hold_s: int, ok: bool
) -> None:
    """Those too that may run before the hold ends, or soon."""
    deadline_ms, start_s = (NOW_S + hold_s) * 1000, NOW_S + start_s
    async with world(hosts=2) as w:
        both = {"a": 6, "b": 6}
        await w.committed(cloud_prep(graph(both, apart=["a", "b"]), start_s=start_s))
        beside = cloud_prep(graph({"x": 2}), "t2", reservation_id="r2", start_s=start_s)
        await w.committed(beside)
        hosts = {vnode.id: vnode.host for vnode in w.mapped().vnodes}
        (x,) = w.mapped("t2").vnodes
        crowded = next(name for name, host in hosts.items() if host == x.host)
        larger = graph(both | {crowded: 8}, apart=["a", "b"])
        changed = cloud_prep(larger, "t3", version=2, start_s=start_s)
        held = await w.hold(replace(changed, deadline_ms=deadline_ms))
        assert held.ok == ok
        if held.refusal is not None:
            assert held.refusal.kind is RefusalKind.RESOURCE
            assert held.refusal.elements == ("a", "b")
            assert held.refusal.reason.startswith("a, b run, or soon will, where others of them")
            assert "h1" not in held.refusal.reason
        if start_s < NOW_S:
            assert flat(await w.runs()) == {f"r1:{k}": v for k, v in hosts.items()} | {
                "r2:x": x.host
            }
