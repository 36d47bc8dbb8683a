"""A circuit breaker per domain: who is silent again and again is not waited for any more. Pure.

Silence is a ReqOffers or a ReservationPrep without an answer in time; the two are counted apart,
because an agent may answer the first from memory while its database hangs. After the cool-down the
domain is asked whether it is there; one that holds nothing is then tried by one negotiation.
"""

from __future__ import annotations

from enum import Enum, auto

from substrate.values import dataclass, replace

SILENCES_MAX = 3
COOLDOWN_FIRST_MS = 5_000
COOLDOWN_MAX_MS = 60_000


class BreakerState(Enum):
    """What a breaker does with the negotiations that could use its domain."""

    __hash__ = object.__hash__

    CLOSED = auto()
    """The domain is used."""
    OPEN = auto()
    """It is left out until the cool-down is over."""
    ASKED = auto()
    """It is left out; whether it answers ReqOffers is being found out."""
    READY = auto()
    """It answers ReqOffers again: one negotiation may try whether it also holds."""
    TRIED = auto()
    """One negotiation tries it; it is left out of all others."""


class Signal(Enum):
    """What a breaker hears."""

    __hash__ = object.__hash__

    OFFERED = auto()
    """SendOffers came in time."""
    HELD = auto()
    """A ReservationResp to ReservationPrep came in time, whatever it says."""
    NOT_OFFERED = auto()
    """ReqOffers had no answer in time."""
    NOT_HELD = auto()
    """ReservationPrep had no answer in time."""
    DUE = auto()
    """Time has passed."""
    TAKEN = auto()
    """A negotiation is going to try the domain."""
    RETURNED = auto()
    """That negotiation is over."""
    CONNECTED = auto()
    """The domain has connected anew."""


class Move(Enum):
    """What a signal does to a breaker; see :func:`step`."""

    STAY = auto()
    COUNT = auto()
    FORGIVE = auto()
    CLOSE = auto()
    TRUST = auto()
    REOPEN = auto()
    ASK = auto()
    READY = auto()
    TRY = auto()


@dataclass(frozen=True, slots=True)
class Breaker:
    """One domain's breaker. Times are milliseconds since 1970-01-01 UTC."""

    state: BreakerState = BreakerState.CLOSED
    not_offered: int = 0
    """ReqOffers in a row that had no answer in time."""
    not_held: int = 0
    """ReservationPreps in a row that had no answer in time."""
    cooldown_ms: int = 0
    retry_at_ms: int = 0
    """When the domain is asked again; 0 while the breaker is closed."""

    @property
    def silences(self) -> int:
        """Questions in a row that had no answer in time, of the kind that had more."""
        return max(self.not_offered, self.not_held)

    @property
    def holds_nothing(self) -> bool:
        """Whether it was silent to ReservationPrep: that it answers ReqOffers proves little."""
        return self.not_held >= SILENCES_MAX


CLOSED = Breaker()

TRANSITIONS: dict[BreakerState, dict[Signal, Move]] = {
    BreakerState.CLOSED: {
        Signal.OFFERED: Move.FORGIVE,
        Signal.HELD: Move.CLOSE,
        Signal.NOT_OFFERED: Move.COUNT,
        Signal.NOT_HELD: Move.COUNT,
        Signal.DUE: Move.STAY,
        Signal.TAKEN: Move.STAY,
        Signal.RETURNED: Move.STAY,
        Signal.CONNECTED: Move.CLOSE,
    },
    BreakerState.OPEN: {
        Signal.OFFERED: Move.TRUST,
        Signal.HELD: Move.CLOSE,
        # Questions that were asked before it opened.
        Signal.NOT_OFFERED: Move.STAY,
        Signal.NOT_HELD: Move.STAY,
        Signal.DUE: Move.ASK,
        Signal.TAKEN: Move.STAY,
        Signal.RETURNED: Move.STAY,
        Signal.CONNECTED: Move.CLOSE,
    },
    BreakerState.ASKED: {
        Signal.OFFERED: Move.TRUST,
        Signal.HELD: Move.CLOSE,
        Signal.NOT_OFFERED: Move.REOPEN,
        Signal.NOT_HELD: Move.STAY,
        Signal.DUE: Move.STAY,
        Signal.TAKEN: Move.STAY,
        Signal.RETURNED: Move.STAY,
        Signal.CONNECTED: Move.CLOSE,
    },
    BreakerState.READY: {
        Signal.OFFERED: Move.STAY,
        Signal.HELD: Move.CLOSE,
        Signal.NOT_OFFERED: Move.REOPEN,
        Signal.NOT_HELD: Move.STAY,
        Signal.DUE: Move.STAY,
        Signal.TAKEN: Move.TRY,
        Signal.RETURNED: Move.STAY,
        Signal.CONNECTED: Move.CLOSE,
    },
    BreakerState.TRIED: {
        Signal.OFFERED: Move.STAY,
        Signal.HELD: Move.CLOSE,
        Signal.NOT_OFFERED: Move.REOPEN,
        Signal.NOT_HELD: Move.REOPEN,
        Signal.DUE: Move.STAY,
        Signal.TAKEN: Move.STAY,
        Signal.RETURNED: Move.READY,
        Signal.CONNECTED: Move.CLOSE,
    },
}
"""What each signal does in each state; ``step`` says what a move is."""


def step(breaker: Breaker, signal: Signal, now_ms: int) -> Breaker:
    """The breaker after a signal. Ends a cool-down only when it is over at ``now_ms``."""
    match TRANSITIONS[breaker.state][signal]:
        case Move.COUNT:
            counted = _counted(breaker, signal)
            return _opened(counted, now_ms) if counted.silences >= SILENCES_MAX else counted
        case Move.FORGIVE:
            return replace(breaker, not_offered=0)
        case Move.CLOSE:
            return CLOSED
        case Move.TRUST if breaker.holds_nothing:
            asked = breaker.state is BreakerState.ASKED
            return replace(breaker, state=BreakerState.READY) if asked else breaker
        case Move.TRUST:
            return CLOSED
        case Move.REOPEN:
            return _opened(_counted(breaker, signal), now_ms)
        case Move.ASK if now_ms >= breaker.retry_at_ms:
            return replace(breaker, state=BreakerState.ASKED)
        case Move.READY:
            return replace(breaker, state=BreakerState.READY)
        case Move.TRY:
            return replace(breaker, state=BreakerState.TRIED)
    return breaker


def _counted(breaker: Breaker, signal: Signal) -> Breaker:
    if signal is Signal.NOT_OFFERED:
        return replace(breaker, not_offered=breaker.not_offered + 1)
    return replace(breaker, not_held=breaker.not_held + 1)


def _opened(breaker: Breaker, now_ms: int) -> Breaker:
    doubled = breaker.cooldown_ms * 2 or COOLDOWN_FIRST_MS
    cooldown_ms = min(doubled, COOLDOWN_MAX_MS)
    return replace(
        breaker,
        state=BreakerState.OPEN,
        cooldown_ms=cooldown_ms,
        retry_at_ms=now_ms + cooldown_ms,
    )
