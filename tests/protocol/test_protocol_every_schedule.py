"""Every schedule of a small world, one step at a time, with the shipped step functions.

The network is the set of all messages ever sent, and any of them may arrive at any time, or never:
loss, doubling and reordering are all in that. A party that crashes loses what was not durable, and
nothing of a state is not durable; what a restarted coordinator does (abort what is undecided, send
again) is among the steps that are open to it anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from parties import FULL, part

from protocol import coordinator, participant
from protocol.coordinator import (
    Answered,
    CoordinatorPart,
    Decide,
    Decision,
    Drop,
    Event,
    Inquired,
    PartStatus,
    Prepare,
    ReleaseAll,
    Retry,
    Transaction,
)
from protocol.messages import Abort, Commit, Inquire, PartMessage, ReservationResp
from protocol.participant import Admitted, Part, PartState, Rules
from substrate.model import Refusal

LATER_MS = 10**8
FOLLOWS = {
    Decision.UNDECIDED: {Decision.COMMIT, Decision.ABORT},
    Decision.COMMIT: {Decision.UNDO},
    Decision.ABORT: set(),
    Decision.UNDO: set(),
}


@dataclass(frozen=True)
class World:
    """One state of everything. ``parts`` are in the order of their ids; ``sent`` is the network."""

    tx: Transaction
    parts: tuple[Part | None, ...]
    sent: frozenset[PartMessage | ReservationResp | Inquire]
    cancelled: bool = False


@dataclass(frozen=True)
class Setting:
    """The plans of a negotiation, one tuple of parts each, and which domains are full or expire."""

    plans: tuple[tuple[CoordinatorPart, ...], ...]
    full: frozenset[str] = frozenset()

    @property
    def every(self) -> tuple[CoordinatorPart, ...]:
        return tuple(sorted({p for plan in self.plans for p in plan}, key=lambda p: p.part_id))

    def start(self) -> World:
        tx = coordinator.begin("tx", "res", 1)
        empty = World(tx, (None,) * len(self.every), frozenset())
        return self.coordinate(empty, Prepare(self.plans[0]))

    def coordinate(self, world: World, event: Event) -> World:
        """The coordinator's step; the decision and "told" only ever go forward."""
        tx, outbound = coordinator.step(world.tx, event, 0)
        if tx.decision is not world.tx.decision:
            assert tx.decision in FOLLOWS[world.tx.decision]
            assert tx.decision is not Decision.UNDO or not world.tx.told_success
        assert tx.told_success or not world.tx.told_success
        return replace(world, tx=tx, sent=world.sent | {item.message for item in outbound})

    def hear(self, world: World, i: int, message: PartMessage) -> World:
        """A participant's step. Why it says no is left out: it would only multiply the states."""
        rules = self.rules(i)
        after, answer = participant.step(world.parts[i], message, 0, self.admit(i), rules, 1)
        assert answer is not None
        parts = (*world.parts[:i], after, *world.parts[i + 1 :])
        return replace(world, parts=parts, sent=world.sent | {replace(answer, refusal=None)})

    def rules(self, i: int) -> Rules:
        return Rules(hold_timeout_s=0 if self.every[i].expires else None)

    def admit(self, i: int) -> participant.Admit:
        verdict: Admitted | Refusal = (
            FULL if self.every[i].domain in self.full else Admitted("mapping")
        )
        return lambda _prep: verdict

    def steps(self, world: World) -> Iterator[World]:
        """Every state that one step leads to."""
        index = {item.part_id: i for i, item in enumerate(self.every)}
        for message in world.sent:
            i = index[message.part_id]
            if isinstance(message, Inquire):
                yield self.coordinate(world, Inquired(self.every[i].domain, message))
            elif isinstance(message, ReservationResp):
                yield self.coordinate(world, Answered(self.every[i].domain, message))
            else:
                yield self.hear(world, i, message)
        for i, held in enumerate(world.parts):
            if held is not None and held.state is PartState.HELD:
                yield self.time_passes(world, i, held)
        for event in self.choices(world):
            yield self.coordinate(world, event)
        if world.tx.decision is Decision.COMMIT:
            yield replace(self.coordinate(world, ReleaseAll()), cancelled=True)

    def time_passes(self, world: World, i: int, held: Part) -> World:
        """A hold expires where its domain insists; elsewhere it asks."""
        after, inquire = participant.tick(held, LATER_MS, self.rules(i))
        if inquire is not None:
            assert holds(after)
            return replace(world, sent=world.sent | {inquire})
        assert self.every[i].expires
        after = replace(after, changed_ms=0)
        return replace(world, parts=(*world.parts[:i], after, *world.parts[i + 1 :]))

    def choices(self, world: World) -> Iterator[Event]:
        """What the coordinator may do by itself."""
        if world.tx.decision is not Decision.UNDECIDED:
            return
        yield Decide(commit=False)
        status = {item.part_id: item.status for item in world.tx.parts}
        for plan in self.plans:
            wanted = {item.part_id for item in plan}
            rest = tuple(sorted(set(status) - wanted))
            if any(status[part_id] not in coordinator.DROPPED for part_id in rest):
                yield Drop(rest)
            elif all(status.get(part_id) is PartStatus.HELD for part_id in wanted):
                yield Decide(commit=True)
            if not wanted <= set(status):
                yield Prepare(plan)

    def check(self, world: World) -> None:
        """Told success: every part of it is held until it is given back (rules 1 and 4)."""
        for item, held in zip(self.every, world.parts, strict=True):
            status = {p.part_id: p.status for p in world.tx.parts}.get(item.part_id)
            if status is None or status in coordinator.DROPPED:
                continue
            if world.tx.told_success and not world.cancelled:
                assert holds(held), f"told, but {item.part_id} is {held and held.state}"
                assert status is not PartStatus.NACKED
                assert not world.tx.broken_parts
            if status is PartStatus.COMMITTED:
                assert held is not None
                assert held.state is PartState.COMMITTED

    def heal(self, world: World) -> World:
        """From here on everything arrives; who is undecided aborts, as after a restart."""
        if world.tx.decision is Decision.UNDECIDED:
            world = self.coordinate(world, Decide(commit=False))
        index = {item.part_id: i for i, item in enumerate(self.every)}
        for _ in range(4):
            tx, outbound = coordinator.step(world.tx, Retry(), LATER_MS)
            world = replace(world, tx=tx)
            messages = [item.message for item in outbound]
            for i, held in enumerate(world.parts):
                if held is not None and held.state is PartState.HELD:
                    asks = Inquired(self.every[i].domain, Inquire("tx", held.part_id, "res"))
                    messages += [item.message for item in coordinator.step(tx, asks, 0)[1]]
            for message in messages:
                i = index[message.part_id]
                before = world.sent
                world = self.hear(world, i, message)
                for answer in world.sent - before or world.sent:
                    if isinstance(answer, ReservationResp) and answer.part_id == message.part_id:
                        world = self.coordinate(world, Answered(self.every[i].domain, answer))
            world = replace(world, tx=_at_zero(world.tx))
        return world

    def check_healed(self, world: World) -> None:
        """All is settled: a commit stands in all its parts, anything else in none."""
        assert world.tx.settled, world.tx
        stands = world.tx.decision is Decision.COMMIT and not world.cancelled
        assert world.tx.told_success or not stands
        status = {item.part_id: item.status for item in world.tx.parts}
        for item, held in zip(self.every, world.parts, strict=True):
            wanted = stands and status.get(item.part_id, PartStatus.ABORTED) not in (
                coordinator.DROPPED
            )
            assert holds(held) is wanted, (item.part_id, held, world.tx)


def holds(held: Part | None) -> bool:
    return held is not None and participant.holds(held.state)


def _at_zero(tx: Transaction) -> Transaction:
    return replace(tx, parts=tuple(replace(p, sent_ms=0, attempts=1) for p in tx.parts))


def explore(setting: Setting) -> set[World]:
    """Every state that can be reached, each of them checked, and healed and checked again."""
    seen = {setting.start()}
    todo = list(seen)
    while todo:
        world = todo.pop()
        setting.check(world)
        setting.check_healed(setting.heal(world))
        for after in setting.steps(world):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


M1, M2, M3 = part("m1", "p1"), part("m2", "p2"), part("m3", "p3")
X1, X2 = part("m1", "p1", expires=True), part("m2", "p2", expires=True)
OTHER_M1 = part("m1", "p4")
SETTINGS = {
    "two domains": Setting(((M1, M2),)),
    "one of two expires": Setting(((X1, M2),)),
    "both expire": Setting(((X1, X2),)),
    "one of two is full": Setting(((M1, M2),), frozenset({"m2"})),
    "another domain instead": Setting(((M1, M2), (M1, M3)), frozenset({"m2"})),
    "another part in the same domain": Setting(((M1,), (OTHER_M1,))),
    "an expiring domain is dropped": Setting(((X1,), (M2,))),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_no_schedule_of_a_small_world_breaks_a_promise(name: str) -> None:
    reached = {world.tx.decision for world in explore(SETTINGS[name])}
    expected = {Decision.UNDECIDED, Decision.ABORT}
    if name != "one of two is full":
        expected.add(Decision.COMMIT)
    if any(item.expires for item in SETTINGS[name].every):
        expected.add(Decision.UNDO)
    assert reached == expected


def test_a_world_that_answers_an_inquiry_before_it_decides_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(coordinator.MESSAGE, PartStatus.HELD, Abort)
    with pytest.raises(AssertionError):
        explore(SETTINGS["two domains"])


def test_a_world_that_tells_success_before_an_expiring_domain_acknowledged_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coordinator, "_may_tell", lambda tx: tx.decision is Decision.COMMIT)
    with pytest.raises(AssertionError, match="told, but p1 is"):
        explore(SETTINGS["one of two expires"])


def test_a_world_whose_domain_drops_a_hold_unannounced_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Setting, "rules", lambda _self, _i: Rules(hold_timeout_s=0))
    with pytest.raises(AssertionError):
        explore(SETTINGS["two domains"])


def test_a_world_that_acknowledges_the_commit_of_an_expired_part_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expired = (PartState.EXPIRED, Commit)
    monkeypatch.setitem(participant.TABLE, expired, participant.Action.ACK)
    with pytest.raises(AssertionError):
        explore(SETTINGS["both expire"])


def test_a_world_that_undoes_without_giving_back_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        coordinator, "_undo", lambda tx, _now_ms: (replace(tx, decision=Decision.UNDO), ())
    )
    with pytest.raises(AssertionError):
        explore(SETTINGS["one of two expires"])
