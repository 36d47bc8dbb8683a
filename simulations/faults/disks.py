"""Databases as processes see them: of an agent, and of an orchestrator."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from agents.store import Loaded, MemoryStore as AgentMemory, SupersededError
from agents.values import Decision, Key, Life, Record
from orchestrator.memory import MemoryStore as OrchestratorMemory
from orchestrator.ports import Changes, Renewal, Unfinished
from simulations.faults.pipeline import Pipeline
from simulations.faults.words import short


class AgentDatabase:
    """What survives an agent's processes, and can be copied as a backup."""

    def __init__(self, memory: AgentMemory | None = None) -> None:
        self.memory = memory or AgentMemory()
        self.owners = 0

    def copy(self) -> AgentDatabase:
        """A backup as of now."""
        return AgentDatabase(self.memory.copy())


class AgentDisk:
    """An :class:`agents.store.Store`: one process's view of a domain's database.

    ``wrote`` hears of every write that has happened. Whoever loads last owns the database.
    """

    def __init__(
        self, database: AgentDatabase, pipeline: Pipeline, wrote: Callable[[], None]
    ) -> None:
        self._database, self._pipeline, self._wrote = database, pipeline, wrote
        self._owner = 0

    async def load(
        self, domain: str, now_ms: int, incarnation: str, restored: bool = False
    ) -> Loaded:
        async def work() -> Loaded:
            self._database.owners += 1
            self._owner = self._database.owners
            loaded = await self._database.memory.load(domain, now_ms, incarnation, restored)
            self._wrote()
            return loaded

        return await self._pipeline.run(work, write=True)

    async def save(
        self,
        records: Sequence[Record] = (),
        forgotten: Iterable[Key] = (),
        life: Life | None = None,
        decisions: Sequence[Decision] = (),
    ) -> None:
        dropped = list(forgotten)

        async def work() -> None:
            await self._refuse_former()
            await self._database.memory.save(records, dropped, life, decisions)
            self._wrote()

        await self._pipeline.run(work, write=True)

    async def check_owner(self) -> None:
        await self._pipeline.run(self._refuse_former, write=False)

    async def _refuse_former(self) -> None:
        if self._owner != self._database.owners:
            raise SupersededError("another agent has taken over this database")

    async def close(self) -> None:
        """Nothing to do."""


READS = frozenset(
    {
        "claims",
        "events",
        "hand_decisions",
        "last_event",
        "met",
        "request",
        "reservation",
        "reservations",
        "targets",
        "transaction",
        "uses",
    }
)
"""Operations of :class:`orchestrator.ports.Store` that do not write."""


class Connection:
    """An :class:`orchestrator.ports.Store`: one instance's view of the shared database.

    ``saved`` hears of every save that has happened.
    """

    def __init__(
        self,
        memory: OrchestratorMemory,
        pipeline: Pipeline,
        saved: Callable[[Changes], None],
    ) -> None:
        self._memory, self._pipeline, self._saved = memory, pipeline, saved

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        operation = getattr(self._memory, name)

        async def run(*arguments: Any, **named: Any) -> Any:
            write = name not in READS
            return await self._pipeline.run(lambda: operation(*arguments, **named), write)

        return run

    async def save(self, changes: Changes, fence: int = 0) -> None:
        async def work() -> None:
            await self._memory.save(changes, fence)
            self._saved(changes)

        await self._pipeline.run(work, write=True)

    async def register(self, instance_id: str, lease_ms: int) -> int:
        async def work() -> int:
            epoch = await self._memory.register(instance_id, lease_ms)
            self._pipeline.note(f"registers as {epoch}")
            return epoch

        return await self._pipeline.run(work, write=True)

    async def renew(self, epoch: int, instance_id: str, lease_ms: int) -> Renewal:
        async def work() -> Renewal:
            renewal = await self._memory.renew(epoch, instance_id, lease_ms)
            if not renewal.alive or renewal.lost:
                lost = " ".join(map(short, renewal.lost))
                self._pipeline.note(f"renews {epoch}: alive {renewal.alive}, lost {lost or None}")
            return renewal

        return await self._pipeline.run(work, write=True)

    async def take(self, epoch: int, limit: int) -> Unfinished:
        return await self._taking(epoch, lambda: self._memory.take(epoch, limit))

    async def take_one(self, epoch: int, reservation_id: str) -> Unfinished:
        return await self._taking(epoch, lambda: self._memory.take_one(epoch, reservation_id))

    async def _taking(
        self, epoch: int, take: Callable[[], Coroutine[Any, Any, Unfinished]]
    ) -> Unfinished:
        async def work() -> Unfinished:
            found = await take()
            if found.reservations or found.transactions:
                ids = [record.reservation_id for record in found.reservations]
                ids += [transaction.transaction_id for transaction in found.transactions]
                self._pipeline.note(f"takes over as {epoch}: {' '.join(map(short, ids))}")
            return found

        return await self._pipeline.run(work, write=True)
