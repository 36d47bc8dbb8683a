"""Small networks that the orchestrator's tests share."""

from __future__ import annotations

from collections.abc import Iterable

from substrate.model import Domain, Port
from substrate.topology import Topology
from substrate.vlans import VlanSet

G = 10**9
VLANS = VlanSet.from_ranges([(100, 199)])


def port(stp: str, remote: str | None = None, bps: int = 100 * G, latency_us: int = 100) -> Port:
    return Port(stp, bps, VLANS, remote, latency_us if remote else 0)


def domain(
    name: str, ports: Iterable[Port], *, visible: bool = True, exchange: bool = False
) -> Domain:
    return Domain(
        name=name,
        visible=visible,
        backend="sdx" if exchange else "wan",
        ports=tuple(ports),
        swaps_labels=exchange,
        splits=exchange,
    )


def diamond(
    *, blind: frozenset[str] = frozenset(), middle: int = 2, bps: int = 100 * G
) -> Topology:
    """Two sites joined by ``middle`` parallel domains m1, m2, …, each of capacity ``bps``."""
    names = [f"m{i}" for i in range(1, middle + 1)]
    west = [port("west:host", bps=1000 * G)]
    east = [port("east:host", bps=1000 * G)]
    west += [port(f"west:{n}", f"{n}:west", bps) for n in names]
    east += [port(f"east:{n}", f"{n}:east", bps) for n in names]
    middles = [
        domain(
            n,
            [port(f"{n}:west", f"west:{n}", bps), port(f"{n}:east", f"east:{n}", bps)],
            visible=n not in blind,
        )
        for n in names
    ]
    return Topology(
        [domain("west", west, exchange=True), domain("east", east, exchange=True), *middles]
    )


def line(length: int) -> Topology:
    """Domains d1 … dN in a row; "d1:host" and "dN:host" are where users attach."""
    domains = []
    for i in range(1, length + 1):
        ports = []
        if i == 1:
            ports.append(port("d1:host"))
        else:
            ports.append(port(f"d{i}:left", f"d{i - 1}:right"))
        if i == length:
            ports.append(port(f"d{i}:host"))
        else:
            ports.append(port(f"d{i}:right", f"d{i + 1}:left"))
        domains.append(domain(f"d{i}", ports))
    return Topology(domains)
