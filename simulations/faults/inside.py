"""The inside of a provider: hosts of one size at one switch, and how its agent is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulations.faults.nets import GIB, G

CORES, MEMORY_GIB, DISK_GB = 8, 16, 100
LINK_GBPS = 40
SWITCH = "sw"
VLANS = "200-205"
"""Of VLinks: few, so that they run out."""

Amounts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Inside:
    """What there is: ``links`` with the nodes that they join, and how much of everything."""

    hosts: tuple[str, ...] = ()
    links: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    amounts: Amounts = field(default_factory=dict)


def inside(hosts: int) -> Inside:
    """Of a provider with so many hosts."""
    names = tuple(f"h{number}" for number in range(1, hosts + 1))
    amounts: dict[str, int] = {}
    for host in names:
        amounts |= held_of(host, CORES * 1000, MEMORY_GIB * GIB, DISK_GB * G)
        amounts[f"{host}-{SWITCH}"] = LINK_GBPS * G
    return Inside(names, {f"{host}-{SWITCH}": (host, SWITCH) for host in names}, amounts)


def held_of(host: str, mcores: int, memory_bytes: int, disk_bytes: int) -> dict[str, int]:
    """Amounts of a host, by the names by which the checker counts them."""
    return {
        f"{host} mcores": mcores,
        f"{host} memory": memory_bytes,
        f"{host} disk": disk_bytes,
    }


def cloud(site: str, ports: tuple[str, ...], hosts: int) -> dict[str, Any]:
    """The section ``cloud`` of an agent's settings."""
    lines = [f"rdl: 1\nname: {site}-inside\nlayer: underlay\nelements:"]
    amounts = f"/resource/cpu: {CORES} cores, /resource/memory: {MEMORY_GIB} GiB"
    names = inside(hosts).hosts
    for host in names:
        lines += [
            f"  {host}:",
            "    attribute: /node/host/kvm",
            f"    resources: {{{amounts}, /resource/disk: {DISK_GB} GB}}",
            f"  {host}-{SWITCH}:",
            "    attribute: /link/ethernet",
            f"    resources: {{/resource/bandwidth: {LINK_GBPS} Gb/s}}",
        ]
    lines += [f"  {SWITCH}: {{attribute: /node/switch/vlan}}", "interfaces:"]
    for host in names:
        for end in (host, SWITCH):
            joins = f"joins: [{end}, {host}-{SWITCH}]"
            lines.append(f"  {end}.{host}: {{attribute: /interface/ethernet, {joins}}}")
    return {
        "substrate": "\n".join(lines) + "\n",
        "port_nodes": dict.fromkeys(ports, SWITCH),
        "vlans": VLANS,
        # By the wall clock: nothing may depend on it.
        "time_limit_s": 60.0,
    }
