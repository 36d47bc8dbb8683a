"""What fits exactly fits, though tenths are no binary fractions; a unit more does not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from embedding.answer import Answer, Status
from embedding.embed import embed
from embedding.model import Host, Link, Request, Substrate, VLink, VNode
from embedding.network import Free, Network
from embedding.objectives import OBJECTIVES, cost
from embedding.problem import Problem
from embedding.rules import Rules

Tenths = st.lists(st.integers(1, 97), min_size=1, max_size=6)


def wires(tenths: list[int], *, shares: bool = True) -> Request:
    """One VNode at each of two hosts, and a VLink for each number."""
    vnodes = VNode("a", {"cpu": 1}, frozenset({"h0"})), VNode("b", {"cpu": 1}, frozenset({"h1"}))
    vlinks = tuple(VLink("a", "b", n / 10, name=f"w{i}") for i, n in enumerate(tenths))
    return Request(vnodes, vlinks, shares)


def between(bandwidth: float) -> Substrate:
    hosts = Host("h0", {"cpu": 1}), Host("h1", {"cpu": 1})
    return Substrate(hosts, (Link("h0", "h1", bandwidth),))


def answered(
    substrate: Substrate, request: Request, rules: Rules | None = None, name: str = "cost"
) -> Answer:
    network = Network(substrate)
    problem = Problem(network, network.capacity, request, rules=rules)
    return embed(problem, OBJECTIVES[name])


@settings(max_examples=60, deadline=None)
@given(Tenths, st.sampled_from([("h0", "h1"), ("h1", "h0")]))
def test_vlinks_fill_what_two_hosts_can_carry_to_the_last_bit(
    tenths: list[int], pair: tuple[str, str]
) -> None:
    whole = Rules(caps={pair: sum(tenths) / 10})
    assert answered(between(1e4), wires(tenths), whole).status is Status.OPTIMAL
    less = Rules(caps={pair: (sum(tenths) - 1) / 10})
    assert answered(between(1e4), wires(tenths), less).status is Status.INFEASIBLE


@settings(max_examples=60, deadline=None)
@given(Tenths, st.booleans(), st.sampled_from(sorted(OBJECTIVES)))
def test_vlinks_fill_a_link_to_the_last_bit(tenths: list[int], shares: bool, name: str) -> None:
    request = wires(tenths, shares=shares)
    assert answered(between(sum(tenths) / 10), request, name=name).embedding is not None
    less = (sum(tenths) - 1) / 10
    assert answered(between(less), request, name=name).status is Status.INFEASIBLE


@settings(max_examples=60, deadline=None)
@given(Tenths, st.sampled_from(sorted(OBJECTIVES)))
def test_vnodes_fill_a_host_to_the_last_unit(tenths: list[int], name: str) -> None:
    vnodes = tuple(VNode(f"v{i}", {"cpu": n / 10}) for i, n in enumerate(tenths))
    request = Request(vnodes, (), shares_hosts=True)
    full = Substrate((Host("h0", {"cpu": sum(tenths) / 10}),), ())
    assert answered(full, request, name=name).embedding is not None
    less = Substrate((Host("h0", {"cpu": (sum(tenths) - 1) / 10}),), ())
    assert answered(less, request, name=name).status is Status.INFEASIBLE


@settings(max_examples=40, deadline=None)
@given(st.lists(Tenths, min_size=1, max_size=3))
def test_what_was_taken_and_given_back_again_and_again_can_be_taken_once_more(
    several: list[list[int]],
) -> None:
    network = Network(between(sum(several[-1]) / 10))
    free = network.capacity
    for tenths in several:
        part = Free(network.capacity.host * 0, network.capacity.link * 0 + sum(tenths) / 10)
        free = free.less(part).more(part)
    assert embed(Problem(network, free, wires(several[-1])), cost).embedding is not None


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_host_without_anything_runs_what_needs_nothing(name: str) -> None:
    request = Request((VNode("a", {"cpu": 0}), VNode("b", {})), (), shares_hosts=True)
    assert answered(Substrate((Host("h0", {}),), ()), request, name=name).embedding is not None
    some = Request((VNode("a", {"cpu": 0.1}),), ())
    none = answered(Substrate((Host("h0", {}),), ()), some, name=name)
    assert none.status is Status.INFEASIBLE
    (short,) = none.shortages
    assert (short.resource, short.where, short.short) == ("cpu", "all hosts", 0.1)


@pytest.mark.parametrize("bandwidth", [0, 2])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_vlinks_need_a_way_even_if_they_carry_nothing(name: str, bandwidth: int) -> None:
    hosts = (Host("h0", {"cpu": 1}), Host("h1", {"cpu": 1}))
    apart = (Link("h0", "s0", 9), Link("h1", "s1", 9))
    request = Request(
        (VNode("a", {"cpu": 1}), VNode("b", {"cpu": 1})), (VLink("a", "b", bandwidth),)
    )
    none = answered(Substrate(hosts, apart, ("s0", "s1")), request, name=name)
    assert none.status is Status.INFEASIBLE
    (short,) = none.shortages
    assert short.why == "hosts are in 2 parts that no link joins, and VLinks would have to"
    joined = Substrate(hosts, (Link("h0", "h1", bandwidth),))
    assert answered(joined, request, name=name).embedding is not None


def test_a_request_larger_than_any_number_that_solvers_like_is_still_answered_truly() -> None:
    """Amounts in bytes: 10**15 of them, of which one is missing."""
    vnodes = tuple(VNode(f"v{i}", {"bytes": 5e14}) for i in range(2))
    request = Request(vnodes, (VLink("v0", "v1", 1e12),), shares_hosts=True)
    full = Substrate((Host("h0", {"bytes": 1e15}),), ())
    assert answered(full, request).status is Status.OPTIMAL
    less = Substrate((Host("h0", {"bytes": 9e14}),), ())
    none = answered(less, request)
    assert none.status is Status.INFEASIBLE
    assert none.shortages[0].short == pytest.approx(1e14)
