"""VNodes of placements as hosts are to make them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agents.backends.hosts.port import Nic, VNodeName, VNodeSpec
from cloudnets.mapped import Mapped, MappedVNode
from substrate.values import replace


def spec_of(mapped: Mapped, vnode: MappedVNode) -> VNodeSpec:
    """A VNode as its host is to make it."""
    nics = [Nic(vlink.id, vlink.vlan) for vlink in mapped.vlinks if vnode.id in vlink.ends]
    return VNodeSpec(
        VNodeName(mapped.reservation_id, vnode.id),
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


def least_of(spec: VNodeSpec, versions: Iterable[Mapped]) -> VNodeSpec:
    """With no more of anything than it has in each of these versions of its CloudNet."""
    known = [each.amounts for each in _in_each(versions, spec.name.vnode)]
    own = spec.mcores, spec.memory_bytes, spec.disk_bytes
    mcores, memory_bytes, disk_bytes = map(min, zip(own, *known, strict=True))
    return replace(spec, mcores=mcores, memory_bytes=memory_bytes, disk_bytes=disk_bytes)


def left_by(after: Mapped, versions: Sequence[Mapped], at: Mapping[VNodeName, str]) -> set[str]:
    """Hosts that VNodes leave, or on which they give something up, from any of these versions to
    ``after``. ``at``: where each is."""
    return {
        host
        for vnode in after.vnodes
        if (host := at.get(VNodeName(after.reservation_id, vnode.id))) is not None
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
