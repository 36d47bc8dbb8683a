"""Keeps the devices as the records say: the part in force is configured, and nothing else.

All parts of a reservation are alternatives. The committed ones of the newest version count, each
during its window: a phase of the rate; hence a Modify switches, and releasing the new version
switches back. VNodes have disks: those of an older version stand by until that is released, as the
new one may be taken back; where there is no room for both the new one waits. And once they were
made, a clock that is set back to before their window does not end them. Circuits begin and end by
the clock alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from agents.backends.base import Backend, DeviceError, Placement, StandingBackend
from agents.in_force import boundary_ms, end_s, has_begun, in_force, version_of
from agents.making_way import MakingWay
from agents.touched import Touched, reservation_of
from agents.values import DataPlane, Key, Record
from protocol.participant import PartState
from runtime.clock import Clock
from runtime.database import StorageError
from substrate.model import DataPlaneState

RETRY_MS = 1_000
RETRY_MAX_MS = 60_000
DEVICE_TIMEOUT_S = 60
DEVICES_AT_ONCE = 32

_log = structlog.get_logger(__name__)


class Provisioner:
    """Brings devices to what ``parts_of(reservation_id)`` says, a reservation at a time.

    ``settle(key, data_plane)`` makes a new state durable and tells who watches; it may raise
    StorageError. ``wake(reservation_id, due_ms)`` asks for a :meth:`look` at that time.
    ``owned()``: whether the records are still this agent's to carry out; not, if another one has
    taken them over and does so. ``recovering()``: whether versions may be in force of which the
    records do not tell: as long as they may, no VNode is taken away that one of them may have.
    """

    def __init__(
        self,
        backend: Backend,
        placement_of: Callable[[Record], Placement],
        clock: Clock,
        parts_of: Callable[[str], Sequence[Record]],
        settle: Callable[[Key, DataPlane], Awaitable[None]],
        wake: Callable[[str, int | None], None],
        owned: Callable[[], Awaitable[bool]],
        recovering: Callable[[], bool],
    ) -> None:
        self._backend = backend
        self._placement_of = placement_of
        self._clock = clock
        self._parts_of = parts_of
        self._settle = settle
        self._wake = wake
        self._owned = owned
        self._recovering = recovering
        # What may be on the devices, and of which of it what mapping is known to be there entirely.
        self._touched = Touched()
        self._active: dict[Key, str] = {}
        self._failures: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._making_way = MakingWay(self._touched, self._tasks)
        self._again: set[str] = set()
        # Of which something is to be taken away once it is known what is in force.
        self._put_off: set[str] = set()
        # Of which something was over when it was last looked, at the latest time so far.
        self._over: set[str] = set()
        self._latest_s = 0
        self._turns = asyncio.Semaphore(DEVICES_AT_ONCE)
        self._stopped = False

    def restore(self, records: Iterable[Record]) -> None:
        """At start: an earlier life may have configured what had begun and was not withdrawn."""
        now_s = self._now_s()
        for record in records:
            prep = record.part.prep
            if prep is None or record.data_plane.state is DataPlaneState.RELEASED:
                continue
            begun = prep.window.start_s <= now_s or has_begun(record)
            if begun and record.part.state is not PartState.HELD:
                self._touched.add(record, self._placement_of(record))

    def suspect(self, record: Record, *, seen: bool = False) -> None:
        """What a backup remembers as a hold, or not at all, may have been configured since; what
        was ``seen`` on devices has been."""
        prep = record.part.prep
        if prep is not None and (seen or prep.window.start_s <= self._now_s()) and record.live:
            self._touched.add(record, self._placement_of(record))

    def noticed(self, record: Record) -> None:
        """What is in force was seen on devices, whatever the clock and its record say."""
        prep = record.part.prep
        if prep is not None and not self.configured(record.key):
            self._touched.add(record, self._placement_of(record))
            self.look(prep.reservation_id)

    def configured(self, key: Key) -> bool:
        """Whether anything of the part may be on a device."""
        return key in self._touched

    def quiet(self, reservation_id: str) -> bool:
        """Whether nothing is to be done for a reservation, and nothing of it is on a device."""
        if reservation_id in self._tasks:
            return False
        records = self._parts_of(reservation_id)
        if not self._at_rest(records, self._now_s()):
            return False
        return not any(self.configured(record.key) for record in records)

    def disturbed(self, reservation_id: str) -> None:
        """What was configured for a reservation may not be there any more."""
        for record in self._parts_of(reservation_id):
            self._active.pop(record.key, None)
        self.look(reservation_id)

    def look(self, reservation_id: str) -> None:
        """Something about the reservation has changed, or its time has come."""
        if self._stopped:
            return
        if reservation_id in self._tasks:
            self._again.add(reservation_id)
            return
        records, now_s = self._parts_of(reservation_id), self._now_s()
        begins_ms = self._begins_ms(records, now_s)
        if begins_ms is not None:
            self._over.discard(reservation_id)
            self._wake(reservation_id, begins_ms)
        elif self._at_rest(records, now_s):
            self._wake(reservation_id, self._next_ms(reservation_id, records, now_s))
        else:
            self._tasks[reservation_id] = asyncio.create_task(self._run(reservation_id))

    def look_back(self) -> None:
        """When the clock was set back, what was over before may not be."""
        now_s = self._clock.now_ms() // 1000
        if now_s >= self._latest_s:
            return
        self._latest_s = now_s
        for reservation_id in sorted(self._over):
            self.look(reservation_id)

    def recovered(self) -> None:
        """The records tell again what is in force."""
        put_off, self._put_off = self._put_off, set()
        for reservation_id in sorted(put_off):
            self.look(reservation_id)

    def forget(self, reservation_id: str) -> None:
        """Nothing is known of it any more."""
        self._over.discard(reservation_id)

    async def stop(self) -> None:
        """Leaves the devices as they are; waits for what is being done."""
        self._stopped = True
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def abandon(self) -> None:
        """Stops at once, in the midst of whatever is being done."""
        self._stopped = True
        for task in list(self._tasks.values()):
            task.cancel()

    async def settled(self, reservation_id: str) -> None:
        """Waits for what is being done for a reservation now."""
        task = self._tasks.get(reservation_id)
        if task is not None:
            await asyncio.wait([task])

    def busy(self) -> bool:
        """Whether anything is being done."""
        return bool(self._tasks)

    def _is_active(self, record: Record) -> bool:
        """Whether a part is on the devices as it is mapped now: it may have been mapped anew."""
        return self._active.get(record.key) == record.part.mapping

    def _begins_ms(self, records: Sequence[Record], now_s: int) -> int | None:
        """When a circuit of one part begins that was just committed, as mostly; None: look closer.

        What :meth:`_at_rest` and :meth:`_next_ms` would say.
        """
        if len(records) != 1:
            return None
        (record,) = records
        prep = record.part.prep
        if record.part.state is not PartState.COMMITTED or prep is None or prep.graph:
            return None
        if prep.window.start_s <= now_s or not _is(record, DataPlaneState.SCHEDULED):
            return None
        return None if record.key in self._touched else prep.window.start_s * 1000

    def _at_rest(self, records: Sequence[Record], now_s: int) -> bool:
        """Whether devices and durable states are already as they should be."""
        chosen = in_force(records, now_s, self._touched)
        for record in records:
            if record is chosen:
                if not self._is_active(record) or not _is(record, DataPlaneState.ACTIVE):
                    return False
            elif chosen is not None and _stands_by(record, chosen, now_s):
                if record.key in self._active:
                    return False
            elif record.key in self._touched or not _is(record, _idle_state(record, now_s)):
                return False
        return True

    async def _run(self, reservation_id: str) -> None:
        try:
            while await self._owned() and not self._stopped:
                self._again.discard(reservation_id)
                now_s = self._now_s()
                arranged = await self._arrange(reservation_id, now_s)
                if reservation_id not in self._again:
                    self._rest(reservation_id, arranged, now_s)
                    return
        finally:
            del self._tasks[reservation_id]
            self._making_way.moved()

    def _rest(self, reservation_id: str, arranged: bool, now_s: int) -> None:
        """``now_s``: of the arrangement: what has begun or ended since then is due at once."""
        boundary_ms = self._next_ms(reservation_id, self._parts_of(reservation_id), now_s)
        if arranged:
            self._failures.pop(reservation_id, None)
            self._wake(reservation_id, boundary_ms)
            return
        failures = self._failures.get(reservation_id, 0)
        self._failures[reservation_id] = failures + 1
        retry_ms = self._clock.now_ms() + min(RETRY_MAX_MS, RETRY_MS << min(failures, 16))
        self._wake(reservation_id, min(retry_ms, boundary_ms or retry_ms))

    async def _arrange(self, reservation_id: str, now_s: int) -> bool:
        """Acts once on what is known now; false when something must be tried again."""
        records = self._parts_of(reservation_id)
        chosen = in_force(records, now_s, self._touched)
        others = [record for record in records if record is not chosen]
        try:
            if chosen is None:
                if any(_may_last(record, now_s) for record in others):
                    if self._recovering():
                        self._put_off.add(reservation_id)
                        return True
                    if self._is_awaited(others):
                        return True
                return await self._clear(others, now_s)
            return await self._switch(chosen, others, now_s)
        except StorageError as error:
            _log.warning(
                "data plane state not stored", reservation=reservation_id, error=str(error)
            )
        except Exception:
            _log.exception("data plane not arranged", reservation=reservation_id)
        return False

    def _is_awaited(self, records: Sequence[Record]) -> bool:
        """Whether VNodes are there of a version that was given back, and of one before it only the
        hold is known here: its COMMIT may be on its way, and it has them, too."""
        there = [version_of(each) for each in records if self._touched.provisioned(each.key)]
        return any(
            each.part.state is PartState.HELD and version_of(each) < max(there, default=0)
            for each in records
        )

    async def _switch(self, chosen: Record, others: Sequence[Record], now_s: int) -> bool:
        """Configures ``chosen`` and withdraws the others; an older version stands in if it must."""
        before = [r for r in others if self._touched.provisioned(r.key) and r.live]
        # They stay as they are also where there is no room beside them: the new one may be given
        # back, and until it is certain that it stands, what they have is what their user has.
        kept = [r for r in others if _stands_by(r, chosen, now_s)]
        self._note_standing(kept)
        problem = await self._provision(chosen)
        for record in kept:
            # Should it be in force again, all of it has to be made as it was.
            self._active.pop(record.key, None)
        gone = [r for r in others if r not in kept]
        in_the_way = any(self.configured(record.key) for record in gone)
        # Between what is withdrawn and what takes its place no database is waited for.
        problems = [await self._withdraw(record) for record in gone]
        cleared, stood_in = not any(problems), []
        if problem and cleared and in_the_way:
            problem = await self._provision(chosen)
        if problem and cleared:
            stood_in = [record for record in before if not await self._provision(record)]
        await self._idle(gone, problems, now_s)
        state = DataPlaneState.FAILED if problem else DataPlaneState.ACTIVE
        await self._settled(chosen, state, problem)
        for record in stood_in:
            await self._settled(self._latest(record), DataPlaneState.ACTIVE, "")
        return cleared and not problem

    def _note_standing(self, records: Iterable[Record]) -> None:
        """Those that stand by: an earlier life may have configured them, or a version before them
        what they have, too."""
        if not isinstance(self._backend, StandingBackend):
            return
        for record in sorted(records, key=version_of, reverse=True):
            placement = self._placement_of(record)
            self._touched.stand_by(record, placement)
            self._backend.stands_by("/".join(record.key), placement)

    async def _clear(self, records: Sequence[Record], now_s: int) -> bool:
        problems = [await self._withdraw(record) for record in records]
        await self._idle(records, problems, now_s)
        return not any(problems)

    async def _idle(self, records: Iterable[Record], problems: Iterable[str], now_s: int) -> None:
        for record, problem in zip(records, problems, strict=True):
            state = DataPlaneState.FAILED if problem else _idle_state(record, now_s)
            await self._settled(record, state, problem)

    async def _provision(self, record: Record) -> str:
        """Why the device could not; empty when it is done."""
        if self._is_active(record):
            return ""
        placement = self._placement_of(record)
        await self._make_way(record, placement)
        self._touched.add(record, placement)
        problem = await self._tried(self._backend.provision, record, placement)
        if not problem:
            self._active[record.key] = record.part.mapping
        return problem

    async def _withdraw(self, record: Record) -> str:
        if record.key not in self._touched:
            return ""
        placement = self._placement_of(record)
        self._active.pop(record.key, None)
        problem = await self._tried(self._backend.withdraw, record, placement)
        if not problem:
            self._touched.remove(record)
            self._making_way.moved()
        return problem

    async def _make_way(self, record: Record, placement: Placement) -> None:
        """Lets the reservation that had the same VLANs until now be withdrawn first."""
        mine = reservation_of(record)
        for reservation_id in sorted(self._touched.reservations(placement) - {mine}):
            self.look(reservation_id)
        await self._making_way.wait(mine, placement)

    async def _tried(
        self,
        action: Callable[[str, Placement], Awaitable[None]],
        record: Record,
        placement: Placement,
    ) -> str:
        name = "/".join(record.key)
        try:
            async with self._turns, asyncio.timeout(DEVICE_TIMEOUT_S):
                await action(name, placement)
        except DeviceError as error:
            return str(error) or "the device refused"
        except TimeoutError:
            return f"the device did not answer within {DEVICE_TIMEOUT_S} s"
        except Exception:
            # A backend may be anyone's; its mistakes must not end the agent's work.
            _log.exception("backend failed", part=name)
            return "the backend failed; the agent's log says how"
        return ""

    def _latest(self, record: Record) -> Record:
        """The record as it is now, as far as it is still there."""
        parts = self._parts_of(reservation_of(record))
        return next((part for part in parts if part.key == record.key), record)

    async def _settled(self, record: Record, state: DataPlaneState, reason: str) -> None:
        found = record.data_plane
        if (found.state, found.reason) != (state, reason):
            await self._settle(record.key, DataPlane(state, reason, self._clock.now_ms()))

    def _next_ms(self, reservation_id: str, records: Sequence[Record], now_s: int) -> int | None:
        """When it is to be looked at next, as things are."""
        self._over.discard(reservation_id)
        for record in records:
            if record.part.state is PartState.COMMITTED and end_s(record) <= now_s:
                self._over.add(reservation_id)
        return boundary_ms(records, now_s)

    def boundary_ms(self, reservation_id: str) -> int | None:
        """When a window of a committed part begins or ends next."""
        return boundary_ms(self._parts_of(reservation_id), self._now_s())

    def _now_s(self) -> int:
        now_s = self._clock.now_ms() // 1000
        self._latest_s = max(self._latest_s, now_s)
        return now_s


def _stands_by(record: Record, chosen: Record, now_s: int) -> bool:
    """Whether it has VNodes that stay as they are beside those of the version in force."""
    prep, newer = record.part.prep, chosen.part.prep
    if prep is None or newer is None or not record.has_vnodes or prep.version >= newer.version:
        return False
    return record.part.state is PartState.COMMITTED and now_s < end_s(record)


def _may_last(record: Record, now_s: int) -> bool:
    """Whether it has VNodes that another version, in force now, may have too."""
    return record.has_vnodes and now_s < end_s(record)


def _idle_state(record: Record, now_s: int) -> DataPlaneState:
    prep = record.part.prep
    if record.live and prep is not None and now_s < prep.window.end_s:
        return DataPlaneState.SCHEDULED
    return DataPlaneState.RELEASED


def _is(record: Record, state: DataPlaneState) -> bool:
    return record.data_plane.state is state
