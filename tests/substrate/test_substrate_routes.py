"""Candidate routes against brute force, and against networkx's connectivity."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from typing import Any

import networkx as nx
import pytest
from hypothesis import assume, given, strategies as st
from maps import Edge, build, figure_6a

from substrate.model import Constraints
from substrate.routes import Route, candidate_routes, disjoint_routes
from substrate.topology import Topology

NAMES = "abcdef"
graphs = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 5)).filter(
        lambda edge: edge[0] != edge[1]
    ),
    min_size=1,
    max_size=11,
)


def routes(
    topology: Topology,
    source: str = "a",
    destination: str = "f",
    count: int = 200,
    **limits: Any,
) -> tuple[Route, ...]:
    constraints = Constraints(**limits)
    return candidate_routes(topology, f"{source}:user", f"{destination}:user", constraints, count)


def every_way(edges: list[Edge], source: str, destination: str) -> dict[tuple[int, ...], int]:
    """All simple ways by the numbers of their edges, with their latency."""
    found: dict[tuple[int, ...], int] = {}

    def walk(here: str, seen: tuple[str, ...], used: tuple[int, ...], latency: int) -> None:
        if here == destination:
            found[used] = latency
            return
        for number, (a, b, latency_us) in enumerate(edges):
            for start, end in ((a, b), (b, a)):
                if start == here and end not in seen:
                    walk(end, (*seen, end), (*used, number), latency + latency_us)

    walk(source, (source,), (), 0)
    return found


def numbers(route: Route) -> tuple[int, ...]:
    return tuple(int(c.egress_stp.partition(":e")[2]) for c in route.crossings[:-1])


@given(graphs)
def test_all_simple_ways_are_found_and_no_others(edges: list[Edge]) -> None:
    found = routes(build(edges, "af"))
    expected = every_way(edges, "a", "f")
    assume(len(expected) <= 200)
    assert {numbers(route): route.latency_us for route in found} == expected
    assert len(found) == len(expected)


@given(graphs)
def test_the_first_routes_are_as_many_disjoint_ones_as_there_are(edges: list[Edge]) -> None:
    graph: Any = nx.Graph()
    graph.add_nodes_from("af")
    for a, b, _ in edges:
        weight = graph.get_edge_data(a, b, {"capacity": 0})["capacity"]
        graph.add_edge(a, b, capacity=weight + 1)
    most = int(nx.maximum_flow(graph, "a", "f")[0])
    found = routes(build(edges, "af"))
    first = found[:most]
    used = [number for route in first for number in numbers(route)]
    assert len(first) == most
    assert len(used) == len(set(used))
    assert len(disjoint_routes(found)) == most


@given(graphs)
def test_after_the_disjoint_ones_routes_come_by_latency(edges: list[Edge]) -> None:
    found = routes(build(edges, "af"))
    rest = found[len(disjoint_routes(found)) :]
    costs = [(route.latency_us, len(route.crossings)) for route in rest]
    assert costs == sorted(costs)


@given(graphs, st.integers(0, 12), st.integers(1, 6), st.sampled_from(["b", "c"]))
def test_limits_leave_exactly_the_routes_that_keep_them(
    edges: list[Edge], latency_us: int, domains: int, name: str
) -> None:
    topology = build(edges, "af")
    assume(name in topology.domains)
    everything = routes(topology)

    def kept(**limits: Any) -> set[tuple[int, ...]]:
        return {numbers(route) for route in routes(topology, **limits)}

    assert kept(max_latency_us=latency_us) == {
        numbers(r) for r in everything if r.latency_us <= latency_us
    }
    assert kept(max_domains=domains) == {
        numbers(r) for r in everything if len(r.crossings) <= domains
    }
    assert kept(via_domains=(name,)) == {numbers(r) for r in everything if name in r.domains}
    assert kept(avoid_domains=(name,)) == {numbers(r) for r in everything if name not in r.domains}


def test_parallel_links_make_different_routes() -> None:
    found = routes(build([("a", "f", 3), ("a", "f", 1), ("a", "f", 2)], "af"))
    assert [numbers(route) for route in found] == [(1,), (2,), (0,)]


def test_a_line_of_forty_domains() -> None:
    names = [f"n{i}" for i in range(40)]
    edges = [(a, b, 1) for a, b in pairwise(names)]
    found = routes(build(edges, [names[0], names[-1]]), names[0], names[-1])
    assert len(found) == 1
    assert found[0].domains == tuple(names)
    assert found[0].latency_us == 39


def test_within_one_domain_there_is_one_crossing() -> None:
    topology = build([("a", "b", 1), ("a", "b", 1)], "ab")
    (route,) = candidate_routes(topology, "a:user", "a:e0", Constraints())
    assert route.pairs == (("a:user", "a:e0"),)
    assert route.latency_us == 0


def test_an_explicit_route_is_passed_in_its_order() -> None:
    edges = [("a", "b", 1), ("b", "c", 1), ("c", "f", 1), ("a", "c", 1), ("b", "f", 1)]
    topology = build(edges, "af")
    (through,) = routes(topology, ero=("b:e1", "c:e2"))
    assert through.domains == ("a", "b", "c", "f")
    (back,) = routes(topology, ero=("c:e3", "b:e1"))
    assert back.domains == ("a", "c", "b", "f")
    assert routes(topology, ero=("c:e2", "b:e1")) == ()
    assert routes(topology, ero=("a:user", "b:e1", "c:e2", "f:user")) == (through,)


def test_unknown_and_avoided_ends_have_no_route() -> None:
    topology = build([("a", "f", 1)], "af")
    assert candidate_routes(topology, "x:user", "f:user", Constraints()) == ()
    assert routes(topology, avoid_domains=("a",)) == ()
    assert routes(topology, via_domains=("nowhere",)) == ()


def test_links_without_a_common_vlan_or_below_the_least_share_are_left_out() -> None:
    topology = build([("a", "f", 1), ("a", "f", 2)], "af", capacities=[10, 100])
    assert [numbers(r) for r in routes(topology, min_share_bps=11)] == [(1,)]


def test_figure_6a_has_two_disjoint_routes_between_sites_of_two_regions() -> None:
    found = routes(figure_6a(), "a", "d")
    assert {route.domains for route in found[:2]} == {
        ("a", "rn1", "re1", "rn3", "d"),
        ("a", "rn1", "re2", "rn3", "d"),
    }
    assert all(route.domains.count("rn2") <= 1 for route in found)


def pair(dice: random.Random, names: list[str]) -> Edge:
    one, other = dice.sample(names, 2)
    return one, other, dice.randrange(1, 9)


@pytest.mark.parametrize("seed", range(3))
def test_a_network_of_eighty_domains_is_searched_in_time(seed: int) -> None:
    dice = random.Random(seed)
    names = [f"n{i}" for i in range(80)]
    edges = [(names[i], names[dice.randrange(i)], dice.randrange(1, 9)) for i in range(1, 80)]
    edges += [pair(dice, names) for _ in range(170)]
    topology = build(edges, ["n0", "n79"])
    began = time.perf_counter()
    found = routes(topology, "n0", "n79", 16)
    print(f"16 routes over 80 domains, 249 links: {(time.perf_counter() - began) * 1000:.1f} ms")
    assert len(found) == 16
    assert len(set(found)) == 16


def test_routes_do_not_depend_on_the_order_of_the_domains() -> None:
    topology = figure_6a()
    other = Topology(reversed(list(topology.domains.values())))
    assert routes(topology, "a", "d") == routes(other, "a", "d")
