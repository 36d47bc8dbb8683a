"""What a provider's hosts and inner switches have, and whether that is what parts in force say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agents.backends.hosts.embedder import Embedder
from agents.backends.hosts.fabric import vnode_port
from agents.backends.hosts.guest import Guest
from agents.backends.hosts.memory import MemoryHosts, _VNode
from agents.backends.hosts.plugins import Hosts
from agents.backends.hosts.port import PowerState, VNodeName, VNodeSpec
from agents.backends.switch import Frame
from agents.values import Record
from cloudnets.mapped import Mapped, MappedVLink, MappedVNode
from simulations.faults.embedded import mapped_of
from simulations.faults.words import short


def running(embedder: Embedder) -> dict[tuple[str, VNodeName], tuple[VNodeSpec, PowerState]]:
    """All that is on any host."""
    return {
        (host, name): (vnode.spec, vnode.state) for host, name, vnode in _on_all(embedder.hosts)
    }


def guests(embedder: Embedder) -> dict[VNodeName, Guest]:
    """What runs in each VNode that runs: the same for as long as it is not interrupted."""
    return {
        name: vnode.guest for _, name, vnode in _on_all(embedder.hosts) if vnode.guest is not None
    }


def at_work(hosts: Hosts) -> Iterator[tuple[VNodeName, Guest]]:
    """What runs in each VNode that runs and does not stand still."""
    for _, name, vnode in _on_all(hosts):
        if vnode.guest is not None and vnode.state is PowerState.RUNNING:
            yield name, vnode.guest


def _on_all(hosts: Hosts) -> Iterator[tuple[str, VNodeName, _VNode]]:
    for host in hosts.specs:
        plugin = hosts.plugin(host)
        assert isinstance(plugin, MemoryHosts)
        for name, vnode in plugin._vnodes[host].items():
            yield host, name, vnode


def undone(embedder: Embedder, in_force: Iterable[Record]) -> list[str]:
    """Where hosts and switches are not as the parts say that are in force now."""
    wanted: dict[tuple[str, VNodeName], MappedVNode] = {}
    problems: list[str] = []
    has = running(embedder)
    for record in in_force:
        names = names_of(record)
        mapped = mapped_of(record.part.mapping) if names else None
        if mapped is not None:
            pairs = zip(names, mapped.vnodes, strict=True)
            wanted |= {(vnode.host, name): vnode for name, vnode in pairs}
            problems += _unforwarded(embedder, mapped)
    for host, name in sorted(has.keys() | wanted.keys()):
        word = f"{short(name.reservation_id)}:{name.vnode}"
        if (host, name) not in wanted:
            problems.append(f"{host} has {word}, which nobody was promised now")
        elif (host, name) not in has:
            problems.append(f"{host} does not have {word}")
        else:
            spec, state = has[(host, name)]
            vnode = wanted[(host, name)]
            amounts = vnode.mcores, vnode.memory_bytes, vnode.disk_bytes
            if state is not PowerState.RUNNING:
                problems.append(f"{word} on {host} is {state.value}")
            if (spec.mcores, spec.memory_bytes, spec.disk_bytes) != amounts:
                problems.append(f"{word} on {host} has not the amounts of its part")
    return problems


def _unforwarded(embedder: Embedder, mapped: Mapped) -> list[str]:
    """VLinks of which a frame does not come out at the other end, either way."""
    problems = []
    for vlink in mapped.vlinks:
        ends = [_end(embedder, mapped, vlink, end) for end in vlink.ends]
        for (node, port, vlan), (_, out_port, out_vlan) in (ends, ends[::-1]):
            frame = Frame(port, vlan, "10.0.0.1", "10.0.0.2", 1, 2)
            out = embedder.fabric.trace(node, frame)
            if out is None or (out[1].port, out[1].vlan) != (out_port, out_vlan):
                problems.append(f"VLink {vlink.id} of {short(mapped.reservation_id)} leads nowhere")
                break
    return problems


def _end(embedder: Embedder, mapped: Mapped, vlink: MappedVLink, end: str) -> tuple[str, str, int]:
    """The node where a VLink ends, its port there, and the VLAN at it."""
    vnode = mapped.vnode(end)
    if vnode is not None:
        return vnode.host, vnode_port(VNodeName(mapped.reservation_id, end)), vlink.vlan
    return embedder.fabric.wiring.ports[end], end, vlink.outer_vlan


def names_of(record: Record) -> list[VNodeName]:
    """The VNodes of a part."""
    prep = record.part.prep
    mapped = mapped_of(record.part.mapping) if prep is not None and prep.graph else None
    return [VNodeName(mapped.reservation_id, v.id) for v in mapped.vnodes] if mapped else []
