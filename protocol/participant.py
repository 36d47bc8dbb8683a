"""The participant of the two-phase commit: one part in one domain (design, section 5).

``step`` is pure: state and message in, state and answer out. The caller makes the new state durable
before the answer leaves (rules 1 and 10), and gives capacity back when a part stops holding it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from protocol.messages import (
    Abort,
    Commit,
    Inquire,
    PartMessage,
    Phase,
    Release,
    ReservationPrep,
    ReservationResp,
)
from substrate.model import Refusal, RefusalKind
from substrate.values import dataclass, replace

FORGET_UNSEEN_S = 800 * 86_400
"""How long the tombstone of a part that was never seen lasts. Its window is not known, so longer
than any is away: an orchestrator takes windows that end up to 732 days ahead."""


class PartState(Enum):
    """What a part is in its domain. No entry at all: ABSENT."""

    # Each message looks its action up by state, and Enum hashes in Python.
    __hash__ = object.__hash__

    HELD = auto()
    REFUSED = auto()
    COMMITTED = auto()
    ABORTED = auto()
    RELEASED = auto()
    EXPIRED = auto()


HOLDING = frozenset({PartState.HELD, PartState.COMMITTED})
"""The states that count against capacity."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part as its domain remembers it.

    ``prep`` is None for the tombstone of a part that was never seen. ``mapping`` is the backend's
    own record of what is held. ``inquire_at_ms``: when to ask for the decision next (HELD only;
    None: at once). ``expires_ms``: when the domain drops the hold by itself; None: never.
    ``heuristic``: an operator settled it by hand, without the coordinator's word.
    """

    transaction_id: str
    part_id: str
    state: PartState
    prep: ReservationPrep | None = None
    mapping: str = ""
    refusal: Refusal | None = None
    changed_ms: int = 0
    inquire_at_ms: int | None = None
    inquiries: int = 0
    expires_ms: int | None = None
    heuristic: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """The domain can hold the part; ``mapping`` says how, in the backend's words."""

    mapping: str


Admit = Callable[[ReservationPrep], Admitted | Refusal]
"""Checks capacity and takes it, in one go; called at most once per part."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a domain behaves.

    ``hold_timeout_s``: None for a domain that never drops a hold by itself. Inquiries begin after
    ``inquire_after_s`` and come with doubling distance up to ``inquire_max_s``. A part is forgotten
    ``grace_s`` after its window. ``refuse``: the answer to every new ReservationPrep while the
    agent drains. ``recovering``: the domain was restored from a backup and may have forgotten what
    it promised (rule 7): it takes nothing new, and says nothing of what it does not know.
    """

    hold_timeout_s: int | None = None
    inquire_after_s: int = 5
    inquire_max_s: int = 300
    grace_s: int = 3600
    refuse: Refusal | None = None
    recovering: bool = False


class Action(Enum):
    """What a message does to a part in a state."""

    __hash__ = object.__hash__

    ADMIT = auto()
    """Ask the domain: HELD or REFUSED."""
    REPEAT = auto()
    """Say again what was said; nothing changes."""
    COMMIT = auto()
    ABORT = auto()
    RELEASE = auto()
    ACK = auto()
    """It is so already; nothing changes."""
    NACK = auto()
    """It is not so and will not be; nothing changes."""
    NACK_ABORT = auto()
    """A Commit nobody prepared: refused, and a tombstone refuses the late ReservationPrep."""
    TURN_AWAY = auto()
    """No, for now: nothing is remembered of it."""
    SILENCE = auto()
    """No answer: reconciliation will tell."""


ABSENT = None
TABLE: dict[tuple[PartState | None, type[PartMessage]], Action] = {
    (ABSENT, ReservationPrep): Action.ADMIT,
    (ABSENT, Commit): Action.NACK_ABORT,
    (ABSENT, Abort): Action.ABORT,
    (ABSENT, Release): Action.RELEASE,
    (PartState.HELD, ReservationPrep): Action.REPEAT,
    (PartState.HELD, Commit): Action.COMMIT,
    (PartState.HELD, Abort): Action.ABORT,
    (PartState.HELD, Release): Action.RELEASE,
    (PartState.REFUSED, ReservationPrep): Action.REPEAT,
    (PartState.REFUSED, Commit): Action.NACK,
    (PartState.REFUSED, Abort): Action.ACK,
    (PartState.REFUSED, Release): Action.ACK,
    (PartState.COMMITTED, ReservationPrep): Action.REPEAT,
    (PartState.COMMITTED, Commit): Action.ACK,
    (PartState.COMMITTED, Abort): Action.NACK,
    (PartState.COMMITTED, Release): Action.RELEASE,
    (PartState.ABORTED, ReservationPrep): Action.NACK,
    (PartState.ABORTED, Commit): Action.NACK,
    (PartState.ABORTED, Abort): Action.ACK,
    (PartState.ABORTED, Release): Action.ACK,
    (PartState.RELEASED, ReservationPrep): Action.NACK,
    (PartState.RELEASED, Commit): Action.NACK,
    (PartState.RELEASED, Abort): Action.ACK,
    (PartState.RELEASED, Release): Action.ACK,
    (PartState.EXPIRED, ReservationPrep): Action.NACK,
    (PartState.EXPIRED, Commit): Action.NACK,
    (PartState.EXPIRED, Abort): Action.ACK,
    (PartState.EXPIRED, Release): Action.ACK,
}

WHILE_RECOVERING: dict[tuple[PartState | None, type[PartMessage]], Action] = {
    (ABSENT, ReservationPrep): Action.TURN_AWAY,
    (ABSENT, Commit): Action.SILENCE,
    (PartState.HELD, ReservationPrep): Action.TURN_AWAY,
    (PartState.HELD, Commit): Action.SILENCE,
    (PartState.EXPIRED, Commit): Action.SILENCE,
}
"""What differs from :data:`TABLE` until reconciliation is over.

A hold that a backup remembers may have been given up since, and its room promised to others: a
doubled ReservationPrep must not bring it to life. Nor may a Commit be acknowledged: claims that
were read before that COMMIT was decided, and come late, would drop the part again. Nor refused
because the hold has expired: perhaps only in the backup, before it was known as one.
"""

AFTER_HEURISTIC: dict[tuple[PartState | None, type[PartMessage]], Action] = {
    (PartState.COMMITTED, Abort): Action.ABORT,
}
"""What differs from :data:`TABLE` for a part that an operator settled by hand."""

PHASE: dict[type[PartMessage], Phase] = {
    ReservationPrep: Phase.PREP,
    Commit: Phase.COMMIT,
    Abort: Phase.ABORT,
    Release: Phase.RELEASE,
}

NEXT = {
    Action.COMMIT: PartState.COMMITTED,
    Action.ABORT: PartState.ABORTED,
    Action.RELEASE: PartState.RELEASED,
    Action.NACK_ABORT: PartState.ABORTED,
}


def holds(state: PartState) -> bool:
    """Whether a part in this state counts against capacity."""
    return state in HOLDING


def step(
    part: Part | None,
    message: PartMessage,
    now_ms: int,
    admit: Admit,
    rules: Rules,
    agent_epoch: int,
) -> tuple[Part | None, ReservationResp | None]:
    """The part after ``message`` and the answer to it; ``part`` itself when nothing changed."""
    action = action_for(part, message, rules)
    if action is Action.SILENCE:
        return part, None
    if action is Action.TURN_AWAY:
        refusal = Refusal(RefusalKind.UNAVAILABLE, "the domain recovers from a restored backup")
        return part, answer_to(message, False, refusal, agent_epoch)
    after = _after(part, message, action, now_ms, admit, rules)
    ok, refusal_or_none = _verdict(after, message, action)
    return after, answer_to(message, ok, refusal_or_none, agent_epoch)


def action_for(part: Part | None, message: PartMessage, rules: Rules) -> Action:
    """What the tables say."""
    key = (part.state if part else ABSENT, type(message))
    if part is not None and part.heuristic and key in AFTER_HEURISTIC:
        return AFTER_HEURISTIC[key]
    if rules.recovering and key in WHILE_RECOVERING:
        return WHILE_RECOVERING[key]
    return TABLE[key]


def answer_to(
    message: PartMessage, ok: bool, refusal: Refusal | None, agent_epoch: int
) -> ReservationResp:
    """The ReservationResp that answers ``message``."""
    return ReservationResp(
        message.transaction_id, message.part_id, PHASE[type(message)], ok, refusal, agent_epoch
    )


def settle_by_hand(part: Part, commit: bool, now_ms: int) -> Part:
    """A held part as an operator settled it, without the coordinator's word (a heuristic decision).

    Raises ValueError unless it is HELD.
    """
    if part.state is not PartState.HELD:
        raise ValueError(f"it is {part.state.name}; only a HELD part is in doubt")
    state = PartState.COMMITTED if commit else PartState.ABORTED
    return replace(part, state=state, changed_ms=now_ms, inquire_at_ms=None, heuristic=True)


def tick(part: Part, now_ms: int, rules: Rules) -> tuple[Part, Inquire | None]:
    """What time does: a held part asks for its decision, for ever; an expiring domain drops it.

    Not while the domain recovers: what a backup remembers as held may have been committed since.
    """
    if part.state is not PartState.HELD or part.prep is None:
        return part, None
    if part.expires_ms is not None and now_ms >= part.expires_ms and not rules.recovering:
        return _settled(part, PartState.EXPIRED, now_ms), None
    if part.inquire_at_ms is not None and now_ms < part.inquire_at_ms:
        return part, None
    inquiries = part.inquiries + 1
    due_ms = now_ms + _pause_ms(inquiries, rules)
    after = replace(part, inquiries=inquiries, inquire_at_ms=due_ms)
    return after, Inquire(part.transaction_id, part.part_id, part.prep.reservation_id)


def last_inquiry_ms(part: Part, rules: Rules) -> int | None:
    """When a held part has last asked; None: not yet."""
    if not part.inquiries or part.inquire_at_ms is None:
        return None
    return part.inquire_at_ms - _pause_ms(part.inquiries, rules)


def forgettable(part: Part, now_ms: int, rules: Rules) -> bool:
    """Whether the part may be deleted (rules 5 and 6). A HELD part never is: it must ask."""
    if part.state is PartState.HELD:
        return False
    if part.prep is None:
        return now_ms >= part.changed_ms + FORGET_UNSEEN_S * 1000
    end_ms = max(part.changed_ms, part.prep.window.end_s * 1000)
    return now_ms >= end_ms + rules.grace_s * 1000


def _pause_ms(inquiries: int, rules: Rules) -> int:
    return min(rules.inquire_after_s << min(inquiries, 16), rules.inquire_max_s) * 1000


def _after(
    part: Part | None,
    message: PartMessage,
    action: Action,
    now_ms: int,
    admit: Admit,
    rules: Rules,
) -> Part:
    if action is Action.ADMIT:
        assert isinstance(message, ReservationPrep)
        return _admitted(message, now_ms, admit, rules)
    state = NEXT.get(action)
    if state is not None:
        known = part or Part(message.transaction_id, message.part_id, PartState.ABORTED)
        return _settled(known, state, now_ms)
    assert part is not None
    return part


def _settled(part: Part, state: PartState, now_ms: int) -> Part:
    """As ``replace``, several times faster: for every decision."""
    return Part(
        part.transaction_id,
        part.part_id,
        state,
        part.prep,
        part.mapping,
        part.refusal,
        now_ms,
        None,
        part.inquiries,
        part.expires_ms,
        part.heuristic,
    )


def _admitted(prep: ReservationPrep, now_ms: int, admit: Admit, rules: Rules) -> Part:
    outcome: Admitted | Refusal
    if now_ms > prep.deadline_ms:
        outcome = Refusal(RefusalKind.UNAVAILABLE, "its deadline had passed when it came")
    elif rules.refuse is not None:
        outcome = rules.refuse
    else:
        outcome = admit(prep)
    key = prep.transaction_id, prep.part_id
    if isinstance(outcome, Refusal):
        return Part(*key, PartState.REFUSED, prep, refusal=outcome, changed_ms=now_ms)
    return Part(
        *key,
        PartState.HELD,
        prep,
        outcome.mapping,
        changed_ms=now_ms,
        inquire_at_ms=now_ms + rules.inquire_after_s * 1000,
        expires_ms=None if rules.hold_timeout_s is None else now_ms + rules.hold_timeout_s * 1000,
    )


def _verdict(after: Part, message: PartMessage, action: Action) -> tuple[bool, Refusal | None]:
    if action in (Action.ADMIT, Action.REPEAT):
        return after.state in HOLDING, after.refusal
    if action in (Action.NACK, Action.NACK_ABORT):
        # A doubled Commit finds the tombstone that the first one left, and must hear the same.
        unknown = isinstance(message, Commit) and after.prep is None
        word = "unknown" if unknown else after.state.name
        if after.heuristic:
            word += " by an operator's hand"
        reason = f"{type(message).__name__} of a part that is {word} here"
        return False, Refusal(RefusalKind.TOMBSTONE, reason)
    return True, None
