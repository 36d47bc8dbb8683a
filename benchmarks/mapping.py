"""What the VNP's mapping costs: CloudNets over providers of which only sums are known.

One thread, CPU time, beside a plain mapper in the same run: the program of the whole, with nothing
known about the answer. Run as a module it prints a table.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from cloudnets.asked import vlinks_of
from cloudnets.providers import MBPS, Providers
from cloudnets.vnp import Ask, TransitLink, VnpMapping, map_overlay
from embedding.distances import distances
from embedding.embed import GAP
from embedding.model import Request, VLink, VNode
from embedding.objectives import OBJECTIVES
from embedding.problem import Problem
from embedding.program import embedding_program
from embedding.reading import solution_of
from rdl.model import Graph, Layer, NetworkElement, NetworkInterface, Resource
from rdl.units import Amount, Unit

G, GIB = 10**9, 1 << 30
DENSITIES = (1.0, 1.5, 2.5)
"""VLinks per VNode."""
NETWORKS = ("star", "prices", "two", "mesh")
WANTED = ("cost", "load", "energy")
SIZES = ((5, 10), (20, 10), (20, 12), (20, 16), (20, 20), (20, 30))
"""Providers and VNodes."""
SEEDS = 2
PLAIN_S = 1.0
"""For each program of the plain mapper; what it finds by then it gives."""

T = TypeVar("T")


def overlay(vnodes: int, density: float, dice: random.Random) -> Graph:
    """A connected CloudNet with so many VLinks per VNode."""
    names = [f"v{i}" for i in range(vnodes)]
    elements = [
        NetworkElement(
            name,
            "/node/host/generic",
            (
                Resource("/resource/cpu", Amount(1000 * dice.randint(1, 8), Unit.COMPUTE_MCORES)),
                Resource("/resource/memory", Amount(GIB * dice.randint(1, 16), Unit.DATA_BYTES)),
            ),
        )
        for name in names
    ]
    pairs = [(names[dice.randrange(i)], names[i]) for i in range(1, vnodes)]
    others = [(a, b) for i, b in enumerate(names) for a in names[:i] if (a, b) not in pairs]
    wanted = max(min(round(density * vnodes) - len(pairs), len(others)), 0)
    interfaces = []
    for number, ends in enumerate([*pairs, *dice.sample(others, wanted)]):
        bandwidth = Amount(dice.randint(1, 20) * G // 10, Unit.BANDWIDTH_BPS)
        link = Resource("/resource/bandwidth", bandwidth)
        elements.append(NetworkElement(f"l{number}", "/link/generic", (link,)))
        interfaces += [
            NetworkInterface(f"i{number}-{end}", "/interface/generic", (f"l{number}", name))
            for end, name in enumerate(ends)
        ]
    return Graph("net", Layer.OVERLAY, tuple(elements), tuple(interfaces))


def provider(name: str, dice: random.Random) -> Graph:
    """An aggregate that takes two or three VNodes."""
    cpu = Resource("/resource/cpu", Amount(1000 * dice.randint(6, 18), Unit.COMPUTE_MCORES))
    memory = Resource("/resource/memory", Amount(GIB * dice.randint(12, 40), Unit.DATA_BYTES))
    return Graph(name, Layer.UNDERLAY, (NetworkElement(name, "/node/host/pip", (cpu, memory)),))


def transit(kind: str, names: list[str], dice: random.Random) -> tuple[TransitLink, ...]:
    """All at one domain, or with prices; half at each of two; or a mesh of five, with prices."""
    if kind in ("star", "prices"):
        prices = [dice.randint(0, 4) if kind == "prices" else 0 for _ in names]
        return tuple(
            TransitLink(name, "wan", 40 * G, dice.randint(500, 5000), price)
            for name, price in zip(names, prices, strict=True)
        )
    hubs = [f"wan{i}" for i in range(2 if kind == "two" else 5)]
    links = [TransitLink(hubs[i - 1], hub, 40 * G, 5000) for i, hub in enumerate(hubs) if i]
    for i, name in enumerate(names):
        price = dice.randint(0, 2) if kind == "mesh" else 0
        links.append(TransitLink(name, hubs[i % len(hubs)], 20 * G, 1000, price))
        if kind == "mesh" and dice.random() < 0.5:
            links.append(TransitLink(name, dice.choice(hubs), 10 * G, 1000, price + 1))
    if kind == "mesh":
        links.append(TransitLink(hubs[0], hubs[3], 20 * G, 8000, 1))
    return tuple(links)


def asks(pips: int, vnodes: int = 10, objective: str = "cost") -> Iterator[tuple[str, Ask]]:
    """Seeded instances, each with a name."""
    for kind in NETWORKS:
        for density in DENSITIES:
            for seed in range(SEEDS):
                dice = random.Random(f"{kind} {density} {seed} {pips} {vnodes}")
                names = [f"pip{i:02}" for i in range(pips)]
                told = {name: provider(name, dice) for name in names}
                links = transit(kind, names, dice)
                ask = Ask(overlay(vnodes, density, dice), told, links, objective)
                yield f"{kind} {density} {seed}", ask


def plainly(ask: Ask) -> float:
    """What the program of the whole finds in the time; infinite where that is nothing."""
    providers = Providers(ask.pips, ask.links)
    vnodes = tuple(
        VNode(
            node.id,
            providers.scaled({r.attribute: r.amount.value for r in node.resources if r.amount}),
        )
        for node in ask.graph.nodes
    )
    vlinks = tuple(
        VLink(each.a, each.b, each.bandwidth_bps / MBPS, name=each.id)
        for each in vlinks_of(ask.graph)
    )
    network = providers.network()
    problem = Problem(network, network.capacity, Request(vnodes, vlinks, shares_hosts=True))
    priced = OBJECTIVES[ask.objective](problem)
    far = distances(problem, priced.link)
    made = embedding_program(problem, priced, problem.fits, far.least)
    outcome = made.program.solve(GAP, PLAIN_S)
    if outcome.values is None:
        return float("inf")
    found = solution_of(problem, priced, made, outcome.values)
    return float("inf") if found is None else found.value


def measure(pips: int, vnodes: int = 10, objective: str = "cost") -> dict[str, float]:
    """CPU time of mapping, with a gap of 1%, and beside it a plain mapper's.

    ``proven_share``: how many are within the gap, proven; ``gap_most``: the most that is left.
    ``plain_ms``, ``plain_found_share`` and ``plain_dearer``: the plain mapper's time, how often it
    finds anything, and how much more its mappings cost in all; it has PLAIN_S for each.
    """
    known = [ask for _, ask in asks(pips, vnodes, objective)]
    map_overlay(known[0])
    times, plain_times, gaps, proven, plainly_found, ours, plain = [], [], [0.0], 0, 0, 0.0, 0.0
    for ask in known:
        found, took_s = _timed(map_overlay, ask)
        if not isinstance(found, VnpMapping):
            continue
        times.append(took_s)
        proven += found.status == "optimal" and found.proof_scope == "whole"
        gaps.append(found.gap)
        value, took_s = _timed(plainly, ask)
        plain_times.append(took_s)
        if value < float("inf"):
            plainly_found += 1
            ours, plain = ours + found.objective, plain + value
    return {
        "ms": 1e3 * statistics.median(times),
        "ms_most": 1e3 * max(times),
        "proven_share": proven / len(times),
        "gap_most": max(gaps),
        "plain_ms": 1e3 * statistics.median(plain_times),
        "plain_found_share": plainly_found / len(times),
        "plain_dearer": plain / ours - 1 if ours else 0.0,
    }


def _timed(work: Callable[[Ask], T], ask: Ask) -> tuple[T, float]:
    began = time.process_time()
    return work(ask), time.process_time() - began


def main() -> None:
    """See the module."""
    for pips, vnodes in SIZES:
        for objective in WANTED:
            row = measure(pips, vnodes, objective)
            shown = "  ".join(f"{key} {value:8.2f}" for key, value in row.items())
            print(f"{pips:3} providers {vnodes:3} VNodes {objective:7} {shown}", flush=True)


if __name__ == "__main__":
    main()
