"""How far hosts are apart for each VLink: over links with room for it, priced by an objective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedding.network import Bools, Floats, Ints, Network
from embedding.problem import TOLERANCE, Problem

Matrix = NDArray[np.float32]
"""Hosts × hosts; infinite where there is no way."""

ROUNDING = 1e-6
"""Of a price: what sums of 32-bit numbers may go wrong by."""
FREE = 1e-20
"""Of a unit over a link that costs nothing, in shares of the cheapest that costs something: so that
shorter ways are better even if free, and nothing is to be seen of it in what all costs."""


@dataclass(frozen=True, slots=True)
class Distances:
    """``priced``: VLinks × hosts × hosts, what a VLink costs between two hosts, from above.

    Exact where one link is the best way, or enough is free; a longer way may be missed where a
    narrower one would have done. Infinite where a rule bars it. ``least``: hosts × hosts, what one
    unit costs at least for any VLink. ``step``: how much more it costs at least where ``priced`` is
    more than the least; 0: not known.
    """

    priced: Matrix
    least: Matrix
    step: float


def distances(problem: Problem, link: Floats, *, exact: bool = False) -> Distances:
    """``link``: the price of a unit over each link. ``exact``: the least, in more time."""
    wanted = np.where(problem.splittable, 0.0, problem.bandwidth)
    hosts = problem.network.hosts
    levels = sorted({float(np.median(wanted)), float(wanted.max())}) if wanted.size else [0.0]
    if exact and wanted.size:
        levels = sorted(set(wanted.tolist()))
    prices = _prices(link)
    room_of = np.maximum(problem.free.link, 0.0) * (1 + TOLERANCE)
    free = _between(problem, room_of, -1.0, np.maximum)
    direct = _between(problem, prices, np.inf, np.minimum)
    uniform = bool(prices.size) and float(prices.min()) == float(prices.max())

    over: dict[bytes, Matrix] = {}

    def shortest_at(level: float) -> Matrix:
        usable = room_of >= level
        key = usable.tobytes()
        if key not in over:
            over[key] = _shortest(problem, prices, usable, uniform=uniform)
        return over[key]

    shortest = {level: shortest_at(level) for level in levels}
    near, room = direct[:hosts, :hosts], free[:hosts, :hosts]
    found = np.array([shortest[level][:hosts, :hosts] for level in levels], np.float32)
    ways = found[np.searchsorted(levels, wanted)] if wanted.size else found[:0]
    wide = room[None] >= wanted.astype(np.float32)[:, None, None]
    np.minimum(ways, np.where(wide, near, np.float32(np.inf)), out=ways)
    priced = ways * np.maximum(problem.bandwidth, 1e-9).astype(np.float32)[:, None, None]
    if problem.rules.barred is not None:
        barred = problem.rules.barred
        priced[barred & barred.transpose(0, 2, 1)] = np.inf
    floor = float(wanted.min()) if wanted.size else 0.0
    least = shortest[floor] if floor in shortest else shortest_at(floor)
    alone = least[:hosts, :hosts][~np.eye(hosts, dtype=bool)]
    price = float(prices.max()) if uniform else 0.0
    known = alone.size > 0 and bool(alone.min() == np.float32(price))
    return Distances(priced, least[:hosts, :hosts], price if known else 0.0)


def _prices(link: Floats) -> Floats:
    """None is 0."""
    priced = link[link > 0]
    return np.maximum(link, FREE * float(priced.min()) if priced.size else FREE)


def _between(problem: Problem, values: Floats, nothing: float, best: np.ufunc) -> Matrix:
    """Nodes × nodes: the best value of a link between them."""
    nodes = len(problem.network.names)
    matrix = np.full((nodes, nodes), nothing, np.float32)
    ends: Ints = problem.network.ends
    best.at(matrix, (ends[:, 0], ends[:, 1]), values.astype(np.float32))
    return np.asarray(best(matrix, matrix.T), np.float32)


def _shortest(problem: Problem, prices: Floats, usable: Bools, *, uniform: bool) -> Matrix:
    """Nodes × nodes: the price of the cheapest way over usable links; ``uniform``: all have one."""
    if uniform:
        return np.asarray(_hops(problem.network, usable) * np.float32(prices[0]), np.float32)
    found = _between(problem, np.where(usable, prices, np.inf), np.inf, np.minimum)
    np.fill_diagonal(found, 0.0)
    for middle in range(len(found)):
        np.minimum(found, found[:, middle, None] + found[middle], out=found)
    return found


def _hops(network: Network, usable: Bools) -> Matrix:
    """Links of the shortest way. What is reached from each node is a row of bits, one step after
    the other: without matrix products, whose threads cost more than they are worth here."""
    nodes = len(network.names)
    ends = network.ends[usable]
    here = np.concatenate([np.arange(nodes), ends[:, 0], ends[:, 1]])
    there = np.concatenate([np.arange(nodes), ends[:, 1], ends[:, 0]])
    order = np.argsort(here, kind="stable")
    starts, there = np.searchsorted(here[order], np.arange(nodes)), there[order]
    reached = np.packbits(np.eye(nodes, dtype=bool), 1)
    hops = np.zeros((nodes, nodes), np.float32)
    while True:
        further = np.bitwise_or.reduceat(reached[there], starts)
        away = np.unpackbits(~reached, 1, nodes)
        if (further == reached).all():
            hops[away.view(bool)] = np.inf
            return hops
        hops += away
        reached = further
