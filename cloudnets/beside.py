"""Room for a new version of a CloudNet beside VNodes that it leaves out: they stand by for a while.

The calendars count versions as alternatives, so that a new one may have the place of an old one.
Where there is room for both, nothing of the new one has to wait until the old one is released.
"""

from __future__ import annotations

from collections.abc import Sequence

from cloudnets.drawing import Demand, Lack, draw
from cloudnets.holding import Found
from cloudnets.mapped import RESOURCES, Mapped, MappedVNode
from cloudnets.partials import Asked
from cloudnets.underlay import Room, Underlay


def beside(underlay: Underlay, asked: Asked, room: Room, present: Mapped | None) -> Room | None:
    """What is free beside what ``present`` has and ``asked`` has not. None: there is nothing of
    the kind, or it is not known on what it draws."""
    wanted = {vnode.id for vnode in asked.vnodes}
    over = [v for v in (present.vnodes if present else ()) if v.id not in wanted]
    drawn = drawn_by(underlay, room, over) if over else None
    if drawn is None:
        return None
    left = tuple(free - drawn.get(i, 0) for i, free in enumerate(room.supplies))
    return Room(left, room.links)


def drawn_by(
    underlay: Underlay, room: Room, vnodes: Sequence[MappedVNode]
) -> dict[int, int] | None:
    """What VNodes take of each supply, by its number, where they are. None: a host is not there, or
    there is not that much."""
    if any(vnode.host not in underlay.hosts for vnode in vnodes):
        return None
    demands = [
        Demand(vnode.id, resource, amount)
        for vnode in vnodes
        for resource, amount in zip(RESOURCES, vnode.amounts, strict=True)
        if amount
    ]
    drawn = draw(underlay, room.supplies, demands, {vnode.id: vnode.host for vnode in vnodes})
    return None if isinstance(drawn, Lack) else drawn


def stays(found: Found, present: Mapped | None) -> bool:
    """Whether all that is in both is where it was."""
    before = present.vnodes if present is not None else ()
    return all(found.hosts.get(vnode.id, vnode.host) == vnode.host for vnode in before)
