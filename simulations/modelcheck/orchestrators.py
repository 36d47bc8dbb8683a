"""Everything that may happen next at one orchestrator, and what must hold in each state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from orchestrator.records import State
from protocol.coordinator import (
    Decide,
    Drop,
    Prepare,
    ReleaseAll,
)
from protocol.transaction import (
    DROPPED,
    Decision,
    PartStatus,
    Transaction,
)
from simulations.modelcheck.instances import Done, Instances
from simulations.modelcheck.office import (
    NONE,
    LostError,
    Office,
    Record,
    check_owner,
    missing,
    part_of,
    superfluous,
    with_record,
)
from simulations.modelcheck.useless import useless
from simulations.modelcheck.words import BrokenError, Move, said
from simulations.modelcheck.world import FIRST_EPOCH, Slot, World

Choice = tuple[str, Callable[[], Done]]
GIVEN_BACK = frozenset({PartStatus.RELEASING, PartStatus.RELEASED})


def may_commit(office: Office) -> bool:
    """Whether, all parts being held, COMMIT may be tried now."""
    return True


class Orchestrator:
    """One orchestrator as a party of the model."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        self.instances = Instances(world, number)
        self.slots = self.instances.slots

    def start(self) -> Office:
        return self.instances.start()

    def alone(self, office: Office) -> list[Move[Office]]:
        """Every step that needs no message. Raises BrokenError."""
        return self._possible(office, self.choices(office))

    def hears(self, office: Office, bit: int) -> list[Move[Office]]:
        """What any instance makes of one message. Raises BrokenError."""
        message = self.world.mail.messages[bit]
        choices: list[Choice] = []
        for i in range(self.instances.count):
            words = f"{self.instances.name(i)} hears {said(message)}"
            choices.append((words, partial(self.instances.hear, office, i, message)))
        return self._possible(office, choices)

    def choices(self, office: Office) -> Iterator[Choice]:
        """What it may do by itself, or its users ask."""
        for i in range(self.instances.count):
            for reservation, record in enumerate(office.records):
                yield from self._of_reservation(office, i, reservation, record)
            for slot in self.slots:
                tx = office.memories[i].copies[slot.number]
                if tx is not None:
                    yield from self._of_transaction(office, i, slot, tx)
        for at, epoch in enumerate(office.met):
            for i, memory in enumerate(office.memories):
                if memory.seen[at] == epoch > FIRST_EPOCH:
                    words = f"{self.instances.name(i)} claims what {self.world.names[at]} must hold"
                    yield words, partial(self._claims, office, at)
                    break

    def problem(self, office: Office) -> str | None:
        """What must never be in the database."""
        for slot, row in zip(self.slots, office.rows, strict=True):
            if row is not None and row.told and row.broken_parts:
                broken = ", ".join(part.part_id for part in row.broken_parts)
                return f"{slot.transaction_id} was told, and {broken} refuses it"
        for record in office.records:
            row = office.rows[record.in_force]
            if record.state is not State.COMMITTED:
                continue
            if row is None or not row.told or row.decision is not Decision.COMMIT:
                return f"{self.slots[record.in_force].transaction_id} is in force untold"
            if any(part.status in GIVEN_BACK for part in row.parts):
                return f"{row.transaction_id} is in force and given back"
        return None

    def promised(self, office: Office) -> frozenset[tuple[str, str]]:
        """What users were told that they have: transactions and domains."""
        found = set()
        for slot, row in zip(self.slots, office.rows, strict=True):
            if row is None:
                continue
            record = office.records[slot.reservation]
            in_force = record.state is State.COMMITTED and record.in_force == slot.number
            for part in row.parts:
                if part.status in DROPPED or part.status in GIVEN_BACK:
                    continue
                if row.told or in_force:
                    found.add((row.transaction_id, part.domain))
        return frozenset(found)

    def settled(self, office: Office) -> dict[tuple[str, str], bool]:
        """Of transactions that wait for nothing: whether each of their parts stands."""
        return {
            (row.transaction_id, part.domain): part.status is PartStatus.COMMITTED
            for row in office.rows
            if row is not None and row.settled
            for part in row.parts
        }

    def dead(self, office: Office) -> int:
        """Messages that nothing will come of any more, whatever happens."""
        return useless(self.world, self.number, office)

    def show(self, office: Office) -> str:
        """The database in a few words."""
        words = []
        for record in office.records:
            owner = self.instances.name(record.owner)
            in_force = self.slots[record.in_force]
            words.append(f"{in_force.reservation_id} {record.state.name}, owned by {owner}")
        for row in office.rows:
            if row is not None:
                parts = ", ".join(f"{part.part_id} {part.status.name}" for part in row.parts)
                told = ", told" if row.told else ""
                words.append(f"{row.transaction_id} {row.decision.name}{told} ({parts})")
        return "; ".join(words)

    def _claims(self, office: Office, at: int) -> Done:
        return office, self.instances.claims(office, at)

    def _of_reservation(
        self, office: Office, i: int, reservation: int, record: Record
    ) -> Iterator[Choice]:
        instances, booking = self.instances, self.instances.bookings[reservation]
        name, which = instances.name(i), self.slots[record.in_force].reservation_id
        if self.world.scenario.restarts:
            words = "starts again with" if record.owner == i else "takes over"
            yield f"{name} {words} {which}", lambda: (instances.take(office, i, reservation), 0)
        if record.owner != i or not record.going_on:
            return
        if booking.cancel:
            words = f"the user cancels {which} at {name}"
            yield words, lambda: instances.cancel(office, i, reservation)
        slot = self.world.change[self.number].get(reservation)
        if slot is not None and record.state is State.COMMITTED and office.rows[slot] is None:
            wanted = record._replace(change=slot)
            words = f"the user modifies {which} at {name}"
            yield words, lambda: (instances.opened(office, i, slot, wanted), 0)
        yield from self.recorded(office, i, reservation, record)

    def recorded(
        self, office: Office, i: int, reservation: int, record: Record, retries: bool = True
    ) -> Iterator[Choice]:
        """What the record becomes when its transaction is decided; the owner alone.

        Without ``retries`` nothing is negotiated again.
        """
        pending = record.in_force if record.state is State.NEGOTIATING else record.change
        row = None if pending == NONE else office.rows[pending]
        if row is None or row.decision is Decision.UNDECIDED:
            return
        name = self.instances.name(i)
        if row.told:
            after = record._replace(state=State.COMMITTED, in_force=pending, change=NONE)
            words = f"{name} records that {row.transaction_id} is in force"
            yield words, lambda: (with_record(office, reservation, after), 0)
        elif row.decision is not Decision.COMMIT:
            again = self.world.again[self.number].get(reservation, NONE)
            if retries and row.decision is Decision.ABORT and _is_free(office, again):
                words = f"{name} negotiates again"
                new = record._replace(in_force=again)
                yield words, lambda: (self.instances.opened(office, i, again, new), 0)
            failed = _failed(record)
            words = f"{name} records that {row.transaction_id} failed"
            yield words, lambda: (with_record(office, reservation, failed), 0)

    def _of_transaction(
        self, office: Office, i: int, slot: Slot, tx: Transaction
    ) -> Iterator[Choice]:
        instances, record = self.instances, office.records[slot.reservation]
        name, n = instances.name(i), slot.number
        if tx.decision is Decision.UNDECIDED:
            if office.memories[i].busy >> n & 1:
                yield from self._negotiation(office, i, slot, tx)
            else:
                words = f"{name} aborts {slot.transaction_id}"
                yield words, lambda: instances.apply(office, i, n, Decide(False))
        elif tx.decision is Decision.COMMIT and n not in (record.in_force, record.change):
            words = f"{name} gives {slot.transaction_id} back"
            yield words, lambda: instances.apply(office, i, n, ReleaseAll())
        if office.memories[i].busy >> n & 1:
            return
        for at, epoch in enumerate(office.met):
            part = part_of(tx, self.world.names[at])
            if part is not None and max(part.epoch, FIRST_EPOCH) < epoch:
                words = f"{name} tells {slot.transaction_id} that {part.domain} is in epoch {epoch}"
                yield words, partial(instances.raised, office, i, n, at)

    def _negotiation(self, office: Office, i: int, slot: Slot, tx: Transaction) -> Iterator[Choice]:
        instances, record = self.instances, office.records[slot.reservation]
        name, n = instances.name(i), slot.number
        for number, plan in enumerate(slot.plans):
            rest = superfluous(tx, plan)
            words = f"{name} prepares plan {number + 1} of {slot.transaction_id}"
            if missing(tx, plan):
                yield words, partial(instances.apply, office, i, n, Prepare(plan))
            elif rest:
                yield (
                    f"{name} drops {', '.join(rest)} from {slot.transaction_id}",
                    partial(instances.apply, office, i, n, Drop(rest)),
                )
            elif tx.all_held and may_commit(office):
                words = f"{name} decides COMMIT of {slot.transaction_id}"
                yield words, lambda: self.commit(office, i, slot, record)
        words = f"{name} gives {slot.transaction_id} up"
        yield words, lambda: instances.apply(office, i, n, Decide(False), _failed(record))

    def commit(self, office: Office, i: int, slot: Slot, record: Record) -> Done:
        """As Engine.commit: the record goes with the decision where success may be told."""
        after, sent = self.instances.apply(office, i, slot.number, Decide(True), record)
        row = after.memories[i].copies[slot.number]
        if row is None or row.decision is not Decision.COMMIT or not row.told:
            return after, sent
        check_owner(office, i, slot.reservation)
        told = record._replace(state=State.COMMITTED, in_force=slot.number, change=NONE)
        return with_record(after, slot.reservation, told), sent

    def _possible(self, office: Office, choices: Iterable[Choice]) -> list[Move[Office]]:
        """What is not stopped by a fence, and changes anything."""
        found = []
        for words, step in choices:
            try:
                after, sent = step()
            except LostError:
                continue
            except BrokenError as broken:
                raise BrokenError(f"{words}: {broken}") from broken
            if self.instances.restorable:
                sent |= self.instances.due(after)
            if after != office or sent:
                found.append((words, after, sent))
        return found


def _is_free(office: Office, slot: int) -> bool:
    return slot != NONE and office.rows[slot] is None


def _failed(record: Record) -> Record:
    if record.state is State.NEGOTIATING:
        return record._replace(state=State.FAILED)
    return record._replace(change=NONE)
