"""What it would cost a provider to free some of its hosts: CloudNets as requests to be re-embedded.

What is asked of :mod:`embedding.freeing` is over all CloudNets that hold anything, now or later, as
if all ran at once: so whatever moves has room at its new place whenever it runs, and a host that is
freed stays free as far as is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cloudnets.holding import Found, latency_over
from cloudnets.mapped import Mapped
from cloudnets.partials import read_partial
from cloudnets.translation import Task, translate
from cloudnets.underlay import Underlay
from embedding.freeing import free_hosts
from embedding.model import Embedding, Request, Share, VNode
from rdl.completion import DEFAULTS
from substrate.model import Segment

IMMOVABLE = 1e18
"""More bytes than any substrate has."""
ANCHOR = "anchor"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A CloudNet's part that holds something; ``fixed``: it must stay where it is."""

    mapped: Mapped
    segments: tuple[Segment, ...]
    fixed: bool = False

    @property
    def name(self) -> str:
        """Unique among the live parts of a provider."""
        return f"{self.mapped.reservation_id} {self.mapped.version}"


@dataclass(frozen=True, slots=True)
class Move:
    """A VNode that goes from one host to another; ``cost_bytes``: memory and disk to be copied."""

    reservation_id: str
    vnode: str
    source: str
    target: str
    cost_bytes: int


@dataclass(frozen=True, slots=True)
class Freed:
    """``hosts``: those that are empty after the moves; ``of``: how many there are; ``wanted``: how
    many were asked for. No way to free as many costs less than ``bound_bytes``.
    """

    hosts: tuple[str, ...]
    of: int
    wanted: int
    moves: tuple[Move, ...]
    bound_bytes: float

    @property
    def cost_bytes(self) -> int:
        """Of all moves."""
        return sum(move.cost_bytes for move in self.moves)

    @property
    def emptied(self) -> int:
        """How many hosts are free that are not now."""
        return len({move.source for move in self.moves} & set(self.hosts))

    def targets(self) -> Mapping[str, Mapping[str, str]]:
        """Per reservation the new host of each VNode that moves."""
        found: dict[str, dict[str, str]] = {}
        for move in self.moves:
            found.setdefault(move.reservation_id, {})[move.vnode] = move.target
        return found


def plan_freeing(
    underlay: Underlay, tenants: Sequence[Tenant], cloud_stp: str, share: float
) -> Freed:
    """Plans it; nothing changes. ``share``: of all hosts, above 0, below 1. Raises ValueError."""
    if not 0 < share < 1:
        raise ValueError(f"share: given {share:g}, possible: above 0 and below 1")
    network, real = underlay.network, set(underlay.hosts)
    wanted = math.ceil(share * len(real) - 1e-9)
    tasks = {tenant.name: _task(underlay, tenant, cloud_stp) for tenant in tenants}
    fixed = {tenant.name for tenant in tenants if tenant.fixed}
    bound = math.inf
    while True:
        embedded = {t.name: _embedded(tasks[t.name], t, fixed=t.name in fixed) for t in tenants}
        # Nodes of ports are hosts of the network, and none that can be freed.
        for node in sorted({host.name for host in network.substrate.hosts} - real):
            anchor = VNode(ANCHOR, {}, frozenset({node}), IMMOVABLE)
            embedded[f"{ANCHOR} {node}"] = (Request((anchor,), ()), Embedding({ANCHOR: node}))
        freeing = free_hosts(network, embedded, wanted / network.hosts)
        bound = min(bound, freeing.bound)
        after = freeing.embeddings
        unfit = {
            name for name in after if name in tasks and _unfit(underlay, tasks[name], after[name])
        }
        if not unfit - fixed:
            break
        # What would come to lie where it must not stays where it is.
        fixed |= unfit
    moves = [
        move
        for tenant in tenants
        if tenant.name in after
        for move in _moves(tasks[tenant.name], tenant, after[tenant.name])
    ]
    hosts = tuple(host for host in freeing.hosts if host in real)
    return Freed(hosts, len(real), wanted, tuple(moves), bound)


def moved(mapped: Mapped, targets: Mapping[str, str]) -> Mapped:
    """With VNodes on other hosts: where they should go, for who maps it anew."""
    vnodes = tuple(
        replace(vnode, host=targets.get(vnode.id, vnode.host)) for vnode in mapped.vnodes
    )
    return replace(mapped, vnodes=vnodes)


def bytes_of(mapped: Mapped, vnode: str) -> int:
    """What must be copied to move one."""
    found = mapped.vnode(vnode)
    return found.memory_bytes + found.disk_bytes if found is not None else 0


def _task(underlay: Underlay, tenant: Tenant, cloud_stp: str) -> Task:
    """Its hosts and links are as was settled; whether there is room is not the question here."""
    whole = underlay.room(underlay.capacities.__getitem__)
    asked = read_partial(tenant.mapped.graph, tenant.segments, cloud_stp, "", DEFAULTS)
    return translate(underlay, asked, whole)


def _unfit(underlay: Underlay, task: Task, embedding: Embedding) -> bool:
    """Whether a VLink takes a link that it must not, or takes too long."""
    hosts = {v: embedding.hosts[leader] for v, leader in task.leaders.items()}
    ways = {
        vlink.element.id: shares[0].links if shares else ()
        for vlink in task.asked.vlinks
        for shares in (embedding.paths.get(vlink.element.id, ()),)
    }
    found = Found(task, hosts, ways, 0.0, 0.0)
    return latency_over(underlay, found) is not None or any(
        link in task.against[name] for name, way in ways.items() for link in way
    )


def _embedded(task: Task, tenant: Tenant, *, fixed: bool) -> tuple[Request, Embedding]:
    mapped = tenant.mapped
    hosts = {task.leaders[vnode.id]: vnode.host for vnode in mapped.vnodes} | dict(task.pins)
    costs: dict[str, float] = {}
    for vnode in mapped.vnodes:
        leader = task.leaders[vnode.id]
        costs[leader] = costs.get(leader, 0.0) + bytes_of(mapped, vnode.id)
    request = task.request({})
    vnodes = tuple(
        replace(
            vnode,
            hosts=frozenset({hosts[vnode.name]}) if fixed else vnode.hosts,
            move_cost=IMMOVABLE if fixed or vnode.name not in costs else costs[vnode.name],
        )
        for vnode in request.vnodes
    )
    request = replace(request, vnodes=vnodes, shares_hosts=True)
    known = {vlink.label for vlink in request.vlinks}
    paths = {
        vlink.id: (Share(vlink.links, vlink.bandwidth_bps),)
        for vlink in mapped.vlinks
        if vlink.links and vlink.id in known
    }
    return request, Embedding(hosts, paths)


def _moves(task: Task, tenant: Tenant, embedding: Embedding) -> Iterable[Move]:
    mapped = tenant.mapped
    for vnode in mapped.vnodes:
        target = embedding.hosts[task.leaders[vnode.id]]
        if target != vnode.host:
            cost = bytes_of(mapped, vnode.id)
            yield Move(mapped.reservation_id, vnode.id, vnode.host, target, cost)
