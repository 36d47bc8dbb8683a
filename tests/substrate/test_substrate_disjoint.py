"""Link-disjoint walks against networkx: as many as there are, at the least total cost."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import networkx as nx
from hypothesis import given, strategies as st

from substrate.disjoint import disjoint_walks
from substrate.graph import Graph, Hop

Edge = tuple[int, int, int]
edges_of = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 9)).filter(
        lambda edge: edge[0] != edge[1]
    ),
    max_size=16,
)


def walks_of(edges: list[Edge], most: int) -> list[list[Hop]]:
    """From 0 to 6."""
    hops = [
        Hop(str(one), f"{one}:{number}", str(other), f"{other}:{number}", 1, cost, cost)
        for number, (a, b, cost) in enumerate(edges)
        for one, other in ((a, b), (b, a))
    ]
    graph = Graph([str(i) for i in range(7)], hops)
    return [[graph.hops[i] for i in walk] for walk in disjoint_walks(graph, 0, 6, most)]


def cheapest(edges: list[Edge], most: int) -> tuple[int, int]:
    """(number of walks, total cost) by a minimum-cost flow with a node amid each arc."""
    graph: Any = nx.DiGraph()
    graph.add_nodes_from(["0", "6"])
    for number, (a, b, cost) in enumerate(edges):
        for one, other in ((a, b), (b, a)):
            middle = f"{number}{one}"
            graph.add_edge(str(one), middle, capacity=1, weight=cost)
            graph.add_edge(middle, str(other), capacity=1, weight=0)
    graph.add_edge("start", "0", capacity=most, weight=0)
    flow = nx.max_flow_min_cost(graph, "start", "6")
    return sum(flow["start"].values()), int(nx.cost_of_flow(graph, flow))


@given(edges_of, st.integers(1, 6))
def test_as_many_walks_as_the_flow_allows_and_none_cheaper(edges: list[Edge], most: int) -> None:
    walks = walks_of(edges, most)
    total = sum(hop.cost for walk in walks for hop in walk)
    assert (len(walks), total) == cheapest(edges, most)


@given(edges_of)
def test_walks_share_no_link_and_cross_no_domain_twice(edges: list[Edge]) -> None:
    walks = walks_of(edges, 9)
    links = [hop.from_stp.partition(":")[2] for walk in walks for hop in walk]
    assert len(links) == len(set(links))
    for walk in walks:
        domains = ["0", *(hop.to_domain for hop in walk)]
        assert domains[-1] == "6"
        assert len(domains) == len(set(domains))
        assert all(a.to_domain == b.from_domain for a, b in pairwise(walk))


def test_the_shortest_walk_gives_way_where_it_blocks_two_others() -> None:
    edges = [(0, 1, 1), (1, 2, 1), (2, 6, 1), (0, 2, 3), (1, 6, 3)]
    walks = walks_of(edges, 2)
    assert sorted([hop.to_domain for hop in walk] for walk in walks) == [["1", "6"], ["2", "6"]]
