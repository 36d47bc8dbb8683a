"""What a domain that forgot promises comes to hold: never too much, and first what users heard."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, strategies as st
from parties import FULL, prep

from protocol.messages import Claim, Phase, ReservationPrep, ReservationResp
from protocol.participant import Admitted, Part, PartState, holds
from protocol.reconciliation import adopt, in_order, unclaimed, yielding
from substrate.model import Refusal, RefusalKind

NOW = 1_000_000
CAPACITY = 10
Key = tuple[str, str]


def sized(name: str, size: int) -> ReservationPrep:
    """A part of a transaction of its own that takes ``size``."""
    asked = prep(transaction_id=name)
    return replace(asked, segments=(replace(asked.segments[0], bandwidth_bps=size),))


def size_of(wanted: ReservationPrep) -> int:
    return wanted.segments[0].bandwidth_bps


def part_of(wanted: ReservationPrep, state: PartState) -> Part:
    inquire_at_ms = NOW if state is PartState.HELD else None
    refusal = FULL if state is PartState.REFUSED else None
    return Part(
        wanted.transaction_id, wanted.part_id, state, wanted, "m", refusal, 0, inquire_at_ms
    )


@dataclass
class Domain:
    """One number that can be shared out; reconciles as an agent does."""

    parts: dict[Key, Part] = field(default_factory=dict)

    def used(self, but: Collection[Key] = ()) -> int:
        live = (
            part.prep for key, part in self.parts.items() if holds(part.state) and key not in but
        )
        return sum(size_of(wanted) for wanted in live if wanted is not None)

    def reconcile(self, claims: Iterable[Claim]) -> dict[Key, ReservationResp]:
        claims = tuple(claims)
        for part in unclaimed(self.parts.values(), claims, NOW):
            self.parts[part.transaction_id, part.part_id] = part
        waiting = {
            (part.transaction_id, part.part_id): part
            for part in yielding(self.parts.values(), claims)
        }
        answers = {}
        for claim in in_order(claims, NOW):
            key = (claim.prep.transaction_id, claim.prep.part_id)
            waiting.pop(key, None)
            used = self.used(but=waiting)

            def admit(wanted: ReservationPrep, used: int = used) -> Admitted | Refusal:
                return Admitted("new") if used + size_of(wanted) <= CAPACITY else FULL

            self.parts[key], answers[key] = adopt(self.parts.get(key), claim, NOW, admit, 7)
            assert self.used(but=waiting) <= CAPACITY
        return answers


@dataclass
class Case:
    domain: Domain
    claims: list[Claim]


def fitting(draw: st.DrawFn, wanted: list[ReservationPrep]) -> list[ReservationPrep]:
    """Some of them that fit side by side."""
    chosen: list[ReservationPrep] = []
    for each in wanted:
        room = CAPACITY - sum(map(size_of, chosen))
        if size_of(each) <= room and draw(st.booleans()):
            chosen.append(each)
    return chosen


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A backup and what is claimed of it: told ones were held together, and so was the backup."""
    sizes = draw(st.lists(st.integers(1, CAPACITY), min_size=1, max_size=10))
    wanted = [sized(f"t{n}", size) for n, size in enumerate(sizes)]
    told = fitting(draw, wanted)
    domain = Domain()
    live = fitting(draw, draw(st.permutations(wanted)))
    alive, dead = (PartState.HELD, PartState.COMMITTED), (PartState.ABORTED, PartState.EXPIRED)
    for each in wanted:
        if each in live:
            state = draw(st.sampled_from(alive))
        elif each not in told and draw(st.booleans()):
            state = draw(st.sampled_from((*dead, PartState.RELEASED, PartState.REFUSED)))
        elif each in told and draw(st.booleans()):
            # It expired while nobody knew yet that this is a backup.
            state = PartState.EXPIRED
        else:
            continue
        domain.parts[each.transaction_id, each.part_id] = part_of(each, state)
    # What was committed and is claimed stood beside what users were told. A hold may have expired.
    room, untold = CAPACITY - sum(map(size_of, told)), []
    for each in wanted:
        part = domain.parts.get((each.transaction_id, each.part_id))
        stood = part is not None and part.state is PartState.COMMITTED
        size = size_of(each) if stood else 0
        if each not in told and size <= room and draw(st.booleans()):
            room -= size
            untold.append(each)
    claims = [Claim(each, True) for each in told] + [Claim(each, False) for each in untold]
    return Case(domain, draw(st.permutations(claims)))


@given(cases())
def test_what_users_heard_is_held_and_nothing_beyond_capacity(case: Case) -> None:
    answers = case.domain.reconcile(case.claims)
    for claim in case.claims:
        key = (claim.prep.transaction_id, claim.prep.part_id)
        answer, part = answers[key], case.domain.parts[key]
        assert (answer.phase, answer.agent_epoch) == (Phase.COMMIT, 7)
        assert answer.ok is (part.state is PartState.COMMITTED)
        assert (answer.refusal is None) is answer.ok
        assert answer.ok or not claim.told
    claimed = {(claim.prep.transaction_id, claim.prep.part_id) for claim in case.claims}
    live = {key for key, part in case.domain.parts.items() if holds(part.state)}
    assert live <= claimed
    assert all(part.state is not PartState.HELD for part in case.domain.parts.values())


@given(cases())
def test_repeating_it_changes_nothing_and_says_the_same(case: Case) -> None:
    answers = case.domain.reconcile(case.claims)
    parts = dict(case.domain.parts)
    assert case.domain.reconcile(reversed(case.claims)) == answers
    assert case.domain.parts == parts


@given(cases())
def test_the_order_of_claims_does_not_matter(case: Case) -> None:
    other = Domain(dict(case.domain.parts))
    answers = case.domain.reconcile(case.claims)
    assert other.reconcile(sorted(case.claims, key=lambda c: c.prep.transaction_id)) == answers
    assert other.parts == case.domain.parts


def test_what_users_heard_comes_first_and_each_part_once() -> None:
    a, b, c = (sized(name, 1) for name in "abc")
    claims = [Claim(a, False), Claim(c, True), Claim(b, False), Claim(b, True), Claim(a, False)]
    assert in_order(claims, 0) == (Claim(b, True), Claim(c, True), Claim(a, False))


def test_what_is_over_comes_after_what_goes_on_and_before_what_no_user_was_told() -> None:
    a, b, c = (sized(name, 1) for name in "abc")
    over = replace(a, window=replace(a.window, end_s=a.window.end_s - 1))
    now_ms = over.window.end_s * 1000
    claims = [Claim(c, False), Claim(over, True), Claim(b, True)]
    assert in_order(claims, now_ms - 1) == (Claim(over, True), Claim(b, True), Claim(c, False))
    assert in_order(claims, now_ms) == (Claim(b, True), Claim(over, True), Claim(c, False))


def test_of_what_users_were_told_that_comes_first_which_has_begun() -> None:
    a, b = sized("a", 1), sized("b", 1)
    coming = replace(a, window=replace(a.window, start_s=a.window.start_s + 1))
    now_ms = coming.window.start_s * 1000
    claims = [Claim(coming, True), Claim(b, True)]
    assert in_order(claims, now_ms - 1) == (Claim(b, True), Claim(coming, True))
    assert in_order(claims, now_ms) == (Claim(coming, True), Claim(b, True))


@pytest.mark.parametrize(
    ("state", "after"),
    [(PartState.HELD, PartState.ABORTED), (PartState.COMMITTED, PartState.RELEASED)],
)
def test_what_nobody_claims_is_given_up(state: PartState, after: PartState) -> None:
    part = part_of(sized("a", 1), state)
    (dropped,) = unclaimed([part], [], NOW)
    assert (dropped.state, dropped.changed_ms, dropped.inquire_at_ms) == (after, NOW, None)
    assert unclaimed([part], [Claim(sized("a", 1), False)], NOW) == ()


@pytest.mark.parametrize("state", [s for s in PartState if not holds(s)])
def test_what_is_over_stays_over_even_when_it_is_claimed(state: PartState) -> None:
    part = part_of(sized("a", 1), state)

    def never(_: ReservationPrep) -> Admitted:
        raise AssertionError("admitted, though it is over")

    assert unclaimed([part], [], NOW) == ()
    told = state is not PartState.EXPIRED
    after, answer = adopt(part, Claim(sized("a", 1), told), NOW, never, 7)
    assert after == part
    assert not answer.ok
    assert answer.refusal is not None
    wanted = RefusalKind.BANDWIDTH if state is PartState.REFUSED else RefusalKind.TOMBSTONE
    assert answer.refusal.kind is wanted


def test_what_was_told_is_taken_up_where_the_hold_of_the_backup_has_expired() -> None:
    expired, told = part_of(sized("a", 1), PartState.EXPIRED), Claim(sized("a", 1), True)
    after, answer = adopt(expired, told, NOW, lambda _: Admitted("new"), 7)
    assert (after.state, after.mapping, answer.ok) == (PartState.COMMITTED, "new", True)
    after, answer = adopt(expired, told, NOW, lambda _: FULL, 7)
    assert (after.state, answer.ok, answer.refusal) == (PartState.ABORTED, False, FULL)


def test_what_has_no_room_leaves_a_tombstone_with_its_reason() -> None:
    after, answer = adopt(None, Claim(sized("a", 1), True), NOW, lambda _: FULL, 7)
    assert (after.state, after.refusal) == (PartState.ABORTED, FULL)
    assert (answer.ok, answer.refusal) == (False, FULL)


@pytest.mark.parametrize("told", [True, False])
def test_a_hold_yields_only_where_no_user_was_told(told: bool) -> None:
    held, committed = sized("a", 6), sized("b", 4)
    parts = [part_of(held, PartState.HELD), part_of(committed, PartState.COMMITTED)]
    claims = [Claim(held, told), Claim(committed, False)]
    assert yielding(parts, claims) == (() if told else (parts[0],))
    assert yielding(parts, [*claims, Claim(held, True)]) == ()


def test_a_hold_whose_room_was_promised_to_others_since_is_given_up() -> None:
    first = sized("a", 6)
    backup = Domain({(first.transaction_id, first.part_id): part_of(first, PartState.HELD)})
    second = sized("b", 8)
    answers = backup.reconcile([Claim(first, False), Claim(second, True)])
    assert answers[second.transaction_id, second.part_id].ok
    refused = answers[first.transaction_id, first.part_id]
    assert (refused.ok, refused.refusal) == (False, FULL)
    part = backup.parts[first.transaction_id, first.part_id]
    assert (part.state, part.mapping) == (PartState.ABORTED, "m")
