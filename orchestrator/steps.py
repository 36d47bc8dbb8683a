"""What a step of a transaction changes: what of it must last, and the events of it. Pure."""

from __future__ import annotations

from orchestrator.events import Event, decided_event, settled_event, state_event
from orchestrator.ports import Changes, PartKey
from orchestrator.records import HandDecision, Reservation
from protocol.coordinator import (
    PROMISED,
    CoordinatorPart,
    Decision,
    PartStatus,
    Transaction,
)
from substrate.values import replace

SETTLED_WORDS = {
    PartStatus.COMMITTED: "COMMITTED",
    PartStatus.ABORTED: "ABORTED",
    PartStatus.RELEASED: "RELEASED",
}

NONE: frozenset[PartKey] = frozenset()

GONE = frozenset({PartStatus.RELEASED, PartStatus.REFUSED, PartStatus.ABORTED})
"""Statuses of parts of which their domains hold nothing."""


def with_state(record: Reservation, now_ms: int, before: Reservation | None = None) -> Changes:
    """The record with its event; with ``before``, also the answer to the Modify that it ends."""
    ended = before.change if before is not None and record.change is None else None
    return Changes(
        reservation=record,
        answers=ended.request_id if ended is not None else "",
        events=(state_event(record, now_ms),),
    )


def is_over(transaction: Transaction) -> bool:
    """Whether nothing of it stands, or will stand, anywhere."""
    if transaction.decision is Decision.COMMIT:
        return all(part.status in GONE for part in transaction.parts)
    return transaction.settled


def must_last(stored: Transaction, after: Transaction) -> bool:
    """Whether ``after`` must be written, over what is ``stored``.

    Holds being answered is not: an undecided transaction is aborted by recovery whatever its parts
    said (presumed abort).
    """
    if stored is after:
        return False
    # Parts are never taken away, and lie in the order of their ids.
    if len(stored.parts) != len(after.parts):
        return True
    if after.decision is Decision.UNDECIDED:
        return False
    if stored.decision is not after.decision or stored.told != after.told:
        return True
    return not all(map(_is_same, stored.parts, after.parts))


def may_wait(before: Transaction, after: Transaction) -> bool:
    """Whether the step may be written with a later one: some of several domains have confirmed.

    Should it be lost, they are told to commit once more, and confirm once more.
    """
    if before.decision is not after.decision or before.told != after.told:
        return False
    if after.decision is not Decision.COMMIT:
        return False
    awaited = False
    for part in after.parts:
        if part.status not in PROMISED:
            return False
        awaited = awaited or part.status is PartStatus.COMMITTING
    return awaited


def same_parts(stored: Transaction, after: Transaction) -> frozenset[PartKey]:
    """The parts that need not be written again."""
    if not stored.parts:
        return NONE
    known = {part.part_id: part for part in stored.parts}
    return frozenset(
        [
            (after.transaction_id, part.part_id)
            for part in after.parts
            if part.part_id in known and _is_same(known[part.part_id], part)
        ]
    )


def events_of(
    stored: Transaction, after: Transaction, hand: HandDecision | None, now_ms: int
) -> tuple[Event, ...]:
    """What was decided, and what domains have acknowledged; not what was said by hand."""
    reservation_id = after.reservation_id
    events = []
    if stored.decision is not after.decision:
        events.append(decided_event(reservation_id, after.decision._name_, now_ms))
    settled = [part for part in after.parts if part.status in SETTLED_WORDS]
    was = {part.part_id: part.status for part in stored.parts} if settled else {}
    by_hand = hand.part_id if hand is not None else None
    for part in settled:
        if was.get(part.part_id) is not part.status and part.part_id != by_hand:
            word = SETTLED_WORDS[part.status]
            events.append(settled_event(reservation_id, part.domain, word, now_ms))
    return tuple(events)


def is_older(transaction: Transaction, domain: str, epoch: int) -> bool:
    """Whether the domain's word is of an earlier epoch anywhere in it."""
    return any(part.domain == domain and part.epoch < epoch for part in transaction.parts)


def hurried(transaction: Transaction, domain: str) -> Transaction:
    """What waits for that domain is due now."""
    parts = tuple(
        replace(part, sent_ms=0, attempts=0) if part.domain == domain else part
        for part in transaction.parts
    )
    return replace(transaction, parts=parts)


def _is_same(one: CoordinatorPart, other: CoordinatorPart) -> bool:
    """But for what retries count."""
    return one is other or (
        one.status is other.status and one.refusal == other.refusal and one.epoch == other.epoch
    )
