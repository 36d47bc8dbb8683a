"""Widening: the routes of a cheapest flow carry what the network can carry at all."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import networkx as nx
from hypothesis import given, strategies as st
from substrate_world import Link, ask, network

from substrate.filling import fill
from substrate.model import Constraints
from substrate.options import Supply
from substrate.routes import Route
from substrate.topology import Topology
from substrate.widening import WAYS_MAX, widening_routes

NAMES = "abcdez"
# Halves and thirds, which the optimum may need, are whole numbers of this.
UNIT = 12


@st.composite
def networks(draw: st.DrawFn) -> Topology:
    edges = draw(
        st.lists(
            st.tuples(
                st.sampled_from(list(combinations(NAMES, 2))),
                st.integers(1, 20),
                st.integers(0, 5),
            ),
            min_size=3,
            max_size=12,
        )
    )
    links = [
        Link(a, b, bps * UNIT, latency_us, tag=f".{i}")
        for i, ((a, b), bps, latency_us) in enumerate(edges)
    ]
    return network(links, hosts={"a": 1000 * UNIT, "z": 1000 * UNIT})


def limits_of(route: Route, topology: Topology) -> dict[str, int]:
    return {stp: topology.ports[stp].capacity_bps for pair in route.pairs for stp in pair}


def most_and_cost(topology: Topology, wanted: int) -> tuple[int, int]:
    """How much of ``wanted`` can flow from a to z, and the cost of a cheapest such flow."""
    graph: Any = nx.DiGraph()
    graph.add_edge("from", "a", capacity=wanted, weight=0)
    graph.add_node("z")
    for hop in topology.graph.hops:
        graph.add_edge(hop.from_domain, hop.from_stp, capacity=hop.capacity_bps, weight=hop.cost)
        graph.add_edge(hop.from_stp, hop.to_domain, capacity=hop.capacity_bps, weight=0)
    flow = nx.max_flow_min_cost(graph, "from", "z")
    return flow["from"]["a"], int(nx.cost_of_flow(graph, flow))


@given(networks(), st.integers(1, 60))
def test_its_routes_carry_as_much_as_the_network_can(topology: Topology, units: int) -> None:
    wanted = units * UNIT
    routes = widening_routes(ask(wanted), Supply(), topology)
    assert len(set(routes)) == len(routes) <= WAYS_MAX
    most, _ = most_and_cost(topology, wanted)
    assert sum(fill([limits_of(route, topology) for route in routes], wanted, 0)) == most


@given(networks(), st.integers(1, 60))
def test_where_no_two_share_a_port_they_are_the_cheapest_split(
    topology: Topology, units: int
) -> None:
    wanted = units * UNIT
    routes = widening_routes(ask(wanted), Supply(), topology)
    ports = [stp for route in routes for stp in limits_of(route, topology)]
    most, cost = most_and_cost(topology, wanted)
    if len(set(ports)) + 2 * (len(routes) - 1) != len(ports) or most < wanted:
        return
    # Each is full but the dearest: what a cheapest flow does with ways that share nothing.
    left, total = wanted, 0
    graph = topology.graph
    for price, room in sorted(
        (
            sum(graph.costs[graph.at[c.egress_stp]] for c in route.crossings[:-1]),
            min(limits_of(route, topology).values()),
        )
        for route in routes
    ):
        total += price * min(room, left)
        left -= min(room, left)
    assert total == cost


@given(networks(), st.sets(st.sampled_from("bcde"), max_size=2), st.data())
def test_no_route_crosses_what_is_down_or_avoided_or_gives_nothing(
    topology: Topology, down: set[str], data: st.DataObject
) -> None:
    pairs = [
        (one.stp, other.stp)
        for domain in topology.domains.values()
        for one in domain.ports
        for other in domain.ports
        if one is not other
    ]
    nothing = data.draw(st.sets(st.sampled_from(pairs)))
    supply = Supply(pair_bps=dict.fromkeys(nothing, 0), down=frozenset(down))
    avoided = data.draw(st.sets(st.sampled_from("bcde"), max_size=1))
    wish = ask(10 * UNIT, constraints=Constraints(avoid_domains=tuple(avoided)))
    for route in widening_routes(wish, supply, topology):
        assert not set(route.domains) & (down | avoided)
        assert len(set(route.domains)) == len(route.domains)
        assert not set(route.pairs) & nothing
        for one, other in zip(route.crossings, route.crossings[1:], strict=False):
            link = topology.link_at(one.egress_stp)
            assert link is not None
            assert link.other(one.egress_stp) == other.ingress_stp
