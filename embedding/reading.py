"""Between solutions and columns of a program: what a solver begins with, and what it found."""

from __future__ import annotations

from collections import deque

import numpy as np

from embedding.first import Solution, routed
from embedding.network import Floats, Ints
from embedding.objectives import Terms, peak_share, value
from embedding.problem import Problem
from embedding.program import Commodity, EmbeddingProgram
from embedding.routing import Parts, link_use, route
from embedding.rules import joint_values

FLOW_MIN = 1e-7
"""Of the greatest VLink: less is noise."""


def start_values(problem: Problem, made: EmbeddingProgram, solution: Solution) -> Floats | None:
    """A value per column for a known solution; None if the program has no columns for it."""
    values = np.zeros(len(made.program.costs))
    columns = made.x[np.arange(problem.vnodes), solution.hosts]
    if (columns < 0).any():
        return None
    values[columns] = 1.0
    for host in np.unique(solution.hosts):
        if made.on[host] >= 0:
            values[made.on[host]] = 1.0
    if made.peak >= 0:
        values[made.peak] = peak_share(problem, solution.hosts, solution.use)
    for commodity in made.commodities:
        whole = float(problem.bandwidth[list(commodity.vlinks)].sum())
        scale = whole if commodity.whole else made.unit
        for k in commodity.vlinks:
            forward = int(problem.ends[k, 0]) == commodity.source
            for links, bandwidth in solution.parts[k]:
                at = int(solution.hosts[problem.ends[k, 0]])
                for link in links:
                    a, b = problem.network.ends[link].tolist()
                    along = (at == a) == forward
                    at = b if at == a else a
                    column = (commodity.along if along else commodity.against)[link]
                    values[column] += bandwidth / scale
    joint_values(made.joined, values)
    return values


def solution_of(
    problem: Problem, terms: Terms, made: EmbeddingProgram, values: Floats
) -> Solution | None:
    """Paths for the placement that was found: the router's, or those of the flow."""
    hosts = made.hosts(values)
    found = routed(problem, terms, hosts)
    flow = _by_flow(problem, terms, made, values, hosts)
    known = [some for some in (found, flow) if some is not None]
    return min(known, key=lambda some: some.value) if known else None


def _by_flow(
    problem: Problem, terms: Terms, made: EmbeddingProgram, values: Floats, hosts: Ints
) -> Solution | None:
    """VLinks that may be split, or were not, go as the flow does, the others where is room left."""
    parts: list[Parts] = [()] * len(problem.ends)
    done: set[int] = set()
    for commodity in made.commodities:
        arcs = _arcs(problem, commodity, values)
        for k in commodity.vlinks:
            if commodity.whole or problem.splittable[k]:
                parts[k] = _taken_apart(problem, commodity, k, arcs, hosts, made.unit)
                done.add(k)
    rest = [k for k in range(len(problem.ends)) if k not in done]
    room = problem.free.link - link_use(problem, parts)
    routes = route(problem, hosts, terms.link, room, only=rest)
    if routes is None:
        return None
    for k in rest:
        parts[k] = routes[k]
    use = link_use(problem, parts)
    return Solution(hosts, tuple(parts), use, value(problem, terms, hosts, use))


Arcs = dict[tuple[int, int, int], float]
"""Flow by (from, link, to)."""


def _arcs(problem: Problem, commodity: Commodity, values: Floats) -> Arcs:
    arcs: Arcs = {}
    for link, (a, b) in enumerate(problem.network.ends.tolist()):
        net = float(values[commodity.along[link]] - values[commodity.against[link]])
        if abs(net) > FLOW_MIN:
            arcs[(a, link, b) if net > 0 else (b, link, a)] = abs(net)
    return arcs


def _taken_apart(
    problem: Problem, commodity: Commodity, k: int, arcs: Arcs, hosts: Ints, unit: float
) -> Parts:
    """One VLink's shares, taken out of the flow of its commodity."""
    a, b = problem.ends[k].tolist()
    target = b if a == commodity.source else a
    scale = float(problem.bandwidth[k]) if commodity.whole else unit
    rest, parts = float(problem.bandwidth[k]) / scale, []
    while rest > FLOW_MIN:
        walk = _walk(arcs, int(hosts[commodity.source]), int(hosts[target]))
        if not walk:
            break
        amount = min(rest, *(arcs[arc] for arc in walk))
        for arc in walk:
            arcs[arc] -= amount
            if arcs[arc] <= FLOW_MIN:
                del arcs[arc]
        rest -= amount
        links = tuple(link for _, link, _ in walk)
        parts.append((links if a == commodity.source else links[::-1], amount * scale))
    if parts and rest > 0:
        parts[-1] = (parts[-1][0], parts[-1][1] + rest * scale)
    return tuple(parts)


def _walk(arcs: Arcs, source: int, target: int) -> list[tuple[int, int, int]]:
    """Arcs of a shortest way along the flow; none if there is no way."""
    leaving: dict[int, list[tuple[int, int, int]]] = {}
    for arc in arcs:
        leaving.setdefault(arc[0], []).append(arc)
    via: dict[int, tuple[int, int, int]] = {}
    queue = deque([source])
    while queue and target not in via:
        for arc in leaving.get(queue.popleft(), ()):
            if arc[2] not in via and arc[2] != source:
                via[arc[2]] = arc
                queue.append(arc[2])
    walk: list[tuple[int, int, int]] = []
    node = target
    while node != source and node in via:
        walk.append(via[node])
        node = via[node][0]
    return walk[::-1] if node == source else []
