"""What an agent counts and measures (docs/metrics.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.messages import ReservationResp, SendOffers, ToAgent, ToOrchestrator
from protocol.participant import PartState
from runtime.metrics import Distribution, Gauge, Gauges, Rows, counts, histogram, new_registry

if TYPE_CHECKING:
    from agents.agent import Agent


class Meter:
    """``registry`` is what Prometheus reads."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self._seconds = histogram(
            self.registry,
            "braid_agent_answer_seconds",
            "From a message to its answer, durable",
            "message",
        )
        self._of: dict[type[ToAgent], Distribution] = {}
        self._refused = counts(
            self.registry,
            "braid_agent_refusals",
            "Messages that were answered with no",
            ("message", "kind"),
        )

    def answered(self, message: ToAgent, answer: ToOrchestrator | None, seconds: float) -> None:
        """A message was worked on; ``answer``: None for silence."""
        kind = type(message)
        found = self._of.get(kind)
        if found is None:
            found = self._of[kind] = self._seconds.of(kind.__name__)
        found.observe(seconds)
        if isinstance(answer, ReservationResp):
            if not answer.ok:
                why = answer.refusal.kind.name.lower() if answer.refusal is not None else "unknown"
                self._refused.add(kind.__name__, why)
        elif isinstance(answer, SendOffers) and not answer.offers:
            self._refused.add(kind.__name__, "no_offer")

    def watch(self, agent: Agent) -> None:
        """Lets Prometheus see how much the agent holds."""
        book = agent.parts.book
        figures = (
            Gauge("braid_agent_parts", "Parts in memory", ("state",), lambda: _parts(agent)),
            Gauge(
                "braid_agent_change_points",
                "Change points of the calendars of all resources",
                (),
                lambda: [((), book.calendar.size())],
            ),
            Gauge(
                "braid_agent_recovering",
                "1: takes nothing new until it is reconciled",
                (),
                lambda: [((), float(agent.recovering))],
            ),
            Gauge(
                "braid_agent_images_used",
                "VNodes that were made since the start, by whether their image was there",
                ("ready",),
                lambda: [((name,), count) for name, count in _images(agent)],
            ),
        )
        self.registry.register(Gauges(figures))


def _parts(agent: Agent) -> Rows:
    count = agent.parts.records.states()
    return [((state.name.lower(),), count[state]) for state in PartState]


def _images(agent: Agent) -> tuple[tuple[str, int], ...]:
    images = agent.clouds.images if agent.clouds is not None else None
    return (("yes", images.hits), ("no", images.misses)) if images is not None else ()
