"""Networks of many domains, as settings of their agents."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from benchmarks.world import G, port
from simulations.importer import read_topology

ESNET = Path(__file__).resolve().parents[2] / "shared/data/topologies/esnet/topology.json"
ESNET_NODES = 80
LINKS_PER_NODE = 2
SPEEDS_BPS = (100 * G, 400 * G)

Domains = list[dict[str, Any]]


def network(nodes: int, seed: int = 1) -> Domains:
    """Domains that form a tree and as many chords, each with one port for users."""
    dice = random.Random(seed)
    names = [f"n{number:03}" for number in range(nodes)]
    ports = {name: [port("user", None)] for name in names}
    edges = [(names[number], names[dice.randrange(number)]) for number in range(1, nodes)]
    while len(edges) < LINKS_PER_NODE * nodes:
        one, other = dice.sample(names, 2)
        edges.append((one, other))
    for number, (one, other) in enumerate(edges):
        speed_bps, latency_us = dice.choice(SPEEDS_BPS), dice.randrange(100, 5000)
        for here, there in ((one, other), (other, one)):
            link = port(f"e{number}", f"{there}:e{number}", speed_bps)
            ports[here].append({**link, "latency_us": latency_us})
    common = {"backend": "wan", "visible": True, "swaps_labels": True}
    return [{"domain": name, **common, "ports": own} for name, own in ports.items()]


def esnet() -> Domains | None:
    """ESnet's 80 devices as domains; None where the file is not there."""
    return list(read_topology("esnet", ESNET).domains) if ESNET.exists() else None


def users(domains: Domains) -> list[str]:
    """A port for users in every domain that has one."""
    found = []
    for domain in domains:
        own = [item["name"] for item in domain["ports"] if not item.get("remote")]
        found += [f"{domain['domain']}:{name}" for name in own[:1]]
    return found
