"""Reservations that are decided together: a domain needs room for either outcome, not for both."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings, strategies as st

from agents.backends import open_backend
from agents.book import Book
from agents.intake import Intake
from agents.rows import record_to_row
from agents.usage import Usage, greatest, raised
from agents.values import DataPlane, Record
from protocol.messages import Joint, ReqOffers, ReservationPrep
from protocol.participant import Admitted, Part, PartState
from substrate.calendar import Direction, Resource
from substrate.model import (
    DataPlaneState,
    Refusal,
    RefusalKind,
    Segment,
    Step,
    Window,
)

CAPACITY = 10
TIMES = range(0, 8)
A_IN, B_IN = (Resource(f"x:{port}", Direction.IN) for port in "ab")
ALWAYS = Window(0, 8)

ALONE = {f"m{i}": (1, None) for i in (1, 2, 3)}
ONE = Joint("one", (("m1", 2), ("r1", 1)))
TWO = Joint("two", (("m2", 2), ("m3", 2), ("r2", 1)))
THREE = Joint("three", (("m1", 2), ("m3", 2), ("r3", 1)))
KINDS: list[tuple[str, int, Joint | None]] = [
    *((member, 1, None) for member in ALONE),
    *((member, version, joint) for joint in (ONE, TWO, THREE) for member, version in joint.members),
]
VLANS = {name: i + 2 for i, name in enumerate(("m1", "m2", "m3", "r1", "r2", "r3"))}


def fresh() -> Book:
    ports = [{"name": name, "capacity": CAPACITY, "vlans": "2-9"} for name in "ab"]
    return Book(open_backend({"domain": "x", "backend": "sdx", "ports": ports}))


def prep(
    number: int, reservation_id: str, bps: int, window: Window = ALWAYS, joint: Joint | None = None,
    version: int = 1, orchestrator_id: str = "o",
) -> ReservationPrep:  # fmt: skip
    vlan = VLANS[reservation_id]
    segment = Segment("s1", "x:a", vlan, "x:b", vlan, bps)
    return ReservationPrep(
        f"t{number}", "p", reservation_id, version, (segment,), window, orchestrator_id, 0,
        joint=joint,
    )  # fmt: skip


def admitted(book: Book, wanted: ReservationPrep) -> None:
    outcome = book.admit(wanted)
    assert isinstance(outcome, Admitted), outcome


def refused(book: Book, wanted: ReservationPrep) -> Refusal:
    outcome = book.admit(wanted)
    assert isinstance(outcome, Refusal)
    return outcome


def free_bps(book: Book, window: Window = ALWAYS) -> int:
    return book.calendar.free_bps(A_IN, window)


def test_what_is_moved_away_makes_room_for_what_it_is_moved_for() -> None:
    book = fresh()
    admitted(book, prep(1, "m1", 7))
    assert refused(book, prep(2, "r1", 8)).available_bps == 3
    admitted(book, prep(3, "r1", 8, joint=ONE))
    assert free_bps(book) == 2
    admitted(book, prep(4, "m1", 2, joint=ONE, version=2))
    assert free_bps(book) == 0
    assert refused(book, prep(5, "m2", 1)).kind is RefusalKind.BANDWIDTH


def test_nothing_is_free_for_others_until_the_versions_before_are_given_back() -> None:
    book = fresh()
    admitted(book, prep(1, "m1", 7))
    admitted(book, prep(2, "r1", 3, joint=ONE))
    assert free_bps(book) == 3
    book.free("t1", "p")
    assert free_bps(book) == 7


def test_a_joint_that_is_given_up_leaves_what_was() -> None:
    book = fresh()
    admitted(book, prep(1, "m1", 7))
    admitted(book, prep(2, "r1", 10, joint=ONE))
    assert free_bps(book) == 0
    book.free("t2", "p")
    assert free_bps(book) == 3
    book.free("t1", "p")
    assert book.is_empty()


def test_offers_count_as_free_what_may_be_moved() -> None:
    book = fresh()
    admitted(book, prep(1, "m1", 7))
    asked = ReqOffers("q", ALWAYS, (("x:a", "x:b"),), 1, moved=("m1",))
    told = book.offers(asked, 0)
    assert [step.bandwidth_bps for step in told.offers[0].profile] == [10]
    assert all(VLANS["m1"] not in port.vlans for port in told.ports)
    of_its_own = book.offers(replace(asked, reservation_id="m1"), 0)
    assert [step.bandwidth_bps for step in of_its_own.ports[0].profile] == [10]
    assert all(VLANS["m1"] in port.vlans for port in of_its_own.ports)


def test_a_stranger_moves_nothing() -> None:
    book = fresh()
    admitted(book, prep(1, "m1", 7))
    told = refused(book, prep(2, "r1", 8, joint=ONE, orchestrator_id="stranger"))
    assert (told.kind, told.resource) == (RefusalKind.POLICY, "m1")


def test_a_reservation_is_moved_for_one_at_a_time() -> None:
    book = fresh()
    admitted(book, prep(1, "m1", 7))
    admitted(book, prep(2, "r1", 1, joint=ONE))
    assert refused(book, prep(3, "r3", 1, joint=THREE)).kind is RefusalKind.UNAVAILABLE


def test_a_part_of_a_joint_is_taken_up_beside_what_was_before_in_any_order() -> None:
    book, parts = fresh(), list[tuple[ReservationPrep, str]]()
    wanted = (
        prep(1, "m1", 7),
        prep(2, "r1", 8, joint=ONE),
        prep(3, "m1", 2, joint=ONE, version=2),
    )
    for each in wanted:
        outcome = book.admit(each)
        assert isinstance(outcome, Admitted)
        parts.append((each, outcome.mapping))
    for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (1, 0, 2)):
        again = fresh()
        for i in order:
            again.restore(*parts[i])
        assert free_bps(again) == 0


def test_at_start_a_part_of_a_joint_does_not_sleep() -> None:
    book = fresh()
    rows = []
    for wanted in (prep(1, "m1", 7), prep(2, "r1", 8, joint=ONE)):
        outcome = book.admit(wanted)
        assert isinstance(outcome, Admitted)
        part = Part("t", wanted.part_id, PartState.COMMITTED, wanted, outcome.mapping)
        rows.append(record_to_row(Record(part, DataPlane(DataPlaneState.SCHEDULED)), b"prep"))
    left = Intake(-1000).take(rows)
    assert [row[2] for row in left] == ["r1"]


def test_greatest_adds_up_within_a_scenario_and_takes_the_larger_one() -> None:
    one = [Usage(A_IN, Window(0, 4), 3), Usage(A_IN, Window(2, 6), 2)]
    other = [Usage(A_IN, Window(0, 6), 4), Usage(B_IN, Window(1, 2), 1)]
    assert greatest([one, other]) == (
        Usage(A_IN, Window(0, 2), 4),
        Usage(A_IN, Window(2, 4), 5),
        Usage(A_IN, Window(4, 6), 4),
        Usage(B_IN, Window(1, 2), 1),
    )


windows = st.tuples(st.sampled_from(TIMES), st.sampled_from(TIMES)).map(
    lambda pair: Window(min(pair), max(pair) + 1)
)
holds = st.tuples(st.sampled_from(KINDS), st.integers(1, CAPACITY), windows)
Hold = tuple[tuple[str, int, Joint | None], int, Window]


def most(parts: list[ReservationPrep]) -> int:
    """The alternatives of one reservation."""
    return max((part.segments[0].bandwidth_bps for part in parts), default=0)


def active(every: list[ReservationPrep]) -> list[Joint]:
    return [
        joint
        for joint in (ONE, TWO, THREE)
        if any(p.joint == joint for p in every)
        and any(joint.is_before(p.reservation_id, p.version) for p in every)
    ]


def overlap(every: list[ReservationPrep]) -> bool:
    """A part of before came last, of a reservation in two joints: no orchestrator does that."""
    members = [member for joint in active(every) for member, _ in joint.members]
    return len(set(members)) < len(members)


def needed(live: dict[int, ReservationPrep], second: int) -> int:
    """What must be there for either outcome of every joint, from the parts alone."""
    every = list(live.values())
    now = [p for p in every if p.window.overlaps(Window(second, second + 1))]
    of = {name: [p for p in now if p.reservation_id == name] for name in VLANS}
    total = 0
    for joint in active(every):
        comes = stays = 0
        for member, _ in joint.members:
            comes += most([p for p in of[member] if not joint.is_before(member, p.version)])
            stays += most([p for p in of[member] if p.joint != joint])
        total += max(comes, stays)
    together = {member for joint in active(every) for member, _ in joint.members}
    return total + sum(most(of[name]) for name in VLANS if name not in together)


@settings(max_examples=200)
@given(st.lists(st.one_of(holds, st.integers(0, 20)), max_size=20))
def test_random_joints_keep_room_for_either_outcome_and_for_no_more(
    steps: list[Hold | int],
) -> None:
    book, live = fresh(), dict[int, ReservationPrep]()
    for number, step in enumerate(steps):
        if isinstance(step, int):
            book.free(f"t{step}", "p")
            live.pop(step, None)
        else:
            (name, version, joint), bps, window = step
            wanted = prep(number, name, bps, window, joint, version)
            after = {**live, number: wanted}
            if joint is None and overlap(list(after.values())):
                continue
            outcome = book.admit(wanted)
            if isinstance(outcome, Admitted):
                live = after
            elif outcome.kind is RefusalKind.BANDWIDTH:
                assert max(needed(after, second) for second in TIMES) > CAPACITY
            else:
                assert outcome.kind is RefusalKind.UNAVAILABLE
        for second in TIMES:
            assert needed(live, second) <= CAPACITY
            assert free_bps(book, Window(second, second + 1)) == CAPACITY - needed(live, second)
    for number in list(live):
        book.free(f"t{number}", "p")
    assert book.is_empty()


def test_a_joint_part_is_found_again_by_what_it_was_stored_as() -> None:
    book = fresh()
    wanted = prep(1, "r1", 4, joint=ONE)
    assert book.admit(wanted) == book.admit(replace(wanted))


moments = st.tuples(st.integers(0, 30), st.integers(1, 10), st.integers(-9, 9))


@given(st.lists(moments, max_size=6), st.lists(st.integers(0, 9), min_size=20, max_size=20))
def test_what_is_put_back_is_added_at_each_instant(
    many: list[tuple[int, int, int]], levels: list[int]
) -> None:
    window = Window(10, 30)
    profile = tuple(Step(10 + i, bps) for i, bps in enumerate(levels))
    usages = [Usage(A_IN, Window(at_s, at_s + for_s), bps) for at_s, for_s, bps in many]
    usages = [usage for usage in usages if usage.window.overlaps(window)]
    found = {step.start_s: step.bandwidth_bps for step in raised(profile, usages, window)}
    level = 0
    for at_s in range(10, 30):
        level = found.get(at_s, level)
        back = sum(u.bandwidth_bps for u in usages if u.window.start_s <= at_s < u.window.end_s)
        assert level == levels[at_s - 10] + back


def test_a_joint_that_is_over_holds_up_no_other_until_what_was_before_is_back() -> None:
    book = fresh()
    admitted(book, prep(1, "m1", 2))
    admitted(book, prep(2, "m1", 3, joint=ONE, version=2))
    before, after = (replace(THREE, members=(("m1", 3), ("r3", n))) for n in (1, 2))
    assert refused(book, prep(3, "r3", 1, joint=before)).kind is RefusalKind.UNAVAILABLE
    book.free("t1", "p")
    admitted(book, prep(3, "r3", 1, joint=before))
    book.free("t3", "p")
    admitted(book, prep(1, "m1", 2))
    after = replace(after, joint_id="four")
    assert refused(book, prep(4, "r3", 1, joint=after, version=2)).resource == "m1"


def test_who_falls_asleep_counts_in_no_joint() -> None:
    book = fresh()
    admitted(book, prep(1, "m1", 2))
    admitted(book, prep(2, "r1", 1, joint=ONE))
    book.lull("m1")
    asked = prep(3, "r3", 1, joint=THREE)
    admitted(book, asked)
