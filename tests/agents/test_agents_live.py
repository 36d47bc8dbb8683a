"""VNodes that are carried as they run: what an agent at either end does, and remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from agent_world import FaultyStore
from cloud_site import memory
from cloud_world import CloudWorld, cloud_prep
from grpc import StatusCode
from test_agents_carrying import ALONE, PAIR, B, awaiting, pieces, released, typed
from test_agents_clouds import failing, states, world
from test_agents_hosts_memory import NOTHING

from agents.backends.hosts.port import Carried, VNodeSpec
from agents.carrying import Exported
from agents.values import Record
from cloudnets.mapped import Mapped
from substrate.values import replace

LEAVES = "it is being carried to another provider"


class StoppedOnly:
    """Hosts in memory that carry what is stopped, and no more."""

    def __init__(self, hosts: Any) -> None:
        self._hosts = hosts

    def __getattr__(self, name: str) -> Any:
        if name in ("copy", "keep", "kept", "make", "pause"):
            raise AttributeError(name)
        return getattr(self._hosts, name)


class LateStore(FaultyStore):
    """Writes the parts of t2 once its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def save(self, records: Sequence[Record] = (), *rest: Any, **more: Any) -> None:
        if any(record.key[0] == "t2" for record in records):
            self.asked.set()
            await self.gate.wait()
        await self.inner.save(records, *rest, **more)


async def ran(w: CloudWorld) -> None:
    """A CloudNet that runs, whose b has something on its disk and in its memory."""
    await w.committed(cloud_prep(PAIR))
    await typed(w, "b", "write diary it rains")
    await typed(w, "b", "set mood good")


async def copied(of: CloudWorld, since: str = "", *, last: bool = False) -> Exported:
    """What b has; it can be given on again and again."""
    exported = await of.clouds.carrying.copy("r1", "b", since, last=last)
    data = [piece async for piece in exported.carried.data]
    return given(exported, *data)


def given(exported: Exported, *data: bytes) -> Exported:
    return replace(exported, carried=Carried(exported.carried.format, pieces(*data)))


async def brought() -> tuple[Exported, bytes]:
    """The last copy of b at another provider, whole."""
    async with world() as w:
        await ran(w)
        exported = await copied(w, last=True)
        data = b"".join([piece async for piece in exported.carried.data])
        return exported, data


# --- From here ------------------------------------------------------------------------------------


async def test_a_copy_leaves_it_running_and_the_last_one_pauses_it() -> None:
    async with world() as w:
        await ran(w)
        first = await copied(w)
        assert (first.memory, first.off, first.still_ms, first.since) == (True, False, None, "")
        assert await states(w) == {"a": "running", "b": "running"}
        assert w.mapped().leaves == ()
        await typed(w, "b", "write other x")
        last = await copied(w, first.mark, last=True)
        assert (last.memory, last.still_ms, last.since) == (True, None, first.mark)
        assert await states(w) == {"a": "running", "b": "paused"}
        assert (await w.clouds.show("r1")).conditions["b"].reason == LEAVES


async def test_how_long_it_has_stood_still_is_told_of_the_first_time_on() -> None:
    async with world() as w:
        await ran(w)
        await copied(w, last=True)
        w.clock.time_ms += 7_000
        assert (await copied(w)).still_ms == 7_000
        assert (await copied(w, last=True)).still_ms == 7_000
        assert (await w.clouds.carrying.export("r1", "b")).still_ms == 7_000
        await w.clouds.carrying.put_back("r1", ["b"])
        assert (await copied(w)).still_ms is None


@pytest.mark.parametrize("end", ["put back", "started by its operator"])
async def test_it_stays_paused_over_a_new_start_and_goes_on_with_its_memory(end: str) -> None:
    async with world(lasting=True) as w:
        await ran(w)
        await copied(w, last=True)
        await w.restart()
        await w.agent.parts.provisioner.settled("r1")
        assert await states(w) == {"a": "running", "b": "paused"}
        for _ in range(2):
            if end == "put back":
                await w.clouds.carrying.put_back("r1", ["b"])
            else:
                await w.clouds.switch("r1", ["b"], off=False)
            assert await states(w) == {"a": "running", "b": "running"}
        assert await typed(w, "b", "get mood") == "good"
        assert (w.mapped().leaves, w.mapped().paused, w.mapped().left_ms) == ((), (), ())


async def test_it_goes_on_at_once_while_a_newer_version_without_it_is_in_force() -> None:
    async with world() as w:
        await ran(w)
        await w.committed(cloud_prep(ALONE, "t2", version=2))
        await copied(w, last=True)
        assert await _b(w) == "paused"
        await w.clouds.carrying.put_back("r1", ["b"])
        assert await _b(w) == "running"
        await released(w, "t2")
        assert await typed(w, "b", "get mood") == "good"


async def test_what_its_user_stops_while_it_is_paused_stays_stopped_when_it_is_put_back() -> None:
    async with world() as w:
        await ran(w)
        await copied(w, last=True)
        await w.clouds.switch("r1", ["b"], off=True)
        assert await states(w) == {"a": "running", "b": "stopped"}
        await w.clouds.carrying.put_back("r1", ["b"])
        assert await states(w) == {"a": "running", "b": "stopped"}


async def test_what_is_paused_may_be_carried_cold_after_all() -> None:
    async with world() as w:
        await ran(w)
        await copied(w, last=True)
        exported = await w.clouds.carrying.export("r1", "b")
        assert b"it rains" in b"".join([piece async for piece in exported.carried.data])
        assert await states(w) == {"a": "running", "b": "stopped"}


async def test_what_cannot_go_as_it_runs_is_left_as_it_is() -> None:
    async with world() as w:
        await ran(w)
        await w.clouds.switch("r1", ["b"], off=True)
        error = await failing(w.clouds.carrying.copy("r1", "b", "", last=False))
        assert error.possible == "one that runs: its user has stopped it"
        hosts = w.embedder.hosts
        hosts._plugins = {host: StoppedOnly(hosts.plugin(host)) for host in hosts.specs}
        for last in (False, True):
            error = await failing(w.clouds.carrying.copy("r1", "b", "", last=last))
            assert error.code is StatusCode.FAILED_PRECONDITION
            assert error.possible == "one on hosts of which VNodes can be carried as they run"
        assert w.mapped().leaves == ()


async def test_what_cannot_be_written_is_not_paused() -> None:
    store = FaultyStore()
    async with world(store) as w:
        await w.committed(cloud_prep(PAIR))
        store.fails = True
        with pytest.raises(Exception, match="disk"):
            await w.clouds.carrying.copy("r1", "b", "", last=True)
        assert await states(w) == {"a": "running", "b": "running"}
        store.fails = False


# --- To here --------------------------------------------------------------------------------------


async def test_copies_are_kept_and_of_the_last_it_is_made_and_goes_on_where_it_was() -> None:
    exported, data = await brought()
    async with world() as w:
        await w.committed(awaiting())
        carrying = w.clouds.carrying
        assert await carrying.kept("r1", "b") == ""
        await carrying.keep("r1", "b", given(exported, data), last=False)
        assert await carrying.kept("r1", "b") == exported.mark
        assert await states(w) == {"a": "running", "b": "gone"}
        assert (await failing(carrying.begin("r1", ["b"]))).code is StatusCode.FAILED_PRECONDITION
        await carrying.keep("r1", "b", given(exported, data), last=True)
        assert await states(w) == {"a": "running", "b": "paused"}
        for _ in range(2):
            await carrying.begin("r1", ["b"])
            assert await states(w) == {"a": "running", "b": "running"}
        assert await typed(w, "b", "get mood") == "good"
        assert await typed(w, "b", "read diary") == "it rains"
        assert (w.mapped().awaits, w.mapped().paused) == ((), ())


async def test_what_has_arrived_keeps_its_memory_over_a_new_start_and_other_changes() -> None:
    exported, data = await brought()
    async with world(lasting=True) as w:
        await w.committed(awaiting())
        await w.clouds.carrying.keep("r1", "b", given(exported, data), last=True)
        await w.restart()
        await w.agent.parts.provisioner.settled("r1")
        await w.clouds.migrate("r1", "a", "h2")
        await w.clouds.switch("r1", ["a"], off=True)
        assert await states(w) == {"a": "stopped", "b": "paused"}
        assert w.mapped().paused == ("b",)
        await w.clouds.carrying.begin("r1", ["b"])
        assert await typed(w, "b", "get mood") == "good"


@pytest.mark.parametrize("committed", [False, True])
async def test_it_begins_in_every_version_that_has_it_waiting(committed: bool) -> None:
    exported, data = await brought()
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.carrying.keep("r1", "b", given(exported, data), last=True)
        later = cloud_prep(PAIR, "t2", version=2)
        await (w.committed(later) if committed else w.hold(later))
        assert w.mapped("t2").awaits == ("b",)
        await w.clouds.carrying.begin("r1", ["b"])
        assert (w.mapped().awaits, w.mapped("t2").awaits) == ((), ())
        if not committed:
            await w.commit("t2")
        await released(w, "t1")
        assert await states(w) == {"a": "running", "b": "running"}
        assert await typed(w, "b", "get mood") == "good"


async def test_what_a_later_version_is_brought_itself_still_waits_there() -> None:
    exported, data = await brought()
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.carrying.keep("r1", "b", given(exported, data), last=True)
        await w.hold(replace(awaiting(version=2), transaction_id="t2"))
        await w.clouds.carrying.begin("r1", ["b"])
        assert (w.mapped().awaits, w.mapped("t2").awaits) == ((), ("b",))


async def test_what_is_being_held_meanwhile_is_waited_for() -> None:
    exported, data = await brought()
    store = LateStore()
    async with world(store) as w:
        await w.committed(awaiting())
        await w.clouds.carrying.keep("r1", "b", given(exported, data), last=True)
        store.gate.clear()
        holding = asyncio.create_task(w.hold(cloud_prep(PAIR, "t2", version=2)))
        await store.asked.wait()
        error = await failing(w.clouds.carrying.begin("r1", ["b"]))
        assert error.code is StatusCode.UNAVAILABLE
        store.gate.set()
        await holding
        await w.clouds.carrying.begin("r1", ["b"])
        assert w.mapped("t2").awaits == ()


async def test_what_has_lost_its_memory_has_not_arrived_though_its_disk_is_there() -> None:
    exported, data = await brought()
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.carrying.keep("r1", "b", given(exported, data), last=True)
        await memory(w.embedder).stop(_host(w.mapped()), B)
        error = await failing(w.clouds.carrying.begin("r1", ["b"]))
        assert error.code is StatusCode.FAILED_PRECONDITION
        assert "what it had in memory is not here" in error.possible
        assert await states(w) == {"a": "running", "b": "stopped"}
        await w.clouds.carrying.keep("r1", "b", given(exported, data), last=True)
        await w.clouds.carrying.begin("r1", ["b"])
        assert await typed(w, "b", "get mood") == "good"


async def test_what_runs_already_which_a_restored_provider_does_not_know_has_arrived() -> None:
    exported, data = await brought()
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.carrying.keep("r1", "b", given(exported, data), last=True)
        await memory(w.embedder).start(_host(w.mapped()), B)
        await w.clouds.carrying.begin("r1", ["b"])
        assert await _b(w) == "running"


async def test_one_that_comes_cold_in_place_of_one_with_memory_begins_from_its_disk() -> None:
    exported, data = await brought()
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.carrying.keep("r1", "b", given(exported, data), last=True)
        await w.clouds.carrying.keep("r1", "b", given(exported, data), last=False)
        cold = Exported(Carried("memory/1", pieces(b'{"diary": "it snows"}')), off=False)
        await w.clouds.carrying.import_("r1", "b", cold)
        assert await w.clouds.carrying.kept("r1", "b") == ""
        await w.clouds.carrying.begin("r1", ["b"])
        assert await typed(w, "b", "read diary") == "it snows"
        assert await typed(w, "b", "get mood") == "mood: not set"


async def test_a_copy_that_comes_late_touches_nothing_that_has_begun() -> None:
    exported, data = await brought()
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.carrying.keep("r1", "b", given(exported, data), last=True)
        late = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield data
            await late.wait()

        again = replace(exported, carried=Carried(exported.carried.format, slowly()))
        straggler = asyncio.create_task(w.clouds.carrying.keep("r1", "b", again, last=True))
        await asyncio.sleep(0)
        await w.clouds.carrying.begin("r1", ["b"])
        assert await typed(w, "b", "set mood better") == NOTHING
        late.set()
        assert (await failing(straggler)).code is StatusCode.FAILED_PRECONDITION
        assert await typed(w, "b", "get mood") == "better"
        for work in (
            w.clouds.carrying.kept("r1", "b"),
            w.clouds.carrying.keep("r1", "b", given(exported, data), last=False),
        ):
            assert (await failing(work)).possible == "one that is awaited: it has begun here"


@pytest.mark.parametrize("last", [False, True])
async def test_what_is_given_back_while_a_copy_comes_leaves_nothing(last: bool) -> None:
    exported, data = await brought()
    async with world() as w:
        await w.committed(cloud_prep(ALONE))
        await w.committed(awaiting(transaction_id="t2", version=2))
        host = _host(w.mapped("t2"))
        await w.clouds.carrying.keep("r1", "b", given(exported, data), last=False)
        come, go = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield data
            come.set()
            await go.wait()

        again = replace(exported, carried=Carried(exported.carried.format, slowly()))
        work = asyncio.create_task(w.clouds.carrying.keep("r1", "b", again, last=last))
        await come.wait()
        await released(w, "t2")
        assert await memory(w.embedder).kept(host, B) == ""
        go.set()
        error = await failing(work)
        assert error.code in (StatusCode.FAILED_PRECONDITION, StatusCode.UNAVAILABLE)
        assert await memory(w.embedder).kept(host, B) == ""
        assert await w.runs() == {"h1": {"r1:a": "running"}}


async def test_hosts_that_take_only_what_is_stopped_say_so() -> None:
    async with world() as w:
        await w.committed(awaiting())
        hosts = w.embedder.hosts
        hosts._plugins = {host: StoppedOnly(hosts.plugin(host)) for host in hosts.specs}
        error = await failing(w.clouds.carrying.kept("r1", "b"))
        assert error.code is StatusCode.FAILED_PRECONDITION
        assert "to which VNodes can be carried as they run" in error.possible


async def test_one_that_does_not_start_has_not_begun_however_often_that_is_asked() -> None:
    exported, data = await brought()
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.carrying.keep("r1", "b", given(exported, data), last=True)
        hosts = memory(w.embedder)

        async def ensure(host: str, vnode: VNodeSpec) -> None:
            hosts.broken[host] = "on fire"
            await type(hosts).ensure(hosts, host, vnode)

        hosts.ensure = ensure  # type: ignore[method-assign]
        for _ in range(2):
            error = await failing(w.clouds.carrying.begin("r1", ["b"]))
            assert error.code is StatusCode.UNAVAILABLE
        del hosts.ensure
        hosts.broken.clear()
        await w.at(100)
        await w.agent.parts.provisioner.settled("r1")
        await w.clouds.carrying.begin("r1", ["b"])
        assert await typed(w, "b", "get mood") == "good"


# --- What is stored -------------------------------------------------------------------------------


def test_since_when_and_how_it_stands_still_is_stored_and_read() -> None:
    first = Mapped("r1", 1, (), ()).leaving("b", 1000, paused=True)
    again = first.leaving("b", 2000, paused=True).leaving("c", 3000, paused=False)
    assert (again.leaves, again.paused) == (("b", "c"), ("b",))
    assert dict(again.left_ms) == {"b": 1000, "c": 3000}
    assert Mapped.from_json(again.to_json()) == again
    assert again.leaving("b", 4000, paused=False).paused == ()
    assert again.staying(["b", "c"]) == Mapped("r1", 1, (), ())


def test_what_is_awaited_or_paused_keeps_its_memory_but_what_its_user_stops() -> None:
    mapped = Mapped("r1", 1, (), (), awaits=("a", "d")).leaving("b", 1, paused=True)
    mapped = mapped.leaving("c", 1, paused=False).switched(["d"], off=True)
    assert mapped.still == {"a", "b", "c", "d"}
    assert mapped.keeps_memory == {"a", "b"}
    assert mapped.staying(["a"]).awaits == ("a", "d")


async def _b(w: CloudWorld) -> str:
    """What b is doing, in whatever version."""
    every = [state for some in (await w.runs()).values() for state in some.items()]
    return dict(every)["r1:b"]


def _host(mapped: Mapped) -> str:
    at = mapped.vnode("b")
    assert at is not None
    return at.host
