"""VLinks as rules of switches: which VLAN goes in and out of which port (paper 002, 4.2.1).

Every node of the substrate switches: a host by its bridge. A port of a node is a link that ends
there, by its name; a VNode that it runs; or an STP of the domain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from agents.backends.base import DeviceError
from agents.backends.hosts.port import VNodeName
from agents.backends.switch import Frame, MemorySwitch, Rule, Switch
from cloudnets.mapped import Mapped, MappedVLink
from substrate.values import dataclass, replace

STEPS_MAX = 256
"""Of a frame: no way in a provider is as long."""

Rules = Mapping[str, tuple[Rule, ...]]
"""Per node."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What joins a provider's nodes. ``links``: the two nodes of each; ``ports``: per STP the node
    at which it sits."""

    links: Mapping[str, tuple[str, str]]
    ports: Mapping[str, str]


def vnode_port(name: VNodeName) -> str:
    """The port of a host's bridge that a VNode is behind."""
    return f"vnode {name}"


def rules_of(mapped: Mapped, wiring: Wiring) -> Rules:
    """What every node on the way of each VLink does, both ways. Raises DeviceError."""
    return _together([mapped], wiring)


def _together(claims: Sequence[Mapped], wiring: Wiring) -> Rules:
    """Of placements of one reservation: what the first says goes before what others say."""
    found: dict[str, dict[tuple[str, int], Rule]] = {}
    seen: set[str] = set()
    for mapped in claims:
        for vlink in mapped.vlinks:
            if vlink.id in seen:
                continue
            for node, rules in _along(mapped, vlink, wiring).items():
                taken = found.setdefault(node, {})
                for rule in rules:
                    taken.setdefault((rule.in_port, rule.in_vlan), rule)
        seen |= {vlink.id for vlink in mapped.vlinks}
    return {node: tuple(sorted(rules.values())) for node, rules in sorted(found.items())}


def _along(mapped: Mapped, vlink: MappedVLink, wiring: Wiring) -> Mapping[str, tuple[Rule, ...]]:
    (start, enter), (end, leave) = (_end(mapped, vlink, at, wiring) for at in vlink.ends)
    nodes, ports = [start], [enter]
    for link in vlink.links:
        ends = wiring.links.get(link)
        if ends is None or nodes[-1] not in ends:
            raise DeviceError(f"VLink {vlink.id}: link {link} does not lead on from {nodes[-1]}")
        ports.append(link)
        nodes.append(ends[1] if ends[0] == nodes[-1] else ends[0])
    if nodes[-1] != end:
        raise DeviceError(f"VLink {vlink.id}: its links lead to {nodes[-1]}, not to {end}")
    ports.append(leave)
    return {node: _both_ways(ports[i], ports[i + 1], vlink) for i, node in enumerate(nodes)}


def _end(mapped: Mapped, vlink: MappedVLink, end: str, wiring: Wiring) -> tuple[str, str]:
    """The node where a VLink ends, and its port there."""
    vnode = mapped.vnode(end)
    if vnode is not None:
        return vnode.host, vnode_port(VNodeName(mapped.reservation_id, end))
    if end in wiring.ports:
        return wiring.ports[end], end
    raise DeviceError(f"VLink {vlink.id}: ends at {end}, which is neither a VNode here nor a port")


def _both_ways(one: str, other: str, vlink: MappedVLink) -> tuple[Rule, ...]:
    outside = {end: vlink.outer_vlan for end in vlink.ends if vlink.outer_vlan and ":" in end}
    vlans = [outside.get(port, vlink.vlan) for port in (one, other)]
    return (
        Rule(one, vlans[0], other, vlans[1]),
        Rule(other, vlans[1], one, vlans[0]),
    )


class Fabric:
    """The switches of a provider, by node."""

    def __init__(self, switches: Mapping[str, Switch], wiring: Wiring) -> None:
        self.switches, self.wiring = switches, wiring
        self._installed: dict[str, set[str]] = {}

    async def arrange(
        self, reservation_id: str, claims: Sequence[Mapped], gone: Mapped | None = None
    ) -> None:
        """Makes the VLinks of a reservation as its placements say, the newest of which is first.

        The rules of a reservation are one set per node, so that VLinks may exchange their VLANs.
        ``gone``: what was there besides, perhaps before this life. Raises DeviceError.
        """
        rules = _together(claims, self.wiring)
        installed = self._installed.setdefault(reservation_id, set())
        installed |= rules.keys()
        await asyncio.gather(
            *(self._switch(node).install(reservation_id, some) for node, some in rules.items())
        )
        over = installed if gone is None else installed | _nodes(gone, self.wiring)
        for node in sorted(over - rules.keys()):
            await self._switch(node).remove(reservation_id)
            installed.discard(node)
        if not installed:
            self._installed.pop(reservation_id, None)

    async def sweep(self, reservation_id: str, claims: Sequence[Mapped]) -> None:
        """Removes the rules of a reservation wherever its placements say nothing.

        Raises DeviceError.
        """
        wanted = _together(claims, self.wiring)
        for node in sorted(self.switches.keys() - wanted.keys()):
            await self._switch(node).remove(reservation_id)

    def trace(self, node: str, frame: Frame) -> tuple[str, Frame] | None:
        """Where a frame that enters at a node ends: the node, and the frame as it leaves there.

        None where it is dropped, or comes to a switch that is not in memory.
        """
        for _ in range(STEPS_MAX):
            switch = self.switches.get(node)
            out = switch.forward(frame) if isinstance(switch, MemorySwitch) else None
            if out is None:
                return None
            frame = replace(frame, port=out[0], vlan=out[1])
            ends = self.wiring.links.get(frame.port)
            if ends is None:
                return node, frame
            node = ends[1] if ends[0] == node else ends[0]
        return None

    def _switch(self, node: str) -> Switch:
        if node not in self.switches:
            raise DeviceError(f"there is no node {node}")
        return self.switches[node]


def _nodes(mapped: Mapped, wiring: Wiring) -> set[str]:
    """Where its rules may be; of a VLink that leads nowhere there are none."""
    try:
        return set(rules_of(mapped, wiring))
    except DeviceError:
        return set()
