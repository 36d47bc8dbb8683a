"""Messages to an orchestrator that nothing will come of any more, whatever happens.

They are left out of the set of messages under way, so that fewer states differ.
"""

from __future__ import annotations

from protocol.messages import Phase
from protocol.transaction import Decision, PartStatus, Transaction
from simulations.modelcheck.office import Office, part_of
from simulations.modelcheck.world import FIRST_EPOCH, Slot, World

AWAITS_COMMIT = frozenset(
    {PartStatus.HELD, PartStatus.COMMITTING, PartStatus.COMMITTED, PartStatus.NACKED}
)


def useless(world: World, number: int, office: Office) -> int:
    """The set of all such messages to one orchestrator in this state."""
    mail, mask = world.mail, 0
    for slot in world.slots[number]:
        row = office.rows[slot.number]
        if row is None:
            continue
        copies = [memory.copies[slot.number] for memory in office.memories]
        known = [row, *[copy for copy in copies if copy is not None]]
        for part_id in slot.parts:
            for phase in Phase:
                if not awaited(known, row, part_id, phase):
                    mask |= mail.answers[slot.transaction_id, part_id, phase]
            mask |= outdated(world, known, slot, part_id)
    for (to, domain, epoch), bit in mail.described.items():
        at = world.names.index(domain)
        if to == number and all(memory.seen[at] >= epoch for memory in office.memories):
            mask |= bit
    return mask


def awaited(known: list[Transaction], row: Transaction, part_id: str, phase: Phase) -> bool:
    """Whether an answer can still move a part, in the row or in anybody's memory."""
    if row.decision is Decision.UNDECIDED:
        return True
    for tx in known:
        part = part_of(tx, part_id)
        status = None if part is None else part.status
        match phase:
            case Phase.PREP:
                undecided = tx.decision is Decision.UNDECIDED
                moves = undecided and status in (None, PartStatus.PREPARING)
            case Phase.COMMIT:
                moves = status in AWAITS_COMMIT
            case Phase.ABORT:
                moves = status not in (PartStatus.ABORTED, None)
            case Phase.RELEASE:
                moves = status is not PartStatus.RELEASED
        if moves:
            return True
    return False


def outdated(world: World, known: list[Transaction], slot: Slot, part_id: str) -> int:
    """Answers of epochs before the one that every instance waits for."""
    parts = [part_of(tx, part_id) for tx in known]
    least = min((part.epoch if part is not None else 0) for part in parts)
    if least <= FIRST_EPOCH:
        return 0
    return world.mail.answers_until[slot.transaction_id, part_id, least - 1]
