"""Domains joined by inter-domain links: what an orchestrator sees (its substrate)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import MappingProxyType

from substrate.graph import Graph, Hop
from substrate.model import Domain, Port, domain_of
from substrate.values import dataclass

HOP_COST = 1
LATENCY_COST = 1 << 10
"""Cost of a link: its latency first, the number of hops to break ties."""


@dataclass(frozen=True, slots=True, order=True)
class InterDomainLink:
    """An SDP (GFD.237): two ports that name each other. ``a_stp`` < ``b_stp``.

    Its capacity is the lesser of the two ports', its latency the greater of what they say.
    """

    a_stp: str
    b_stp: str
    capacity_bps: int
    latency_us: int

    def other(self, stp: str) -> str:
        """The STP at the other end."""
        return self.b_stp if stp == self.a_stp else self.a_stp


class Topology:
    """Immutable. A link exists only between two known ports that each name the other."""

    def __init__(self, domains: Iterable[Domain]) -> None:
        self.domains: Mapping[str, Domain] = MappingProxyType(
            {d.name: d for d in sorted(domains, key=lambda d: d.name)}
        )
        self.ports: Mapping[str, Port] = {p.stp: p for d in self.domains.values() for p in d.ports}
        """By STP."""
        self._aliases = _unique_aliases(self.ports.values())
        self.links: tuple[InterDomainLink, ...] = tuple(
            sorted(
                _link(port, self.ports[port.remote_stp])
                for port in self.ports.values()
                if port.remote_stp is not None
                and port.stp < port.remote_stp
                and port.remote_stp in self.ports
                and self.ports[port.remote_stp].remote_stp == port.stp
            )
        )
        self._link_at = {stp: link for link in self.links for stp in (link.a_stp, link.b_stp)}

    @cached_property
    def graph(self) -> Graph:
        """The inter-domain links, both ways; without those that no VLAN can cross."""
        hops = []
        for link in self.links:
            if not self.ports[link.a_stp].vlans & self.ports[link.b_stp].vlans:
                continue
            cost = link.latency_us * LATENCY_COST + HOP_COST
            for here, there in ((link.a_stp, link.b_stp), (link.b_stp, link.a_stp)):
                one, other = domain_of(here), domain_of(there)
                if one != other:
                    hops.append(
                        Hop(one, here, other, there, link.capacity_bps, link.latency_us, cost)
                    )
        return Graph(self.domains, hops)

    @cached_property
    def blind(self) -> frozenset[str]:
        """The domains that tell nothing of their inside."""
        return frozenset(name for name, domain in self.domains.items() if not domain.visible)

    @cached_property
    def swapping(self) -> frozenset[str]:
        """The domains that can swap labels."""
        return frozenset(name for name, domain in self.domains.items() if domain.swaps_labels)

    @cached_property
    def thinnest_bps(self) -> int:
        """The least capacity of any link; 0 without links."""
        return min((link.capacity_bps for link in self.links), default=0)

    def resolve(self, name: str) -> str | None:
        """The STP of that name or alias; None when it is unknown or the alias is ambiguous."""
        return name if name in self.ports else self._aliases.get(name)

    def port(self, stp: str) -> Port | None:
        """The port of an STP."""
        return self.ports.get(stp)

    def link_at(self, stp: str) -> InterDomainLink | None:
        """The inter-domain link that ends there."""
        return self._link_at.get(stp)

    def with_domain(self, domain: Domain) -> Topology:
        """With this domain added or replaced."""
        return Topology([*(d for d in self.domains.values() if d.name != domain.name), domain])

    def without(self, name: str) -> Topology:
        """Without that domain."""
        return Topology(d for d in self.domains.values() if d.name != name)


def _link(a: Port, b: Port) -> InterDomainLink:
    return InterDomainLink(
        a.stp, b.stp, min(a.capacity_bps, b.capacity_bps), max(a.latency_us, b.latency_us)
    )


def _unique_aliases(ports: Iterable[Port]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for port in ports:
        for alias in port.aliases:
            found.setdefault(alias, set()).add(port.stp)
    return {alias: min(stps) for alias, stps in found.items() if len(stps) == 1}
