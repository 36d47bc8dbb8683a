"""The steps of one orchestrator's instances: ``orchestrator/`` around the shipped coordinator.

``apply`` is ``Transactions.apply`` and ``MemoryStore.save`` in one: a step, its write if it must
last, then its messages. An instance that writes what it does not own any more notices and changes
nothing; its stale memory stays, which is the worst it can do.
"""

from __future__ import annotations

from contextlib import suppress

from orchestrator.records import State
from protocol import coordinator
from protocol.coordinator import (
    Answered,
    Decide,
    EpochRaised,
    Event,
    Inquired,
    Outbound,
    ReleaseAll,
    Retry,
    answer_unknown,
)
from protocol.messages import Claim, Inquire, ReservationResp
from protocol.transaction import Decision, Transaction, begin
from simulations.modelcheck import office as offices
from simulations.modelcheck.office import (
    NONE,
    ConflictError,
    LostError,
    Memory,
    Office,
    Record,
    StaleEpochError,
    must_last,
    remember,
    timeless,
    with_memory,
    with_record,
    with_row,
)
from simulations.modelcheck.words import said
from simulations.modelcheck.world import (
    FIRST_EPOCH,
    INSTANCES,
    LATER_MS,
    NOW_MS,
    Described,
    Message,
    Slot,
    World,
)

Done = tuple[Office, int]
"""The state after a step, and the messages that it sends."""


class Instances:
    """What the instances of one orchestrator do, one step each."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number, self.mail = world, number, world.mail
        self.slots = world.slots[number]
        self.bookings = world.bookings[number]
        self.count = world.scenario.instances
        self.restorable = any(spec.restores for spec in world.scenario.domains)
        self._slot_of = {slot.transaction_id: slot.number for slot in self.slots}

    def start(self) -> Office:
        """Every reservation is recorded by the first instance, and nothing is sent yet."""
        rows: list[Transaction | None] = [None] * len(self.slots)
        records, busy = [], 0
        for reservation in range(len(self.bookings)):
            slot = next(slot for slot in self.slots if slot.reservation == reservation)
            rows[slot.number] = self.fresh(slot)
            busy |= 1 << slot.number
            records.append(Record(State.NEGOTIATING, 0, slot.number))
        met = (FIRST_EPOCH,) * len(self.world.names)
        nothing = Memory((None,) * len(rows), met)
        memories = (Memory(tuple(rows), met, busy), *[nothing] * (self.count - 1))
        return Office(tuple(records), tuple(rows), met, memories)

    def fresh(self, slot: Slot) -> Transaction:
        """A transaction without parts."""
        return timeless(begin(slot.transaction_id, slot.reservation_id, 1))

    def post(self, office: Office, i: int, outbound: tuple[Outbound, ...]) -> int:
        """Messages of one instance to domains, as a set."""
        mask, seen = 0, office.memories[i].seen
        for item in outbound:
            epoch = seen[self.world.names.index(item.domain)]
            mask |= self.mail.to_domain(item.domain, epoch, item.message)
        return mask

    def due(self, office: Office) -> int:
        """All that every instance may send again, as a set."""
        mask = 0
        for i, memory in enumerate(office.memories):
            for tx in memory.copies:
                if tx is not None:
                    mask |= self.post(office, i, coordinator.step(tx, Retry(), LATER_MS)[1])
        return mask

    def apply(
        self, office: Office, i: int, slot: int, cause: Event, record: Record | None = None
    ) -> Done:
        """One step of a transaction that instance ``i`` remembers; ``record`` is written with it.

        Raises LostError.
        """
        live = office.memories[i].copies[slot]
        assert live is not None
        while True:
            try:
                after, outbound = coordinator.step(live, cause, NOW_MS)
            except ValueError:
                # A hold turned out to be forgotten: there is no COMMIT, the next step gives up.
                return remember(office, i, slot, live), 0
            after = timeless(after)
            try:
                office = self._written(office, i, slot, live, after, record)
            except StaleEpochError as stale:
                raised, _ = coordinator.step(live, EpochRaised(stale.domain, stale.epoch), NOW_MS)
                raised = timeless(raised)
                office = self._written(office, i, slot, live, raised, None)
                live = raised
                continue
            except ConflictError:
                return remember(office, i, slot, office.rows[slot]), 0
            return remember(office, i, slot, after), self.post(office, i, outbound)

    def hear(self, office: Office, i: int, message: Message) -> Done:
        """What a domain says, heard by one instance. Raises LostError."""
        match message:
            case ReservationResp():
                slot = self._slot_of[message.transaction_id]
                if office.memories[i].copies[slot] is None:
                    return office, 0
                return self.apply(office, i, slot, Answered(message.part_id, message))
            case Inquire():
                return self.inquired(office, i, message)
            case Described(domain, epoch):
                return self.connect(office, i, domain, epoch), 0
            case _:
                raise TypeError(said(message))

    def inquired(self, office: Office, i: int, inquire: Inquire) -> Done:
        """Answered from memory or from the row; without a row, ABORT is written first (rule 2)."""
        slot = self._slot_of[inquire.transaction_id]
        tx = office.memories[i].copies[slot] or offices.stored(office, slot)
        if tx is not None:
            _, outbound = coordinator.step(tx, Inquired(inquire.part_id, inquire), NOW_MS)
            return office, self.post(office, i, outbound)
        return self.presume(office, i, self.slots[slot], inquire)

    def presume(self, office: Office, i: int, slot: Slot, inquire: Inquire) -> Done:
        """Presumed abort: written, then said."""
        offices.check_owner(office, i, slot.reservation)
        aborted, _ = coordinator.step(self.fresh(slot), Decide(commit=False), NOW_MS)
        office = with_row(office, slot.number, timeless(aborted))
        return office, self.post(office, i, (Outbound(inquire.part_id, answer_unknown(inquire)),))

    def meet(self, office: Office, domain: str, epoch: int) -> Office:
        """The epoch of a restored domain is written; it only grows."""
        at = self.world.names.index(domain)
        if epoch <= office.met[at]:
            return office
        return office._replace(met=(*office.met[:at], epoch, *office.met[at + 1 :]))

    def connect(self, office: Office, i: int, domain: str, epoch: int) -> Office:
        """As Reconciling.meet, in two steps: first the epoch is written, then all that this
        instance remembers hears of it, and only then it sends in the new epoch."""
        at, memory = self.world.names.index(domain), office.memories[i]
        if epoch > office.met[at]:
            return self.meet(office, domain, epoch)
        if epoch < office.met[at] or epoch <= memory.seen[at]:
            return office
        for slot, tx in enumerate(memory.copies):
            if tx is not None:
                with suppress(LostError):
                    office, _ = self.apply(office, i, slot, EpochRaised(domain, epoch))
        memory = office.memories[i]
        seen = (*memory.seen[:at], epoch, *memory.seen[at + 1 :])
        return with_memory(office, i, memory._replace(seen=seen))

    def raised(self, office: Office, i: int, slot: int, at: int) -> Done:
        """A new owner tells a transaction which epoch a domain is in now. Raises LostError."""
        cause = EpochRaised(self.world.names[at], office.met[at])
        return self.apply(office, i, slot, cause)

    def claims(self, office: Office, at: int) -> int:
        """The set of one Claims message to a domain: all that the database holds it to."""
        domain = self.world.names[at]
        found = [
            claim
            for record, slots in zip(office.records, self._slots_by_reservation(), strict=True)
            if record.going_on
            for slot in slots
            for claim in self._claims_of(office, slot, domain)
        ]
        return self.mail.snapshot(self.number, domain, office.met[at], found)

    def take(self, office: Office, i: int, reservation: int) -> Office:
        """``i`` takes a reservation over, or starts again with its own, after a crash."""
        record = office.records[reservation]
        memory = office.memories[i]
        copies, busy = list(memory.copies), memory.busy
        for slot in self._slots_by_reservation()[reservation]:
            row = office.rows[slot.number]
            wanted = row is not None and (
                not row.settled or (record.going_on and row.decision is Decision.COMMIT)
            )
            copies[slot.number] = row if wanted else None
            busy &= ~(1 << slot.number)
        if not self.restorable:
            office = self._without_stale(office, i, reservation)
        office = with_memory(office, i, memory._replace(copies=tuple(copies), busy=busy))
        return with_record(office, reservation, record._replace(owner=i))

    def _without_stale(self, office: Office, i: int, reservation: int) -> Office:
        """Decided transactions are left out of the memories of former owners.

        All that those could say of them is under way already, and what they write is stopped by the
        fence. Where domains are restored it is not so: there they may say it again in a new epoch.
        """
        for slot in self._slots_by_reservation()[reservation]:
            for j, memory in enumerate(office.memories):
                tx = memory.copies[slot.number]
                if j != i and tx is not None and tx.decision is not Decision.UNDECIDED:
                    office = remember(office, j, slot.number, None)
        return office

    def opened(self, office: Office, i: int, slot: int, record: Record) -> Office:
        """A new transaction is written with the record that names it, and negotiated here."""
        offices.check_owner(office, i, self.slots[slot].reservation)
        tx = self.fresh(self.slots[slot])
        office = remember(with_row(office, slot, tx), i, slot, tx)
        memory = office.memories[i]
        office = with_memory(office, i, memory._replace(busy=memory.busy | 1 << slot))
        return with_record(office, self.slots[slot].reservation, record)

    def cancel(self, office: Office, i: int, reservation: int) -> Done:
        """All there is of a reservation is aborted or given back, in one write with its record.

        Raises LostError.
        """
        record, mask = office.records[reservation], 0
        gone = record._replace(state=State.CANCELLED, change=NONE)
        for slot in self._slots_by_reservation()[reservation]:
            tx = office.memories[i].copies[slot.number]
            if tx is not None:
                undecided = tx.decision is Decision.UNDECIDED
                cause = Decide(commit=False) if undecided else ReleaseAll()
                office, sent = self.apply(office, i, slot.number, cause, gone)
                mask |= sent
        offices.check_owner(office, i, reservation)
        return with_record(office, reservation, gone), mask

    def name(self, i: int) -> str:
        """An instance in a trace."""
        prefix = f"o{self.number}" if self.world.scenario.orchestrators > 1 else ""
        return prefix + INSTANCES[i]

    def _written(
        self,
        office: Office,
        i: int,
        slot: int,
        before: Transaction,
        after: Transaction,
        record: Record | None,
    ) -> Office:
        if record is None and not must_last(before, after):
            return office
        reservation = self.slots[slot].reservation
        offices.check_owner(office, i, reservation)
        offices.check_epochs(office, slot, after, self.world.names)
        if before.decision is Decision.UNDECIDED and before.decision is not after.decision:
            offices.check_undecided(office, slot)
        office = with_row(office, slot, after)
        return office if record is None else with_record(office, reservation, record)

    def _slots_by_reservation(self) -> list[list[Slot]]:
        found: list[list[Slot]] = [[] for _ in self.bookings]
        for slot in self.slots:
            found[slot.reservation].append(slot)
        return found

    def _claims_of(self, office: Office, slot: Slot, domain: str) -> tuple[Claim, ...]:
        row = office.rows[slot.number]
        return () if row is None else coordinator.claims(row, domain)
