"""What planning costs: candidate routes, composition with labels, the cheapest flow.

One thread, CPU time; ``measure`` for random networks, ``measure_topology`` for any other. Run as a
module it prints a table, with ESnet's where ``../shared/data`` is beside the checkout.
"""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from agents.backends import open_backend
from orchestrator.knowledge import Knowledge
from protocol.messages import Offer, PortOffer, SendOffers
from simulations.importer import read_topology
from substrate.bending import Search, soonest
from substrate.forecast import Resource, forecast
from substrate.labels import assign_labels
from substrate.model import (
    Constraints,
    Criteria,
    Domain,
    Port,
    Profile,
    Refusal,
    Step,
    Strategy,
    Window,
)
from substrate.options import Supply
from substrate.routes import Route, candidate_routes
from substrate.splitting import compose
from substrate.spreading import spread
from substrate.topology import Topology
from substrate.vlans import ALL_VLANS
from substrate.widening import widening_routes

G = 10**9
ROUTES = 16
LINKS_PER_DOMAIN = 3
PAIRS = 30
"""Pairs of sites per figure."""
ESNET = Path(__file__).resolve().parents[2] / "shared/data/topologies/esnet/topology.json"
WINDOW = Window(0, 3600)

T = TypeVar("T")


def network(nodes: int, seed: int = 1) -> Topology:
    """A connected random network: ``nodes`` domains, three links each, a user's port in each."""
    dice = random.Random(seed)
    names = [f"n{i:04}" for i in range(nodes)]
    ports = {name: [Port(f"{name}:user", 1000 * G, ALL_VLANS)] for name in names}
    edges = [(names[i], names[dice.randrange(i)]) for i in range(1, nodes)]
    while len(edges) < LINKS_PER_DOMAIN * nodes:
        one, other = dice.sample(names, 2)
        edges.append((one, other))
    for number, (one, other) in enumerate(edges):
        bps, latency_us = dice.choice([100, 400]) * G, dice.randrange(100, 5000)
        for here, there in ((one, other), (other, one)):
            port = Port(f"{here}:e{number}", bps, ALL_VLANS, f"{there}:e{number}", latency_us)
            ports[here].append(port)
    return Topology(Domain(name, True, "wan", tuple(own)) for name, own in ports.items())


def chain(domains: int = 4) -> Topology:
    """Domains in a row: one route."""
    names = [f"d{i}" for i in range(domains)]
    ports = {name: list[Port]() for name in names}
    for left, right in itertools.pairwise(names):
        ports[left].append(Port(f"{left}:b", 1000 * G, ALL_VLANS, f"{right}:a", 100))
        ports[right].append(Port(f"{right}:a", 1000 * G, ALL_VLANS, f"{left}:b", 100))
    for name in (names[0], names[-1]):
        ports[name].append(Port(f"{name}:user", 1000 * G, ALL_VLANS))
    return Topology(Domain(name, True, "wan", tuple(own)) for name, own in ports.items())


def esnet() -> Topology | None:
    """ESnet's 80 domains; None where the file is not there."""
    if not ESNET.exists():
        return None
    imported = read_topology("esnet", ESNET)
    return Topology(open_backend(settings).describe() for settings in imported.domains)


def measure(nodes: int, seed: int = 1) -> dict[str, float]:
    """``measure_topology`` of a random network of so many domains."""
    return measure_topology(network(nodes, seed))


def measure_topology(topology: Topology) -> dict[str, float]:
    """CPU time of planning between random users' ports, on average.

    ``routes_ms``: 16 candidate routes of a pair never asked for before. ``plan_us``: composition
    and labels of 1 Gb/s over known routes and offers. ``flow_ms``: the cheapest flow of 1 Tb/s.
    """
    wishes = _wishes(topology, G)
    candidate_routes(topology, wishes[0].destination, wishes[0].source, Constraints(), ROUTES)
    known: list[tuple[Route, ...]] = []

    def route(wish: Criteria) -> None:
        found = candidate_routes(topology, wish.source, wish.destination, wish.constraints, ROUTES)
        known.append(found)

    routes_s = _average_s(route, wishes)
    problems = [
        (wish, routes, offered(topology, routes))
        for wish, routes in zip(wishes, known, strict=True)
        if routes
    ]
    plan_s = _average_s(lambda problem: plan(topology, *problem), problems * 20)
    flow_s = _average_s(
        lambda wish: widening_routes(wish, Supply(), topology), _wishes(topology, 1000 * G)[:10]
    )
    return {"routes_ms": 1e3 * routes_s, "plan_us": 1e6 * plan_s, "flow_ms": 1e3 * flow_s}


def plan(topology: Topology, wish: Criteria, routes: tuple[Route, ...], supply: Supply) -> None:
    """What an orchestrator computes for a request between two sites that it knows already."""
    shares = compose(wish, routes, supply, topology)
    assert not isinstance(shares, Refusal), shares.reason
    planned = assign_labels(wish, shares, supply, topology, start=1234)
    assert not isinstance(planned, Refusal), planned.reason


def offered(topology: Topology, routes: Sequence[Route]) -> Supply:
    """All that these routes' domains could offer, as learnt from their answers."""
    pairs: dict[str, dict[tuple[str, str], None]] = {}
    for route in routes:
        for crossing in route.crossings:
            pair = (crossing.ingress_stp, crossing.egress_stp)
            pairs.setdefault(crossing.domain, {})[pair] = None
    answers = {}
    for name, own in pairs.items():
        ports = [topology.port(stp) for stp in sorted({stp for pair in own for stp in pair})]
        answers[name] = SendOffers(
            "",
            name,
            tuple(Offer("", *pair, (Step(0, 100 * G),)) for pair in own),
            tuple(PortOffer(p.stp, (Step(0, p.capacity_bps),), p.vlans) for p in ports if p),
        )
    wanted = {name: frozenset(own) for name, own in pairs.items()}
    return Knowledge().with_answers(wanted, answers, Window(0, 1))


def _wishes(topology: Topology, bandwidth_bps: int) -> list[Criteria]:
    """Between pairs of different domains, at ports of users."""
    dice = random.Random(7)
    users = [
        port.stp
        for domain in topology.domains.values()
        for port in domain.ports
        if port.remote_stp is None and port.capacity_bps >= bandwidth_bps // 1000
    ]
    found: list[Criteria] = []
    while len(found) < PAIRS:
        one, other = dice.sample(users, 2)
        if one.partition(":")[0] != other.partition(":")[0]:
            found.append(Criteria(one, other, bandwidth_bps, WINDOW, strategy=Strategy.AUTO))
    return found


def _average_s(work: Callable[[T], object], items: Sequence[T]) -> float:
    began = time.process_time()
    for item in items:
        work(item)
    return (time.process_time() - began) / len(items)


def chain_us(rounds: int = 2000) -> float:
    """Composition and labels of one route through four domains, in CPU microseconds."""
    topology = chain()
    wish = Criteria("d0:user", "d3:user", G, WINDOW)
    routes = candidate_routes(topology, wish.source, wish.destination, wish.constraints, ROUTES)
    supply = offered(topology, routes)
    return 1e6 * _average_s(lambda _: plan(topology, wish, routes, supply), range(rounds))


def bent_ms(topology: Topology, hours: int = 168) -> dict[str, float]:
    """CPU time of looking for a window, and for phases, in free bandwidth that changes every hour.

    At the median: half a day's worth of 10 Gb/s, and the earliest four hours of 60 Gb/s.
    """
    spreads = [_search(topology, wish, hours) for wish in _wishes(topology, 10 * G)]
    slides = [_search(topology, wish, hours) for wish in _wishes(topology, 60 * G)]
    volume_bytes = 10 * G * 12 * 3600 // 8
    return {
        "spread_ms": _median_ms(lambda search: spread(search, volume_bytes, 16, 60, 1), spreads),
        "soonest_ms": _median_ms(lambda search: soonest(search, 60 * G, 4 * 3600), slides),
    }


def _search(topology: Topology, wish: Criteria, hours: int) -> Search:
    dice = random.Random(3)
    routes = candidate_routes(topology, wish.source, wish.destination, wish.constraints, ROUTES)
    profiles: dict[Resource, Profile] = {}
    for pair in sorted({pair for route in routes for pair in route.pairs}):
        most_bps = min(topology.ports[stp].capacity_bps for stp in pair)
        for place in (pair, *pair):
            levels = (dice.randrange(most_bps) for _ in range(hours))
            profiles[place] = tuple(Step(3600 * i, bps) for i, bps in enumerate(levels))
    known = forecast(Window(0, 3600 * hours), offered(topology, routes), profiles)
    return Search(wish, routes, known, topology)


def _median_ms(work: Callable[[Search], object], searches: Sequence[Search]) -> float:
    return 1e3 * statistics.median(_average_s(work, [search]) for search in searches)


def main() -> None:
    """See the module."""
    print(f"one route through four domains: composition and labels {chain_us():.0f} us")
    real = esnet()
    rows = [("ESnet, 80", measure_topology(real))] if real is not None else []
    rows += [(f"random, {nodes}", measure(nodes)) for nodes in (10, 80, 200, 1000)]
    for name, row in rows:
        print(f"{name:14}", *(f"{key} {value:9.2f}" for key, value in row.items()))
    bent = bent_ms(network(200))
    print("bending, 200  ", *(f"{key} {value:9.2f}" for key, value in bent.items()))


if __name__ == "__main__":
    main()
