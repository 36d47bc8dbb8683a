"""One scenario through one way to embed: requests arrive, take what they were given, and leave."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass

from embedding.network import Free, Network
from embedding.problem import Problem
from simulations.embedding.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Placed:
    """What a request takes, and whether that is proven to be good enough."""

    use: Free
    proven: bool


Embed = Callable[[Problem], Placed | None]


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of each request, in order of arrival.

    Revenue is Σ CPU + Σ bandwidth of what was accepted, cost Σ CPU + Σ bandwidth · hops, both times
    lifetime. ``ms``: of processor time per request.
    """

    accepted: tuple[bool, ...]
    proven: tuple[bool, ...]
    ms: tuple[float, ...]
    revenue: float
    cost: float


def play(scenario: Scenario, embed: Embed) -> Tally:
    """Requests that leave do so before others arrive at that time."""
    network = Network(scenario.substrate)
    free, leaving = network.capacity, list[tuple[float, int, Free]]()
    accepted, proven, ms, revenue, cost = [], [], [], 0.0, 0.0
    for number, arrival in enumerate(scenario.arrivals):
        while leaving and leaving[0][0] <= arrival.time:
            free = free.more(heapq.heappop(leaving)[2])
        began = time.process_time()
        problem = Problem(network, free, arrival.request)
        placed = embed(problem)
        ms.append(1000 * (time.process_time() - began))
        accepted.append(placed is not None)
        proven.append(placed is not None and placed.proven)
        if placed is not None:
            free = free.less(placed.use)
            heapq.heappush(leaving, (arrival.time + arrival.lifetime, number, placed.use))
            asked = float(problem.need.sum())
            revenue += (asked + float(problem.bandwidth.sum())) * arrival.lifetime
            cost += (asked + float(placed.use.link.sum())) * arrival.lifetime
    return Tally(tuple(accepted), tuple(proven), tuple(ms), revenue, cost)
