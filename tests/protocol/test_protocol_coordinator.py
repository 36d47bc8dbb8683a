"""The coordinator's steps: what may be decided when, what is sent, what late answers change."""

from __future__ import annotations

import pytest
from parties import FULL, part, prep

from protocol.coordinator import (
    Answered,
    Decide,
    Decision,
    Drop,
    Event,
    Inquired,
    Outbound,
    PartStatus,
    Prepare,
    ReleaseAll,
    Retry,
    Transaction,
    answer_unknown,
    begin,
    step,
)
from protocol.messages import Abort, Commit, Inquire, Phase, Release, ReservationResp

COMMIT, ABORT = Decide(commit=True), Decide(commit=False)
INQUIRE = Inquire("tx", "p1", "res")


def said(phase: Phase, ok: bool = True, part_id: str = "p1", domain: str = "m1") -> Answered:
    refusal = None if ok else FULL
    return Answered(domain, ReservationResp("tx", part_id, phase, ok, refusal))


def run(*events: Event, now_ms: int = 0, expires: bool = False) -> Transaction:
    """A transaction with two parts, p1 in m1 and p2 in m2, after these events."""
    parts = (part("m1", "p1", expires=expires), part("m2", "p2"))
    state, _ = step(begin("tx", "res", 1), Prepare(parts), now_ms)
    for event in events:
        state, _ = step(state, event, now_ms)
    return state


def statuses(state: Transaction) -> list[PartStatus]:
    return [item.status for item in state.parts]


HELD = (said(Phase.PREP), said(Phase.PREP, part_id="p2", domain="m2"))
COMMITTED = (*HELD, COMMIT, said(Phase.COMMIT), said(Phase.COMMIT, part_id="p2", domain="m2"))


def test_prepare_goes_to_every_domain_once() -> None:
    state, outbound = step(begin("tx", "res", 1), Prepare((part(),)), 5)
    assert outbound == (Outbound("m1", prep()),)
    assert state.parts[0].sent_ms == 5
    again, nothing = step(state, Prepare((part(),)), 6)
    assert (again, nothing) == (state, ())


def test_commit_needs_every_part_held() -> None:
    assert not run().all_held
    assert not run(HELD[0]).all_held
    assert run(*HELD).all_held
    with pytest.raises(ValueError, match="not every part is held"):
        run(HELD[0], COMMIT)
    with pytest.raises(ValueError, match="not every part is held"):
        step(begin("tx", "res", 1), COMMIT, 0)


def test_a_refused_part_does_not_stand_in_the_way_of_another_plan() -> None:
    state = run(said(Phase.PREP, ok=False), HELD[1])
    assert statuses(state) == [PartStatus.REFUSED, PartStatus.HELD]
    assert state.refusals[0].domain == "m1"
    assert not state.all_held
    with pytest.raises(ValueError, match="not every part is held"):
        step(state, COMMIT, 0)
    without, outbound = step(state, Drop(("p1",)), 0)
    assert outbound == ()
    assert without.all_held


def test_commit_is_sent_to_all_that_hold() -> None:
    state, outbound = step(run(*HELD), COMMIT, 0)
    assert outbound == (
        Outbound("m1", Commit("tx", "p1")),
        Outbound("m2", Commit("tx", "p2")),
    )
    assert state.decision is Decision.COMMIT
    assert not state.settled
    assert run(*COMMITTED).settled


def test_abort_is_sent_to_all_that_might_hold() -> None:
    state, outbound = step(run(said(Phase.PREP, ok=False)), ABORT, 0)
    assert outbound == (Outbound("m2", Abort("tx", "p2")),)
    assert not state.settled
    done, _ = step(state, said(Phase.ABORT, part_id="p2", domain="m2"), 0)
    assert done.settled


def test_abort_of_nothing_is_settled_at_once() -> None:
    state, outbound = step(begin("tx", "res", 1), ABORT, 0)
    assert (state.decision, outbound, state.settled) == (Decision.ABORT, (), True)


@pytest.mark.parametrize(
    ("first", "second"), [((*HELD, COMMIT), ABORT), ((ABORT,), COMMIT)], ids=["commit", "abort"]
)
def test_a_decision_is_taken_once(first: tuple[Event, ...], second: Decide) -> None:
    state = run(*first)
    with pytest.raises(ValueError, match="it is decided"):
        step(state, second, 0)
    same = Decide(commit=not second.commit)
    assert step(state, same, 0) == (state, ())


@pytest.mark.parametrize("event", [Prepare((part("m3", "p3"),)), Drop(("p1",))])
def test_nothing_is_planned_after_the_decision(event: Event) -> None:
    with pytest.raises(ValueError, match="it is decided"):
        run(ABORT, event)


def test_a_dropped_part_is_aborted_and_does_not_count() -> None:
    state, outbound = step(run(*HELD), Drop(("p1",)), 0)
    assert outbound == (Outbound("m1", Abort("tx", "p1")),)
    assert state.all_held
    committed, sent = step(state, COMMIT, 0)
    assert sent == (Outbound("m2", Commit("tx", "p2")),)
    assert not committed.settled
    late, _ = step(committed, said(Phase.PREP), 0)
    assert late == committed


def test_success_is_told_with_the_decision_when_nobody_expires() -> None:
    assert run(*HELD, COMMIT).told_success
    assert not run(*HELD).told_success
    assert not run(*HELD, ABORT).told_success


def test_with_a_domain_that_expires_success_waits_for_every_acknowledgement() -> None:
    assert not run(*HELD, COMMIT, expires=True).told_success
    assert not run(*COMMITTED[:-1], expires=True).told_success
    assert run(*COMMITTED, expires=True).told_success


def test_a_nack_before_success_undoes_the_rest() -> None:
    before = run(*HELD, COMMIT, said(Phase.COMMIT, part_id="p2", domain="m2"), expires=True)
    state, outbound = step(before, said(Phase.COMMIT, ok=False), 0)
    assert state.decision is Decision.UNDO
    assert outbound == (Outbound("m2", Release("tx", "p2")),)
    assert not state.told_success
    assert state.refusals[0].domain == "m1"
    done, _ = step(state, said(Phase.RELEASE, part_id="p2", domain="m2"), 0)
    assert done.settled


def test_a_nack_after_success_is_reported_not_undone() -> None:
    state = run(*HELD, COMMIT, said(Phase.COMMIT, ok=False))
    assert state.decision is Decision.COMMIT
    assert state.told_success
    assert [item.part_id for item in state.broken_parts] == ["p1"]


def test_success_once_told_stays_told() -> None:
    state = run(*COMMITTED, ReleaseAll(), expires=True)
    assert state.told_success
    assert statuses(state) == [PartStatus.RELEASING] * 2


def test_release_gives_back_what_was_committed() -> None:
    state, outbound = step(run(*COMMITTED), ReleaseAll(), 0)
    assert outbound == (Outbound("m1", Release("tx", "p1")), Outbound("m2", Release("tx", "p2")))
    assert not state.settled
    with pytest.raises(ValueError, match="undecided"):
        run(ReleaseAll())
    aborted = run(ABORT)
    assert step(aborted, ReleaseAll(), 0) == (aborted, ())


@pytest.mark.parametrize(
    "answer",
    [
        said(Phase.PREP),
        said(Phase.PREP, ok=False),
        said(Phase.COMMIT),
        said(Phase.COMMIT, ok=False),
        said(Phase.ABORT, ok=False),
        said(Phase.RELEASE, ok=False),
        said(Phase.COMMIT, part_id="unknown"),
        said(Phase.COMMIT, domain="somebody-else"),
    ],
)
def test_late_doubled_and_foreign_answers_change_nothing(answer: Answered) -> None:
    for state in (run(*COMMITTED), run(*HELD, ABORT)):
        assert step(state, answer, 0) == (state, ())


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        (run(*HELD, COMMIT), Commit("tx", "p1")),
        (run(*COMMITTED), Commit("tx", "p1")),
        (run(*HELD, ABORT), Abort("tx", "p1")),
        (run(*HELD, Drop(("p1",))), Abort("tx", "p1")),
        (run(said(Phase.PREP, ok=False)), Abort("tx", "p1")),
        (run(*COMMITTED, ReleaseAll()), Release("tx", "p1")),
    ],
)
def test_an_inquiry_hears_what_was_decided(
    state: Transaction, answer: Commit | Abort | Release
) -> None:
    after, outbound = step(state, Inquired("m1", INQUIRE), 0)
    assert after is state
    assert outbound == (Outbound("m1", answer),)


def test_an_inquiry_hears_nothing_while_it_is_being_negotiated() -> None:
    assert step(run(*HELD), Inquired("m1", INQUIRE), 0)[1] == ()


def test_an_inquiry_about_an_unknown_part_hears_abort() -> None:
    unknown = Inquire("tx", "p9", "res")
    assert step(run(*COMMITTED), Inquired("m1", unknown), 0)[1] == (
        Outbound("m1", Abort("tx", "p9")),
    )
    assert answer_unknown(unknown) == Abort("tx", "p9")


def test_what_is_not_acknowledged_is_sent_again_with_growing_pauses() -> None:
    state = run(*HELD, COMMIT)
    sent_s = []
    for second in range(300):
        state, outbound = step(state, Retry(), second * 1000)
        if outbound:
            assert outbound == (
                Outbound("m1", Commit("tx", "p1")),
                Outbound("m2", Commit("tx", "p2")),
            )
            sent_s.append(second)
    pauses = [b - a for a, b in zip([0, *sent_s], sent_s, strict=False)]
    assert pauses[:6] == [1, 2, 4, 8, 16, 32]
    assert set(pauses[6:]) == {60}
    settled = run(*COMMITTED)
    assert step(settled, Retry(), 10**9) == (settled, ())


def test_a_clock_that_was_set_back_does_not_silence_a_coordinator() -> None:
    state = run(*HELD, COMMIT)
    state, _ = step(state, Retry(), 3_600_000)
    state, outbound = step(state, Retry(), 1000)
    assert len(outbound) == 2
    assert step(state, Retry(), 1500) == (state, ())


def test_a_prepare_without_an_answer_is_sent_again() -> None:
    _, outbound = step(run(), Retry(), 1000)
    assert [type(item.message).__name__ for item in outbound] == ["ReservationPrep"] * 2
