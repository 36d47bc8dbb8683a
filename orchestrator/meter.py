"""What an instance of the orchestrator counts and measures (docs/metrics.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter

from orchestrator.records import Reservation, State
from protocol.coordinator import Decision, Transaction
from runtime.metrics import Gauge, Gauges, Rows, histogram
from substrate.model import Refusal

if TYPE_CHECKING:
    from orchestrator.engine import Engine


class Meter:
    """``registry`` is what Prometheus reads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._decided = Counter(
            "braid_reservations",
            "Reservations by the state that they came to",
            ("state",),
            registry=self.registry,
        )
        self._decided_as: dict[State, Counter] = {}
        self._refused = Counter(
            "braid_refusals",
            "ReservationPreps that a domain refused or did not answer",
            ("domain", "kind"),
            registry=self.registry,
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
        decided = self._decided_as.get(after.state)
        if decided is None:
            # Looking a label up costs more than counting.
            decided = self._decided.labels(after.state.name.lower())
            self._decided_as[after.state] = decided
        decided.inc()
        if before.state is State.NEGOTIATING:
            self.phase("reserve", (after.updated_ms - after.created_ms) / 1000)

    def phase(self, name: str, seconds: float) -> None:
        """A phase of one reservation is over."""
        self._phases.of(name).observe(seconds)

    def refused(self, domain: str, refusal: Refusal) -> None:
        """A domain does not hold what it was asked to."""
        self._refused.labels(domain, refusal.kind.name.lower()).inc()

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
                "1: connected, and not left out; 0: not",
                ("domain",),
                lambda: _domains(engine),
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


def _names(engine: Engine) -> list[str]:
    return list(engine.gateway.states())
