"""A partial graph over a substrate, as a request for :mod:`embedding`.

VNodes that must be on one host become one; those that must not are kept apart. A VLink that leaves
is pinned: its far end is a VNode without amounts at the node of the port. An amount that VNodes
share is drawn from one that their hosts share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

from cloudnets.drawing import Demand, missing_of_all
from cloudnets.partials import Asked, AskedVLink, Refused, amount_of, kind_of
from cloudnets.underlay import HOST, Room, Underlay, above
from embedding.model import Request, VLink, VNode
from rdl.attributes import NODE, PIP, RESOURCE, family, within
from rdl.matching import Misfit
from rdl.model import NetworkElement, Relation, RelationKind, SharedResource
from rdl.partial import VLAN
from rdl.units import Amount
from substrate.model import RefusalKind, Shortage
from substrate.vlans import ALL_VLANS, VlanSet

NO_POOLS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be embedded. ``leaders``: of each VNode the one that stands for its host.

    ``allowed``: of each leader the hosts that it matches. ``taken``: of supplies, by number, what
    VNodes share. ``against``: of each VLink the links that it must not take, and why.
    """

    asked: Asked
    leaders: Mapping[str, str]
    allowed: Mapping[str, frozenset[str]]
    demands: tuple[Demand, ...]
    taken: Mapping[int, int]
    apart: tuple[tuple[str, str], ...]
    against: Mapping[str, Mapping[str, Misfit]]
    pins: Mapping[str, str]

    def request(self, hosts: Mapping[str, frozenset[str]], *, shares_hosts: bool = True) -> Request:
        """With these hosts only for VNodes that are named, else all that they match."""
        amounts: dict[str, dict[str, float]] = {leader: {} for leader in self.allowed}
        for demand in self.demands:
            mine = amounts[self.leaders[demand.vnode]]
            for kind in above(demand.attribute):
                mine[kind] = mine.get(kind, 0.0) + demand.amount
        vnodes = [
            VNode(leader, amounts[leader], hosts.get(leader, allowed))
            for leader, allowed in self.allowed.items()
        ]
        vnodes += [VNode(name, {}, frozenset({node})) for name, node in self.pins.items()]
        return Request(tuple(vnodes), tuple(self._vlinks()), shares_hosts, self.apart)

    def _vlinks(self) -> Iterator[VLink]:
        for vlink in self.asked.vlinks:
            a, b = self.ends(vlink)
            if a != b:
                yield VLink(a, b, vlink.bandwidth_bps, name=vlink.element.id)

    def ends(self, vlink: AskedVLink) -> tuple[str, str]:
        """The names of both ends in the request."""
        first, second = vlink.ends
        return self.leaders[first], pin(second) if vlink.leaves else self.leaders[second]


def pin(stp: str) -> str:
    """The name of what stands for a port; no VNode is called so."""
    return f"port {stp}"


def translate(
    underlay: Underlay, asked: Asked, room: Room, pools: Mapping[str, int] = NO_POOLS
) -> Task:
    """Raises Refused where it can be seen, without embedding, that nothing will do.

    ``pools``: supplies, by number, for what VNodes share; else that with the most left.
    """
    allowed = {}
    for vnode in asked.vnodes:
        allowed[vnode.id] = underlay.hosts_for(vnode)
        if not allowed[vnode.id]:
            raise _no_host(vnode, underlay.why_none(vnode))
    demands = [
        Demand(vnode.id, each.attribute, each.amount.value)
        for vnode in asked.vnodes
        for each in vnode.resources
        if each.amount is not None
    ]
    taken: dict[int, int] = {}
    for shared in asked.graph.shared:
        users = [vnode.id for vnode in asked.vnodes if shared.id in vnode.shares]
        if len(users) == 1:
            demands.append(Demand(users[0], shared.attribute, shared.amount.value))
        elif users:
            hosts = [allowed[user] for user in users]
            i = _pool(underlay, shared, users, hosts, room, taken, pools.get(shared.id))
            taken[i] = taken.get(i, 0) + shared.amount.value
            for user in users:
                allowed[user] &= frozenset(underlay.supplies[i].hosts)
    _enough(
        underlay,
        [max(0, n - taken.get(i, 0)) for i, n in enumerate(room.supplies)],
        demands,
        allowed,
    )
    leaders, apart = _relations(asked)
    together: dict[str, frozenset[str]] = {}
    for name, leader in leaders.items():
        together[leader] = together.get(leader, allowed[name]) & allowed[name]
        if not together[leader]:
            reason = f"no host will do for both {leader} and {name}"
            raise Refused(RefusalKind.FEATURE, reason, HOST, elements=(leader, name))
    pins = {pin(v.ends[1]): _node(underlay, v.ends[1]) for v in asked.vlinks if v.leaves}
    against = {vlink.element.id: _against(underlay, vlink) for vlink in asked.vlinks}
    return Task(asked, leaders, together, tuple(demands), taken, apart, against, pins)


def _no_host(vnode: NetworkElement, why: Misfit) -> Refused:
    """Nothing of what hosts have is told, only what none of them serves."""
    field, lacking, asked = f"elements.{vnode.id}", why.attribute, 0
    if lacking == vnode.attribute:
        reason = f"{field}: no host is of {lacking} and has all that is asked for"
        kind = RefusalKind.FEATURE
    else:
        reason = f"{field}: no host will do: none serves its {lacking}"
        asked = amount_of(vnode, lacking)
        kind = RefusalKind.RESOURCE if family(lacking) == RESOURCE else RefusalKind.FEATURE
    return Refused(
        kind,
        reason,
        lacking,
        elements=(vnode.id,),
        # None has any of it.
        short=asked or None,
        asked=asked or None,
        inside=f"{field}: no host will do: {why}",
    )


def pools_for(underlay: Underlay, asked: Asked) -> Iterator[Mapping[str, int]]:
    """For :func:`translate`: as it likes best, then each other supply for what VNodes share."""
    yield NO_POOLS
    for shared in asked.graph.shared:
        if sum(shared.id in vnode.shares for vnode in asked.vnodes) > 1:
            for i, supply in enumerate(underlay.supplies):
                if len(supply.hosts) > 1 and within(supply.attribute, shared.attribute):
                    yield {shared.id: i}


def _pool(
    underlay: Underlay,
    shared: SharedResource,
    users: Sequence[str],
    allowed: list[frozenset[str]],
    room: Room,
    taken: Mapping[int, int],
    only: int | None,
) -> int:
    """The shared supply with the most left that serves all who share. Raises Refused."""
    serving = [
        (room.supplies[i] - taken.get(i, 0), i)
        for i, supply in enumerate(underlay.supplies)
        if len(supply.hosts) > 1
        and only in (None, i)
        and within(supply.attribute, shared.attribute)
        and all(not hosts.isdisjoint(supply.hosts) for hosts in allowed)
    ]
    if not serving:
        reason = f"no hosts that will do share any {shared.attribute}"
        reason = f"shared.{shared.id}: {reason}"
        raise Refused(RefusalKind.RESOURCE, reason, shared.attribute, elements=users)
    most, i = max(serving, key=lambda each: (each[0], -each[1]))
    if most < shared.amount.value:
        asked = shared.amount
        short = Amount(asked.value - most, asked.unit)
        raise Refused(
            RefusalKind.RESOURCE,
            f"shared.{shared.id}: {short} of {shared.attribute} short",
            shared.attribute,
            elements=users,
            short=short.value,
            asked=asked.value,
            inside=f"shared.{shared.id}: {short} short of {underlay.supplies[i].resource.name}",
        )
    return i


def _enough(
    underlay: Underlay,
    left: list[int],
    demands: list[Demand],
    allowed: Mapping[str, frozenset[str]],
) -> None:
    short = missing_of_all(underlay, left, demands, allowed)
    if short:
        units = underlay.units
        reasons = [
            f"{Amount(needed - free, units[kind])} of {kind} short at all hosts together: "
            f"{Amount(needed, units[kind])} asked for, {Amount(free, units[kind])} free"
            for kind, (needed, free) in short.items()
        ]
        first = min(short)
        needed, free = short[first]
        told = {
            kind: [*dict.fromkeys(d.vnode for d in demands if within(d.attribute, kind))]
            for kind in short
        }
        raise Refused(
            kind_of(first),
            "; ".join(reasons),
            first,
            elements=told[first],
            short=needed - free,
            asked=needed,
            shortages=[
                Shortage(kind, "", needed - free, needed, tuple(told[kind]))
                for kind, (needed, free) in sorted(short.items())
            ],
        )


def _relations(asked: Asked) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """Who stands for each VNode's host, and which of them must not meet. Raises Refused."""
    leaders = {vnode.id: vnode.id for vnode in asked.vnodes}
    about = [relation for relation in asked.graph.relations if family(relation.of) == NODE]
    for relation in about:
        if relation.kind is RelationKind.SAME:
            if relation.elsewhere:
                raise _impossible(relation, f"the same, with {relation.elsewhere} elsewhere")
            if relation.of != PIP:
                group = {leaders[name] for name in relation.elements if name in leaders}
                first = min(group, default="")
                leaders = {v: first if at in group else at for v, at in leaders.items()}
    apart = set()
    for relation in about:
        here = sorted({name for name in relation.elements if name in leaders})
        if relation.kind is RelationKind.SAME:
            continue
        if relation.of == PIP and len(here) > 1:
            raise _impossible(relation, f"{', '.join(here)} are at one provider")
        for a, b in combinations(here, 2):
            if leaders[a] == leaders[b]:
                raise _impossible(relation, f"{a} and {b} are on one host by another relation")
            apart.add((min(leaders[a], leaders[b]), max(leaders[a], leaders[b])))
    return leaders, tuple(sorted(apart))


def _impossible(relation: Relation, reason: str) -> Refused:
    field = f"relations.{relation.id}"
    reason = f"{field}: {relation.of} cannot be as asked: {reason}"
    return Refused(RefusalKind.FEATURE, reason, relation.of, elements=relation.elements)


def _node(underlay: Underlay, stp: str) -> str:
    node = underlay.port_nodes.get(stp)
    if node is None:
        raise Refused(RefusalKind.TOPOLOGY, f"{stp} is no port of this provider", stp)
    return node


def _against(underlay: Underlay, vlink: AskedVLink) -> dict[str, Misfit]:
    found = underlay.links_against(vlink.element)
    wanted = VlanSet.of(vlink.vlan) if vlink.vlan else ALL_VLANS
    for feature in vlink.element.features if not vlink.vlan else ():
        if feature.attribute == VLAN and isinstance(feature.value, VlanSet):
            wanted &= feature.value
    for name, vlans in underlay.link_vlans.items():
        if (wanted & vlans).lowest() is None:
            found.setdefault(name, Misfit(VLAN, f"takes VLANs {vlans}, not {wanted}"))
    return found
