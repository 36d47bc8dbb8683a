"""Databases that are slow, full, away, or do not say what became of a write."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest

from agents.store import SupersededError
from orchestrator.memory import MemoryStore
from orchestrator.ports import LostError
from runtime.database import StorageError
from simulations.faults.disks import AgentDatabase, AgentDisk, Connection
from simulations.faults.loop import FaultLoop, Process
from simulations.faults.pipeline import Pipeline, Writes


class World:
    """One process with a way to a database that only counts."""

    def __init__(self, planned: dict[tuple[str, int], str] | None = None) -> None:
        self.loop = FaultLoop(1)
        self.process = Process(self.loop, "p")
        self.crashed: list[Process] = []
        self.counted: list[str] = []
        self.writes = Writes(planned or {}, self.crashed.append, self.counted.append)
        self.pipeline = self.open()
        self.done: list[int] = []

    def open(self, seed: int = 1) -> Pipeline:
        context = Process(self.loop, "disk").context
        return Pipeline(self.loop, context, "m1", Random(seed), self.writes, self.counted.append)

    async def write(self, number: int) -> int:
        async def work() -> int:
            self.done.append(number)
            return number

        return await self.pipeline.run(work, write=True)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def main() -> Any:
            return await self.process.spawn(work)

        try:
            return self.loop.run_until_complete(main())
        finally:
            self.loop.close()


def test_writes_take_time_and_happen_in_order() -> None:
    world = World()

    async def work() -> None:
        assert await asyncio.gather(*(world.write(n) for n in range(20))) == list(range(20))
        assert world.loop.time() > 0.01

    world.run(work())
    assert world.done == list(range(20))


def test_a_refused_write_has_not_happened_and_an_unknown_one_has() -> None:
    world = World({("m1", 1): "refused", ("m1", 2): "unknown"})

    async def work() -> None:
        for number in (1, 2):
            with pytest.raises(StorageError):
                await world.write(number)
        await world.write(3)

    world.run(work())
    assert world.done == [2, 3]
    assert world.counted == ["refused m1 1", "unknown m1 2"]


@pytest.mark.parametrize(("fault", "done"), [("crash before", []), ("crash after", [1])])
def test_a_crash_at_a_write_leaves_its_caller_without_an_answer(
    fault: str, done: list[int]
) -> None:
    world = World({("m1", 1): fault})

    async def work() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await world.write(1)

    world.run(work())
    assert world.done == done
    assert world.crashed == [world.process]


def test_of_what_a_killed_process_had_asked_for_a_first_part_happens() -> None:
    seen = set()
    for seed in range(30):
        world = World()
        world.pipeline = world.open(seed)

        async def work(world: World = world) -> None:
            tasks = [asyncio.create_task(world.write(n)) for n in range(3)]
            await asyncio.sleep(0)
            world.pipeline.killed()
            await asyncio.wait(tasks, timeout=1)

        world.run(work())
        seen.add(tuple(world.done))
    assert seen == {(), (0,), (0, 1), (0, 1, 2)}


def test_a_full_disk_can_be_read_a_database_that_is_away_cannot() -> None:
    world = World()

    async def read() -> str:
        async def work() -> str:
            return "read"

        return await world.pipeline.run(work, write=False)

    async def work() -> None:
        more_space = world.writes.fill("m1")
        with pytest.raises(StorageError):
            await world.write(1)
        assert await read() == "read"
        more_space()
        back = world.writes.lose("m1")
        with pytest.raises(StorageError):
            await read()
        back()
        await world.write(2)

    world.run(work())
    assert world.done == [2]


def test_nothing_planned_happens_after_healing() -> None:
    world = World({("m1", 1): "refused"})
    world.writes.heal()
    world.run(world.write(1))
    assert world.done == [1]


def test_whoever_opens_an_agents_database_last_owns_it() -> None:
    world = World()
    database, heard = AgentDatabase(), []

    async def work() -> None:
        disks = [AgentDisk(database, world.open(n), lambda: heard.append("wrote")) for n in (1, 2)]
        for number, disk in enumerate(disks):
            loaded = await disk.load("m1", 1000, str(number))
            assert loaded.life.boot == number + 1
        with pytest.raises(SupersededError):
            await disks[0].save()
        await disks[1].save()

    world.run(work())
    assert len(heard) == 3


def test_a_backup_is_not_changed_by_what_is_written_later() -> None:
    world = World()
    database = AgentDatabase()

    async def work() -> None:
        disk = AgentDisk(database, world.pipeline, lambda: None)
        await disk.load("m1", 1000, "one")
        backup = database.copy()
        await disk.load("m1", 1000, "two")
        assert backup.memory.life is not None
        assert backup.memory.life.boot == 1

    world.run(work())


def test_an_instance_reaches_all_of_the_store_and_hears_its_errors() -> None:
    world = World()

    async def work() -> None:
        memory = MemoryStore()
        store: Any = Connection(memory, world.pipeline, lambda _changes: None)
        assert await store.register("a", 3000) == 1
        assert await store.reservation("none") is None
        assert (await store.take_one(1, "none")).reservations == ()
        await store.set_target("m1", "there")
        assert await store.targets() == {"m1": "there"}

        async def lost(*_: object) -> None:
            raise LostError("r")

        memory.leave = lost  # type: ignore[method-assign, assignment]
        with pytest.raises(LostError):
            await store.leave(1)

    world.run(work())
