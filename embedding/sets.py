"""Sets of VNodes, as bits, and on which hosts each may be."""

from __future__ import annotations

import numpy as np

from embedding.network import Bools, Floats, Ints
from embedding.objectives import Terms
from embedding.problem import TOLERANCE, Problem

VNODES_MAX = 62
"""Sets are bits of a number."""


class Sets:
    """All sets of VNodes, or those of ``masks``, of which the first is the empty one."""

    def __init__(self, problem: Problem, masks: Ints | None = None) -> None:
        self.masks: Ints = np.arange(1 << problem.vnodes) if masks is None else masks
        self.bits: Floats = members(self.masks, problem.vnodes)
        """Sets × VNodes: 1 where it is one of them."""
        self.out: Floats = leaving(self.bits, problem)
        """Per set the bandwidth of VLinks that leave it."""
        self.possible: Bools = self._possible(problem)
        """Hosts × sets."""
        self.on_some: Bools = np.asarray(self.possible.any(axis=0))

    @property
    def work(self) -> int:
        """How many sums the least of all divisions among hosts takes."""
        others = self.bits.shape[1] - self.bits[self.on_some].sum(axis=1)
        return int(len(self.possible) * (2.0**others).sum())

    def _possible(self, problem: Problem) -> Bools:
        network = problem.network
        room = problem.free.host + TOLERANCE * network.capacity.host
        admitted = np.ones((network.hosts, len(self.bits)), bool)
        for resource, need in enumerate((self.bits @ problem.need).T):
            admitted &= need <= np.maximum(room[:, resource, None], 0.0)
        admitted &= self.out <= problem.ports[:, None] * (1 + TOLERANCE)
        strangers = (~problem.fits).T.astype(float) @ self.bits.T
        admitted &= strangers == 0
        meeting = ((self.bits @ problem.apart) * self.bits).any(axis=1)
        admitted &= ~meeting
        for refused in problem.rules.refused:
            all_ = self.bits[:, list(refused.vnodes)].all(axis=1)
            admitted[refused.host, all_] = False
        admitted[:, 0] = True
        return admitted

    def places(self, terms: Terms) -> Floats:
        """Hosts × sets: what places and the host itself cost, wherever the set may be."""
        costs: Floats = terms.place.T @ self.bits.T
        costs[:, 1:] += terms.on[:, None]
        return costs

    def shares(self, problem: Problem) -> Floats:
        """Hosts × sets: the largest share taken there then; infinite where the set may not be."""
        capacity = problem.network.capacity
        after = np.zeros(self.possible.shape)
        for resource, need in enumerate((self.bits @ problem.need).T):
            taken = (capacity.host - problem.free.host)[:, resource, None] + need
            whole = capacity.host[:, resource, None]
            share = np.divide(taken, whole, out=np.zeros_like(taken), where=whole > 0)
            after = np.maximum(after, share)
        all_ports = np.zeros(len(problem.network.names))
        np.add.at(all_ports, problem.network.ends, capacity.link[:, None])
        ports = all_ports[: problem.network.hosts, None]
        carried = ports - problem.ports[:, None] + self.out
        after = np.maximum(after, np.divide(carried, ports, out=after.copy(), where=ports > 0))
        return np.where(self.possible, after, np.inf)


def members(masks: Ints, vnodes: int) -> Floats:
    """Sets × VNodes: 1 where it is one of them."""
    return np.asarray(masks[:, None] >> np.arange(vnodes) & 1, float)


def leaving(bits: Floats, problem: Problem) -> Floats:
    """Per set the bandwidth of VLinks that leave it."""
    return np.asarray(((bits @ problem.weights) * (1 - bits)).sum(axis=1))


def fitting_sets(problem: Problem, pairs_max: int) -> Sets | None:
    """The sets for which some host has the amounts; None where pairs of host and set are more.

    Built up one VNode after the other: what is too large for a host stays so.
    """
    if problem.vnodes > VNODES_MAX:
        return None
    hosts = problem.network.hosts
    room = problem.free.host + TOLERANCE * problem.network.capacity.host
    masks: Ints = np.zeros(1, np.int64)
    need = np.zeros((1, problem.need.shape[1]))
    admitted = np.ones((1, hosts), bool)
    for v, row in enumerate(problem.need):
        apart = int(sum(1 << u for u in np.flatnonzero(problem.apart[v]).tolist()))
        free = np.flatnonzero(masks & apart == 0)
        more = need[free] + row
        fits = admitted[free] & problem.fits[v]
        for resource, wanted in enumerate(more.T):
            fits &= wanted[:, None] <= np.maximum(room[:, resource], 0.0)
        kept = fits.any(axis=1)
        if (len(masks) + int(kept.sum())) * hosts > pairs_max:
            return None
        masks = np.concatenate([masks, masks[free[kept]] | 1 << v])
        need = np.concatenate([need, more[kept]])
        admitted = np.concatenate([admitted, fits[kept]])
    return Sets(problem, masks)
