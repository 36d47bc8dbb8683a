"""What the tests of loaded networks share: small worlds, and demands in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import strategies as st

from simulations.loaded.demand import Demand
from simulations.loaded.play import Played
from simulations.loaded.world import Link, World

C = 100 * 10**9

RING = World(
    "ring", tuple(Link(a, b, C) for a, b in [("p", "q"), ("q", "r"), ("r", "s"), ("p", "s")])
)
LINE = World("line", tuple(Link(a, b, C) for a, b in pairwise("pqrstu")))
KITE = World("kite", (*RING.links, Link("p", "r", C // 2)))


def demand(source: str, destination: str, share: float, start: int = 1, slots: int = 1) -> Demand:
    """Arrives at the very beginning."""
    return Demand(0.0, source, destination, int(share * C), start, slots)


def demands(world: World, most: int = 12) -> st.SearchStrategy[tuple[Demand, ...]]:
    """Any few demands, crowded into a few slots."""
    pairs = st.permutations(world.nodes).map(lambda nodes: nodes[:2])
    one = st.builds(
        lambda pair, share, start, slots: demand(pair[0], pair[1], share, start, slots),
        pairs,
        st.floats(0.05, 1),
        st.integers(1, 4),
        st.integers(1, 3),
    )
    return st.lists(one, min_size=1, max_size=most).map(tuple)


def used(demands: Sequence[Demand], played: Played) -> Counter[tuple[str, int]]:
    """Bit/s by port that traffic leaves through, and instant at which any traffic begins.

    Reckoned from the answers alone.
    """
    flows = [
        (path.window or asked.window, path)
        for asked, paths in zip(demands, played, strict=True)
        for path in paths
    ]
    found: Counter[tuple[str, int]] = Counter()
    for at_s in {window.start_s for window, _ in flows}:
        for window, path in flows:
            if window.start_s <= at_s < window.end_s:
                for hop in path.hops:
                    found[hop.egress_stp, at_s] += path.bandwidth_bps
    return found
