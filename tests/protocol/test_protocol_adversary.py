"""Whatever an adversary does to messages and parties, no promise is broken; and the checks that say
so are sharp enough to convict protocols that are a little weaker."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from adversity import BrokenPromiseError, World
from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from protocol import coordinator, participant
from protocol.coordinator import Decide, Decision, Drop, PartStatus, ReleaseAll
from protocol.messages import Abort, Commit, Phase
from protocol.participant import Action, PartState

ANY = st.integers(0, 10**6)
TRANSACTIONS_MOST = 4


class Adversary(RuleBasedStateMachine):
    """Reserves, re-plans, modifies and cancels while everything that may fail does."""

    world: World

    @initialize(
        timeouts=st.lists(st.sampled_from([None, None, 20]), min_size=2, max_size=3),
        room=st.sampled_from([1, 2, 9]),
    )
    def start(self, timeouts: list[int | None], room: int) -> None:
        self.world = World({f"m{i}": t for i, t in enumerate(timeouts)}, room)
        self.count = 0

    def pick(self, which: int, *decisions: Decision) -> str | None:
        found = sorted(t for t, s in self.world.memory.items() if s.decision in decisions)
        return found[which % len(found)] if found else None

    @precondition(lambda self: self.count < TRANSACTIONS_MOST)
    @rule(most=st.integers(1, 3), calm=st.booleans())
    def reserve(self, most: int, calm: bool) -> None:
        self.negotiate(f"r{self.count + 1}", 1, sorted(self.world.agents)[:most], calm)

    @precondition(lambda self: self.count < TRANSACTIONS_MOST)
    @rule(which=ANY, most=st.integers(1, 3), calm=st.booleans())
    def modify(self, which: int, most: int, calm: bool) -> None:
        old = self.pick(which, Decision.COMMIT)
        if old is None or old not in self.world.told - self.world.released:
            return
        reservation_id = self.world.memory[old].reservation_id
        live = [s for s in self.world.memory.values() if s.reservation_id == reservation_id]
        if any(s.decision is Decision.UNDECIDED or not s.settled for s in live):
            return
        version = 1 + max(s.version for s in live)
        self.negotiate(reservation_id, version, sorted(self.world.agents)[-most:], calm)

    def negotiate(self, reservation_id: str, version: int, domains: list[str], calm: bool) -> None:
        """Asks; when ``calm``, also hears the answers and decides before anything goes wrong."""
        self.count += 1
        name = f"t{self.count}"
        self.world.begin(name, reservation_id, version)
        self.world.ask(name, *domains)
        if calm:
            self.world.deliver_all()
            if self.world.ready(name):
                self.world.apply(name, Decide(commit=True))

    @rule()
    def give_old_versions_back(self) -> None:
        world = self.world
        for old in sorted(world.told - world.released):
            newer = (
                s
                for s in world.memory.values()
                if s.reservation_id == world.memory[old].reservation_id
                if s.version > world.memory[old].version
            )
            if any(s.transaction_id in world.told for s in newer):
                world.apply(old, ReleaseAll())

    @rule(which=ANY, part=ANY)
    def plan_again(self, which: int, part: int) -> None:
        name = self.pick(which, Decision.UNDECIDED)
        if name is not None and self.world.memory[name].parts:
            parts = self.world.memory[name].parts
            chosen = parts[part % len(parts)]
            same = tuple(p.part_id for p in parts if p.domain == chosen.domain)
            self.world.apply(name, Drop(same))
            self.world.ask(name, chosen.domain)

    @rule(which=ANY)
    def commit(self, which: int) -> None:
        name = self.pick(which, Decision.UNDECIDED)
        if name is not None and self.world.ready(name):
            self.world.apply(name, Decide(commit=True))

    @precondition(lambda self: self.count == TRANSACTIONS_MOST)
    @rule(which=ANY)
    def abort(self, which: int) -> None:
        name = self.pick(which, Decision.UNDECIDED)
        if name is not None:
            self.world.apply(name, Decide(commit=False))

    @precondition(lambda self: self.count == TRANSACTIONS_MOST)
    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        name = self.pick(which, Decision.COMMIT)
        if name is not None:
            self.world.apply(name, ReleaseAll())

    @rule(which=ANY)
    def forget(self, which: int) -> None:
        name = self.pick(which, Decision.ABORT, Decision.UNDO)
        if name is not None and self.world.memory[name].settled:
            del self.world.memory[name], self.world.stored[name]

    @rule()
    def deliver_everything(self) -> None:
        self.world.deliver_all()

    @rule(which=ANY)
    def deliver(self, which: int) -> None:
        flying = self.world.flying
        if flying:
            self.world.arrive(flying.pop(which % len(flying)))

    @rule(which=ANY)
    def lose(self, which: int) -> None:
        flying = self.world.flying
        if flying:
            flying.pop(which % len(flying))

    @rule(which=ANY)
    def come_again(self, which: int) -> None:
        sent = self.world.sent
        if sent:
            self.world.arrive(sent[which % len(sent)])

    @rule(seconds=st.sampled_from([1, 5, 25]))
    def wait(self, seconds: int) -> None:
        self.world.wait(seconds)

    @rule()
    def restart_orchestrator(self) -> None:
        self.world.restart_orchestrator()

    @rule(which=ANY)
    def restart_agent(self, which: int) -> None:
        names = sorted(self.world.agents)
        self.world.restart_agent(names[which % len(names)])

    @rule(which=ANY)
    def fill_or_clear_a_disk(self, which: int) -> None:
        names = sorted(self.world.agents)
        agent = self.world.agents[names[which % len(names)]]
        agent.full_disk = not agent.full_disk

    @invariant()
    def every_promise_is_kept(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.heal()
        self.give_old_versions_back()
        self.world.heal()
        versions = [self.world.memory[t].reservation_id for t in self.world.told]
        standing = [
            self.world.memory[t].reservation_id for t in self.world.told - self.world.released
        ]
        assert len(standing) == len(set(standing)), "two versions of one reservation stand"
        assert set(standing) <= set(versions)


Adversary.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestAdversary = Adversary.TestCase


def reserved(world: World) -> World:
    """A transaction that every domain holds, undecided."""
    world.begin("t1", "r1")
    world.ask("t1", *sorted(world.agents))
    world.deliver_all()
    return world


def commit_never_comes_before_expiry(admitted_to: bool = True) -> None:
    world = reserved(World({"a": 20, "b": None}, admitted_to=admitted_to))
    world.apply("t1", Decide(commit=True))
    world.flying.clear()
    world.wait(30)
    world.check()


def expiry_is_kept_from_the_orchestrator() -> None:
    commit_never_comes_before_expiry(admitted_to=False)


def an_agent_loses_all_before_the_commit() -> None:
    world = reserved(World({"a": 20}))
    world.agents["a"].parts.clear()
    world.apply("t1", Decide(commit=True))
    world.deliver_all()
    world.check()


def an_abort_comes_after_the_commit() -> None:
    world = reserved(World({"a": None}))
    world.apply("t1", Decide(commit=True))
    world.deliver_all()
    world.agents["a"].hear(Abort("t1", "p1"), world.now_ms)
    world.check()


def a_cancel_crosses_an_acknowledgement() -> None:
    world = reserved(World({"a": None}))
    world.apply("t1", Decide(commit=True))
    world.arrive(world.flying.pop())
    world.apply("t1", ReleaseAll())
    acknowledgement, _release = world.flying
    world.flying.clear()
    world.arrive(acknowledgement)
    world.heal()


def a_prepare_comes_again_after_a_full_disk_refused_it() -> None:
    world = World({"a": None})
    world.begin("t1", "r1")
    world.ask("t1", "a")
    prepare = world.flying.pop()
    world.agents["a"].full_disk = True
    world.arrive(prepare)
    world.agents["a"].full_disk = False
    world.deliver_all()
    world.arrive(prepare)
    world.heal()


STORIES: dict[Callable[[], None], tuple[object, str | tuple[object, ...], object]] = {
    commit_never_comes_before_expiry: (
        coordinator,
        "_may_tell",
        lambda tx: tx.decision is Decision.COMMIT,
    ),
    an_agent_loses_all_before_the_commit: (participant.TABLE, (None, Commit), Action.COMMIT),
    an_abort_comes_after_the_commit: (
        participant.TABLE,
        (PartState.COMMITTED, Abort),
        Action.ABORT,
    ),
    a_cancel_crosses_an_acknowledgement: (
        coordinator.ANSWERS,
        (PartStatus.RELEASING, Phase.COMMIT, True),
        PartStatus.COMMITTED,
    ),
    a_prepare_comes_again_after_a_full_disk_refused_it: (
        participant,
        "tick",
        lambda part, *_: (part, None),
    ),
}
"""Each story, and what in the protocol, if it were otherwise, would let it break a promise."""


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_story_breaks_no_promise(story: Callable[[], None]) -> None:
    story()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_weaker_protocol_is_caught(
    story: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    where, name, weaker = STORIES[story]
    if isinstance(name, str):
        monkeypatch.setattr(where, name, weaker)
    else:
        assert isinstance(where, dict)
        monkeypatch.setitem(where, name, weaker)
    with pytest.raises(BrokenPromiseError):
        story()


def test_a_domain_must_say_that_its_holds_expire() -> None:
    with pytest.raises(BrokenPromiseError, match="told success"):
        expiry_is_kept_from_the_orchestrator()
