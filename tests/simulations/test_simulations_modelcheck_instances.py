"""The model's orchestrators: their database and fences, take-over, promises, healing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.records import State
from protocol.coordinator import Answered, Decide, EpochRaised, Prepare
from protocol.messages import Commit, Inquire, Phase, ReservationResp
from protocol.transaction import Decision, PartStatus, Transaction
from simulations.modelcheck import office as offices
from simulations.modelcheck.explore import Explorer
from simulations.modelcheck.instances import Instances
from simulations.modelcheck.office import (
    ConflictError,
    LostError,
    Office,
    StaleEpochError,
    missing,
    superfluous,
    timeless,
    with_row,
)
from simulations.modelcheck.orchestrators import Orchestrator
from simulations.modelcheck.scenarios import ONE, TWO, domains
from simulations.modelcheck.useless import awaited
from simulations.modelcheck.words import BrokenError, said
from simulations.modelcheck.world import Booking, Described, Scenario, World, bits_of

RESERVED = Booking((TWO,))


def party(booking: Booking = RESERVED, expires: str = "", restores: str = "") -> Orchestrator:
    specs = domains(*TWO, expires=expires, restores=restores)
    return Orchestrator(World(Scenario("w", specs, (booking,))), 0)


def answer(phase: Phase, domain: str, ok: bool = True, epoch: int = 1) -> ReservationResp:
    return ReservationResp("t1", domain, phase, ok, None, epoch)


def prepared(each: Orchestrator) -> Office:
    slot = each.slots[0]
    office, _ = each.instances.apply(each.start(), 0, 0, Prepare(slot.plans[0]))
    return office


def all_held(each: Orchestrator) -> Office:
    office = prepared(each)
    for part_id in each.slots[0].parts:
        office, _ = each.instances.hear(office, 0, answer(Phase.PREP, part_id))
    return office


def committed(each: Orchestrator) -> Office:
    office = all_held(each)
    return each.commit(office, 0, each.slots[0], office.records[0])[0]


def row(office: Office, slot: int = 0) -> Transaction:
    found = office.rows[slot]
    assert found is not None
    return found


def messages(each: Orchestrator, sent: int) -> set[str]:
    return {said(each.world.mail.messages[bit]) for bit in bits_of(sent)}


def test_it_starts_with_the_first_instance_negotiating() -> None:
    office = party().start()
    (record,) = office.records
    assert record.state is State.NEGOTIATING
    assert record.owner == 0
    assert row(office).decision is Decision.UNDECIDED
    assert office.memories[0].copies == office.rows
    assert office.memories[1].copies == (None,)


def test_equal_transactions_are_one_object() -> None:
    each = party()
    tx = row(prepared(each))
    later = replace(tx, parts=tuple(replace(part, sent_ms=9, attempts=4) for part in tx.parts))
    assert timeless(later) is timeless(tx) is tx
    assert timeless(replace(tx, told=True)) is not tx


def test_prepares_are_written_before_they_are_sent() -> None:
    each = party()
    slot = each.slots[0]
    office, sent = each.instances.apply(each.start(), 0, 0, Prepare(slot.plans[0]))
    assert [part.status for part in row(office).parts] == [PartStatus.PREPARING] * 2
    assert messages(each, sent) == {"Prepare of t1"}
    assert sent.bit_count() == 2


def test_holds_are_remembered_and_not_written() -> None:
    office = all_held(party())
    copy = office.memories[0].copies[0]
    assert copy is not None
    assert copy.all_held
    assert not row(office).all_held


def test_a_commit_is_told_with_its_record() -> None:
    office = committed(party())
    assert row(office).told
    assert office.records[0].state is State.COMMITTED
    assert party().promised(office) == {("t1", "m1"), ("t1", "m2")}


def test_with_a_domain_that_expires_nothing_is_told_yet() -> None:
    each = party(expires="m1")
    office = committed(each)
    assert row(office).decision is Decision.COMMIT
    assert not row(office).told
    assert each.promised(office) == frozenset()
    for domain in TWO:
        office, _ = each.instances.hear(office, 0, answer(Phase.COMMIT, domain))
    assert row(office).told


def test_what_another_instance_has_taken_cannot_be_written() -> None:
    each = party()
    office = each.instances.take(all_held(each), 1, 0)
    assert office.records[0].owner == 1
    with pytest.raises(LostError):
        each.commit(office, 0, each.slots[0], office.records[0])
    office, _ = each.instances.apply(office, 1, 0, Decide(commit=False))
    assert row(office).decision is Decision.ABORT


def test_a_step_that_a_fence_stops_is_no_step() -> None:
    each = party()
    office = each.instances.take(all_held(each), 1, 0)
    words = [words for words, _, _ in each.alone(office)]
    assert "A decides COMMIT of t1" not in words
    assert "B aborts t1" in words
    assert "A takes over r1" in words


def test_a_decision_is_made_once() -> None:
    office = committed(party())
    with pytest.raises(ConflictError):
        offices.check_undecided(office, 0)
    offices.check_undecided(party().start(), 0)


def test_a_decision_that_goes_back_is_broken() -> None:
    office = committed(party())
    tx = row(office)
    with pytest.raises(BrokenError, match="t1 was decided COMMIT and now ABORT"):
        with_row(office, 0, replace(tx, decision=Decision.ABORT))
    with pytest.raises(BrokenError, match="undone after success was told"):
        with_row(office, 0, replace(tx, decision=Decision.UNDO))
    with pytest.raises(BrokenError, match="undone after success was told"):
        with_row(office, 0, replace(tx, told=False))


def test_a_commit_needs_the_present_epochs() -> None:
    each = party(restores="m1")
    office = each.instances.meet(all_held(each), "m1", 2)
    assert office.met == (2, 1)
    office, sent = each.instances.apply(office, 0, 0, Decide(commit=True))
    assert row(office).decision is Decision.UNDECIDED
    assert sent == 0
    copy = office.memories[0].copies[0]
    assert copy is not None
    assert [part.status for part in copy.parts] == [PartStatus.REFUSED, PartStatus.HELD]


def test_an_undo_needs_refusals_of_the_present_epochs() -> None:
    each = party(expires="m1", restores="m1")
    office = committed(each)
    office = each.instances.meet(office, "m1", 2)
    office, _ = each.instances.hear(office, 0, answer(Phase.COMMIT, "m1", ok=False, epoch=1))
    assert row(office).decision is Decision.COMMIT
    office, _ = each.instances.hear(office, 0, answer(Phase.COMMIT, "m1", ok=False, epoch=2))
    assert row(office).decision is Decision.UNDO


def test_a_stale_epoch_names_the_domain() -> None:
    each = party(restores="m1")
    office = each.instances.meet(committed(each), "m1", 2)
    with pytest.raises(StaleEpochError, match="m1") as raised:
        offices.check_epochs(office._replace(rows=(None,)), 0, row(office), each.world.names)
    assert (raised.value.domain, raised.value.epoch) == ("m1", 2)


def test_an_epoch_is_written_before_anything_hears_of_it() -> None:
    each = party(restores="m1")
    office = each.instances.hear(committed(each), 0, Described("m1", 2))[0]
    assert office.met == (2, 1)
    assert office.memories[0].seen == (1, 1)
    office = each.instances.hear(office, 0, Described("m1", 2))[0]
    assert office.memories[0].seen == (2, 1)
    assert [part.epoch for part in row(office).parts] == [2, 1]
    assert each.instances.hear(office, 0, Described("m1", 2))[0] == office


def test_claims_are_what_the_database_holds_a_domain_to() -> None:
    each = party(restores="m1")
    office = each.instances.meet(committed(each), "m1", 2)
    assert messages(each, each.instances.claims(office, 0)) == {"Claims of o0 [t1 told]"}
    nothing = each.instances.meet(all_held(each), "m1", 2)
    assert messages(each, each.instances.claims(nothing, 0)) == {"Claims of o0 []"}


def test_an_inquiry_is_answered_with_the_decision() -> None:
    each = party()
    inquire = Inquire("t1", "m1", "r1")
    assert each.instances.hear(all_held(each), 0, inquire)[1] == 0
    assert messages(each, each.instances.hear(committed(each), 1, inquire)[1]) == {"Commit of t1"}


def test_an_inquiry_of_the_unknown_is_answered_once_abort_is_written() -> None:
    each = party()
    office = all_held(each)._replace(rows=(None,))
    office = offices.remember(office, 0, 0, None)
    after, sent = each.instances.hear(office, 0, Inquire("t1", "m1", "r1"))
    assert row(after).decision is Decision.ABORT
    assert messages(each, sent) == {"Abort of t1"}
    with pytest.raises(LostError):
        each.instances.hear(office, 1, Inquire("t1", "m1", "r1"))


def test_an_answer_for_what_an_instance_does_not_remember_is_nothing() -> None:
    each = party()
    office = committed(each)
    assert each.instances.hear(office, 1, answer(Phase.COMMIT, "m1")) == (office, 0)


def test_a_cancel_gives_back_all_versions() -> None:
    each = party(Booking((ONE,), change=("m2",), cancel=True))
    office = committed(each)
    wanted = office.records[0]._replace(change=1)
    office = each.instances.opened(office, 0, 1, wanted)
    office, _ = each.instances.apply(office, 0, 1, Prepare(each.slots[1].plans[0]))
    office, sent = each.instances.cancel(office, 0, 0)
    assert office.records[0].state is State.CANCELLED
    assert [row(office, n).decision for n in (0, 1)] == [Decision.COMMIT, Decision.ABORT]
    assert messages(each, sent) == {"Release of t1", "Abort of change1"}
    assert each.promised(office) == frozenset()


def test_broken_promises_are_problems_of_the_database() -> None:
    each = party()
    office = committed(each)
    assert each.problem(office) is None
    (first, *rest) = row(office).parts
    broken = replace(row(office), parts=(replace(first, status=PartStatus.NACKED), *rest))
    assert each.problem(with_row(office, 0, broken)) == "t1 was told, and m1 refuses it"
    back = replace(row(office), parts=(replace(first, status=PartStatus.RELEASING), *rest))
    assert each.problem(with_row(office, 0, back)) == "t1 is in force and given back"
    assert each.problem(office._replace(rows=(None,))) == "t1 is in force untold"


def test_what_is_settled_stands_or_not() -> None:
    each = party()
    office = committed(each)
    assert each.settled(office) == {}
    for domain in TWO:
        office, _ = each.instances.hear(office, 0, answer(Phase.COMMIT, domain))
    assert each.settled(office) == {("t1", "m1"): True, ("t1", "m2"): True}


def test_a_plan_is_missing_or_superfluous() -> None:
    each = party(Booking((TWO, ONE)))
    two, one = each.slots[0].plans
    tx = row(each.start())
    assert missing(tx, two)
    tx = row(prepared(each))
    assert not missing(tx, two)
    assert superfluous(tx, two) == ()
    assert superfluous(tx, one) == ("m2",)


def test_what_can_have_no_effect_is_left_out() -> None:
    each = party()
    undecided = row(all_held(each))
    assert awaited([undecided], undecided, "m1", Phase.PREP)
    tx = row(committed(each))
    assert not awaited([tx], tx, "m1", Phase.PREP)
    assert awaited([tx], tx, "m1", Phase.COMMIT)
    late = each.world.mail.answers["t1", "m1", Phase.PREP]
    assert each.dead(committed(each)) & late == late
    assert not each.dead(each.start()) & late


def test_the_database_in_words() -> None:
    each = party()
    assert each.show(committed(each)) == (
        "r1 COMMITTED, owned by A; t1 COMMIT, told (m1 COMMITTING, m2 COMMITTING)"
    )


def test_instances_of_several_orchestrators_have_their_names() -> None:
    bookings = (Booking((ONE,)), Booking((ONE,), orchestrator=1))
    world = World(Scenario("w", domains(*ONE), bookings))
    assert Instances(world, 1).name(1) == "o1B"
    assert party().instances.name(1) == "B"


def test_a_transaction_hears_of_a_raised_epoch() -> None:
    each = party(restores="m1")
    office = each.instances.meet(committed(each), "m1", 2)
    after, _ = each.instances.raised(office, 0, 0, 0)
    same, _ = each.instances.apply(office, 0, 0, EpochRaised("m1", 2))
    assert after == same
    assert row(after).parts[0].epoch == 2


def test_everything_ends_well_from_the_start() -> None:
    explorer = Explorer(Scenario("w", domains(*TWO), (Booking((TWO,)),)))
    start = tuple(each.start() for each in explorer.parties)
    assert explorer._healer.problem(start) is None
    assert explorer._promises.problem(start) is None


def test_a_hold_that_nobody_asks_for_is_found_in_the_end() -> None:
    explorer = Explorer(Scenario("w", domains(*ONE), (Booking((ONE,)),), instances=1))
    site = explorer.domains[0].start()
    office = explorer.orchestrators[0].start()
    gone = replace(row(office), decision=Decision.ABORT)
    failed = office.records[0]._replace(state=State.FAILED)
    office = with_row(office, 0, timeless(gone))._replace(records=(failed,))
    office = offices.remember(office, 0, 0, None)
    held, _ = explorer.domains[0].hear(site, explorer.orchestrators[0].slots[0].parts["m1"].prep)
    numbers = (explorer.offices[0].number(office), explorer.sites[0].number(held))
    assert explorer._healer.problem(numbers) is None  # it asks, and hears Abort
    # One that is committed does not ask.
    stuck, _ = explorer.domains[0].hear(held, Commit("t1", "m1"))
    numbers = (numbers[0], explorer.sites[0].number(stuck))
    problem = explorer._healer.problem(numbers)
    assert problem == "m1 holds t1, which nobody wants (another instance takes over)"


def test_a_promise_that_a_domain_does_not_keep_is_found() -> None:
    explorer = Explorer(Scenario("w", domains(*ONE), (Booking((ONE,)),), instances=1))
    each = explorer.orchestrators[0]
    office, _ = each.instances.apply(each.start(), 0, 0, Prepare(each.slots[0].plans[0]))
    office, _ = each.instances.apply(office, 0, 0, Answered("m1", answer(Phase.PREP, "m1")))
    office, _ = each.commit(office, 0, each.slots[0], office.records[0])
    numbers = (explorer.offices[0].number(office), explorer.sites[0].start())
    assert explorer._promises.problem(numbers) == "t1 was told, and m1 does not hold it"
