"""Which VNodes are to be carried from one version of a CloudNet to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from orchestrated import NOW_S
from providers_world import HOUR_S, graph

from orchestrator.carrying import (
    SMALL_BYTES,
    Carry,
    added,
    awaited,
    awaits,
    carried,
    carries,
    comes_back,
    goes_on,
    leftover,
)
from orchestrator.finder import RouteFinder
from orchestrator.negotiation import Question
from protocol.coordinator import CoordinatorPart, Decision, PartStatus, Transaction
from protocol.messages import ReservationPrep
from rdl.codec import graph_from_pb, to_bytes
from substrate.labels import Plan
from substrate.model import CloudNet, Criteria, Window
from substrate.topology import Topology

WINDOW = Window(NOW_S, NOW_S + HOUR_S)
FROM = {"a": "berlin", "b": "munich"}


def of(*vnodes: str) -> bytes:
    return to_bytes(graph_from_pb(graph(vnodes)))


def version(
    number: int,
    at: Mapping[str, str],
    wait: tuple[str, ...] = (),
    status: PartStatus = PartStatus.COMMITTED,
) -> Transaction:
    parts = []
    for domain in sorted(set(at.values())):
        here = [vnode for vnode in at if at[vnode] == domain]
        prep = ReservationPrep(
            f"t{number}", domain, "r", number, (), WINDOW, "me", 0, graph=of(*here),
            awaits=tuple(vnode for vnode in wait if vnode in here),
        )  # fmt: skip
        parts.append(CoordinatorPart(domain, domain, prep, False, status))
    return Transaction(f"t{number}", "r", number, Decision.COMMIT, tuple(parts))


def question(begins_in_s: int = 0, anew: tuple[str, ...] = (), **more: Any) -> Question:
    window = Window(NOW_S + begins_in_s, NOW_S + begins_in_s + HOUR_S)
    net = CloudNet(of("a", "b"), anew=anew)
    criteria = Criteria("", "", 0, window, cloudnet=more.pop("cloudnet", net))
    plan = Plan((), {}, False, {"berlin": ("a",), "munich": ("b",)})
    return Question(
        criteria=criteria,
        deadline_ms=(NOW_S + 30) * 1000,
        topology=Topology([]),
        finder=RouteFinder(),
        **{"in_force": plan, **more},
    )


def test_of_what_runs_all_may_be_carried_but_what_begins_anew() -> None:
    assert carried(question()) == FROM
    assert carried(question(anew=("b",))) == {"a": "berlin"}
    assert carried(question(30)) == FROM
    assert carried(question(31)) == {}
    assert carried(question(31, begun=True)) == FROM
    assert carried(question(in_force=None)) == {}
    assert carried(question(cloudnet=None)) == {}
    assert carried(question(cloudnet=CloudNet(of("b", "c")))) == {"b": "munich"}


@pytest.mark.parametrize(
    ("domain", "vnodes", "found"),
    [
        ("munich", ("a", "b"), ("a",)),
        ("zurich", ("b", "a"), ("a", "b")),
        ("zurich", ("b", "new"), ("b",)),
        ("berlin", ("a",), ()),
    ],
)
def test_a_domain_awaits_what_comes_from_another(
    domain: str, vnodes: tuple[str, ...], found: tuple[str, ...]
) -> None:
    assert awaits(of(*vnodes), domain, FROM) == found
    assert awaits(of(*vnodes), domain, {}) == ()
    assert awaits(b"", domain, FROM) == ()


def test_what_is_carried_is_what_is_awaited_from_where_it_was() -> None:
    new = version(2, {"a": "berlin", "b": "zurich"}, ("b",))
    assert awaited(new)
    assert carries(version(1, FROM), new) == (Carry("b", "munich", "zurich"),)
    assert carries(version(1, {"a": "berlin"}), new) == (Carry("b", "", "zurich"),)
    plain = version(2, {"a": "berlin", "b": "zurich"})
    assert not awaited(plain)
    assert carries(version(1, FROM), plain) == ()


def test_what_is_added_is_what_the_version_in_force_has_not() -> None:
    assert added(question(cloudnet=CloudNet(of("b", "c", "d")))) == {"c", "d"}
    assert added(question()) == added(question(in_force=None)) == frozenset()
    assert added(question(cloudnet=None)) == frozenset()


@pytest.mark.parametrize(
    ("status", "runs"),
    [
        (PartStatus.COMMITTING, True),
        (PartStatus.COMMITTED, True),
        (PartStatus.RELEASING, True),
        (PartStatus.RELEASED, False),
        (PartStatus.NACKED, False),
        (PartStatus.HELD, False),
        (PartStatus.ABORTING, False),
    ],
)
def test_what_was_committed_may_run_until_it_is_released(status: PartStatus, runs: bool) -> None:
    old = version(1, FROM, status=status)
    assert leftover({"b", "c"}, old) == ({"b": "munich"} if runs else {})


def test_an_older_version_comes_back_where_both_are_and_neither_is_released() -> None:
    first, second = version(1, FROM), version(2, {"a": "berlin", "b": "zurich"})
    assert comes_back(first, second)
    assert not comes_back(second, first)
    assert not comes_back(first, version(2, {"a": "zurich"}))
    assert comes_back(version(1, FROM, status=PartStatus.RELEASING), second)
    assert not comes_back(version(1, FROM, status=PartStatus.RELEASED), second)


def test_parts_that_were_given_up_on_the_way_await_nothing() -> None:
    dropped = version(2, {"b": "zurich"}, ("b",), PartStatus.ABORTED)
    assert not awaited(dropped)
    assert carries(version(1, FROM), dropped) == ()


def test_of_what_a_version_between_awaited_the_last_one_tells_by_where_it_is() -> None:
    after = version(3, {"a": "berlin", "b": "zurich"})
    assert carries(version(1, FROM), after) == (Carry("b", "munich", "zurich"),)
    again = version(3, {"a": "zurich", "b": "zurich", "c": "bern"}, ("a",))
    assert carries(version(1, FROM), again) == (
        Carry("a", "berlin", "zurich"),
        Carry("b", "munich", "zurich"),
    )


@pytest.mark.parametrize(
    ("sizes", "more"),
    [
        ([], True),
        ([10], False),
        ([SMALL_BYTES], False),
        ([SMALL_BYTES + 1], True),
        ([9 << 20, 5 << 20], True),
        ([9 << 20, 9 << 20], False),
        ([9 << 20, 5 << 20, 6 << 20], False),
        ([9 << 20, 5 << 20, 4 << 20, 3 << 20], False),
        ([9 << 20, 5 << 20, 100], False),
    ],
)
def test_copies_go_ahead_while_they_get_smaller_and_are_not_small(
    sizes: list[int], more: bool
) -> None:
    assert goes_on(sizes, 4) is more
