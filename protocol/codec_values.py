"""Values that several messages share, to protobuf and back."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar

from braid.v1 import common_pb2 as pb, reservations_pb2
from substrate.model import (
    SHORTAGES_MAX,
    Constraints,
    DataPlaneState,
    Directionality,
    Disjointness,
    Domain,
    Hop,
    Path,
    Port,
    Profile,
    Refusal,
    RefusalKind,
    Segment,
    Shortage,
    Step,
    Window,
)
from substrate.vlans import VLAN_MAX, VLAN_MIN, VlanSet

E = TypeVar("E", bound=Enum)


class CodecError(ValueError):
    """A message that no correct party sends: which field, what it held, what is possible."""

    def __init__(self, field: str, given: object, possible: str) -> None:
        super().__init__(f"{field}: given {given}, possible: {possible}")
        self.field, self.given, self.possible = field, given, possible


def not_negative(field: str, value: int) -> int:
    """``value``. Raises CodecError when it is below 0."""
    if value < 0:
        raise CodecError(field, value, "0 or more")
    return value


def window_to_pb(window: Window) -> pb.Window:
    """A window."""
    return pb.Window(start_s=window.start_s, end_s=window.end_s)


def window_from_pb(message: pb.Window) -> Window:
    """The inverse of window_to_pb. Raises CodecError for an empty window."""
    start_s, end_s = message.start_s, message.end_s
    if end_s <= start_s:
        raise CodecError("window.end_s", end_s, f"more than {start_s}")
    return Window(start_s, end_s)


def vlans_to_pb(vlans: VlanSet) -> list[pb.VlanRange]:
    """The ranges of a set of VLANs, ascending."""
    return [pb.VlanRange(first=first, last=last) for first, last in vlans.ranges()]


def fill_vlans(found: Any, vlans: VlanSet) -> None:
    """Writes the ranges of a set where they are to be: in a repeated field of VlanRange."""
    add = found.add
    for first, last in vlans.ranges():
        add(first=first, last=last)


def vlans_from_pb(ranges: Iterable[pb.VlanRange]) -> VlanSet:
    """The inverse of vlans_to_pb. Raises CodecError."""
    try:
        return VlanSet.from_ranges([(item.first, item.last) for item in ranges])
    except ValueError as error:
        raise CodecError("vlans", error, f"ranges within {VLAN_MIN}-{VLAN_MAX}") from error


def profile_to_pb(profile: Profile) -> list[pb.BandwidthStep]:
    """The steps of a profile."""
    return [
        pb.BandwidthStep(start_s=step.start_s, bandwidth_bps=step.bandwidth_bps) for step in profile
    ]


def profile_from_pb(steps: Iterable[pb.BandwidthStep]) -> Profile:
    """The inverse of profile_to_pb. Raises CodecError unless starts ascend and no level is < 0."""
    profile = tuple([Step(step.start_s, step.bandwidth_bps) for step in steps])
    for step in profile:
        if step.bandwidth_bps < 0:
            raise CodecError("profile.bandwidth_bps", step.bandwidth_bps, "0 or more")
    for before, after in itertools.pairwise(profile) if len(profile) > 1 else ():
        if after.start_s <= before.start_s:
            raise CodecError("profile.start_s", after.start_s, f"more than {before.start_s}")
    return profile


def directionality_to_pb(value: Directionality) -> pb.Directionality.ValueType:
    """A directionality."""
    # Enum looks ``value`` up by two calls of Python.
    return value._value_  # type: ignore[return-value]


def directionality_from_pb(value: int) -> Directionality:
    """The inverse of directionality_to_pb; unspecified is bidirectional. Raises CodecError."""
    if value == pb.DIRECTIONALITY_UNSPECIFIED:
        return Directionality.BIDIRECTIONAL
    return _enum(Directionality, "directionality", value)


def data_plane_to_pb(value: DataPlaneState) -> pb.DataPlaneState.ValueType:
    """A data-plane state."""
    return value._value_  # type: ignore[return-value]


def data_plane_from_pb(value: int) -> DataPlaneState:
    """The inverse of data_plane_to_pb. Raises CodecError."""
    return _enum(DataPlaneState, "data_plane", value)


def segment_to_pb(segment: Segment) -> pb.Segment:
    """A segment."""
    found = pb.Segment()
    fill_segment(found, segment)
    return found


def fill_segment(found: pb.Segment, segment: Segment) -> None:
    """Writes a segment where it is to be."""
    found.segment_id = segment.segment_id
    found.ingress_stp = segment.ingress_stp
    found.ingress_vlan = segment.ingress_vlan
    found.egress_stp = segment.egress_stp
    found.egress_vlan = segment.egress_vlan
    found.bandwidth_bps = segment.bandwidth_bps
    found.directionality = directionality_to_pb(segment.directionality)
    found.flow_slots.extend(segment.flow_slots)
    found.slot_count = segment.slot_count
    found.token = segment.token


def segment_from_pb(message: pb.Segment) -> Segment:
    """The inverse of segment_to_pb. Raises CodecError."""
    # Each look into a message makes a new object: one look per field.
    bandwidth_bps, slot_count = message.bandwidth_bps, message.slot_count
    if bandwidth_bps <= 0:
        raise CodecError("segment.bandwidth_bps", bandwidth_bps, "more than 0")
    ingress_vlan, egress_vlan = message.ingress_vlan, message.egress_vlan
    if not VLAN_MIN <= ingress_vlan <= VLAN_MAX:
        raise CodecError("segment.ingress_vlan", ingress_vlan, f"{VLAN_MIN} to {VLAN_MAX}")
    if not VLAN_MIN <= egress_vlan <= VLAN_MAX:
        raise CodecError("segment.egress_vlan", egress_vlan, f"{VLAN_MIN} to {VLAN_MAX}")
    if not 1 <= slot_count <= 64:
        raise CodecError("segment.slot_count", slot_count, "1 to 64")
    slots = tuple(message.flow_slots[:])
    if not slots or max(slots) >= slot_count:
        raise CodecError("segment.flow_slots", list(slots), f"0 to {slot_count - 1}")
    return Segment(
        message.segment_id,
        message.ingress_stp,
        ingress_vlan,
        message.egress_stp,
        egress_vlan,
        bandwidth_bps,
        directionality_from_pb(message.directionality),
        slots,
        slot_count,
        message.token,
    )


def refusal_to_pb(refusal: Refusal) -> pb.Refusal:
    """A refusal, without what is for the operator alone."""
    return pb.Refusal(
        kind=refusal.kind.value,  # type: ignore[arg-type]
        domain=refusal.domain,
        resource=refusal.resource,
        reason=refusal.reason,
        segment_id=refusal.segment_id,
        available_bps=refusal.available_bps,
        short=refusal.short,
        asked=refusal.asked,
        where=refusal.where,
        elements=refusal.elements,
        shortages=[
            pb.Shortage(
                resource=each.resource,
                where=each.where,
                short=each.short,
                asked=each.asked,
                elements=each.elements,
            )
            for each in refusal.shortages
        ],
    )


def refusal_from_pb(message: pb.Refusal) -> Refusal:
    """The inverse of refusal_to_pb. Raises CodecError."""

    def told(name: Literal["available_bps", "short", "asked"]) -> int | None:
        return getattr(message, name) if message.HasField(name) else None

    return Refusal(
        kind=_enum(RefusalKind, "refusal.kind", message.kind),
        reason=message.reason,
        domain=message.domain,
        resource=message.resource,
        segment_id=message.segment_id,
        available_bps=told("available_bps"),
        short=told("short"),
        asked=told("asked"),
        where=message.where,
        elements=tuple(message.elements),
        shortages=tuple(map(shortage_from_pb, message.shortages[:SHORTAGES_MAX])),
    )


def shortage_from_pb(message: pb.Shortage) -> Shortage:
    """How much of what is short where."""
    asked = message.asked if message.HasField("asked") else None
    elements = tuple(message.elements)
    return Shortage(message.resource, message.where, message.short, asked, elements)


def path_to_pb(path: Path) -> reservations_pb2.Path:
    """A path."""
    return reservations_pb2.Path(
        window=window_to_pb(path.window) if path.window else None,
        bandwidth_bps=path.bandwidth_bps,
        latency_us=path.latency_us,
        hops=[
            reservations_pb2.Hop(
                domain=hop.domain,
                ingress_stp=hop.ingress_stp,
                ingress_vlan=hop.ingress_vlan,
                egress_stp=hop.egress_stp,
                egress_vlan=hop.egress_vlan,
            )
            for hop in path.hops
        ],
        flow_slots=path.flow_slots,
        vlink=path.vlink,
    )


def path_from_pb(message: reservations_pb2.Path) -> Path:
    """The inverse of path_to_pb."""
    hops = tuple(
        Hop(hop.domain, hop.ingress_stp, hop.ingress_vlan, hop.egress_stp, hop.egress_vlan)
        for hop in message.hops
    )
    return Path(
        bandwidth_bps=message.bandwidth_bps,
        latency_us=message.latency_us,
        hops=hops,
        flow_slots=tuple(message.flow_slots),
        window=window_from_pb(message.window) if message.HasField("window") else None,
        vlink=message.vlink,
    )


def domain_to_pb(domain: Domain) -> pb.Domain:
    """A domain's description."""
    return pb.Domain(
        name=domain.name,
        visibility=pb.VISIBILITY_VISIBLE if domain.visible else pb.VISIBILITY_BLIND,
        backend=domain.backend,
        ports=[_port_to_pb(port) for port in domain.ports],
        swaps_labels=domain.swaps_labels,
        splits=domain.splits,
        horizon_s=domain.horizon_s,
        hold_timeout_s=domain.hold_timeout_s,
        least_phase_s=domain.least_phase_s,
        least_rate_bps=domain.least_rate_bps,
        cloud_stp=domain.cloud_stp,
    )


def domain_from_pb(message: pb.Domain) -> Domain:
    """The inverse of domain_to_pb. Raises CodecError."""
    if message.visibility not in (pb.VISIBILITY_VISIBLE, pb.VISIBILITY_BLIND):
        raise CodecError("domain.visibility", message.visibility, "VISIBLE or BLIND")
    return Domain(
        name=message.name,
        visible=message.visibility == pb.VISIBILITY_VISIBLE,
        backend=message.backend,
        ports=tuple(_port_from_pb(message.name, port) for port in message.ports),
        swaps_labels=message.swaps_labels,
        splits=message.splits,
        horizon_s=not_negative("domain.horizon_s", message.horizon_s),
        hold_timeout_s=not_negative("domain.hold_timeout_s", message.hold_timeout_s)
        if message.HasField("hold_timeout_s")
        else None,
        least_phase_s=not_negative("domain.least_phase_s", message.least_phase_s),
        least_rate_bps=not_negative("domain.least_rate_bps", message.least_rate_bps),
        cloud_stp=message.cloud_stp,
    )


def constraints_to_pb(constraints: Constraints) -> reservations_pb2.Constraints:
    """Constraints."""
    return reservations_pb2.Constraints(
        max_paths=constraints.max_paths,
        min_share_bps=constraints.min_share_bps,
        max_latency_us=constraints.max_latency_us,
        max_latency_spread_us=constraints.max_latency_spread_us,
        max_domains=constraints.max_domains,
        via_domains=constraints.via_domains,
        avoid_domains=constraints.avoid_domains,
        ero=constraints.ero,
        source_vlans=vlans_to_pb(constraints.source_vlans),
        destination_vlans=vlans_to_pb(constraints.destination_vlans),
        **_survival(constraints),
    )


def _survival(constraints: Constraints) -> dict[str, Any]:
    if not constraints.survive:
        return {}
    return {
        "survive": constraints.survive,
        "remaining_bps": constraints.remaining_bps,
        "disjoint": constraints.disjoint.value,
    }


def constraints_from_pb(message: reservations_pb2.Constraints) -> Constraints:
    """The inverse of constraints_to_pb; what users send goes through the orchestrator's checks."""

    def optional(name: str) -> int | None:
        value: int | None = getattr(message, name) if message.HasField(name) else None  # type: ignore[arg-type]
        return value

    default = Constraints()
    return Constraints(
        max_paths=optional("max_paths") or default.max_paths,
        min_share_bps=optional("min_share_bps") or default.min_share_bps,
        max_latency_us=optional("max_latency_us"),
        max_latency_spread_us=optional("max_latency_spread_us"),
        max_domains=optional("max_domains"),
        via_domains=tuple(message.via_domains),
        avoid_domains=tuple(message.avoid_domains),
        ero=tuple(message.ero),
        source_vlans=vlans_from_pb(message.source_vlans),
        destination_vlans=vlans_from_pb(message.destination_vlans),
        survive=message.survive,
        remaining_bps=message.remaining_bps,
        disjoint=Disjointness(message.disjoint or Disjointness.LINK.value),
    )


def _port_to_pb(port: Port) -> pb.Port:
    return pb.Port(
        stp=port.stp,
        capacity_bps=port.capacity_bps,
        vlans=vlans_to_pb(port.vlans),
        remote_stp=port.remote_stp or "",
        latency_us=port.latency_us,
        aliases=port.aliases,
    )


def _port_from_pb(domain: str, message: pb.Port) -> Port:
    if message.stp.partition(":")[0] != domain:
        raise CodecError("domain.ports.stp", message.stp, f"a port of {domain}")
    if message.capacity_bps <= 0:
        raise CodecError("domain.ports.capacity_bps", message.capacity_bps, "more than 0")
    return Port(
        stp=message.stp,
        capacity_bps=message.capacity_bps,
        vlans=vlans_from_pb(message.vlans),
        remote_stp=message.remote_stp or None,
        latency_us=not_negative("domain.ports.latency_us", message.latency_us),
        aliases=tuple(message.aliases),
    )


def _enum(kind: type[E], field: str, value: int) -> E:
    found: E | None = _members(kind).get(value)
    if found is None:
        raise CodecError(field, value, ", ".join(item.name for item in kind))
    return found


@cache
def _members(kind: type[E]) -> dict[int, E]:
    """By value: Enum takes three calls of Python to find one."""
    return {item.value: item for item in kind}
