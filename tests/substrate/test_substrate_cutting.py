"""Least cuts against networkx: as narrow as can be, and of all such the first from the source."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import networkx as nx
from hypothesis import given, settings, strategies as st
from networkx.algorithms.flow import edmonds_karp
from substrate_world import Link, ask, network

from substrate.cutting import Cut, least_cut
from substrate.model import domain_of
from substrate.options import Pair, Supply
from substrate.topology import Topology
from substrate.widening import Network

NAMES = "abcdefz"
ENOUGH = 10**6
Problem = tuple[Topology, dict[Pair, int]]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Links between a, z and others, twice between some; what a few domains tell of some ways."""
    edges = st.tuples(st.sampled_from(list(combinations(NAMES, 2))), st.integers(0, 9))
    drawn = draw(st.lists(edges, min_size=4, max_size=16))
    links = [Link(a, b, bps, tag=f".{i}") for i, ((a, b), bps) in enumerate(drawn)]
    topology = network(links, hosts={"a": ENOUGH, "z": ENOUGH})
    told: dict[Pair, int] = {}
    ports = [port.stp for domain in topology.domains.values() for port in domain.ports]
    for ingress in draw(st.sets(st.sampled_from(ports), max_size=6)):
        egresses = [stp for stp in ports if domain_of(stp) == domain_of(ingress) != stp]
        for egress in egresses:
            told[ingress, egress] = draw(st.integers(0, 9))
    return topology, told


def network_of(topology: Topology, told: dict[Pair, int], wanted: int) -> Network:
    return Network(ask(wanted), Supply(pair_bps=told), topology, set())


def first_cut(topology: Topology, told: dict[Pair, int]) -> tuple[int, set[Any]]:
    """The most that can flow, and what of the places is full between what more can be brought to
    and what it cannot."""
    graph: Any = nx.DiGraph()
    graph.add_edge("from", "in a:host", capacity=ENOUGH)
    graph.add_edge("out z:host", "to", capacity=ENOUGH)
    hops = [hop for hop in topology.graph.hops if hop.to_domain != "a" and hop.from_domain != "z"]
    for hop in hops:
        graph.add_edge(
            f"out {hop.from_stp}", f"in {hop.to_stp}", capacity=hop.capacity_bps, place=hop
        )
    # Nothing leads back to the source's domain, or on from the sink's.
    exits = ["z:host", *(hop.from_stp for hop in hops)]
    for ingress in [port.stp for domain in topology.domains.values() for port in domain.ports]:
        for egress in exits:
            if ingress != egress and domain_of(ingress) == domain_of(egress):
                bps = told.get((ingress, egress), ENOUGH)
                graph.add_edge(f"in {ingress}", f"out {egress}", capacity=bps)
    residual = edmonds_karp(graph, "from", "to")
    open_arcs = [(u, v) for u, v, arc in residual.edges(data=True) if arc["flow"] < arc["capacity"]]
    reached = {"from", *nx.descendants(nx.DiGraph([*open_arcs, ("from", "from")]), "from")}
    full: set[Any] = set()
    for tail, head, arc in graph.edges(data=True):
        if tail in reached and head not in reached:
            ends = tail.partition(" ")[2], head.partition(" ")[2]
            full.add(frozenset(ends) if "place" in arc else ends)
    return int(residual.graph["flow_value"]), full


def places_of(cut: Cut, topology: Topology) -> set[Any]:
    """A link by both its ends."""
    found: set[Any] = set()
    for place, _ in cut:
        remote = topology.ports[place].remote_stp if isinstance(place, str) else None
        found.add(frozenset((place, remote)) if remote else place)
    return found


@settings(max_examples=300, deadline=None)
@given(problems(), st.integers(1, 40))
def test_it_is_least_and_the_first_from_the_source(problem: Problem, wanted: int) -> None:
    topology, told = problem
    if not {"a", "z"} <= set(topology.domains):
        return
    most, full = first_cut(topology, told)
    found = least_cut(network_of(topology, told, wanted), wanted)
    if most >= wanted:
        assert found is None
        return
    assert found is not None
    assert sum(bps for _, bps in found) == most
    assert places_of(found, topology) == full


def test_of_two_places_alike_the_first_is_told() -> None:
    links = [Link("a", "b", 5), Link("b", "c", 5), Link("c", "z", 9)]
    cut = least_cut(network_of(network(links, hosts={"a": 9, "z": 9}), {}, 6), 6)
    assert cut == [("a:to-b", 5)]


def test_what_turns_back_is_seen_where_a_domain_tells_nothing() -> None:
    # From b one gets to z only over the link that leads to b from c, which tells nothing.
    links = [Link("a", "b", 9), Link("b", "c", 9, tag=".1"), Link("b", "c", 9, tag=".2")]
    links += [Link("b", "z", 4)]
    topology = network(links, hosts={"a": 9, "z": 9})
    told = {("b:to-a", "b:to-z"): 0, ("b:to-a", "b:to-c.1"): 9, ("b:to-a", "b:to-c.2"): 9}
    cut = least_cut(network_of(topology, told, 6), 6)
    assert cut == [("b:to-z", 4)]
