"""Labels: a VLAN for every hop of every path, and the segments that each domain is asked for.

Two paths share a VLAN on a link where they travel as one trunk: from the source up to a domain that
splits them, or from a domain that joins them on to the destination. Elsewhere each path has a VLAN
of its own. A domain that cannot swap labels takes a path out with the VLAN that it came in with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from substrate.choosing import choose
from substrate.model import (
    Criteria,
    Hop,
    Path,
    Proof,
    Refusal,
    RefusalKind,
    Segment,
    domain_of,
)
from substrate.options import Supply, free_vlans
from substrate.routes import Crossing, Route
from substrate.slots import share_slots
from substrate.splitting import Share, Shares, compose
from substrate.topology import Topology
from substrate.values import dataclass
from substrate.vlans import ALL_VLANS, EMPTY, VlanSet

Load = tuple[int, tuple[int, ...]]
"""Bandwidth and flow slots."""
NOTHING: Load = (0, ())

Roots = list[int]
"""Spots of one group carry one VLAN; per spot the group's first spot.

A spot is a place of a path: the source STP, each link, the destination STP. They are counted path
by path.
"""

Trunk = list[tuple[int, int]]
"""Places at which two paths travel as one, as (place of the one, place of the other)."""


@dataclass(frozen=True)
class Plan:
    """What is to be held: paths end to end, and per domain (sorted) the segments asked for.

    Of a CloudNet also the VNodes per domain, and how good that is; ``segments`` then names their
    domains too, if with none.
    """

    paths: tuple[Path, ...]
    segments: Mapping[str, tuple[Segment, ...]]
    depends_on_blind: bool
    vnodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    proof: Proof | None = None


def labels_of(
    paths: Iterable[Path], also: Mapping[str, VlanSet] | None = None
) -> dict[str, VlanSet]:
    """Per STP the VLANs that paths have there, and those ``also``."""
    labels = dict(also or {})
    for hop in (hop for path in paths for hop in path.hops):
        for stp, vlan in ((hop.ingress_stp, hop.ingress_vlan), (hop.egress_stp, hop.egress_vlan)):
            labels[stp] = labels.get(stp, EMPTY) | VlanSet.of(vlan)
    return labels


def plan_over(
    criteria: Criteria,
    routes: tuple[Route, ...],
    supply: Supply,
    topology: Topology,
    preferred: Mapping[str, VlanSet] | None = None,
    start: int = 0,
) -> Plan | Refusal:
    """Composes, with VLANs as of :func:`assign_labels`; if need be over routes that have some."""
    found: list[Plan] = []

    def accept(shares: Shares) -> bool:
        plan = assign_labels(criteria, shares, supply, topology, preferred, start)
        if isinstance(plan, Plan):
            found.append(plan)
        return isinstance(plan, Plan)

    shares = compose(criteria, routes, supply, topology, accept)
    if isinstance(shares, Refusal):
        return shares
    return (
        found[0] if found else assign_labels(criteria, shares, supply, topology, preferred, start)
    )


def assign_labels(
    criteria: Criteria,
    shares: Shares,
    supply: Supply,
    topology: Topology,
    preferred: Mapping[str, VlanSet] | None = None,
    start: int = 0,
) -> Plan | Refusal:
    """A plan with VLANs on every hop, ``preferred`` ones (by STP) where they are free.

    Otherwise the next free VLAN from ``start`` on (modulo the free ones): requests that start at
    different places do not run into one another. A Refusal of kind LABEL names the port
    where none is left.
    """
    spots = [stps for share in shares for stps in share.route.places]
    limits = criteria.constraints
    free = [mask for share in shares for mask in free_vlans(share.route, limits, supply, topology)]
    apart = _apart(shares, topology)
    trunked = _with_trunks(apart, shares, free, topology) if len(shares) > 1 else apart
    short: list[str] = []
    # With one VLAN for all of a trunk there may be none left for others.
    for roots in (trunked, apart) if trunked != apart else (apart,):
        found = _vlans(roots, spots, free, _wishes(roots, spots, preferred or {}), start)
        if isinstance(found, dict):
            vlans = [found[root] for root in roots]
            return _plan(criteria, shares, vlans, supply, topology)
        short = short or found
    return _no_label(short, supply, topology)


def _apart(shares: Shares, topology: Topology) -> Roots:
    """Which spots carry one VLAN where no two paths travel as one."""
    roots: Roots = []
    for share in shares:
        roots.append(len(roots))
        for crossing in share.route.crossings:
            swaps = crossing.domain in topology.swapping
            roots.append(len(roots) if swaps else roots[-1])
    return roots


def _with_trunks(roots: Roots, shares: Shares, free: Sequence[int], topology: Topology) -> Roots:
    """The same where paths travel as a trunk, if they can and a VLAN is free for all of it."""
    firsts = [0]
    for share in shares[:-1]:
        firsts.append(firsts[-1] + len(share.route.crossings) + 1)
    for i, share in enumerate(shares):
        for j in range(i):
            heads, tails = _trunks(shares[j], share, topology)
            # Both at once first: one alone may be unsound.
            for choices in (_both(heads, tails), heads, tails):
                for trunk in choices:
                    pairs = [(firsts[j] + one, firsts[i] + other) for one, other in trunk]
                    joined = _joined(roots, pairs)
                    if joined == roots:
                        break
                    if _have_vlans(joined, pairs, free) and _sound(shares, joined, topology):
                        roots = joined
                        break
    return roots


def _both(heads: Sequence[Trunk], tails: Sequence[Trunk]) -> list[Trunk]:
    return [heads[0] + tails[0]] if heads and tails else []


def _joined(roots: Roots, pairs: Iterable[tuple[int, int]]) -> Roots:
    for one, other in pairs:
        low, high = sorted((roots[one], roots[other]))
        if low != high:
            roots = [low if root == high else root for root in roots]
    return roots


def _have_vlans(roots: Roots, pairs: Iterable[tuple[int, int]], free: Sequence[int]) -> bool:
    """Whether a VLAN is free for all of each group that the pairs are in."""
    masks = {roots[one]: ALL_VLANS.mask for one, _ in pairs}
    for root, mask in zip(roots, free, strict=True):
        if root in masks:
            masks[root] &= mask
    return all(masks.values())


def _sound(shares: Shares, roots: Roots, topology: Topology) -> bool:
    """Whether only domains that split have two segments with a common end.

    Trunks that are each sound can be unsound together: a domain that cannot swap labels carries the
    common VLAN of a trunk on to links where the paths must be told apart.
    """
    ends: dict[tuple[str, int], tuple[Crossing, int, int]] = {}
    spot = -1
    for share in shares:
        spot += 1
        for crossing in share.route.crossings:
            spot += 1
            if topology.domains[crossing.domain].splits:
                continue
            segment = (crossing, roots[spot - 1], roots[spot])
            for end in (
                (crossing.ingress_stp, roots[spot - 1]),
                (crossing.egress_stp, roots[spot]),
            ):
                if ends.setdefault(end, segment) != segment:
                    return False
    return True


def _trunks(left: Share, right: Share, topology: Topology) -> tuple[list[Trunk], list[Trunk]]:
    """How two paths may travel as one from the source, and on to the destination; longest first."""
    a, b = left.route.crossings, right.route.crossings
    both = list(zip(a, b, strict=False))
    # Where both go on alike they may part by their VLANs.
    heads = [
        [(k, k) for k in range(n + 1)]
        for n, (one, other) in enumerate(_alike(both))
        if one.ingress_stp == other.ingress_stp and topology.domains[one.domain].splits
    ]
    both = list(zip(reversed(a), reversed(b), strict=False))
    tails = [
        [(len(a) - k, len(b) - k) for k in range(n + 1)]
        for n, (one, other) in enumerate(_alike(both))
        if one.egress_stp == other.egress_stp and topology.domains[one.domain].splits
    ]
    return heads[::-1], tails[::-1]


def _alike(crossings: Iterable[tuple[Crossing, Crossing]]) -> Iterator[tuple[Crossing, Crossing]]:
    """Those that are the same, and the first that are not."""
    for one, other in crossings:
        yield one, other
        if one != other:
            return


def _vlans(
    roots: Roots,
    spots: Sequence[tuple[str, ...]],
    free: Sequence[int],
    wishes: Mapping[int, int],
    start: int,
) -> dict[int, int] | list[str]:
    """A VLAN per group, or the ports at which there is none, sorted."""
    groups: dict[int, int] = {}
    for root, mask in zip(roots, free, strict=True):
        groups[root] = groups.get(root, mask) & mask
    short = next((root for root, mask in groups.items() if not mask), None)
    if short is not None:
        return _ports_of(short, roots, spots)
    meetings = _meetings(roots, spots)
    for stp, met in meetings.items():
        together = 0
        for root in met:
            together |= groups[root]
        if together.bit_count() < len(met):
            return [stp]
    found = choose(groups, meetings, wishes, start)
    return found if isinstance(found, dict) else _ports_of(found, roots, spots)


def _ports_of(group: int, roots: Roots, spots: Sequence[tuple[str, ...]]) -> list[str]:
    members = zip(roots, spots, strict=True)
    return sorted({stp for root, own in members if root == group for stp in own})


def _meetings(roots: Roots, spots: Sequence[tuple[str, ...]]) -> dict[str, list[int]]:
    """Per port the groups that meet there; ports with one alone are left out."""
    ports = [stp for stps in spots for stp in stps]
    if len(set(ports)) == len(ports):
        return {}
    at: dict[str, dict[int, None]] = {}
    for root, stps in zip(roots, spots, strict=True):
        for stp in stps:
            at.setdefault(stp, {})[root] = None
    return {stp: list(met) for stp, met in at.items() if len(met) > 1}


def _wishes(
    roots: Roots, spots: Sequence[tuple[str, ...]], preferred: Mapping[str, VlanSet]
) -> dict[int, int]:
    """Per group the VLANs that are preferred at all its ports."""
    wishes: dict[int, int] = {}
    for root, stps in zip(roots, spots, strict=True) if preferred else ():
        for stp in stps:
            mask = preferred.get(stp, EMPTY).mask
            wishes[root] = wishes.get(root, mask) & mask
    return wishes


def _plan(
    criteria: Criteria,
    shares: Shares,
    vlans: Sequence[int],
    supply: Supply,
    topology: Topology,
) -> Plan:
    """``vlans``: per spot."""
    slot_count, slots = share_slots([share.bandwidth_bps for share in shares])
    paths = []
    merged: dict[str, dict[Hop, Load]] = {}
    spot = 0
    for share, own in zip(shares, slots, strict=True):
        hops = []
        for crossing in share.route.crossings:
            ingress, egress = crossing.ingress_stp, crossing.egress_stp
            hop = Hop(crossing.domain, ingress, vlans[spot], egress, vlans[spot + 1])
            hops.append(hop)
            users = merged.setdefault(crossing.domain, {})
            bandwidth_bps, others = users.get(hop, NOTHING)
            users[hop] = (bandwidth_bps + share.bandwidth_bps, others + own)
            spot += 1
        spot += 1
        paths.append(Path(share.bandwidth_bps, share.latency_us, tuple(hops), own))
    segments = {
        domain: tuple(
            [
                _segment(number, hop, load, slot_count, criteria, supply)
                for number, (hop, load) in enumerate(users.items(), start=1)
            ]
        )
        for domain, users in sorted(merged.items())
    }
    return Plan(tuple(paths), segments, not topology.blind.isdisjoint(segments))


def _segment(
    number: int, hop: Hop, load: Load, slot_count: int, criteria: Criteria, supply: Supply
) -> Segment:
    bandwidth_bps, slots = load
    return Segment(
        f"s{number}",
        hop.ingress_stp,
        hop.ingress_vlan,
        hop.egress_stp,
        hop.egress_vlan,
        bandwidth_bps,
        criteria.directionality,
        tuple(sorted(slots)),
        slot_count,
        supply.tokens.get((hop.ingress_stp, hop.egress_stp), ""),
    )


def _no_label(stps: Sequence[str], supply: Supply, topology: Topology) -> Refusal:
    """``stps``: sorted. The one with the fewest VLANs left is the one to be named."""

    def left(stp: str) -> int:
        port = topology.port(stp)
        known = supply.port_vlans.get(stp, port.vlans if port else EMPTY)
        return len(known - supply.banned_vlans.get(stp, EMPTY))

    ports = [topology.port(stp) for stp in stps]
    ranges = "; ".join(f"{port.stp} has {port.vlans or 'none'}" for port in ports if port)
    scarcest = min(stps, key=left)
    return Refusal(
        RefusalKind.LABEL,
        f"no VLAN is free at {' and '.join(stps)} for the whole window ({ranges})",
        domain=domain_of(scarcest),
        resource=scarcest,
    )
