"""VNodes that count: what they must find wherever they run, and what is excused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from agents.backends.hosts.embedder import Embedder
from agents.carrying import NOT_THERE
from orchestrator.carried import CarriedVNode
from simulations.faults.devices import at_work
from simulations.faults.loop import FaultLoop
from simulations.faults.mischief import Mischief
from simulations.faults.patching import patched
from simulations.faults.plan import Item, Schedule, World
from simulations.faults.run import _quiet, _without_cycles, play
from simulations.faults.stage import Stage
from substrate.values import replace as with_carried

WORLD = World(middle=1, clouds=("east", "west"), lasting=True)
NET = Item("cloudnet", "a", 1000, word="3 3600 30 v:2:2@west")
EAST = Item("remodel", "b", 5000, word="v:2:2@east")
BACK = Item("remodel", "a", 8000, word="v:2:2@west")

Act = Callable[[Stage], None]


@dataclass(frozen=True)
class Played:
    """``count``: how far the VNode has counted in the end; ``memory``: what it has then."""

    violations: list[str]
    lines: list[str]
    count: int
    memory: dict[str, str]


def played(*items: Item, world: World = WORLD, at_s: float = 0, act: Act | None = None) -> Played:
    """What comes of these changes; ``act`` happens at a time."""
    # What is left of the run is collected before it may say anything.
    with _quiet([]), _without_cycles():
        return played_unswept(items, world, at_s, act)


def played_unswept(items: tuple[Item, ...], world: World, at_s: float, act: Act | None) -> Played:
    loop = FaultLoop(1)
    stage = Stage(loop, Schedule("tenants", world, (NET, *items)), trace=True)
    if act is not None:
        loop.call_later(at_s, act, stage)
    try:
        loop.run_until_complete(loop.outside.spawn(stage.play()))
    finally:
        loop.close()
    ((name, known),) = stage.checker.tenants._counted.items()
    place = stage.checker.tenants._places[name]
    memory = guest(stage, place.domain).memory
    return Played(stage.checker.violations, stage.lines or [], known.count, memory)


def heard(played: Played, word: str) -> int:
    return sum(f" hears {word}" in line for line in played.lines)


def guest(stage: Stage, domain: str) -> Any:
    hosts = stage.checker.tenants._hosts(domain)
    assert hosts is not None
    ((_, found),) = at_work(hosts)
    return found


def forget_files(domain: str) -> Act:
    return lambda stage: guest(stage, domain).files.clear()


def forget_memory(domain: str) -> Act:
    return lambda stage: guest(stage, domain).memory.clear()


@pytest.mark.parametrize("lasting", [True, False])
def test_a_vnode_goes_on_counting_at_every_provider(lasting: bool) -> None:
    found = played(EAST, BACK, world=replace(WORLD, lasting=lasting))
    assert found.violations == []
    assert heard(found, "remodelled yes") == 2
    assert found.count > 100
    assert found.memory["count"] == str(found.count)


def test_a_disk_that_is_emptied_is_found() -> None:
    found = played(at_s=4.0, act=forget_files("west")).violations
    assert any(each.endswith(":v at west has not what it wrote") for each in found)


def test_memory_may_be_lost_where_it_runs_but_not_on_the_way() -> None:
    assert played(EAST, at_s=4.0, act=forget_memory("west")).violations == []

    def forgetful(stage: Stage) -> None:
        hosts = stage.checker.tenants._hosts("east")
        assert hosts is not None
        plugin: Any = hosts.plugin("h1")
        make = plugin.make

        async def made(host: str, spec: Any) -> None:
            await make(host, spec)
            plugin._vnodes[host][spec.name].guest.memory.clear()

        plugin.make = made

    (found,) = played(EAST, at_s=4.0, act=forgetful).violations
    assert found.endswith("has not what it had in memory, although it was carried live")


def test_one_that_is_carried_cold_as_it_was_not_there_yet_is_found_and_no_other_one() -> None:
    def cannot(_self: Embedder, _host: str) -> bool:
        return False

    def found(stage: Stage, reason: str) -> None:
        (record,) = stage.memories["braid"]._reservations.values()
        cold = CarriedVNode("v", "west", "east", live=False, reason=reason)
        stage.checker.tenants.promise(with_carried(record, carried=(cold,)))

    with patched(Embedder, "carries_live", cannot):
        assert played(EAST).violations == []
    assert played(at_s=6, act=lambda stage: found(stage, "west says: no")).violations == []
    (wrong,) = played(at_s=6, act=lambda stage: found(stage, NOT_THERE)).violations
    assert ":v was carried cold: " in wrong


def test_one_that_runs_where_its_user_does_not_have_it_is_found() -> None:
    def run_there(stage: Stage) -> None:
        machines = stage.agents["west"].machines
        assert machines is not None
        other: Any = machines.hosts.plugin("h1")
        name, vnode = next(iter(other._vnodes["h1"].items()))
        there: Any = stage.agents["east"].machines
        there.hosts.plugin("h1")._vnodes["h1"][name] = vnode

    found = played(at_s=4.0, act=run_there).violations
    assert any(each.endswith(":v runs at east, users have it at west") for each in found)


def test_hosts_that_forget_when_their_agent_dies_are_excused_and_others_are_not() -> None:
    crash = Item("crash", "west", 5000, 500)
    for lasting in (True, False):
        found = played(crash, world=replace(WORLD, lasting=lasting))
        assert found.violations == []
        assert found.count > 100


def test_a_source_that_is_restored_may_not_know_that_its_vnode_has_left() -> None:
    """It lets it run until it hears otherwise; the new one has all that it wrote before."""
    world = replace(WORLD, lasting=False)
    cut = Item("cut", "east", 5060, 3000)
    restore = Item("restore", "west", 5600, 300, 4500, "told")
    outcome = play(Schedule("restored", world, (NET, EAST, cut, restore)), trace=True)
    assert outcome.violations == ()
    assert outcome.faults == {"cut": 1, "restore": 1}


@pytest.mark.parametrize("word", ["before", "after", "crash"])
@pytest.mark.parametrize("lane", ["b>west", "west>b", "b>east", "east>b"])
def test_whatever_message_breaks_off_it_is_carried_in_the_end(lane: str, word: str) -> None:
    for number in (1, 2, 4, 6):
        snap = Item("snap", lane, number=number, word=word)
        outcome = play(Schedule("snap", WORLD, (NET, EAST, snap)), trace=True)
        assert outcome.violations == ()
        if outcome.faults != {"snap": 1}:
            assert number > 1
        assert any("remodelled yes" in line for line in outcome.trace)


def test_what_does_not_fit_beside_what_leaves_is_refused_and_runs_on() -> None:
    world = replace(WORLD, hosts=1)
    two = Item("cloudnet", "a", 1000, word="3 3600 30 v:8:2@west w:8:2@east")
    swap = Item("remodel", "b", 5000, word="v:8:2@east w:8:2@west")
    outcome = play(Schedule("swap", world, (two, swap)), trace=True)
    assert outcome.violations == ()
    assert any("remodelled no" in line for line in outcome.trace)


def test_healing_ends_what_would_break_at_later_messages() -> None:
    loop = FaultLoop(1)
    snap = Item("snap", "a>east", number=1, word="crash")
    stage = Stage(loop, Schedule("s", WORLD, (snap,)), trace=False)
    assert stage.wire.snaps == {("a>east", 1): "crash"}
    Mischief(stage).heal()
    loop.close()
    assert stage.wire.snaps == {}
