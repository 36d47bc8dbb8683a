"""Paths for the VLinks of a placement: cheap ones, over links that have the bandwidth left."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np

from embedding.network import Floats, Ints
from embedding.problem import TOLERANCE, Problem

Parts = tuple[tuple[tuple[int, ...], float], ...]
"""Shares of a VLink: links by number from its ``a`` to its ``b``, and what goes over them."""

TRIES = 4
SHARES_MAX = 8
FULLNESS = 0.05
"""What a link that is all but full costs more, in shares of its price."""


class NoPath(Exception):
    """A VLink, by number, for which nothing was left."""

    def __init__(self, vlink: int) -> None:
        super().__init__(vlink)
        self.vlink = vlink


def route(
    problem: Problem,
    hosts: Ints,
    price: Floats,
    room: Floats | None = None,
    only: Sequence[int] | None = None,
) -> list[Parts] | None:
    """Shares per VLink; None where some VLink finds no way.

    VLinks between neighbours choose first, of these the greatest; one that found none goes before
    all others the next time.
    ``price``: per link. ``room``: what may be used of each link; else what is free. Both but for
    TOLERANCE.
    ``only``: VLinks by number, else all; the others get no shares.
    """
    router = _Router(problem, hosts, price)
    free = problem.free.link if room is None else room
    order = sorted(range(len(problem.ends)) if only is None else only, key=router.rank)
    for _ in range(TRIES):
        try:
            return router.all(order, free)
        except NoPath as missing:
            if order[0] == missing.vlink:
                return None
            order.remove(missing.vlink)
            order.insert(0, missing.vlink)
    return None


def link_use(problem: Problem, parts: Sequence[Parts]) -> Floats:
    """Per link what all shares take of it."""
    use = np.zeros(len(problem.free.link))
    for some in parts:
        for links, bandwidth in some:
            for link in links:
                use[link] += bandwidth
    return use


class _Router:
    def __init__(self, problem: Problem, hosts: Ints, price: Floats) -> None:
        self._problem, self._hosts = problem, hosts.tolist()
        self._steps = problem.network.steps
        least = 1e-9 * max(float(price.max(initial=0.0)), 1e-9)
        fuller = 1 + FULLNESS * np.clip(problem.used_link_share, 0, 1)
        self._two = 2 * float(np.maximum(price, least).min(initial=np.inf))
        self._uniform = float(price.min(initial=np.inf)) == float(price.max(initial=0.0))
        self._price: list[float] = (np.maximum(price, least) * fuller).tolist()
        self._least = min(self._price, default=0.0)
        self._known: dict[int, list[float]] = {}
        self._slack: Floats = TOLERANCE * problem.network.capacity.link

    def rank(self, k: int) -> tuple[bool, float, int]:
        """Who chooses first."""
        a, b = (self._hosts[end] for end in self._problem.ends[k].tolist())
        near = any(there == b for _, there in self._steps[a])
        return not near, -float(self._problem.bandwidth[k]), k

    def all(self, order: Sequence[int], free: Floats) -> list[Parts]:
        """In this order. Raises NoPath."""
        left: list[float] = (np.maximum(free, 0.0) + self._slack).tolist()
        found: list[Parts] = [()] * len(self._problem.ends)
        for k in order:
            found[k] = self._one(k, left)
        return found

    def _one(self, k: int, left: list[float]) -> Parts:
        a, b = (self._hosts[end] for end in self._problem.ends[k].tolist())
        rest = float(self._problem.bandwidth[k])
        if a == b:
            return ()
        if self._problem.splittable[k] and rest > 0:
            return self._split(k, a, b, rest, left)
        links = self._cheapest(k, a, b, rest, left)
        for link in links:
            left[link] -= rest
        return ((links, rest),)

    def _split(self, k: int, a: int, b: int, rest: float, left: list[float]) -> Parts:
        """Shares within what is really free; what arithmetic leaves over goes with the last."""
        parts: list[tuple[tuple[int, ...], float]] = []
        nothing = TOLERANCE * rest
        while rest > nothing:
            if len(parts) == SHARES_MAX:
                raise NoPath(k)
            free = (np.array(left) - self._slack).tolist()
            links = self._cheapest(k, a, b, rest / (SHARES_MAX - len(parts)), free)
            amount = min(rest, *(free[link] for link in links))
            parts.append((links, amount))
            for link in links:
                left[link] -= amount
            rest -= amount
        links, amount = parts.pop()
        return (*parts, (links, amount + rest))

    def _pair(self, a: int, b: int, least: float, left: list[float]) -> tuple[int, ...]:
        """The cheapest two links where all have one price, but for how full they are; or none."""
        price = self._price
        onward = {node: link for link, node in self._steps[b] if left[link] >= least}
        ways = [
            (price[link] + price[onward[node]], link, onward[node])
            for link, node in self._steps[a]
            if node in onward and left[link] >= least
        ]
        return min(ways)[1:] if ways else ()

    def _cheapest(self, k: int, a: int, b: int, least: float, left: list[float]) -> tuple[int, ...]:
        """Links of the cheapest way with ``least`` left on each (A*). Raises NoPath."""
        steps, price = self._steps, self._price
        near = [(price[link], link) for link, to in steps[a] if to == b and left[link] >= least]
        if near and min(near)[0] <= self._two:
            return min(near)[1:]
        if self._uniform and (pair := self._pair(a, b, least, left)):
            return pair
        costs, via, done = {a: 0.0}, dict[int, tuple[int, int]](), set[int]()
        ahead = self._ahead(b)
        queue = [(ahead[a], a)]
        while queue:
            here = heapq.heappop(queue)[1]
            if here == b:
                return _walk(via, a, b)
            if here in done:
                continue
            done.add(here)
            so_far = costs[here]
            for link, there in steps[here]:
                if there in done or left[link] < least:
                    continue
                further = so_far + price[link]
                if further < costs.get(there, np.inf):
                    costs[there], via[there] = further, (link, here)
                    heapq.heappush(queue, (further + ahead[there], there))
        raise NoPath(k)

    def _ahead(self, b: int) -> list[float]:
        """Per node what the way to ``b`` costs at least: its links, were each the cheapest."""
        if b not in self._known:
            ahead = self._known[b] = [math.inf] * len(self._steps)
            ahead[b], reached = 0.0, [b]
            for here in reached:
                for _, there in self._steps[here]:
                    if ahead[there] == math.inf:
                        ahead[there] = ahead[here] + self._least
                        reached.append(there)
        return self._known[b]


def _walk(via: dict[int, tuple[int, int]], a: int, b: int) -> tuple[int, ...]:
    links, node = [], b
    while node != a:
        link, node = via[node]
        links.append(link)
    return tuple(links[::-1])
