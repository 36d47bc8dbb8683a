"""In a large domain the search sees a quick bound first, and finds what the exact one finds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from agents import calendars as module
from agents.backends import open_backend
from agents.book import Book
from protocol.messages import ReqOffers, ReservationPrep
from substrate.model import Segment, Window

G = 10**9
NODES = 8
ENDS = ("west", "east")


def books(network: dict[str, Any]) -> tuple[Book, Book]:
    """One that searches by the exact calendars alone, and one with the quick bound."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SEARCHED_MIN", 10**9)
        exact = Book(open_backend(network))
        patch.setattr(module, "SEARCHED_MIN", 0)
        return exact, Book(open_backend(network))


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
@given(networks(), ASKS, WINDOWS)
def test_the_quick_bound_changes_neither_what_is_held_nor_what_is_offered(
    network: dict[str, Any], asks: list[tuple[Window, int]], window: Window
) -> None:
    exact, quick = books(network)
    for number, (held, gbps) in enumerate(asks):
        prep = asked(number, held, gbps)
        # A Modify of what it holds itself, now and then.
        again = replace(prep, part_id="p2", version=2, reservation_id=f"t{max(0, number - 1)}")
        for each in (prep, again):
            assert quick.admit(each) == exact.admit(each)
    question = ReqOffers("q", window, (("net:west", "net:east"),), G)
    assert quick.offers(question, 0) == exact.offers(question, 0)


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
    _, book = books(network)
    long = Window(0, 10 * 86_400)
    book.admit(asked(1, long, 3))
    book.calendar.forget(5 * 86_400 + 7)
    later = Window(6 * 86_400, 7 * 86_400)
    free = book.calendar.at_least(later)
    assert set(free.values()) == {G}
    book.free("t1", "p")
    assert set(book.calendar.at_least(later).values()) == {4 * G}
    assert book.is_empty()
