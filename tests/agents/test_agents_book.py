"""The book under random holds: never above capacity, never one label twice, nothing left over."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import given, settings, strategies as st

from agents.backends import open_backend
from agents.backends.base import Free, Placement
from agents.book import Book
from agents.usage import envelope
from protocol.messages import ReservationPrep
from protocol.participant import Admitted
from substrate.calendar import Direction, Resource
from substrate.model import Refusal, RefusalKind, Segment, Window

CAPACITY = 10
TIMES = range(0, 12)
PORTS = ("a", "b", "c")


def fresh() -> Book:
    ports = [{"name": name, "capacity": CAPACITY, "vlans": "1-3"} for name in PORTS]
    return Book(open_backend({"domain": "x", "backend": "sdx", "ports": ports}))


windows = st.tuples(st.sampled_from(TIMES), st.sampled_from(TIMES)).map(
    lambda pair: Window(min(pair), max(pair) + 1)
)
holds = st.tuples(
    st.sampled_from(["r1", "r2", "r3"]),
    st.permutations(PORTS).map(lambda p: (p[0], p[1])),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, CAPACITY),
    windows,
)
operations = st.lists(st.one_of(holds, st.integers(0, 20)), max_size=25)


def prep(
    number: int, hold: tuple[str, tuple[str, str], tuple[int, int], int, Window]
) -> ReservationPrep:
    reservation, (a, b), (v, w), bps, window = hold
    segment = Segment("s1", f"x:{a}", v, f"x:{b}", w, bps)
    return ReservationPrep(f"t{number}", "p", reservation, 1, (segment,), window, "o", 0)


def check(book: Book, live: dict[int, ReservationPrep]) -> None:
    """Recomputes, second by second, what the live parts need, and compares."""
    for second in TIMES:
        now = Window(second, second + 1)
        for name in PORTS:
            resource = Resource(f"x:{name}", Direction.IN)
            need: dict[str, int] = {}
            labels: dict[int, set[str]] = {}
            for p in live.values():
                s = p.segments[0]
                if not p.window.overlaps(now):
                    continue
                for stp, vlan in ((s.ingress_stp, s.ingress_vlan), (s.egress_stp, s.egress_vlan)):
                    if stp == resource.name:
                        most = max(need.get(p.reservation_id, 0), s.bandwidth_bps)
                        need[p.reservation_id] = most
                        labels.setdefault(vlan, set()).add(p.reservation_id)
            assert sum(need.values()) <= CAPACITY
            assert book.calendar.free_bps(resource, now) == CAPACITY - sum(need.values())
            assert all(len(holders) == 1 for holders in labels.values())


@settings(max_examples=60)
@given(operations)
def test_random_holds_and_releases_keep_every_promise(
    steps: list[int | tuple[str, tuple[str, str], tuple[int, int], int, Window]],
) -> None:
    book, live = fresh(), dict[int, ReservationPrep]()
    for number, step in enumerate(steps):
        if isinstance(step, int):
            book.free(f"t{step}", "p")
            live.pop(step, None)
        else:
            wanted = prep(number, step)
            outcome = book.admit(wanted)
            if isinstance(outcome, Admitted):
                live[number] = wanted
                assert book.admit(wanted) == outcome
        check(book, live)
    restored = fresh()
    for wanted in live.values():
        admitted = book.admit(wanted)
        assert isinstance(admitted, Admitted)
        restored.restore(wanted, admitted.mapping)
    check(restored, live)
    for number in list(live):
        book.free(f"t{number}", "p")
    assert book.is_empty()


def test_the_envelope_of_nothing_is_nothing() -> None:
    assert envelope([]) == ()


def test_freeing_what_is_not_held_changes_nothing() -> None:
    book = fresh()
    book.free("t1", "p")
    assert book.is_empty()


def test_the_same_part_is_held_once() -> None:
    book = fresh()
    hold = prep(1, ("r1", ("a", "b"), (1, 1), 6, Window(0, 5)))
    assert book.admit(hold) == book.admit(hold)
    book.restore(hold, "")
    assert book.calendar.free_bps(Resource("x:a", Direction.IN), Window(0, 5)) == 4


@settings(max_examples=60)
@given(st.lists(st.tuples(holds, holds, st.booleans()), max_size=8))
def test_a_part_that_is_mapped_anew_holds_both_places_until_one_of_them_is_given_up(
    steps: list[tuple[Any, Any, bool]],
) -> None:
    """``check`` counts what is held beside a part as one more part of its reservation."""
    book, live = fresh(), dict[int, ReservationPrep]()
    for number, (before, after, done) in enumerate(steps):
        old = prep(number, before)
        if not isinstance(book.admit(old), Admitted):
            continue
        live[number] = old
        new = prep(number, (before[0], *after[1:4], before[4]))
        found = book.remap(old, partial(_placed_as, book, new))
        if not isinstance(found, Refusal):
            live[-1] = new
            check(book, live)
            again = book.remap(old, lambda free: Placement((), ()))
            assert isinstance(again, Refusal), "one at a time"
            book.remapped(old, done=done)
            del live[-1]
            live[number] = new if done else old
        check(book, live)
    for number in list(live):
        book.free(f"t{number}", "p")
    assert book.is_empty()


def test_of_a_part_that_ends_while_it_is_mapped_anew_nothing_stays() -> None:
    book = fresh()
    old = prep(1, ("r1", ("a", "b"), (1, 1), 6, Window(0, 5)))
    new = prep(1, ("r1", ("a", "c"), (2, 2), 6, Window(0, 5)))
    book.admit(old)
    assert isinstance(book.remap(old, partial(_placed_as, book, new)), Placement)
    book.free("t1", "p")
    assert not book.is_empty()
    book.remapped(old, done=True)
    assert book.is_empty()


def _placed_as(book: Book, wanted: ReservationPrep, free: Free) -> Placement | Refusal:
    """As the backend would place other segments, where their VLANs are free."""
    for segment in wanted.segments:
        for stp, vlan in (
            (segment.ingress_stp, segment.ingress_vlan),
            (segment.egress_stp, segment.egress_vlan),
        ):
            if vlan not in free.free_vlans(stp):
                return Refusal(RefusalKind.LABEL, "taken", resource=stp)
    return book.backend.place(wanted.segments, wanted.window, free)
