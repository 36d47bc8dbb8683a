"""Every pair of state and message, and what time does to a part."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, get_args

import pytest
from parties import FULL, WINDOW, prep

from protocol import participant
from protocol.messages import (
    Abort,
    Commit,
    PartMessage,
    Phase,
    Release,
    ReservationPrep,
    ReservationResp,
)
from protocol.participant import (
    ABSENT,
    AFTER_HEURISTIC,
    FORGET_UNSEEN_S,
    PHASE,
    TABLE,
    WHILE_RECOVERING,
    Admit,
    Admitted,
    Part,
    PartState,
    Rules,
    forgettable,
    holds,
    last_inquiry_ms,
    settle_by_hand,
    tick,
)
from substrate.model import Refusal, RefusalKind

NOW = 1_000_000
MESSAGES: dict[type[PartMessage], PartMessage] = {
    ReservationPrep: prep(),
    Commit: Commit("tx", "p1"),
    Abort: Abort("tx", "p1"),
    Release: Release("tx", "p1"),
}
YES = (True, None)

H, F, C, A, R, E = (
    PartState.HELD,
    PartState.REFUSED,
    PartState.COMMITTED,
    PartState.ABORTED,
    PartState.RELEASED,
    PartState.EXPIRED,
)
# state before: {message: (state after, answer)}
EXPECTED: dict[PartState | None, dict[type[PartMessage], tuple[PartState, bool]]] = {
    ABSENT: {ReservationPrep: (H, True), Commit: (A, False), Abort: (A, True), Release: (R, True)},
    H: {ReservationPrep: (H, True), Commit: (C, True), Abort: (A, True), Release: (R, True)},
    F: {ReservationPrep: (F, False), Commit: (F, False), Abort: (F, True), Release: (F, True)},
    C: {ReservationPrep: (C, True), Commit: (C, True), Abort: (C, False), Release: (R, True)},
    A: {ReservationPrep: (A, False), Commit: (A, False), Abort: (A, True), Release: (A, True)},
    R: {ReservationPrep: (R, False), Commit: (R, False), Abort: (R, True), Release: (R, True)},
    E: {ReservationPrep: (E, False), Commit: (E, False), Abort: (E, True), Release: (E, True)},
}


def in_state(state: PartState | None) -> Part | None:
    if state is None:
        return None
    refusal = FULL if state is PartState.REFUSED else None
    inquire_at_ms = NOW + 5000 if state is PartState.HELD else None
    return Part("tx", "p1", state, prep(), "mapping", refusal, NOW, inquire_at_ms)


def held(**changes: Any) -> Part:
    part = in_state(PartState.HELD)
    assert part is not None
    return replace(part, **changes)


def admit(_prep: ReservationPrep) -> Admitted:
    return Admitted("mapping")


def never(_prep: ReservationPrep) -> Admitted:
    raise AssertionError("admitted twice, or when it must not be")


def step(
    part: Part | None, message: PartMessage, now_ms: int, admit: Admit, rules: Rules, epoch: int
) -> tuple[Part, ReservationResp]:
    """As the shipped one, where there is a part and an answer."""
    after, answer = participant.step(part, message, now_ms, admit, rules, epoch)
    assert after is not None
    assert answer is not None
    return after, answer


def test_the_table_is_total() -> None:
    assert set(TABLE) == {(s, m) for s in (*PartState, ABSENT) for m in get_args(PartMessage)}
    assert set(PHASE) == set(get_args(PartMessage))


@pytest.mark.parametrize("kind", list(MESSAGES), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", list(EXPECTED), ids=str)
def test_every_message_in_every_state_and_again(
    state: PartState | None, kind: type[PartMessage]
) -> None:
    expected_state, ok = EXPECTED[state][kind]
    first, answer = step(in_state(state), MESSAGES[kind], NOW, admit, Rules(), 3)
    assert (first.state, answer.ok) == (expected_state, ok)
    assert answer.phase is PHASE[kind]
    assert answer.agent_epoch == 3
    assert (answer.refusal is None) is ok
    second, again = step(first, MESSAGES[kind], NOW + 1, never, Rules(), 3)
    assert second == first
    # A NACK of the unknown says "unknown" once and then "aborted": no less a no.
    assert (again.ok, again.phase) == (answer.ok, answer.phase)


def test_a_hold_remembers_how_and_when_to_ask() -> None:
    part, answer = step(None, prep(), NOW, admit, Rules(inquire_after_s=7), 1)
    assert part.mapping == "mapping"
    assert part.inquire_at_ms == NOW + 7000
    assert answer.phase is Phase.PREP


def test_a_refusal_is_remembered_and_repeated() -> None:
    part, answer = step(None, prep(), NOW, lambda _: FULL, Rules(), 1)
    assert answer.refusal == FULL
    _, again = step(part, prep(), NOW, never, Rules(), 1)
    assert again.refusal == FULL


def test_an_abort_before_its_prepare_refuses_the_late_prepare() -> None:
    part, _ = step(None, Abort("tx", "p1"), NOW, never, Rules(), 1)
    _, late = step(part, prep(), NOW, never, Rules(), 1)
    assert not late.ok
    assert late.refusal is not None
    assert late.refusal.kind is RefusalKind.TOMBSTONE


def test_a_commit_nobody_prepared_is_refused_and_stays_so() -> None:
    part, answer = step(None, Commit("tx", "p1"), NOW, never, Rules(), 1)
    assert not answer.ok
    _, late = step(part, prep(), NOW, never, Rules(), 1)
    assert not late.ok


def test_a_prepare_past_its_deadline_is_refused() -> None:
    _, answer = step(None, prep(deadline_ms=NOW - 1), NOW, never, Rules(), 1)
    assert answer.refusal is not None
    assert answer.refusal.kind is RefusalKind.UNAVAILABLE


def test_an_agent_that_drains_refuses_new_holds_only() -> None:
    why = Refusal(RefusalKind.UNAVAILABLE, "draining")
    rules = Rules(refuse=why)
    _, answer = step(None, prep(), NOW, never, rules, 1)
    assert answer.refusal == why
    part, commit = step(in_state(PartState.HELD), Commit("tx", "p1"), NOW, never, rules, 1)
    assert commit.ok
    assert part.state is PartState.COMMITTED


@pytest.mark.parametrize("state", list(PartState))
def test_only_held_and_committed_count(state: PartState) -> None:
    assert holds(state) is (state in (PartState.HELD, PartState.COMMITTED))


def test_a_held_part_asks_for_ever_with_growing_pauses() -> None:
    rules = Rules(inquire_after_s=5, inquire_max_s=40)
    part, _ = step(None, prep(), 0, admit, rules, 1)
    asked, now = [], 0
    for now in range(0, 400_000, 1000):
        part, inquire = tick(part, now, rules)
        if inquire is not None:
            assert (inquire.transaction_id, inquire.reservation_id) == ("tx", "res")
            asked.append(now // 1000)
    pauses = [b - a for a, b in itertools.pairwise(asked)]
    assert asked[0] == 5
    assert pauses[:4] == [10, 20, 40, 40]
    assert set(pauses[3:]) == {40}
    assert part.state is PartState.HELD


@pytest.mark.parametrize("state", [s for s in PartState if s is not PartState.HELD])
def test_time_does_nothing_to_a_part_that_is_not_held(state: PartState) -> None:
    part = in_state(state)
    assert part is not None
    assert tick(part, NOW + 10**12, Rules(hold_timeout_s=1)) == (part, None)


def test_only_a_domain_that_insists_lets_a_hold_expire() -> None:
    part, _ = step(None, prep(), NOW, admit, Rules(), 1)
    assert part.expires_ms is None
    assert tick(part, NOW + 10**12, Rules(hold_timeout_s=30))[0].state is PartState.HELD

    part, _ = step(None, prep(), NOW, admit, Rules(hold_timeout_s=30), 1)
    late = NOW + 30_000
    assert part.expires_ms == late
    assert tick(part, late - 1, Rules())[0].state is PartState.HELD
    expired, inquire = tick(part, late, Rules())
    assert expired.state is PartState.EXPIRED
    assert inquire is None
    _, answer = step(expired, Commit("tx", "p1"), late, never, Rules(), 1)
    assert not answer.ok


def test_when_a_hold_has_last_asked_is_known() -> None:
    rules = Rules(inquire_after_s=5, inquire_max_s=40)
    part, _ = step(None, prep(), 0, admit, rules, 1)
    assert last_inquiry_ms(part, rules) is None
    for now in range(0, 100_000, 1000):
        part, inquire = tick(part, now, rules)
        if inquire is not None:
            assert last_inquiry_ms(part, rules) == now


# --- a domain that recovers -----------------------------------------------------------------------

RECOVERING = Rules(recovering=True)


def test_a_domain_that_recovers_takes_nothing_new_and_remembers_nothing_of_it() -> None:
    part, answer = participant.step(None, prep(), NOW, never, RECOVERING, 3)
    assert part is None
    assert answer is not None
    assert (answer.ok, answer.phase, answer.agent_epoch) == (False, Phase.PREP, 3)
    assert answer.refusal is not None
    assert answer.refusal.kind is RefusalKind.UNAVAILABLE
    _, again = step(None, prep(), NOW, admit, Rules(), 3)
    assert again.ok


def test_a_domain_that_recovers_is_silent_about_what_it_may_have_forgotten() -> None:
    assert participant.step(None, Commit("tx", "p1"), NOW, never, RECOVERING, 3) == (None, None)


def test_a_doubled_prepare_revives_no_hold_of_a_backup() -> None:
    part, answer = step(held(), prep(), NOW, never, RECOVERING, 3)
    assert part == held()
    assert not answer.ok


@pytest.mark.parametrize("kind", list(MESSAGES), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", list(EXPECTED), ids=str)
def test_in_all_other_cases_recovery_changes_nothing(
    state: PartState | None, kind: type[PartMessage]
) -> None:
    if (state, kind) in WHILE_RECOVERING:
        return
    part, message = in_state(state), MESSAGES[kind]
    usual = participant.step(part, message, NOW, never, Rules(), 3)
    assert participant.step(part, message, NOW, never, RECOVERING, 3) == usual


def test_a_hold_asks_on_but_does_not_expire_while_its_domain_recovers() -> None:
    part, inquire = tick(held(expires_ms=NOW), NOW + 10_000, RECOVERING)
    assert part.state is PartState.HELD
    assert inquire is not None
    assert tick(part, NOW + 10_000, Rules())[0].state is PartState.EXPIRED


# --- decisions by hand ----------------------------------------------------------------------------


def test_only_a_hold_is_settled_by_hand() -> None:
    for state in PartState:
        part = in_state(state)
        assert part is not None
        if state is not PartState.HELD:
            with pytest.raises(ValueError, match=state.name):
                settle_by_hand(part, True, NOW)
    committed, given_up = (settle_by_hand(held(), commit, NOW + 7) for commit in (True, False))
    assert (committed.state, given_up.state) == (PartState.COMMITTED, PartState.ABORTED)
    for part in (committed, given_up):
        assert part.heuristic
        assert (part.changed_ms, part.inquire_at_ms) == (NOW + 7, None)


@pytest.mark.parametrize("kind", list(MESSAGES), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("commit", [True, False])
def test_after_a_decision_by_hand_only_the_tables_exception_differs(
    commit: bool, kind: type[PartMessage]
) -> None:
    part = settle_by_hand(held(), commit, NOW)
    after, answer = step(part, MESSAGES[kind], NOW, never, Rules(), 1)
    usual, ordinary = step(replace(part, heuristic=False), MESSAGES[kind], NOW, never, Rules(), 1)
    if (part.state, kind) in AFTER_HEURISTIC:
        assert (after.state, answer.ok) == (PartState.ABORTED, True)
        return
    assert (after.state, answer.ok) == (usual.state, ordinary.ok)
    if answer.refusal is not None:
        assert "by an operator's hand" in answer.refusal.reason


@pytest.mark.parametrize("state", [s for s in PartState if s is not PartState.HELD])
def test_a_part_is_remembered_until_its_window_and_grace_are_over(state: PartState) -> None:
    part = in_state(state)
    assert part is not None
    over_ms = (WINDOW.end_s + 60) * 1000
    part = replace(part, changed_ms=0)
    assert not forgettable(part, over_ms - 1, Rules(grace_s=60))
    assert forgettable(part, over_ms, Rules(grace_s=60))


def test_a_held_part_is_never_forgotten() -> None:
    assert not forgettable(held(), 10**15, Rules())


def test_the_tombstone_of_what_was_never_seen_outlives_any_window() -> None:
    part, _ = step(None, Abort("tx", "p1"), NOW, never, Rules(), 1)
    assert not forgettable(part, NOW + FORGET_UNSEEN_S * 1000 - 1, Rules())
    assert forgettable(part, NOW + FORGET_UNSEEN_S * 1000, Rules())
