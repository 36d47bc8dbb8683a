"""What no embedding can be cheaper than, by counting (design, section 7).

Each VNode costs its cheapest host, each VLink the least distance between hosts that its ends may
have, and new hosts must be on until all amounts fit. Each holds alone, and they count different
terms, so their sum holds too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from embedding.distances import ROUNDING, Matrix
from embedding.network import Floats
from embedding.objectives import Terms
from embedding.pairing import least_threshold
from embedding.problem import Problem


def combinatorial_bound(problem: Problem, terms: Terms, least: Matrix, extra: float = 0.0) -> float:
    """The bound; infinite where some VNode fits nowhere.

    ``least``: hosts × hosts, what a unit between them costs at least. ``extra``: what is known to
    come on top, were all VLinks between nearest hosts.
    """
    fits = problem.fits
    if not fits.any(axis=1).all():
        return math.inf
    distinct = problem.distinct
    alone = least.astype(float)
    np.fill_diagonal(alone, np.inf)
    stars = _stars(problem, alone, distinct) if terms.link.any() else 0.0
    nodes = float(np.where(fits, terms.place + stars, np.inf).min(axis=1).sum())
    if distinct and extra:
        ways = float(problem.bandwidth.sum() * alone.min()) + extra
        places = float(np.where(fits, terms.place, np.inf).min(axis=1).sum())
        nodes = max(nodes, places + ways)
    peak = terms.peak * _peak_bound(problem, distinct) if terms.peak else 0.0
    return (nodes + _on_bound(problem, terms, distinct) + peak) * (1 - ROUNDING)


def _stars(problem: Problem, alone: Floats, distinct: bool) -> Floats:
    """VNodes × hosts: half of what the VLinks of a VNode there cost at least.

    VNodes that are ``distinct`` are on different hosts: the greatest VLinks get the nearest hosts.
    """
    stars = np.zeros((problem.vnodes, len(alone)))
    most = max((len(near) for near in problem.neighbours), default=0)
    most = min(most, len(alone))
    nearest = np.sort(alone, axis=1)[:, :most] if distinct else alone.min(axis=1, keepdims=True)
    for v, near in enumerate(problem.neighbours):
        others = {u for u, _ in near if problem.apart[v, u]}
        stars[v] = star([float(problem.weights[v, u]) for u in others], nearest, distinct)
    return stars / 2


def star(bandwidths: Sequence[float], nearest: Floats, distinct: bool) -> Floats | float:
    """Per host what VLinks from there to as many VNodes cost at least.

    ``nearest``: hosts × distances, ascending.
    """
    wanted = np.array(sorted((some for some in bandwidths if some > 0), reverse=True))
    if not distinct:
        return np.asarray(nearest[:, 0] * wanted.sum()) if len(wanted) else 0.0
    if len(wanted) > nearest.shape[1]:
        return math.inf
    return np.asarray(nearest[:, : len(wanted)] @ wanted)


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


def _peak_bound(problem: Problem, distinct: bool) -> float:
    """What is the fullest already, or gets fullest even if all VNodes find the emptiest hosts.

    A VNode counts for its host, and its VLinks for the links there, were they used evenly.
    """
    now = max(
        float(problem.used_share.max(initial=0.0)), float(problem.used_link_share.max(initial=0.0))
    )
    after = np.where(problem.fits, problem.share_after, np.inf)
    least = least_threshold(after) if distinct else float(after.min(axis=1).max(initial=0.0))
    return max(now, least)
