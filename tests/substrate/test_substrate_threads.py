"""Walks through many domains: kept limits, and no more work than is bounded."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from effort import calls_of
from hypothesis import given, strategies as st
from substrate_world import G, Link, network

from substrate.disjoint import Walk
from substrate.graph import Graph
from substrate.model import Constraints
from substrate.routes import candidate_routes
from substrate.threads import threads
from substrate.topology import Topology

NAMES = "abcdefz"
ANY_COST = 1 << 40
CALLS_MAX = 400_000
"""Of one search among 200 domains, whatever is to be crossed; of some it was ten times as many."""


@st.composite
def problems(draw: st.DrawFn) -> tuple[Graph, frozenset[int]]:
    edges = draw(
        st.lists(
            st.tuples(st.sampled_from(list(combinations(NAMES, 2))), st.integers(0, 9)),
            min_size=4,
            max_size=16,
        )
    )
    links = [Link(a, b, latency_us=us, tag=f".{i}") for i, ((a, b), us) in enumerate(edges)]
    graph = network(links, hosts={"a": G, "z": G}).graph
    inner = st.sampled_from([graph.number[name] for name in graph.names])
    return graph, frozenset(draw(st.sets(inner, max_size=4)))


def through(graph: Graph, walk: Walk) -> list[int]:
    return [graph.number["a"], *(graph.to[hop] for hop in walk)]


@given(problems(), st.integers(2, 7), st.integers(0, 60_000))
def test_they_cross_all_that_is_wanted_once_and_keep_the_limits(
    problem: tuple[Graph, frozenset[int]], domains_max: int, cost_max: int
) -> None:
    graph, via = problem
    ends = graph.number["a"], graph.number["z"]
    found = threads(graph, *ends, via, cost_max, domains_max)
    costs = [sum(graph.costs[hop] for hop in walk) for walk in found]
    assert costs == sorted(costs)
    assert len(set(found)) == len(found)
    for walk, cost in zip(found, costs, strict=True):
        places = through(graph, walk)
        assert places[-1] == ends[1]
        assert all(
            graph.to[graph.back[hop]] == here for hop, here in zip(walk, places, strict=False)
        )
        assert len(set(places)) == len(places) <= domains_max
        assert via <= set(places)
        assert cost <= cost_max


def test_what_it_could_not_reach_is_crossed_sooner_at_the_next_try() -> None:
    # b is nearer than c, but from b there is no way to c but through a.
    links = [Link("a", "b", latency_us=1), Link("a", "c", latency_us=9)]
    links += [Link("c", "b", latency_us=50), Link("b", "z", latency_us=1)]
    links += [Link("c", "d", latency_us=1), Link("d", "z", latency_us=1)]
    graph = network(links, hosts={"a": G, "z": G}).graph
    via = frozenset({graph.number["b"], graph.number["c"], graph.number["d"]})
    ways = {
        "".join(graph.names[place] for place in through(graph, walk))
        for walk in threads(graph, graph.number["a"], graph.number["z"], via, ANY_COST, None)
    }
    assert ways == {"abcdz"}


def wide(domains: int = 200, seed: int = 3) -> Topology:
    dice = random.Random(seed)
    names = ["a", "z", *(f"n{i:03}" for i in range(domains - 2))]
    pairs = [(names[i], names[(i + 1) % domains]) for i in range(domains)]
    pairs += [(one, other) for one, other in (dice.sample(names, 2) for _ in range(2 * domains))]
    links = [
        Link(one, other, latency_us=dice.randrange(100, 5000), tag=f".{i}")
        for i, (one, other) in enumerate(pairs)
    ]
    return network(links, hosts={"a": G, "z": G})


WIDE = wide()


@pytest.mark.parametrize("count", [2, 8, 12, 24, 40])
def test_many_domains_in_any_order_are_crossed_with_bounded_work(count: int) -> None:
    dice = random.Random(count)
    via = tuple(sorted(dice.sample([name for name in WIDE.domains if name not in "az"], count)))
    limits = Constraints(via_domains=via)
    found, calls = calls_of(lambda: candidate_routes(WIDE, "a:host", "z:host", limits))
    assert found
    for route in found:
        assert set(via) <= set(route.domains)
        assert len(set(route.domains)) == len(route.domains)
    assert calls < CALLS_MAX


@pytest.mark.parametrize("count", [4, 16, 64, 128])
def test_any_explicit_route_is_looked_for_with_bounded_work(count: int) -> None:
    ero = tuple(random.Random(count).sample([link.a_stp for link in WIDE.links], count))
    limits = Constraints(ero=ero)
    _, calls = calls_of(lambda: candidate_routes(WIDE, "a:host", "z:host", limits))
    assert calls < CALLS_MAX


def test_a_domain_with_one_neighbour_is_crossed_only_where_it_is_an_end() -> None:
    links = [Link("a", "b"), Link("b", "z"), Link("b", "c")]
    topology = network(links, hosts={"a": G, "z": G})
    for via, count in ((("c",), 0), (("a",), 1), (("b", "z"), 1)):
        limits = Constraints(via_domains=via)
        assert len(candidate_routes(topology, "a:host", "z:host", limits)) == count


def test_an_explicit_route_that_comes_back_to_a_domain_has_no_way() -> None:
    links = [Link("a", "b"), Link("b", "c"), Link("c", "d"), Link("d", "z"), Link("b", "z")]
    topology = network(links, hosts={"a": G, "z": G})
    for ero, count in (
        (("a:to-b", "b:to-a", "b:to-c", "c:to-d"), 1),
        (("a:to-b", "c:to-d", "b:to-z"), 0),
        (("a:to-b", "b:to-c", "b:to-z"), 0),
    ):
        limits = Constraints(ero=ero)
        assert len(candidate_routes(topology, "a:host", "z:host", limits)) == count
