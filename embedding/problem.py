"""A request over what is free of a network, as arrays."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from embedding.model import Embedding, ModelError, Request, resources_of
from embedding.network import Bools, Floats, Free, Ints, Network, amounts_matrix
from embedding.rules import Numbered, Rules

TOLERANCE = 1e-6
"""Of a capacity: what the arithmetic of solvers may go wrong by."""


class Problem:
    """VNodes × hosts. Raises ModelError.

    ``present``: where the request is now, if it is; ``free`` is without it. ``rules``: what
    placements must keep beside.
    """

    def __init__(
        self,
        network: Network,
        free: Free,
        request: Request,
        present: Embedding | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.network, self.free, self.request, self.present = network, free, request, present
        number = {vnode.name: i for i, vnode in enumerate(request.vnodes)}
        self.vnodes = len(request.vnodes)
        strange = set(resources_of(request.vnodes)) - set(network.resources)
        self.missing = tuple(sorted(name for name in strange if self._asked(name)))
        needed = [vnode.amounts for vnode in request.vnodes]
        self.need: Floats = amounts_matrix(needed, network.resources)
        self.allowed: Bools = self._allowed()
        ends = [(number[vlink.a], number[vlink.b]) for vlink in request.vlinks]
        self.ends: Ints = np.array(ends, np.int64).reshape(-1, 2)
        self.bandwidth: Floats = np.array([vlink.bandwidth for vlink in request.vlinks], float)
        self.splittable: Bools = np.array([vlink.splittable for vlink in request.vlinks], bool)
        self.apart: Bools = np.full((self.vnodes, self.vnodes), not request.shares_hosts)
        for a, b in request.apart:
            self.apart[number[a], number[b]] = self.apart[number[b], number[a]] = True
        np.fill_diagonal(self.apart, False)
        self.neighbours: tuple[tuple[tuple[int, int], ...], ...] = self._neighbours()
        self.said_rules = rules or Rules()
        self.rules = Numbered(self, self.said_rules)
        for refused in self.rules.refused:
            if len(refused.vnodes) == 1:
                self.allowed[refused.vnodes[0], refused.host] = False

    def _asked(self, resource: str) -> bool:
        return any(vnode.amounts.get(resource, 0) > 0 for vnode in self.request.vnodes)

    def _allowed(self) -> Bools:
        allowed = np.ones((self.vnodes, self.network.hosts), bool)
        known: dict[frozenset[str], Bools] = {}
        for i, vnode in enumerate(self.request.vnodes):
            if vnode.hosts is None:
                continue
            if vnode.hosts not in known:
                known[vnode.hosts] = self._row(vnode.name, vnode.hosts)
            allowed[i] = known[vnode.hosts]
        return allowed

    def _row(self, vnode: str, hosts: frozenset[str]) -> Bools:
        row = np.zeros(self.network.hosts, bool)
        for name in sorted(hosts):
            host = self.network.number.get(name, self.network.hosts)
            if host >= self.network.hosts:
                raise ModelError(f"VNode {vnode}: hosts: there is no host {name}")
            row[host] = True
        return row

    def _neighbours(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        near: list[list[tuple[int, int]]] = [[] for _ in range(self.vnodes)]
        for k, (a, b) in enumerate(self.ends.tolist()):
            near[a].append((b, k))
            near[b].append((a, k))
        return tuple(tuple(some) for some in near)

    @cached_property
    def distinct(self) -> bool:
        """Whether no two VNodes may meet."""
        return bool(self.apart.sum() == self.vnodes * (self.vnodes - 1))

    @cached_property
    def fits(self) -> Bools:
        """Whether a VNode fits on a host: allowed there, amounts free, a way out for its VLinks."""
        slack = TOLERANCE * self.network.capacity.host
        fits: Bools = self.allowed & (not self.missing)
        for resource in range(self.need.shape[1]):
            room = self.free.host[:, resource] + slack[:, resource]
            fits = fits & (self.need[:, resource, None] <= np.maximum(room, 0.0))
        if self.apart.any():
            fits = fits & (self.outgoing[:, None] <= self.ports * (1 + TOLERANCE))
        return fits

    @cached_property
    def outgoing(self) -> Floats:
        """Per VNode the bandwidth of VLinks that must leave its host."""
        total = np.zeros(self.vnodes)
        for (a, b), bandwidth in zip(self.ends.tolist(), self.bandwidth.tolist(), strict=True):
            if self.apart[a, b]:
                total[a] += bandwidth
                total[b] += bandwidth
        return total

    @cached_property
    def ports(self) -> Floats:
        """Per host the bandwidth free on all its links."""
        total = np.zeros(len(self.network.names))
        room = np.maximum(self.free.link, 0)
        np.add.at(total, self.network.ends[:, 0], room)
        np.add.at(total, self.network.ends[:, 1], room)
        return total[: self.network.hosts]

    @cached_property
    def used_share(self) -> Floats:
        """Hosts × resources: the share that is taken; of nothing, none."""
        capacity = self.network.capacity.host
        return np.divide(
            capacity - self.free.host, capacity, out=np.zeros_like(capacity), where=capacity > 0
        )

    @cached_property
    def used_link_share(self) -> Floats:
        """Per link the share that is taken."""
        capacity = self.network.capacity.link
        return np.divide(
            capacity - self.free.link, capacity, out=np.zeros_like(capacity), where=capacity > 0
        )

    @cached_property
    def share_after(self) -> Floats:
        """VNodes × hosts: the largest share taken there then, of links of the host on average."""
        capacity = self.network.capacity.host
        shares = np.divide(
            self.need[:, None, :],
            capacity[None],
            out=np.zeros((self.vnodes, *capacity.shape)),
            where=capacity[None] > 0,
        )
        after = (self.used_share[None] + shares).max(axis=2, initial=0.0)
        whole = np.zeros(len(self.network.names))
        np.add.at(whole, self.network.ends, self.network.capacity.link[:, None])
        ports = whole[: self.network.hosts]
        carried = ports - self.ports + self.outgoing[:, None]
        share = np.divide(carried, ports, out=np.zeros_like(carried), where=ports > 0)
        return np.asarray(np.maximum(after, share))

    def within(self, share: float) -> Problem:
        """The same, with no more to be taken of anything than this share of it."""
        capacity, free = self.network.capacity, self.free
        spared = Free(capacity.host * (1 - share), capacity.link * (1 - share))
        return Problem(self.network, free.less(spared), self.request, self.present, self.said_rules)

    def spread(self) -> Problem:
        """The same, with no two VNodes on a host."""
        request = replace(self.request, shares_hosts=False)
        return Problem(self.network, self.free, request, self.present, self.said_rules)

    @cached_property
    def weights(self) -> Floats:
        """VNodes × VNodes: bandwidth between them."""
        weights = np.zeros((self.vnodes, self.vnodes))
        for (a, b), bandwidth in zip(self.ends.tolist(), self.bandwidth.tolist(), strict=True):
            weights[a, b] += bandwidth
            weights[b, a] += bandwidth
        return weights
