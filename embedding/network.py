"""A substrate as arrays: indexed once, while what is free changes with every embedding.

Nodes are numbered, hosts first, then switches; resources by name, links as listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embedding.model import Embedding, Request, Substrate, resources_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Step(NamedTuple):
    """A way out of a node: over which link, to which node."""

    link: int
    node: int


@dataclass(frozen=True, slots=True)
class Free:
    """What is not taken. ``host``: hosts × resources; ``link``: per link. Not changed in place."""

    host: Floats
    link: Floats

    def less(self, use: Free) -> Free:
        """After ``use`` is taken."""
        return Free(self.host - use.host, self.link - use.link)

    def more(self, use: Free) -> Free:
        """After ``use`` is given back."""
        return Free(self.host + use.host, self.link + use.link)


class Network:
    """An indexed substrate."""

    def __init__(self, substrate: Substrate) -> None:
        self.substrate = substrate
        self.resources = resources_of(substrate.hosts)
        self.names = (*(host.name for host in substrate.hosts), *substrate.switches)
        self.number = {name: i for i, name in enumerate(self.names)}
        self.hosts = len(substrate.hosts)
        self.link_number = {link.label: i for i, link in enumerate(substrate.links)}
        ends = [(self.number[link.a], self.number[link.b]) for link in substrate.links]
        self.ends: Ints = np.array(ends, np.int64).reshape(-1, 2)
        self.capacity = Free(
            amounts_matrix([host.amounts for host in substrate.hosts], self.resources),
            np.array([link.bandwidth for link in substrate.links], float),
        )
        self.link_price: Floats = np.array([link.price for link in substrate.links], float)
        prices = [{r: host.price_of(r) for r in self.resources} for host in substrate.hosts]
        self.host_price: Floats = amounts_matrix(prices, self.resources)
        """Hosts × resources."""
        self.power: Floats = np.array([host.power for host in substrate.hosts], float)
        self.steps: tuple[tuple[Step, ...], ...] = self._steps()

    def _steps(self) -> tuple[tuple[Step, ...], ...]:
        steps: list[list[Step]] = [[] for _ in self.names]
        for i, (a, b) in enumerate(self.ends.tolist()):
            steps[a].append(Step(i, b))
            steps[b].append(Step(i, a))
        return tuple(tuple(sorted(some, key=lambda step: (step.node, step.link))) for some in steps)

    @cached_property
    def piece(self) -> Ints:
        """Per node the least number of those that links join it with."""
        piece: Ints = np.full(len(self.names), -1, np.int64)
        for first in range(len(self.names)):
            waiting = [first] if piece[first] < 0 else []
            while waiting:
                node = waiting.pop()
                piece[node] = first
                waiting += [step.node for step in self.steps[node] if piece[step.node] < 0]
        return piece

    def use(self, request: Request, embedding: Embedding) -> Free:
        """What an embedding takes. Raises KeyError for what is not of this substrate."""
        host, link = np.zeros_like(self.capacity.host), np.zeros_like(self.capacity.link)
        need = amounts_matrix([vnode.amounts for vnode in request.vnodes], self.resources)
        for vnode, amounts in zip(request.vnodes, need, strict=True):
            host[self.number[embedding.hosts[vnode.name]]] += amounts
        for shares in embedding.paths.values():
            for share in shares:
                for label in share.links:
                    link[self.link_number[label]] += share.bandwidth
        return Free(host, link)

    def free_after(self, embedded: Mapping[str, tuple[Request, Embedding]]) -> Free:
        """What is left when all these are embedded."""
        free = self.capacity
        for request, embedding in embedded.values():
            free = free.less(self.use(request, embedding))
        return free


def amounts_matrix(amounts: Sequence[Mapping[str, float]], resources: tuple[str, ...]) -> Floats:
    """Owners × resources; what is not named is 0."""
    rows = [[some.get(name, 0.0) for name in resources] for some in amounts]
    return np.array(rows, float).reshape(len(amounts), len(resources))
