"""What a good embedding is, by name. One of your own is a function and an entry:

    def green(problem: Problem) -> Terms:
        return terms(problem, on=carbon_of(problem.network))

    embed(problem, green)        # or, by name: {**OBJECTIVES, "green": green}["green"]

All objectives are sums of the same terms, none below 0, so first stage, bound and program serve
any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from embedding.network import Floats, Ints
from embedding.problem import TOLERANCE, Problem

TIE = 0.01
"""What the share of all bandwidth that is used counts beside hosts, loads, moves: a tie-break."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What an embedding costs; the least is best.

    place  VNodes × hosts: of this VNode on this host
    on     per host: of any VNode on it
    link   per link: of one unit of bandwidth over it
    peak   of the largest share taken of any resource of any host, or of any link, 0 to 1
    """

    place: Floats
    on: Floats
    link: Floats
    peak: float

    def __post_init__(self) -> None:
        for name in ("place", "on", "link", "peak"):
            values = np.asarray(getattr(self, name))
            if not np.isfinite(values).all() or (values < 0).any():
                raise ValueError(f"objective: {name}: possible are finite values of 0 or more")


Objective = Callable[[Problem], Terms]


def terms(
    problem: Problem,
    *,
    place: Floats | float = 0.0,
    on: Floats | float = 0.0,
    link: Floats | float = 0.0,
    peak: float = 0.0,
) -> Terms:
    """Terms; numbers stand for arrays. Raises ValueError for values below 0 or not finite."""
    network = problem.network
    return Terms(
        np.broadcast_to(np.asarray(place, float), (problem.vnodes, network.hosts)),
        np.broadcast_to(np.asarray(on, float), (network.hosts,)),
        np.broadcast_to(np.asarray(link, float), network.capacity.link.shape),
        peak,
    )


def cost(problem: Problem) -> Terms:
    """The cheapest: amounts and bandwidth times their prices, bandwidth on all links of its way."""
    place = problem.need @ problem.network.host_price.T
    return terms(problem, place=place, link=problem.network.link_price)


def load(problem: Problem) -> Terms:
    """The least maximum load of hosts and links."""
    return terms(problem, link=tie(problem), peak=1.0)


def energy(problem: Problem) -> Terms:
    """The most compact: the least power of hosts that nothing runs on yet."""
    network = problem.network
    idle = (problem.free.host >= network.capacity.host * (1 - TOLERANCE)).all(axis=1)
    power = np.where(idle, network.power, 0.0)
    return terms(problem, on=power, link=tie(problem) * max(1.0, float(network.power.mean())))


def migration(problem: Problem) -> Terms:
    """The least moves from where the request is now; cheap for a request that is nowhere."""
    if problem.present is None:
        return cost(problem)
    place = np.zeros((problem.vnodes, problem.network.hosts))
    for i, vnode in enumerate(problem.request.vnodes):
        place[i] = vnode.move_cost
        here = problem.network.number.get(problem.present.hosts.get(vnode.name, ""))
        if here is not None:
            place[i, here] = 0.0
    return terms(problem, place=place, link=tie(problem))


OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {"cost": cost, "energy": energy, "load": load, "migration": migration}
)


def tie(problem: Problem) -> float:
    """A small cost of bandwidth, so that of two equals the one with shorter ways is better."""
    return TIE / max(float(problem.network.capacity.link.sum()), 1e-9)


def value(problem: Problem, terms: Terms, hosts: Ints, link_use: Floats) -> float:
    """What VNodes on these hosts cost, with so much bandwidth on each link."""
    rows = np.arange(problem.vnodes)
    total = float(terms.place[rows, hosts].sum() + terms.on[np.unique(hosts)].sum())
    total += float(terms.link @ link_use)
    if terms.peak:
        total += terms.peak * peak_share(problem, hosts, link_use)
    return total


def peak_share(problem: Problem, hosts: Ints, link_use: Floats) -> float:
    """The largest share taken of anything once these are embedded."""
    capacity = problem.network.capacity
    taken = capacity.host - problem.free.host
    np.add.at(taken, hosts, problem.need)
    carried = capacity.link - problem.free.link + link_use
    return max(_largest(taken, capacity.host), _largest(carried, capacity.link))


def _largest(taken: Floats, capacity: Floats) -> float:
    shares = np.divide(taken, capacity, out=np.zeros_like(capacity), where=capacity > 0)
    return float(shares.max(initial=0.0))
