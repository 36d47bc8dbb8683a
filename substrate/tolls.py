"""What a circuit takes from those who come later: its toll on the links that it crosses. Pure.

The last bit of a link is worth more to others than the first. With u the share of a link that is
taken, a bit costs (B^u - 1)/(B - 1) of what the last one costs: nothing on an empty link, all of it
on a full one (B: ``STEEPNESS``). A toll is the sum over links and time of what is added, each bit
at its cost. Its unit is the link-second: all of a link for a second, each bit at the cost of the
last one. Costs that grow so are those of on-line admission (Awerbuch, Azar and Plotkin, 1993).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from math import log

from substrate.model import Criteria, Directionality, Path, Profile, Step, Window
from substrate.splitting import Share
from substrate.topology import Topology
from substrate.values import dataclass

STEEPNESS = 50.0
TERABYTE_BITS = 8 * 10**12


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a request may take from others: ``toll_max_link_s`` link-seconds, and ``link_s_per_tb``
    more for each terabyte that it carries; one of them more than 0."""

    toll_max_link_s: float
    link_s_per_tb: float = 0.0

    def most_link_s(self, carried_bits: int) -> float:
        """For a request that carries so much."""
        return self.toll_max_link_s + self.link_s_per_tb * carried_bits / TERABYTE_BITS


@dataclass(frozen=True, slots=True)
class Dearest:
    """Where and when a bit costs most: on the link that leaves a domain at ``stp``.

    ``taken``: the share of the link that others have, 0 to 1; ``window``: while they have that.
    """

    stp: str
    window: Window
    taken: float


@dataclass(frozen=True, slots=True)
class Toll:
    """``link_s``: see the module; ``dearest``: None where nothing is added to any link."""

    link_s: float
    dearest: Dearest | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What is added in a window: bit/s by the STP at which a domain is left for the link."""

    window: Window
    added_bps: Mapping[str, int]


Free = Callable[[str, str], Profile]
"""What is free on the link that leaves a domain at an STP for another one, in that direction; from
the beginning of what is asked about, or now, on. Empty: nobody tells."""


def carried_bits(criteria: Criteria, bits: int) -> int:
    """What a circuit carries to all destinations, and both ways, which lets through ``bits``."""
    ways = 2 if criteria.directionality is Directionality.BIDIRECTIONAL else 1
    return bits * ways * len(criteria.destinations)


def cost(before: float, added: float) -> float:
    """What it costs to add a share of a link, per second; ``before``: the share that is taken."""
    return _primitive(before + added) - _primitive(before)


def _primitive(share: float) -> float:
    return float((STEEPNESS**share / log(STEEPNESS) - share) / (STEEPNESS - 1))


def load_of_paths(window: Window, paths: Iterable[Path], directionality: Directionality) -> Load:
    """What paths add to the links between their domains."""
    ends = (
        (here.egress_stp, there.ingress_stp, path.bandwidth_bps)
        for path in paths
        for here, there in pairwise(path.hops)
    )
    return _load(window, ends, directionality)


def load_of_shares(window: Window, shares: Iterable[Share], directionality: Directionality) -> Load:
    """The same of shares."""
    ends = (
        (here.egress_stp, there.ingress_stp, share.bandwidth_bps)
        for share in shares
        for here, there in pairwise(share.route.crossings)
    )
    return _load(window, ends, directionality)


def _load(
    window: Window, ends: Iterable[tuple[str, str, int]], directionality: Directionality
) -> Load:
    added = Counter[str]()
    for here, there, bandwidth_bps in ends:
        added[here] += bandwidth_bps
        if directionality is Directionality.BIDIRECTIONAL:
            added[there] += bandwidth_bps
    return Load(window, added)


def toll_of(loads: Iterable[Load], free: Free, topology: Topology) -> Toll:
    """What these loads cost together, no two of which are at the same time.

    Of what nobody tells all is free.
    """
    link_s, top, dearest = 0.0, 0.0, None
    for load in loads:
        for stp, added_bps in sorted(load.added_bps.items()):
            for window, taken, added in _pieces(stp, added_bps, load.window, free, topology):
                each = cost(taken, added)
                link_s += each * window.duration_s
                if dearest is None or each > top:
                    top, dearest = each, Dearest(stp, window, taken)
    return Toll(link_s, dearest)


def _pieces(
    stp: str, added_bps: int, window: Window, free: Free, topology: Topology
) -> Iterator[tuple[Window, float, float]]:
    """When which share of a link is taken, and which is added."""
    link = topology.link_at(stp)
    if link is None or not added_bps:
        return
    steps = free(stp, link.other(stp)) or (Step(window.start_s, link.capacity_bps),)
    ends_s = [*(step.start_s for step in steps[1:]), window.end_s]
    for step, end_s in zip(steps, ends_s, strict=True):
        within = Window(max(window.start_s, step.start_s), min(window.end_s, end_s))
        if within.duration_s > 0:
            taken = max(0.0, 1 - step.bandwidth_bps / link.capacity_bps)
            yield within, taken, added_bps / link.capacity_bps
