"""Two orchestrators, one below the other: the lower one is a domain of the upper one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from world import World, agent, diamond, line, port, world

from braid.v1 import rdl_pb2, reservations_pb2 as pb
from rdl.codec import graph_to_pb
from rdl.reading import read


def reseller(target: str, name: str = "m1", **more: Any) -> dict[str, Any]:
    """The domain ``name`` between west and east, behind which an orchestrator stands.

    Its ports are d1:host and d3:host of the domains there.
    """
    child = {
        "target": target,
        "insecure": True,
        "port_stps": {"west": "d1:host", "east": "d3:host"},
        **more.pop("child", {}),
    }
    ports = [port("west", f"west:{name}"), port("east", f"east:{name}")]
    return {"domain": name, "backend": "child", "ports": ports, "child": child, **more}


def upper(target: str, middle: int = 1, **more: Any) -> list[dict[str, Any]]:
    """Sites west and east, and between them the reseller m1 and so many other ways."""
    configs = [config for config in diamond(middle) if config["domain"] != "m1"]
    return [*configs, reseller(target, **more)]


@asynccontextmanager
async def two_levels(
    folder: Path, middle: int = 1, lower_configs: list[dict[str, Any]] | None = None, **more: Any
) -> AsyncIterator[tuple[World, World]]:
    """The upper and the lower world; ``more``: settings of the domain between."""
    (folder / "lower").mkdir()
    (folder / "upper").mkdir()
    async with (
        world(folder / "lower", lower_configs or line(3), orchestrator_id="lower") as lower,
        world(folder / "upper", upper(lower.target, middle, **more)) as top,
    ):
        yield top, lower


async def circuits(
    lower: World, *states: pb.ReservationState.ValueType
) -> list[pb.ReservationRecord]:
    """What the lower orchestrator has, newest first; by default what it holds."""
    wanted = states or (pb.RESERVATION_STATE_NEGOTIATING, pb.RESERVATION_STATE_COMMITTED)
    answer = await lower.reservations.List(pb.ListRequest(states=wanted))
    return list(answer.reservations)


def provider(name: str, *neighbours: str, hosts: int = 2) -> dict[str, Any]:
    """A site with so many hosts of 8 cores on one switch, and a port to each neighbour."""
    lines = [f"rdl: 1\nname: {name}-inside\nlayer: underlay\nelements:"]
    for i in range(1, hosts + 1):
        lines += [
            f"  h{i}:",
            "    attribute: /node/host/kvm",
            "    resources: {/resource/cpu: 8 cores, /resource/memory: 16 GiB,"
            " /resource/disk: 500 GB}",
            f"  h{i}-sw:",
            "    attribute: /link/ethernet",
            "    resources: {/resource/bandwidth: 10 Gb/s}",
        ]
    lines += ["  sw: {attribute: /node/switch/vlan}", "interfaces:"]
    for i in range(1, hosts + 1):
        lines += [
            f"  h{i}-e: {{attribute: /interface/ethernet, joins: [h{i}, h{i}-sw]}}",
            f"  sw-{i}: {{attribute: /interface/ethernet, joins: [sw, h{i}-sw]}}",
        ]
    return {
        "domain": name,
        "backend": "pip",
        "ports": [port(each, f"{each}:{name}") for each in neighbours],
        "cloud": {
            "substrate": "\n".join(lines) + "\n",
            "port_nodes": dict.fromkeys(neighbours, "sw"),
        },
    }


def overlay(cores: dict[str, int], *vlinks: tuple[str, str]) -> rdl_pb2.Graph:
    """VNodes of so many cores each, and VLinks "a-b" of 1 Gb/s between them."""
    lines = ["rdl: 1\nname: net\nlayer: overlay\nelements:"]
    for name, count in cores.items():
        resources = f"/resource/cpu: {count} cores, /resource/memory: 1 GiB"
        lines.append(
            f"  {name}: {{attribute: /node/host/generic, resources: {{{resources},"
            " /resource/disk: 10 GB}}"
        )
    for a, b in vlinks:
        bandwidth = "/resource/bandwidth: 1 Gb/s"
        lines.append(f"  {a}-{b}: {{attribute: /link/generic, resources: {{{bandwidth}}}}}")
    lines += ["interfaces:"] if vlinks else []
    for a, b in vlinks:
        lines += [
            f"  {a}-{b}.{end}: {{attribute: /interface/generic, joins: [{end}, {a}-{b}]}}"
            for end in (a, b)
        ]
    return graph_to_pb(read("\n".join(lines) + "\n").graph)


def below_vnp() -> list[dict[str, Any]]:
    """Berlin and Munich at the network dfn, whose uplink leads to none of them."""
    ports = [port("berlin", "berlin:dfn"), port("munich", "munich:dfn"), port("uplink")]
    return [provider("berlin", "dfn"), provider("munich", "dfn"), agent("dfn", "wan", ports)]


def vnp_reseller(target: str, **more: Any) -> dict[str, Any]:
    """The domain ``reseller`` next to Zurich, behind which these are."""
    child = {
        "target": target,
        "insecure": True,
        "runs_vnodes": True,
        "port_stps": {"zurich": "dfn:uplink"},
        **more,
    }
    ports = [port("zurich", "zurich:reseller")]
    return {"domain": "reseller", "backend": "child", "ports": ports, "child": child}


@asynccontextmanager
async def three_vnps(folder: Path) -> AsyncIterator[tuple[World, World]]:
    """The uppermost and the lowest VNP of ``two_vnps``, and between them one that has nothing but
    the lowest."""
    for name in ("lower", "middle", "upper"):
        (folder / name).mkdir()
    async with world(folder / "lower", below_vnp(), orchestrator_id="lower") as lower:
        only = vnp_reseller(lower.target, port_stps={"uplink": "dfn:uplink"})
        between = {**only, "domain": "only", "ports": [port("uplink")]}
        async with world(folder / "middle", [between], orchestrator_id="middle") as middle:
            next_ = vnp_reseller(middle.target, port_stps={"zurich": "only:uplink"})
            async with world(folder / "upper", [provider("zurich", "reseller"), next_]) as top:
                yield top, lower


@asynccontextmanager
async def two_vnps(folder: Path, **more: Any) -> AsyncIterator[tuple[World, World]]:
    """The upper VNP has Zurich and the reseller; the lower one Berlin and Munich at the network
    dfn, whose uplink is the reseller's port. ``more``: settings below ``child``."""
    (folder / "lower").mkdir()
    (folder / "upper").mkdir()
    async with world(folder / "lower", below_vnp(), orchestrator_id="lower") as lower:
        above = [provider("zurich", "reseller"), vnp_reseller(lower.target, **more)]
        async with world(folder / "upper", above) as top:
            yield top, lower
