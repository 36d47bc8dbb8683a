"""Amounts, bandwidths and prices of any size, next to each other or not: what is proven is true."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from embedding_world import line, pair, problem_of
from hypothesis import given, settings, strategies as st
from wild_world import Wild, possible, price_of, wilds, wrong_with

from embedding.answer import ProofScope, Status
from embedding.clusters import cluster_bound
from embedding.distances import distances
from embedding.embed import embed
from embedding.first import first_stage
from embedding.highs import Program, Verdict
from embedding.hubs import around_one, hub_trees, tree_ways
from embedding.model import Host, Link, Request, Substrate, VLink, VNode
from embedding.network import Free, Network
from embedding.objectives import OBJECTIVES, Terms, cost, energy, load, migration, terms
from embedding.problem import Problem

ROUNDING = 2e-6
Amounts = st.sampled_from((1.0, 1e6, 2.0**50))
Prices = st.sampled_from((1e-15, 1e-9, 0.1, 1.0, 1e9))


@st.composite
def sized(draw: st.DrawFn) -> tuple[Wild, Terms]:
    """An objective of a third party on any network, both with units of their own."""
    wild = draw(wilds())
    amount, bandwidth = draw(Amounts), draw(Amounts)

    def larger(amounts: dict[str, float] | object) -> dict[str, float]:
        assert isinstance(amounts, dict)
        return {name: some * amount for name, some in amounts.items()}

    substrate = replace(
        wild.substrate,
        hosts=tuple(replace(h, amounts=larger(h.amounts)) for h in wild.substrate.hosts),
        links=tuple(replace(k, bandwidth=k.bandwidth * bandwidth) for k in wild.substrate.links),
    )
    request = replace(
        wild.request,
        vnodes=tuple(replace(v, amounts=larger(v.amounts)) for v in wild.request.vnodes),
        vlinks=tuple(replace(k, bandwidth=k.bandwidth * bandwidth) for k in wild.request.vlinks),
    )
    units = {key: bandwidth if isinstance(key, str) else amount for key in wild.left}
    left = {key: some * units[key] for key, some in wild.left.items()}
    found = Wild(substrate, left, request, wild.present)
    return found, draw(priced(found))


@st.composite
def priced(draw: st.DrawFn, wild: Wild) -> Terms:
    """One of those that are known, or prices for places beside others for ways."""
    problem = wild.problem()
    name = draw(st.sampled_from((*OBJECTIVES, "", "")))
    if name:
        return OBJECTIVES[name](problem)
    unit, way = draw(Prices), draw(Prices)
    each = st.sampled_from((0.0, 0.0, 0.5, 1.0, 3.0))

    def some(count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array(draw(st.lists(each, min_size=count, max_size=count)), float)

    hosts = len(wild.substrate.hosts)
    return terms(
        problem,
        place=unit * np.array([some(hosts) for _ in wild.request.vnodes]),
        on=unit * some(hosts),
        link=way * some(len(wild.substrate.links)),
        peak=unit * draw(st.sampled_from((0.0, 0.0, 1.0))),
    )


@settings(max_examples=250, deadline=None)
@given(sized(), st.sampled_from((0.0, 10.0)))
def test_bounds_hold_in_units_of_any_size(drawn: tuple[Wild, Terms], time_limit_s: float) -> None:
    wild, values = drawn
    problem = wild.problem()
    least = min((price_of(wild, values, each) for each in possible(wild)), default=math.inf)
    # What free ways are told apart by, and what sums of numbers so different go wrong by.
    nothing = 1e-11 * max(
        float(values.place.max()),
        float(values.on.max()),
        values.peak,
        float(values.link.max(initial=0.0) * problem.bandwidth.max(initial=0.0)),
    )
    most = least * (1 + ROUNDING) + nothing
    answer = embed(problem, lambda _problem: values, time_limit_s=time_limit_s)
    assert first_stage(problem, values).bound <= most
    if answer.proof_scope is ProofScope.WHOLE:
        assert answer.bound <= most
    assert answer.status is not Status.INFEASIBLE or math.isinf(least)
    if answer.embedding is not None:
        assert wrong_with(wild, answer.embedding) == ""
        if answer.proven and time_limit_s:
            assert answer.objective <= most / 0.99


@pytest.mark.parametrize("objective", [load, migration], ids=["load", "migration"])
def test_a_tie_break_of_huge_links_is_no_more_than_it_is(
    objective: Callable[[Problem], Terms],
) -> None:
    problem = problem_of(line(1, 1, bandwidth=1e18), pair(bandwidth=1e17))
    problem = Problem(problem.network, problem.free, problem.request, present=None)
    values = objective(problem)
    found = first_stage(problem, values)
    assert found.solution is not None
    assert found.bound <= found.solution.value


@pytest.mark.parametrize("price", [0.1, 1.0, 3e-7])
def test_how_much_a_longer_way_costs_is_known_at_any_price(price: float) -> None:
    problem = problem_of(line(1, 1, 1), pair())
    far = distances(problem, np.full(2, price))
    assert far.step == pytest.approx(price)


@pytest.mark.parametrize("unit", [1e-12, 1e-9, 1.0, 1e12])
def test_a_program_is_solved_whatever_its_costs_count(unit: float) -> None:
    program, least = Program(), 0.0
    for _ in range(3):
        costs = [3 + i % 7 for i in range(13)]
        weights = [1 + i % 5 for i in range(13)]
        items = [program.column(unit * some, 1.0, integer=True) for some in costs]
        program.row(items, weights, 11.0)
        chosen = np.array(list(product((0, 1), repeat=13)))
        least += float((chosen @ costs)[chosen @ weights >= 11].min())
    outcome = program.solve(0.0, 10)
    assert outcome.verdict is Verdict.CLOSED
    assert outcome.values is not None
    assert outcome.objective == pytest.approx(unit * least)
    assert outcome.bound == pytest.approx(unit * least)
    assert float(np.array(program.costs) @ outcome.values) == pytest.approx(unit * least)


@settings(max_examples=150, deadline=None)
@given(wilds(), st.integers(0, 12))
def test_a_tree_of_hubs_is_never_longer_than_ways_some_of_which_are_free(
    wild: Wild, exponent: int
) -> None:
    problem = wild.problem()
    link = problem.network.link_price * 10.0**exponent
    least = distances(problem, link).least.astype(float)
    for tree in (*hub_trees(least), around_one(least)):
        ways = tree_ways(tree, len(least))
        assert (ways <= least * (1 + ROUNDING)).all()


def test_a_tree_of_hubs_is_no_longer_where_sums_are_nearly_the_same() -> None:
    hosts = tuple(Host(name, {}) for name in "abc")
    links = Link("a", "b", 1, 0.1), Link("a", "c", 1, 0.0), Link("b", "c", 1, 7.0)
    request = Request((_bare("x"), _bare("y")), (VLink("x", "y", 1),))
    problem = problem_of(Substrate(hosts, links), request)
    least = distances(problem, problem.network.link_price).least.astype(float)
    for tree in hub_trees(least):
        assert (tree_ways(tree, 3) <= least * (1 + ROUNDING)).all()


def test_a_cheap_link_that_is_full_does_not_make_another_beside_it_cheap() -> None:
    hosts = Host("a", {"cpu": 1}), Host("b", {"cpu": 1})
    links = Link("a", "b", 1, 1.0, "thin"), Link("a", "b", 10, 5.0, "wide"), Link("a", "s", 9)
    problem = problem_of(Substrate(hosts, links, ("s",)), pair(bandwidth=2))
    assert distances(problem, problem.network.link_price, exact=True).least[0, 1] == 5


def test_hosts_that_lack_what_nobody_asks_for_still_serve() -> None:
    hosts = tuple(Host(name, {"cpu": 4, "gpu": 1}) for name in ("a", "b"))
    network = Network(Substrate(hosts, (Link("a", "b", 1),)))
    free = Free(np.array([[4.0, -1.0], [4.0, -1e-6]]), np.array([-1.0]))
    problem = Problem(network, free, pair(cpu=4, bandwidth=0))
    assert embed(problem, cost).status is Status.OPTIMAL


@pytest.mark.parametrize("vnodes", [3, 14])
def test_hosts_and_vnodes_may_have_no_amounts_at_all(vnodes: int) -> None:
    hosts = tuple(Host(f"h{i}", {}) for i in range(4))
    links = tuple(Link(f"h{i}", "s", 3, 1.0 + i) for i in range(4))
    names = [f"v{i}" for i in range(vnodes)]
    vlinks = tuple(VLink(a, b, 1) for a, b in pairwise(names))
    request = Request(tuple(map(_bare, names)), vlinks, True, ((names[0], names[2]),))
    answer = embed(problem_of(Substrate(hosts, links, ("s",)), request), cost)
    assert answer.status is Status.OPTIMAL
    assert answer.objective == pytest.approx(1 + 2)


def _bare(name: str) -> VNode:
    return VNode(name, {})


def test_a_host_that_is_idle_but_for_rounding_still_has_to_be_switched_on() -> None:
    hosts = Host("a", {"cpu": 1}, power=5), Host("b", {"cpu": 1}, power=1)
    network = Network(Substrate(hosts, ()))
    free = Free(np.array([[0.1 + 0.2 + 0.7 - 1e-12], [1.0]]), np.zeros(0))
    answer = embed(Problem(network, free, Request((VNode("v", {"cpu": 0.1}),), ())), energy)
    assert answer.embedding is not None
    assert answer.embedding.hosts == {"v": "b"}


def test_clusters_of_a_thousand_hosts_are_counted() -> None:
    racks = [f"r{i}" for i in range(250)]
    hosts = tuple(Host(f"h{i}", {"cpu": 1}) for i in range(1_000))
    links = [Link(f"h{i}", racks[i // 4], 9) for i in range(1_000)]
    links += [Link(rack, "core", 9) for rack in racks]
    names = [f"v{i}" for i in range(6)]
    vlinks = tuple(VLink(names[i], names[i - 1], 1) for i in range(6))
    problem = problem_of(
        Substrate(hosts, tuple(links), (*racks, "core")),
        Request(tuple(VNode(name, {"cpu": 1}) for name in names), vlinks),
    )
    values = cost(problem)
    # A ring of six over racks of four: two VLinks cross, over four links each.
    bound = cluster_bound(problem, values, distances(problem, values.link).least)
    assert bound == pytest.approx(6 + 4 * 2 + 2 * 4, rel=1e-5)
