"""Hosts in memory: copies of VNodes that run, and what is made of them at another host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from agent_world import ManualClock
from hypothesis import given, strategies as st
from test_agents_hosts_memory import NOTHING, WEB, hosts, running, said, shown, spec, state

from agents.backends.base import DeviceError
from agents.backends.hosts.conformance import check_live
from agents.backends.hosts.memory import MemoryHosts
from agents.backends.hosts.memory_state import (
    COPIES,
    State,
    added,
    difference,
    in_pieces,
    mark_of,
)
from agents.backends.hosts.port import Console, Copy, NeverError
from substrate.values import replace

TEXTS = st.dictionaries(st.sampled_from("abcd"), st.text(max_size=5), max_size=4)
STATES = st.builds(
    State, TEXTS, st.one_of(st.none(), TEXTS), st.integers(0, 9), st.integers(0, 9)
).map(lambda s: s if s.runs else State(s.files))


async def opened(found: MemoryHosts, host: str = "h1") -> Console:
    console = await found.console(host, WEB)
    await shown(console, "$ ")
    return console


async def size(copy: Copy) -> int:
    return sum([len(piece) async for piece in copy.data])


async def moved(found: MemoryHosts, since: str = "") -> None:
    """The last copy, and what is made of it."""
    await found.pause("h1", WEB)
    await found.keep("h2", spec(), await found.copy("h1", WEB, since))
    await found.make("h2", spec())


async def test_hosts_in_memory_can_carry_what_runs() -> None:
    await check_live(hosts()[0], "h1", "h2", "debian")


async def test_what_ran_goes_on_with_its_disk_memory_and_time() -> None:
    found, clock = await running()
    console = await opened(found)
    await said(console, "write diary it rains")
    assert await said(console, "set mood good") == NOTHING
    clock.time_ms += 12_300
    await moved(found)
    clock.time_ms += 60_000
    await found.start("h2", WEB)
    clock.time_ms += 700
    there = await opened(found, "h2")
    assert await said(there, "uptime") == "up 13.0 s"
    assert await said(there, "read diary") == "it rains"
    assert await said(there, "get mood") == "good"
    # One more than before it went, and these three.
    assert await said(there, "count") == "6"
    await found.cycle("h2", WEB)
    anew = await opened(found, "h2")
    assert await said(anew, "get mood") == "mood: not set"
    assert await said(anew, "read diary") == "it rains"


async def test_what_is_written_between_copies_arrives_and_only_that_is_copied() -> None:
    found, _ = await running()
    console = await opened(found)
    for i in range(20):
        await said(console, f"write file{i} {'x' * 500}")
    first = await found.copy("h1", WEB, "")
    await found.keep("h2", spec(), first)
    await said(console, "write file3 other")
    await said(console, "set mood good")
    second = await found.copy("h1", WEB, await found.kept("h2", WEB))
    assert second.since == first.mark
    data = b"".join([piece async for piece in second.data])
    assert json.loads(data)["files"] == {"file3": "other"}
    await found.keep("h2", spec(), replace(second, data=in_pieces(data)))
    await said(console, "write file4 late")
    await moved(found, second.mark)
    await found.start("h2", WEB)
    there = await opened(found, "h2")
    for name, text in (("file3", "other"), ("file4", "late"), ("file5", "x" * 500)):
        assert await said(there, f"read {name}") == text
    assert await said(there, "get mood") == "good"


async def test_who_lost_a_copy_gets_all_of_it() -> None:
    found, _ = await running()
    console = await opened(found)
    await said(console, f"write diary {'x' * 900}")
    first = await found.copy("h1", WEB, "")
    assert await size(first) > 900
    assert await size(await found.copy("h1", WEB, first.mark)) < 200
    for since in ("", "of another"):
        assert await size(await found.copy("h1", WEB, since)) > 900
    # Only the last copy is known.
    await said(console, "write other x")
    await found.copy("h1", WEB, "")
    assert (await found.copy("h1", WEB, first.mark)).since == ""


async def test_a_paused_one_says_nothing_until_it_goes_on_and_loses_no_line() -> None:
    found, clock = await running()
    console = await opened(found)
    for _ in range(2):
        await found.pause("h1", WEB)
    assert await state(found) == "paused"
    typing = asyncio.create_task(console.write(b"uptime\r"))
    clock.time_ms += 5_000
    await asyncio.sleep(0)
    assert not typing.done()
    with pytest.raises(DeviceError, match="paused: only what runs has a console"):
        await found.console("h1", WEB)
    await found.start("h1", WEB)
    await typing
    assert "up 0.0 s" in await shown(console, "\r\n$ ")


@pytest.mark.parametrize("end", ["stop", "cycle", "remove"])
async def test_a_paused_one_can_be_ended_as_one_that_runs(end: str) -> None:
    found, clock = await running()
    console = await opened(found)
    await said(console, "set mood good")
    await found.pause("h1", WEB)
    typing = asyncio.create_task(console.write(b"get mood\r"))
    await getattr(found, end)("h1", WEB)
    await typing
    after = {"stop": "stopped", "cycle": "running", "remove": "gone"}[end]
    assert await state(found) == after
    clock.time_ms += 100
    if end == "cycle":
        again = await opened(found)
        assert await said(again, "get mood") == "mood: not set"
        assert await said(again, "uptime") == "up 0.1 s"


async def test_what_does_not_run_is_copied_without_memory_and_made_stopped() -> None:
    found, _ = await running()
    console = await opened(found)
    await said(console, "write diary it rains")
    await console.write(b"panic the disk\r")
    assert await state(found) == "failed"
    copy = await found.copy("h1", WEB, "")
    assert not copy.memory
    await found.keep("h2", spec(), copy)
    await found.make("h2", spec())
    assert await state(found, "h2") == "stopped"
    await found.start("h2", WEB)
    assert await said(await opened(found, "h2"), "read diary") == "it rains"


async def test_only_what_does_not_run_is_replaced() -> None:
    found, _ = await running()
    await moved(found)
    await found.start("h2", WEB)
    await found.keep("h2", spec(), await found.copy("h1", WEB, ""))
    with pytest.raises(DeviceError, match="only what is stopped is replaced"):
        await found.make("h2", spec())
    assert await state(found, "h2") == "running"


async def test_what_breaks_off_or_is_not_what_its_mark_says_leaves_what_was_kept() -> None:
    found, _ = await running()
    first = await found.copy("h1", WEB, "")
    await found.keep("h2", spec(), first)

    async def broken() -> AsyncIterator[bytes]:
        yield b'{"files": '
        raise DeviceError("the line broke")

    with pytest.raises(DeviceError, match="the line broke"):
        await found.keep("h2", spec(), Copy(COPIES, "m", "", True, broken()))
    other = await found.copy("h1", WEB, "")
    with pytest.raises(DeviceError, match="not what its mark says"):
        await found.keep("h2", spec(), replace(other, mark="another"))
    found.broken["h2"] = "on fire"
    with pytest.raises(DeviceError, match="on fire"):
        await found.keep("h2", spec(), await found.copy("h1", WEB, ""))
    found.broken.clear()
    assert await found.kept("h2", WEB) == first.mark


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"[]", "texts by name"),
        (b"{", "brings no memory-live/1"),
        (b'{"files": {"a": 1}}', "texts by name, and numbers"),
        (b'{"files": {}, "memory": []}', "texts by name, and numbers"),
        (b'{"files": {}, "memory": {}, "ran_ms": "x"}', "texts by name, and numbers"),
        (b'{"files": {}, "memory": {}, "ran_ms": 1, "heard": -1}', "and numbers"),
        (b"x" * (17 << 20), "more than"),
    ],
)
async def test_what_is_no_copy_is_never_kept(data: bytes, text: str) -> None:
    found, _ = hosts()
    with pytest.raises(NeverError, match=text):
        await found.keep("h2", spec(), Copy(COPIES, "m", "", True, in_pieces(data)))
    with pytest.raises(NeverError, match="comes as qcow2/3"):
        await found.keep("h2", spec(), Copy("qcow2/3", "m", "", True, in_pieces(b"{}")))
    assert await found.kept("h2", WEB) == ""


@pytest.mark.parametrize("what", ["disk", "memory"])
async def test_what_has_no_room_is_never_kept(what: str) -> None:
    found, _ = await running()
    console = await opened(found)
    await said(console, "write diary it rains")
    await said(console, "set diary it rains")
    small = replace(spec(), disk_bytes=12) if what == "disk" else replace(spec(), memory_bytes=12)
    with pytest.raises(NeverError, match=f"13 bytes, its {what} has 12"):
        await found.keep("h2", small, await found.copy("h1", WEB, ""))


async def test_a_memory_takes_no_more_than_it_has() -> None:
    clock = ManualClock()
    found = MemoryHosts(hosts()[0]._hosts.values(), clock)
    await found.ensure("h1", replace(spec(), memory_bytes=20))
    await found.start("h1", WEB)
    console = await opened(found)
    assert await said(console, "set") == "set what? possible: set NAME TEXT"
    assert await said(console, "set diary 012345678901234") == NOTHING
    assert await said(console, "set other x") == "other: the memory is full"
    assert await said(console, "get") == "nothing: not set"


@given(states=st.lists(STATES, min_size=1, max_size=5))
async def test_any_row_of_copies_ends_at_what_was_copied_last(states: list[State]) -> None:
    before = State({})
    for after in states:
        data = in_pieces(difference(before, after))
        copy = Copy(COPIES, mark_of(after), mark_of(before), after.runs, data)
        before = await added(spec(), before, copy)
        assert before == after
