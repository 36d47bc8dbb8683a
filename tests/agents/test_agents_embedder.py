"""What runs is what the placements in force say, through every change of them."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from agent_world import ManualClock
from cloud_site import (
    CLOUD,
    GIB,
    HOSTS,
    LINKS,
    OUT,
    SWITCHES,
    WIRING,
    embedder,
    frame,
    mapped,
    memory,
    on,
    placement,
    vnode,
)
from hypothesis import given, settings, strategies as st
from test_agents_hosts_memory import said, shown

from agents.backends.base import DeviceError
from agents.backends.hosts.conformance import check_hosts
from agents.backends.hosts.embedder import Embedder, open_embedder
from agents.backends.hosts.fabric import Fabric
from agents.backends.hosts.plugins import HostingSettings
from agents.backends.hosts.port import Condition, HostSpec, VNodeName, VNodeSpec
from agents.backends.switch import MemorySwitch
from cloudnets.mapped import Mapped, MappedVLink, MappedVNode
from runtime.settings import SettingsError, validate
from substrate.values import replace

PAIR = mapped(vnode("a", "h1"), vnode("b", "h3"), vlinks=(("a", "b", 100),))


def empty(of: Embedder) -> bool:
    """Whether no switch has any rule."""
    switches = of.fabric.switches.values()
    return not any(s.rules() for s in switches if isinstance(s, MemorySwitch))


async def test_an_earlier_life_is_found_on_the_hosts_that_answer() -> None:
    first = embedder()
    await first.provision("1", placement(PAIR))
    made, names = Embedder(first.hosts, first.fabric), [VNodeName("r1", n) for n in ("a", "b", "c")]
    memory(made).broken["h1"] = "no power"
    await made.look()
    assert made.whereabouts(names) == {names[1]: "h3"}
    memory(made).broken.clear()
    await made.look()
    assert made.whereabouts(names) == {names[0]: "h1", names[1]: "h3"}


async def test_a_host_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    first = embedder()
    await first.provision("1", placement(PAIR))
    made, plugin = Embedder(first.hosts, first.fabric), memory(first)
    found = plugin.found

    async def hangs(host: str) -> Mapping[VNodeName, Condition]:
        if host == "h1":
            await asyncio.Event().wait()
        return await found(host)

    monkeypatch.setattr(plugin, "found", hangs)
    monkeypatch.setattr("agents.backends.hosts.whereabouts.LOOK_S", 0.05)
    await asyncio.wait_for(made.look(), 10)
    names = [VNodeName("r1", "a"), VNodeName("r1", "b")]
    assert made.whereabouts(names) == {names[1]: "h3"}


async def test_of_what_may_be_on_a_host_that_does_not_answer_nothing_is_said() -> None:
    made, name = embedder(), VNodeName("r1", "a")
    memory(made).broken["h1"] = "no power"
    with pytest.raises(DeviceError, match=r"hosts that do not answer: h1"):
        await made.is_there(name)
    memory(made).broken.clear()
    assert not await made.is_there(name)


# --- Making and taking away ---------------------------------------------------------------------


async def test_vnodes_run_on_their_hosts_and_those_that_are_off_are_made_and_stopped() -> None:
    made = embedder()
    for _ in range(2):
        await made.provision("t1/p1", placement(replace(PAIR, off=("b",))))
    assert await on(made) == {"h1": {"r1:a": "running"}, "h2": {}, "h3": {"r1:b": "stopped"}}
    for _ in range(2):
        await made.withdraw("t1/p1", placement(PAIR))
    assert await on(made) == {"h1": {}, "h2": {}, "h3": {}}
    assert empty(made)


async def test_a_new_version_keeps_what_stays_moves_what_moves_and_drops_what_is_gone() -> None:
    clock = ManualClock()
    made = embedder(clock)
    old = mapped(vnode("a", "h1"), vnode("b", "h1"), vnode("c", "h1"), vlinks=(("a", "b", 100),))
    new = mapped(
        vnode("a", "h1", mcores=4000),
        vnode("b", "h2"),
        vnode("d", "h3"),
        vlinks=(("a", "b", 100), ("b", "d", 101)),
        version=2,
    )
    await made.provision("t1/p1", placement(old))
    clock.time_ms += 10_000
    await made.provision("t2/p1", placement(new))
    assert "r1:c" in (await on(made))["h1"], "the old version is still provisioned"
    await made.withdraw("t1/p1", placement(old))
    assert await on(made) == {
        "h1": {"r1:a": "running"},
        "h2": {"r1:b": "running"},
        "h3": {"r1:d": "running"},
    }
    for name, uptime in (("a", "up 10.0 s"), ("b", "up 10.0 s"), ("d", "up 0.0 s")):
        console = await made.console(VNodeName("r1", name))
        await shown(console, "$ ")
        assert await said(console, "uptime") == uptime
    a = await made.console(VNodeName("r1", "a"))
    await shown(a, "4 cores")
    assert made.fabric.trace("h1", frame("a", 100)) is not None


async def test_a_version_that_is_released_leaves_the_one_before_as_it_was() -> None:
    made = embedder()
    old, new = PAIR, mapped(vnode("a", "h2"), vnode("c", "h3"), version=2)
    await made.provision("t1/p1", placement(old))
    await made.provision("t2/p1", placement(new))
    await made.provision("t1/p1", placement(old))
    await made.withdraw("t2/p1", placement(new))
    assert await on(made) == {"h1": {"r1:a": "running"}, "h2": {}, "h3": {"r1:b": "running"}}
    assert made.fabric.trace("h1", frame("a", 100)) == ("h3", replace(frame("b", 100)))


async def test_a_version_for_which_there_is_no_room_moves_nothing_and_can_be_taken_back() -> None:
    made = embedder()
    await made.provision("t0/p1", placement(mapped(vnode("x", "h2", 6000), reservation_id="r0")))
    await made.provision("t1/p1", placement(PAIR))
    new = mapped(vnode("a", "h3"), vnode("b", "h3"), vnode("c", "h2", mcores=4000), version=2)
    with pytest.raises(DeviceError, match="h2 has 2000 mcores free, r1:c needs 4000"):
        await made.provision("t2/p1", placement(new))
    assert (await on(made))["h1"] == {"r1:a": "running"}
    await made.provision("t1/p1", placement(PAIR))
    await made.withdraw("t2/p1", placement(new))
    assert await on(made) == {
        "h1": {"r1:a": "running"},
        "h2": {"r0:x": "running"},
        "h3": {"r1:b": "running"},
    }


async def test_where_both_versions_have_no_room_beside_each_other_the_old_one_makes_way() -> None:
    """As the agent's provisioner does: provision, withdraw the old one, provision again."""
    made = embedder()
    old = mapped(vnode("a", "h1", 1000), vnode("b", "h1", 6000))
    new = mapped(vnode("a", "h1", 1000), vnode("c", "h1", 6000), version=2)
    await made.provision("t1/p1", placement(old))
    with pytest.raises(DeviceError, match="h1 has 1000 mcores free"):
        await made.provision("t2/p1", placement(new))
    await made.withdraw("t1/p1", placement(old))
    assert (await on(made))["h1"].get("r1:a") == "running"
    await made.provision("t2/p1", placement(new))
    assert (await on(made))["h1"] == {"r1:a": "running", "r1:c": "running"}


async def test_each_of_two_on_a_full_host_gets_what_the_other_gives_up() -> None:
    made = embedder()
    a, b = vnode("a", "h1", 6000), vnode("b", "h1", 2000)
    old = mapped(replace(a, memory_bytes=4 * GIB), replace(b, memory_bytes=12 * GIB))
    a, b = vnode("a", "h1", 3000), vnode("b", "h1", 5000)
    new = mapped(replace(a, memory_bytes=13 * GIB), replace(b, memory_bytes=3 * GIB), version=2)
    for key, version in (("t1/p1", old), ("t2/p1", new), ("t1/p1", old), ("t2/p1", new)):
        await made.provision(key, placement(version))
        has = memory(made)._vnodes["h1"].values()
        assert {v.spec.name.vnode: (v.spec.mcores, v.spec.memory_bytes) for v in has} == {
            v.id: (v.mcores, v.memory_bytes) for v in version.vnodes
        }


async def test_what_is_lost_is_not_made_with_less_than_it_is_to_have() -> None:
    made = embedder()
    old = mapped(vnode("a", "h1", 2000), vnode("b", "h1", 1000))
    new = mapped(vnode("a", "h1", 5000), vnode("b", "h1", 1000), version=2)
    await made.provision("t1/p1", placement(old))
    await made.provision("t0/p1", placement(mapped(vnode("x", "h1", 5000), reservation_id="r0")))
    await memory(made).remove("h1", VNodeName("r1", "a"))
    with pytest.raises(DeviceError, match="r1:a needs 5000"):
        await made.provision("t2/p1", placement(new))
    assert (await on(made))["h1"] == {"r0:x": "running", "r1:b": "running"}


async def test_what_is_new_gets_what_those_that_stay_give_up() -> None:
    made = embedder()
    old = mapped(vnode("a", "h1", 6000), vnode("b", "h2", 6000))
    new = mapped(vnode("a", "h1", 2000), vnode("b", "h2", 6000), vnode("c", "h1", 6000), version=2)
    await made.provision("t1/p1", placement(old))
    await made.provision("t2/p1", placement(new))
    assert (await on(made))["h1"] == {"r1:a": "running", "r1:c": "running"}


async def test_what_is_new_comes_where_another_leaves() -> None:
    made = embedder()
    old = mapped(vnode("a", "h1", 6000))
    new = mapped(vnode("a", "h2", 6000), vnode("c", "h1", 6000), version=2)
    await made.provision("t1/p1", placement(old))
    await made.provision("t2/p1", placement(new))
    assert await on(made) == {"h1": {"r1:c": "running"}, "h2": {"r1:a": "running"}, "h3": {}}


async def test_nothing_moves_for_what_must_wait_until_an_older_version_is_released() -> None:
    made = embedder()
    old = mapped(vnode("a", "h1", 2000), vnode("x", "h1", 6000))
    new = mapped(vnode("a", "h2", 2000), vnode("c", "h1", 8000), version=2)
    await made.provision("t1/p1", placement(old))
    # Again and again, as who tries it does.
    for _ in range(3):
        with pytest.raises(DeviceError, match="r1:c needs 8000"):
            await made.provision("t2/p1", placement(new))
        assert await on(made) == {
            "h1": {"r1:a": "running", "r1:x": "running"}, "h2": {}, "h3": {},
        }  # fmt: skip
    await made.withdraw("t1/p1", placement(old))
    await made.provision("t2/p1", placement(new))
    assert await on(made) == {"h1": {"r1:c": "running"}, "h2": {"r1:a": "running"}, "h3": {}}


async def test_nothing_moves_for_what_finds_no_room_where_nobody_leaves() -> None:
    made = embedder()
    old = mapped(vnode("a", "h1", 6000), vnode("y", "h2", 6000))
    await made.provision("t1/p1", placement(old))
    new = mapped(
        vnode("a", "h3", 6000),
        vnode("c", "h1", 6000),
        vnode("y", "h2", 6000),
        vnode("d", "h2", 4000),
        version=2,
    )
    with pytest.raises(DeviceError, match="r1:d needs 4000"):
        await made.provision("t2/p1", placement(new))
    assert (await on(made))["h1"] == {"r1:a": "running"}


async def test_nothing_moves_for_what_fails_for_another_reason() -> None:
    made = embedder()
    await made.provision("t1/p1", placement(mapped(vnode("a", "h1", 6000))))
    new = mapped(vnode("a", "h2", 6000), vnode("c", "h1", 6000), vnode("d", "h9", 1000), version=2)
    with pytest.raises(DeviceError, match="there is no host h9"):
        await made.provision("t2/p1", placement(new))
    assert await on(made) == {"h1": {"r1:a": "running"}, "h2": {}, "h3": {}}


def amounts(made: Embedder, host: str = "h1") -> dict[str, tuple[int, int, int]]:
    """Cores, GiB of memory and GiB of disk of each VNode on a host."""
    return {
        name.vnode: (v.spec.mcores // 1000, v.spec.memory_bytes // GIB, v.spec.disk_bytes // GIB)
        for name, v in memory(made)._vnodes[host].items()
    }


def sized(name: str, cores: int, memory_gib: int, disk_gib: int = 10) -> MappedVNode:
    some = replace(vnode(name, "h1", cores * 1000), memory_bytes=memory_gib * GIB)
    return replace(some, disk_bytes=disk_gib * GIB)


async def test_what_waits_for_a_release_gives_up_nothing_before() -> None:
    made = embedder()
    old = mapped(sized("a", 4, 12), sized("x", 4, 1))
    await made.provision("t1/p1", placement(old))
    given = []
    plugin = memory(made)
    ensure = plugin.ensure

    async def watched(host: str, vnode: VNodeSpec) -> None:
        await ensure(host, vnode)
        given.append(vnode.memory_bytes)

    plugin.ensure = watched  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="r1:a needs 6000"):
        await made.provision("t2/p1", placement(mapped(sized("a", 6, 4), version=2)))
    assert given == []
    assert amounts(made) == {"a": (4, 12, 10), "x": (4, 1, 10)}


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_was_given_up_in_vain_is_given_back(restarted: bool) -> None:
    made = embedder()
    old = mapped(sized("a", 4, 4, 20), sized("b", 2, 8, 20))
    await made.provision("t1/p1", placement(old))
    other = mapped(vnode("x", "h1", 2000), reservation_id="r0")
    await made.provision("t0/p1", placement(other))
    if restarted:
        made = Embedder(made.hosts, made.fabric)
        made.stands_by("t1/p1", placement(old))
    # It is placed on more than the host has: who places VNodes may err.
    new = mapped(sized("a", 5, 2, 20), sized("b", 6, 7, 20), version=2)
    with pytest.raises(DeviceError, match=r"r1:\w needs"):
        await made.provision("t2/p1", placement(new))
    assert amounts(made) == {"a": (4, 4, 20), "b": (2, 8, 20), "x": (2, 1, 10)}


async def test_a_host_that_fails_takes_nothing_from_what_runs() -> None:
    made = embedder()
    for number, some in enumerate((sized("a", 1, 1, 10), sized("a", 4, 8, 20)), 1):
        both = mapped(some, vnode("b", "h1", 1000), version=number)
        await made.provision(f"t{number}/p1", placement(both))
    memory(made).broken["h1"] = "no power"
    with pytest.raises(DeviceError, match="no power"):
        await made.provision("t2/p1", placement(both))
    memory(made).broken.clear()
    assert amounts(made) == {"a": (4, 8, 20), "b": (1, 1, 10)}


@pytest.mark.parametrize("host", ["h1", "h3"])
async def test_a_host_that_refuses_is_tried_again(host: str) -> None:
    made = embedder()
    memory(made).broken[host] = "no power"
    with pytest.raises(DeviceError, match=f"host {host}: no power"):
        await made.provision("t1/p1", placement(PAIR))
    memory(made).broken.clear()
    await made.provision("t1/p1", placement(PAIR))
    memory(made).broken[host] = "no power"
    with pytest.raises(DeviceError, match="no power"):
        await made.withdraw("t1/p1", placement(PAIR))
    memory(made).broken.clear()
    await made.withdraw("t1/p1", placement(PAIR))
    assert await on(made) == {"h1": {}, "h2": {}, "h3": {}}
    assert empty(made)


async def test_another_life_finds_what_hosts_have_and_moves_it_to_where_it_should_be() -> None:
    """As with hosts that outlive the agent: the second embedder is given the first one's hosts."""
    clock = ManualClock()
    first = embedder(clock)
    await first.provision("t1/p1", placement(PAIR))
    clock.time_ms += 7000
    second = Embedder(first.hosts, first.fabric)
    await second.provision(
        "t1/p1", placement(replace(PAIR, vnodes=(vnode("a", "h2"), vnode("b", "h3")), vlinks=()))
    )
    assert await on(second) == {"h1": {}, "h2": {"r1:a": "running"}, "h3": {"r1:b": "running"}}
    console = await second.console(VNodeName("r1", "a"))
    await shown(console, "$ ")
    assert await said(console, "uptime") == "up 7.0 s"
    third = Embedder(first.hosts, first.fabric)
    await third.withdraw("t1/p1", placement(PAIR))
    assert await on(third) == {"h1": {}, "h2": {}, "h3": {}}


async def test_what_an_ended_move_left_on_two_hosts_is_on_one_again() -> None:
    made = embedder()
    plugin = memory(made)
    await made.provision("t1/p1", placement(PAIR))
    await plugin.ensure("h2", plugin._vnodes["h1"][VNodeName("r1", "a")].spec)
    again = Embedder(made.hosts, made.fabric)
    await again.provision("t1/p1", placement(PAIR))
    assert (await on(again))["h2"] == {}


KINDS = {"/node/host": "memory", "/node/host/xen": "memory"}


async def test_between_hosts_of_two_plugins_it_is_begun_anew_and_then_removed() -> None:
    hosts = (HOSTS[0], replace(HOSTS[1], attribute="/node/host/xen/pv"), HOSTS[2])
    made = open_embedder(hosts, SWITCHES, WIRING, HostingSettings(plugins=dict(KINDS)))
    assert made.hosts.plugin("h1") is made.hosts.plugin("h3")
    assert made.hosts.plugin("h1") is not made.hosts.plugin("h2")
    await made.provision("t1/p1", placement(mapped(vnode("a", "h1"))))
    await made.provision("t2/p1", placement(mapped(vnode("a", "h2"), version=2)))
    await made.withdraw("t1/p1", placement(mapped(vnode("a", "h1"))))
    assert await on(made) == {"h1": {}, "h2": {"r1:a": "running"}, "h3": {}}


# --- Any sequence -------------------------------------------------------------------------------

VERSIONS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abc"), st.sampled_from(["h1", "h2", "h3"]), max_size=3),
        st.sets(st.sampled_from("abc")),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=6,
)


@given(VERSIONS, st.data())
@settings(max_examples=60)
def test_what_runs_is_what_the_placements_in_force_say(
    versions: list[tuple[dict[str, str], set[str], int]], data: st.DataObject
) -> None:
    """Versions come and go in any order, hosts fail amid it, and the agent starts again."""

    async def run() -> None:
        made = embedder()
        live: dict[str, Mapped] = {}
        for number, (hosts, off, kind) in enumerate(versions):
            names = sorted(hosts)
            vlinks = tuple((one, other, 100 + i) for i, (one, other) in enumerate(pairwise(names)))
            version = mapped(
                *(vnode(name, hosts[name]) for name in names),
                vlinks=vlinks,
                version=number,
                off=tuple(sorted(off & set(names))),
            )
            key = f"t{number}/p1"
            if kind == 1:
                memory(made).broken[data.draw(st.sampled_from(["h1", "h2", "h3"]))] = "down"
                with suppress(DeviceError):
                    await made.provision(key, placement(version))
                memory(made).broken.clear()
            elif kind == 2:
                made = Embedder(made.hosts, made.fabric)
            await _settled(made, key, version, live)
            live[key] = version
            for old in data.draw(st.lists(st.sampled_from(sorted(live)), unique=True)):
                if old != key:
                    await made.withdraw(old, placement(live.pop(old)))
            await _holds(made, list(live.values()))
        for key, version in live.items():
            await made.withdraw(key, placement(version))
        assert await on(made) == {"h1": {}, "h2": {}, "h3": {}}
        assert empty(made)

    asyncio.run(run())


async def _settled(made: Embedder, key: str, version: Mapped, live: dict[str, Mapped]) -> None:
    """As the provisioner does it: what is in the way is withdrawn."""
    try:
        await made.provision(key, placement(version))
    except DeviceError:
        for old in list(live):
            await made.withdraw(old, placement(live.pop(old)))
        await made.provision(key, placement(version))


async def _holds(made: Embedder, live: list[Mapped]) -> None:
    newest = live[-1]
    found = await on(made)
    for v in newest.vnodes:
        expected = "stopped" if v.id in newest.off else "running"
        assert found[v.host].get(f"r1:{v.id}") == expected
    everywhere = [name for host in found.values() for name in host]
    assert len(everywhere) == len(set(everywhere)), "nothing is on two hosts"
    assert set(everywhere) >= {f"r1:{v.id}" for v in newest.vnodes}
    for vlink in newest.vlinks:
        a, b = (newest.vnode(end) for end in vlink.ends)
        assert a is not None
        assert b is not None
        assert made.fabric.trace(a.host, frame(a.id, vlink.vlan)) == (
            b.host,
            frame(b.id, vlink.vlan),
        )


# --- Frames -------------------------------------------------------------------------------------


async def test_a_frame_reaches_the_other_end_of_its_vlink_and_nothing_else() -> None:
    made = embedder()
    star = mapped(
        vnode("a", "h1"), vnode("b", "h3"), vnode("c", "h1"),
        vlinks=(("a", "b", 100), ("a", "c", 101)),
    )  # fmt: skip
    other = mapped(
        vnode("a", "h1"), vnode("b", "h3"), vlinks=(("a", "b", 102),), reservation_id="r2"
    )
    await made.provision("t1/p1", placement(star))
    await made.provision("t2/p1", placement(other))
    trace = made.fabric.trace
    assert trace("h1", frame("a", 100)) == ("h3", frame("b", 100))
    assert trace("h3", frame("b", 100)) == ("h1", frame("a", 100))
    assert trace("h1", frame("a", 101)) == ("h1", frame("c", 101))
    assert trace("h1", frame("a", 102, "r2")) == ("h3", frame("b", 102, "r2"))
    for wrong in (frame("a", 102), frame("c", 100), frame("a", 100, "r2"), frame("z", 100)):
        assert trace("h1", wrong) is None


async def test_a_vlink_that_leaves_has_its_outer_vlan_at_the_port() -> None:
    made = embedder()
    leaving = mapped(vnode("a", "h1"), vlinks=(("a", OUT, 100),))
    await made.provision("t1/p1", placement(leaving))
    assert made.fabric.trace("h1", frame("a", 100)) == ("s2", replace(frame("a", 1100), port=OUT))
    coming = replace(frame("a", 1100), port=OUT)
    assert made.fabric.trace("s2", coming) == ("h1", frame("a", 100))
    assert made.fabric.trace("s2", replace(coming, vlan=100)) is None
    await made.withdraw("t1/p1", placement(leaving))
    assert empty(made)


async def test_a_vlan_that_two_vlinks_have_at_one_port_is_refused() -> None:
    made = embedder()
    await made.provision("t1/p1", placement(PAIR))
    with pytest.raises(DeviceError, match=r"rule .* of r2 meets .* of r1"):
        await made.provision("t2/p1", placement(replace(PAIR, reservation_id="r2")))


@pytest.mark.parametrize(
    ("links", "ends", "reason"),
    [
        (("h2-s1",), ("a", "b"), "VLink l: link h2-s1 does not lead on from h1"),
        (("h1-s1",), ("a", "b"), "VLink l: its links lead to s1, not to h3"),
        ((), ("a", CLOUD), f"VLink l: ends at {CLOUD}, which is neither a VNode here nor a port"),
    ],
)
async def test_a_way_that_does_not_lead_there_is_refused_and_told(
    links: tuple[str, ...], ends: tuple[str, str], reason: str
) -> None:
    made = embedder()
    wrong = replace(PAIR, vlinks=(MappedVLink("l", 100, 1, ends, links),))
    with pytest.raises(DeviceError, match=reason):
        await made.provision("t1/p1", placement(wrong))
    assert made.rules(placement(wrong))[-1] == reason


async def test_the_rules_of_a_placement_are_readable() -> None:
    lines = embedder().rules(placement(replace(PAIR, off=("b",))))
    assert lines[0] == f"a on h1: 1000 mcores, {GIB} bytes of memory, {10 * GIB} of disk"
    assert lines[1].endswith(", off")
    assert "s1: in h1-s1 vlan 100 -> out s1-s2 vlan 100" in lines
    assert len(lines) == 2 + 2 * len(
        {n for link in ("h1-s1", "s1-s2", "h3-s2") for n in LINKS[link]}
    )


# --- Images -------------------------------------------------------------------------------------


async def test_what_was_prepared_is_found_and_the_longest_unused_makes_way() -> None:
    made = embedder(settings=HostingSettings(images_max=2))
    soon = [mapped(vnode(n, "h1", image=f"image-{n}"), reservation_id=f"r-{n}") for n in "abc"]
    await made.prepare(map(placement, soon))
    assert made.images.ready() == (("h1", "image-a"), ("h1", "image-b"))
    await made.provision("ta/p1", placement(soon[0]))
    assert (made.images.hits, made.images.misses) == (1, 0)
    await made.prepare([placement(soon[2])])
    assert made.images.ready() == (("h1", "image-a"), ("h1", "image-c"))
    await made.provision("tb/p1", placement(soon[1]))
    assert (made.images.hits, made.images.misses) == (1, 1)


async def test_an_image_that_cannot_be_prepared_now_stops_nothing() -> None:
    made = embedder()
    memory(made).broken["h1"] = "no power"
    both = mapped(vnode("a", "h1", image="x"), vnode("b", "h2", image="x"))
    await made.prepare([placement(both)])
    assert made.images.ready() == (("h2", "x"),)


# --- Plugins ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plugins", "reason"),
    [
        (
            {"/node/host/xen": "memory"},
            "host h1 is /node/host/kvm; there are plugins for: /node/host/xen",
        ),
        (
            {"/node/host": "vmware"},
            "given 'vmware', possible: memory, libvirt, package.module:factory",
        ),
        ({"/node/host": "nowhere.to:be"}, "nowhere.to:be cannot be loaded"),
        ({"/node/host": "agents.turns:__doc__"}, "cannot be called"),
        ({"/node/host": {"plugin": "memory", "image_s": -1}}, "image_s"),
    ],
)
def test_a_plugin_that_cannot_be_is_told(plugins: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        embedder(settings=HostingSettings(plugins=plugins))


@pytest.mark.parametrize("wrong", [{"node": "memory"}, {"/link/x": "memory"}, {"/node": {"x": 1}}])
def test_settings_of_plugins_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="plugins"):
        validate(HostingSettings, {"plugins": wrong}, "test")


def test_the_longest_attribute_wins_level_by_level() -> None:
    made = open_embedder(
        [HostSpec("h1", "/node/host/xenon", 1, 1, 1), HostSpec("h2", "/node/host/xen", 1, 1, 1)],
        {},
        WIRING,
        HostingSettings(plugins=dict(KINDS)),
    )
    assert made.hosts.plugin("h1") is not made.hosts.plugin("h2")


# --- A third party's ----------------------------------------------------------------------------


@pytest.fixture
def documented(tmp_path: Path) -> Iterator[Embedder]:
    """With the plugin of docs/backends.md, as a module of its own."""
    text = (Path(__file__).parents[2] / "docs" / "backends.md").read_text()
    code = next(c for c in re.findall(r"```python\n(.*?)```", text, re.S) if "class Jails" in c)
    (tmp_path / "myjails.py").write_text(code)
    sys.path.insert(0, str(tmp_path))
    chosen = {"plugin": "myjails:make", "folder": str(tmp_path / "hosts")}
    try:
        yield embedder(settings=HostingSettings(plugins={"/node/host/kvm": chosen}))
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("myjails", None)


async def test_the_documented_plugin_does_what_a_plugin_must(documented: Embedder) -> None:
    await check_hosts(documented.hosts.plugin("h1"), "h1", "h2")


async def test_the_documented_plugin_has_what_placements_say(documented: Embedder) -> None:
    await documented.provision("t1/p1", placement(PAIR))
    new = replace(PAIR, version=2, vnodes=(vnode("a", "h2"), vnode("b", "h3")), vlinks=())
    again = Embedder(documented.hosts, documented.fabric)
    await again.provision("t2/p1", placement(new))
    await again.withdraw("t1/p1", placement(PAIR))
    assert await on(again) == {"h1": {}, "h2": {"r1:a": "running"}, "h3": {"r1:b": "running"}}
    await again.withdraw("t2/p1", placement(new))
    assert await on(again) == {"h1": {}, "h2": {}, "h3": {}}


async def test_hosts_in_memory_do_what_a_plugin_must() -> None:
    await check_hosts(embedder().hosts.plugin("h1"), "h1", "h3", "debian")


# --- What nobody knows of -------------------------------------------------------------------------


def next_life(of: Embedder) -> Embedder:
    """After the agent has ended, where hosts and switches go on."""
    return Embedder(of.hosts, Fabric(of.fabric.switches, of.fabric.wiring))


async def test_vnodes_of_which_nobody_knows_are_swept_away_with_their_vlinks() -> None:
    before = embedder()
    await before.provision("t1/p1", placement(PAIR))
    await before.provision("t2/p2", placement(mapped(vnode("a", "h2"), reservation_id="r2")))
    after = next_life(before)
    assert await after.sweep({"r1": (), "r2": ("a",)}.__getitem__)
    assert await on(after) == {"h1": {}, "h2": {"r2:a": "running"}, "h3": {}}
    assert empty(after)


async def test_a_sweep_leaves_what_is_provisioned_and_what_is_to_be() -> None:
    before = embedder()
    old = mapped(
        vnode("a", "h1"), vnode("b", "h3"), vnode("c", "h2"),
        vlinks=(("a", "b", 100), ("b", "c", 101)),
    )  # fmt: skip
    await before.provision("t1/p1", placement(old))
    after = next_life(before)
    assert await after.sweep(lambda _: ("a", "b", "c"))
    assert len(running_of(await on(after))) == 3
    await after.provision("t1/p1", placement(PAIR))
    assert await after.sweep(lambda _: ())
    assert await on(after) == {"h1": {"r1:a": "running"}, "h2": {}, "h3": {"r1:b": "running"}}
    assert after.fabric.trace("h1", frame("a", 100)) is not None
    assert after.fabric.trace("h2", frame("c", 101)) is None


async def test_while_nobody_can_tell_nothing_is_swept() -> None:
    made = embedder()
    await made.provision("t1/p1", placement(PAIR))
    after = next_life(made)
    assert await after.sweep(lambda _: None)
    assert len(running_of(await on(after))) == 2


async def test_a_host_that_does_not_answer_is_swept_another_time() -> None:
    before = embedder()
    await before.provision("t1/p1", placement(PAIR))
    after = next_life(before)
    memory(after).broken["h3"] = "down"
    assert not await after.sweep(lambda _: ())
    memory(after).broken.clear()
    assert await on(after) == {"h1": {}, "h2": {}, "h3": {"r1:b": "running"}}
    assert await after.sweep(lambda _: ())
    assert running_of(await on(after)) == []


def running_of(found: dict[str, dict[str, str]]) -> list[str]:
    return [name for vnodes in found.values() for name in vnodes]


@pytest.mark.parametrize("order", [1, -1])
async def test_those_that_must_wait_for_others_to_leave_come_after_them(order: int) -> None:
    made = embedder()
    before = mapped(vnode("a", "h1", 8000), vnode("b", "h2", 7000), vnode("c", "h3", 1000))
    await made.provision("t1/p1", placement(before))
    after = (vnode("c", "h1", 1000), vnode("a", "h2", 8000), vnode("b", "h3", 7000))
    await made.provision("t2/p1", placement(mapped(*after[::order], version=2)))
    assert await on(made) == {
        "h1": {"r1:c": "running"},
        "h2": {"r1:a": "running"},
        "h3": {"r1:b": "running"},
    }


async def test_those_that_are_in_the_way_of_one_another_are_told() -> None:
    made = embedder()
    await made.provision("t1/p1", placement(mapped(vnode("a", "h1", 8000), vnode("b", "h2", 8000))))
    swapped = mapped(vnode("a", "h2", 8000), vnode("b", "h1", 8000), version=2)
    with pytest.raises(DeviceError, match="host h2 has 0 mcores free"):
        await made.provision("t2/p1", placement(swapped))
