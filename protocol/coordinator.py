"""The coordinator of the two-phase commit: one transaction over many domains (design, section 5).

``step`` is pure: state and event in, state and messages out. The caller makes the new state
durable before the messages leave, a decision by compare-and-set on one row (rule 2), and answers
inquiries of transactions that it does not know with ``answer_unknown`` after it has written ABORT.
"""

from __future__ import annotations

from protocol.messages import (
    Abort,
    Claim,
    Commit,
    Inquire,
    PartMessage,
    Phase,
    Release,
    ReservationResp,
)
from protocol.transaction import (
    DROPPED,
    PROMISED,
    SETTLEMENTS,
    WAITING,
    CoordinatorPart,
    Decision,
    PartStatus,
    Transaction,
    begin,
    contradicts,
    in_doubt,
    possible_settlements,
)
from substrate.model import Refusal, RefusalKind
from substrate.values import dataclass, replace

__all__ = [
    "ANSWERS",
    "DROPPED",
    "MESSAGE",
    "PROMISED",
    "SETTLEMENTS",
    "WAITING",
    "Answered",
    "CoordinatorPart",
    "Decide",
    "Decision",
    "Drop",
    "EpochRaised",
    "Event",
    "Inquired",
    "Outbound",
    "PartStatus",
    "Prepare",
    "ReleaseAll",
    "Retry",
    "SettledByHand",
    "Step",
    "Transaction",
    "answer_unknown",
    "begin",
    "claims",
    "contradicts",
    "in_doubt",
    "possible_settlements",
    "relied_on",
    "step",
]

RETRY_FIRST_MS = 1_000
RETRY_MAX_MS = 60_000
GIVEN_UP = "the domain did not confirm, and an operator gave its part up by hand"


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
class SettledByHand:
    """An operator says what became of a part in doubt, without its domain's word.

    ``commit``: the domain did what it was told; otherwise it holds nothing (any more).
    """

    part_id: str
    commit: bool


@dataclass(frozen=True, slots=True)
class Retry:
    """Time passed: send again what is due."""


Event = (
    Prepare | Drop | Decide | Answered | Inquired | EpochRaised | ReleaseAll | SettledByHand | Retry
)


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


def answer_unknown(inquire: Inquire) -> Abort:
    """Presumed abort (rule 2): the answer where there was no record, once ABORT is written."""
    return Abort(inquire.transaction_id, inquire.part_id)


def step(tx: Transaction, event: Event, now_ms: int) -> Step:
    """The transaction after ``event`` and what to send; ``tx`` itself when nothing changed.

    Raises ValueError for a step that the state does not allow.
    """
    match event:
        case Answered(domain, response):
            return _answered(tx, domain, response, now_ms)
        case Prepare(parts):
            return _prepare(tx, parts, now_ms)
        case Drop(part_ids):
            return _drop(tx, part_ids, now_ms)
        case Decide(commit):
            return _decide(tx, commit, now_ms)
        case Inquired(domain, inquire):
            return tx, _inquired(tx, domain, inquire)
        case EpochRaised(domain, epoch):
            return _epoch_raised(tx, domain, epoch, now_ms), ()
        case ReleaseAll():
            return _release_all(tx, now_ms)
        case SettledByHand(part_id, commit):
            return _settled_by_hand(tx, part_id, commit, now_ms)
        case Retry():
            return _retry(tx, now_ms)


def _prepare(tx: Transaction, parts: tuple[CoordinatorPart, ...], now_ms: int) -> Step:
    _must_be_undecided(tx, "Prepare")
    known = {part.part_id for part in tx.parts}
    fresh = [part.sent(PartStatus.PREPARING, now_ms) for part in parts if part.part_id not in known]
    if not fresh:
        return tx, ()
    every = sorted([*tx.parts, *fresh], key=lambda part: part.part_id)
    return tx.having(every), tuple(Outbound(p.domain, p.prep) for p in fresh)


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
        decided = tx.having(tx.parts, Decision.ABORT)
        return _move(decided, now_ms, dict.fromkeys(live, PartStatus.ABORTING))
    if not tx.all_held:
        raise ValueError(f"Decide(COMMIT) of {tx.transaction_id}: not every part is held")
    decided = tx.having(tx.parts, Decision.COMMIT)
    after, outbound = _move(decided, now_ms, {PartStatus.HELD: PartStatus.COMMITTING})
    return (replace(after, told=True) if _may_tell(after) else after), outbound


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
            parts[i] = part.answered(status, refusal, response.agent_epoch)
            after = tx.having(parts)
            # Nothing follows for the whole from a hold that is answered.
            if tx.decision is Decision.UNDECIDED:
                return after, ()
            return _moved(after, status, now_ms)
    return tx, ()


def _moved(after: Transaction, status: PartStatus, now_ms: int) -> Step:
    """What follows for the whole from a part that has got this status."""
    if status is PartStatus.NACKED and not after.told:
        return _undo(after, now_ms)
    if not after.told and _may_tell(after):
        after = replace(after, told=True)
    return after, ()


def _settled_by_hand(tx: Transaction, part_id: str, commit: bool, now_ms: int) -> Step:
    part = next((part for part in in_doubt(tx) if part.part_id == part_id), None)
    if part is None:
        raise ValueError(f"part {part_id} of {tx.transaction_id} is not in doubt")
    status = SETTLEMENTS.get((part.status, commit))
    if status is None:
        words = ["commit" if each else "give up" for each in possible_settlements(part.status)]
        raise ValueError(f"a part that is {part.status.name} can only be settled: {words[0]}")
    refusal = None if status is PartStatus.COMMITTED else part.refusal
    if status is PartStatus.NACKED:
        refusal = Refusal(RefusalKind.UNAVAILABLE, GIVEN_UP, part.domain)
    moved = replace(part, status=status, refusal=refusal)
    parts = tuple(moved if each is part else each for each in tx.parts)
    return _moved(replace(tx, parts=parts), status, now_ms)


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
    """Parts whose answers must be of their domains' present epochs for this word to be written.

    Success follows from what is promised. The undoing of a COMMIT follows from refusals: one of an
    earlier epoch says nothing of what the domain has taken up again since (rules 4 and 7).
    """
    if tx.decision is Decision.UNDO:
        return tuple([part for part in tx.parts if part.status is PartStatus.NACKED])
    if not tx.told:
        return ()
    return tuple([part for part in tx.parts if part.status in PROMISED])


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
        # A clock that was set back makes it due.
        if part.status not in WAITING or 0 <= now_ms - part.sent_ms < pause_ms:
            continue
        parts[i] = replace(part, sent_ms=now_ms, attempts=part.attempts + 1)
        outbound.append(Outbound(part.domain, _message(part)))
    if not outbound:
        return tx, ()
    return tx.having(parts), tuple(outbound)


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
        parts[i] = part.sent(status, now_ms)
        if status in WAITING:
            outbound.append(Outbound(part.domain, _message(parts[i])))
    if all(one is other for one, other in zip(parts, tx.parts, strict=True)):
        return tx, ()
    return tx.having(parts), tuple(outbound)


def _message(part: CoordinatorPart) -> PartMessage:
    if part.status is PartStatus.PREPARING:
        return part.prep
    return MESSAGE[part.status](part.prep.transaction_id, part.part_id)


def _may_tell(tx: Transaction) -> bool:
    if tx.decision is not Decision.COMMIT:
        return False
    wanted = [part for part in tx.parts if part.status not in DROPPED]
    for part in wanted:
        if part.expires:
            return all(part.status is PartStatus.COMMITTED for part in wanted)
    return True


def _must_be_undecided(tx: Transaction, what: str) -> None:
    if tx.decision is not Decision.UNDECIDED:
        raise ValueError(f"{what} of {tx.transaction_id}: it is decided, {tx.decision.name}")
