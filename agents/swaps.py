"""What segments ask of labels that a domain cannot do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from substrate.model import Domain, Refusal, RefusalKind, Segment


def untranslated(domain: Domain, segments: Iterable[Segment]) -> Refusal | None:
    """A refusal of the first segment that changes its VLAN where the domain cannot."""
    if domain.swaps_labels:
        return None
    for segment in segments:
        if segment.ingress_vlan != segment.egress_vlan:
            reason = f"{domain.name} does not translate VLANs"
            return _refusal(reason, segment.egress_stp, segment)
    return None


def unsplit(domain: Domain, segments: Sequence[Segment]) -> Refusal | None:
    """A refusal of the first segment that shares an (STP, VLAN) where the domain cannot split."""
    if domain.splits or len(segments) < 2:
        return None
    seen: set[tuple[str, int]] = set()
    for segment in segments:
        ends = {
            (segment.ingress_stp, segment.ingress_vlan),
            (segment.egress_stp, segment.egress_vlan),
        }
        if ends & seen:
            stp, vlan = min(ends & seen)
            return _refusal(f"{domain.name} does not split VLAN {vlan} at {stp}", stp, segment)
        seen |= ends
    return None


def _refusal(reason: str, stp: str, segment: Segment) -> Refusal:
    return Refusal(RefusalKind.LABEL, reason, resource=stp, segment_id=segment.segment_id)
