"""Hosts in memory: the state machine, capacity, consoles, and machines that move as they run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import product

import pytest
from agent_world import ManualClock
from cloud_site import GIB, HOSTS
from hypothesis import given, strategies as st

from agents.backends.base import DeviceError
from agents.backends.hosts.conformance import check_carrying
from agents.backends.hosts.guest import LINE_MAX, Terminal
from agents.backends.hosts.memory import TRANSITIONS, Event, MemoryHosts
from agents.backends.hosts.port import (
    CONSOLE_CHUNK_BYTES,
    Carried,
    Console,
    NeverError,
    Nic,
    PowerState,
    VNodeName,
    VNodeSpec,
)
from substrate.values import replace

WEB = VNodeName("r1", "web")
NOTHING = "$ "
"""What is said after a line that is not answered."""


def spec(vnode: str = "web", mcores: int = 1500, image: str = "debian") -> VNodeSpec:
    return VNodeSpec(VNodeName("r1", vnode), mcores, 4 * GIB, 20 * GIB, image, (Nic("l1", 100),))


def hosts(image_s: float = 0.0) -> tuple[MemoryHosts, ManualClock]:
    clock = ManualClock()
    return MemoryHosts(HOSTS, clock, image_s), clock


async def state(of: MemoryHosts, host: str = "h1", name: VNodeName = WEB) -> str:
    return (await of.condition(host, name)).state.value


async def running() -> tuple[MemoryHosts, ManualClock]:
    found, clock = hosts()
    await found.ensure("h1", spec())
    await found.start("h1", WEB)
    return found, clock


async def shown(console: Console, until: str) -> str:
    """What the console shows, until it has shown that."""
    text = ""
    async with asyncio.timeout(60):
        while until not in text:
            data = await console.read()
            assert data, f"the stream has ended after {text!r}"
            text += data.decode()
    return text


async def said(console: Console, line: str) -> str:
    """The answer to a line, without its echo and the prompt."""
    await console.write(line.encode() + b"\r")
    text = await shown(console, "\r\n$ ")
    return text.partition("\r\n")[2].removesuffix("\r\n$ ")


# --- Disks --------------------------------------------------------------------------------------


async def test_what_is_written_is_read_after_it_was_stopped_and_listed() -> None:
    found, _ = await running()
    console = await found.console("h1", WEB)
    await shown(console, "$ ")
    assert await said(console, "read diary") == "diary: no such file"
    assert await said(console, "write diary it rains, again") == NOTHING
    assert await said(console, "write empty") == NOTHING
    assert await said(console, "write") == "write what? possible: write NAME TEXT"
    await found.cycle("h1", WEB)
    await found.stop("h1", WEB)
    await found.start("h1", WEB)
    console = await found.console("h1", WEB)
    await shown(console, "$ ")
    assert await said(console, "ls") == "diary\r\nempty"
    assert await said(console, "read diary") == "it rains, again"
    await found.migrate("h1", "h2", spec())
    assert await said(console, "read diary") == "it rains, again"


async def test_a_disk_takes_no_more_than_it_has() -> None:
    found, _ = hosts()
    await found.ensure("h1", replace(spec(), disk_bytes=20))
    await found.start("h1", WEB)
    console = await found.console("h1", WEB)
    await shown(console, "$ ")
    assert await said(console, "write diary 012345678901234") == NOTHING
    assert await said(console, "write other x") == "other: the disk is full"
    assert await said(console, "write diary 0") == NOTHING
    assert await said(console, "write other x") == NOTHING


async def test_what_is_carried_is_what_a_disk_has_and_fits() -> None:
    await check_carrying(hosts()[0], "h1", "h2", "debian")
    found, _ = await running()
    with pytest.raises(DeviceError, match="only what is stopped is exported"):
        await found.export("h1", WEB)
    await found.stop("h1", WEB)
    with pytest.raises(DeviceError, match="is not on host h2"):
        await found.export("h2", WEB)

    async def large() -> AsyncIterator[bytes]:
        yield b'{"diary": "it rains"}'

    small = replace(spec(), disk_bytes=12)
    with pytest.raises(NeverError, match="brings 13 bytes, its disk has 12"):
        await found.import_("h2", small, Carried("memory/1", large()))
    assert await state(found, "h2") == "gone"
    await found.import_("h2", spec(), Carried("memory/1", large()))
    await found.start("h2", WEB)
    with pytest.raises(DeviceError, match="only what is stopped is replaced"):
        await found.import_("h2", spec(), Carried("memory/1", large()))
    console = await found.console("h2", WEB)
    await shown(console, "$ ")
    assert await said(console, "read diary") == "it rains"


# --- States -------------------------------------------------------------------------------------


def test_what_is_gone_can_only_be_defined_and_everything_can_be_removed() -> None:
    assert {e for s, e in TRANSITIONS if s is PowerState.GONE} == {Event.DEFINE, Event.REMOVE}
    for s in PowerState:
        assert TRANSITIONS[s, Event.REMOVE] is PowerState.GONE


def test_every_state_is_reached_and_left() -> None:
    reached = {PowerState.GONE}
    for _ in PowerState:
        reached |= {after for (s, _), after in TRANSITIONS.items() if s in reached}
    assert reached == set(PowerState)


async def test_the_states_of_a_vnode_as_it_is_made_used_and_removed() -> None:
    found, _ = hosts()
    assert await state(found) == "gone"
    await found.ensure("h1", spec())
    assert await state(found) == "stopped"
    await found.start("h1", WEB)
    assert await state(found) == "running"
    await found.stop("h1", WEB)
    assert await state(found) == "stopped"
    await found.cycle("h1", WEB)
    assert await state(found) == "running"
    await found.remove("h1", WEB)
    assert await state(found) == "gone"


async def test_it_is_preparing_while_its_image_is_copied_and_what_is_prepared_is_not_copied() -> (
    None
):
    found, _ = hosts(image_s=30)
    task = asyncio.create_task(found.ensure("h1", spec()))
    await asyncio.sleep(0)
    assert await state(found) == "preparing"
    with pytest.raises(DeviceError, match="r1:web is preparing and cannot start"):
        await found.start("h1", WEB)
    task.cancel()
    quick, _ = hosts(image_s=0.01)
    await quick.prepare("h1", "debian")
    quick._image_s = 3600
    await asyncio.wait_for(quick.ensure("h1", spec()), 60)
    assert await state(quick) == "stopped"


async def test_a_host_that_fails_amid_the_copy_leaves_a_failed_vnode_that_can_be_made_again() -> (
    None
):
    found, _ = hosts(image_s=0.01)
    task = asyncio.create_task(found.ensure("h1", spec()))
    await asyncio.sleep(0)
    found.broken["h1"] = "no power"
    with pytest.raises(DeviceError, match="host h1: no power"):
        await task
    found.broken.clear()
    condition = await found.condition("h1", WEB)
    assert (condition.state, condition.reason) == (PowerState.FAILED, "host h1: no power")
    await found.ensure("h1", spec())
    assert await state(found) == "stopped"


@pytest.mark.parametrize("times", [1, 3])
async def test_all_operations_are_idempotent(times: int) -> None:
    found, clock = hosts()
    for _ in range(times):
        await found.prepare("h1", "debian")
        await found.ensure("h1", spec())
    for _ in range(times):
        await found.start("h1", WEB)
    clock.time_ms += 5000
    for _ in range(times):
        await found.start("h1", WEB)
    for _ in range(times):
        await found.migrate("h1", "h2", spec())
    console = await found.console("h2", WEB)
    await shown(console, "$ ")
    assert await said(console, "uptime") == "up 5.0 s"
    for _ in range(times):
        await found.stop("h2", WEB)
    for _ in range(times):
        await found.remove("h2", WEB)
        await found.discard("h1", "debian")
    assert [await found.found(host.name) for host in HOSTS] == [{}, {}, {}]


async def test_what_is_not_there_and_hosts_that_are_not_are_refused_plainly() -> None:
    found, _ = hosts()
    with pytest.raises(DeviceError, match="r1:web is not on host h1"):
        await found.start("h1", WEB)
    with pytest.raises(DeviceError, match="there is no host h9; there are: h1, h2, h3"):
        await found.ensure("h9", spec())


# --- Capacity -----------------------------------------------------------------------------------


async def test_a_host_refuses_what_it_has_no_room_for_and_keeps_what_it_has() -> None:
    found, _ = hosts()
    await found.ensure("h1", spec("a", mcores=5000))
    with pytest.raises(DeviceError, match=r"host h1 has 3000 mcores free, r1:b needs 4000"):
        await found.ensure("h1", spec("b", mcores=4000))
    with pytest.raises(DeviceError, match=r"h1 has 8000 mcores free, r1:a needs 9000"):
        await found.ensure("h1", spec("a", mcores=9000))
    await found.ensure("h2", spec("b", mcores=4000))
    with pytest.raises(DeviceError, match="r1:b needs 4000"):
        await found.migrate("h2", "h1", spec("b", mcores=4000))
    assert await state(found, "h2", VNodeName("r1", "b")) == "stopped"
    assert list(await found.found("h1")) == [VNodeName("r1", "a")]


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9000), st.booleans()), max_size=12)
)
def test_no_sequence_fills_a_host_beyond_what_it_has(steps: list[tuple[str, int, bool]]) -> None:
    async def run() -> None:
        found, _ = hosts()
        for vnode, mcores, there in steps:
            try:
                if there:
                    await found.ensure("h1", spec(vnode, mcores))
                else:
                    await found.remove("h1", VNodeName("r1", vnode))
            except DeviceError:
                pass
            assert sum(v.spec.mcores for v in found._vnodes["h1"].values()) <= HOSTS[0].mcores

    asyncio.run(run())


# --- Consoles -----------------------------------------------------------------------------------


async def test_the_banner_names_vnode_image_and_what_it_has() -> None:
    found, _ = await running()
    text = await shown(await found.console("h1", WEB), "$ ")
    assert text == ("web (debian) of r1\r\n1.5 cores, 4 GiB of memory, 20 GiB of disk\r\n$ ")


async def test_it_answers_from_what_the_vnode_is_now() -> None:
    found, clock = await running()
    console = await found.console("h1", WEB)
    await shown(console, "$ ")
    clock.time_ms += 12_300
    assert await said(console, "uptime") == "up 12.3 s"
    assert await said(console, "id") == "r1:web"
    assert await said(console, "echo one  two") == "one  two"
    assert await said(console, "ip") == "l1 vlan 100"
    await found.ensure("h1", spec(mcores=3000))
    assert (await said(console, "free")).startswith("3 cores")
    assert "possible: count, echo, free, get" in await said(console, "rm -rf /")


@pytest.mark.parametrize("end", ["stop", "remove", "cycle", "poweroff", "panic the disk"])
async def test_the_stream_ends_when_what_runs_in_the_vnode_does(end: str) -> None:
    found, clock = await running()
    console = await found.console("h1", WEB)
    if end in ("stop", "remove", "cycle"):
        await getattr(found, end)("h1", WEB)
    else:
        await console.write(f"{end}\n".encode())
    async with asyncio.timeout(60):
        while await console.read():
            pass
    await console.write(b"id\r")
    assert await console.read() == b""
    after = {"remove": "gone", "cycle": "running", "panic the disk": "failed"}.get(end, "stopped")
    condition = await found.condition("h1", WEB)
    assert condition.state.value == after
    assert condition.reason == ("kernel panic: the disk" if after == "failed" else "")
    if after == "failed":
        clock.time_ms += 1000
        await found.cycle("h1", WEB)
        assert await state(found) == "running"


async def test_only_what_runs_has_a_console() -> None:
    found, _ = hosts()
    await found.ensure("h1", spec())
    with pytest.raises(DeviceError, match="r1:web is stopped: only what runs has a console"):
        await found.console("h1", WEB)


async def test_it_migrates_as_it_runs_with_its_consoles_open() -> None:
    found, clock = await running()
    console = await found.console("h1", WEB)
    await shown(console, "$ ")
    clock.time_ms += 60_000
    await found.migrate("h1", "h3", spec())
    assert (await state(found, "h1"), await state(found, "h3")) == ("gone", "running")
    clock.time_ms += 1_000
    assert await said(console, "uptime") == "up 61.0 s"
    await console.close()
    assert await console.read() == b""


async def test_who_types_waits_while_nobody_reads() -> None:
    found, _ = await running()
    console = await found.console("h1", WEB)
    typing = asyncio.create_task(console.write(b"free\r" * 20_000))
    await asyncio.sleep(0.05)
    assert not typing.done()
    async with asyncio.timeout(60):
        while not typing.done():
            data = await console.read()
            assert 0 < len(data) <= CONSOLE_CHUNK_BYTES
            await asyncio.sleep(0)


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_lines_do_not_depend_on_how_bytes_come(pieces: list[bytes]) -> None:
    whole, split = Terminal(), Terminal()
    lines = [x for x in whole.typed(b"".join(pieces).replace(b"\n", b"")) if isinstance(x, str)]
    found = [x for p in pieces for x in split.typed(p.replace(b"\n", b"")) if isinstance(x, str)]
    assert lines == found


def test_a_terminal_takes_every_end_of_line_and_corrects_and_cuts() -> None:
    lines = [x for x in Terminal().typed(b"a\r\nb\nc\r") if isinstance(x, str)]
    assert lines == ["a", "b", "c"]
    assert "ab" in Terminal().typed(b"ax\x7fb\r")
    assert "y" * LINE_MAX in Terminal().typed(b"y" * 9999 + b"\r")


@pytest.mark.parametrize(("power", "event"), list(product(PowerState, Event)))
def test_the_table_says_of_each_event_in_each_state_what_follows_or_nothing(
    power: PowerState, event: Event
) -> None:
    after = TRANSITIONS.get((power, event))
    if event is Event.START:
        starts = (PowerState.STOPPED, PowerState.PAUSED, PowerState.RUNNING)
        assert (after is PowerState.RUNNING) == (power in starts)
    if after is PowerState.PAUSED:
        assert (event, power in (PowerState.RUNNING, PowerState.PAUSED)) == (Event.PAUSE, True)
    if after is PowerState.RUNNING:
        assert event in (Event.START, Event.CYCLE)
    if after is PowerState.FAILED:
        assert (power, event) in (
            (PowerState.PREPARING, Event.FAIL),
            (PowerState.RUNNING, Event.FAIL),
        )
