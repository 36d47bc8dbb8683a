"""A bound for substrates whose hosts come in clusters, such as the racks and pods of a fat-tree.

Hosts that are within a distance of each other, one after the other, are a cluster at that
distance. VLinks between clusters go further, and a cluster has room for so many VNodes only: what
the best partition of the request into groups of that size leaves between groups goes further,
whatever the placement.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from embedding.distances import ROUNDING, Matrix
from embedding.network import Bools, Floats
from embedding.objectives import Terms
from embedding.problem import Problem

VNODES_MAX = 12
LEVELS_MAX = 8


def cluster_bound(problem: Problem, terms: Terms, least: Matrix) -> float:
    """For requests whose VNodes do not meet; 0 where it would take long.

    ``least``: hosts × hosts, what a unit between them costs at least.
    """
    usable = problem.fits.any(axis=0)
    alone = least[np.ix_(usable, usable)].astype(float)
    np.fill_diagonal(alone, np.inf)
    levels = np.unique(alone[np.isfinite(alone)])
    if problem.vnodes > VNODES_MAX or not 0 < len(levels) <= LEVELS_MAX:
        return 0.0
    all_weight = float(np.triu(problem.weights).sum())
    ways = float(levels[0]) * all_weight
    for level, further in pairwise(levels.tolist()):
        size = _largest_cluster(alone <= level)
        if size < problem.vnodes:
            ways += (further - level) * (all_weight - _most_within(problem.weights, size))
    places = np.where(problem.fits, terms.place + terms.on, np.inf).min(axis=1)
    return (float(places.sum()) + ways) * (1 - ROUNDING)


def _largest_cluster(joined: Bools) -> int:
    largest, left = 0, np.ones(len(joined), bool)
    while left.any():
        reached = front = np.arange(len(joined)) == left.argmax()
        while front.any():
            front = joined[front].any(axis=0) & ~reached
            reached = reached | front
        left &= ~reached
        largest = max(largest, int(reached.sum()))
    return largest


def _most_within(weights: Floats, size: int) -> float:
    """The most weight inside groups of at most ``size``, by dynamic programming over subsets."""
    count = len(weights)
    inside = [0.0] * (1 << count)
    for group in range(1, 1 << count):
        low = (group & -group).bit_length() - 1
        rest = group & (group - 1)
        members = [i for i in range(low + 1, count) if rest >> i & 1]
        inside[group] = inside[rest] + float(weights[low, members].sum())
    best = [0.0] * (1 << count)
    for left in range(1, 1 << count):
        low = left & -left
        others = left ^ low
        part, most = others, 0.0
        while True:
            if part.bit_count() < size:
                most = max(most, inside[part | low] + best[others ^ part])
            if not part:
                break
            part = (part - 1) & others
        best[left] = most
    return best[-1]
