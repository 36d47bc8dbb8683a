"""The book before a backend that nobody can trust: nothing is promised twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agents.backends import open_backend
from agents.backends.base import Backend, Claim, Placement
from agents.book import Book
from protocol.messages import ReqOffers, ReservationPrep
from protocol.participant import Admitted
from substrate.calendar import CalendarError, Direction, Resource
from substrate.model import Directionality, Refusal, RefusalKind, Segment, Window, least_bps

CAPACITY = 10
WINDOW = Window(0, 100)
A_IN = Resource("x:a", Direction.IN)
A_OUT = Resource("x:a", Direction.OUT)


class Stranger:
    """A backend that answers every question of where segments lie with the same words."""

    def __init__(self, answer: Placement | Refusal, visible: bool = True) -> None:
        self._honest = exchange(visible)
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)

    def place(self, segments: Any, window: Window, free: Any) -> Placement | Refusal:
        return self._answer


def exchange(visible: bool = True) -> Backend:
    ports = [{"name": name, "capacity": CAPACITY, "vlans": "1-3"} for name in "abc"]
    return open_backend({"domain": "x", "backend": "sdx", "visible": visible, "ports": ports})


def stranger(
    claims: Sequence[tuple[Resource, int]], labels: Sequence[tuple[str, int]] = ()
) -> Book:
    answer = Placement(tuple(Claim(*claim) for claim in claims), tuple(labels), "their notes")
    backend: Any = Stranger(answer)
    return Book(backend)


def prep(number: int, vlan: int = 1, bps: int = 1, of: str = "", **more: Any) -> ReservationPrep:
    segment = Segment("s", "x:a", vlan, "x:b", vlan, bps, **more)
    return ReservationPrep(f"t{number}", "p", of or f"r{number}", 1, (segment,), WINDOW, "o", 0)


def test_claims_of_one_resource_add_up() -> None:
    book = stranger([(A_IN, 4), (A_OUT, 1), (A_IN, 5)])
    assert isinstance(book.admit(prep(1)), Admitted)
    assert book.calendar.free_bps(A_IN, WINDOW) == CAPACITY - 9
    book.free("t1", "p")
    assert book.is_empty()


def test_alternatives_of_one_reservation_add_up_within_each() -> None:
    book = stranger([(A_IN, 4), (A_IN, 5)])
    for number in (1, 2):
        assert isinstance(book.admit(prep(number, of="r")), Admitted)
    assert book.calendar.free_bps(A_IN, WINDOW) == CAPACITY - 9


@pytest.mark.parametrize(
    ("claims", "labels", "kind", "resource"),
    [
        ([(A_IN, 6), (A_IN, 6)], [], RefusalKind.BANDWIDTH, "x:a"),
        ([(A_IN, 1), (Resource("cellar", Direction.IN), 1)], [], RefusalKind.TOPOLOGY, "cellar"),
        ([(A_IN, -5)], [], RefusalKind.TOPOLOGY, "x:a"),
        ([(A_IN, 8), (A_IN, -5)], [], RefusalKind.TOPOLOGY, "x:a"),
        ([(A_IN, 1)], [("x:z", 1)], RefusalKind.TOPOLOGY, "x:z"),
        ([(A_IN, 1)], [("x:c", 4)], RefusalKind.LABEL, "x:c"),
    ],
    ids=["twice", "unknown resource", "negative", "less than nothing", "unknown STP", "VLAN"],
)
def test_what_cannot_be_held_is_refused_and_leaves_nothing(
    claims: list[tuple[Resource, int]],
    labels: list[tuple[str, int]],
    kind: RefusalKind,
    resource: str,
) -> None:
    book = stranger(claims, labels)
    for _ in range(2):
        refused = book.admit(prep(1))
        assert isinstance(refused, Refusal), refused
        assert (refused.kind, refused.resource, refused.domain) == (kind, resource, "x")
        assert book.is_empty()


def test_the_vlans_of_the_segments_are_held_whatever_the_backend_says() -> None:
    book = stranger([(A_IN, 1)])
    admitted = book.admit(prep(1))
    assert isinstance(admitted, Admitted)
    assert book.placement(admitted.mapping).labels == (("x:a", 1), ("x:b", 1))
    assert book.placement(admitted.mapping).detail == "their notes"
    other = book.admit(prep(2))
    assert isinstance(other, Refusal)
    assert other.kind is RefusalKind.LABEL


def test_further_vlans_that_a_backend_takes_are_checked_and_held() -> None:
    book = stranger([(A_IN, 1)], [("x:c", 2)])
    assert isinstance(book.admit(prep(1)), Admitted)
    assert 2 not in book.labels.free_vlans("x:c", WINDOW)
    second = book.admit(prep(2, vlan=3))
    assert isinstance(second, Refusal)
    assert (second.kind, second.resource) == (RefusalKind.LABEL, "x:c")
    book.free("t1", "p")
    assert isinstance(book.admit(prep(2, vlan=3)), Admitted)


resources = st.sampled_from([A_IN, A_OUT, Resource("x:b", Direction.IN), Resource("?", A_IN[1])])
answers = st.tuples(
    st.lists(st.tuples(resources, st.integers(-3, CAPACITY + 3)), max_size=4),
    st.lists(st.tuples(st.sampled_from(["x:a", "x:c", "x:z"]), st.integers(0, 5)), max_size=3),
)


@given(st.lists(st.tuples(answers, st.sampled_from(["r1", "r2", "r3"])), max_size=8))
def test_no_answer_of_a_backend_breaks_the_book(
    steps: list[tuple[tuple[list[tuple[Resource, int]], list[tuple[str, int]]], str]],
) -> None:
    book = stranger([])
    backend: Any = book.backend
    admitted = {}
    for number, ((claims, labels), reservation) in enumerate(steps):
        backend._answer = Placement(tuple(Claim(*c) for c in claims), tuple(labels))
        outcome = book.admit(prep(number, vlan=1 + number % 3, of=reservation))
        if isinstance(outcome, Admitted):
            admitted[number] = outcome
        for resource in book.calendar.capacities:
            assert 0 <= book.calendar.free_bps(resource, WINDOW) <= CAPACITY
    restored = Book(backend)
    for number, outcome in admitted.items():
        wanted = prep(number, vlan=1 + number % 3, of=steps[number][1])
        restored.restore(wanted, outcome.mapping)
    for resource in book.calendar.capacities:
        held = book.calendar.free_bps(resource, WINDOW)
        assert restored.calendar.free_bps(resource, WINDOW) == held
    for number in admitted:
        book.free(f"t{number}", "p")
    assert book.is_empty()


@pytest.mark.parametrize(
    ("resource", "reason"),
    [("cellar", "cellar is flooded"), ("x:a", "x:a takes no visitors"), ("", "no")],
)
def test_a_blind_domain_does_not_name_its_inside(resource: str, reason: str) -> None:
    answer = Refusal(RefusalKind.POLICY, reason, resource=resource, available_bps=3)
    backend: Any = Stranger(answer, visible=False)
    told = Book(backend).admit(prep(1))
    assert isinstance(told, Refusal)
    assert told.available_bps is None
    assert "cellar" not in told.reason + told.resource
    assert told.resource in ("x:a", "")


def test_a_hold_on_what_is_gone_cannot_be_restored() -> None:
    gone = Placement((Claim(Resource("link old", Direction.IN), 1),), ()).to_json()
    book = Book(exchange())
    with pytest.raises(CalendarError, match="link old"):
        book.restore(prep(1), gone)
    assert book.is_empty()


class Line(Stranger):
    """A backend that limits a line inside and does not count its ports."""

    def __init__(self) -> None:
        super().__init__(Placement((), ()))

    def capacities(self) -> dict[Resource, int]:
        return {Resource("the line", direction): 5 for direction in Direction}

    def offers(self, *_: Any) -> tuple[()]:
        return ()


def test_ports_that_a_backend_does_not_count_are_free() -> None:
    line: Any = Line()
    answer = Book(line).offers(ReqOffers("q", WINDOW, (("x:a", "x:b"),), 1), 0)
    assert {p.stp: least_bps(p.profile) for p in answer.ports} == {"x:a": CAPACITY, "x:b": CAPACITY}


def test_ports_are_offered_in_the_direction_that_was_asked_for() -> None:
    book = Book(exchange())
    one_way = Directionality.UNIDIRECTIONAL
    assert isinstance(book.admit(prep(1, bps=8, directionality=one_way)), Admitted)

    def ports(pairs: tuple[tuple[str, str], ...], directionality: Directionality) -> dict[str, int]:
        answer = book.offers(ReqOffers("q", WINDOW, pairs, 1, directionality), 0)
        return {p.stp: least_bps(p.profile) for p in answer.ports}

    there, back = (("x:a", "x:b"),), (("x:b", "x:a"),)
    assert ports(back, one_way) == {"x:a": 10, "x:b": 10}
    assert ports(there, one_way) == {"x:a": 2, "x:b": 2}
    assert ports((*there, *back), one_way) == {"x:a": 2, "x:b": 2}
    assert ports(back, Directionality.BIDIRECTIONAL) == {"x:a": 2, "x:b": 2}
