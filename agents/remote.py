"""Parts that must be held elsewhere too: behind the agent, by somebody who is asked over a network.

    hold      elsewhere, then in the book, then durably: only then it is answered
    give back durably, then in the book, then elsewhere: again and again until it is done

So whatever dies at whatever time, more is held elsewhere than the store says, never less, and what
is too much is given back later. Never in ignorance: an agent that was restored from a backup does
not know all that it has promised (design, section 5, rule 7), and hears of it when the orchestrator
that asked for it connects. Until then what that one asked for stays.

That is also why a part that recovery adopts is not asked for again: it was never given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from agents.backends.base import Backend, DeviceError, RemoteBackend
from agents.parts import Parts
from agents.steps import key_of
from agents.timers import Due, SweepDue, TidyDue, Timers
from agents.turns import Turns
from agents.values import Key
from braid.v1.cloudnets_pb2_grpc import CloudNetsServicer
from protocol.messages import ReservationPrep
from substrate.model import Refusal, RefusalKind, Window

SWEEP_MS = 300_000
"""How often all that is held elsewhere is looked through."""
SOON_MS = 15_000
"""How long after the first time the second is: what an earlier life had sent may arrive late."""
RETRY_MS = 1_000
RETRY_MAX_MS = 60_000

_log = structlog.get_logger(__name__)


class Remote:
    """Keeps what is held elsewhere in step with an agent's parts, a reservation at a time."""

    def __init__(self, backend: RemoteBackend, parts: Parts, timers: Timers[Due]) -> None:
        self._backend, self._parts, self._timers = backend, parts, timers
        self._turns = Turns()
        # Parts that are being asked for: not yet known whether they will be held.
        self._coming: dict[str, dict[Key, ReservationPrep]] = {}
        self._greeted: set[str] = set()
        self._fresh = True
        self._failures: dict[str, int] = {}
        self._following: asyncio.Task[None] | None = None
        parts.freed = lambda prep: self._soon(prep.reservation_id)

    def start(self) -> None:
        """Begins to look through what is held elsewhere, and to follow it."""
        self._timers.set(SweepDue(), self._parts.clock.now_ms())
        disturbed = self._parts.provisioner.disturbed
        self._following = asyncio.create_task(self._backend.follow(disturbed))

    def abandon(self) -> None:
        """Follows no more."""
        if self._following is not None:
            self._following.cancel()

    async def stop(self) -> None:
        """Ends what ``start`` began."""
        self.abandon()
        if self._following is not None:
            await asyncio.gather(self._following, return_exceptions=True)

    def greeted(self, orchestrator_id: str) -> None:
        """An orchestrator has found that the agent remembers all that it should, or recovers."""
        if orchestrator_id not in self._greeted:
            self._greeted.add(orchestrator_id)
            self._fresh = True
            self._timers.set(SweepDue(), self._parts.clock.now_ms())

    @asynccontextmanager
    async def holding(self, prep: ReservationPrep) -> AsyncIterator[Refusal | None]:
        """Holds a part elsewhere, or says why not; what is not stored in the block is given back.

        The caller has the part's turn.
        """
        key, reservation_id = key_of(prep), prep.reservation_id
        self._coming.setdefault(reservation_id, {})[key] = prep
        try:
            async with self._turns.turn(reservation_id):
                refusal = await self._held(prep)
            yield refusal
        finally:
            coming = self._coming[reservation_id]
            del coming[key]
            if not coming:
                del self._coming[reservation_id]
            record = self._parts.records.get(key)
            if record is None or not record.live:
                self._soon(reservation_id)

    def cloudnets(self) -> CloudNetsServicer | None:
        """What answers for VNodes that run elsewhere; None: there are none."""
        return self._backend.cloudnets()

    async def aggregate(self, window: Window, reservation_id: str) -> bytes:
        """What a reservation's VNodes may have elsewhere; nothing where that cannot be told."""
        try:
            return await self._backend.aggregated(window, reservation_id)
        except DeviceError as error:
            _log.warning("what there is elsewhere is not known", reason=str(error))
        except Exception:
            _log.exception("what there is elsewhere is not known")
        return b""

    async def tidy(self, reservation_id: str) -> None:
        """Gives back what no live part of a reservation needs; tries again later if it fails."""
        try:
            async with self._turns.turn(reservation_id):
                if self._may_tidy(reservation_id):
                    await self._backend.tidy(reservation_id, self._live(reservation_id))
        except DeviceError as error:
            _log.warning("not given back yet", reservation=reservation_id, reason=str(error))
            self._later(reservation_id)
        except Exception:
            # A backend may be anyone's; its mistakes must not end the agent's work.
            _log.exception("not given back yet", reservation=reservation_id)
            self._later(reservation_id)
        else:
            self._failures.pop(reservation_id, None)

    async def sweep(self) -> None:
        """Tidies every reservation of which anything is held elsewhere."""
        pause_ms = SOON_MS if self._fresh else SWEEP_MS
        self._fresh = False
        self._timers.set(SweepDue(), self._parts.clock.now_ms() + pause_ms)
        if self._parts.rules.recovering:
            return
        try:
            for reservation_id in sorted(await self._backend.kept(frozenset(self._greeted))):
                await self.tidy(reservation_id)
        except DeviceError as error:
            _log.warning("what is held elsewhere cannot be listed", reason=str(error))
        except Exception:
            _log.exception("what is held elsewhere cannot be listed")

    async def _held(self, prep: ReservationPrep) -> Refusal | None:
        try:
            return await self._backend.hold(prep, self._live(prep.reservation_id))
        except Exception:
            _log.exception("backend failed", part="/".join(key_of(prep)))
            reason = "the backend failed; the agent's log says how"
            return Refusal(RefusalKind.UNAVAILABLE, reason)

    def _live(self, reservation_id: str) -> list[ReservationPrep]:
        """Every part of a reservation that is live, or may be so in a moment."""
        found = dict(self._coming.get(reservation_id, {}))
        for record in self._parts.records.parts_of(reservation_id):
            if record.live and record.part.prep is not None:
                found[record.key] = record.part.prep
        return [found[key] for key in sorted(found)]

    def _may_tidy(self, reservation_id: str) -> bool:
        """Not while anything may have been forgotten that was promised."""
        records = self._parts.records.parts_of(reservation_id)
        preps = [record.part.prep for record in records if record.part.prep is not None]
        known = {prep.orchestrator_id for prep in preps} <= self._greeted
        return known and not self._parts.rules.recovering

    def _soon(self, reservation_id: str) -> None:
        self._timers.set(TidyDue(reservation_id), self._parts.clock.now_ms())

    def _later(self, reservation_id: str) -> None:
        failures = self._failures.get(reservation_id, 0)
        self._failures[reservation_id] = failures + 1
        pause_ms = min(RETRY_MAX_MS, RETRY_MS << min(failures, 16))
        self._timers.set(TidyDue(reservation_id), self._parts.clock.now_ms() + pause_ms)


def remote_of(backend: Backend, parts: Parts, timers: Timers[Due]) -> Remote | None:
    """None for a backend that has everything at hand."""
    return Remote(backend, parts, timers) if isinstance(backend, RemoteBackend) else None
