"""Link-disjoint walks against networkx: as many as there are, at the least total cost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import networkx as nx
from hypothesis import given, strategies as st

from substrate.disjoint import disjoint_walks

Edge = tuple[int, int, int]
edges_of = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 9)).filter(
        lambda edge: edge[0] != edge[1]
    ),
    max_size=16,
)


@dataclass(frozen=True)
class Way:
    from_domain: str
    from_stp: str
    to_domain: str
    to_stp: str
    cost: int


def graph_of(edges: list[Edge]) -> dict[str, list[Way]]:
    graph: dict[str, list[Way]] = {str(i): [] for i in range(7)}
    for number, (a, b, cost) in enumerate(edges):
        for one, other in ((str(a), str(b)), (str(b), str(a))):
            graph[one].append(Way(one, f"{one}:{number}", other, f"{other}:{number}", cost))
    return graph


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
    walks = disjoint_walks(graph_of(edges), "0", "6", most)
    total = sum(way.cost for walk in walks for way in walk)
    assert (len(walks), total) == cheapest(edges, most)


@given(edges_of)
def test_walks_share_no_link_and_cross_no_domain_twice(edges: list[Edge]) -> None:
    walks = disjoint_walks(graph_of(edges), "0", "6", 9)
    links = [way.from_stp.partition(":")[2] for walk in walks for way in walk]
    assert len(links) == len(set(links))
    for walk in walks:
        domains = ["0", *(way.to_domain for way in walk)]
        assert domains[-1] == "6"
        assert len(domains) == len(set(domains))
        assert all(a.to_domain == b.from_domain for a, b in pairwise(walk))


def test_the_shortest_walk_gives_way_where_it_blocks_two_others() -> None:
    edges = [(0, 1, 1), (1, 2, 1), (2, 6, 1), (0, 2, 3), (1, 6, 3)]
    walks = disjoint_walks(graph_of(edges), "0", "6", 2)
    assert sorted([way.to_domain for way in walk] for walk in walks) == [["1", "6"], ["2", "6"]]
