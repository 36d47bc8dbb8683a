"""A largest set of link-disjoint walks of least total cost: min-cost flow with unit capacities.

Successive shortest paths (Suurballe's idea for two, Bhandari's for more), guided by the shortest
ways to the end. Links are undirected: a walk that would use a link against another one cancels it
out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from substrate.flow import Arc, cheapest_flow, ways_of
from substrate.graph import INFINITE, Graph

Walk = tuple[int, ...]
"""Hops by number."""


def disjoint_walks(graph: Graph, start: int, end: int, most: int) -> list[Walk]:
    """At most ``most`` simple walks from ``start`` to another domain that share no link."""
    potential = list(graph.tree(end).cost)
    flow: set[int] = set()
    for _ in range(min(most, len(graph.ways[start]), len(graph.ways[end]))):
        walk = _augmenting(graph, flow, potential, start, end)
        if not walk:
            break
        for hop in walk:
            if graph.back[hop] in flow:
                flow.discard(graph.back[hop])
            else:
                flow.add(hop)
    return _walks(graph, flow, start, end)


def domain_disjoint_walks(graph: Graph, start: int, end: int, most: int) -> list[Walk]:
    """As ``disjoint_walks``, but of walks that share no domain besides the two ends."""
    # Every domain is entered at 2n and left at 2n + 1, once.
    hops: dict[tuple[int, int], list[int]] = {}

    def leaving(node: int) -> Iterator[Arc]:
        domain = node >> 1
        if node & 1 == 0:
            yield Arc(node, node + 1, most if domain in (start, end) else 1, 0)
            return
        for cost, there, hop in graph.ways[domain]:
            hops.setdefault((node, 2 * there), []).append(hop)
            yield Arc(node, 2 * there, 1, cost)

    flow = cheapest_flow(leaving, 2 * start, 2 * end, most)
    walks = []
    for way in ways_of(flow, 2 * start, 2 * end):
        arcs = [flow.arcs[i] for i in way.arcs if flow.arcs[i].tail & 1]
        walks.append(tuple(hops[arc.tail, arc.head].pop(0) for arc in arcs))
    return walks


def _augmenting(
    graph: Graph, flow: set[int], potential: list[int], start: int, end: int
) -> list[int]:
    """The cheapest walk in the residual graph, where used links cost minus what they cost.

    Empty when there is none. Dijkstra over reduced costs, which ``potential`` keeps from being
    negative: the cost from each domain to the end, or less. It is raised to what has been found.
    """
    ways, back = graph.ways, graph.back
    costs = {start: 0}
    via: dict[int, tuple[int, int]] = {}
    done: set[int] = set()
    queue = [(0, start)]
    while queue:
        cost, here = heapq.heappop(queue)
        if here in done:
            continue
        if here == end:
            break
        done.add(here)
        reached = cost - potential[here]
        for step, there, hop in ways[here]:
            if hop in flow or there in done or potential[there] >= INFINITE:
                continue
            further = reached + potential[there] + (-step if back[hop] in flow else step)
            if further < costs.get(there, INFINITE):
                costs[there] = further
                via[there] = (hop, here)
                heapq.heappush(queue, (further, there))
    else:
        return []
    for here in done:
        potential[here] += costs[end] - costs[here]
    walk, here = [], end
    while here != start:
        hop, here = via[here]
        walk.append(hop)
    return walk[::-1]


def _walks(graph: Graph, flow: set[int], start: int, end: int) -> list[Walk]:
    """Takes the flow apart. It has no cycle: costs are positive, and the flow is the cheapest."""
    leaving: dict[int, list[int]] = {}
    for hop in sorted(flow):
        leaving.setdefault(graph.to[graph.back[hop]], []).append(hop)
    walks = []
    for first in leaving.get(start, []):
        walk = [first]
        while graph.to[walk[-1]] != end:
            walk.append(leaving[graph.to[walk[-1]]].pop(0))
        walks.append(tuple(walk))
    return walks
