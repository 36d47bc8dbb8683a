"""In a large domain the search sees a quick bound, and finds what the exact search finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import given, settings, strategies as st

from agents.backends import open_backend, wan as module
from agents.book import Book
from protocol.messages import ReqOffers, ReservationPrep
from protocol.participant import Admitted
from substrate.model import Refusal, RefusalKind, Segment, Window, least_bps

G = 10**9
NODES = 8
ENDS = ("west", "east")


@contextmanager
def exact_up_to(links: int) -> Iterator[None]:
    before, module.LINKS_EXACT = module.LINKS_EXACT, links
    try:
        yield
    finally:
        module.LINKS_EXACT = before


@st.composite
def networks(draw: st.DrawFn) -> dict[str, Any]:
    """A ring, so that there is always a way, and some chords."""
    ring = [(n, (n + 1) % NODES) for n in range(NODES)]
    chords = draw(st.lists(st.sampled_from([(0, 3), (1, 5), (2, 6), (0, 4), (3, 7)]), unique=True))
    links = [
        {
            "a": f"n{a}",
            "b": f"n{b}",
            "capacity": f"{draw(st.integers(1, 4))}G",
            "latency_us": draw(st.integers(1, 9)),
        }
        for a, b in (*ring, *chords)
    ]
    return {
        "domain": "net",
        "backend": "wan",
        "ports": [{"name": end, "capacity": "1T", "vlans": "1-4094"} for end in ENDS],
        "wan": {
            "nodes": [f"n{number}" for number in range(NODES)],
            "links": links,
            "port_nodes": {"west": "n0", "east": "n4"},
        },
    }


WINDOWS = st.tuples(st.integers(0, 90_000), st.integers(1, 90_000)).map(
    lambda drawn: Window(drawn[0], drawn[0] + drawn[1])
)
ASKS = st.lists(st.tuples(WINDOWS, st.integers(1, 3)), min_size=1, max_size=12)


def asked(number: int, window: Window, gbps: int) -> ReservationPrep:
    segment = Segment("s", "net:west", number + 1, "net:east", number + 1, gbps * G)
    name = f"t{number}"
    return ReservationPrep(name, "p", name, 1, (segment,), window, "braid", 10**15)


@settings(max_examples=60, deadline=None)
@given(networks(), ASKS)
def test_what_fits_is_found_by_either_search(
    network: dict[str, Any], asks: list[tuple[Window, int]]
) -> None:
    book = Book(open_backend(network))
    for number, (window, gbps) in enumerate(asks):
        prep = asked(number, window, gbps)
        with exact_up_to(10**9):
            would_fit = not isinstance(book._placed(prep), Refusal)
        with exact_up_to(0):
            outcome = book.admit(prep)
        assert isinstance(outcome, Admitted) == would_fit
        if isinstance(outcome, Refusal):
            assert outcome.kind is RefusalKind.BANDWIDTH


@settings(max_examples=60, deadline=None)
@given(networks(), ASKS, WINDOWS)
def test_what_is_offered_can_be_held_and_something_is_offered_where_there_is_room(
    network: dict[str, Any], asks: list[tuple[Window, int]], window: Window
) -> None:
    book = Book(open_backend(network))
    for number, (held, gbps) in enumerate(asks):
        book.admit(asked(number, held, gbps))
    question = ReqOffers("q", window, (("net:west", "net:east"),), G)
    with exact_up_to(10**9):
        (exact,) = book.offers(question, 0).offers
    with exact_up_to(0):
        (quick,) = book.offers(question, 0).offers
        best_bps = least_bps(quick.profile)
        assert (best_bps > 0) == (least_bps(exact.profile) > 0)
        assert best_bps <= least_bps(exact.profile)
        if best_bps >= G:
            assert isinstance(book.admit(asked(4000, window, best_bps // G)), Admitted)


def test_days_gone_by_are_forgotten_and_what_is_held_stays() -> None:
    network = {
        "domain": "net",
        "backend": "wan",
        "ports": [{"name": end, "capacity": "1T", "vlans": "1-4094"} for end in ENDS],
        "wan": {
            "nodes": ["a", "b"],
            "links": [{"a": "a", "b": "b", "capacity": "4G", "latency_us": 1}],
            "port_nodes": {"west": "a", "east": "b"},
        },
    }
    book = Book(open_backend(network))
    long = Window(0, 10 * 86_400)
    book.admit(asked(1, long, 3))
    book.calendar.forget(5 * 86_400 + 7)
    later = Window(6 * 86_400, 7 * 86_400)
    free = book.calendar.at_least(later)
    assert set(free.values()) == {G}
    book.free("t1", "p")
    assert set(book.calendar.at_least(later).values()) == {4 * G}
    assert book.is_empty()
