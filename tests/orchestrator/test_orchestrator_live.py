"""VNodes that go to other providers as they run: with their memory, and away for a moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from carrying_world import AWAY, NEVER, Carrying, Step, carrying
from orchestrated import NO_CONTEXT, until, virtual

from agents.backends.hosts.port import VNodeName
from braid.v1 import reservations_pb2 as pb
from orchestrator.carrying import SMALL_BYTES

AHEAD, CARRY, BEGIN = ("ahead", "b", "zurich"), ("carry", "b", "zurich"), ("begin", "b", "zurich")


class Cold:
    """Hosts that can carry, but nothing that runs: others, without what these can beyond that."""

    def __init__(self, hosts: Any) -> None:
        self._hosts = hosts

    def __getattr__(self, name: str) -> Any:
        if name in ("copy", "keep", "kept", "make", "pause"):
            raise AttributeError(name)
        return getattr(self._hosts, name)


def make_cold(w: Carrying, domain: str) -> None:
    hosts = w.clouds(domain)._backend.embedder.hosts
    hosts._plugins = {host: Cold(hosts.plugin(host)) for host in hosts.specs}


async def writes(w: Carrying, name: str, size: int) -> None:
    """What runs in b at Munich writes as much at once as no line has."""
    hosts = w.clouds("munich")._backend.embedder.hosts
    for host in hosts.specs:
        plugin: Any = hosts.plugin(host)
        for vnode in await plugin.found(host):
            if vnode == VNodeName(w.id, "b"):
                plugin._vnodes[host][vnode].files[name] = "x" * size


async def told(w: Carrying) -> pb.CarriedVNode:
    (carried,) = (await w.get()).carried
    return carried


@virtual
async def test_what_runs_goes_on_with_disk_and_memory_and_was_away_for_a_moment() -> None:
    async with carrying() as w:
        await w.says("munich", "b", "set mood good")

        async def slow(step: Step) -> None:
            # It does not matter to it how long the copies take that go ahead.
            await asyncio.sleep(100 if step == AHEAD else 2)

        w.carrier.before = slow
        after = await w.move()
        assert after.modified
        await w.settled()
        assert await w.reads("zurich", "b")
        assert "good" in await w.says("zurich", "b", "get mood")
        # As many as it has heard: two before it went, and these.
        assert "\r\n5\r\n" in await w.says("zurich", "b", "count")
        assert w.carrier.live == [True]
        carried = await told(w)
        assert (carried.vnode, carried.source, carried.target) == ("b", "munich", "zurich")
        assert (carried.live, carried.reason) == (True, "")
        assert 2000 <= carried.still_ms < 10_000


@virtual
async def test_what_is_written_while_copies_go_ahead_is_there_afterwards() -> None:
    async with carrying() as w:

        async def write(step: Step) -> None:
            if step[0] in ("ahead", "carry"):
                written = len(w.carrier.aheads)
                await w.says("munich", "b", f"write note{written} of {step[0]}")
                await w.says("munich", "b", f"set mood {written}")

        w.carrier.before = write
        assert (await w.move()).modified
        await w.settled()
        for i, when in enumerate(("ahead", "ahead", "carry")):
            assert f"of {when}" in await w.says("zurich", "b", f"read note{i}")
        assert "\r\n2\r\n" in await w.says("zurich", "b", "get mood")
        assert len(w.carrier.aheads) == 2


@virtual
async def test_copies_go_ahead_until_little_is_left_and_only_what_changed() -> None:
    async with carrying() as w:
        sizes = [900_000, 600_000, 400_000, 100]

        async def write(step: Step) -> None:
            if step == AHEAD:
                await writes(w, "log", sizes[len(w.carrier.aheads)])

        w.carrier.before = write
        assert (await w.move()).modified
        found = [size for _, size in w.carrier.aheads]
        assert len(found) == 4
        assert found[2] > SMALL_BYTES > found[3]
        await w.settled()
        carried = await told(w)
        assert carried.ahead_bytes == sum(found)
        assert 0 < carried.last_bytes < SMALL_BYTES
        assert await w.reads("zurich", "b")


@virtual
async def test_what_changes_without_end_is_paused_after_so_many_copies() -> None:
    async with carrying(carry_rounds=3) as w:
        size = 900_000

        async def write(step: Step) -> None:
            nonlocal size
            if step == AHEAD:
                size -= 10_000
                await writes(w, "log", size)

        w.carrier.before = write
        assert (await w.move()).modified
        assert len(w.carrier.aheads) == 1 + 3
        assert (await told(w)).live


@pytest.mark.parametrize("where", ["munich", "zurich"])
def test_where_one_end_cannot_it_is_carried_cold_and_that_is_told(where: str) -> None:
    @virtual
    async def run() -> None:
        async with carrying() as w:
            await w.says("munich", "b", "set mood good")
            make_cold(w, where)
            assert (await w.move()).modified
            await w.settled()
            assert await w.reads("zurich", "b")
            assert "not set" in await w.says("zurich", "b", "get mood")
            carried = await told(w)
            assert not carried.live
            assert "VNodes can be carried as they run" in carried.reason
            assert carried.HasField("still_ms")

    run()


@virtual
async def test_an_orchestrator_that_is_told_so_carries_cold() -> None:
    async with carrying(carry_rounds=0) as w:
        assert (await w.move()).modified
        await w.settled()
        assert await w.reads("zurich", "b")
        carried = await told(w)
        reason = "its orchestrator carries none as it runs (carry_rounds: 0)"
        assert (carried.live, carried.reason) == (False, reason)
        assert w.carrier.aheads == []


@virtual
async def test_what_its_user_has_stopped_is_carried_cold_and_stands_still_for_nobody() -> None:
    async with carrying() as w:
        await w.clouds("munich").switch(w.id, ["b"], off=True)
        assert (await w.move()).modified
        await w.settled()
        carried = await told(w)
        assert "its user has stopped it" in carried.reason
        assert not carried.live
        assert not any(carried.HasField(field) for field in ("still_ms", "since_ms"))
        assert (await w.states("zurich"))["b"] == "stopped"


@virtual
async def test_whose_last_copy_fails_runs_on_where_it_was_until_the_next_try() -> None:
    async with carrying() as w:
        await w.says("munich", "b", "set mood good")
        tries, ran = 0, []

        async def half(step: Step) -> None:
            nonlocal tries
            if step == CARRY:
                tries += 1
                w.carrier.fails[CARRY] = [AWAY] if tries < 3 else []
                await w.clouds("munich").carrying.copy(w.id, "b", "", last=True)
                assert await w.states("munich") == {"b": "paused"}
            if step == AHEAD:
                ran.append((await w.states("munich"))["b"])
                await w.says("munich", "b", f"write note at try {tries}")

        w.carrier.before = half
        assert (await w.move()).modified
        assert set(ran) == {"running"}
        await w.settled()
        assert "at try 2" in await w.says("zurich", "b", "read note")
        assert "good" in await w.says("zurich", "b", "get mood")


@pytest.mark.parametrize("final", [True, False])
def test_what_cannot_be_carried_at_last_runs_on_where_it_was(final: bool) -> None:
    @virtual
    async def run() -> None:
        async with carrying(carry_ms=60_000) as w:
            await w.says("munich", "b", "set mood good")

            async def half(step: Step) -> None:
                if step == CARRY:
                    await w.clouds("munich").carrying.copy(w.id, "b", "", last=True)

            w.carrier.before = half
            w.carrier.fails[CARRY] = [NEVER if final else AWAY]
            after = await w.move()
            assert (after.modified, list(after.carried)) == (False, [])
            # At once, and not only when the other version is released.
            assert await w.states("munich") == {"b": "running"}
            await w.settled()
            assert "good" in await w.says("munich", "b", "get mood")
            assert "b" not in await w.states("zurich")

    run()


@virtual
async def test_of_several_none_stands_still_while_another_is_copied() -> None:
    async with carrying() as w:
        to = {"a": "munich", "b": "zurich", "c": "zurich"}
        seen = []

        async def look(step: Step) -> None:
            if step[0] == "ahead":
                await asyncio.sleep(50 if step[1] == "a" else 1)
                states = await w.states("berlin") | await w.states("munich")
                seen.append((states["a"], states["b"]))

        w.carrier.before = look
        assert (await w.move(to)).modified
        await w.settled()
        assert set(seen) == {("running", "running")}
        assert [(each.vnode, each.live) for each in (await w.get()).carried] == [
            ("a", True),
            ("b", True),
        ]
        assert all(each.still_ms < 20_000 for each in (await w.get()).carried)


@virtual
async def test_of_several_one_that_fails_leaves_all_running_with_their_memory() -> None:
    async with carrying() as w:
        await w.says("berlin", "a", "set mood good")
        w.carrier.fails[CARRY] = [NEVER]
        after = await w.move({"a": "munich", "b": "zurich", "c": "zurich"})
        assert not after.modified
        assert ("carry", "a", "munich") in w.carrier.done
        await w.settled()
        assert "good" in await w.says("berlin", "a", "get mood")
        assert await w.reads("munich", "b")


@virtual
async def test_one_that_goes_cold_does_not_keep_the_others_still() -> None:
    async with carrying() as w:
        make_cold(w, "berlin")
        to = {"a": "munich", "b": "zurich", "c": "zurich"}
        ran = []

        async def slow(step: Step) -> None:
            if step == ("carry", "a", "munich"):
                await asyncio.sleep(100)
                ran.append((await w.states("munich"))["b"])

        w.carrier.before = slow
        assert (await w.move(to)).modified
        await w.settled()
        assert ran == ["running"]
        a, b = (await w.get()).carried
        assert (a.live, b.live) == (False, True)
        assert a.still_ms >= 100_000 > 10_000 > b.still_ms


# Whoever dies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ahead", "carry", "begin"])
def test_an_orchestrator_that_dies_amid_it_finishes_it_and_no_memory_is_lost(kind: str) -> None:
    @virtual
    async def run() -> None:
        async with carrying() as w:
            await w.says("munich", "b", "set mood good")

            async def at(step: Step) -> bool:
                if step[0] == kind == "carry":
                    await w.clouds("munich").carrying.copy(w.id, "b", "", last=True)
                return step[0] == kind

            await w.move_and_die(at)
            await until(lambda: BEGIN in w.carrier.done, 600)
            await w.settled()
            assert await w.reads("zurich", "b")
            assert "good" in await w.says("zurich", "b", "get mood")
            carried = await told(w)
            assert (carried.live, carried.HasField("still_ms")) == (True, True)

    run()


@virtual
async def test_what_stood_still_when_its_orchestrator_died_runs_while_it_is_copied_again() -> None:
    async with carrying() as w:
        states = []

        async def at(step: Step) -> bool:
            if step == CARRY:
                await w.clouds("munich").carrying.copy(w.id, "b", "", last=True)
            return step == CARRY

        async def look(step: Step) -> None:
            if step == AHEAD:
                states.append((await w.states("munich"))["b"])

        await w.move_and_die(at, look)
        await until(lambda: BEGIN in w.carrier.done, 600)
        assert states == ["paused", "running"]


@virtual
async def test_what_hosts_have_lost_before_it_began_comes_again_with_its_memory() -> None:
    async with carrying() as w:
        await w.says("munich", "b", "set mood good")
        w.lose_once_before(BEGIN, "zurich")
        assert (await w.move()).modified
        await until(lambda: BEGIN in w.carrier.done, 600)
        assert w.carrier.done == [CARRY, CARRY, BEGIN]
        await w.settled()
        assert "good" in await w.says("zurich", "b", "get mood")


@virtual
async def test_a_next_version_tells_of_its_own_and_of_what_still_waits() -> None:
    async with carrying() as w:
        w.carrier.fails[BEGIN] = [AWAY]
        assert (await w.move()).modified
        third = {"a": "munich", "b": "zurich", "c": "zurich"}
        assert (await w.move(third, "third")).modified
        await asyncio.sleep(10)
        a, b = (await w.get()).carried
        assert (a.vnode, a.HasField("still_ms")) == ("a", True)
        assert (b.vnode, b.HasField("still_ms")) == ("b", False)
        del w.carrier.fails[BEGIN]
        await w.settled()
        assert all(each.HasField("still_ms") for each in (await w.get()).carried)
        longer = pb.ModifyRequest(
            reservation_id=w.id, request_id="longer", end_s=w.record.criteria.window.end_s + 60
        )
        after = await w.one.reservations.Modify(longer, NO_CONTEXT)
        assert (after.modified, list(after.carried)) == (True, [])
