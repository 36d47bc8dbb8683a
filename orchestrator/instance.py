"""One instance of an orchestrator, without what carries its messages: engine, service, membership.

Several instances share a database (design, section 5, rule 3). Each has a lease, one row that its
heartbeat renews, and an epoch that fences its writes. Whoever finds a lease run out takes over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from orchestrator.engine import Engine
from orchestrator.service import Orchestrator
from runtime.database import StorageBusyError, StorageError

log = structlog.get_logger()

TICK_S = 0.5
BEATS_PER_LEASE = 3


class Instance:
    """``start``, connect the domains, ``resume``, serve; then ``drain`` and ``stop``.

    ``superseded`` is set when another process runs under the same ``instance_id``: stop then.
    """

    def __init__(self, engine: Engine, instance_id: str, lease_ms: int) -> None:
        self.engine = engine
        self.instance_id, self._lease_ms = instance_id, lease_ms
        self.orchestrator = Orchestrator(engine)
        self.superseded = asyncio.Event()
        self._unsure = False
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Takes up what this instance, or one that is gone, has left. Raises StorageError."""
        self.orchestrator.owner.ready.clear()
        await self._begin_anew()
        await self._take_up()
        beat_s = self._lease_ms / 1000 / BEATS_PER_LEASE
        loop = asyncio.get_running_loop()
        self._loops = [
            loop.create_task(_repeat(self.orchestrator.tick, TICK_S)),
            loop.create_task(_repeat(self.beat, beat_s)),
        ]

    async def resume(self) -> None:
        """Goes on negotiating, now that domains are there."""
        self.orchestrator.owner.ready.set()

    async def beat(self) -> None:
        """The heartbeat: keeps the lease, and takes up what others have left."""
        if self._unsure:
            await self._begin_anew()
        if not await self._renewed() or self.orchestrator.draining:
            return
        try:
            await self._take_up()
        except StorageBusyError:
            raise
        except StorageError:
            # They may be ours by now, without our knowing which: a new life takes everything up.
            self._unsure = True
            raise

    async def drain(self, timeout_s: float) -> None:
        """Begins nothing new and finishes what it can; the rest is left to other instances.

        Afterwards nobody waits or watches here any more.
        """
        self.orchestrator.draining = True
        try:
            # A superseded one can finish nothing: all its writes are refused.
            async with asyncio.timeout(0 if self.superseded.is_set() else timeout_s):
                await self.engine.quiet.wait()
        except TimeoutError:
            log.warning("negotiations are handed over", count=self.engine.negotiating)
        self.orchestrator.closed = True
        self.engine.lose_all()

    async def stop(self) -> None:
        """Ends all work and leaves what is unfinished to others, at once."""
        await self._end_loops()
        await self.engine.stop()
        try:
            await self.engine.store.leave(self.engine.epoch)
        except StorageError:
            log.warning("could not leave in order: others wait until the lease has run out")

    async def abandon(self) -> None:
        """Stops at once and leaves nothing in order, as a crash would: for simulations."""
        await self._end_loops()
        await self.engine.stop()

    async def _renewed(self) -> bool:
        """Keeps the lease, or begins anew; False when another process lives under this name."""
        renewal = await self.orchestrator.owner.renew(self.instance_id, self._lease_ms)
        if renewal.superseded:
            self.superseded.set()
        elif not renewal.alive:
            log.warning("the lease had run out", instance=self.instance_id, epoch=self.engine.epoch)
            await self._begin_anew()
        return not renewal.superseded

    async def _take_up(self) -> None:
        """All whose owner is gone. The lease is kept meanwhile: there may be very many."""
        while await self.orchestrator.owner.take_orphans():
            if not await self._renewed():
                return

    async def _begin_anew(self) -> None:
        # Until it is known to have happened: a life whose epoch nobody here knows may live.
        self._unsure = True
        await self.orchestrator.owner.register(self.instance_id, self._lease_ms)
        self._unsure = False

    async def _end_loops(self) -> None:
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)


async def _repeat(work: Callable[[], Awaitable[None]], pause_s: float) -> None:
    while True:
        try:
            await work()
        except StorageError as error:
            log.warning("the database cannot be used, will be tried again", error=str(error))
        except Exception:
            log.exception("periodic work broke, will be tried again")
        await asyncio.sleep(pause_s)
