"""VNodes that are carried from a provider, and to one: what its agent does, and remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from agent_world import NOW_S, FaultyStore
from cloud_site import memory
from cloud_world import CloudWorld, cloud_prep, graph
from grpc import StatusCode
from test_agents_clouds import failing, states, world
from test_agents_hosts_memory import said, shown

from agents.backends.base import DeviceError
from agents.backends.hosts.memory import MemoryHosts
from agents.backends.hosts.port import Carried, HostSpec, NeverError, VNodeName
from agents.carrying import Exported
from agents.discretion import discreet
from protocol.messages import ReservationPrep
from runtime.clock import SystemClock
from runtime.errors import RequestError
from substrate.model import DataPlaneState, RefusalKind
from substrate.values import replace

ALONE = graph({"a": 2})
PAIR = graph({"a": 2, "b": 2}, [("a", "b")])
B = VNodeName("r1", "b")


def awaiting(of: bytes = PAIR, *names: str, **more: Any) -> ReservationPrep:
    return replace(cloud_prep(of, **more), awaits=names or ("b",))


async def typed(w: CloudWorld, vnode: str, line: str) -> str:
    console = await w.clouds.console("r1", vnode)
    await shown(console, "$ ")
    return await said(console, line)


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


def exported(*data: bytes, off: bool = False, form: str = "memory/1") -> Exported:
    return Exported(Carried(form, pieces(*data or (b'{"diary": "it rains"}',))), off)


async def whole(given: Exported) -> bytes:
    return b"".join([piece async for piece in given.carried.data])


async def released(w: CloudWorld, transaction_id: str) -> None:
    await w.release(transaction_id)
    await w.agent.parts.provisioner.settled("r1")


# --- From here ------------------------------------------------------------------------------------


async def test_what_is_exported_stands_still_from_then_on_and_the_others_run() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        await typed(w, "b", "write diary it rains")
        given = await w.clouds.carrying.export("r1", "b")
        assert (given.carried.format, given.off) == ("memory/1", False)
        assert await whole(given) == b'{"diary": "it rains"}'
        assert await states(w) == {"a": "running", "b": "stopped"}
        shown_ = await w.clouds.show("r1")
        assert shown_.conditions["b"].reason == "it is being carried to another provider"
        again = await w.clouds.carrying.export("r1", "b")
        assert await whole(again) == b'{"diary": "it rains"}'


async def test_it_stands_still_over_a_new_start_until_it_is_put_back() -> None:
    async with world(lasting=True) as w:
        await w.committed(cloud_prep(PAIR))
        await w.clouds.carrying.export("r1", "b")
        await w.restart()
        await w.agent.parts.provisioner.settled("r1")
        assert await states(w) == {"a": "running", "b": "stopped"}
        for _ in range(2):
            await w.clouds.carrying.put_back("r1", ["b"])
            assert await states(w) == {"a": "running", "b": "running"}


async def test_what_its_user_has_stopped_stays_so_when_it_is_put_back() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        await w.clouds.switch("r1", ["b"], off=True)
        assert (await w.clouds.carrying.export("r1", "b")).off
        await w.clouds.carrying.put_back("r1", ["b"])
        assert await states(w) == {"a": "running", "b": "stopped"}


async def test_what_an_older_version_has_is_exported_while_a_newer_one_is_in_force() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        await typed(w, "b", "write diary it rains")
        await w.committed(cloud_prep(ALONE, "t2", version=2))
        given = await w.clouds.carrying.export("r1", "b")
        assert await whole(given) == b'{"diary": "it rains"}'
        at = {name: state for some in (await w.runs()).values() for name, state in some.items()}
        assert at == {"r1:a": "running", "r1:b": "stopped"}
        await w.clouds.carrying.put_back("r1", ["b"])
        await released(w, "t2")
        assert await states(w) == {"a": "running", "b": "running"}
        assert "it rains" in await typed(w, "b", "read diary")


async def test_what_is_given_once_more_while_a_newer_version_awaits_it_begins_in_that() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        await typed(w, "b", "write diary it rains")
        await w.clouds.carrying.export("r1", "b")
        await w.committed(awaiting(transaction_id="t3", version=3))
        again = await w.clouds.carrying.export("r1", "b")
        assert await whole(again) == b'{"diary": "it rains"}'
        assert (w.mapped().leaves, w.mapped("t3").leaves) == (("b",), ())
        await released(w, "t1")
        await w.clouds.carrying.import_("r1", "b", exported(b'{"diary": "it snows"}'))
        await w.clouds.carrying.begin("r1", ["b"])
        assert await states(w) == {"a": "running", "b": "running"}
        assert "it snows" in await typed(w, "b", "read diary")


async def test_what_leaves_stays_until_it_is_released_though_others_need_its_room() -> None:
    async with world(hosts=1) as w:
        await w.committed(cloud_prep(graph({"a": 2, "b": 6})))
        await typed(w, "b", "write diary it rains")
        larger = cloud_prep(graph({"a": 8}), "t2", version=2)
        await w.committed(larger)
        await w.agent.parts.provisioner.settled("r1")
        # The host has no room for both, and says so.
        assert w.data_plane("t2") is DataPlaneState.FAILED
        given = await w.clouds.carrying.export("r1", "b")
        assert await whole(given) == b'{"diary": "it rains"}'
        await w.release("t1")
        await w.at(100)
        await w.agent.parts.provisioner.settled("r1")
        assert w.data_plane("t2") is DataPlaneState.ACTIVE
        assert await w.runs() == {"h1": {"r1:a": "running"}}


async def test_an_operator_who_starts_it_has_it_back() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        await w.clouds.carrying.export("r1", "b")
        for work in (w.clouds.cycle("r1", ["b"]), w.clouds.migrate("r1", "b", "h2")):
            error = await failing(work)
            assert error.possible == "one that stays here: it is being carried to another provider"
        await w.clouds.switch("r1", ["b"], off=False)
        assert await states(w) == {"a": "running", "b": "running"}


async def test_what_is_not_there_is_not_exported_and_nothing_stops() -> None:
    async with world() as w:
        error = await failing(w.clouds.carrying.export("r1", "b"))
        assert (error.code, error.possible) == (StatusCode.NOT_FOUND, "one that is at berlin")
        await w.committed(cloud_prep(PAIR))
        for host in ("h1", "h2", "h3"):
            await memory(w.embedder).remove(host, B)
        error = await failing(w.clouds.carrying.export("r1", "b"))
        assert error.code is StatusCode.DATA_LOSS
        assert error.possible == "one that is there: nothing of it is on its host"
        assert w.mapped().leaves == ()


async def test_what_is_made_when_its_window_begins_is_to_be_asked_for_again() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR, start_s=NOW_S + 100))
        for work in (
            w.clouds.carrying.copy("r1", "b", "", last=False),
            w.clouds.carrying.export("r1", "b"),
        ):
            error = await failing(work)
            assert error.code is StatusCode.UNAVAILABLE
            assert "once it has been made here" in error.possible
        assert w.mapped().leaves == ()
        await w.at(100)
        await w.agent.parts.provisioner.settled("r1")
        assert (await w.clouds.carrying.copy("r1", "b", "", last=False)).memory


async def test_what_a_newer_version_leaves_out_before_it_was_made_is_never_made() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR, start_s=NOW_S + 100))
        await w.committed(cloud_prep(ALONE, "t2", version=2, start_s=NOW_S + 100))
        error = await failing(w.clouds.carrying.export("r1", "b"))
        assert error.code is StatusCode.DATA_LOSS


class OwnHosts:
    """Hosts that cannot carry: those in memory, without what they can beyond others."""

    def __init__(self, hosts: Sequence[HostSpec], options: dict[str, Any]) -> None:
        self._hosts = MemoryHosts(hosts, SystemClock())

    def __getattr__(self, name: str) -> Any:
        if name in ("export", "import_"):
            raise AttributeError(name)
        return getattr(self._hosts, name)


CANNOT = {"/node/host": f"{__name__}:OwnHosts"}


async def test_hosts_that_cannot_carry_say_so_before_anything_is_stopped_or_held() -> None:
    async with world(plugins=CANNOT) as w:
        await w.committed(cloud_prep(PAIR))
        error = await failing(w.clouds.carrying.export("r1", "b"))
        assert error.code is StatusCode.FAILED_PRECONDITION
        assert error.possible == "one on hosts of which VNodes can be carried away"
        assert await states(w) == {"a": "running", "b": "running"}
        with pytest.raises(NeverError):
            await w.embedder.export(B)
        answer = await w.hold(awaiting(reservation_id="r2", transaction_id="t2"))
        assert answer.refusal is not None
        assert answer.refusal.kind is RefusalKind.POLICY
        told = "what VNode b has cannot be carried to berlin, where it can only begin anew"
        assert answer.refusal.reason == told
        blind = discreet(answer.refusal, w.agent.parts.book.domain)
        assert blind.reason == told


async def test_a_host_that_fails_is_to_be_asked_again() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        memory(w.embedder).broken.update(dict.fromkeys(("h1", "h2", "h3"), "it is on fire"))
        error = await failing(w.clouds.carrying.export("r1", "b"))
        assert error.code is StatusCode.UNAVAILABLE
        memory(w.embedder).broken.clear()
        assert await whole(await w.clouds.carrying.export("r1", "b"))


async def test_what_cannot_be_written_is_not_stopped() -> None:
    store = FaultyStore()
    async with world(store) as w:
        await w.committed(cloud_prep(PAIR))
        store.fails = True
        with pytest.raises(Exception, match="disk"):
            await w.clouds.carrying.export("r1", "b")
        assert await states(w) == {"a": "running", "b": "running"}
        store.fails = False


# --- To here --------------------------------------------------------------------------------------


async def test_what_is_awaited_is_held_and_not_made_until_it_comes_and_begins() -> None:
    async with world() as w:
        await w.committed(awaiting())
        assert await states(w) == {"a": "running", "b": "gone"}
        reason = "it is being carried here from another provider"
        assert (await w.clouds.show("r1")).conditions["b"].reason == reason
        await w.clouds.carrying.import_("r1", "b", exported())
        assert await states(w) == {"a": "running", "b": "stopped"}
        for _ in range(2):
            await w.clouds.carrying.begin("r1", ["b"])
            assert await states(w) == {"a": "running", "b": "running"}
        assert "it rains" in await typed(w, "b", "read diary")
        assert w.mapped().awaits == ()


async def test_what_has_not_arrived_does_not_begin_whoever_asks() -> None:
    async with world() as w:
        await w.committed(awaiting())
        error = await failing(w.clouds.carrying.begin("r1", ["b"]))
        assert error.code is StatusCode.FAILED_PRECONDITION
        assert error.possible == "one that has arrived: nothing of it is here"
        for work in (w.clouds.switch("r1", ["b"], off=False), w.clouds.cycle("r1", ["b"])):
            assert (await failing(work)).code is StatusCode.FAILED_PRECONDITION
        await w.clouds.switch("r1", [], off=False)
        assert await states(w) == {"a": "running", "b": "gone"}


async def test_what_has_arrived_is_there_after_a_new_start_and_still_waits() -> None:
    async with world(lasting=True) as w:
        await w.committed(awaiting())
        await w.clouds.carrying.import_("r1", "b", exported())
        await w.restart()
        await w.agent.parts.provisioner.settled("r1")
        assert await states(w) == {"a": "running", "b": "stopped"}
        await w.clouds.carrying.begin("r1", ["b"])
        assert "it rains" in await typed(w, "b", "read diary")


async def test_what_hosts_have_forgotten_has_not_arrived() -> None:
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.carrying.import_("r1", "b", exported())
        await w.restart()
        await w.agent.parts.provisioner.settled("r1")
        error = await failing(w.clouds.carrying.begin("r1", ["b"]))
        assert error.code is StatusCode.FAILED_PRECONDITION
        await w.clouds.carrying.import_("r1", "b", exported())
        await w.clouds.carrying.begin("r1", ["b"])
        assert await states(w) == {"a": "running", "b": "running"}


async def test_what_had_begun_and_was_lost_by_its_hosts_begins_anew() -> None:
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.carrying.begin("r1", ["b"], begun=True)
        assert await states(w) == {"a": "running", "b": "running"}
        await w.clouds.carrying.begin("r1", ["b"], begun=True)
        assert await states(w) == {"a": "running", "b": "running"}


async def test_what_is_there_still_has_what_it_had_however_it_begins() -> None:
    async with world(lasting=True) as w:
        await w.committed(awaiting())
        await w.clouds.carrying.import_("r1", "b", exported())
        await w.restart()
        await w.clouds.carrying.begin("r1", ["b"], begun=True)
        assert "it rains" in await typed(w, "b", "read diary")


async def test_it_comes_in_place_of_what_came_before_and_is_stopped_if_its_user_stopped_it() -> (
    None
):
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.carrying.import_("r1", "b", exported(b'{"diary": "it snows"}'))
        await w.clouds.carrying.import_("r1", "b", exported(off=True))
        await w.clouds.carrying.begin("r1", ["b"])
        assert await states(w) == {"a": "running", "b": "stopped"}
        await w.clouds.switch("r1", ["b"], off=False)
        assert "it rains" in await typed(w, "b", "read diary")


async def test_nothing_comes_while_what_is_new_beside_it_cannot_be_made() -> None:
    async with world(hosts=1) as w:
        await w.committed(cloud_prep(graph({"c": 4})))
        # What leaves stands by until the new version runs, which it would be in the way of.
        beside = graph({"b": 2, "d": 6})
        await w.committed(awaiting(beside, transaction_id="t2", version=2))
        await w.agent.parts.provisioner.settled("r1")
        assert w.data_plane("t2") is DataPlaneState.FAILED
        error = await failing(w.clouds.carrying.must_fit("r1", "b"))
        assert error.code is StatusCode.UNAVAILABLE
        assert "later" in error.possible
        await w.release("t1")
        await w.at(100)
        await w.clouds.carrying.must_fit("r1", "b")


async def test_what_breaks_off_leaves_nothing() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b'{"diary": '
        raise DeviceError("the line broke")

    async with world() as w:
        await w.committed(awaiting())
        given = Exported(Carried("memory/1", broken()), off=False)
        error = await failing(w.clouds.carrying.import_("r1", "b", given))
        assert error.code is StatusCode.UNAVAILABLE
        assert await states(w) == {"a": "running", "b": "gone"}
        assert (await failing(w.clouds.carrying.begin("r1", ["b"]))).code is (
            StatusCode.FAILED_PRECONDITION
        )


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (exported(form="qcow2/3"), "comes as qcow2/3"),
        (exported(b"\xff\xfe"), "brings no memory/1"),
        (exported(b"[1]"), "texts by name"),
        (exported(b'{"a": 1}'), "texts by name"),
        (exported(*[b"x" * (1 << 20)] * 9), "more than"),
    ],
)
async def test_what_hosts_will_never_take_is_told_as_that(given: Exported, why: str) -> None:
    async with world() as w:
        await w.committed(awaiting())
        error = await failing(w.clouds.carrying.import_("r1", "b", given))
        assert error.code is StatusCode.FAILED_PRECONDITION
        assert why in error.possible
        assert await states(w) == {"a": "running", "b": "gone"}


async def test_what_has_begun_is_not_replaced_any_more() -> None:
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.carrying.import_("r1", "b", exported())
        late = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b'{"diary": "of long ago"}'
            await late.wait()

        given = Exported(Carried("memory/1", slowly()), off=False)
        straggler = asyncio.create_task(w.clouds.carrying.import_("r1", "b", given))
        await asyncio.sleep(0)
        await w.clouds.carrying.begin("r1", ["b"])
        await w.clouds.switch("r1", ["b"], off=True)
        late.set()
        error = await failing(straggler)
        assert error.code is StatusCode.FAILED_PRECONDITION
        again = await failing(w.clouds.carrying.import_("r1", "b", exported()))
        assert again.possible == "one that is awaited: it has begun here"
        await w.clouds.switch("r1", ["b"], off=False)
        assert "it rains" in await typed(w, "b", "read diary")


async def test_what_was_given_back_while_it_came_is_taken_away_again() -> None:
    async with world() as w:
        await w.committed(cloud_prep(ALONE))
        await w.committed(awaiting(transaction_id="t2", version=2))
        come, go = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield b"{}"
            come.set()
            await go.wait()

        given = Exported(Carried("memory/1", slowly()), off=False)
        work = asyncio.create_task(w.clouds.carrying.import_("r1", "b", given))
        await come.wait()
        await released(w, "t2")
        go.set()
        assert (await failing(work)).code in (
            StatusCode.FAILED_PRECONDITION,
            StatusCode.UNAVAILABLE,
        )
        assert await w.runs() == {"h1": {"r1:a": "running"}}


async def test_a_next_version_and_a_move_inside_leave_it_awaited() -> None:
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.migrate("r1", "a", "h2")
        assert w.mapped().awaits == ("b",)
        error = await failing(w.clouds.migrate("r1", "b", "h3"))
        assert error.possible == (
            "one that has begun here: it is being carried here from another provider"
        )
        more = graph({"a": 2, "b": 2, "c": 1})
        await w.committed(cloud_prep(more, "t2", version=2))
        assert w.mapped("t2").awaits == ("b",)
        await w.clouds.carrying.import_("r1", "b", exported())
        await released(w, "t1")
        await w.clouds.carrying.begin("r1", ["b"])
        assert await states(w) == dict.fromkeys("abc", "running")
        assert "it rains" in await typed(w, "b", "read diary")


async def test_what_runs_has_begun_though_what_is_asked_for_next_cannot_be_made_yet() -> None:
    async with world(hosts=1) as w:
        await w.committed(cloud_prep(graph({"a": 1})))
        await w.committed(awaiting(graph({"b": 1}), transaction_id="t2", version=2))
        await w.clouds.carrying.import_("r1", "b", exported())
        # What stands by until "b" runs is in the way of what is to grow.
        await w.committed(cloud_prep(graph({"b": 8}), "t3", version=3))
        await w.agent.parts.provisioner.settled("r1")
        await w.clouds.carrying.begin("r1", ["b"])
        assert w.data_plane("t3") is DataPlaneState.FAILED
        assert (await w.runs())["h1"]["r1:b"] == "running"
        await w.release("t1")
        await w.release("t2")
        await w.at(100)
        assert w.data_plane("t3") is DataPlaneState.ACTIVE
        assert await w.runs() == {"h1": {"r1:b": "running"}}


async def test_what_an_older_version_has_whose_commit_is_on_its_way_stays_as_it_is() -> None:
    async with world() as w:
        await w.hold(cloud_prep(PAIR))
        await w.committed(cloud_prep(PAIR, "t2", version=2))
        await typed(w, "b", "write diary it rains")
        await released(w, "t2")
        assert any((await w.runs()).values())
        await w.commit()
        await w.agent.parts.provisioner.settled("r1")
        assert "it rains" in await typed(w, "b", "read diary")


async def test_what_a_held_version_had_in_common_goes_when_that_is_aborted() -> None:
    async with world() as w:
        await w.hold(cloud_prep(PAIR))
        await w.committed(cloud_prep(PAIR, "t2", version=2))
        await released(w, "t2")
        await w.abort()
        await w.agent.parts.provisioner.settled("r1")
        assert not any((await w.runs()).values())


async def test_what_is_not_committed_yet_is_to_be_asked_for_again() -> None:
    async with world() as w:
        await w.hold(awaiting())
        error = await failing(w.clouds.carrying.import_("r1", "b", exported()))
        assert error.code is StatusCode.UNAVAILABLE
        await w.commit()
        await w.clouds.carrying.import_("r1", "b", exported())
        w.agent.parts.rules = replace(w.agent.parts.rules, recovering=True)
        error = await failing(w.clouds.carrying.begin("r1", ["b"]))
        assert error.code is StatusCode.UNAVAILABLE


async def test_what_only_a_held_version_awaits_is_to_be_asked_for_again() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        await w.hold(awaiting(transaction_id="t2", version=2))
        error = await failing(w.clouds.carrying.must_fit("r1", "b"))
        assert error.code is StatusCode.UNAVAILABLE
        error = await failing(w.clouds.carrying.must_fit("r1", "a"))
        assert error.code is StatusCode.FAILED_PRECONDITION
        await w.commit("t2")
        await w.clouds.carrying.must_fit("r1", "b")


async def test_what_was_stored_before_anything_was_carried_is_read() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        text = w.mapped().to_json()
        old = text.replace(',"awaits":[],"leaves":[]', "")
        assert old != text
        assert type(w.mapped()).from_json(old) == w.mapped()


# --- Errands --------------------------------------------------------------------------------------


async def test_an_earlier_errand_neither_puts_back_nor_stops_what_a_later_one_has() -> None:
    async with world(lasting=True) as w:
        await w.committed(cloud_prep(PAIR))
        await whole(await w.clouds.carrying.export("r1", "b", 2))
        await w.restart()
        await w.agent.parts.provisioner.settled("r1")
        for late in (
            w.clouds.carrying.put_back("r1", ["b"], 1),
            w.clouds.carrying.export("r1", "b", 1),
            w.clouds.carrying.copy("r1", "b", "", 1, last=True),
        ):
            error = await failing(late)
            assert error.code is StatusCode.FAILED_PRECONDITION
            assert (
                error.possible == "errand 2 or a later one, which carries it now; this is errand 1"
            )
        assert await states(w) == {"a": "running", "b": "stopped"}
        await w.clouds.carrying.put_back("r1", ["b"], 3)
        assert await states(w) == {"a": "running", "b": "running"}
        error = await failing(w.clouds.carrying.export("r1", "b", 2))
        assert error.code is StatusCode.FAILED_PRECONDITION
        assert await states(w) == {"a": "running", "b": "running"}


async def test_whose_errand_is_not_known_is_not_late() -> None:
    async with world() as w:
        await w.committed(cloud_prep(PAIR))
        await w.clouds.carrying.export("r1", "b", 7)
        await w.clouds.carrying.put_back("r1", ["b"])
        assert await states(w) == {"a": "running", "b": "running"}


async def test_what_an_earlier_errand_still_pours_in_does_not_come_over_a_later_one() -> None:
    flows, goes_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        flows.set()
        await goes_on.wait()
        yield b'{"diary": "of before"}'

    async with world(lasting=True) as w:
        await w.committed(awaiting())
        carrying = w.clouds.carrying
        await carrying.comes("r1", "b", 1, last=True)
        early = Exported(Carried("memory/1", slowly()), off=False)
        late = asyncio.create_task(carrying.import_("r1", "b", early, 1))
        await flows.wait()
        await carrying.comes("r1", "b", 2, last=True)
        await carrying.import_("r1", "b", exported(), 2)
        goes_on.set()
        with pytest.raises(RequestError, match="a later errand brings it now") as refused:
            await late
        assert refused.value.code is StatusCode.FAILED_PRECONDITION
        await w.restart()
        await w.agent.parts.provisioner.settled("r1")
        for last in (False, True):
            error = await failing(w.clouds.carrying.comes("r1", "b", 1, last=last))
            assert error.possible.startswith("errand 2 or a later one")
        await w.clouds.carrying.begin("r1", ["b"])
        assert "it rains" in await typed(w, "b", "read diary")


async def test_copies_that_go_ahead_leave_an_earlier_errand_alone() -> None:
    async with world() as w:
        await w.committed(awaiting())
        await w.clouds.carrying.comes("r1", "b", 2, last=False)
        await w.clouds.carrying.comes("r1", "b", 1, last=True)
        await w.clouds.carrying.import_("r1", "b", exported(), 1)
        await w.clouds.carrying.begin("r1", ["b"])
        assert await states(w) == {"a": "running", "b": "running"}
