"""The book under random holds: never above capacity, never one label twice, nothing left over."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from agents.backends import open_backend
from agents.book import Book
from agents.usage import envelope
from protocol.messages import ReservationPrep
from protocol.participant import Admitted
from substrate.calendar import Direction, Resource
from substrate.model import Segment, Window

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
