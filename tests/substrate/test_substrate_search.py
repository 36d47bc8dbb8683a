"""Searches that a plain best-first search loses itself in, and constraints all at once."""

from __future__ import annotations

from itertools import combinations, pairwise, permutations, product
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, strategies as st
from substrate_world import G, Link, network

from substrate.model import Constraints
from substrate.routes import Route, candidate_routes, disjoint_routes
from substrate.search import TOUR_MAX
from substrate.topology import Topology

NAMES = "abcdez"


def routes(topology: Topology, count: int = 300, **limits: Any) -> tuple[Route, ...]:
    constraints = Constraints(**limits)
    return candidate_routes(topology, "a:host", "z:host", constraints, count)


def mesh(inner: int) -> Topology:
    """a, n00, n01, … and z, everybody joined with everybody."""
    names = ["a", *(f"n{i:02}" for i in range(inner)), "z"]
    links = [Link(x, y) for i, x in enumerate(names) for y in names[:i]]
    return network(links, hosts={"a": G, "z": G})


def stps(route: Route) -> list[str]:
    return [stp for pair in route.pairs for stp in pair]


def in_order(wanted: tuple[str, ...], passed: list[str]) -> bool:
    places = [passed.index(stp) if stp in passed else -1 for stp in wanted]
    return -1 not in places and places == sorted(set(places))


links_of = st.lists(
    st.tuples(st.sampled_from(list(combinations(NAMES, 2))), st.integers(0, 4)),
    min_size=3,
    max_size=10,
)


@st.composite
def searches(draw: st.DrawFn) -> tuple[Topology, dict[str, Any]]:
    edges = draw(links_of)
    topology = network(
        [Link(a, b, latency_us=us, tag=f".{i}") for i, ((a, b), us) in enumerate(edges)],
        hosts={"a": G, "z": G},
    )
    every = sorted(port.stp for d in topology.domains.values() for port in d.ports)
    limits: dict[str, Any] = {
        "via_domains": tuple(draw(st.sets(st.sampled_from("bcd"), max_size=2))),
        "avoid_domains": tuple(draw(st.sets(st.sampled_from("bcde"), max_size=1))),
        "ero": tuple(draw(st.lists(st.sampled_from(every), max_size=2, unique=True))),
        "max_domains": draw(st.none() | st.integers(1, 6)),
        "max_latency_us": draw(st.none() | st.integers(0, 10)),
    }
    return topology, limits


def kept(route: Route, limits: dict[str, Any]) -> bool:
    most, most_us = limits["max_domains"], limits["max_latency_us"]
    ero = tuple(stp for stp in limits["ero"] if stp not in ("a:host", "z:host"))
    return (
        set(limits["via_domains"]) <= set(route.domains)
        and not set(limits["avoid_domains"]) & set(route.domains)
        and in_order(ero, stps(route))
        and (most is None or len(route.domains) <= most)
        and (most_us is None or route.latency_us <= most_us)
    )


def every_route(topology: Topology) -> set[tuple[str, ...]]:
    """All simple ways by networkx, as the STPs that they pass."""
    graph: Any = nx.MultiGraph()
    graph.add_nodes_from("az")
    for link in topology.links:
        graph.add_edge(link.a_stp[0], link.b_stp[0], key=link.a_stp)
    found = set()
    every: Any = nx.all_simple_edge_paths(graph, "a", "z")
    for way in every:
        passed, here = ["a:host"], "a"
        for _, _, a_stp in way:
            taken = topology.link_at(a_stp)
            assert taken is not None
            ends = (taken.a_stp, taken.b_stp)
            passed += ends if ends[0][0] == here else reversed(ends)
            here = passed[-1][0]
        found.add((*passed, "z:host"))
    return found


@given(searches())
def test_all_limits_together_leave_exactly_what_keeps_them(
    search: tuple[Topology, dict[str, Any]],
) -> None:
    topology, limits = search
    found = routes(topology, **limits)
    everything = routes(topology)
    assert {tuple(stps(route)) for route in everything} == every_route(topology)
    assert len(set(found)) == len(found)
    assert set(found) == {route for route in everything if kept(route, limits)}


@given(searches())
def test_routes_after_the_disjoint_ones_ascend_whatever_the_limits(
    search: tuple[Topology, dict[str, Any]],
) -> None:
    topology, limits = search
    found = routes(topology, **limits)
    start = 0
    if not limits["ero"]:
        without = dict.fromkeys(("avoid_domains",), limits["avoid_domains"])
        flow = disjoint_routes(routes(topology, **without))
        start = sum(kept(route, limits) for route in flow)
    costs = [(route.latency_us, len(route.crossings)) for route in found[start:]]
    assert costs == sorted(costs)


@pytest.mark.parametrize("inner", [6, 12, 28])
def test_an_explicit_route_is_found_in_a_full_mesh(inner: int) -> None:
    order = ["n04", "n02", "n03", "n00"]
    ero = tuple(f"{x}:to-{y}" for x, y in zip(order, [*order[1:], "z"], strict=True))
    found = routes(mesh(inner), count=5, ero=ero)
    assert found[0].domains == ("a", *order, "z")
    assert all(in_order(ero, stps(route)) for route in found)


@pytest.mark.parametrize(("inner", "through"), [(7, 7), (18, 5), (28, 6), (28, TOUR_MAX + 2)])
def test_many_domains_to_pass_are_found_in_a_full_mesh(inner: int, through: int) -> None:
    via = tuple(f"n{i:02}" for i in range(through))
    found = routes(mesh(inner), count=16, via_domains=via, max_domains=through + 2)
    assert len(found) == 16
    assert {frozenset(route.domains) for route in found} == {frozenset({"a", "z", *via})}


def diamonds(stages: int, wide: int) -> list[Link]:
    """A cheap chain from a to z with ``wide ** stages`` ways."""
    names = ["a", *(f"j{i}" for i in range(stages))]
    links = [Link(names[-1], "z", latency_us=1)]
    for (i, (one, other)), m in product(enumerate(pairwise(names)), range(wide)):
        links += [Link(one, f"m{i}{m}", latency_us=1), Link(f"m{i}{m}", other, latency_us=1)]
    return links


def test_a_short_dear_way_is_found_behind_very_many_cheap_long_ones() -> None:
    links = [*diamonds(9, 4), Link("a", "q", latency_us=10**6), Link("q", "z", latency_us=10**6)]
    topology = network(links, hosts={"a": G, "z": G})
    assert [route.domains for route in routes(topology, max_domains=12)] == [("a", "q", "z")]
    assert len(routes(topology, count=16, max_latency_us=20)) == 16
    assert routes(topology, max_latency_us=18) == ()


def test_a_corner_that_leads_nowhere_does_not_hide_a_dear_way() -> None:
    corner = [f"k{i:02}" for i in range(14)]
    links = [Link(x, y, latency_us=1) for i, x in enumerate(corner) for y in corner[:i]]
    links += [Link("a", "m", latency_us=1), *(Link("m", name, latency_us=1) for name in corner)]
    links += [Link("m", "z", latency_us=1)]
    links += [Link("m", "y", latency_us=10**6), Link("y", "z", latency_us=10**6)]
    found = routes(network(links, hosts={"a": G, "z": G}), count=16)
    assert [route.domains for route in found] == [("a", "m", "z"), ("a", "m", "y", "z")]


def test_the_domains_to_pass_may_come_in_any_order() -> None:
    topology = mesh(3)
    orders = {
        tuple(route.domains[1:-1])
        for route in routes(topology, via_domains=("n02", "n00", "n01"), max_domains=5)
    }
    assert orders == set(permutations(["n00", "n01", "n02"]))


def test_ends_that_nothing_joins_have_no_route() -> None:
    topology = network([Link("a", "b"), Link("y", "z"), Link("x", "y")], hosts={"a": G, "z": G})
    assert routes(topology) == ()
    assert routes(topology, via_domains=("x",)) == ()
    back = candidate_routes(topology, "z:host", "a:host", Constraints(via_domains=("b",)))
    assert back == ()


def test_a_circuit_that_begins_at_a_link_does_not_leave_over_it() -> None:
    topology = network([Link("a", "b"), Link("b", "z"), Link("a", "z")], hosts={"a": G, "z": G})
    (route,) = candidate_routes(topology, "a:to-b", "z:host", Constraints())
    assert route.pairs == (("a:to-b", "a:to-z"), ("z:to-a", "z:host"))
    (route,) = candidate_routes(topology, "a:host", "z:to-a", Constraints())
    assert route.domains == ("a", "b", "z")
    (route,) = candidate_routes(topology, "a:to-b", "b:to-a", Constraints())
    assert route.domains == ("a", "z", "b")
