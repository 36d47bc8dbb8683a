"""CloudNets as schedules write them: "a:2:4@west b:1:1 a-b:20".

A VNode with its cores and GiB of memory, and where it must be, if that is said; a VLink with its
Gb/s. All names are short, so that a shrunk schedule can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from braid.v1 import reservations_pb2 as pb
from cloudnets.partials import amount_of, is_stub
from rdl.codec import from_bytes, graph_to_pb
from rdl.model import Graph
from rdl.reading import read
from substrate.model import CloudNet

G = 10**9
GIB = 1 << 30
DISK_GB = 1
CPU, MEMORY, DISK = "/resource/cpu", "/resource/memory", "/resource/disk"
BANDWIDTH = "/resource/bandwidth"

VNODE = r"[a-z]:\d+:\d+(@\w+)?"
VLINK = r"[a-z]-[a-z]:\d+"
NET = rf"{VNODE}( {VNODE})*( {VLINK})*"
"""What a word for a CloudNet must look like."""


@dataclass(frozen=True, slots=True)
class Net:
    """``vnodes``: cores and GiB; ``vlinks``: Gb/s between two; ``at``: providers of VNodes."""

    vnodes: dict[str, tuple[int, int]]
    vlinks: dict[tuple[str, str], int] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)

    def without(self, vnode: str) -> Net:
        """The same without a VNode and its VLinks."""
        return Net(
            {name: amounts for name, amounts in self.vnodes.items() if name != vnode},
            {ends: gbps for ends, gbps in self.vlinks.items() if vnode not in ends},
            {name: site for name, site in self.at.items() if name != vnode},
        )

    def __str__(self) -> str:
        """The word; ``read_net`` is the inverse."""
        return " ".join(self._words())

    def _words(self) -> Iterator[str]:
        for name, (cores, gib) in sorted(self.vnodes.items()):
            place = f"@{self.at[name]}" if name in self.at else ""
            yield f"{name}:{cores}:{gib}{place}"
        for (one, other), gbps in sorted(self.vlinks.items()):
            yield f"{one}-{other}:{gbps}"


def read_net(word: str) -> Net:
    """A CloudNet from its word, which looks as NET says."""
    net = Net({}, {}, {})
    for token in word.split():
        what, _, site = token.partition("@")
        name, *amounts = what.split(":")
        if "-" in name:
            one, _, other = name.partition("-")
            net.vlinks[(one, other)] = int(amounts[0])
        else:
            net.vnodes[name] = int(amounts[0]), int(amounts[1])
        if site:
            net.at[name] = site
    return net


def net_of(cloudnet: CloudNet) -> Net:
    """What a database says was asked for."""
    graph = from_bytes(cloudnet.graph)
    vnodes = {
        node.id: (amount_of(node, CPU) // 1000, amount_of(node, MEMORY) // GIB)
        for node in graph.nodes
        if not is_stub(node)
    }
    vlinks = {
        (link.id[0], link.id[-1]): amount_of(link, BANDWIDTH) // G
        for link in graph.links
        if not link.is_transit
    }
    return Net(vnodes, vlinks, dict(cloudnet.placing))


def to_pb(net: Net) -> pb.CloudNet:
    """As a user asks for it."""
    placing = [pb.VNodePlacement(vnode=v, domain=site) for v, site in sorted(net.at.items())]
    return pb.CloudNet(graph=graph_to_pb(graph_of(net)), placing=placing)


def graph_of(net: Net) -> Graph:
    """Its overlay."""
    lines = ["rdl: 1", "name: net", "layer: overlay", "elements:"]
    for name, (cores, gib) in sorted(net.vnodes.items()):
        amounts = f"{CPU}: {cores} cores, {MEMORY}: {gib} GiB, {DISK}: {DISK_GB} GB"
        lines.append(f"  {name}: {{attribute: /node/host/generic, resources: {{{amounts}}}}}")
    for (one, other), gbps in sorted(net.vlinks.items()):
        amount = f"{BANDWIDTH}: {gbps} Gb/s"
        lines.append(f"  {one}-{other}: {{attribute: /link/generic, resources: {{{amount}}}}}")
    if net.vlinks:
        lines.append("interfaces:")
    for one, other in sorted(net.vlinks):
        for end in (one, other):
            joins = f"[{end}, {one}-{other}]"
            name = f"{one}-{other}.{end}"
            lines.append(f"  {name}: {{attribute: /interface/generic, joins: {joins}}}")
    return read("\n".join(lines) + "\n").graph
