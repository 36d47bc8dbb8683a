"""A transaction as its coordinator knows it, and what of it is in doubt (design, section 5).

What changes them is in :mod:`protocol.coordinator`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from operator import attrgetter

from protocol.messages import Inquire, Phase, ReservationPrep, ReservationResp
from substrate.model import Refusal
from substrate.values import dataclass


class Decision(Enum):
    """The one durable word of a transaction. UNDECIDED → COMMIT | ABORT; COMMIT → UNDO."""

    # Members are single objects; Enum would hash their names, in Python, at every look-up.
    __hash__ = object.__hash__

    UNDECIDED = auto()
    COMMIT = auto()
    ABORT = auto()
    UNDO = auto()


class PartStatus(Enum):
    """What the coordinator knows of one part."""

    __hash__ = object.__hash__

    PREPARING = auto()
    HELD = auto()
    REFUSED = auto()
    COMMITTING = auto()
    COMMITTED = auto()
    NACKED = auto()
    ABORTING = auto()
    ABORTED = auto()
    RELEASING = auto()
    RELEASED = auto()


WAITING = frozenset(
    {PartStatus.PREPARING, PartStatus.COMMITTING, PartStatus.ABORTING, PartStatus.RELEASING}
)
"""A message was sent whose answer is not in yet."""
PROMISED = frozenset({PartStatus.COMMITTING, PartStatus.COMMITTED})
"""Part of what is committed, and not given back."""
DROPPED = frozenset({PartStatus.ABORTING, PartStatus.ABORTED})
"""Not part of what is committed."""


@dataclass(frozen=True, slots=True)
class CoordinatorPart:
    """One part as its coordinator knows it.

    ``expires``: its domain may drop the hold by itself. ``epoch``: the agent's epoch in which it
    was last answered for; answers of an older epoch do not count (rules 4 and 7).
    """

    domain: str
    part_id: str
    prep: ReservationPrep
    expires: bool
    status: PartStatus = PartStatus.PREPARING
    refusal: Refusal | None = None
    sent_ms: int = 0
    attempts: int = 0
    epoch: int = 0

    # As ``replace``, several times faster: for every message of every domain.

    def sent(self, status: PartStatus, now_ms: int) -> CoordinatorPart:
        """With this status, for which a message is sent for the first time."""
        return CoordinatorPart(
            self.domain,
            self.part_id,
            self.prep,
            self.expires,
            status,
            self.refusal,
            now_ms,
            1,
            self.epoch,
        )

    def answered(self, status: PartStatus, refusal: Refusal | None, epoch: int) -> CoordinatorPart:
        """With the status that its domain's answer gives it, in that epoch of the agent."""
        return CoordinatorPart(
            self.domain,
            self.part_id,
            self.prep,
            self.expires,
            status,
            refusal,
            self.sent_ms,
            self.attempts,
            epoch,
        )


_STATUS = attrgetter("status")


@dataclass(frozen=True, slots=True)
class Transaction:
    """One Reserve, or one Modify. ``parts`` are sorted by ``part_id``.

    ``told`` remembers that success was told where that followed from the acknowledgements.
    """

    transaction_id: str
    reservation_id: str
    version: int
    decision: Decision = Decision.UNDECIDED
    parts: tuple[CoordinatorPart, ...] = ()
    told: bool = False

    def having(
        self, parts: Sequence[CoordinatorPart], decision: Decision | None = None
    ) -> Transaction:
        """With these parts, and perhaps another decision."""
        return Transaction(
            self.transaction_id,
            self.reservation_id,
            self.version,
            decision or self.decision,
            tuple(parts),
            self.told,
        )

    @property
    def told_success(self) -> bool:
        """Whether the user may hear "success" (rule 4); once true it stays true."""
        return self.told

    @property
    def settled(self) -> bool:
        """Decided, and no answer is awaited."""
        if self.decision is Decision.UNDECIDED:
            return False
        return WAITING.isdisjoint(map(_STATUS, self.parts))

    @property
    def given_back(self) -> bool:
        """Whether any of it is being released, or was: it is not in force any more."""
        gone = (PartStatus.RELEASING, PartStatus.RELEASED)
        return any(part.status in gone for part in self.parts)

    @property
    def all_held(self) -> bool:
        """Whether COMMIT may be decided."""
        wanted = [part for part in self.parts if part.status not in DROPPED]
        return bool(wanted) and all(part.status is PartStatus.HELD for part in wanted)

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Why parts were refused or NACKed."""
        return tuple(part.refusal for part in self.parts if part.refusal is not None)

    @property
    def broken_parts(self) -> tuple[CoordinatorPart, ...]:
        """Parts that a domain NACKed although success had been told: reconciliation's business."""
        if self.decision is not Decision.COMMIT:
            return ()
        return tuple(part for part in self.parts if part.status is PartStatus.NACKED)


def begin(transaction_id: str, reservation_id: str, version: int) -> Transaction:
    """A transaction without parts."""
    return Transaction(transaction_id, reservation_id, version)


SETTLEMENTS: dict[tuple[PartStatus, bool], PartStatus] = {
    (PartStatus.COMMITTING, True): PartStatus.COMMITTED,
    (PartStatus.COMMITTING, False): PartStatus.NACKED,
    (PartStatus.ABORTING, False): PartStatus.ABORTED,
    (PartStatus.RELEASING, False): PartStatus.RELEASED,
    (PartStatus.NACKED, True): PartStatus.COMMITTED,
    (PartStatus.NACKED, False): PartStatus.RELEASED,
}
"""What a part in doubt becomes by hand: commit (True: the domain did what it was told) or give up
(False: it holds nothing)."""


def possible_settlements(status: PartStatus) -> tuple[bool, ...]:
    """What an operator may decide of a part in doubt: commit (True), give up (False)."""
    return tuple(commit for commit in (True, False) if (status, commit) in SETTLEMENTS)


def in_doubt(tx: Transaction) -> tuple[CoordinatorPart, ...]:
    """Parts whose domains have not acknowledged what was decided, or say that they cannot."""
    if tx.decision is Decision.UNDECIDED:
        return ()
    return tuple(part for part in tx.parts if _is_in_doubt(tx, part))


def contradicts(status: PartStatus, commit: bool, word: ReservationResp | Inquire) -> bool:
    """Whether a domain's word says otherwise than an operator did of a part that is now so."""
    if isinstance(word, Inquire):
        return not commit
    said = (status, commit, word.ok)
    otherwise = ((PartStatus.COMMITTED, True, False), (PartStatus.NACKED, False, True))
    return word.phase is Phase.COMMIT and said in otherwise


def _is_in_doubt(tx: Transaction, part: CoordinatorPart) -> bool:
    if part.status is PartStatus.NACKED:
        return tx.decision is Decision.COMMIT
    return (part.status, False) in SETTLEMENTS
