"""Labels: a VLAN for every hop of every path, and the segments that each domain is asked for.

Two paths share a VLAN on a link where they travel as one trunk: from the source up to a domain that
splits them, or from a domain that joins them on to the destination. Elsewhere each path has a VLAN
of its own. A domain that cannot swap labels takes a path out with the VLAN that it came in with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from substrate.model import Criteria, Hop, Path, Refusal, RefusalKind, Segment
from substrate.routes import Crossing
from substrate.slots import share_slots
from substrate.splitting import Share, Shares, Supply
from substrate.topology import Topology
from substrate.vlans import EMPTY, VlanSet

TRIES_MAX = 20_000
"""Steps of the search for VLANs before it gives up."""

Spot = tuple[int, int]
"""(path, place): place 0 is the source STP, k the k-th link, the last one the destination STP."""


@dataclass(frozen=True)
class Plan:
    """What is to be held: paths end to end, and per domain (sorted) the segments asked for."""

    paths: tuple[Path, ...]
    segments: Mapping[str, tuple[Segment, ...]]
    depends_on_blind: bool


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

    def free_at(members: list[Spot]) -> VlanSet:
        return _free(criteria, shares, members, supply, topology)

    groups = _groups(shares, topology, free_at)
    spots = _members(groups)
    domains = {root: free_at(members) for root, members in spots.items()}
    for root, free in domains.items():
        if not free:
            return _no_label(shares, spots[root], topology)
    chosen = _choose(shares, spots, domains, preferred or {}, start)
    if chosen is None:
        scarce = min(domains, key=lambda root: (len(domains[root]), root))
        return _no_label(shares, spots[scarce], topology)
    return _plan(criteria, shares, {s: chosen[groups[s]] for s in groups}, supply, topology)


def _members(groups: Mapping[Spot, Spot]) -> dict[Spot, list[Spot]]:
    spots: dict[Spot, list[Spot]] = {}
    for spot in sorted(groups):
        spots.setdefault(groups[spot], []).append(spot)
    return spots


def _groups(
    shares: Shares, topology: Topology, free_at: Callable[[list[Spot]], VlanSet]
) -> dict[Spot, Spot]:
    """Each spot's representative: spots of one group carry one VLAN.

    Paths that could travel as a trunk do so only where a VLAN is free for all of it.
    """
    groups: dict[Spot, Spot] = {
        (i, k): (i, k)
        for i, share in enumerate(shares)
        for k in range(len(share.route.crossings) + 1)
    }
    for i, share in enumerate(shares):
        for k, crossing in enumerate(share.route.crossings):
            if not topology.domains[crossing.domain].swaps_labels:
                groups = _joined(groups, [((i, k), (i, k + 1))])
    for i, share in enumerate(shares):
        for j in range(i):
            pairs = [((j, one), (i, other)) for one, other in _trunks(shares[j], share, topology)]
            joined = _joined(groups, pairs)
            if pairs and _sound(shares, joined, topology):
                spots = _members(joined)
                if all(free_at(spots[root]) for root in {joined[one] for one, _ in pairs}):
                    groups = joined
    return groups


def _joined(groups: dict[Spot, Spot], pairs: list[tuple[Spot, Spot]]) -> dict[Spot, Spot]:
    for one, other in pairs:
        low, high = sorted((groups[one], groups[other]))
        if low != high:
            groups = {spot: low if root == high else root for spot, root in groups.items()}
    return groups


def _sound(shares: Shares, groups: Mapping[Spot, Spot], topology: Topology) -> bool:
    """Whether only domains that split have two segments with a common end.

    Trunks that are each sound can be unsound together: a domain that cannot swap labels carries the
    common VLAN of a trunk on to links where the paths must be told apart.
    """
    ends: dict[tuple[str, Spot], tuple[Crossing, Spot, Spot]] = {}
    for i, share in enumerate(shares):
        for k, crossing in enumerate(share.route.crossings):
            if topology.domains[crossing.domain].splits:
                continue
            segment = (crossing, groups[i, k], groups[i, k + 1])
            for stp, group in (
                (crossing.ingress_stp, groups[i, k]),
                (crossing.egress_stp, groups[i, k + 1]),
            ):
                if ends.setdefault((stp, group), segment) != segment:
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


def _stps(share: Share, place: int) -> tuple[str, ...]:
    """The STPs of a place: one for the ends, both ends of a link in between."""
    crossings = share.route.crossings
    if place == 0:
        return (crossings[0].ingress_stp,)
    if place == len(crossings):
        return (crossings[-1].egress_stp,)
    return (crossings[place - 1].egress_stp, crossings[place].ingress_stp)


def _free(
    criteria: Criteria,
    shares: Shares,
    members: list[Spot],
    supply: Supply,
    topology: Topology,
) -> VlanSet:
    """VLANs that are free at every place of a group."""
    free: VlanSet | None = None
    for i, place in members:
        for stp in _stps(shares[i], place):
            port = topology.port(stp)
            here = supply.port_vlans.get(stp, port.vlans if port else EMPTY)
            here = here - supply.banned_vlans.get(stp, EMPTY)
            free = here if free is None else free & here
        wished = EMPTY
        if place == 0:
            wished = criteria.constraints.source_vlans
        elif place == len(shares[i].route.crossings):
            wished = criteria.constraints.destination_vlans
        if wished and free is not None:
            free = free & wished
    return free or EMPTY


def _choose(
    shares: Shares,
    spots: Mapping[Spot, list[Spot]],
    domains: Mapping[Spot, VlanSet],
    preferred: Mapping[str, VlanSet],
    start: int,
) -> dict[Spot, int] | None:
    """One VLAN per group, different where groups meet on a port: most constrained group first."""
    at: dict[Spot, frozenset[str]] = {
        root: frozenset(stp for i, place in members for stp in _stps(shares[i], place))
        for root, members in spots.items()
    }
    rivals = {
        root: [other for other in at if other != root and at[other] & at[root]] for root in at
    }
    wishes = {
        root: VlanSet(_common_mask([preferred.get(stp, EMPTY) for stp in sorted(at[root])]))
        for root in at
    }
    order = sorted(at, key=lambda root: (len(domains[root]), root))
    chosen: dict[Spot, int] = {}
    tries = 0

    def place(n: int) -> bool:
        nonlocal tries
        if n == len(order):
            return True
        root = order[n]
        free = domains[root] - VlanSet.of(*(chosen[r] for r in rivals[root] if r in chosen))
        for vlan in chain(free & wishes[root], _from(free - wishes[root], start)):
            tries += 1
            if tries > TRIES_MAX:
                return False
            chosen[root] = vlan
            if place(n + 1):
                return True
            del chosen[root]
        return False

    return chosen if place(0) else None


def _from(vlans: VlanSet, start: int) -> Iterator[int]:
    """Ascending, but beginning at the ``start``-th one."""
    skip = start % len(vlans) if vlans else 0
    ranges = vlans.ranges()
    for i, (first, last) in enumerate(ranges):
        if first + skip <= last:
            ahead, behind = (first + skip, last), (first, first + skip - 1)
            for low, high in (ahead, *ranges[i + 1 :], *ranges[:i], behind):
                yield from range(low, high + 1)
            return
        skip -= last - first + 1


def _common_mask(sets: list[VlanSet]) -> int:
    mask = -1
    for vlans in sets:
        mask &= vlans.mask
    return max(mask, 0)


def _plan(
    criteria: Criteria,
    shares: Shares,
    vlans: Mapping[Spot, int],
    supply: Supply,
    topology: Topology,
) -> Plan:
    slot_count, slots = share_slots([share.bandwidth_bps for share in shares])
    paths = []
    merged: dict[str, dict[Hop, list[int]]] = {}
    for i, share in enumerate(shares):
        hops = tuple(
            Hop(c.domain, c.ingress_stp, vlans[i, k], c.egress_stp, vlans[i, k + 1])
            for k, c in enumerate(share.route.crossings)
        )
        paths.append(Path(share.bandwidth_bps, share.latency_us, hops, slots[i]))
        for hop in hops:
            merged.setdefault(hop.domain, {}).setdefault(hop, []).append(i)
    segments = {
        domain: tuple(
            Segment(
                segment_id=f"s{number}",
                ingress_stp=hop.ingress_stp,
                ingress_vlan=hop.ingress_vlan,
                egress_stp=hop.egress_stp,
                egress_vlan=hop.egress_vlan,
                bandwidth_bps=sum(shares[i].bandwidth_bps for i in users),
                directionality=criteria.directionality,
                flow_slots=tuple(sorted(slot for i in users for slot in slots[i])),
                slot_count=slot_count,
                token=supply.tokens.get((hop.ingress_stp, hop.egress_stp), ""),
            )
            for number, (hop, users) in enumerate(merged[domain].items(), start=1)
        )
        for domain in sorted(merged)
    }
    blind = any(not topology.domains[domain].visible for domain in segments)
    return Plan(tuple(paths), segments, blind)


def _no_label(shares: Shares, members: list[Spot], topology: Topology) -> Refusal:
    stps = sorted({stp for i, place in members for stp in _stps(shares[i], place)})
    ports = [topology.port(stp) for stp in stps]
    ranges = "; ".join(f"{port.stp} has {port.vlans or 'none'}" for port in ports if port)
    return Refusal(
        RefusalKind.LABEL,
        f"no VLAN is free at {' and '.join(stps)} for the whole window ({ranges})",
        domain=stps[0].partition(":")[0],
        resource=stps[0],
    )
