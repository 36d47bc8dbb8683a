"""Topologies for the substrate's tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from substrate.model import Constraints, Criteria, Domain, Port, Strategy, Window
from substrate.topology import Topology
from substrate.vlans import VlanSet

VLANS = VlanSet.from_ranges([(100, 149)])
Edge = tuple[str, str, int]
"""(domain, domain, latency); as many between the same two as you like."""


def build(
    edges: Sequence[Edge],
    users: Iterable[str],
    *,
    capacity: int = 100,
    blind: Iterable[str] = (),
    exchanges: Iterable[str] = (),
    capacities: Sequence[int] | None = None,
    vlans: VlanSet = VLANS,
) -> Topology:
    """Ports are named "domain:e<number of the edge>", users attach at "domain:user"."""
    ports: dict[str, list[Port]] = {}
    for number, (a, b, latency_us) in enumerate(edges):
        bps = capacities[number] if capacities else capacity
        for here, there in ((a, b), (b, a)):
            ports.setdefault(here, []).append(
                Port(f"{here}:e{number}", bps, vlans, f"{there}:e{number}", latency_us)
            )
    for name in users:
        ports.setdefault(name, []).append(Port(f"{name}:user", 10**6, vlans))
    hidden, special = set(blind), set(exchanges)
    return Topology(
        Domain(
            name,
            name not in hidden,
            "test",
            tuple(ports[name]),
            swaps_labels=name in special,
            splits=name in special,
        )
        for name in ports
    )


def figure_6a(blind: Iterable[str] = ()) -> Topology:
    """Paper 003, Figure 6a: four sites, three regional networks with an SDX, two R&E networks."""
    edges = [
        ("a", "rn1", 1),
        ("b", "rn2", 1),
        ("c", "rn2", 1),
        ("d", "rn3", 1),
        *((rn, net, 5) for rn in ("rn1", "rn2", "rn3") for net in ("re1", "re2")),
    ]
    capacities = [400] * 4 + [100] * 6
    return build(
        edges,
        "abcd",
        blind=blind,
        exchanges=["rn1", "rn2", "rn3"],
        capacities=capacities,
    )


def criteria(
    source: str,
    destination: str,
    bandwidth_bps: int,
    strategy: Strategy = Strategy.AUTO,
    **limits: object,
) -> Criteria:
    return Criteria(
        source,
        destination,
        bandwidth_bps,
        Window(0, 10),
        strategy=strategy,
        constraints=Constraints(**limits),  # type: ignore[arg-type]
    )
