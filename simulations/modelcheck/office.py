"""What one orchestrator's instances share and remember: its database, and their memories."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from orchestrator.records import FINAL, State
from protocol import coordinator
from protocol.transaction import CoordinatorPart, Decision, Transaction
from simulations.modelcheck.words import BrokenError

FOLLOWS = {
    Decision.UNDECIDED: {Decision.COMMIT, Decision.ABORT},
    Decision.COMMIT: {Decision.UNDO},
    Decision.ABORT: set(),
    Decision.UNDO: set(),
}
NONE = -1


class Record(NamedTuple):
    """A reservation's row. ``in_force`` and ``change`` are slots; ``change`` may be NONE."""

    state: State
    owner: int
    in_force: int
    change: int = NONE

    @property
    def going_on(self) -> bool:
        return self.state not in FINAL


class Memory(NamedTuple):
    """What one instance remembers.

    ``copies``: of transactions; ``seen``: in which epoch of each domain it is connected;
    ``busy``: the transactions that it negotiates (bits).
    """

    copies: tuple[Transaction | None, ...]
    seen: tuple[int, ...]
    busy: int = 0


class Office(NamedTuple):
    """The database (``records``, ``rows``, ``met``: epochs by domain) and each instance's memory.

    ``late``: by its clock, holds may have run out; only a weaker variant looks at it.
    """

    records: tuple[Record, ...]
    rows: tuple[Transaction | None, ...]
    met: tuple[int, ...]
    memories: tuple[Memory, ...]
    late: bool = False


class LostError(Exception):
    """As orchestrator.ports.LostError: another instance owns the reservation."""


class ConflictError(Exception):
    """As orchestrator.ports.ConflictError: it is decided already."""


class StaleEpochError(Exception):
    """As orchestrator.ports.StaleEpochError."""

    def __init__(self, domain: str, epoch: int) -> None:
        super().__init__(domain)
        self.domain, self.epoch = domain, epoch


class Kept(Transaction):
    """A transaction of which there is one object per value: the same object, or another value.

    States are compared all the time, and a transaction is a deep value.
    """

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


_kept: dict[tuple[object, ...], Kept] = {}


def timeless(tx: Transaction) -> Kept:
    """Without times, counts of attempts and reasons, which only multiply states."""
    statuses = tuple(
        (p.part_id, p.status, p.epoch, p.expires, p.prep.orchestrator_id) for p in tx.parts
    )
    key = (tx.transaction_id, tx.reservation_id, tx.decision, tx.told, statuses)
    known = _kept.get(key)
    if known is None:
        parts = tuple(replace(p, sent_ms=0, attempts=1, refusal=None) for p in tx.parts)
        known = Kept(tx.transaction_id, tx.reservation_id, tx.version, tx.decision, parts, tx.told)
        _kept[key] = known
    return known


def must_last(before: Transaction, after: Transaction) -> bool:
    """As in orchestrator.transactions: answers to holds of an undecided one are not written."""
    if before == after:
        return False
    if after.decision is not Decision.UNDECIDED:
        return True
    return {p.part_id for p in before.parts} != {p.part_id for p in after.parts}


def stored(office: Office, slot: int) -> Transaction | None:
    """The row that an inquiry finds."""
    return office.rows[slot]


def check_owner(office: Office, i: int, reservation: int) -> None:
    """The fence of every write. Raises LostError."""
    if office.records[reservation].owner != i:
        raise LostError


def check_undecided(office: Office, slot: int) -> None:
    """The compare-and-set of a decision. Raises ConflictError."""
    row = office.rows[slot]
    if row is not None and row.decision is not Decision.UNDECIDED:
        raise ConflictError


def check_epochs(office: Office, slot: int, after: Transaction, names: list[str]) -> None:
    """Success, or its undoing, may follow only from what domains said in their present epochs.

    Raises StaleEpochError.
    """
    row = office.rows[slot]
    if row is not None and (row.told or row.decision is after.decision is Decision.UNDO):
        return
    for part in coordinator.relied_on(after):
        epoch = office.met[names.index(part.domain)]
        if part.epoch < epoch:
            raise StaleEpochError(part.domain, epoch)


def remember(office: Office, i: int, slot: int, tx: Transaction | None) -> Office:
    """An instance's memory of one transaction."""
    memory = office.memories[i]
    copies = (*memory.copies[:slot], tx, *memory.copies[slot + 1 :])
    return with_memory(office, i, memory._replace(copies=copies))


def with_memory(office: Office, i: int, memory: Memory) -> Office:
    """The memory of one instance is another."""
    memories = (*office.memories[:i], memory, *office.memories[i + 1 :])
    return office._replace(memories=memories)


def with_record(office: Office, reservation: int, record: Record) -> Office:
    """Writes a reservation's row."""
    records = office.records
    return office._replace(records=(*records[:reservation], record, *records[reservation + 1 :]))


def with_row(office: Office, slot: int, tx: Transaction) -> Office:
    """Writes a row. Raises BrokenError where a decision or "told" goes back."""
    row = office.rows[slot]
    if row is not None:
        before, after, name = row.decision, tx.decision, tx.transaction_id
        if before is not after and after not in FOLLOWS[before]:
            raise BrokenError(f"{name} was decided {before.name} and now {after.name}")
        if row.told and (after is Decision.UNDO or not tx.told):
            raise BrokenError(f"{name} is undone after success was told")
    return office._replace(rows=(*office.rows[:slot], tx, *office.rows[slot + 1 :]))


def part_of(tx: Transaction, part_id: str) -> CoordinatorPart | None:
    """The part with this id."""
    return next((part for part in tx.parts if part.part_id == part_id), None)


def missing(tx: Transaction, plan: tuple[CoordinatorPart, ...]) -> bool:
    """Whether not all of a plan has been asked for."""
    return not {part.part_id for part in plan} <= {part.part_id for part in tx.parts}


def superfluous(tx: Transaction, plan: tuple[CoordinatorPart, ...]) -> tuple[str, ...]:
    """Parts of former plans that are not dropped yet."""
    wanted = {part.part_id for part in plan}
    return tuple(
        part.part_id
        for part in tx.parts
        if part.part_id not in wanted and part.status not in coordinator.DROPPED
    )
