"""A small provider for tests: three hosts on two switches, and a port to the outside."""

from __future__ import annotations

from agents.backends.base import Placement
from agents.backends.hosts.embedder import Embedder, open_embedder
from agents.backends.hosts.fabric import Wiring, vnode_port
from agents.backends.hosts.memory import MemoryHosts
from agents.backends.hosts.plugins import HostingSettings
from agents.backends.hosts.port import HostSpec, VNodeName
from agents.backends.switch import Frame
from cloudnets.mapped import Mapped, MappedVLink, MappedVNode
from runtime.clock import Clock, SystemClock

GIB = 1 << 30
CLOUD = "berlin:cloud"
OUT = "berlin:east"
HOSTS = tuple(HostSpec(f"h{i}", "/node/host/kvm", 8000, 16 * GIB, 100 * GIB) for i in (1, 2, 3))
SWITCHES = {"s1": "/node/switch/vlan", "s2": "/node/switch/vlan"}
LINKS = {"h1-s1": ("h1", "s1"), "h2-s1": ("h2", "s1"), "s1-s2": ("s1", "s2"), "h3-s2": ("s2", "h3")}
WIRING = Wiring(LINKS, {OUT: "s2"})
WAYS = {
    ("h1", "h2"): ("h1-s1", "h2-s1"),
    ("h1", "h3"): ("h1-s1", "s1-s2", "h3-s2"),
    ("h2", "h3"): ("h2-s1", "s1-s2", "h3-s2"),
    ("h1", "s2"): ("h1-s1", "s1-s2"),
    ("h2", "s2"): ("h2-s1", "s1-s2"),
    ("h3", "s2"): ("h3-s2",),
}


def way(one: str, other: str) -> tuple[str, ...]:
    """The links from one node to another."""
    if one == other:
        return ()
    return WAYS[one, other] if (one, other) in WAYS else WAYS[other, one][::-1]


def vnode(name: str, host: str, mcores: int = 1000, image: str = "") -> MappedVNode:
    return MappedVNode(name, host, "/node/host/kvm", mcores, GIB, 10 * GIB, image)


def mapped(
    *vnodes: MappedVNode,
    vlinks: tuple[tuple[str, str, int], ...] = (),
    reservation_id: str = "r1",
    version: int = 1,
    off: tuple[str, ...] = (),
) -> Mapped:
    """``vlinks``: pairs of VNodes, or of one and OUT, and the VLAN; outside it is 1000 more."""
    hosts = {v.id: v.host for v in vnodes} | {OUT: "s2"}
    links = tuple(
        MappedVLink(
            f"{a}-{b}".replace(":", "."),
            vlan,
            10**9,
            (a, b),
            way(hosts[a], hosts[b]),
            vlan + 1000 if OUT in (a, b) else 0,
        )
        for a, b, vlan in vlinks
    )
    return Mapped(reservation_id, version, vnodes, links, off=off)


def placement(of: Mapped) -> Placement:
    return Placement((), (), of.to_json())


def embedder(clock: Clock | None = None, settings: HostingSettings | None = None) -> Embedder:
    settings = settings or HostingSettings()
    return open_embedder(HOSTS, SWITCHES, WIRING, settings, clock or SystemClock())


def memory(of: Embedder) -> MemoryHosts:
    plugin = of.hosts.plugin("h1")
    assert isinstance(plugin, MemoryHosts)
    return plugin


async def on(of: Embedder, hosts: tuple[HostSpec, ...] = HOSTS) -> dict[str, dict[str, str]]:
    """Per host the VNodes that it has, and their states."""
    return {
        spec.name: {
            str(name): condition.state.value
            for name, condition in (await of.hosts.plugin(spec.name).found(spec.name)).items()
        }
        for spec in hosts
    }


def frame(name: str, vlan: int, reservation_id: str = "r1") -> Frame:
    """As a VNode sends it."""
    port = vnode_port(VNodeName(reservation_id, name))
    return Frame(port, vlan, "192.0.2.1", "192.0.2.2", 1, 2)
