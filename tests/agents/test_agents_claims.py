"""Claims are collected page by page, and never without bound."""

from __future__ import annotations

import pytest
from agent_world import prep
from hypothesis import given, strategies as st

import agents.claims
from agents.claims import SNAPSHOTS_LIMIT, Collected, TooManyClaimsError, sort_out
from agents.peers import Sender
from protocol.messages import Claim, Claims

ME = Sender("me", "one")


def claim(name: str, orchestrator_id: str = "me") -> Claim:
    return Claim(prep(name, orchestrator_id=orchestrator_id), True)


def page(number: int, pages: int, *names: str, claims_id: str = "c") -> Claims:
    return Claims(1, claims_id, number, pages, tuple(claim(name) for name in names))


def names(collected: Collected) -> list[str]:
    return [found.prep.transaction_id for found in collected.claims()]


@given(st.permutations(list(range(5))), st.lists(st.integers(0, 4), max_size=5))
def test_pages_come_in_any_order_and_more_than_once(order: list[int], again: list[int]) -> None:
    collected = Collected()
    for number in [*order[:-1], *(n for n in again if n != order[-1])]:
        assert not collected.add(ME, page(number, 5, f"t{number}"))
    assert collected.add(ME, page(order[-1], 5, f"t{order[-1]}"))
    assert names(collected) == ["t0", "t1", "t2", "t3", "t4"]
    assert collected.senders == {ME: "c"}


def test_instances_collect_side_by_side() -> None:
    collected, two = Collected(), Sender("me", "two")
    assert not collected.add(ME, page(0, 2, "a", claims_id="x"))
    assert not collected.add(two, page(0, 2, "b", claims_id="y"))
    assert collected.add(ME, page(1, 2, claims_id="x"))
    assert names(collected) == ["a"]
    assert collected.add(two, page(1, 2, claims_id="y"))
    assert names(collected) == ["b"]


def test_another_number_of_pages_is_another_snapshot() -> None:
    collected = Collected()
    assert not collected.add(ME, page(0, 3, "a"))
    assert not collected.add(ME, page(1, 2, "b"))
    assert collected.add(ME, page(0, 2, "c"))
    assert names(collected) == ["c", "b"]


def test_claims_are_bounded_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents.claims, "CLAIMS_LIMIT", 10)
    collected = Collected()
    for _ in range(5):
        assert collected.add(ME, page(0, 1, *(f"t{n}" for n in range(5))))
    other = Sender("other", "one")
    assert not collected.add(other, page(0, 3, *"abcd"))
    with pytest.raises(TooManyClaimsError, match="10 claims"):
        collected.add(other, page(1, 3, *"ef"))
    assert collected.add(other, page(0, 1, *"vwxyz"))
    with pytest.raises(TooManyClaimsError):
        collected.add(Sender("third", "one"), page(0, 1))


def test_snapshots_are_bounded() -> None:
    collected = Collected()
    for number in range(3 * SNAPSHOTS_LIMIT):
        collected.add(Sender("me", f"i{number}"), page(0, 2, f"t{number}"))
    assert len(collected._growing) == SNAPSHOTS_LIMIT
    collected = Collected()
    for number in range(SNAPSHOTS_LIMIT):
        assert collected.add(Sender(f"o{number}", "i"), page(0, 1))
    with pytest.raises(TooManyClaimsError, match="orchestrators"):
        collected.add(ME, page(0, 1))
    for number in range(SNAPSHOTS_LIMIT + 5):
        assert collected.add(Sender("o0", f"i{number}"), page(0, 1))
    assert len(collected.senders) == SNAPSHOTS_LIMIT


def test_a_part_is_claimed_by_whom_it_belongs_to_or_else_by_the_first() -> None:
    mine, theirs = claim("a"), claim("a", "other")
    owners = {("a", "p1"): "other"}
    assert sort_out([mine, theirs], owners.get) == ((theirs,), (mine,))
    assert sort_out([mine, theirs, mine], lambda _: None) == ((mine, mine), (theirs,))
