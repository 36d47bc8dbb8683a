"""From an embedding to what is held: exact amounts, VLANs, and what is written down of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cloudnets.drawing import Lack, draw
from cloudnets.lacking import lacks, too_late, too_thin
from cloudnets.mapped import Mapped, MappedVLink, MappedVNode
from cloudnets.nearness import latency_us, most_us_of
from cloudnets.partials import AskedVLink, Refused, amount_of
from cloudnets.translation import Task
from cloudnets.underlay import Room, Underlay
from embedding.answer import ProofScope, Status, closes, gap_of
from embedding.embed import GAP
from rdl.attributes import within
from rdl.codec import to_bytes
from rdl.model import NetworkElement
from rdl.partial import VLAN
from substrate.calendar import Resource
from substrate.model import RefusalKind
from substrate.values import dataclass
from substrate.vlans import ALL_VLANS, VlanSet

IMAGE = "/feature/image"


@dataclass(frozen=True, slots=True)
class Found:
    """An embedding of a task. ``hosts``: of each VNode. ``ways``: links of each VLink, in order
    from its first end. ``cost``: by the objective; ``gap``: how much less is worth looking for, as
    a share of it. ``bound``: nothing in ``scope`` costs less: all embeddings ("whole"), those on
    hosts that were picked ("pruned"), or those that leave VNodes where they are ("present").
    """

    task: Task
    hosts: Mapping[str, str]
    ways: Mapping[str, tuple[str, ...]]
    cost: float
    gap: float
    bound: float = 0.0
    scope: str = ProofScope.WHOLE.value

    @property
    def proof(self) -> dict[str, str | float]:
        """How good it is: status, objective, bound, gap (of objective and bound) and scope."""
        gap = gap_of(self.cost, self.bound)
        status = Status.OPTIMAL if closes(gap, GAP) else Status.FEASIBLE
        return {
            "status": status.value,
            "objective": self.cost,
            "bound": self.bound,
            "gap": gap,
            "scope": self.scope,
        }


@dataclass(frozen=True, slots=True)
class Settled:
    """What is held of the calendar, more than 0 each, and the mapping itself."""

    mapped: Mapped
    taken: Mapping[Resource, int]


def settle(
    underlay: Underlay,
    found: Found,
    room: Room,
    vlans: VlanSet,
    part: tuple[str, int],
    present: Mapped | None = None,
    awaits: Sequence[str] = (),
) -> Settled:
    """The embedding as it can be held now. ``vlans``: free inside. ``part``: of which reservation
    and version. ``awaits``: VNodes that a new part awaits. Raises Refused where the room does not
    suffice any more.
    """
    task = found.task
    drawn = draw(underlay, left_over(task, room), task.demands, found.hosts)
    if isinstance(drawn, Lack):
        raise lacks(underlay, drawn)
    full = overfull(found, room)
    if full:
        raise full
    taken: dict[Resource, int] = {}
    for amounts in (task.taken, drawn):
        for i, amount in amounts.items():
            resource = underlay.supplies[i].resource
            taken[resource] = taken.get(resource, 0) + amount
    for name, bandwidth_bps in _carried(found).items():
        taken |= dict.fromkeys(underlay.links[name].resources, bandwidth_bps)
    vlinks = _vlinks(underlay, found, vlans, present)
    vnodes = tuple(mapped_on(underlay, v, found.hosts[v.id]) for v in task.asked.vnodes)
    off = tuple(name for name in (present.off if present else ()) if name in found.hosts)
    same = present is not None and (present.reservation_id, present.version) == part
    before = present.awaits if present is not None else ()
    # A part that is mapped anew knows better than when it was asked for which are there by now.
    still = {name for name in (before if same else (*before, *awaits)) if name in found.hosts}
    leaves = tuple(n for n in (present.leaves if present and same else ()) if n in found.hosts)
    mapped = Mapped(
        *part,
        vnodes,
        vlinks,
        to_bytes(task.asked.graph),
        off,
        awaits=tuple(sorted(still)),
        leaves=leaves,
        paused=tuple(n for n in (present.paused if present else ()) if n in {*still, *leaves}),
        left_ms=tuple(each for each in (present.left_ms if present else ()) if each[0] in leaves),
    )
    return Settled(mapped, taken)


def left_over(task: Task, room: Room) -> list[int]:
    """Of each supply what is free beside what VNodes share."""
    return [max(0, free - task.taken.get(i, 0)) for i, free in enumerate(room.supplies)]


def overfull(found: Found, room: Room) -> Refused | None:
    """For the first link with too little for all VLinks."""
    for name, bandwidth_bps in _carried(found).items():
        if bandwidth_bps > room.links[name]:
            over = [vlink for vlink, way in found.ways.items() if name in way]
            return too_thin(name, bandwidth_bps - room.links[name], bandwidth_bps, over)
    return None


def latency_over(underlay: Underlay, found: Found) -> Refused | None:
    """For the first VLink whose way takes too long."""
    for vlink in found.task.asked.vlinks:
        most_us = most_us_of(vlink)
        way = found.ways[vlink.element.id]
        if most_us is not None and way:
            takes_us = sum(latency_us(underlay.links[name].element) for name in way)
            if takes_us > most_us:
                return too_late(vlink.element.id, takes_us, most_us)
    return None


def _carried(found: Found) -> dict[str, int]:
    carried: dict[str, int] = {}
    for vlink in found.task.asked.vlinks:
        for link in found.ways[vlink.element.id]:
            carried[link] = carried.get(link, 0) + vlink.bandwidth_bps
    return carried


def mapped_on(underlay: Underlay, vnode: NetworkElement, host: str) -> MappedVNode:
    """A VNode as it is on a host."""
    images = [f.value for f in vnode.features if within(f.attribute, IMAGE)]
    words = [word for value in images if isinstance(value, tuple) for word in value]
    return MappedVNode(
        id=vnode.id,
        host=host,
        attribute=underlay.hosts[host].attribute,
        mcores=amount_of(vnode, "/resource/cpu"),
        memory_bytes=amount_of(vnode, "/resource/memory"),
        disk_bytes=amount_of(vnode, "/resource/disk"),
        image=min(words, default=""),
    )


def _vlinks(
    underlay: Underlay, found: Found, vlans: VlanSet, present: Mapped | None
) -> tuple[MappedVLink, ...]:
    """VLinks with VLANs: as before where that is possible, else the lowest that is free."""
    before = {vlink.id: vlink.vlan for vlink in (present.vlinks if present is not None else ())}
    given = [vlink.vlan for vlink in found.task.asked.vlinks if vlink.leaves]
    for vlan in given:
        if given.count(vlan) > 1:
            reason = f"VLAN {vlan} is given to two VLinks that leave"
            raise Refused(RefusalKind.LABEL, reason, VLAN)
    left = vlans - VlanSet.of(*given)
    kept = VlanSet.of(*before.values())
    mapped = []
    for vlink in sorted(found.task.asked.vlinks, key=lambda v: v.element.id not in before):
        name, way = vlink.element.id, found.ways[vlink.element.id]
        vlan = vlink.vlan
        if not vlink.leaves:
            possible = left & _allowed(underlay, vlink, way)
            same = before.get(name, 0)
            picked = same if same in possible else (possible - kept).lowest() or possible.lowest()
            if picked is None:
                reason = f"elements.{name}: no VLAN is free on its way"
                raise Refused(RefusalKind.LABEL, reason, VLAN, elements=(name,))
            vlan, left = picked, left - VlanSet.of(picked)
        mapped.append(
            MappedVLink(name, vlan, vlink.bandwidth_bps, vlink.ends, way, vlink.outer_vlan)
        )
    return tuple(sorted(mapped, key=lambda each: each.id))


def _allowed(underlay: Underlay, vlink: AskedVLink, way: Sequence[str]) -> VlanSet:
    """The VLANs that a VLink may have: of its own, and of all links on its way."""
    found = ALL_VLANS
    for feature in vlink.element.features:
        if feature.attribute == VLAN and isinstance(feature.value, VlanSet):
            found &= feature.value
    for name in way:
        found &= underlay.link_vlans.get(name, ALL_VLANS)
    return found
