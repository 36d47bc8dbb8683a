"""The graph of links against networkx: shortest ways, also around what is closed or visited."""

from __future__ import annotations

from typing import Any

import networkx as nx
from hypothesis import given, strategies as st

from substrate.graph import INFINITE, TREES_MAX, Graph, Hop

NODES = 7
edges_of = st.lists(
    st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1), st.integers(1, 9)).filter(
        lambda edge: edge[0] != edge[1]
    ),
    max_size=14,
)
Edges = list[tuple[int, int, int]]


def graph_of(edges: Edges, nodes: int = NODES) -> Graph:
    """The n-th link joins the ports "domain:n"; its capacity is its cost."""
    hops = [
        Hop(f"{one:03}", f"{one:03}:{n}", f"{other:03}", f"{other:03}:{n}", cost, cost, cost)
        for n, (a, b, cost) in enumerate(edges)
        for one, other in ((a, b), (b, a))
    ]
    return Graph([f"{i:03}" for i in range(nodes)], hops)


def costs(edges: Edges, end: int, without: set[int]) -> dict[int, int]:
    graph: Any = nx.MultiGraph()
    graph.add_nodes_from(set(range(NODES)) - without)
    graph.add_weighted_edges_from(e for e in edges if not {e[0], e[1]} & without)
    found: Any = nx.single_source_dijkstra_path_length(graph, end)
    return dict(found)


@given(edges_of)
def test_a_tree_has_the_shortest_way_from_everywhere(edges: Edges) -> None:
    graph, expected = graph_of(edges), costs(edges, 0, set())
    tree = graph.tree(0)
    assert tree.cost == [expected.get(i, INFINITE) for i in range(NODES)]
    for here in expected:
        at, spent = here, 0
        while at != 0:
            spent += graph.costs[tree.hop[at]]
            assert graph.hops[tree.hop[at]].from_domain == graph.names[at]
            at = graph.to[tree.hop[at]]
        assert spent == tree.cost[here]


@given(edges_of)
def test_the_fewest_hops_are_the_cost_where_all_cost_the_same(edges: Edges) -> None:
    alike = [(a, b, 1) for a, b, _ in edges]
    assert graph_of(edges).fewest_hops(3) == graph_of(alike).tree(3).cost


@given(edges_of, st.sets(st.integers(2, NODES - 1)), st.integers(0, 40))
def test_around_what_was_visited_it_is_as_short_as_can_be(
    edges: Edges, visited: set[int], most: int
) -> None:
    expected = costs(edges, 0, visited).get(1, INFINITE)
    found = graph_of(edges).around(1, 0, {1, *visited}, most)
    assert found == (expected if expected <= most else INFINITE)


@given(edges_of, st.sets(st.integers(0, NODES - 1)), st.sets(st.integers(0, 13)), st.integers(0, 9))
def test_without_some_links_and_domains_it_is_the_graph_of_the_rest(
    edges: Edges, domains: set[int], closed: set[int], least: int
) -> None:
    stps = [f"{edge[0]:03}:{n}" for n, edge in enumerate(edges) if n in closed]
    less = graph_of(edges).without([f"{i:03}" for i in domains], stps, least)
    left = {
        n
        for n, (a, b, cost) in enumerate(edges)
        if n not in closed and cost >= least and not {a, b} & domains
    }
    ways = {hop.from_stp for own in less.ways for hop in (less.hops[arc.hop] for arc in own)}
    assert ways == {f"{end:03}:{n}" for n in left for end in edges[n][:2]}
    kept = [edge for n, edge in enumerate(edges) if n in left]
    assert less.tree(0).cost == graph_of(kept).tree(0).cost


def test_trees_of_many_destinations_do_not_pile_up() -> None:
    graph = graph_of([(i, i + 1, 1) for i in range(TREES_MAX + 9)], TREES_MAX + 10)
    trees = [graph.tree(end) for end in range(TREES_MAX + 10)]
    assert len(graph._trees) == TREES_MAX
    assert graph.tree(0) == trees[0]
