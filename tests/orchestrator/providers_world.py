"""Three providers around two networks that carry, and CloudNets for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrated import NOW_S, port

from braid.v1 import common_pb2, rdl_pb2, reservations_pb2 as pb
from rdl.codec import graph_to_pb
from rdl.reading import read

HOUR_S = 3600
CORES, MEMORY_GIB, HOSTS = 8, 16, 3


def substrate(
    name: str,
    hosts: int = HOSTS,
    cores: int = CORES,
    architecture: str = "x86_64",
    features: str = "",
) -> str:
    """Hosts on one switch, by links of 10 Gb/s each. ``features``: more, of each host."""
    lines = [f"rdl: 1\nname: {name}-inside\nlayer: underlay\nelements:"]
    for i in range(1, hosts + 1):
        lines += [
            f"  h{i}:",
            "    attribute: /node/host/kvm",
            f"    resources: {{/resource/cpu: {cores} cores, /resource/memory: {MEMORY_GIB} GiB,"
            " /resource/disk: 500 GB}",
            f"    features: {{/feature/architecture: {architecture}{features}}}",
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
    return "\n".join(lines) + "\n"


def provider(name: str, *neighbours: str, visible: bool = True, **more: Any) -> dict[str, Any]:
    """A site with hosts, and a port to each neighbour."""
    return {
        "domain": name,
        "backend": "pip",
        "visible": visible,
        "ports": [port(each, f"{each}:{name}") for each in neighbours],
        "cloud": {
            "substrate": substrate(name, **more),
            "port_nodes": dict.fromkeys(neighbours, "sw"),
        },
    }


def carrier(name: str, *neighbours: str, backend: str = "wan", **more: Any) -> dict[str, Any]:
    """A network that only carries."""
    ports = [port(each, f"{each}:{name}") for each in neighbours]
    return {"domain": name, "backend": backend, "ports": ports, **more}


def world(**berlin: Any) -> list[dict[str, Any]]:
    """Berlin and Munich at the network dfn, Zurich at the exchange ix, and these two joined."""
    return [
        provider("berlin", "dfn", **berlin),
        provider("munich", "dfn"),
        provider("zurich", "ix"),
        carrier("dfn", "berlin", "munich", "ix"),
        carrier("ix", "dfn", "zurich", backend="sdx"),
    ]


def graph(
    vnodes: Mapping[str, int] | Iterable[str],
    vlinks: Iterable[tuple[str, str]] = (),
    mbps: int = 1000,
    more: str = "",
) -> rdl_pb2.Graph:
    """VNodes with so many cores each (2 where not said), and VLinks "a-b" between them."""
    cores = vnodes if isinstance(vnodes, Mapping) else dict.fromkeys(vnodes, 2)
    lines = ["rdl: 1\nname: net\nlayer: overlay\nelements:"]
    for name, count in cores.items():
        resources = f"/resource/cpu: {count} cores, /resource/memory: 1 GiB"
        lines.append(
            f"  {name}: {{attribute: /node/host/generic, resources: {{{resources},"
            " /resource/disk: 10 GB}}"
        )
    pairs = list(vlinks)
    for a, b in pairs:
        bandwidth = f"/resource/bandwidth: {mbps} Mb/s"
        lines.append(f"  {a}-{b}: {{attribute: /link/generic, resources: {{{bandwidth}}}}}")
    lines += ["interfaces:"] if pairs else []
    for a, b in pairs:
        for end in (a, b):
            joins = f"joins: [{end}, {a}-{b}]"
            lines.append(f"  {a}-{b}.{end}: {{attribute: /interface/generic, {joins}}}")
    return graph_to_pb(read("\n".join(lines) + "\n" + more).graph)


def cloudnet(
    vnodes: Mapping[str, int] | Iterable[str] = ("a", "b", "c"),
    vlinks: Iterable[tuple[str, str]] = (("a", "b"), ("b", "c")),
    at: Mapping[str, str] | None = None,
    **more: Any,
) -> pb.CloudNet:
    """What is asked for; ``at``: VNodes that must be at a provider."""
    placing = [pb.VNodePlacement(vnode=v, domain=d) for v, d in sorted((at or {}).items())]
    return pb.CloudNet(graph=graph(vnodes, vlinks, **more), placing=placing)


def requested(net: pb.CloudNet, request_id: str = "r", **fields: Any) -> pb.Reservation:
    """From an hour from now, for an hour."""
    window = common_pb2.Window(start_s=NOW_S + HOUR_S, end_s=NOW_S + 2 * HOUR_S)
    values: dict[str, Any] = {"request_id": request_id, "cloudnet": net, "window": window}
    return pb.Reservation(**{**values, **fields})


def placed(record: pb.ReservationRecord) -> dict[str, str]:
    """The domain of each VNode."""
    return {vnode: part.domain for part in record.parts for vnode in part.vnodes}


def partial_graph(vlan: int) -> rdl_pb2.Graph:
    """What another VNP has cut: a VNode "a", and a VLink "a-far" that leads on to "elsewhere"."""
    text = f"""
rdl: 1
name: net
layer: overlay
elements:
  a: {{attribute: /node/host/generic, resources: {{/resource/cpu: 2 cores}}}}
  a-far: {{attribute: /link/generic, resources: {{/resource/bandwidth: 1 Gb/s}}}}
  a-far@elsewhere@here:
    attribute: /link/transit
    resources: {{/resource/bandwidth: 1 Gb/s}}
    features: {{/feature/vlan: {vlan}}}
  pip@elsewhere: {{attribute: /node/host/pip}}
interfaces:
  a-end: {{attribute: /interface/generic, joins: [a, a-far]}}
  a-far@elsewhere@here@0: {{attribute: /interface/generic, joins: [a-far, a-far@elsewhere@here]}}
  a-far@elsewhere@here@1:
    attribute: /interface/generic
    joins: [a-far@elsewhere@here, pip@elsewhere]
"""
    return graph_to_pb(read(text).graph)
