"""Labels: a VLAN for every hop of every path, and the segments that each domain is asked for.

Two paths share a VLAN on a link where they travel as one trunk: from the source up to a domain that
splits them, or from a domain that joins them on to the destination. Elsewhere each path has a VLAN
of its own. A domain that cannot swap labels takes a path out with the VLAN that it came in with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from substrate.model import Criteria, Hop, Path, Proof, Refusal, RefusalKind, Segment
from substrate.options import Supply, free_vlans
from substrate.routes import Crossing
from substrate.slots import share_slots
from substrate.splitting import Share, Shares
from substrate.topology import Topology
from substrate.values import dataclass
from substrate.vlans import ALL_VLANS, EMPTY, VlanSet

TRIES_MAX = 20_000
"""Steps of the search for VLANs before it gives up."""

Load = tuple[int, tuple[int, ...]]
"""Bandwidth and flow slots."""
NOTHING: Load = (0, ())

Roots = list[int]
"""Spots of one group carry one VLAN; per spot the group's first spot.

A spot is a place of a path: the source STP, each link, the destination STP. They are counted path
by path.
"""


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
    roots = _groups(shares, free, topology)
    groups: dict[int, int] = {}
    for root, mask in zip(roots, free, strict=True):
        groups[root] = groups.get(root, mask) & mask
    for root, mask in groups.items():
        if not mask:
            return _no_label(root, roots, spots, topology)
    chosen = _choose(groups, _rivals(roots, spots), _wishes(roots, spots, preferred or {}), start)
    if chosen is None:
        scarce = min(groups, key=lambda root: (groups[root].bit_count(), root))
        return _no_label(scarce, roots, spots, topology)
    return _plan(criteria, shares, [chosen[root] for root in roots], supply, topology)


def _groups(shares: Shares, free: Sequence[int], topology: Topology) -> Roots:
    """Which spots carry one VLAN.

    Paths that could travel as a trunk do so only where a VLAN is free for all of it.
    """
    roots: Roots = []
    firsts: list[int] = []
    for share in shares:
        firsts.append(len(roots))
        roots.append(len(roots))
        for crossing in share.route.crossings:
            swaps = crossing.domain in topology.swapping
            roots.append(len(roots) if swaps else roots[-1])
    for i, share in enumerate(shares):
        for j in range(i):
            trunks = _trunks(shares[j], share, topology)
            if not trunks:
                continue
            pairs = [(firsts[j] + one, firsts[i] + other) for one, other in trunks]
            joined = _joined(roots, pairs)
            if _sound(shares, joined, topology) and _have_vlans(joined, pairs, free):
                roots = joined
    return roots


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


def _trunks(left: Share, right: Share, topology: Topology) -> list[tuple[int, int]]:
    """Places at which two paths travel as one, as (place of left, place of right)."""
    a, b = left.route.crossings, right.route.crossings
    pairs: list[tuple[int, int]] = []
    ahead = 0
    while ahead < min(len(a), len(b)) and a[ahead] == b[ahead]:
        ahead += 1
    if ahead < min(len(a), len(b)) and _divides(a[ahead], b[ahead], topology, at_ingress=True):
        pairs += [(k, k) for k in range(ahead + 1)]
    behind = 0
    while behind < min(len(a), len(b)) and a[-1 - behind] == b[-1 - behind]:
        behind += 1
    if behind < min(len(a), len(b)) and _divides(
        a[-1 - behind], b[-1 - behind], topology, at_ingress=False
    ):
        pairs += [(len(a) - k, len(b) - k) for k in range(behind + 1)]
    return pairs


def _divides(one: Crossing, other: Crossing, topology: Topology, *, at_ingress: bool) -> bool:
    """Whether two crossings meet in one domain, on one port of that side, and it can split."""
    if one.domain != other.domain or not topology.domains[one.domain].splits:
        return False
    if at_ingress:
        return one.ingress_stp == other.ingress_stp
    return one.egress_stp == other.egress_stp


def _rivals(roots: Roots, spots: Sequence[tuple[str, ...]]) -> dict[int, list[int]]:
    """Per group the others that it meets on a port; groups that meet none are left out."""
    ports = [stp for stps in spots for stp in stps]
    if len(set(ports)) == len(ports):
        return {}
    at: dict[str, dict[int, None]] = {}
    for root, stps in zip(roots, spots, strict=True):
        for stp in stps:
            at.setdefault(stp, {})[root] = None
    rivals: dict[int, dict[int, None]] = {}
    for met in at.values():
        if len(met) > 1:
            for root in met:
                rivals.setdefault(root, {}).update(met)
    return {root: [other for other in met if other != root] for root, met in rivals.items()}


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


def _choose(
    groups: Mapping[int, int],
    rivals: Mapping[int, list[int]],
    wishes: Mapping[int, int],
    start: int,
) -> dict[int, int] | None:
    """One VLAN per group, different where groups meet on a port: most constrained group first."""
    chosen = {
        root: next(_in_order(mask, wishes.get(root, 0), start))
        for root, mask in groups.items()
        if root not in rivals
    }
    if not rivals:
        return chosen
    order = sorted(rivals, key=lambda root: (groups[root].bit_count(), root))
    tries = 0

    def place(n: int) -> bool:
        nonlocal tries
        if n == len(order):
            return True
        root = order[n]
        free = groups[root]
        for rival in rivals[root]:
            if rival in chosen:
                free &= ~(1 << chosen[rival])
        for vlan in _in_order(free, wishes.get(root, 0), start):
            tries += 1
            if tries > TRIES_MAX:
                return False
            chosen[root] = vlan
            if place(n + 1):
                return True
            del chosen[root]
        return False

    return chosen if place(0) else None


def _in_order(free: int, wished: int, start: int) -> Iterator[int]:
    """Those wished for, then the others ascending, but beginning at the ``start``-th one."""
    if free & wished:
        yield from VlanSet(free & wished)
    others = VlanSet(free & ~wished)
    if others:
        first = others.nth(start % len(others))
        yield first
        yield from VlanSet(others.mask & (-2 << first))
        yield from VlanSet(others.mask & ((1 << first) - 1))


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


def _no_label(
    group: int, roots: Roots, spots: Sequence[tuple[str, ...]], topology: Topology
) -> Refusal:
    """Names the ports of that group."""
    members = zip(roots, spots, strict=True)
    stps = sorted({stp for root, own in members if root == group for stp in own})
    ports = [topology.port(stp) for stp in stps]
    ranges = "; ".join(f"{port.stp} has {port.vlans or 'none'}" for port in ports if port)
    return Refusal(
        RefusalKind.LABEL,
        f"no VLAN is free at {' and '.join(stps)} for the whole window ({ranges})",
        domain=stps[0].partition(":")[0],
        resource=stps[0],
    )
