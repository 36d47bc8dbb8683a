"""What importers fill in: domains, ports and links, with names that Braid accepts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from substrate.vlans import VLAN_MAX, VLAN_MIN, VlanSet

NAME_LENGTH_MAX = 128


@dataclass(frozen=True, slots=True)
class Imported:
    """A topology as settings of agents.

    ``domains``: per domain, sorted by name, what ``agents.backends.open_backend`` takes.
    ``remarks``: what was left out or added, each reason with the names concerned.
    """

    domains: tuple[dict[str, Any], ...]
    remarks: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class DraftPort:
    """A port of a domain-to-be; ``node`` is where it is, "" in a domain without an inside."""

    name: str
    capacity_bps: int
    vlans: VlanSet
    alias: str
    remote: str = ""
    latency_us: int = 0
    node: str = ""


@dataclass(frozen=True, slots=True)
class DraftLink:
    """A link inside a domain-to-be."""

    a_node: str
    b_node: str
    capacity_bps: int
    latency_us: int


@dataclass(slots=True)
class DraftDomain:
    """A domain-to-be; with ``nodes`` it has an inside, and every port sits at one of them."""

    ports: list[DraftPort] = field(default_factory=list)
    links: list[DraftLink] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)


class Draft:
    """Collects domains; ``finish`` turns them into settings."""

    def __init__(self) -> None:
        self._domains: dict[str, DraftDomain] = {}
        self._remarks: dict[str, list[str]] = {}

    def remark(self, reason: str, name: str) -> None:
        """Notes what could not be taken over as it is, or was added."""
        self._remarks.setdefault(reason, []).append(name)

    def domain(self, name: str) -> DraftDomain:
        """A domain, new at the first call."""
        return self._domains.setdefault(name, DraftDomain())

    def finish(self) -> Imported:
        """The settings. A domain without ports is of no use and left out."""
        for name, domain in self._domains.items():
            if not domain.ports:
                self.remark("domain left out: it has no port that can be used", name)
        domains = tuple(
            _settings(name, self._domains[name])
            for name in sorted(self._domains)
            if self._domains[name].ports
        )
        remarks = tuple((why, tuple(names)) for why, names in sorted(self._remarks.items()))
        return Imported(domains, remarks)


class Names:
    """Gives every foreign name one of [A-Za-z0-9._-], and no two the same one."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, foreign: str) -> str:
        """The same name for the same foreign name; "-2", "-3", … keeps others apart."""
        known = self._given.get(foreign)
        if known is not None:
            return known
        stem = re.sub(r"\.\.+", ".", re.sub(r"[^A-Za-z0-9._-]+", "-", foreign))
        stem = re.sub(r"^[^A-Za-z0-9]+", "", stem)[: NAME_LENGTH_MAX - 5] or "x"
        name, number = stem, 1
        while name in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name)
        self._given[foreign] = name
        return name


def vlans_within(ranges: Iterable[tuple[int, int]]) -> VlanSet:
    """The union of inclusive ranges, as far as they are VLAN ids (1 to 4094)."""
    cut = [(max(first, VLAN_MIN), min(last, VLAN_MAX)) for first, last in ranges]
    return VlanSet.from_ranges((first, last) for first, last in cut if first <= last)


def bandwidth_text(bandwidth_bps: int) -> str:
    """A bandwidth as a person writes it: "100G", "2500M", "1500"."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("K", 10**3)):
        if bandwidth_bps % size == 0:
            return f"{bandwidth_bps // size}{unit}"
    return str(bandwidth_bps)


def _settings(name: str, domain: DraftDomain) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "domain": name,
        "backend": "wan",
        "visible": True,
        "swaps_labels": True,
        "ports": [_port(port) for port in sorted(domain.ports, key=lambda port: port.name)],
    }
    if domain.nodes:
        settings["wan"] = {
            "nodes": sorted(domain.nodes),
            "links": [_link(link) for link in domain.links],
            "port_nodes": {port.name: port.node for port in domain.ports},
        }
    return settings


def _port(port: DraftPort) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "name": port.name,
        "capacity": bandwidth_text(port.capacity_bps),
        "vlans": str(port.vlans),
    }
    if port.alias:
        settings["aliases"] = [port.alias]
    if port.remote:
        settings |= {"remote": port.remote, "latency_us": port.latency_us}
    return settings


def _link(link: DraftLink) -> dict[str, Any]:
    return {
        "a": link.a_node,
        "b": link.b_node,
        "capacity": bandwidth_text(link.capacity_bps),
        "latency_us": link.latency_us,
    }
