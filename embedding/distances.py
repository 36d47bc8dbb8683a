"""How far hosts are apart for each VLink: over links that have its bandwidth free, priced by an objective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedding.network import Floats, Ints
from embedding.problem import TOLERANCE, Problem

Matrix = NDArray[np.float32]
"""Hosts × hosts; infinite where there is no way."""

LEAST_PRICE = 1e-9
"""Of a unit over a link, in shares of the dearest: so that shorter ways are better even if free."""


@dataclass(frozen=True, slots=True)
class Distances:
    """``priced``: VLinks × hosts × hosts, what a VLink costs between two hosts, from above.

    Exact where one link is the best way, or enough is free; a longer way may be missed where a
    narrower one would have done. ``least``: hosts × hosts, what one unit costs at least for any VLink.
    """

    priced: Matrix
    least: Matrix


def distances(problem: Problem, link: Floats) -> Distances:
    """``link``: the price of a unit over each link."""
    wanted = np.where(problem.splittable, 0.0, problem.bandwidth)
    hosts = problem.network.hosts
    levels = sorted({float(np.median(wanted)), float(wanted.max())}) if wanted.size else [0.0]
    prices = np.maximum(link, LEAST_PRICE * max(float(link.max(initial=0.0)), 1e-9))
    free = _between(problem, problem.free.link * (1 + TOLERANCE), -1.0, np.maximum)
    direct = _between(problem, prices, np.inf, np.minimum)
    uniform = bool(prices.size) and float(prices.min()) == float(prices.max())
    shortest = {level: _shortest(direct, free >= level, uniform) for level in levels}
    priced = np.empty((wanted.size, hosts, hosts), np.float32)
    near, room = direct[:hosts, :hosts], free[:hosts, :hosts]
    for k, bandwidth in enumerate(wanted.tolist()):
        level = levels[0] if bandwidth <= levels[0] else levels[-1]
        found = shortest[level][:hosts, :hosts]
        if bandwidth < level:
            found = np.where(room >= bandwidth, np.minimum(near, found), found)
        priced[k] = max(float(problem.bandwidth[k]), 1e-9) * found
    floor = float(wanted.min()) if wanted.size else 0.0
    least = shortest[floor] if floor in shortest else _shortest(direct, free >= floor, uniform)
    return Distances(priced, least[:hosts, :hosts])


def _between(problem: Problem, values: Floats, nothing: float, best: np.ufunc) -> Matrix:
    """Nodes × nodes: the best value of a link between them."""
    nodes = len(problem.network.names)
    matrix = np.full((nodes, nodes), nothing, np.float32)
    ends: Ints = problem.network.ends
    best.at(matrix, (ends[:, 0], ends[:, 1]), values.astype(np.float32))
    return np.asarray(best(matrix, matrix.T), np.float32)


def _shortest(direct: Matrix, usable: NDArray[np.bool_], uniform: bool) -> Matrix:
    """Nodes × nodes: the price of the cheapest way over usable links."""
    if uniform:
        return _hops(usable & np.isfinite(direct)) * direct[np.isfinite(direct)].max(initial=0.0)
    found = np.where(usable, direct, np.float32(np.inf))
    np.fill_diagonal(found, 0.0)
    for middle in range(len(found)):
        np.minimum(found, found[:, middle, None] + found[middle], out=found)
    return found


def _hops(linked: NDArray[np.bool_]) -> Matrix:
    """Links of the shortest way, by growing what is reached by one link at a time."""
    step = linked.astype(np.float32)
    hops = np.where(linked, np.float32(1), np.float32(np.inf))
    np.fill_diagonal(hops, 0.0)
    reached = step
    for count in range(2, len(linked)):
        reached = np.minimum(reached @ step, 1.0)
        fresh = (reached > 0) & (hops == np.inf)
        if not fresh.any():
            break
        hops[fresh] = count
    return hops
