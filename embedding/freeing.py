"""What it would cost to free some share of the hosts: moves of VNodes, with paths that hold.

Hosts with the least to move are emptied first, and idle ones before all, request by request: the
VNodes on such a host go elsewhere, and the rest of their request follows only if it must. No set
of hosts can be freed for less than what runs on the hosts with the least, which bounds the cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from embedding.embed import embed
from embedding.model import Embedding, Request
from embedding.network import Network
from embedding.objectives import migration
from embedding.problem import Problem

Embedded = Mapping[str, tuple[Request, Embedding]]
"""Requests by name, and where they are."""


@dataclass(frozen=True, slots=True)
class Move:
    """A VNode of a request, from one host to another."""

    request: str
    vnode: str
    source: str
    target: str
    cost: float


@dataclass(frozen=True, slots=True)
class Freeing:
    """``hosts``: those that are free after the moves, ``wanted``: how many were asked for.

    ``cost``: of all moves; no way to free as many costs less than ``bound``. ``embeddings``: of
    the requests that change, after it; their VLinks may go over other links.
    """

    hosts: tuple[str, ...]
    wanted: int
    moves: tuple[Move, ...]
    cost: float
    bound: float
    embeddings: Mapping[str, Embedding]

    @property
    def complete(self) -> bool:
        """Whether as many are free as were asked for."""
        return len(self.hosts) >= self.wanted


def free_hosts(network: Network, embedded: Embedded, share: float) -> Freeing:
    """Plans it; nothing changes. ``share``: of all hosts, above 0, at most 1. Raises ValueError."""
    if not 0 < share <= 1:
        raise ValueError(f"share: given {share:g}, possible: above 0, at most 1")
    wanted = math.ceil(share * network.hosts - 1e-9)
    found = _Freeing(network, embedded).run(wanted)
    if found.complete or not found.hosts:
        return found
    # Hosts that could not be freed after all were kept clear for nothing.
    fewer = _Freeing(network, embedded).run(len(found.hosts))
    return replace(min(found, fewer, key=lambda each: (-len(each.hosts), each.cost)), wanted=wanted)


class _Freeing:
    def __init__(self, network: Network, embedded: Embedded) -> None:
        self._network, self._before = network, embedded
        self._now = dict(embedded)
        self._free = network.free_after(embedded)
        self._costs = dict.fromkeys((host.name for host in network.substrate.hosts), 0.0)
        for request, embedding in embedded.values():
            for vnode in request.vnodes:
                self._costs[embedding.hosts[vnode.name]] += vnode.move_cost

    def run(self, wanted: int) -> Freeing:
        busy = {host for _, embedding in self._before.values() for host in embedding.hosts.values()}
        order = sorted(self._costs, key=lambda host: (self._costs[host], host in busy, host))
        freed: list[str] = []
        for i, host in enumerate(order):
            if len(freed) == wanted:
                break
            next_ones = order[i : i + wanted - len(freed)]
            if self._empty(host, {*freed, *next_ones}):
                freed.append(host)
        bound = sum(self._costs[host] for host in order[: len(freed)])
        moves = tuple(self._moves())
        cost = sum(move.cost for move in moves)
        changed = {
            name: now
            for name, (_, now) in sorted(self._now.items())
            if now is not self._before[name][1]
        }
        return Freeing(tuple(freed), wanted, moves, cost, min(bound, cost), changed)

    def _empty(self, host: str, closed: set[str]) -> bool:
        """Moves all that is on a host to others that are not ``closed``; or nothing at all."""
        kept = dict(self._now), self._free
        tenants = [name for name, (_, at) in sorted(self._now.items()) if host in at.hosts.values()]
        for name in tenants:
            if not self._move(name, host, closed):
                self._now, self._free = kept
                return False
        return True

    def _move(self, name: str, host: str, closed: set[str]) -> bool:
        request, present = self._now[name]
        free = self._free.more(self._network.use(request, present))
        open_ = frozenset(set(self._costs) - closed)
        staying = {v: at for v, at in present.hosts.items() if at != host}
        for fixed in (staying, {}):
            problem = Problem(self._network, free, _narrowed(request, fixed, open_), present)
            found = embed(problem, migration, time_limit_s=0).embedding
            if found is not None:
                self._now[name] = (request, found)
                self._free = free.less(self._network.use(request, found))
                return True
        return False

    def _moves(self) -> Iterable[Move]:
        for name, (request, embedding) in sorted(self._now.items()):
            before = self._before[name][1].hosts
            for vnode in request.vnodes:
                source, target = before[vnode.name], embedding.hosts[vnode.name]
                if source != target:
                    yield Move(name, vnode.name, source, target, vnode.move_cost)


def _narrowed(request: Request, fixed: Mapping[str, str], open_: frozenset[str]) -> Request:
    """The request, with some VNodes where they are, and the others on open hosts."""
    vnodes = tuple(
        replace(
            vnode,
            hosts=frozenset({fixed[vnode.name]})
            if vnode.name in fixed
            else (open_ if vnode.hosts is None else open_ & vnode.hosts),
        )
        for vnode in request.vnodes
    )
    return replace(request, vnodes=vnodes)
