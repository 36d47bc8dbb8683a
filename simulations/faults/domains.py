"""The domains of a world: what their agents are told, what they have, and how they are wired."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulations.faults.inside import cloud, inside
from simulations.faults.joined import CLOUD
from simulations.faults.plan import World

G = 10**9
HOST_GBPS = 1000


def configs(world: World) -> dict[str, dict[str, Any]]:
    """The settings of each domain's agent."""
    middle = [f"m{i}" for i in range(1, world.middle + 1)]
    found: dict[str, dict[str, Any]] = {}
    for site in world.sites:
        ports = [_port("host", HOST_GBPS)]
        ports += [_port(name, world.capacity_gbps, f"{name}:{site}") for name in middle]
        found[site] = {"domain": site, "backend": "pip", "ports": ports}
        if site in world.clouds:
            names = tuple(str(port["name"]) for port in ports)
            found[site]["cloud"] = cloud(site, names, world.hosts)
    for name in middle:
        ports = [_port(site, world.capacity_gbps, f"{site}:{name}") for site in world.sites]
        found[name] = {"domain": name, "backend": "wan", "ports": ports}
    for name, config in found.items():
        config["visible"] = name not in world.blind
        config["hold_timeout_s"] = world.hold_timeout_s if name in world.expiring else None
    return found


def _port(name: str, gbps: int, remote: str = "") -> dict[str, Any]:
    port = {"name": name, "capacity": gbps * G, "vlans": "100-103"}
    return {**port, "remote": remote} if remote else port


def capacities(world: World) -> Mapping[str, Mapping[str, int]]:
    """Of each domain, of each STP in bit/s, and of a provider of all that is inside."""
    found: dict[str, dict[str, int]] = {}
    for name, config in configs(world).items():
        found[name] = {f"{name}:{port['name']}": port["capacity"] for port in config["ports"]}
        if name in world.clouds:
            found[name][f"{name}:{CLOUD}"] = sum(found[name].values())
            found[name] |= inside(world.hosts).amounts
    return found


def peers(world: World) -> Mapping[str, str]:
    """The port to which each is wired."""
    return {
        f"{name}:{port['name']}": port["remote"]
        for name, config in configs(world).items()
        for port in config["ports"]
        if "remote" in port
    }
