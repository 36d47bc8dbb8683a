"""Scenarios at random: Poisson arrivals of random requests on a substrate.

Amounts are those that simulators of this field share: hosts of 50 to 100 units of CPU, links of 50
to 100 units of bandwidth; requests of 2 to 10 VNodes with 0 to 20 units each, every pair joined
with probability 1/2 by 0 to 50 units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random
from statistics import median

from embedding.model import Host, Link, Request, Substrate
from runtime.settings import SettingsError
from simulations.embedding.scenario import CPU, NODES_MAX, Arrival, Scenario, graph_request
from simulations.loaded.world import read_world
from simulations.schedules import dice

WAXMAN_NODES = 100
WAXMAN_ALPHA, WAXMAN_BETA = 0.5, 0.2
HOST_CPU, LINK_BANDWIDTH = (50, 100), (50, 100)
VNODE_CPU, VLINK_BANDWIDTH = (0, 20), (0, 50)
JOINED = 0.5
FAT_TREE = "fat-tree-"
FAT_TREE_MAX = 10


@dataclass(frozen=True, slots=True)
class Demand:
    """``rate``: arrivals per unit of time; ``lifetime``: mean; ``vnodes``: fewest and most."""

    requests: int = 1000
    rate: float = 0.14
    lifetime: float = 500.0
    vnodes: tuple[int, int] = (2, 10)


def draw_scenario(substrate: str, demand: Demand, seed: int, run: int) -> Scenario:
    """The same for the same seed and run. ``substrate``: as :func:`draw_substrate` takes it."""
    random = dice(f"embedding/{substrate}", seed, run)
    drawn = draw_substrate(substrate, random)
    time, arrivals = 0.0, []
    for _ in range(demand.requests):
        time += random.expovariate(demand.rate)
        lifetime = random.expovariate(1 / demand.lifetime) + 1e-9
        arrivals.append(Arrival(draw_request(random, demand.vnodes), time, lifetime))
    name = Path(substrate).stem if substrate.endswith(".json") else substrate
    return Scenario(name, drawn, tuple(arrivals))


def draw_substrate(name: str, random: Random) -> Substrate:
    """``waxman``, ``fat-tree-K`` for an even K, or the path of a published topology.

    Raises SettingsError.
    """
    if name == "waxman":
        return _waxman(random)
    if name.startswith(FAT_TREE):
        size = name.removeprefix(FAT_TREE)
        if not size.isdecimal() or int(size) % 2 or not 2 <= int(size) <= FAT_TREE_MAX:
            raise SettingsError(
                f"substrate: given '{name}', possible: {FAT_TREE}K, K even, 2 to {FAT_TREE_MAX}"
            )
        return fat_tree(int(size), random)
    return _published(Path(name), random)


def _waxman(random: Random) -> Substrate:
    """Nodes in a square, joined the rarer the further apart (Waxman, 1988); in one piece."""
    places = [(random.random(), random.random()) for _ in range(WAXMAN_NODES)]
    pairs = list(combinations(range(WAXMAN_NODES), 2))
    longest = max(math.dist(places[a], places[b]) for a, b in pairs)
    joined = [
        (a, b)
        for a, b in pairs
        if random.random()
        < WAXMAN_ALPHA * math.exp(-math.dist(places[a], places[b]) / (WAXMAN_BETA * longest))
    ]
    piece = list(range(WAXMAN_NODES))
    for a, b in [*joined, *sorted(pairs, key=lambda pair: math.dist(*(places[i] for i in pair)))]:
        if piece[a] != piece[b]:
            if (a, b) not in joined:
                joined.append((a, b))
            piece = [piece[a] if mark == piece[b] else mark for mark in piece]
    links = tuple(_link(f"n{a}", f"n{b}", random) for a, b in joined)
    return Substrate(tuple(_host(f"n{i}", random) for i in range(WAXMAN_NODES)), links)


def fat_tree(size: int, random: Random) -> Substrate:
    """``size`` pods of ``size``/2 edge switches with as many hosts each (Al-Fares et al., 2008)."""
    half = range(size // 2)
    hosts, links = [], []
    switches = [f"core{i}-{j}" for i in half for j in half]
    for pod in range(size):
        for i in half:
            switches += [f"aggregation{pod}-{i}", f"edge{pod}-{i}"]
            links += [_link(f"core{i}-{j}", f"aggregation{pod}-{i}", random) for j in half]
            links += [_link(f"aggregation{pod}-{i}", f"edge{pod}-{j}", random) for j in half]
            for j in half:
                hosts.append(_host(f"host{pod}-{i}-{j}", random))
                links.append(_link(f"edge{pod}-{i}", f"host{pod}-{i}-{j}", random))
    return Substrate(tuple(hosts), tuple(links), tuple(switches))


def _published(file: Path, random: Random) -> Substrate:
    """Every domain of a topology a host; the median link has the mean bandwidth of drawn ones."""
    world = read_world(file)
    if len(world.nodes) > NODES_MAX:
        raise SettingsError(f"{file}: has {len(world.nodes)} domains, possible: {NODES_MAX}")
    unit = sum(LINK_BANDWIDTH) / 2 / median(link.capacity_bps for link in world.links)
    bandwidth: dict[tuple[str, str], float] = {}
    for link in world.links:
        pair = (min(link.a, link.b), max(link.a, link.b))
        bandwidth[pair] = bandwidth.get(pair, 0.0) + link.capacity_bps * unit
    links = tuple(Link(a, b, some) for (a, b), some in sorted(bandwidth.items()))
    return Substrate(tuple(_host(name, random) for name in world.nodes), links)


def _host(name: str, random: Random) -> Host:
    return Host(name, {CPU: float(random.randint(*HOST_CPU))})


def _link(a: str, b: str, random: Random) -> Link:
    return Link(a, b, float(random.randint(*LINK_BANDWIDTH)))


def draw_request(random: Random, vnodes: tuple[int, int]) -> Request:
    """A random graph, in one piece: drawn again until it is."""
    count = random.randint(*vnodes)
    while True:
        pairs = [pair for pair in combinations(range(count), 2) if random.random() < JOINED]
        if _is_one_piece(count, pairs):
            break
    cpu = [float(random.randint(*VNODE_CPU)) for _ in range(count)]
    return graph_request(cpu, [(a, b, float(random.randint(*VLINK_BANDWIDTH))) for a, b in pairs])


def _is_one_piece(count: int, pairs: list[tuple[int, int]]) -> bool:
    reached, fresh = {0}, [0]
    while fresh:
        here = fresh.pop()
        for a, b in pairs:
            for there in ({a: b, b: a}.get(here),):
                if there is not None and there not in reached:
                    reached.add(there)
                    fresh.append(there)
    return len(reached) == count
