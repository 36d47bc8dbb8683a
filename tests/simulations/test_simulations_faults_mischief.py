"""Each fault in time: what it changes, for how long, and that healing ends them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agents.values import Life
from simulations.clock import EPOCH_MS
from simulations.faults.loop import FaultLoop
from simulations.faults.mischief import Mischief
from simulations.faults.plan import Item, Schedule, World
from simulations.faults.stage import Stage

Look = Callable[[Stage], Any]


class Quiet(Stage):
    """A stage whose parties start processes that do nothing."""

    def __init__(self, loop: FaultLoop, *items: Item) -> None:
        super().__init__(loop, Schedule("s", World(middle=1), items), trace=True)
        for party in (*self.agents.values(), *self.instances.values()):

            async def idle(_life: Any, _ids: Any) -> None:
                await asyncio.Event().wait()

            setattr(party, "run", idle)  # noqa: B010
            party.start()
        self.mischief = Mischief(self)
        self.mischief.begin()


@pytest.fixture
def loop() -> Iterator[FaultLoop]:
    found = FaultLoop(1)
    yield found
    found.close()


def watch(loop: FaultLoop, stage: Stage, look: Look, *times_ms: int) -> list[Any]:
    """What ``look`` sees at these times."""
    seen: list[Any] = []
    for at_ms in times_ms:
        loop.call_at(at_ms / 1000, lambda: seen.append(look(stage)))
    loop.run_until_complete(asyncio.sleep(times_ms[-1] / 1000 + 0.01))
    return seen


@pytest.mark.parametrize(
    ("item", "look", "before", "during"),
    [
        (Item("crash", "m1", 1000, 500), lambda s: len(s.agents["m1"].lives), 1, 0),
        (Item("crash", "a", 1000, 500), lambda s: len(s.instances["a"].lives), 1, 0),
        (
            Item("pause", "b", 1000, 500),
            lambda s: s.instances["b"].lives[0].process.paused,
            False,
            True,
        ),
        (Item("cut", "a>m1", 1000, 500), lambda s: s.wire.link("a", "m1").cut, 0, 1),
        (Item("cut", "a", 1000, 500), lambda s: s.wire.link("users", "a").cut, 0, 1),
        (Item("slow", "m1", 1000, 500, 50), lambda s: s.agents["m1"].slow, 1, 50),
        (Item("full", "m1", 1000, 500), lambda s: s.writes.away("m1", True), False, True),
        (Item("full", "m1", 1000, 500), lambda s: s.writes.away("m1", False), False, False),
        (Item("gone", "a", 1000, 500), lambda s: s.writes.away("a", False), False, True),
        (Item("lie", "m1", 1000, 500, 200), lambda s: s.agents["m1"].truth, 100, 200),
        (
            Item("skew", "m1", 1000, 500, -700),
            lambda s: s.agents["m1"].clock.now_ms() - s.now_ms(),
            0,
            -700,
        ),
    ],
    ids=lambda value: f"{value.kind} {value.who}" if isinstance(value, Item) else "",
)
def test_a_fault_begins_lasts_and_ends(
    loop: FaultLoop, item: Item, look: Look, before: Any, during: Any
) -> None:
    stage = Quiet(loop, item)
    assert watch(loop, stage, look, 900, 1100, 1400, 1600) == [before, during, during, before]
    assert stage.counts == {item.kind: 1}


def test_faults_of_one_kind_may_overlap(loop: FaultLoop) -> None:
    stage = Quiet(loop, Item("cut", "a>m1", 100, 500), Item("cut", "a>m1", 300, 500))
    look: Look = lambda s: s.wire.link("a", "m1").cut  # noqa: E731
    assert watch(loop, stage, look, 200, 400, 700, 900) == [1, 2, 1, 0]


def test_two_crashes_end_when_the_last_one_does(loop: FaultLoop) -> None:
    stage = Quiet(loop, Item("crash", "m1", 100, 1000), Item("crash", "m1", 200, 300))
    look: Look = lambda s: len(s.agents["m1"].lives)  # noqa: E731
    assert watch(loop, stage, look, 150, 600, 1050, 1200) == [0, 0, 0, 1]


def test_a_twin_is_one_more(loop: FaultLoop) -> None:
    stage = Quiet(loop, Item("twin", "m1", 100))
    assert watch(loop, stage, lambda s: len(s.agents["m1"].lives), 50, 150) == [1, 2]


def test_healing_ends_everything(loop: FaultLoop) -> None:
    items = (
        Item("crash", "m1", 100, 10_000),
        Item("pause", "a", 100, 10_000),
        Item("cut", "b", 100, 10_000),
        Item("full", "east", 100, 10_000),
        Item("skew", "west", 100, 10_000, 5000),
        Item("lost", "a>m1", number=3),
        Item("write", "west", number=1, word="refused"),
    )
    stage = Quiet(loop, *items)
    watch(loop, stage, lambda _: None, 500)
    stage.mischief.heal()
    assert all(party.lives for party in (*stage.agents.values(), *stage.instances.values()))
    assert not stage.instances["a"].lives[0].process.paused
    assert {link.cut for link in stage.wire.links_of("b")} == {0}
    assert not stage.writes.away("east", True)
    assert stage.agents["west"].clock.skew_ms == 0
    assert stage.wire.planned == {}
    assert stage.writes.next("west") == ""
    watch(loop, stage, lambda _: None, 12_000)
    assert stage.agents["west"].clock.skew_ms == 0


def restored(loop: FaultLoop, word: str, met: Life | None) -> Quiet:
    """A restore at 1 s of what was there at 0.5 s, of a domain that was last met as ``met``."""
    stage = Quiet(loop, Item("restore", "m1", 1000, 300, 500, word))
    database = stage.agents["m1"].database
    database.memory.life = Life(epoch=1, boot=1)
    memory: Any = stage.memories["braid"]
    if met is not None:
        memory._met["m1"] = met

    def later() -> None:
        database.memory.life = Life(epoch=1, boot=2)

    loop.call_later(0.7, later)
    watch(loop, stage, lambda _: None, 1200)
    return stage


def test_a_restore_brings_back_what_was(loop: FaultLoop) -> None:
    stage = restored(loop, "told", None)
    party = stage.agents["m1"]
    assert party.database.memory.life == Life(epoch=1, boot=1)
    assert party.lives == []
    assert party.restored
    assert stage.counts == {"restore": 1}
    watch(loop, stage, lambda _: None, 1400)
    assert len(party.lives) == 1


def test_nobody_need_tell_what_would_be_noticed(loop: FaultLoop) -> None:
    assert not restored(loop, "silent", Life(epoch=1, boot=2)).agents["m1"].restored


@pytest.mark.parametrize("met", [None, Life(epoch=1, boot=1)])
def test_what_nobody_could_notice_is_told(loop: FaultLoop, met: Life | None) -> None:
    assert restored(loop, "silent", met).agents["m1"].restored


def test_without_a_backup_nothing_is_restored(loop: FaultLoop) -> None:
    stage = Quiet(loop, Item("restore", "m1", 100, 300, 50, "told"))
    assert watch(loop, stage, lambda s: len(s.agents["m1"].lives), 200) == [1]


def test_the_worlds_clock_is_that_of_the_loop(loop: FaultLoop) -> None:
    stage = Quiet(loop)
    assert watch(loop, stage, lambda s: s.now_ms(), 2500) == [EPOCH_MS + 2500]
