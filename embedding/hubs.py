"""How hosts come together in a tree of hubs, so that ways in the tree are never longer than real.

Around a hub each host has a *reach*: half of how much longer the way is from it to two others than
between these, at least (Gromov, 1987). Hosts that are no further apart than their reaches share a
hub; what is left between hubs is done again. Networks that are trees are found exactly; of others
as much as is certain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from embedding.distances import ROUNDING
from embedding.network import Bools, Floats

HOSTS_MAX = 64
"""So many are compared three by three; more share one hub."""
NOTHING = 1e-5
"""Of a way: less than this is nothing."""


@dataclass(frozen=True, slots=True)
class Hub:
    """A host by number, or a hub (-1) with ``below`` it; ``reach``: the way to the hub above."""

    host: int
    below: tuple[Hub, ...]
    reach: float


def hub_trees(least: Floats) -> tuple[Hub, ...]:
    """The topmost hub of one tree or two: all hosts around one, if that may say more.

    ``least``: hosts × hosts, what a unit between them costs at least.
    """
    tree = _tree(least)
    over = tree_ways(tree, len(least)) - least
    tree = _shortened(tree, over.max(axis=1, initial=0.0))
    ways = tree_ways(tree, len(least))
    if (ways > least * (1 + ROUNDING)).any():
        return (around_one(least),)
    exact = (ways >= least * (1 - NOTHING)).all(where=np.isfinite(least))
    return (tree,) if exact else (tree, around_one(least))


def _shortened(hub: Hub, over: Floats) -> Hub:
    """With less reach of each host: what sums of numbers that are nearly the same went wrong by."""
    if hub.host >= 0:
        return replace(hub, reach=max(hub.reach - float(over[hub.host]), 0.0))
    return replace(hub, below=tuple(_shortened(each, over) for each in hub.below))


def around_one(least: Floats) -> Hub:
    """All hosts around one hub, however far they are."""
    apart = np.array(least, float)
    np.fill_diagonal(apart, np.inf)
    return Hub(-1, tuple(Hub(i, (), some) for i, some in enumerate(_halves(apart).tolist())), 0.0)


def _tree(least: Floats) -> Hub:
    apart = np.array(least, float)
    np.fill_diagonal(apart, np.inf)
    hubs = [Hub(host, (), 0.0) for host in range(len(apart))]
    while len(hubs) > 2:
        reach, done = _reaches(apart)
        hubs = [_further(hub, some) for hub, some in zip(hubs, reach.tolist(), strict=True)]
        if done:
            break
        left = np.maximum(apart - reach[:, None] - reach[None], 0.0)
        groups = _joined(left <= NOTHING * apart)
        hubs = [_merged([hubs[i] for i in group]) for group in groups]
        apart = _metric(np.array([[left[np.ix_(a, b)].min() for b in groups] for a in groups]))
    if len(hubs) == 2 and np.isfinite(apart[0, 1]):
        hubs = [_further(hub, float(apart[0, 1]) / 2) for hub in hubs]
    return Hub(-1, tuple(hubs), 0.0)


def _metric(apart: Floats) -> Floats:
    """No way longer than one over others; nothing is at no distance from itself."""
    for middle in range(len(apart)):
        np.minimum(apart, apart[:, middle, None] + apart[middle], out=apart)
    np.fill_diagonal(apart, np.inf)
    return apart


def _joined(together: Bools) -> list[list[int]]:
    """Numbers in groups, one by one joined to others."""
    group = list(range(len(together)))
    for a, b in np.argwhere(np.triu(together, 1)).tolist():
        one, other = group[a], group[b]
        if one != other:
            group = [one if some == other else some for some in group]
    return [[i for i, some in enumerate(group) if some == one] for one in dict.fromkeys(group)]


def _further(hub: Hub, reach: float) -> Hub:
    return replace(hub, reach=hub.reach + reach)


def tree_ways(top: Hub, hosts: int) -> Floats:
    """Hosts × hosts: the way between them in the tree."""
    own = host_reaches(top, hosts)
    ways: Floats = own[:, None] + own
    np.fill_diagonal(ways, 0.0)

    def walk(hub: Hub) -> Bools:
        inside = np.zeros(hosts, bool)
        if hub.host >= 0:
            inside[hub.host] = True
            return inside
        for below in hub.below:
            inside |= walk(below)
        if hub.reach:
            ways[inside[:, None] != inside] += hub.reach
        return inside

    walk(top)
    return ways


def host_reaches(top: Hub, hosts: int) -> Floats:
    """Per host the way to the hub above it."""
    reach: Floats = np.zeros(hosts)
    waiting = [top]
    while waiting:
        hub = waiting.pop()
        waiting += hub.below
        if hub.host >= 0:
            reach[hub.host] = hub.reach
    return reach


def _merged(hubs: list[Hub]) -> Hub:
    return hubs[0] if len(hubs) == 1 else Hub(-1, tuple(hubs), 0.0)


def _reaches(apart: Floats) -> tuple[Floats, bool]:
    """Per host, as much as no two may have more together; whether there is no hub to be found."""
    finite = np.isfinite(apart)
    if len(apart) <= HOSTS_MAX and finite.sum() == len(apart) * (len(apart) - 1):
        known = np.where(finite, apart, 0.0)
        detours = known[:, :, None] + known[:, None, :] - known[None]
        detours[~finite[None] | ~finite[:, :, None] | ~finite[:, None, :]] = np.inf
        reach = np.maximum(detours.min(axis=(1, 2)) / 2, 0.0)
        left = apart - reach[:, None] - reach[None]
        if (left <= NOTHING * known).any(where=finite):
            return reach, False
    return _halves(apart), True


def _halves(apart: Floats) -> Floats:
    """Half of the way to the nearest, and then as much more as others leave."""
    nearest = apart.min(axis=1)
    reach = np.where(np.isfinite(nearest), nearest / 2, 0.0)
    for host in np.flatnonzero(np.isfinite(nearest)):
        reach[host] = (apart[host] - reach).min()
    return np.asarray(reach)
