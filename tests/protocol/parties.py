"""One coordinator and its participants, driven by the shipped step functions."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol import coordinator, participant
from protocol.coordinator import (
    Answered,
    CoordinatorPart,
    Decide,
    Decision,
    Event,
    Inquired,
    Outbound,
    Prepare,
    Retry,
    Transaction,
)
from protocol.messages import (
    Inquire,
    PartMessage,
    ReservationPrep,
    ReservationResp,
)
from protocol.participant import Admitted, Part, Rules
from substrate.model import Refusal, RefusalKind, Segment, Window

WINDOW = Window(100_000, 200_000)
FULL = Refusal(RefusalKind.BANDWIDTH, "no room", available_bps=7)


def prep(
    domain: str = "m1", part_id: str = "p1", transaction_id: str = "tx", deadline_ms: int = 10**9
) -> ReservationPrep:
    segment = Segment("s1", f"{domain}:a", 100, f"{domain}:b", 100, 10)
    return ReservationPrep(
        transaction_id, part_id, "res", 1, (segment,), WINDOW, "orchestrator", deadline_ms
    )


def part(
    domain: str = "m1", part_id: str = "p1", *, expires: bool = False, transaction_id: str = "tx"
) -> CoordinatorPart:
    return CoordinatorPart(domain, part_id, prep(domain, part_id, transaction_id), expires)


@dataclass
class Domain:
    """A participant with its durable parts; refuses to admit while ``full``."""

    name: str
    rules: Rules = field(default_factory=Rules)
    full: bool = False
    parts: dict[tuple[str, str], Part] = field(default_factory=dict)

    def admit(self, _prep: ReservationPrep) -> Admitted | Refusal:
        return FULL if self.full else Admitted("mapping")

    def hear(self, message: PartMessage, now_ms: int) -> ReservationResp:
        key = (message.transaction_id, message.part_id)
        after, answer = participant.step(
            self.parts.get(key), message, now_ms, self.admit, self.rules, 1
        )
        assert after is not None
        assert answer is not None
        self.parts[key] = after
        return answer

    def tick(self, now_ms: int) -> list[Inquire]:
        asked = []
        for key in sorted(self.parts):
            self.parts[key], inquire = participant.tick(self.parts[key], now_ms, self.rules)
            if inquire is not None:
                asked.append(inquire)
        return asked

    def holding(self) -> list[tuple[str, str]]:
        return [k for k, p in sorted(self.parts.items()) if participant.holds(p.state)]


@dataclass
class Coordinator:
    """The durable state of some transactions, and the history of their decisions."""

    states: dict[str, Transaction] = field(default_factory=dict)
    history: dict[str, list[Decision]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def begin(self, transaction_id: str) -> None:
        self.states[transaction_id] = coordinator.begin(transaction_id, "res", 1)
        self.history[transaction_id] = [Decision.UNDECIDED]

    def apply(self, transaction_id: str, event: Event, now_ms: int) -> tuple[Outbound, ...]:
        after, outbound = coordinator.step(self.states[transaction_id], event, now_ms)
        self.states[transaction_id] = after
        if after.decision is not self.history[transaction_id][-1]:
            self.history[transaction_id].append(after.decision)
        if after.told_success:
            self.told.add(transaction_id)
        return outbound

    def prepare(
        self, transaction_id: str, domains: dict[str, Domain], now_ms: int
    ) -> tuple[Outbound, ...]:
        parts = tuple(
            part(
                name,
                f"{transaction_id}-{name}",
                expires=domains[name].rules.hold_timeout_s is not None,
                transaction_id=transaction_id,
            )
            for name in sorted(domains)
        )
        return self.apply(transaction_id, Prepare(parts), now_ms)

    def hear(
        self, domain: str, message: ReservationResp | Inquire, now_ms: int
    ) -> tuple[Outbound, ...]:
        if isinstance(message, Inquire):
            return self.apply(message.transaction_id, Inquired(domain, message), now_ms)
        return self.apply(message.transaction_id, Answered(domain, message), now_ms)

    def recover(self, now_ms: int) -> list[Outbound]:
        """What a restart does: undecided is aborted, then everything due is sent again."""
        sent: list[Outbound] = []
        for transaction_id in sorted(self.states):
            if self.states[transaction_id].decision is Decision.UNDECIDED:
                sent += self.apply(transaction_id, Decide(commit=False), now_ms)
            sent += self.apply(transaction_id, Retry(), now_ms)
        return sent
