"""Circuits that survive the loss of paths: disjoint, and none carries more than may be lost."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings, strategies as st
from maps import build, criteria

from substrate.disjoint import domain_disjoint_walks
from substrate.graph import Graph, Hop
from substrate.model import Disjointness, Refusal, RefusalKind
from substrate.options import Supply
from substrate.routes import candidate_routes
from substrate.splitting import Shares, compose
from substrate.topology import Topology

LINK, DOMAIN = Disjointness.LINK, Disjointness.DOMAIN
edges_of = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 9)).filter(
        lambda edge: edge[0] != edge[1]
    ),
    max_size=16,
)


def composed(topology: Topology, bandwidth_bps: int, **limits: Any) -> Shares | Refusal:
    asked = criteria("a:user", "z:user", bandwidth_bps, **limits)
    routes = candidate_routes(topology, asked.source, asked.destination, asked.constraints)
    # What is known of ways through domains does not limit: the ports do.
    pairs = {pair: 10**6 for route in routes for pair in route.pairs}
    return compose(asked, routes, Supply(pair_bps=pairs), topology)


def ladder(*capacities: int) -> Topology:
    edges = [(end, f"m{i}", 1 + i) for i in range(len(capacities)) for end in ("a", "z")]
    doubled = [capacity for capacity in capacities for _ in "az"]
    return build(edges, ["a", "z"], capacities=doubled, exchanges=["a", "z"])


def test_no_path_carries_more_than_may_be_lost() -> None:
    shares = composed(ladder(100, 100, 100), 90, survive=1, remaining_bps=60)
    assert not isinstance(shares, Refusal)
    assert sorted(share.bandwidth_bps for share in shares) == [30, 30, 30]


def test_one_path_that_carries_it_all_is_not_enough() -> None:
    assert not isinstance(composed(ladder(100), 90), Refusal)
    refused = composed(ladder(100), 90, survive=1, remaining_bps=45)
    assert isinstance(refused, Refusal)
    assert refused.kind is RefusalKind.BANDWIDTH
    assert refused.available_bps == 45
    assert "enough to be left" in refused.reason


def test_two_losses_need_smaller_shares() -> None:
    shares = composed(ladder(100, 100, 100, 100), 80, survive=2, remaining_bps=40)
    assert not isinstance(shares, Refusal)
    assert sorted(share.bandwidth_bps for share in shares) == [20, 20, 20, 20]


def test_paths_through_one_domain_share_it_although_they_share_no_link() -> None:
    edges = [("a", "m", 1), ("a", "m", 1), ("m", "z", 1), ("m", "z", 1)]
    topology = build(edges, ["a", "z"], exchanges=["a", "z", "m"])
    assert not isinstance(composed(topology, 100, survive=1, remaining_bps=50), Refusal)
    refused = composed(topology, 100, survive=1, remaining_bps=50, disjoint=DOMAIN)
    assert isinstance(refused, Refusal)
    assert "no two may share a domain" in refused.reason


@pytest.mark.parametrize(
    ("edges", "shared", "where"),
    [
        ([("a", "m", 1), ("m", "z", 1), ("m", "z", 1)], LINK, "the link at a:"),
        ([("a", "m", 1), ("a", "m", 1), ("m", "z", 1), ("m", "z", 1)], DOMAIN, "the domain m,"),
    ],
)
def test_what_every_path_crosses_is_named_where_none_may_be_lost(
    edges: list[tuple[str, str, int]], shared: Disjointness, where: str
) -> None:
    topology = build(edges, ["a", "z"], exchanges=["a", "z", "m"])
    refused = composed(topology, 100, survive=1, remaining_bps=50, disjoint=shared)
    assert isinstance(refused, Refusal)
    assert refused.kind is RefusalKind.BANDWIDTH
    assert f"every path with room crosses {where}" in refused.reason
    assert refused.resource.partition(":")[0] == refused.domain == where.split()[-1][0]


@settings(max_examples=60, deadline=None)
@given(edges_of, st.integers(2, 60), st.integers(1, 3), st.sampled_from([LINK, DOMAIN]), st.data())
def test_whatever_paths_are_lost_enough_remains(
    edges: list[tuple[int, int, int]],
    bandwidth_bps: int,
    survive: int,
    disjoint: Disjointness,
    data: st.DataObject,
) -> None:
    names = "abcdefz"
    named = [(names[a], names[b], cost) for a, b, cost in edges]
    remaining_bps = data.draw(st.integers(1, bandwidth_bps - 1))
    topology = build(named, ["a", "z"], capacity=30, exchanges=names)
    shares = composed(
        topology,
        bandwidth_bps,
        survive=survive,
        remaining_bps=remaining_bps,
        disjoint=disjoint,
        max_paths=8,
    )
    if isinstance(shares, Refusal):
        return
    amounts = [share.bandwidth_bps for share in shares]
    assert sum(amounts) == bandwidth_bps
    assert sum(sorted(amounts)[:-survive]) >= remaining_bps
    for one, other in combinations(shares, 2):
        assert not one.route.link_stps & other.route.link_stps
        if disjoint is DOMAIN:
            assert not set(one.route.domains[1:-1]) & set(other.route.domains[1:-1])


@settings(deadline=None)
@given(edges_of, st.integers(1, 6))
def test_as_many_domain_disjoint_walks_as_there_are(
    edges: list[tuple[int, int, int]], most: int
) -> None:
    hops = [
        Hop(str(one), f"{one}:{number}", str(other), f"{other}:{number}", 1, cost, cost)
        for number, (a, b, cost) in enumerate(edges)
        for one, other in ((a, b), (b, a))
    ]
    graph = Graph([str(i) for i in range(7)], hops)
    walks = domain_disjoint_walks(graph, 0, 6, most)
    assert len(walks) == min(most, _node_disjoint(edges))
    inner = [graph.to[hop] for walk in walks for hop in walk if graph.to[hop] != 6]
    assert len(inner) == len(set(inner))
    links = [graph.hops[hop].from_stp.partition(":")[2] for walk in walks for hop in walk]
    assert len(links) == len(set(links))
    for walk in walks:
        assert graph.hops[walk[0]].from_domain == "0"
        assert graph.hops[walk[-1]].to_domain == "6"


def _node_disjoint(edges: list[tuple[int, int, int]]) -> int:
    graph: Any = nx.DiGraph()
    graph.add_nodes_from([(0, "out"), (6, "in")])
    for node in range(1, 6):
        graph.add_edge((node, "in"), (node, "out"), capacity=1)
    for a, b, _ in edges:
        for one, other in ((a, b), (b, a)):
            capacity = graph.get_edge_data((one, "out"), (other, "in"), {"capacity": 0})["capacity"]
            graph.add_edge((one, "out"), (other, "in"), capacity=capacity + 1)
    return int(nx.maximum_flow_value(graph, (0, "out"), (6, "in")))


@pytest.mark.parametrize("disjoint", [LINK, DOMAIN])
def test_the_straight_link_and_a_way_around_share_nothing(disjoint: Disjointness) -> None:
    topology = build(
        [("a", "z", 1), ("a", "m", 1), ("m", "z", 1)], ["a", "z"], exchanges=["a", "z"]
    )
    shares = composed(topology, 100, survive=1, remaining_bps=50, disjoint=disjoint)
    assert not isinstance(shares, Refusal)
    assert len(shares) == 2
