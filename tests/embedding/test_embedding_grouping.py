"""VNodes that may meet: sets of them on hosts, a tree of hubs, and rules that were learnt.

The optimum is found by trying every placement and every simple path (``embedding_world``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from embedding_world import (
    all_embeddings,
    cost_of,
    line,
    pair,
    peak_of,
    problem_of,
    requests,
    substrates,
    wrong_with,
)
from hypothesis import assume, given, settings, strategies as st

from embedding.answer import Status
from embedding.check import violations
from embedding.distances import distances
from embedding.embed import embed
from embedding.grouping import WORK_FIRST, WORK_MAX, Groups, grouping_of
from embedding.hubs import hub_trees, tree_ways
from embedding.model import Embedding, Host, Link, Request, Substrate, VLink, VNode
from embedding.network import Floats, Network
from embedding.objectives import cost, energy, load
from embedding.packing import Packing
from embedding.problem import Problem
from embedding.program import embedding_program
from embedding.rules import Rules

ROUNDING = 1e-4


@st.composite
def weighted_trees(draw: st.DrawFn) -> tuple[Floats, int]:
    """The ways between some of the nodes of a tree, and how many these are."""
    count = draw(st.integers(2, 9))
    tree: nx.Graph[int] = nx.Graph()
    tree.add_node(0)
    for node in range(1, count):
        tree.add_edge(draw(st.integers(0, node - 1)), node, weight=draw(st.integers(0, 5)))
    ways = dict(nx.all_pairs_dijkstra_path_length(tree))
    hosts = draw(st.lists(st.integers(0, count - 1), min_size=1, unique=True))
    return np.array([[ways[a][b] for b in hosts] for a in hosts], float), len(hosts)


@settings(max_examples=200, deadline=None)
@given(weighted_trees())
def test_the_ways_of_a_tree_are_found_exactly(drawn: tuple[Floats, int]) -> None:
    least, hosts = drawn
    trees = hub_trees(least)
    assert len(trees) == 1
    assert np.allclose(tree_ways(trees[0], hosts), least, atol=1e-3)


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 7), st.data())
def test_no_way_in_a_tree_of_hubs_is_longer_than_it_is(hosts: int, data: st.DataObject) -> None:
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(hosts))
    pairs = st.tuples(st.integers(0, hosts - 1), st.integers(0, hosts - 1))
    for a, b in data.draw(st.lists(pairs, max_size=12)):
        graph.add_edge(a, b, weight=data.draw(st.integers(0, 9)))
    least = np.full((hosts, hosts), np.inf)
    for a, ways in nx.all_pairs_dijkstra_path_length(graph):
        for b, way in ways.items():
            least[a, b] = way
    for tree in hub_trees(least):
        assert (tree_ways(tree, hosts) <= least + 1e-6).all()


@st.composite
def shared_requests(draw: st.DrawFn) -> Request:
    """VNodes that may share hosts, but for some pairs."""
    return replace(draw(requests()), shares_hosts=True)


@st.composite
def rules(draw: st.DrawFn, request: Request, hosts: tuple[str, ...]) -> Rules:
    """Some of each kind."""
    names = [vnode.name for vnode in request.vnodes]
    vnodes = st.sets(st.sampled_from(names), min_size=1).map(frozenset)
    refused = draw(st.lists(st.tuples(st.sampled_from(hosts), vnodes), max_size=4))
    pairs = [(a, b) for i, a in enumerate(hosts) for b in hosts[:i]]
    caps = draw(st.dictionaries(st.sampled_from(pairs), st.integers(0, 4), max_size=3))
    barred = {}
    for vlink in request.vlinks:
        if draw(st.booleans()):
            near = draw(st.sets(st.sampled_from(pairs)))
            matrix = [[a != b and (a, b) in near for b in hosts] for a in hosts]
            barred[vlink.label] = np.array(matrix)
    return Rules(tuple(refused), barred, caps)


def keeps(rules: Rules, request: Request, hosts: Mapping[str, str], names: list[str]) -> bool:
    """Whether a placement keeps them: written anew, from what they say."""
    if any(all(hosts[v] == host for v in some) for host, some in rules.refused):
        return False
    between = dict.fromkeys(rules.caps, 0.0)
    for vlink in request.vlinks:
        ends = hosts[vlink.a], hosts[vlink.b]
        barred = rules.barred.get(vlink.label)
        if barred is not None and barred[names.index(ends[0]), names.index(ends[1])]:
            return False
        for pair_ in {ends, ends[::-1]} & between.keys():
            between[pair_] += vlink.bandwidth
    return all(total <= rules.caps[pair_] for pair_, total in between.items())


@st.composite
def ruled(draw: st.DrawFn) -> tuple[Substrate, Request, Rules]:
    substrate, request = draw(substrates()), draw(shared_requests())
    hosts = tuple(host.name for host in substrate.hosts)
    return substrate, request, draw(rules(request, hosts))


def problem_with(substrate: Substrate, request: Request, rules: Rules) -> Problem:
    network = Network(substrate)
    return Problem(network, network.capacity, request, rules=rules)


@settings(max_examples=200, deadline=None)
@given(ruled())
def test_the_cheapest_embedding_that_keeps_all_rules_is_found_and_proven(
    drawn: tuple[Substrate, Request, Rules],
) -> None:
    substrate, request, rules = drawn
    names = [host.name for host in substrate.hosts]
    costs = [
        cost_of(substrate, request, embedding)
        for embedding in all_embeddings(substrate, request)
        if keeps(rules, request, embedding.hosts, names)
    ]
    answer = embed(problem_with(substrate, request, rules), cost)
    assert (answer.status is Status.INFEASIBLE) == (not costs)
    if answer.embedding is not None:
        assert wrong_with(substrate, request, answer.embedding) == ""
        assert keeps(rules, request, answer.embedding.hosts, names)
        assert answer.bound <= min(costs) + ROUNDING <= answer.objective + 2 * ROUNDING
        assert answer.objective <= min(costs) / 0.99 + ROUNDING


@settings(max_examples=80, deadline=None)
@given(ruled())
def test_the_program_keeps_all_rules_by_itself(drawn: tuple[Substrate, Request, Rules]) -> None:
    """For requests that are too large for sets."""
    substrate, request, rules = drawn
    names = [host.name for host in substrate.hosts]
    problem = problem_with(substrate, request, rules)
    terms = cost(problem)
    far = distances(problem, terms.link, exact=True)
    made = embedding_program(problem, terms, problem.fits, far.least, exact=True)
    outcome = made.program.solve(0.0, 10.0)
    costs = [
        cost_of(substrate, request, embedding)
        for embedding in all_embeddings(substrate, request)
        if keeps(rules, request, embedding.hosts, names)
    ]
    if not costs or outcome.values is None:
        assert outcome.values is None
        assert not costs
        return
    hosts = [names[host] for host in made.hosts(outcome.values)]
    placed = dict(zip((v.name for v in request.vnodes), hosts, strict=True))
    assert keeps(rules, request, placed, names)
    assert outcome.objective == pytest.approx(min(costs), abs=ROUNDING)


@settings(max_examples=150, deadline=None)
@given(ruled())
def test_the_check_finds_a_rule_that_is_broken(drawn: tuple[Substrate, Request, Rules]) -> None:
    substrate, request, rules = drawn
    names = [host.name for host in substrate.hosts]
    problem = problem_with(substrate, request, rules)
    for embedding in all_embeddings(substrate, request):
        kept = keeps(rules, request, embedding.hosts, names)
        assert kept == (violations(problem, embedding) == ())


@settings(max_examples=150, deadline=None)
@given(substrates(), shared_requests())
def test_sets_on_a_tree_never_cost_more_than_any_embedding(
    substrate: Substrate, request: Request
) -> None:
    problem = problem_of(substrate, request)
    terms = cost(problem)
    far = distances(problem, terms.link, exact=True)
    grouping = grouping_of(problem, terms, far.least)
    assume(grouping is not None and problem.fits.any(axis=1).all())
    assert grouping is not None
    known = list(all_embeddings(substrate, request))
    least = min((cost_of(substrate, request, each) for each in known), default=math.inf)
    peak = min((peak_of(substrate, request, each) for each in known), default=math.inf)
    assert grouping.bound <= least + ROUNDING
    assert grouping.peak() <= peak + ROUNDING
    nothing = grouping.search(far, 0.0, math.inf, lambda _hosts: math.inf)
    assert nothing <= least + ROUNDING


@settings(max_examples=60, deadline=None)
@given(substrates(), shared_requests())
def test_least_load_and_fewest_hosts_are_bounded_truly(
    substrate: Substrate, request: Request
) -> None:
    known = list(all_embeddings(substrate, request))
    problem = problem_of(substrate, request)
    for objective in (load, energy):
        answer = embed(problem, objective)
        assert (answer.embedding is not None) == bool(known)
        if not known:
            continue
        slack = 0.02 * (1 + len(request.vlinks))
        if objective is load:
            best = min(peak_of(substrate, request, each) for each in known)
        else:
            best = min(len(set(each.hosts.values())) for each in known)
        assert answer.bound <= best + slack
        assert answer.objective >= best - ROUNDING


def star(prices: list[float], cpu: float) -> Substrate:
    hosts = tuple(Host(f"h{i}", {"cpu": cpu}, price=0.0) for i in range(len(prices)))
    links = tuple(Link(f"h{i}", "hub", 100, price) for i, price in enumerate(prices))
    return Substrate(hosts, links, ("hub",))


def test_a_clique_is_cut_where_it_costs_least_and_that_is_proven_without_a_program() -> None:
    """Six VNodes, all joined, three to a host: the two hosts with the cheapest links."""
    vnodes = tuple(VNode(f"v{i}", {"cpu": 1}) for i in range(6))
    vlinks = tuple(VLink(f"v{i}", f"v{j}", 1) for j in range(6) for i in range(j))
    request = Request(vnodes, vlinks, shares_hosts=True)
    answer = embed(problem_of(star([5, 1, 4, 2], 3), request), cost, time_limit_s=0)
    assert answer.status is Status.OPTIMAL
    assert answer.objective == pytest.approx(9 * (1 + 2))
    assert answer.stage == "first"
    assert answer.embedding is not None
    assert set(answer.embedding.hosts.values()) == {"h1", "h3"}


def test_hosts_of_which_each_fits_but_no_division_does_are_proven_too_small() -> None:
    vnodes = tuple(VNode(f"v{i}", {"cpu": 2}) for i in range(3))
    problem = problem_of(line(3, 3), Request(vnodes, (), shares_hosts=True))
    assert embed(problem, cost, time_limit_s=0).status is Status.INFEASIBLE


def test_ways_out_that_are_too_narrow_keep_vnodes_together() -> None:
    problem = problem_of(line(2, 1, 1, bandwidth=1), pair(1, 5, shares_hosts=True))
    answer = embed(problem, cost, time_limit_s=0)
    assert answer.embedding == Embedding({"a": "h0", "b": "h0"})


def test_a_rule_for_what_is_not_there_demands_nothing() -> None:
    rules = Rules((("nowhere", frozenset("ab")), ("h0", frozenset("xy"))), {}, {("h0", "x"): 0})
    problem = problem_with(line(2, 2), pair(1, 1, shares_hosts=True), rules)
    assert not problem.rules
    assert embed(problem, cost).status is Status.OPTIMAL


def grouped(hosts: int, vnodes: int, work: int, *, shares: bool = True) -> Groups | None:
    """VNodes of which one host takes two."""
    request = Request(tuple(VNode(f"v{i}", {"cpu": 1}) for i in range(vnodes)), (), shares)
    problem = problem_of(line(*[2.0] * hosts), request)
    least = distances(problem, problem.network.link_price).least
    return grouping_of(problem, cost(problem), least, work)


def test_too_much_work_and_vnodes_that_never_meet_are_for_the_other_stages() -> None:
    assert grouped(6, 13, WORK_MAX) is not None
    assert isinstance(grouped(6, 14, WORK_MAX), Packing)
    assert grouped(6, 14, WORK_MAX - 1) is None
    assert grouped(6, 4, WORK_MAX, shares=False) is None
    divisions = 2**10 + 10 * 2**9 + 45 * 2**8
    assert grouped(10, 10, 10 * divisions) is not None
    assert grouped(10, 10, 10 * divisions - 1) is None
    assert grouped(100, 10, WORK_FIRST) is not None
    assert grouped(200, 10, WORK_FIRST) is None


def test_what_is_too_much_for_a_first_look_is_searched_for_before_any_program() -> None:
    vnodes = tuple(VNode(f"v{i}", {"cpu": 1}) for i in range(13))
    vlinks = tuple(VLink(f"v{i}", f"v{(i + 1) % 13}", 1) for i in range(13))
    request = Request(vnodes, vlinks, shares_hosts=True)
    problem = problem_of(star([1.0] * 30, 2), request)
    assert embed(problem, cost, time_limit_s=0).status is Status.FEASIBLE
    answer = embed(problem, cost, time_limit_s=1e-6)
    assert answer.status is Status.OPTIMAL
    assert answer.objective == pytest.approx(7 * 2)
