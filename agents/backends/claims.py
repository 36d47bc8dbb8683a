"""What segments take of ports and links, whatever the backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from agents.backends.base import Claim, Free
from substrate.calendar import Direction, Resource
from substrate.model import Directionality, Domain, Profile, Refusal, RefusalKind, Segment
from substrate.rates import exactly

WAYS_MAX = 16_384
"""Ways whose resources are remembered: few are taken most of the time."""

LinkWay = tuple[str, Direction]
"""An internal link as it is travelled from ingress to egress."""


def port_resources(domain: Domain) -> dict[Resource, int]:
    """Both directions of every port with its capacity."""
    return {
        Resource(port.stp, direction): port.capacity_bps
        for port in domain.ports
        for direction in Direction
    }


@lru_cache(WAYS_MAX)
def way_resources(
    ingress_stp: str, egress_stp: str, links: tuple[LinkWay, ...], directionality: Directionality
) -> tuple[Resource, ...]:
    """What a way through the domain uses: forward, and back where both directions count."""
    forward = (
        Resource(ingress_stp, Direction.IN),
        *(Resource(name, direction) for name, direction in links),
        Resource(egress_stp, Direction.OUT),
    )
    if directionality is Directionality.UNIDIRECTIONAL:
        return forward
    return (*forward, *(Resource(r.name, r.direction.opposite) for r in forward))


def add_up(claims: Iterable[tuple[Resource, int]]) -> tuple[Claim, ...]:
    """One claim per resource, in a fixed order."""
    total: dict[Resource, int] = {}
    for resource, bandwidth_bps in claims:
        total[resource] = total.get(resource, 0) + bandwidth_bps
    return tuple([Claim(resource, total[resource]) for resource in sorted(total)])


@lru_cache(WAYS_MAX)
def claims_of_way(
    ingress_stp: str,
    egress_stp: str,
    links: tuple[LinkWay, ...],
    directionality: Directionality,
    bandwidth_bps: int,
) -> tuple[Claim, ...]:
    """What one segment takes that goes this way through the domain."""
    used = way_resources(ingress_stp, egress_stp, links, directionality)
    return add_up((resource, bandwidth_bps) for resource in used)


def claims_at_ports(segments: Sequence[Segment], uncounted: str = "") -> tuple[Claim, ...]:
    """What segments take of the ports at their ends; ``uncounted``: a port that never limits."""
    taken = [
        claim
        for s in segments
        for claim in claims_of_way(
            s.ingress_stp, s.egress_stp, (), s.directionality, s.bandwidth_bps
        )
        if claim.resource.name != uncounted
    ]
    if len(segments) == 1:
        return tuple(taken)
    return add_up((claim.resource, claim.bandwidth_bps) for claim in taken)


def profiles_at_ports(
    ingress_stp: str,
    egress_stp: str,
    directionality: Directionality,
    free: Free,
    uncounted: str = "",
) -> list[Profile]:
    """What the ports at both ends of a way have free, each direction; ``uncounted`` as above."""
    used = way_resources(ingress_stp, egress_stp, (), directionality)
    return [free.profile(resource) for resource in used if resource.name != uncounted]


def labels_of(segments: Sequence[Segment]) -> tuple[tuple[str, int], ...]:
    """Every (STP, VLAN) once: segments that share one split or join there."""
    ins = [(segment.ingress_stp, segment.ingress_vlan) for segment in segments]
    outs = [(segment.egress_stp, segment.egress_vlan) for segment in segments]
    if len(segments) == 1 and ins != outs:
        return (ins[0], outs[0]) if ins < outs else (outs[0], ins[0])
    return tuple(sorted({*ins, *outs}))


def turns_back(segments: Iterable[Segment]) -> Refusal | None:
    """A refusal of the first segment that leaves by the port by which it enters."""
    for segment in segments:
        if segment.ingress_stp == segment.egress_stp:
            return Refusal(
                RefusalKind.TOPOLOGY,
                f"a segment must leave by another port than it enters: {segment.ingress_stp}",
                resource=segment.ingress_stp,
                segment_id=segment.segment_id,
            )
    return None


def over_claimed(
    claims: Sequence[Claim], free: Free, capacities: Mapping[Resource, int]
) -> Refusal | None:
    """A refusal that names the first resource that has less than is claimed."""
    for claim in claims:
        if claim.resource not in capacities:
            return Refusal(
                RefusalKind.TOPOLOGY,
                f"{claim.resource.name} is not a resource of this domain",
                resource=claim.resource.name,
            )
        available = free.free_bps(claim.resource)
        if available < claim.bandwidth_bps:
            name, direction = claim.resource
            return Refusal(
                RefusalKind.BANDWIDTH,
                f"{exactly(claim.bandwidth_bps)} asked for at {name} ({direction}), "
                f"{exactly(max(0, available))} free during the whole window",
                resource=name,
                available_bps=max(0, available),
            )
    return None


def not_carried_to(domain: str, vnodes: Sequence[str]) -> Refusal:
    """What VNodes have cannot come to a domain. Of nothing inside it, so that anybody may hear."""
    names, several = ", ".join(vnodes), len(vnodes) > 1
    what = f"what VNodes {names} have" if several else f"what VNode {names} has"
    only = f"where {'they' if several else 'it'} can only begin anew"
    reason = f"{what} cannot be carried to {domain}, {only}"
    return Refusal(RefusalKind.POLICY, reason, elements=tuple(vnodes))
