"""The model's domains and its mail: what arrives, what is held, backups, recovery."""

from __future__ import annotations

import pytest

from protocol.messages import Abort, Claim, Claims, Commit, Inquire, Phase, ReservationResp
from protocol.participant import PartState
from simulations.modelcheck.domain import Domain, Site
from simulations.modelcheck.numbered import Numbered
from simulations.modelcheck.scenarios import ONE, TWO, domains
from simulations.modelcheck.words import said
from simulations.modelcheck.world import (
    FIRST_EPOCH,
    Booking,
    Described,
    Scenario,
    Slot,
    TimeUp,
    World,
    bits_of,
)


def world(expires: str = "", restores: str = "", orchestrators: int = 1) -> World:
    """One domain, and two reservations that both want it."""
    bookings = (Booking((ONE,)), Booking((ONE,), orchestrator=orchestrators - 1))
    return World(Scenario("w", domains(*ONE, expires=expires, restores=restores), bookings))


def slot_of(place: Domain, number: int) -> Slot:
    return place.slots[number]


def held(place: Domain, number: int = 0) -> Site:
    """The domain after the Prepare of one transaction."""
    site, answer = place.hear(place.start(), slot_of(place, number).parts["m1"].prep)
    assert answer is not None
    assert answer.ok
    return site


def restored(place: Domain, backup: Site) -> Site:
    """The domain after it was restored from this copy."""
    copied = next(after for words, after, _ in place.alone(backup) if "backed up" in words)
    return next(after for words, after, _ in place.alone(copied) if "is restored" in words)


def claim(place: Domain, number: int, told: bool) -> Claim:
    return Claim(slot_of(place, number).parts["m1"].prep, told)


def states(site: Site) -> list[PartState | None]:
    return [None if part is None else part.state for part in site.parts]


def test_a_set_of_messages_is_taken_apart() -> None:
    assert list(bits_of(0b1101)) == [1, 4, 8]
    assert list(bits_of(0)) == []


def test_every_message_has_its_own_bit_and_one_receiver() -> None:
    mail = world(restores="m1", orchestrators=2).mail
    assert all(bit.bit_count() == 1 for bit in mail.messages)
    for bit in mail.messages:
        assert sum(bool(bit & inbox) for inbox in mail.to) == 1


def test_a_message_finds_its_receiver() -> None:
    w = world()
    bit = w.mail.to_domain("m1", FIRST_EPOCH, Commit("t1", "m1"))
    assert bit & w.mail.to[w.component("m1")]
    assert w.mail.messages[bit] == Commit("t1", "m1")
    inquire = Inquire("t1", "m1", "r1")
    assert w.mail.to_orchestrator(0, inquire) & w.mail.to[0]


def test_claims_get_a_bit_when_they_are_first_sent() -> None:
    w = world(restores="m1")
    place = Domain(w, "m1")
    first = w.mail.snapshot(0, "m1", 2, [claim(place, 0, True)])
    assert w.mail.snapshot(0, "m1", 2, [claim(place, 0, True)]) == first
    other = w.mail.snapshot(0, "m1", 2, [])
    assert other != first
    assert first & w.mail.claims["m1", 2]
    assert other & w.mail.claims["m1", 2]


def test_transactions_are_named_after_their_reservations() -> None:
    booking = Booking((ONE,), change=TWO, again=True)
    w = World(Scenario("w", domains(*TWO), (booking,)))
    names = [slot.transaction_id for slot in w.every_slot()]
    assert names == ["t1", "again1", "change1"]
    assert w.slot_of("change1").reservation_id == "r1"
    assert set(w.slot_of("change1").parts) == {"m1", "m2"}
    assert w.again == [{0: 1}]
    assert w.change == [{0: 2}]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Commit("t1", "m1"), "Commit of t1"),
        (Inquire("t1", "m1", "r1"), "the inquiry of m1 about t1"),
        (ReservationResp("t1", "m1", Phase.PREP, False, None, 2), "no to prep of t1 from m1 in"),
        (Claims(2, "o0", 0, 1, ()), "Claims of o0 []"),
        (Described("m1", 2), "that m1 is in epoch 2"),
        (TimeUp("m1"), "that the time is up at m1"),
    ],
)
def test_messages_in_words(
    message: Commit | Inquire | ReservationResp | Claims | Described | TimeUp, words: str
) -> None:
    assert said(message).startswith(words)


def test_claims_in_words_tell_what_was_told() -> None:
    place = Domain(world(), "m1")
    claims = Claims(2, "o0", 0, 1, (claim(place, 0, True), claim(place, 1, False)))
    assert said(claims) == "Claims of o0 [t1 told, t2]"


def test_there_is_room_for_one_reservation() -> None:
    place = Domain(world(), "m1")
    site, answer = place.hear(held(place), slot_of(place, 1).parts["m1"].prep)
    assert states(site) == [PartState.HELD, PartState.REFUSED]
    assert answer is not None
    assert not answer.ok
    assert place.problem(site) is None


def test_two_reservations_in_one_room_are_a_problem() -> None:
    place = Domain(world(), "m1")
    both = held(place)._replace(parts=(held(place, 0).parts[0], held(place, 1).parts[1]))
    assert place.problem(both) == "m1 holds r1 and r2, it has room for one"


def test_a_late_prepare_finds_the_tombstone() -> None:
    place = Domain(world(), "m1")
    site, _ = place.hear(place.start(), Abort("t1", "m1"))
    assert states(site) == [PartState.ABORTED, None]
    site, answer = place.hear(site, slot_of(place, 0).parts["m1"].prep)
    assert answer is not None
    assert not answer.ok
    assert not place.holds(site, "t1")


def test_a_held_part_asks() -> None:
    place = Domain(world(), "m1")
    assert place.asks(place.start()) == 0
    (asked,) = place.inquiries(held(place))
    assert asked[1] == Inquire("t1", "m1", "r1")
    committed, _ = place.hear(held(place), Commit("t1", "m1"))
    assert place.asks(committed) == 0


def test_only_a_domain_that_says_so_drops_a_hold() -> None:
    assert Domain(world(), "m1").expiries(held(Domain(world(), "m1"))) == []
    place = Domain(world(expires="m1"), "m1")
    ((words, after, sent),) = place.expiries(held(place))
    assert words == "the hold of t1 expires at m1"
    assert states(after)[0] is PartState.EXPIRED
    assert sent == 0


def test_a_message_that_changes_nothing_and_is_not_answered_is_no_step() -> None:
    w = world(restores="m1")
    place = Domain(w, "m1")
    stale = w.mail.snapshot(0, "m1", 2, [])
    assert place.hears(place.start(), stale) == []


def test_a_step_is_told_with_its_answer() -> None:
    w = world()
    place = Domain(w, "m1")
    bit = w.mail.to_domain("m1", FIRST_EPOCH, slot_of(place, 0).parts["m1"].prep)
    ((words, after, sent),) = place.hears(place.start(), bit)
    assert words == "m1 hears Prepare of t1, answers yes to prep of t1 from m1 in epoch 1"
    assert place.holds(after, "t1")
    assert {said(w.mail.messages[each]) for each in bits_of(sent)} == {
        "yes to prep of t1 from m1 in epoch 1",
        "the inquiry of m1 about t1",
    }


def test_a_restored_domain_has_forgotten_and_recovers() -> None:
    place = Domain(world(restores="m1"), "m1")
    copied = next(after for words, after, _ in place.alone(place.start()) if "backed up" in words)
    site, _ = place.hear(copied, slot_of(place, 0).parts["m1"].prep)
    (after,) = [after for words, after, _ in place.alone(site) if "is restored" in words]
    assert after.epoch == FIRST_EPOCH + 1
    assert after.recovering
    assert states(after) == [None, None]
    assert after.restores == 0
    assert all("backed up" not in words for words, _, _ in place.alone(after))


def test_a_domain_that_recovers_takes_nothing_new_and_commits_nothing() -> None:
    place = Domain(world(restores="m1"), "m1")
    site = restored(place, held(place))
    after, answer = place.hear(site, Commit("t1", "m1"))
    assert (after, answer) == (site, None)
    after, answer = place.hear(site, slot_of(place, 1).parts["m1"].prep)
    assert after == site
    assert answer is not None
    assert not answer.ok


def test_what_nobody_claims_is_dropped() -> None:
    place = Domain(world(restores="m1"), "m1")
    committed, _ = place.hear(held(place), Commit("t1", "m1"))
    after, answers = place.claimed(restored(place, committed), Claims(2, "o0", 0, 1, ()))
    assert states(after) == [PartState.RELEASED, None]
    assert answers == ()
    assert not after.recovering


def test_a_claim_of_what_is_absent_is_taken_up() -> None:
    place = Domain(world(restores="m1"), "m1")
    claims = Claims(2, "o0", 0, 1, (claim(place, 0, True),))
    after, (answer,) = place.claimed(restored(place, place.start()), claims)
    assert states(after) == [PartState.COMMITTED, None]
    assert answer.ok
    assert answer.agent_epoch == 2


def test_an_untold_hold_gives_way_to_what_was_told() -> None:
    place = Domain(world(expires="m1", restores="m1"), "m1")
    claims = Claims(2, "o0", 0, 1, (claim(place, 0, False), claim(place, 1, True)))
    after, answers = place.claimed(restored(place, held(place)), claims)
    assert states(after) == [PartState.ABORTED, PartState.COMMITTED]
    assert {answer.transaction_id: answer.ok for answer in answers} == {"t1": False, "t2": True}
    assert place.problem(after) is None


def test_an_untold_hold_keeps_its_room_where_nobody_else_wants_it() -> None:
    place = Domain(world(expires="m1", restores="m1"), "m1")
    claims = Claims(2, "o0", 0, 1, (claim(place, 0, False),))
    after, (answer,) = place.claimed(restored(place, held(place)), claims)
    assert states(after) == [PartState.COMMITTED, None]
    assert answer.ok


def test_every_orchestrator_must_be_heard_and_a_crash_forgets_who_was() -> None:
    place = Domain(world(restores="m1", orchestrators=2), "m1")
    site, answers = place.claimed(restored(place, held(place)), Claims(2, "o0", 0, 1, ()))
    assert site.recovering
    assert answers == ()
    (crashed,) = [after for words, after, _ in place.alone(site) if words == "m1 crashes"]
    assert crashed.heard == (None, None)
    site, _ = place.claimed(site, Claims(2, "o1", 0, 1, ()))
    assert not site.recovering


def test_claims_of_another_epoch_are_ignored() -> None:
    place = Domain(world(restores="m1"), "m1")
    site = restored(place, held(place))
    assert place.claimed(site, Claims(3, "o0", 0, 1, ())) == (site, ())
    assert place.claimed(held(place), Claims(1, "o0", 0, 1, ())) == (held(place), ())


def test_what_was_sent_before_a_restore_does_not_arrive() -> None:
    w = world(restores="m1")
    place = Domain(w, "m1")
    old = w.mail.to_domain("m1", 1, Commit("t1", "m1"))
    new = w.mail.to_domain("m1", 2, Commit("t1", "m1"))
    assert not place.dead(place.start()) & (old | new)
    assert place.dead(restored(place, place.start())) & (old | new) == old


def test_a_domain_in_words() -> None:
    place = Domain(world(restores="m1"), "m1")
    assert place.show(place.start()) == "m1: nothing (epoch 1)"
    assert place.show(restored(place, held(place))) == "m1: t1 HELD (epoch 2, recovering)"


def test_a_state_has_one_number() -> None:
    w = world()
    place = Domain(w, "m1")
    numbered = Numbered(place, w.mail.to[w.component("m1")])
    assert numbered.start() == numbered.start() == 0
    assert numbered.number(held(place)) == 1
    assert numbered.number(held(place)) == 1
    assert numbered.states == [place.start(), held(place)]
    assert numbered.problems == [None, None]


def test_steps_are_worked_out_once_for_each_set_of_messages() -> None:
    w = world()
    place = Domain(w, "m1")
    numbered = Numbered(place, w.mail.to[w.component("m1")])
    bit = w.mail.to_domain("m1", FIRST_EPOCH, slot_of(place, 0).parts["m1"].prep)
    key = (numbered.start(), bit)
    ((to, sent, gone),) = numbered.work_out(key)
    assert numbered.steps[key] == ((to, sent, gone),)
    assert numbered.states[to] == held(place)
    assert gone == place.dead(held(place))
    assert [words for words, _ in numbered.words(0, 0)] == []
