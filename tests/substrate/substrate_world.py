"""Small networks for the substrate's tests, written as plain tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from substrate.model import Constraints, Criteria, Domain, Port, Strategy, Window
from substrate.routes import Route, candidate_routes
from substrate.topology import Topology
from substrate.vlans import VlanSet

G = 10**9
WINDOW = Window(1000, 2000)
VLANS = VlanSet.parse("100-199")


@dataclass(frozen=True)
class Link:
    """A link "a-b"; the ports are named after the far domain and ``tag``."""

    a: str
    b: str
    capacity_bps: int = 100 * G
    latency_us: int = 100
    vlans: VlanSet = VLANS
    tag: str = ""

    @property
    def a_stp(self) -> str:
        return f"{self.a}:to-{self.b}{self.tag}"

    @property
    def b_stp(self) -> str:
        return f"{self.b}:to-{self.a}{self.tag}"


def network(
    links: Iterable[Link],
    *,
    hosts: Mapping[str, int] | None = None,
    blind: Iterable[str] = (),
    swapping: Iterable[str] = (),
    splitting: Iterable[str] = (),
    host_vlans: VlanSet = VLANS,
) -> Topology:
    """Domains joined by these links; ``hosts``: domain → capacity of its port "host"."""
    links = list(links)
    ports: dict[str, list[Port]] = {}
    for link in links:
        for here, there in ((link.a_stp, link.b_stp), (link.b_stp, link.a_stp)):
            port = Port(here, link.capacity_bps, link.vlans, there, link.latency_us)
            ports.setdefault(here.partition(":")[0], []).append(port)
    for name, capacity_bps in (hosts or {}).items():
        ports.setdefault(name, []).append(Port(f"{name}:host", capacity_bps, host_vlans))
    return Topology(
        Domain(
            name,
            visible=name not in set(blind),
            backend="wan",
            ports=tuple(own),
            swaps_labels=name in set(swapping),
            splits=name in set(splitting),
        )
        for name, own in ports.items()
    )


def ask(
    bandwidth_bps: int,
    source: str = "a:host",
    destination: str = "z:host",
    strategy: Strategy = Strategy.AUTO,
    constraints: Constraints | None = None,
) -> Criteria:
    return Criteria(
        source,
        destination,
        bandwidth_bps,
        WINDOW,
        strategy=strategy,
        constraints=constraints or Constraints(),
    )


def routes_of(topology: Topology, criteria: Criteria, count: int = 16) -> tuple[Route, ...]:
    return candidate_routes(
        topology, criteria.source, criteria.destination, criteria.constraints, count
    )


def ladder(middles: Mapping[str, int], **options: object) -> Topology:
    """a and z with one way through each of the middle domains: name → capacity."""
    links = []
    for name, capacity_bps in middles.items():
        links += [Link("a", name, capacity_bps), Link(name, "z", capacity_bps)]
    options.setdefault("hosts", {"a": 1000 * G, "z": 1000 * G})
    return network(links, **options)  # type: ignore[arg-type]
