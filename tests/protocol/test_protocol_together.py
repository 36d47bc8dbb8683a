"""Coordinator and participants together, over a network that loses, doubles and reorders, and with
parties that crash: success is kept, failure leaves nothing, everything resolves."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from parties import Coordinator, Domain

from protocol.coordinator import Decide, Decision, Outbound, PartStatus, ReleaseAll, Retry
from protocol.messages import Inquire, PartMessage, ReservationResp
from protocol.participant import PartState, Rules

LEGAL = {
    (Decision.UNDECIDED,),
    (Decision.UNDECIDED, Decision.COMMIT),
    (Decision.UNDECIDED, Decision.ABORT),
    (Decision.UNDECIDED, Decision.COMMIT, Decision.UNDO),
}
SCHEDULES = 400


@dataclass
class Run:
    """One schedule: what travels, and who holds what."""

    dice: random.Random
    expiring: bool
    domains: dict[str, Domain] = field(default_factory=dict)
    coordinator: Coordinator = field(default_factory=Coordinator)
    to_domains: list[Outbound] = field(default_factory=list)
    to_coordinator: list[tuple[str, ReservationResp | Inquire]] = field(default_factory=list)
    now_ms: int = 0
    cancelled: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for i in range(self.dice.choice([2, 3])):
            timeout_s = 20 if self.expiring and self.dice.random() < 0.5 else None
            rules = Rules(hold_timeout_s=timeout_s, inquire_after_s=3, inquire_max_s=10)
            full = self.dice.random() < 0.2
            self.domains[f"m{i}"] = Domain(f"m{i}", rules, full)

    def post(self, messages: tuple[Outbound, ...] | list[Outbound]) -> None:
        self.to_domains += messages

    def deliver_one(self) -> None:
        queue: list[Any] = self.dice.choice([self.to_domains, self.to_coordinator])
        if not queue:
            return
        i = self.dice.randrange(len(queue))
        keep = self.dice.random() < 0.2
        item = queue[i] if keep else queue.pop(i)
        if isinstance(item, Outbound):
            self.domain_hears(item.domain, item.message)
        else:
            self.coordinator_hears(*item)

    def domain_hears(self, name: str, message: PartMessage) -> None:
        self.to_coordinator.append((name, self.domains[name].hear(message, self.now_ms)))

    def coordinator_hears(self, name: str, message: ReservationResp | Inquire) -> None:
        self.post(self.coordinator.hear(name, message, self.now_ms))
        self.check()

    def decide(self, transaction_id: str) -> None:
        state = self.coordinator.states[transaction_id]
        if state.decision is Decision.UNDECIDED:
            everything = all(part.status is PartStatus.HELD for part in state.parts)
            commit = everything and self.dice.random() < 0.9
            if commit or self.dice.random() < 0.1:
                event = Decide(commit=commit)
                self.post(self.coordinator.apply(transaction_id, event, self.now_ms))

    def pass_time(self, milliseconds: int) -> None:
        self.now_ms += milliseconds
        for name, domain in self.domains.items():
            self.to_coordinator += [(name, inquire) for inquire in domain.tick(self.now_ms)]
        for transaction_id in self.coordinator.states:
            self.post(self.coordinator.apply(transaction_id, Retry(), self.now_ms))

    def crash(self) -> None:
        """A restart of the coordinator: what travelled may be lost, what was durable is not."""
        if self.dice.random() < 0.5:
            self.to_domains.clear()
            self.to_coordinator.clear()
        self.post(self.coordinator.recover(self.now_ms))

    def act(self) -> None:
        transaction_ids = sorted(self.coordinator.states)
        roll = self.dice.random()
        if roll < 0.70:
            self.deliver_one()
        elif roll < 0.80:
            self.pass_time(self.dice.choice([500, 2000, 8000]))
        elif roll < 0.86 and self.to_domains:
            self.to_domains.pop(self.dice.randrange(len(self.to_domains)))
        elif roll < 0.92 and self.to_coordinator:
            self.to_coordinator.pop(self.dice.randrange(len(self.to_coordinator)))
        elif roll < 0.95:
            self.crash()
        for transaction_id in transaction_ids:
            self.decide(transaction_id)
        self.check()

    def check(self) -> None:
        """Told success means that every part is, or can only become, committed (rules 1 and 4)."""
        for history in self.coordinator.history.values():
            assert tuple(history) in LEGAL
        for transaction_id in self.coordinator.told - self.cancelled:
            state = self.coordinator.states[transaction_id]
            assert state.decision is Decision.COMMIT
            for item in state.parts:
                held = self.domains[item.domain].parts[transaction_id, item.part_id].state
                assert held in (PartState.HELD, PartState.COMMITTED), (transaction_id, item)

    def heal(self) -> None:
        """No more loss: everything travels, time passes, until nothing moves any more."""
        for _ in range(200):
            while self.to_domains or self.to_coordinator:
                if self.to_domains:
                    item = self.to_domains.pop(0)
                    self.domain_hears(item.domain, item.message)
                else:
                    self.coordinator_hears(*self.to_coordinator.pop(0))
            for transaction_id in sorted(self.coordinator.states):
                if self.coordinator.states[transaction_id].decision is Decision.UNDECIDED:
                    event = Decide(commit=False)
                    self.post(self.coordinator.apply(transaction_id, event, self.now_ms))
            self.pass_time(5000)

    def heal_without_abort(self) -> None:
        """Everything that travels arrives once, in order."""
        while self.to_domains or self.to_coordinator:
            if self.to_domains:
                item = self.to_domains.pop(0)
                self.domain_hears(item.domain, item.message)
            else:
                self.coordinator_hears(*self.to_coordinator.pop(0))

    def check_resolved(self) -> None:
        for transaction_id, state in self.coordinator.states.items():
            assert state.settled
            stands = state.decision is Decision.COMMIT and transaction_id not in self.cancelled
            for name, domain in self.domains.items():
                kept = [key for key in domain.holding() if key[0] == transaction_id]
                assert len(kept) == (1 if stands else 0), (transaction_id, name)
                for key in kept:
                    assert domain.parts[key].state is PartState.COMMITTED


@pytest.mark.parametrize("expiring", [False, True])
def test_random_schedules_keep_every_promise(expiring: bool) -> None:
    base = random.SystemRandom().randrange(10**9)
    for seed in range(base, base + SCHEDULES):
        run = Run(random.Random(seed), expiring)
        try:
            run.coordinator.begin("t1")
            run.post(run.coordinator.prepare("t1", run.domains, 0))
            for _ in range(run.dice.randrange(5, 80)):
                run.act()
            if "t1" in run.coordinator.told and run.dice.random() < 0.3:
                run.cancelled.add("t1")
                run.post(run.coordinator.apply("t1", ReleaseAll(), run.now_ms))
                for _ in range(20):
                    run.act()
            run.heal()
            run.check_resolved()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, expiring {expiring}: {error}") from error


@pytest.mark.parametrize("expiring", [False, True])
def test_a_modify_leaves_the_old_version_or_the_new_one_never_neither(expiring: bool) -> None:
    base = random.SystemRandom().randrange(10**9)
    for seed in range(base, base + SCHEDULES):
        run = Run(random.Random(seed), False)
        for domain in run.domains.values():
            domain.full = False
        run.coordinator.begin("t1")
        run.post(run.coordinator.prepare("t1", run.domains, 0))
        run.heal_without_abort()
        run.coordinator.apply("t1", Decide(commit=True), run.now_ms)
        run.heal()
        assert run.coordinator.told == {"t1"}
        for domain in run.domains.values():
            timeout_s = 20 if expiring and run.dice.random() < 0.5 else None
            domain.rules = Rules(hold_timeout_s=timeout_s, inquire_after_s=3, inquire_max_s=10)
            domain.full = run.dice.random() < 0.1
        run.coordinator.begin("t2")
        run.post(run.coordinator.prepare("t2", run.domains, run.now_ms))
        try:
            for _ in range(run.dice.randrange(5, 80)):
                run.act()
                if "t2" in run.coordinator.told and "t1" not in run.cancelled:
                    run.cancelled.add("t1")
                    run.post(run.coordinator.apply("t1", ReleaseAll(), run.now_ms))
            run.heal()
            if "t2" in run.coordinator.told and "t1" not in run.cancelled:
                run.cancelled.add("t1")
                run.post(run.coordinator.apply("t1", ReleaseAll(), run.now_ms))
                run.heal()
            run.check_resolved()
            for name, domain in run.domains.items():
                assert len(domain.holding()) == 1, name
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, expiring {expiring}: {error}") from error
