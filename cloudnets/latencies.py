"""VLinks that are to be quick: where no two providers are near enough, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from cloudnets.asked import BANDWIDTH, LATENCY, VLinkAsked
from cloudnets.providers import Providers
from cloudnets.shortfalls import Shortfall, lacking
from embedding.network import Bools, Floats
from embedding.problem import TOLERANCE, Problem
from rdl.attributes import TRANSIT
from rdl.units import Amount, Unit
from substrate.model import RefusalKind, Shortage
from substrate.values import dataclass


@dataclass(frozen=True, slots=True)
class _Quick:
    """A VLink that must be quick. ``possible``: providers × providers that may take its ends."""

    vlink: VLinkAsked
    most_us: int
    possible: Bools

    @property
    def most(self) -> Amount:
        return Amount(self.most_us, Unit.DURATION_US)

    def nearest(self, apart_us: Floats) -> tuple[int, int, float]:
        """The possible pair that is nearest, and how far it is; infinite: none is joined."""
        a, b = np.unravel_index(
            np.argmin(np.where(self.possible, apart_us, np.inf)), apart_us.shape
        )
        found = float(apart_us[a, b]) if self.possible[a, b] else np.inf
        return int(a), int(b), found


def too_slow(
    problem: Problem, providers: Providers, vlinks: Iterable[VLinkAsked]
) -> tuple[Shortfall, ...]:
    """VLinks for which all providers that could take their ends are too far from each other."""
    found = []
    for quick in _quick(problem, vlinks):
        apart_us = providers.latencies_us(problem.network, quick.vlink.bandwidth_bps)
        *ends, least = quick.nearest(apart_us)
        if least > quick.most_us:
            names = [problem.network.names[end] for end in ends]
            joined = np.isfinite(least)
            found.append(
                _too_far(quick, names, round(least))
                if joined
                else _unjoined(problem, providers, quick)
            )
    return tuple(found)


def few_pairs(
    problem: Problem, providers: Providers, vlinks: Iterable[VLinkAsked]
) -> Iterator[str]:
    """Of each VLink that must be quick: how many pairs that leaves, and the nearest beyond."""
    names = problem.network.names
    for quick in _quick(problem, vlinks):
        apart_us = providers.latencies_us(problem.network, quick.vlink.bandwidth_bps)
        far = quick.possible & (apart_us > quick.most_us)
        if not far.any():
            continue
        near = int(quick.possible.sum() - far.sum())
        text = f"{LATENCY}: {quick.vlink.id} asks for {quick.most} at most, which leaves {near} of"
        text += f" {int(quick.possible.sum())} pairs of providers for its ends"
        a, b, least = _Quick(quick.vlink, quick.most_us, far).nearest(apart_us)
        if np.isfinite(least):
            beyond = Amount(round(least), Unit.DURATION_US)
            text += f"; the nearest beyond are {names[a]} and {names[b]} with {beyond}"
        yield text


def _quick(problem: Problem, vlinks: Iterable[VLinkAsked]) -> Iterator[_Quick]:
    known = {each.id: each for each in vlinks}
    for k, vlink in enumerate(problem.request.vlinks):
        asked = known[vlink.label]
        if asked.max_latency_us is None:
            continue
        a, b = problem.ends[k].tolist()
        possible = problem.allowed[a][:, None] & problem.allowed[b][None]
        possible &= ~np.diag(~_together(problem, a, b))
        yield _Quick(asked, asked.max_latency_us, possible)


def _together(problem: Problem, a: int, b: int) -> Bools:
    """The providers that have room for both at once."""
    if problem.apart[a, b]:
        return np.zeros(problem.network.hosts, bool)
    room = problem.free.host + TOLERANCE * problem.network.capacity.host
    return np.asarray((problem.need[a] + problem.need[b] <= room).all(axis=1))


def _too_far(quick: _Quick, names: list[str], least_us: int) -> Shortfall:
    vlink, short = quick.vlink, least_us - quick.most_us
    where = "--".join(sorted(names))
    least = Amount(least_us, Unit.DURATION_US)
    reason = (
        f"{LATENCY}: {vlink.id} asks for {quick.most} at most, and the least possible is {least}"
        f" between {names[0]} (for {vlink.a}) and {names[1]} (for {vlink.b})"
    )
    shortage = Shortage(LATENCY, where, short, quick.most_us, (vlink.id,))
    return lacking(reason, shortage, RefusalKind.NO_PATH)


def _unjoined(problem: Problem, providers: Providers, quick: _Quick) -> Shortfall:
    """No links join any that have its bandwidth; thinner ones may be quick enough."""
    vlink, names = quick.vlink, problem.network.names
    asked = Amount(vlink.bandwidth_bps, Unit.BANDWIDTH_BPS)
    widths = {link.bandwidth_bps for link in providers.links}
    for bps in sorted((w for w in widths if 0 < w < vlink.bandwidth_bps), reverse=True):
        a, b, least = quick.nearest(providers.latencies_us(problem.network, bps))
        if least <= quick.most_us:
            where, short = "--".join(sorted((names[a], names[b]))), vlink.bandwidth_bps - bps
            missing = Amount(short, Unit.BANDWIDTH_BPS)
            reason = f"{BANDWIDTH}: {missing} of {asked} short at {where}, for {vlink.id}"
            reason += f" within {quick.most}"
            shortage = Shortage(BANDWIDTH, where, short, vlink.bandwidth_bps, (vlink.id,))
            return lacking(reason, shortage, RefusalKind.BANDWIDTH)
    reason = f"no links with {asked} free join providers that could take the ends of {vlink.id}"
    return Shortfall(reason, TRANSIT, kind=RefusalKind.NO_PATH, elements=(vlink.id,))
