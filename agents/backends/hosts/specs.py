"""VNodes of placements as hosts are to make them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agents.backends.hosts.port import Nic, VNodeName, VNodeSpec
from cloudnets.mapped import Mapped, MappedVNode
from substrate.values import replace


def name_of(mapped: Mapped, vnode: MappedVNode) -> VNodeName:
    """As hosts know it."""
    return VNodeName(mapped.reservation_id, vnode.id)


def spec_of(mapped: Mapped, vnode: MappedVNode) -> VNodeSpec:
    """A VNode as its host is to make it."""
    nics = [Nic(vlink.id, vlink.vlan) for vlink in mapped.vlinks if vnode.id in vlink.ends]
    return VNodeSpec(
        name_of(mapped, vnode),
        vnode.mcores,
        vnode.memory_bytes,
        vnode.disk_bytes,
        vnode.image,
        tuple(nics),
    )


def lines_of(mapped: Mapped) -> list[str]:
    """Its VNodes, one readable line each."""
    return [
        f"{vnode.id} on {vnode.host}: {vnode.mcores} mcores, {vnode.memory_bytes} bytes of "
        f"memory, {vnode.disk_bytes} of disk{', off' if vnode.id in mapped.still else ''}"
        for vnode in mapped.vnodes
    ]


def less_of(had: VNodeSpec, vnode: MappedVNode) -> VNodeSpec:
    """As it is, with no more cores and memory than it will have; its disk is never taken from."""
    mcores, memory_bytes = min(had.mcores, vnode.mcores), min(had.memory_bytes, vnode.memory_bytes)
    return replace(had, mcores=mcores, memory_bytes=memory_bytes)


def left_by(after: Mapped, versions: Sequence[Mapped], at: Mapping[VNodeName, str]) -> set[str]:
    """Hosts that VNodes leave, or on which they give something up, from any of these versions to
    ``after``. ``at``: where each is."""
    return {
        host
        for vnode in after.vnodes
        if (host := at.get(name_of(after, vnode))) is not None
        and (
            host != vnode.host
            or any(
                had > has
                for known in _in_each(versions, vnode.id)
                for had, has in zip(known.amounts, vnode.amounts, strict=True)
            )
        )
    }


def _in_each(versions: Iterable[Mapped], vnode: str) -> list[MappedVNode]:
    return [known for version in versions if (known := version.vnode(vnode)) is not None]
