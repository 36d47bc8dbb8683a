"""What no embedding can be cheaper than, by counting (design, section 7).

Each VNode costs its cheapest host, each VLink the least distance between hosts that its ends may have,
and new hosts must be on until all amounts fit. Each holds alone, and they count different terms, so
their sum holds too.
"""

from __future__ import annotations

import math

import numpy as np

from embedding.distances import Matrix
from embedding.network import Floats
from embedding.objectives import Terms
from embedding.problem import Problem


def combinatorial_bound(
    problem: Problem, terms: Terms, least: Matrix, further: float = 0.0
) -> float:
    """The bound; infinite where some VNode fits nowhere.

    ``least``: hosts × hosts, what a unit between them costs at least. ``further``: bandwidth that is
    known to go further than the least distance.
    """
    fits = problem.fits
    if not fits.any(axis=1).all():
        return math.inf
    distinct = bool(problem.apart.sum() == problem.vnodes * (problem.vnodes - 1))
    alone = least.astype(float)
    np.fill_diagonal(alone, np.inf)
    stars = _stars(problem, alone, distinct) if terms.link.any() else 0.0
    nodes = float(np.where(fits, terms.place + stars, np.inf).min(axis=1).sum())
    if distinct and further:
        steps = np.unique(alone)
        ways = float(problem.bandwidth.sum() * steps[0] + further * (steps[1] - steps[0]))
        places = float(np.where(fits, terms.place, np.inf).min(axis=1).sum())
        nodes = max(nodes, places + ways)
    return nodes + _on_bound(problem, terms, distinct) + terms.peak * _peak_bound(problem)


def _stars(problem: Problem, alone: Floats, distinct: bool) -> Floats:
    """VNodes × hosts: half of what the VLinks of a VNode there cost at least.

    VNodes that are ``distinct`` are on different hosts: the greatest VLinks get the nearest hosts.
    """
    stars = np.zeros((problem.vnodes, len(alone)))
    most = max((len(near) for near in problem.neighbours), default=0)
    most = min(most, len(alone))
    nearest = np.sort(alone, axis=1)[:, :most] if distinct else alone.min(axis=1, keepdims=True)
    for v, near in enumerate(problem.neighbours):
        bandwidths = [float(problem.bandwidth[k]) for u, k in near if problem.apart[v, u]]
        wanted = np.array(sorted((some for some in bandwidths if some > 0), reverse=True))
        if distinct:
            stars[v] = nearest[:, : len(wanted)] @ wanted[:most] if len(wanted) <= most else np.inf
        elif len(wanted):
            stars[v] = nearest[:, 0] * wanted.sum()
    return stars / 2


def _on_bound(problem: Problem, terms: Terms, distinct: bool) -> float:
    """The cheapest hosts that have room for all amounts, were they divisible."""
    usable = problem.fits.any(axis=0)
    on = terms.on[usable]
    if not on.any():
        return 0.0
    least = 0.0
    room = np.maximum(problem.free.host[usable], 0.0)
    for resource, need in enumerate(problem.need.sum(axis=0).tolist()):
        least = max(least, _cover(on, room[:, resource], need))
    if distinct:
        least = max(least, float(np.sort(on)[: problem.vnodes].sum()))
    return least


def _cover(on: Floats, room: Floats, need: float) -> float:
    """The least price of divisible hosts with so much room; of whole ones if all cost the same."""
    need -= float(room[on == 0].sum())
    priced = on > 0
    on, room = on[priced], room[priced]
    if need <= 1e-9:
        return 0.0
    if on.size and on.min() == on.max():
        most = np.sort(room)[::-1].cumsum()
        return float(on[0]) * (int(np.searchsorted(most, need - 1e-6 * need)) + 1)
    total = 0.0
    for i in np.argsort(on / np.maximum(room, 1e-12), kind="stable"):
        part = min(1.0, need / max(float(room[i]), 1e-12))
        total += part * float(on[i])
        need -= part * float(room[i])
        if need <= 1e-9:
            break
    return total


def _peak_bound(problem: Problem) -> float:
    """What is the fullest already, or gets fullest wherever the VNode that fits worst goes."""
    capacity = problem.network.capacity.host
    now = max(
        float(problem.used_share.max(initial=0.0)), float(problem.used_link_share.max(initial=0.0))
    )
    for vnode in range(problem.vnodes):
        share = np.divide(
            problem.need[vnode], capacity, out=np.zeros_like(capacity), where=capacity > 0
        )
        after = (problem.used_share + share).max(axis=1, initial=0.0)
        now = max(now, float(after[problem.fits[vnode]].min(initial=math.inf)))
    return now
