"""The edges of the tables: every answer in every status, exact instants, strangers, and that the
reference page shows the tables that the code has."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
from parties import FULL, WINDOW, part, prep

from braid.v1 import common_pb2
from protocol.codec import CodecError, domain_from_pb
from protocol.coordinator import (
    ANSWERS,
    Answered,
    CoordinatorPart,
    Decide,
    Decision,
    Drop,
    Inquired,
    Outbound,
    PartStatus,
    Prepare,
    ReleaseAll,
    Transaction,
    begin,
    step,
)
from protocol.messages import (
    Abort,
    Commit,
    Inquire,
    PartMessage,
    Phase,
    Release,
    ReservationPrep,
    ReservationResp,
)
from protocol.participant import (
    ABSENT,
    FORGET_UNSEEN_S,
    TABLE,
    Action,
    Admitted,
    Part,
    PartState,
    Rules,
    forgettable,
    holds,
    step as participant_step,
    tick,
)

NOW = 1_000_000
PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
MESSAGES: tuple[PartMessage, ...] = (
    prep(),
    Commit("tx", "p1"),
    Abort("tx", "p1"),
    Release("tx", "p1"),
)
IN_DECISION = {
    PartStatus.PREPARING: Decision.UNDECIDED,
    PartStatus.HELD: Decision.UNDECIDED,
    PartStatus.REFUSED: Decision.UNDECIDED,
    PartStatus.ABORTING: Decision.ABORT,
    PartStatus.ABORTED: Decision.ABORT,
}


def admit(_prep: ReservationPrep) -> Admitted:
    return Admitted("{}")


def in_status(status: PartStatus) -> Transaction:
    """A transaction whose only part p1, in m1, has this status."""
    only: CoordinatorPart = replace(part(), status=status)
    decision = IN_DECISION.get(status, Decision.COMMIT)
    return replace(begin("tx", "res", 1), decision=decision, parts=(only,), told=True)


def answer(phase: Phase, ok: bool, part_id: str = "p1") -> ReservationResp:
    return ReservationResp("tx", part_id, phase, ok, None if ok else FULL)


@pytest.mark.parametrize(
    ("status", "phase", "ok"), list(itertools.product(PartStatus, Phase, [True, False])), ids=str
)
def test_only_the_awaited_answer_of_the_asked_domain_moves_a_part(
    status: PartStatus, phase: Phase, ok: bool
) -> None:
    before = in_status(status)
    after, outbound = step(before, Answered("m1", answer(phase, ok)), NOW)
    assert after.parts[0].status is ANSWERS.get((status, phase, ok), status)
    assert outbound == ()
    stranger = Answered("m2", answer(phase, ok))
    assert step(before, stranger, NOW) == (before, ())


def test_answers_that_move_a_part_are_these_alone() -> None:
    waits = {
        PartStatus.PREPARING: Phase.PREP,
        PartStatus.COMMITTING: Phase.COMMIT,
        PartStatus.ABORTING: Phase.ABORT,
        PartStatus.RELEASING: Phase.RELEASE,
    }
    assert {(status, phase) for status, phase, _ in ANSWERS} == set(waits.items())
    assert {(s.name, n.name) for (s, _, ok), n in ANSWERS.items() if not ok} == {
        ("PREPARING", "REFUSED"),
        ("COMMITTING", "NACKED"),
    }


def test_a_part_that_has_not_answered_is_aborted_when_it_is_dropped_or_all_is_given_up() -> None:
    asked, _ = step(begin("tx", "res", 1), Prepare((part(),)), NOW)
    for event in (Drop(("p1",)), Decide(commit=False)):
        after, outbound = step(asked, event, NOW)
        assert outbound == (Outbound("m1", Abort("tx", "p1")),)
        assert after.parts[0].status is PartStatus.ABORTING


def test_an_undo_releases_parts_whose_acknowledgement_is_still_out() -> None:
    pair = (part("m1", "p1", expires=True), part("m2", "p2"))
    state, _ = step(begin("tx", "res", 1), Prepare(pair), NOW)
    for domain, part_id in (("m1", "p1"), ("m2", "p2")):
        state, _ = step(state, Answered(domain, answer(Phase.PREP, True, part_id)), NOW)
    state, _ = step(state, Decide(commit=True), NOW)
    undone, outbound = step(state, Answered("m1", answer(Phase.COMMIT, False)), NOW)
    assert undone.decision is Decision.UNDO
    assert step(undone, ReleaseAll(), NOW) == (undone, ())
    assert outbound == (Outbound("m2", Release("tx", "p2")),)
    asked = Inquire("tx", "p1", "res")
    assert step(undone, Inquired("m1", asked), NOW)[1] == (Outbound("m1", Release("tx", "p1")),)


def test_a_broken_part_that_asks_is_committed_for_the_user_was_told() -> None:
    broken = in_status(PartStatus.NACKED)
    assert [item.part_id for item in broken.broken_parts] == ["p1"]
    after, outbound = step(broken, Inquired("m1", Inquire("tx", "p1", "res")), NOW)
    assert outbound == (Outbound("m1", Commit("tx", "p1")),)
    assert after.broken_parts == broken.broken_parts


def test_a_cancel_releases_a_broken_part_too() -> None:
    after, outbound = step(in_status(PartStatus.NACKED), ReleaseAll(), NOW)
    assert outbound == (Outbound("m1", Release("tx", "p1")),)
    assert not after.settled
    done, _ = step(after, Answered("m1", answer(Phase.RELEASE, True)), NOW)
    assert done.settled


def test_another_domains_inquiry_about_a_part_hears_abort_not_its_decision() -> None:
    committed = in_status(PartStatus.COMMITTED)
    outbound = step(committed, Inquired("m2", Inquire("tx", "p1", "res")), NOW)[1]
    assert outbound == (Outbound("m2", Abort("tx", "p1")),)


def test_parts_are_sorted_whatever_the_order_of_asking() -> None:
    state, _ = step(begin("tx", "res", 1), Prepare((part("m2", "p2"), part("m1", "p1"))), NOW)
    state, _ = step(state, Prepare((part("m0", "p0"),)), NOW)
    assert [item.part_id for item in state.parts] == ["p0", "p1", "p2"]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize("state", [ABSENT, *PartState], ids=str)
def test_a_doubled_message_gets_the_same_answer_word_for_word(
    state: PartState | None, message: PartMessage
) -> None:
    refusal = FULL if state is PartState.REFUSED else None
    before = Part("tx", "p1", state, prep(), "{}", refusal, NOW) if state else None
    first, said = participant_step(before, message, NOW, admit, Rules(), 1)
    second, said_again = participant_step(first, message, NOW + 5, admit, Rules(), 1)
    assert (second, said_again) == (first, said)


def test_a_deadline_is_the_last_instant_that_counts() -> None:
    _, in_time = participant_step(None, prep(deadline_ms=NOW), NOW, admit, Rules(), 1)
    _, late = participant_step(None, prep(deadline_ms=NOW), NOW + 1, admit, Rules(), 1)
    assert in_time is not None
    assert late is not None
    assert (in_time.ok, late.ok) == (True, False)


def test_a_part_that_is_decided_has_no_inquiry_ahead() -> None:
    held, _ = participant_step(None, prep(), NOW, admit, Rules(), 1)
    assert held is not None
    assert held.inquire_at_ms is not None
    for message in MESSAGES[1:]:
        after, _ = participant_step(held, message, NOW, admit, Rules(), 1)
        assert after is not None
        assert after.inquire_at_ms is None


def test_a_held_part_that_knows_no_time_to_ask_asks_at_once() -> None:
    held = Part("tx", "p1", PartState.HELD, prep(), "{}", changed_ms=NOW)
    after, inquire = tick(held, NOW, Rules())
    assert inquire == Inquire("tx", "p1", "res")
    assert after.inquire_at_ms is not None
    assert after.inquire_at_ms > NOW


def test_grace_counts_from_what_happened_last() -> None:
    late_ms = (WINDOW.end_s + 1000) * 1000
    released = Part("tx", "p1", PartState.RELEASED, prep(), changed_ms=late_ms)
    assert not forgettable(released, late_ms + 59_999, Rules(grace_s=60))
    assert forgettable(released, late_ms + 60_000, Rules(grace_s=60))


def test_the_tombstone_of_the_unseen_outlives_an_orchestrators_horizon() -> None:
    horizon_s = 2 * 366 * 86_400
    assert horizon_s < FORGET_UNSEEN_S


def test_a_port_with_negative_latency_is_refused_by_name() -> None:
    port = common_pb2.Port(stp="a:x", capacity_bps=1, remote_stp="b:y", latency_us=-1)
    domain = common_pb2.Domain(name="a", visibility=common_pb2.VISIBILITY_BLIND, ports=[port])
    with pytest.raises(CodecError) as caught:
        domain_from_pb(domain)
    assert caught.value.field == "domain.ports.latency_us"


def cell(state: PartState | None, kind: type[PartMessage]) -> str:
    """What the page must say for a state and a message."""
    after = {Action.COMMIT: "COMMITTED", Action.ABORT: "ABORTED", Action.RELEASE: "RELEASED"}
    action = TABLE[state, kind]
    match action:
        case Action.ADMIT:
            return "admit: HELD, yes; or REFUSED, no"
        case Action.REPEAT:
            return "yes" if state is not None and holds(state) else "no, as before"
        case Action.ACK:
            return "yes"
        case Action.NACK:
            return "no"
        case Action.NACK_ABORT:
            return "no, → ABORTED"
    return f"→ {after[action]}, yes"


def test_the_page_shows_the_table_of_the_participant() -> None:
    rows = re.findall(r"^\| (\S+) \| (.+) \| (.+) \| (.+) \| (.+) \|$", PAGE.read_text(), re.M)
    shown = {row[0].strip("*"): [text.replace("**", "") for text in row[1:]] for row in rows}
    kinds = (ReservationPrep, Commit, Abort, Release)
    for state in (ABSENT, *PartState):
        name = state.name if state else "absent"
        assert shown[name] == [cell(state, kind) for kind in kinds], name


def test_the_page_shows_the_answers_that_the_coordinator_awaits() -> None:
    text = PAGE.read_text()
    for status in (s for s in PartStatus if any(s is key[0] for key in ANSWERS)):
        moves = sorted(((ok, n) for (s, _, ok), n in ANSWERS.items() if s is status), reverse=True)
        said = ", ".join(f"{'yes' if ok else 'no'} → {after.name}" for ok, after in moves)
        assert re.search(rf"^\| {status.name} \| \w+ \| {said} \|$", text, re.M), status
