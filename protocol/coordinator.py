"""The coordinator of the two-phase commit: one transaction over many domains (design, section 5).

``step`` is pure: state and event in, state and messages out. The caller makes the new state
durable before the messages leave, a decision by compare-and-set on one row (rule 2), and answers
inquiries of transactions that it does not know with ``answer_unknown`` after it has written ABORT.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from protocol.messages import (
    Abort,
    Claim,
    Commit,
    Inquire,
    PartMessage,
    Phase,
    Release,
    ReservationPrep,
    ReservationResp,
)
from substrate.model import Refusal, RefusalKind

RETRY_FIRST_MS = 1_000
RETRY_MAX_MS = 60_000


class Decision(Enum):
    """The one durable word of a transaction. UNDECIDED → COMMIT | ABORT; COMMIT → UNDO."""

    UNDECIDED = auto()
    COMMIT = auto()
    ABORT = auto()
    UNDO = auto()


class PartStatus(Enum):
    """What the coordinator knows of one part."""

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

    @property
    def told_success(self) -> bool:
        """Whether the user may hear "success" (rule 4); once true it stays true."""
        return self.told

    @property
    def settled(self) -> bool:
        """Decided, and no answer is awaited."""
        waits = any(part.status in WAITING for part in self.parts)
        return self.decision is not Decision.UNDECIDED and not waits

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


@dataclass(frozen=True, slots=True)
class Prepare:
    """Ask these domains to hold these parts."""

    parts: tuple[CoordinatorPart, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """Give these parts up: another plan does without them."""

    part_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decide:
    """Decide: COMMIT (only when all is held) or ABORT."""

    commit: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """A domain answered."""

    domain: str
    response: ReservationResp


@dataclass(frozen=True, slots=True)
class Inquired:
    """A domain asks for the decision."""

    domain: str
    inquire: Inquire


@dataclass(frozen=True, slots=True)
class EpochRaised:
    """A domain was restored from a backup: what it said in earlier epochs may be forgotten."""

    domain: str
    epoch: int


@dataclass(frozen=True, slots=True)
class ReleaseAll:
    """Give back what was committed: a cancel, or a version that another one replaces."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Time passed: send again what is due."""


Event = Prepare | Drop | Decide | Answered | Inquired | EpochRaised | ReleaseAll | Retry


@dataclass(frozen=True, slots=True)
class Outbound:
    """A message to a domain."""

    domain: str
    message: PartMessage


Step = tuple[Transaction, tuple[Outbound, ...]]

ANSWERS: dict[tuple[PartStatus, Phase, bool], PartStatus] = {
    (PartStatus.PREPARING, Phase.PREP, True): PartStatus.HELD,
    (PartStatus.PREPARING, Phase.PREP, False): PartStatus.REFUSED,
    (PartStatus.COMMITTING, Phase.COMMIT, True): PartStatus.COMMITTED,
    (PartStatus.COMMITTING, Phase.COMMIT, False): PartStatus.NACKED,
    (PartStatus.ABORTING, Phase.ABORT, True): PartStatus.ABORTED,
    (PartStatus.RELEASING, Phase.RELEASE, True): PartStatus.RELEASED,
}
"""Which answer moves a part where; any other answer is late or doubled and changes nothing."""

MESSAGE: dict[PartStatus, type[Commit] | type[Abort] | type[Release]] = {
    PartStatus.COMMITTING: Commit,
    PartStatus.COMMITTED: Commit,
    PartStatus.ABORTING: Abort,
    PartStatus.ABORTED: Abort,
    PartStatus.REFUSED: Abort,
    PartStatus.NACKED: Release,
    PartStatus.RELEASING: Release,
    PartStatus.RELEASED: Release,
}
"""What a part in a status must hear, when it asks or has not answered. One that is broken (NACKED
after success was told) and asks all the same, hears Commit: it holds what the user was promised."""


def begin(transaction_id: str, reservation_id: str, version: int) -> Transaction:
    """A transaction without parts."""
    return Transaction(transaction_id, reservation_id, version)


def answer_unknown(inquire: Inquire) -> Abort:
    """Presumed abort (rule 2): the answer where there was no record, once ABORT is written."""
    return Abort(inquire.transaction_id, inquire.part_id)


def step(tx: Transaction, event: Event, now_ms: int) -> Step:
    """The transaction after ``event`` and what to send; ``tx`` itself when nothing changed.

    Raises ValueError for a step that the state does not allow.
    """
    match event:
        case Prepare(parts):
            return _prepare(tx, parts, now_ms)
        case Drop(part_ids):
            return _drop(tx, part_ids, now_ms)
        case Decide(commit):
            return _decide(tx, commit, now_ms)
        case Answered(domain, response):
            return _answered(tx, domain, response, now_ms)
        case Inquired(domain, inquire):
            return tx, _inquired(tx, domain, inquire)
        case EpochRaised(domain, epoch):
            return _epoch_raised(tx, domain, epoch, now_ms), ()
        case ReleaseAll():
            return _release_all(tx, now_ms)
        case Retry():
            return _retry(tx, now_ms)


def _prepare(tx: Transaction, parts: tuple[CoordinatorPart, ...], now_ms: int) -> Step:
    _must_be_undecided(tx, "Prepare")
    known = {part.part_id for part in tx.parts}
    fresh = [
        replace(part, status=PartStatus.PREPARING, sent_ms=now_ms, attempts=1)
        for part in parts
        if part.part_id not in known
    ]
    if not fresh:
        return tx, ()
    every = sorted([*tx.parts, *fresh], key=lambda part: part.part_id)
    return replace(tx, parts=tuple(every)), tuple(Outbound(p.domain, p.prep) for p in fresh)


def _drop(tx: Transaction, part_ids: tuple[str, ...], now_ms: int) -> Step:
    _must_be_undecided(tx, "Drop")
    live = (PartStatus.PREPARING, PartStatus.HELD)
    moves = dict.fromkeys(live, PartStatus.ABORTING) | {PartStatus.REFUSED: PartStatus.ABORTED}
    return _move(tx, now_ms, moves, frozenset(part_ids))


def _decide(tx: Transaction, commit: bool, now_ms: int) -> Step:
    wanted = Decision.COMMIT if commit else Decision.ABORT
    if tx.decision is wanted:
        return tx, ()
    _must_be_undecided(tx, f"Decide({wanted.name})")
    if not commit:
        live = (PartStatus.PREPARING, PartStatus.HELD)
        decided = replace(tx, decision=Decision.ABORT)
        return _move(decided, now_ms, dict.fromkeys(live, PartStatus.ABORTING))
    if not tx.all_held:
        raise ValueError(f"Decide(COMMIT) of {tx.transaction_id}: not every part is held")
    decided = replace(tx, decision=Decision.COMMIT)
    after, outbound = _move(decided, now_ms, {PartStatus.HELD: PartStatus.COMMITTING})
    return replace(after, told=_may_tell(after)), outbound


def _answered(tx: Transaction, domain: str, response: ReservationResp, now_ms: int) -> Step:
    parts = list(tx.parts)
    for i, part in enumerate(parts):
        if part.part_id == response.part_id and part.domain == domain:
            if response.agent_epoch < part.epoch:
                return tx, ()
            status = ANSWERS.get((part.status, response.phase, response.ok))
            if status is None:
                return tx, ()
            refusal = None
            if not response.ok:
                given = response.refusal or Refusal(RefusalKind.UNAVAILABLE, "no reason given")
                refusal = replace(given, domain=domain)
            parts[i] = _with_status(part, status, refusal, response.agent_epoch)
            after = replace(tx, parts=tuple(parts))
            if status is PartStatus.NACKED and not tx.told:
                return _undo(after, now_ms)
            if not tx.told and _may_tell(after):
                after = replace(after, told=True)
            return after, ()
    return tx, ()


def _with_status(
    part: CoordinatorPart, status: PartStatus, refusal: Refusal | None, epoch: int
) -> CoordinatorPart:
    """As ``replace``, several times faster: this runs for every answer of every domain."""
    return CoordinatorPart(
        domain=part.domain,
        part_id=part.part_id,
        prep=part.prep,
        expires=part.expires,
        status=status,
        refusal=refusal,
        sent_ms=part.sent_ms,
        attempts=part.attempts,
        epoch=epoch,
    )


def _undo(tx: Transaction, now_ms: int) -> Step:
    """A domain dropped its hold before success was told: the others give theirs back (rule 4)."""
    live = (PartStatus.COMMITTING, PartStatus.COMMITTED)
    return _move(
        replace(tx, decision=Decision.UNDO), now_ms, dict.fromkeys(live, PartStatus.RELEASING)
    )


def _inquired(tx: Transaction, domain: str, inquire: Inquire) -> tuple[Outbound, ...]:
    """The decision for one part; silence while a live coordinator has not decided."""
    for part in tx.parts:
        if part.part_id == inquire.part_id and part.domain == domain:
            kind = Commit if part in tx.broken_parts else MESSAGE.get(part.status)
            if kind is None:
                return ()
            return (Outbound(domain, kind(inquire.transaction_id, inquire.part_id)),)
    return (Outbound(domain, answer_unknown(inquire)),)


def relied_on(tx: Transaction) -> tuple[CoordinatorPart, ...]:
    """Parts from whose answers it follows that success may be told, or was told."""
    if not tx.told:
        return ()
    return tuple(part for part in tx.parts if part.status in PROMISED)


def claims(tx: Transaction, domain: str) -> tuple[Claim, ...]:
    """What the domain is held to by a committed transaction (rule 7)."""
    if tx.decision is not Decision.COMMIT:
        return ()
    standing = {PartStatus.COMMITTING, PartStatus.COMMITTED}
    if tx.told:
        standing.add(PartStatus.NACKED)
    return tuple(
        Claim(part.prep, tx.told)
        for part in tx.parts
        if part.domain == domain and part.status in standing
    )


def _epoch_raised(tx: Transaction, domain: str, epoch: int, now_ms: int) -> Transaction:
    """A hold that the domain may have forgotten is none; a commitment must be confirmed again."""
    parts = list(tx.parts)
    for i, part in enumerate(parts):
        if part.domain != domain or part.epoch >= epoch:
            continue
        status, refusal = part.status, part.refusal
        if status is PartStatus.HELD:
            status = PartStatus.REFUSED
            reason = "the domain was restored from a backup"
            refusal = Refusal(RefusalKind.UNAVAILABLE, reason, domain)
        elif status is PartStatus.COMMITTED or (status is PartStatus.NACKED and tx.told):
            status, refusal = PartStatus.COMMITTING, None
        parts[i] = replace(
            part, status=status, refusal=refusal, epoch=epoch, sent_ms=now_ms, attempts=1
        )
    return tx if tuple(parts) == tx.parts else replace(tx, parts=tuple(parts))


def _release_all(tx: Transaction, now_ms: int) -> Step:
    if tx.decision is Decision.UNDECIDED:
        raise ValueError(f"ReleaseAll of {tx.transaction_id}: it is undecided, decide ABORT")
    if tx.decision is not Decision.COMMIT:
        return tx, ()
    # A broken part too: its domain may have been brought back to a state that holds it.
    live = (PartStatus.COMMITTING, PartStatus.COMMITTED, PartStatus.NACKED)
    return _move(tx, now_ms, dict.fromkeys(live, PartStatus.RELEASING))


def _retry(tx: Transaction, now_ms: int) -> Step:
    parts, outbound = list(tx.parts), []
    for i, part in enumerate(parts):
        pause_ms = min(RETRY_FIRST_MS * 2 ** min(max(part.attempts - 1, 0), 16), RETRY_MAX_MS)
        if part.status not in WAITING or now_ms < part.sent_ms + pause_ms:
            continue
        parts[i] = replace(part, sent_ms=now_ms, attempts=part.attempts + 1)
        outbound.append(Outbound(part.domain, _message(part)))
    if not outbound:
        return tx, ()
    return replace(tx, parts=tuple(parts)), tuple(outbound)


def _move(
    tx: Transaction,
    now_ms: int,
    moves: dict[PartStatus, PartStatus],
    only: frozenset[str] | None = None,
) -> Step:
    """Moves parts along (``only`` these ids, or all) and sends what their new status says."""
    parts, outbound = list(tx.parts), []
    for i, part in enumerate(parts):
        status = moves.get(part.status)
        if status is None or (only is not None and part.part_id not in only):
            continue
        parts[i] = replace(part, status=status, sent_ms=now_ms, attempts=1)
        if status in WAITING:
            outbound.append(Outbound(part.domain, _message(parts[i])))
    if tuple(parts) == tx.parts:
        return tx, ()
    return replace(tx, parts=tuple(parts)), tuple(outbound)


def _message(part: CoordinatorPart) -> PartMessage:
    if part.status is PartStatus.PREPARING:
        return part.prep
    return MESSAGE[part.status](part.prep.transaction_id, part.part_id)


def _may_tell(tx: Transaction) -> bool:
    if tx.decision is not Decision.COMMIT:
        return False
    wanted = [part for part in tx.parts if part.status not in DROPPED]
    return not any(part.expires for part in wanted) or all(
        part.status is PartStatus.COMMITTED for part in wanted
    )


def _must_be_undecided(tx: Transaction, what: str) -> None:
    if tx.decision is not Decision.UNDECIDED:
        raise ValueError(f"{what} of {tx.transaction_id}: it is decided, {tx.decision.name}")
