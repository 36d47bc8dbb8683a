"""The cheapest split costs what networkx finds, and its ways add up to it."""

from __future__ import annotations

from collections import Counter

import networkx as nx
import pytest
from hypothesis import given, settings, strategies as st

from substrate.flow import Arc, cheapest_flow, ways_of

NODES = st.integers(0, 6)
ARCS = st.lists(
    st.builds(Arc, NODES, NODES, st.integers(0, 9), st.integers(0, 5)).filter(
        lambda arc: arc.tail != arc.head
    ),
    max_size=25,
)


def oracle(arcs: list[Arc], amount: int) -> tuple[int, int]:
    """How much of ``amount`` can be carried from 0 to 1, and what that costs at least."""
    graph: nx.DiGraph[object] = nx.DiGraph()
    graph.add_nodes_from(["from", 0, 1])
    graph.add_edge("from", 0, capacity=amount, weight=0)
    # Parallel arcs need nodes of their own.
    for i, arc in enumerate(arcs):
        graph.add_edge(arc.tail, ("arc", i), capacity=arc.capacity, weight=arc.cost)
        graph.add_edge(("arc", i), arc.head, capacity=arc.capacity, weight=0)
    flow = nx.max_flow_min_cost(graph, "from", 1)
    return flow["from"][0], int(nx.cost_of_flow(graph, flow))


@settings(max_examples=200, deadline=None)
@given(ARCS, st.integers(1, 20))
def test_it_carries_as_much_as_fits_at_the_least_cost(arcs: list[Arc], amount: int) -> None:
    flows = cheapest_flow(arcs, 0, 1, amount)
    balance: Counter[object] = Counter()
    for arc, flow in zip(arcs, flows, strict=True):
        assert 0 <= flow <= arc.capacity
        balance[arc.tail] -= flow
        balance[arc.head] += flow
    carried = balance[1]
    assert balance[0] == -carried
    assert all(left == 0 for node, left in balance.items() if node not in (0, 1))
    cost = sum(arc.cost * flow for arc, flow in zip(arcs, flows, strict=True))
    assert (carried, cost) == oracle(arcs, amount)


@settings(max_examples=200, deadline=None)
@given(ARCS, st.integers(1, 20))
def test_its_ways_lead_from_end_to_end_and_add_up(arcs: list[Arc], amount: int) -> None:
    flows = cheapest_flow(arcs, 0, 1, amount)
    ways = ways_of(arcs, flows, 0, 1)
    used: Counter[int] = Counter()
    for way in ways:
        nodes = [0, *(arcs[i].head for i in way.arcs)]
        assert [arcs[i].tail for i in way.arcs] == nodes[:-1]
        assert nodes[-1] == 1
        assert len(set(nodes)) == len(nodes)
        assert way.amount > 0
        for i in way.arcs:
            used[i] += way.amount
    assert all(used[i] <= flow for i, flow in enumerate(flows))
    carried = sum(f for a, f in zip(arcs, flows, strict=True) if a.head == 1)
    carried -= sum(f for a, f in zip(arcs, flows, strict=True) if a.tail == 1)
    assert sum(way.amount for way in ways) == carried
    assert len(ways) <= len(arcs)


def test_amounts_of_any_size_stay_exact() -> None:
    huge = 10**18 + 1
    arcs = [Arc("a", "b", huge, 10**9), Arc("a", "c", huge, 1), Arc("c", "b", 1, 1)]
    assert cheapest_flow(arcs, "a", "b", huge) == [huge - 1, 1, 1]


@pytest.mark.parametrize("amount", [0, 5])
def test_where_there_is_no_way_nothing_flows(amount: int) -> None:
    arcs = [Arc("a", "c", 5, 1), Arc("b", "c", 5, 1)]
    assert cheapest_flow(arcs, "a", "b", amount) == [0, 0]
    assert ways_of(arcs, [0, 0], "a", "b") == []
