"""The participant of the two-phase commit: one part in one domain (design, section 5).

``step`` is pure: state and message in, state and answer out. The caller makes the new state durable
before the answer leaves (rules 1 and 10), and gives capacity back when a part stops holding it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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

FORGET_UNSEEN_S = 800 * 86_400
"""How long the tombstone of a part that was never seen lasts. Its window is not known, so longer
than any is away: an orchestrator takes windows that end up to 732 days ahead."""


class PartState(Enum):
    """What a part is in its domain. No entry at all: ABSENT."""

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
    None: at once).
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
    agent recovers or drains.
    """

    hold_timeout_s: int | None = None
    inquire_after_s: int = 5
    inquire_max_s: int = 300
    grace_s: int = 3600
    refuse: Refusal | None = None


class Action(Enum):
    """What a message does to a part in a state."""

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
) -> tuple[Part, ReservationResp]:
    """The part after ``message`` and the answer to it; ``part`` itself when nothing changed."""
    action = TABLE[part.state if part else ABSENT, type(message)]
    after = _after(part, message, action, now_ms, admit, rules)
    ok, refusal = _verdict(after, message, action)
    answer = ReservationResp(
        message.transaction_id, message.part_id, PHASE[type(message)], ok, refusal, agent_epoch
    )
    return after, answer


def tick(part: Part, now_ms: int, rules: Rules) -> tuple[Part, Inquire | None]:
    """What time does: a held part asks for its decision, for ever; an expiring domain drops it."""
    if part.state is not PartState.HELD or part.prep is None:
        return part, None
    if rules.hold_timeout_s is not None and now_ms >= part.changed_ms + rules.hold_timeout_s * 1000:
        return replace(part, state=PartState.EXPIRED, changed_ms=now_ms, inquire_at_ms=None), None
    if part.inquire_at_ms is not None and now_ms < part.inquire_at_ms:
        return part, None
    inquiries = part.inquiries + 1
    pause_s = min(rules.inquire_after_s * 2 ** min(inquiries, 16), rules.inquire_max_s)
    after = replace(part, inquiries=inquiries, inquire_at_ms=now_ms + pause_s * 1000)
    return after, Inquire(part.transaction_id, part.part_id, part.prep.reservation_id)


def forgettable(part: Part, now_ms: int, rules: Rules) -> bool:
    """Whether the part may be deleted (rules 5 and 6). A HELD part never is: it must ask."""
    if part.state is PartState.HELD:
        return False
    if part.prep is None:
        return now_ms >= part.changed_ms + FORGET_UNSEEN_S * 1000
    end_ms = max(part.changed_ms, part.prep.window.end_s * 1000)
    return now_ms >= end_ms + rules.grace_s * 1000


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
    if action in NEXT:
        known = part or Part(message.transaction_id, message.part_id, PartState.ABORTED)
        return replace(known, state=NEXT[action], changed_ms=now_ms, inquire_at_ms=None)
    assert part is not None
    return part


def _admitted(prep: ReservationPrep, now_ms: int, admit: Admit, rules: Rules) -> Part:
    outcome: Admitted | Refusal
    if now_ms > prep.deadline_ms:
        outcome = Refusal(RefusalKind.UNAVAILABLE, "its deadline had passed when it came")
    elif rules.refuse is not None:
        outcome = rules.refuse
    else:
        outcome = admit(prep)
    part = Part(prep.transaction_id, prep.part_id, PartState.REFUSED, prep, changed_ms=now_ms)
    if isinstance(outcome, Refusal):
        return replace(part, refusal=outcome)
    due_ms = now_ms + rules.inquire_after_s * 1000
    return replace(part, state=PartState.HELD, mapping=outcome.mapping, inquire_at_ms=due_ms)


def _verdict(after: Part, message: PartMessage, action: Action) -> tuple[bool, Refusal | None]:
    if action in (Action.ADMIT, Action.REPEAT):
        return holds(after.state), after.refusal
    if action in (Action.NACK, Action.NACK_ABORT):
        # A doubled Commit finds the tombstone that the first one left, and must hear the same.
        unknown = isinstance(message, Commit) and after.prep is None
        word = "unknown" if unknown else after.state.name
        reason = f"{type(message).__name__} of a part that is {word} here"
        return False, Refusal(RefusalKind.TOMBSTONE, reason)
    return True, None
