"""The cheapest split costs what networkx finds, and its ways add up to it."""

from __future__ import annotations

from collections import Counter

import networkx as nx
import pytest
from hypothesis import given, settings, strategies as st

from substrate.flow import Arc, Flow, cheapest_flow, ways_of

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


def flow_over(arcs: list[Arc], amount: int, *, guided: bool = False) -> Flow:
    """From 0 to 1; ``guided`` by the least cost from each node to 1, where there is a way."""
    to_go = {1: 0}
    for arc in arcs * len(arcs) if guided else ():
        if arc.head in to_go:
            further = to_go[arc.head] + arc.cost
            to_go[arc.tail] = min(further, to_go.get(arc.tail, further))
    return cheapest_flow(
        lambda node: [arc for arc in arcs if arc.tail == node],
        0,
        1,
        amount,
        to_go=lambda node: to_go.get(node, 10**6) if guided else 0,
    )


@settings(max_examples=200, deadline=None)
@given(ARCS, st.integers(1, 20), st.booleans())
def test_it_carries_as_much_as_fits_at_the_least_cost(
    arcs: list[Arc], amount: int, guided: bool
) -> None:
    flow = flow_over(arcs, amount, guided=guided)
    balance: Counter[int] = Counter()
    for arc, carried in zip(flow.arcs, flow.amounts, strict=True):
        assert 0 <= carried <= arc.capacity
        balance[arc.tail] -= carried
        balance[arc.head] += carried
    assert balance[0] == -balance[1]
    assert all(left == 0 for node, left in balance.items() if node not in (0, 1))
    cost = sum(arc.cost * bps for arc, bps in zip(flow.arcs, flow.amounts, strict=True))
    assert (balance[1], cost) == oracle(arcs, amount)


@settings(max_examples=200, deadline=None)
@given(ARCS, st.integers(1, 20), st.booleans())
def test_its_ways_lead_from_end_to_end_and_add_up(
    arcs: list[Arc], amount: int, guided: bool
) -> None:
    flow = flow_over(arcs, amount, guided=guided)
    ways = ways_of(flow, 0, 1)
    used: Counter[int] = Counter()
    for way in ways:
        nodes = [0, *(flow.arcs[i].head for i in way.arcs)]
        assert [flow.arcs[i].tail for i in way.arcs] == nodes[:-1]
        assert nodes[-1] == 1
        assert len(set(nodes)) == len(nodes)
        assert way.amount > 0
        for i in way.arcs:
            used[i] += way.amount
    assert all(used[i] <= carried for i, carried in enumerate(flow.amounts))
    assert sum(way.amount for way in ways) == oracle(arcs, amount)[0]
    assert len(ways) <= len(arcs)


def test_amounts_of_any_size_stay_exact() -> None:
    huge = 10**18 + 1
    arcs = [Arc(0, 1, huge, 10**9), Arc(0, 2, huge, 1), Arc(2, 1, 1, 1)]
    flow = flow_over(arcs, huge)
    assert dict(zip(flow.arcs, flow.amounts, strict=True)) == dict(
        zip(arcs, [huge - 1, 1, 1], strict=True)
    )


@pytest.mark.parametrize("amount", [0, 5])
def test_where_there_is_no_way_nothing_flows(amount: int) -> None:
    flow = flow_over([Arc(0, 2, 5, 1), Arc(1, 2, 5, 1)], amount)
    assert not any(flow.amounts)
    assert ways_of(flow, 0, 1) == []
