"""Embedding by rank, as the field compares itself with: small, and no better than published.

VNodes and hosts are ranked; the VNode of the highest rank gets the host of the highest rank that
has the CPU, and so on; then every VLink takes a shortest path that has the bandwidth, or the
request is refused.

GRC  global resource capacity (Gong et al., INFOCOM 2014): own CPU, and what links bring of others'
NRM  CPU times the bandwidth of all links of a node (Zhang et al., IEEE Access 2018)
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from embedding.network import Bools, Floats, Free, Ints, Network
from embedding.problem import Problem
from simulations.embedding.play import Placed

DAMPING = 0.85
ITERATIONS = 100
PATHS = 10
"""Shortest paths that are tried for a VLink."""
STEPS_MAX = 5000
"""Of the search for them: where there are fewer paths, it would look at the whole network."""

Rank = Callable[[Floats, Floats], Floats]
"""From CPU per node, and nodes × nodes of bandwidth: a rank per node."""


def grc(cpu: Floats, bandwidth: Floats) -> Floats:
    """Σ of own share of all CPU and of what neighbours pass on, in proportion to bandwidth."""
    own = cpu / max(float(cpu.sum()), 1e-9)
    flows = bandwidth / np.maximum(bandwidth.sum(axis=0), 1e-9)
    rank = own
    for _ in range(ITERATIONS):
        rank, before = (1 - DAMPING) * own + DAMPING * flows @ rank, rank
        if np.abs(rank - before).sum() < 1e-6:
            break
    return rank


def nrm(cpu: Floats, bandwidth: Floats) -> Floats:
    """CPU times bandwidth."""
    return np.asarray(cpu * bandwidth.sum(axis=1))


BASELINES: dict[str, Rank] = {"grc": grc, "nrm": nrm}


def embed_by_rank(problem: Problem, rank: Rank) -> Placed | None:
    """For requests whose VNodes are apart, over one resource of hosts."""
    network, free = problem.network, problem.free
    nodes = len(network.names)
    cpu = np.zeros(nodes)
    cpu[: network.hosts] = free.host[:, 0]
    hosts = rank(cpu, _matrix(nodes, network.ends, free.link))[: network.hosts]
    vnodes = rank(problem.need[:, 0], problem.weights)
    placed: Ints = np.full(problem.vnodes, -1, np.int64)
    open_: Bools = np.ones(network.hosts, bool)
    for v in np.argsort(-vnodes, kind="stable").tolist():
        fits = open_ & (free.host[:, 0] >= problem.need[v, 0])
        if not fits.any():
            return None
        placed[v] = int(np.argmax(np.where(fits, hosts, -np.inf)))
        open_[placed[v]] = False
    use = _shortest_paths(problem, placed)
    if use is None:
        return None
    host = np.zeros_like(free.host)
    host[placed] = problem.need
    return Placed(Free(host, use), proven=False)


def _matrix(nodes: int, ends: Ints, values: Floats) -> Floats:
    matrix = np.zeros((nodes, nodes))
    np.add.at(matrix, (ends[:, 0], ends[:, 1]), values)
    return np.asarray(matrix + matrix.T)


def _shortest_paths(problem: Problem, hosts: Ints) -> Floats | None:
    left = problem.free.link.copy()
    for k, (a, b) in enumerate(problem.ends.tolist()):
        bandwidth = float(problem.bandwidth[k])
        paths = _paths(problem.network, int(hosts[a]), int(hosts[b]))
        path = next((some for some in paths if (left[some] >= bandwidth).all()), None)
        if path is None:
            return None
        left[path] -= bandwidth
    return np.asarray(problem.free.link - left)


def _paths(network: Network, source: int, target: int) -> Iterator[list[int]]:
    """The links of the shortest paths, whatever is free there."""
    to_go = _hops_to(network, target)
    if source not in to_go:
        return
    queue: list[tuple[int, int, list[int], list[int]]] = [(to_go[source], 0, [], [source])]
    found = count = 0
    while queue and found < PATHS and count < STEPS_MAX:
        _, _, links, nodes = heapq.heappop(queue)
        if nodes[-1] == target:
            found += 1
            yield links
            continue
        for link, there in network.steps[nodes[-1]]:
            if there not in nodes:
                count += 1
                length = len(links) + 1 + to_go[there]
                heapq.heappush(queue, (length, count, [*links, link], [*nodes, there]))


def _hops_to(network: Network, target: int) -> dict[int, int]:
    hops, queue = {target: 0}, deque([target])
    while queue:
        here = queue.popleft()
        for _, there in network.steps[here]:
            if there not in hops:
                hops[there] = hops[here] + 1
                queue.append(there)
    return hops
