"""From one version of a CloudNet to the next while it runs: one VNode after the other moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from cloudnets.mapped import RESOURCES, Mapped, MappedVNode
from substrate.values import replace


def stuck(
    present: Mapped, after: Mapped, room: Callable[[str], Mapping[str, int]]
) -> tuple[str, ...]:
    """VNodes that cannot come to their hosts while all run, as others must leave there before and
    cannot either; empty: all can.

    ``room``: what a host has for this CloudNet alone, by type of resource. VNodes that ``after``
    does without make way.
    """
    lies = {vnode.id: vnode for vnode in present.vnodes if after.vnode(vnode.id) is not None}
    left, spared = list(after.vnodes), False
    if all(lies.get(vnode.id, vnode).host == vnode.host for vnode in left):
        return ()
    while left:
        waiting = [vnode for vnode in left if not _comes(vnode, lies, room(vnode.host))]
        if len(waiting) == len(left):
            if spared:
                return tuple(vnode.id for vnode in left)
            spared = True
            _spare(left, lies)
        left = waiting
    return ()


def _spare(left: Iterable[MappedVNode], lies: dict[str, MappedVNode]) -> None:
    """Those that stay first give up what they will not have, of cores and memory."""
    for vnode in left:
        had = lies.get(vnode.id)
        if had is not None and had.host == vnode.host:
            mcores = min(had.mcores, vnode.mcores)
            memory_bytes = min(had.memory_bytes, vnode.memory_bytes)
            lies[vnode.id] = replace(had, mcores=mcores, memory_bytes=memory_bytes)


def _comes(vnode: MappedVNode, lies: dict[str, MappedVNode], room: Mapping[str, int]) -> bool:
    """Whether there is room for it beside what lies there; then it lies there."""
    beside = [each for each in lies.values() if each.host == vnode.host and each.id != vnode.id]
    amounts = zip(*(each.amounts for each in (*beside, vnode)), strict=True)
    for resource, taken in zip(RESOURCES, map(sum, amounts), strict=True):
        if taken > room.get(resource, 0):
            return False
    lies[vnode.id] = vnode
    return True
