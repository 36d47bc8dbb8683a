"""A world that does its worst to the protocol: what was sent once may come again at any time,
agents crash and cannot write, plans change, old transactions are forgotten.

The orchestrator and the agents here do what the services do around the step functions: an agent
stores before it answers, the orchestrator stores plans and decisions before they leave and aborts
what is undecided when it restarts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from parties import FULL, part

from protocol import coordinator, participant
from protocol.coordinator import (
    Answered,
    Decide,
    Decision,
    Event,
    Inquired,
    PartStatus,
    Prepare,
    ReleaseAll,
    Retry,
    Transaction,
    answer_unknown,
)
from protocol.messages import (
    Inquire,
    PartMessage,
    Phase,
    ReservationPrep,
    ReservationResp,
)
from protocol.participant import Admitted, Part, PartState, Rules, holds
from substrate.model import Refusal, RefusalKind

GIVEN_UP = (PartStatus.REFUSED, PartStatus.ABORTING, PartStatus.ABORTED)
MAY_FOLLOW = {
    Decision.UNDECIDED: {Decision.UNDECIDED, Decision.COMMIT, Decision.ABORT},
    Decision.COMMIT: {Decision.COMMIT, Decision.UNDO},
    Decision.ABORT: {Decision.ABORT},
    Decision.UNDO: {Decision.UNDO},
}


class BrokenPromiseError(AssertionError):
    """What the protocol must never let happen."""


def promise(kept: bool, what: object) -> None:
    if not kept:
        raise BrokenPromiseError(str(what))


@dataclass(frozen=True)
class Letter:
    """A message on its way; ``domain`` is its agent's end."""

    domain: str
    body: PartMessage | ReservationResp | Inquire

    @property
    def to_agent(self) -> bool:
        return not isinstance(self.body, ReservationResp | Inquire)


@dataclass
class Agent:
    """``parts`` is durable; ``full_disk`` makes every write fail; ``room`` counts reservations."""

    rules: Rules
    room: int
    parts: dict[tuple[str, str], Part] = field(default_factory=dict)
    full_disk: bool = False

    def held(self) -> set[str]:
        return {p.prep.reservation_id for p in self.parts.values() if holds(p.state) and p.prep}

    def admit(self, prep: ReservationPrep) -> Admitted | Refusal:
        return Admitted("{}") if len(self.held() | {prep.reservation_id}) <= self.room else FULL

    def hear(self, message: PartMessage, now_ms: int) -> ReservationResp | None:
        key = (message.transaction_id, message.part_id)
        before = self.parts.get(key)
        after, answer = participant.step(before, message, now_ms, self.admit, self.rules, 1)
        if after != before and self.full_disk:
            if not isinstance(message, ReservationPrep):
                return None
            why = Refusal(RefusalKind.UNAVAILABLE, "cannot write")
            return ReservationResp(*key, Phase.PREP, False, why, 1)
        assert after is not None
        self.parts[key] = after
        return answer


class World:
    """One orchestrator and its agents. ``timeouts``: each agent's ``hold_timeout_s``.

    ``admitted_to``: whether an agent that lets holds expire says so to the orchestrator.
    """

    def __init__(
        self, timeouts: Mapping[str, int | None], room: int = 9, admitted_to: bool = True
    ) -> None:
        self.agents = {
            name: Agent(Rules(timeout_s, inquire_after_s=3, inquire_max_s=30), room)
            for name, timeout_s in timeouts.items()
        }
        self.admitted_to = admitted_to
        self.memory: dict[str, Transaction] = {}
        self.stored: dict[str, Transaction] = {}
        self.released: set[str] = set()
        self.told: set[str] = set()
        self.sent: list[Letter] = []
        self.flying: list[Letter] = []
        self.now_ms = 0
        self.plans = 0

    def begin(self, transaction_id: str, reservation_id: str, version: int = 1) -> None:
        fresh = coordinator.begin(transaction_id, reservation_id, version)
        self.memory[transaction_id] = self.stored[transaction_id] = fresh

    def ask(self, transaction_id: str, *domains: str) -> None:
        """A new part in each of these domains."""
        state, asked = self.memory[transaction_id], []
        for domain in domains:
            self.plans += 1
            part_id = f"p{self.plans}"
            expires = self.admitted_to and self.agents[domain].rules.hold_timeout_s is not None
            new = part(domain, part_id, expires=expires, transaction_id=transaction_id)
            prep = replace(
                new.prep,
                reservation_id=state.reservation_id,
                version=state.version,
                deadline_ms=self.now_ms + 30_000,
            )
            asked.append(replace(new, prep=prep))
        self.apply(transaction_id, Prepare(tuple(asked)))

    def apply(self, transaction_id: str, event: Event) -> None:
        before = self.memory[transaction_id]
        after, outbound = coordinator.step(before, event, self.now_ms)
        promise(after.decision in MAY_FOLLOW[before.decision], (before.decision, after.decision))
        if transaction_id in self.told:
            promise(after.decision is Decision.COMMIT and after.told_success, "success taken back")
        undecided = after.decision is Decision.UNDECIDED
        if not undecided or len(before.parts) != len(after.parts):
            self.stored[transaction_id] = after
        self.memory[transaction_id] = after
        if isinstance(event, ReleaseAll):
            self.released.add(transaction_id)
        if after.told_success:
            self.told.add(transaction_id)
        for item in outbound:
            self.post(Letter(item.domain, item.message))

    def post(self, letter: Letter) -> None:
        self.sent.append(letter)
        self.flying.append(letter)

    def arrive(self, letter: Letter) -> None:
        if letter.to_agent:
            assert not isinstance(letter.body, ReservationResp | Inquire)
            answer = self.agents[letter.domain].hear(letter.body, self.now_ms)
            if answer is not None:
                self.post(Letter(letter.domain, answer))
        elif isinstance(letter.body, Inquire):
            self.inquired(letter.domain, letter.body)
        elif letter.body.transaction_id in self.memory:
            assert isinstance(letter.body, ReservationResp)
            self.apply(letter.body.transaction_id, Answered(letter.domain, letter.body))

    def inquired(self, domain: str, inquire: Inquire) -> None:
        if inquire.transaction_id in self.memory:
            self.apply(inquire.transaction_id, Inquired(domain, inquire))
            return
        self.begin(inquire.transaction_id, inquire.reservation_id)
        self.apply(inquire.transaction_id, Decide(commit=False))
        self.post(Letter(domain, answer_unknown(inquire)))

    def deliver_all(self) -> None:
        """Everything that flies arrives, and what that sets flying."""
        for _ in range(10_000):
            if not self.flying:
                return
            self.arrive(self.flying.pop(0))
        raise BrokenPromiseError("messages breed messages without end")

    def wait(self, seconds: int) -> None:
        self.now_ms += seconds * 1000
        for name, agent in self.agents.items():
            for key in sorted(agent.parts):
                after, inquire = participant.tick(agent.parts[key], self.now_ms, agent.rules)
                agent.parts[key] = after
                if inquire is not None:
                    self.post(Letter(name, inquire))
        for transaction_id in sorted(self.memory):
            self.apply(transaction_id, Retry())

    def restart_orchestrator(self) -> None:
        self.flying.clear()
        self.memory = dict(self.stored)
        for transaction_id, state in sorted(self.memory.items()):
            if state.decision is Decision.UNDECIDED:
                self.apply(transaction_id, Decide(commit=False))

    def restart_agent(self, name: str) -> None:
        """What it stored stays; what was on its way from and to it is lost."""
        self.flying = [letter for letter in self.flying if letter.domain != name]

    def ready(self, transaction_id: str) -> bool:
        """Whether the newest part in every domain that was asked is held."""
        newest = {
            p.domain: p
            for p in sorted(self.memory[transaction_id].parts, key=lambda p: int(p.part_id[1:]))
        }
        return bool(newest) and all(p.status is PartStatus.HELD for p in newest.values())

    def in_force(self, transaction_id: str) -> bool:
        """Whether every domain concerned holds its part."""
        return all(
            holds(self.agents[p.domain].parts[transaction_id, p.part_id].state)
            for p in self.memory[transaction_id].parts
            if p.status not in GIVEN_UP
        )

    def check(self) -> None:
        """What must be true at every instant."""
        for transaction_id in sorted(self.told - self.released):
            promise(self.in_force(transaction_id), f"told success of {transaction_id}, not held")
        for name, agent in self.agents.items():
            promise(len(agent.held()) <= agent.room, f"{name} is overbooked")
            for key, item in agent.parts.items():
                promise(not holds(item.state) or item.prep is not None, f"{key} was never admitted")

    def heal(self) -> None:
        """No more faults: everything resolves, and only what was committed is held."""
        for agent in self.agents.values():
            agent.full_disk = False
        for _ in range(60):
            self.deliver_all()
            for transaction_id, state in sorted(self.memory.items()):
                if state.decision is Decision.UNDECIDED:
                    self.apply(transaction_id, Decide(commit=False))
            self.check()
            self.wait(61)
        self.deliver_all()
        self.check()
        for state in self.memory.values():
            promise(state.settled, f"{state.transaction_id} is not settled")
        committed = {
            (p.domain, state.transaction_id, p.part_id)
            for state in self.memory.values()
            if state.decision is Decision.COMMIT and state.transaction_id not in self.released
            for p in state.parts
            if p.status not in GIVEN_UP
        }
        states = {
            (name, *key): item.state
            for name, agent in self.agents.items()
            for key, item in agent.parts.items()
            if holds(item.state)
        }
        promise(states == dict.fromkeys(committed, PartState.COMMITTED), (states, committed))
