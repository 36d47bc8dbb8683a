"""The network: points of presence, each a domain of its own, and the links between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Any

from agents.backends import open_backend
from agents.settings import load_settings
from runtime.settings import SettingsError
from simulations.importer import read_any_topology
from simulations.schedules import CAPACITY_BPS
from substrate.model import Domain, domain_of

HOST = "host"
HOST_BPS = 10**14
LINK_LATENCY_US = 1000
VLANS = "2-4001"

ABILENE = (
    ("atlanta", "houston"),
    ("atlanta", "indianapolis"),
    ("atlanta", "washington"),
    ("chicago", "indianapolis"),
    ("chicago", "new-york"),
    ("denver", "kansas-city"),
    ("denver", "seattle"),
    ("denver", "sunnyvale"),
    ("houston", "kansas-city"),
    ("houston", "los-angeles"),
    ("indianapolis", "kansas-city"),
    ("los-angeles", "sunnyvale"),
    ("new-york", "washington"),
    ("seattle", "sunnyvale"),
)
"""Internet2's Abilene as of 2004: the backbone map that SNDlib keeps as "abilene", without the
second router in Atlanta."""


@dataclass(frozen=True, slots=True)
class Link:
    """Joins two points of presence; carries ``capacity_bps`` each way."""

    a: str
    b: str
    capacity_bps: int


@dataclass(frozen=True, slots=True)
class World:
    """A connected network. ``name``: as in rows; links may be parallel."""

    name: str
    links: tuple[Link, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The points of presence, sorted."""
        return tuple(sorted({end for link in self.links for end in (link.a, link.b)}))

    @property
    def unit_bps(self) -> int:
        """C, by which demands are scaled: the median capacity of a link, bit/s."""
        return median_low(link.capacity_bps for link in self.links)

    @property
    def total_bps(self) -> int:
        """The capacities of all links, each counted once though it carries as much both ways."""
        return sum(link.capacity_bps for link in self.links)

    def configs(self) -> list[dict[str, Any]]:
        """Settings of a domain per node: nothing limits inside, and a port for hosts is wide."""
        ports: dict[str, list[dict[str, Any]]] = {
            node: [{"name": HOST, "capacity": HOST_BPS, "vlans": VLANS}] for node in self.nodes
        }
        for number, link in enumerate(self.links):
            for here, there in ((link.a, link.b), (link.b, link.a)):
                ports[here].append(
                    {
                        "name": f"link{number}",
                        "remote": f"{there}:link{number}",
                        "capacity": link.capacity_bps,
                        "vlans": VLANS,
                        "latency_us": LINK_LATENCY_US,
                    }
                )
        return [
            {"domain": node, "backend": "wan", "swaps_labels": True, "ports": ports[node]}
            for node in self.nodes
        ]


def abilene() -> World:
    """11 nodes and 14 links, see :data:`ABILENE`."""
    return World("abilene", tuple(Link(a, b, CAPACITY_BPS) for a, b in ABILENE))


def read_world(path: Path) -> World:
    """The links between the domains of a topology; of these, the largest connected part.

    ``path``: a published topology that ``braid topology import`` reads, or a folder that it wrote.
    Each domain becomes one point, whatever is inside. Raises SettingsError.
    """
    if path.is_dir():
        files = sorted((path / "agents").glob("*.yaml"))
        settings = [load_settings(file).backend for file in files]
    else:
        settings = list(read_any_topology(path).domains)
    links = _connected(_links([open_backend(values).describe() for values in settings]))
    if not links:
        raise SettingsError(f"{path}: holds no link between two domains")
    return World(path.stem, links)


def _links(domains: list[Domain]) -> list[Link]:
    """A link has a port at both ends; the lesser capacity counts."""
    ports = {port.stp: port for domain in domains for port in domain.ports}
    return [
        Link(
            domain_of(stp),
            domain_of(remote.stp),
            min(port.capacity_bps, remote.capacity_bps),
        )
        for stp, port in sorted(ports.items())
        if (remote := ports.get(port.remote_stp or "")) is not None and stp < remote.stp
    ]


def _connected(links: Iterable[Link]) -> tuple[Link, ...]:
    parts: list[list[Link]] = []
    for link in links:
        joined = [part for part in parts if _ends(part) & _ends([link])]
        parts = [part for part in parts if part not in joined]
        parts.append([*(one for part in joined for one in part), link])
    return tuple(max(parts, key=lambda part: len(_ends(part)), default=[]))


def _ends(links: Iterable[Link]) -> set[str]:
    return {end for link in links for end in (link.a, link.b)}
