"""A domain's parts: what is known of them is durable, and the devices follow it.

Take early, give late: capacity is taken in memory before a hold is written, and given back only
once a release is durable (design, section 5, rules 1, 9 and 10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from agents.asleep import record_of
from agents.book import Book
from agents.intake import Intake
from agents.ledger import Ledger
from agents.provisioner import Provisioner
from agents.records import Records
from agents.rows import UNDATED_MS
from agents.store import Loaded, Store, SupersededError
from agents.timers import BATCH_LIMIT, AsleepDue, Due, PartDue, ReservationDue, Timers
from agents.turns import Turns
from agents.values import DataPlane, Decision, Key, Life, Record
from agents.watchers import Watchers
from protocol import participant
from protocol.messages import ReservationPrep
from protocol.participant import Admitted, Part, PartState, Rules
from runtime.clock import Clock
from runtime.database import StorageError
from substrate.calendar import CalendarError
from substrate.model import DataPlaneState, Refusal, RefusalKind
from substrate.values import replace

AGAIN_MS = 5_000
OWNER_WAIT_S = 2
"""A circuit does not wait longer for a database that does not answer."""
NAP_MS = 60_000
"""What wants attention sooner than that does not fall asleep."""

Change = tuple[Record | None, Part]
"""A part as it is known (None: not at all), and as it is to be."""

NOTHING_YET = DataPlane(DataPlaneState.RELEASED)

_log = structlog.get_logger(__name__)


class RestoreError(Exception):
    """What the store holds does not fit into the domain as it is now configured."""


class Parts:
    """All parts of one domain. Whoever changes one holds its turn.

    ``superseded`` is set when another agent has taken the store over.
    """

    def __init__(
        self, book: Book, store: Store, clock: Clock, rules: Rules, timers: Timers[Due]
    ) -> None:
        self.book = book
        self.clock = clock
        self.rules = rules
        self.records = Records(self._woken)
        book.wake = self.records.wake
        self.freed: Callable[[ReservationPrep], None] = lambda prep: None
        """Hears of each part that is not live any more, once that is durable."""
        self.decisions: dict[Key, Decision] = {}
        self.turns = Turns()
        self.watchers = Watchers()
        self.superseded = asyncio.Event()
        self._store, self._ledger = store, Ledger(store)
        self._timers = timers
        self.provisioner = Provisioner(
            book.backend,
            lambda record: book.placement(record.part.mapping),
            clock,
            self.records.parts_of,
            self._settle_data_plane,
            lambda reservation, due_ms: timers.set(ReservationDue(reservation), due_ms),
            self.owned,
            lambda: self.rules.recovering,
        )

    def take_up(self, loaded: Loaded) -> None:
        """At start: what the store holds. Raises RestoreError."""
        self._ledger.take_up(loaded.life)
        self.decisions = {decision.key: decision for decision in loaded.decisions}
        records = [self._dated(record) for record in (*loaded.records, *self._fill(loaded.asleep))]
        for record in records:
            self.keep(record)
            if record.live:
                self._restore(record)
        self.provisioner.restore(records)
        for reservation_id in self.records.reservations():
            self.provisioner.look(reservation_id)
        self._timers.set(AsleepDue(), self.records.next_due_ms())

    def _fill(self, intake: Intake | None) -> list[Record]:
        """Takes up what sleeps; the records that must be awake all the same."""
        if intake is None or not intake.rows:
            return []
        taken, sleepers, awake = intake.taken()
        try:
            self.book.fill(taken)
        except CalendarError:
            # One by one, to name the part that does not fit.
            return [*awake, *map(record_of, sleepers.rows)]
        self.records.fill(sleepers)
        return awake

    def rouse(self) -> None:
        """Wakes what sleeps and wants attention now."""
        for reservation_id in self.records.due(self.clock.now_ms(), BATCH_LIMIT):
            self.records.wake(reservation_id)
            self.provisioner.look(reservation_id)
        self._timers.set(AsleepDue(), self.records.next_due_ms())

    def admit(self, prep: ReservationPrep, advice: object = None) -> Admitted | Refusal:
        """Takes capacity for a part in memory, or says why not; ``advice``: as for the book."""
        now_s = self.clock.now_ms() // 1000
        outcome = self._wrong_time(prep) or self.book.admit(prep, advice, now_s)
        if prep.graph and isinstance(outcome, Refusal):
            # Others are told no names of the inside; the operator is.
            why = outcome.inside or outcome.reason
            _log.info("refused", part="/".join((prep.transaction_id, prep.part_id)), reason=why)
        return outcome

    def look(self, prep: ReservationPrep) -> Admitted | Refusal:
        """What ``admit`` would say of a part without a graph, by what is known here alone."""
        return self._wrong_time(prep) or self.book.look(prep)

    def _wrong_time(self, prep: ReservationPrep) -> Refusal | None:
        name, horizon_s = self.book.domain.name, self.book.domain.horizon_s
        left_s = prep.window.end_s - self.clock.now_ms() // 1000
        if left_s <= 0:
            reason = f"the window ended {-left_s} s ago"
            return Refusal(RefusalKind.POLICY, reason, name)
        if horizon_s and left_s > horizon_s:
            reason = f"the window ends {left_s} s from now, {name} takes up to {horizon_s} s"
            return Refusal(RefusalKind.POLICY, reason, name)
        return None

    async def advance(
        self,
        *changes: Change,
        life: Life | None = None,
        decisions: Sequence[Decision] = (),
    ) -> None:
        """Makes new states durable, all or none, and gives capacity back only then.

        When that fails what was taken for them is given back. Raises StorageError.
        """
        pairs = [
            (before, Record(part, self._data_plane_of(before, part))) for before, part in changes
        ]
        fresh = {record.key for before, record in pairs if before is None}
        try:
            await self.write([record for _, record in pairs], fresh, life, decisions)
        except StorageError:
            for before, record in pairs:
                if record.live and not (before is not None and before.live):
                    self._free(record)
            raise
        if decisions:
            self.decisions.update((decision.key, decision) for decision in decisions)
        for before, record in pairs:
            if before is not None and before.live and not record.live:
                self._free(record)
        self.keep(*[record for _, record in pairs])
        for before, record in pairs:
            self._publish(before, record)
        # A hold that is new concerns no device.
        concerned = [
            part.prep.reservation_id
            for before, part in changes
            if part.prep is not None and (before is not None or part.state is not PartState.HELD)
        ]
        for reservation_id in dict.fromkeys(concerned):
            self.provisioner.look(reservation_id)

    async def write(
        self,
        records: Sequence[Record],
        fresh: set[Key] | frozenset[Key] = frozenset(),
        life: Life | None = None,
        decisions: Sequence[Decision] = (),
    ) -> None:
        """Writes without taking note of it. Raises StorageError."""
        try:
            await self._ledger.save(records, fresh, life, decisions)
        except SupersededError:
            self.superseded.set()
            raise

    async def owned(self) -> bool:
        """Whether no other agent has taken the store over, or nobody can tell now."""
        try:
            async with asyncio.timeout(OWNER_WAIT_S):
                await self._store.check_owner()
        except SupersededError:
            self.superseded.set()
            return False
        except (StorageError, TimeoutError) as error:
            _log.debug("the database cannot be read", error=str(error))
        return True

    async def forget(self, record: Record) -> bool:
        """Drops a record, unless it may still be on a device. Raises StorageError."""
        if self.provisioner.configured(record.key):
            return False
        await self._ledger.forget(record.key)
        self.provisioner.forget(record.part.prep.reservation_id if record.part.prep else "")
        if record.live:
            self._free(record)
        self.records.drop(record)
        return True

    def keep(self, *records: Record) -> None:
        """Takes note of records, and of when they want attention. Lets others sleep."""
        for record in records:
            self.records.put(record)
            self._timers.set(PartDue(record.key), self._due_ms(record))
        for reservation_id in self.records.tired(len(records)):
            self._lull(reservation_id)

    def _free(self, record: Record) -> None:
        """Gives capacity back, also of what fell asleep while it was written."""
        if record.part.prep is not None:
            self.records.wake(record.part.prep.reservation_id)
        self.book.free(*record.key)
        if record.part.prep is not None:
            self.freed(record.part.prep)

    def _lull(self, reservation_id: str) -> None:
        """Lets a reservation sleep, if all is written of it and nothing is to be done soon."""
        records, now_ms = self.records.parts_of(reservation_id), self.clock.now_ms()
        held = any(record.part.state is PartState.HELD for record in records)
        held = held or self.book.is_joint(reservation_id)
        live = {record.key for record in records if record.live}
        if held or self.book.keys(reservation_id) != live:
            return
        dues = [(record, self._sleeps_until_ms(record, now_ms)) for record in records]
        soon = min(due_ms for _, due_ms in dues) < now_ms + NAP_MS
        if soon or not self.provisioner.quiet(reservation_id):
            return
        self.records.lull(reservation_id, dues, self.book.lull(reservation_id))
        for record in records:
            self._timers.set(PartDue(record.key), None)
        self._timers.set(ReservationDue(reservation_id), None)
        self._timers.set(AsleepDue(), self.records.next_due_ms())

    def _woken(self, record: Record, number: int) -> None:
        prep = record.part.prep
        assert prep is not None
        if record.live:
            self.book.awaken(prep, record.part.mapping, number)
        self._timers.set(PartDue(record.key), self._due_ms(record))
        boundary_ms = self.provisioner.boundary_ms(prep.reservation_id)
        self._timers.set(ReservationDue(prep.reservation_id), boundary_ms)

    def _sleeps_until_ms(self, record: Record, now_ms: int) -> int:
        """When a part wants attention next that is not HELD, and its devices."""
        prep = record.part.prep
        assert prep is not None
        times_ms = [prep.window.start_s * 1000, prep.window.end_s * 1000] if record.live else []
        return min([self._due_ms(record), *(time_ms for time_ms in times_ms if time_ms > now_ms)])

    def again(self, key: Key) -> None:
        """Lets a part be attended to a little later."""
        self._timers.set(PartDue(key), self.clock.now_ms() + AGAIN_MS)

    def overdue(self, key: Key) -> bool:
        """Whether a part wants attention now."""
        due_ms = self._timers.due_ms(PartDue(key))
        return due_ms is not None and due_ms <= self.clock.now_ms()

    def restore(self, part: Part) -> None:
        """Takes the capacity of a live part that held it before. Raises CalendarError."""
        if part.prep is not None:
            self.book.restore(part.prep, part.mapping)

    def _restore(self, record: Record) -> None:
        try:
            self.restore(record.part)
        except CalendarError as error:
            raise RestoreError(
                f"{self.book.domain.name} has promised more than its settings now allow: {error},"
                f" for part {'/'.join(record.key)}: put back what was taken away"
            ) from error

    def _dated(self, record: Record) -> Record:
        """A hold that was made before its expiry was stored expires as the settings say."""
        part, timeout_s = record.part, self.rules.hold_timeout_s
        if part.expires_ms != UNDATED_MS:
            return record
        expires_ms = None if timeout_s is None else part.changed_ms + timeout_s * 1000
        return replace(record, part=replace(part, expires_ms=expires_ms))

    def _data_plane_of(self, before: Record | None, part: Part) -> DataPlane:
        """The data plane that goes with a part's new state, before any device was asked."""
        committed = part.state is PartState.COMMITTED
        if part.state is PartState.HELD or (committed and not (before and before.live)):
            state = DataPlaneState.SCHEDULED
        elif before is not None and (committed or self.provisioner.configured(before.key)):
            return before.data_plane
        else:
            state = DataPlaneState.RELEASED
        found = before.data_plane if before is not None else NOTHING_YET
        return found if found.state is state else DataPlane(state, "", self.clock.now_ms())

    async def _settle_data_plane(self, key: Key, data_plane: DataPlane) -> None:
        async with self.turns.turn(key):
            before = self.records.get(key)
            if before is None:
                return
            record = replace(before, data_plane=data_plane)
            await self.write([record])
            self.keep(record)
            self._publish(before, record)
        _log.info(
            "data plane changed",
            part="/".join(key),
            state=data_plane.state.name,
            reason=data_plane.reason,
        )

    def _publish(self, before: Record | None, record: Record) -> None:
        if before is None or before.data_plane is record.data_plane:
            return
        if before.data_plane != record.data_plane:
            self.watchers.publish(record)

    def _due_ms(self, record: Record) -> int:
        """When a part wants attention next: an inquiry, its expiry, or to be forgotten."""
        part, grace_ms = record.part, self.rules.grace_s * 1000
        if part.state is PartState.HELD:
            if part.expires_ms is None and part.inquire_at_ms is not None:
                return part.inquire_at_ms
            times = [part.inquire_at_ms, None if self.rules.recovering else part.expires_ms]
            known = [time_ms for time_ms in times if time_ms is not None]
            return min(known, default=part.changed_ms + grace_ms)
        if part.prep is None:
            return part.changed_ms + participant.FORGET_UNSEEN_S * 1000
        return max(part.changed_ms, part.prep.window.end_s * 1000) + grace_ms
