"""What an instance of the orchestrator counts and measures (docs/metrics.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.breaker import BreakerState
from orchestrator.records import Reservation, State
from protocol.coordinator import Decision, Transaction
from runtime.metrics import Gauge, Gauges, Rows, counts, histogram, new_registry
from substrate.model import Refusal

if TYPE_CHECKING:
    from orchestrator.engine import Engine


_WORDS = {state: state.name.lower() for state in State}


class Meter:
    """``registry`` is what Prometheus reads."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self._decided = counts(
            self.registry,
            "braid_reservations",
            "Reservations by the state that they came to",
            ("state",),
            [(word,) for state, word in _WORDS.items() if state is not State.NEGOTIATING],
        )
        self._refused = counts(
            self.registry,
            "braid_refusals",
            "ReservationPreps that a domain refused or did not answer",
            ("domain", "kind"),
        )
        self._phases = histogram(
            self.registry,
            "braid_phase_seconds",
            "offers: one domain's answer; prepare: all domains' answers; reserve: from the request"
            " to its decision; commit: from the decision to the last domain's word",
            "phase",
        )

    def came_to(self, before: Reservation, after: Reservation) -> None:
        """A record was written; counts new states."""
        if before.state is after.state:
            return
        self._decided.add(_WORDS[after.state])
        if before.state is State.NEGOTIATING:
            self.phase("reserve", (after.updated_ms - after.created_ms) / 1000)

    def phase(self, name: str, seconds: float) -> None:
        """A phase of one reservation is over."""
        self._phases.of(name).observe(seconds)

    def refused(self, domain: str, refusal: Refusal) -> None:
        """A domain does not hold what it was asked to."""
        self._refused.add(domain, refusal.kind.name.lower())

    def watch(self, engine: Engine) -> None:
        """Lets Prometheus see how much the instance has in hand."""
        figures = (
            Gauge(
                "braid_reservations_live",
                "Reservations in memory",
                (),
                lambda: [((), len(engine.book))],
            ),
            Gauge(
                "braid_negotiations",
                "Negotiations in progress",
                (),
                lambda: [((), engine.negotiating)],
            ),
            Gauge(
                "braid_transactions",
                "Transactions in memory: undecided, in_doubt (decided, and a domain's word is"
                " missing), settled",
                ("state",),
                lambda: _by_state(engine.transactions.all()),
            ),
            Gauge(
                "braid_domain_up",
                "1: connected; 0: not, or not yet",
                ("domain",),
                lambda: _domains(engine),
            ),
            Gauge(
                "braid_domain_left_out",
                "1: its circuit breaker is open, as it did not answer in time; 0: not",
                ("domain",),
                lambda: _left_out(engine),
            ),
            Gauge(
                "braid_in_doubt_oldest_seconds",
                "Since the decision of which a domain's word is missing for longest; 0: of none",
                (),
                lambda: [((), _oldest_s(engine))],
            ),
            Gauge(
                "braid_inbox",
                "Answers and inquiries of a domain that are being worked off",
                ("domain",),
                lambda: [((name,), engine.inbox.busy(name)) for name in _names(engine)],
            ),
        )
        self.registry.register(Gauges(figures))


def _by_state(transactions: list[Transaction]) -> Rows:
    count = {"undecided": 0, "in_doubt": 0, "settled": 0}
    for transaction in transactions:
        if transaction.settled:
            count["settled"] += 1
        else:
            undecided = transaction.decision is Decision.UNDECIDED
            count["undecided" if undecided else "in_doubt"] += 1
    return [((state,), number) for state, number in count.items()]


def _domains(engine: Engine) -> Rows:
    return [((name,), float(up)) for name, up in engine.gateway.states().items()]


def _left_out(engine: Engine) -> Rows:
    closed, breakers = BreakerState.CLOSED, engine.breakers
    return [((name,), float(breakers.of(name).state is not closed)) for name in _names(engine)]


def _oldest_s(engine: Engine) -> float:
    since_ms = engine.transactions.in_doubt_since_ms()
    return max(0, engine.now_ms() - since_ms) / 1000 if since_ms is not None else 0.0


def _names(engine: Engine) -> list[str]:
    return list(engine.gateway.states())
