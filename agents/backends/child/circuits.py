"""What a child orchestrator holds for a domain, and what the domain's parts need of it: values.

A circuit of the child serves all live parts of one reservation that join the same two (STP, VLAN)s
at times that overlap: they are alternatives, or phases, and at each instant at most one of them is
in force (docs/decisions/0023). So does a CloudNet, which has all that any of their partial graphs
has (:mod:`agents.backends.child.unions`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from braid.v1 import common_pb2, reservations_pb2 as pb
from protocol.codec_values import shortage_from_pb
from protocol.messages import ReservationPrep
from substrate.model import Directionality, Refusal, RefusalKind, Segment, Window
from substrate.values import dataclass, replace

LIVE = frozenset({pb.RESERVATION_STATE_NEGOTIATING, pb.RESERVATION_STATE_COMMITTED})
LARGEST = pb.ALTERNATIVE_KIND_LARGEST_BANDWIDTH
KINDS: Mapping[int, RefusalKind] = {
    common_pb2.REFUSAL_KIND_BANDWIDTH: RefusalKind.BANDWIDTH,
    common_pb2.REFUSAL_KIND_LABEL: RefusalKind.LABEL,
    common_pb2.REFUSAL_KIND_TOPOLOGY: RefusalKind.TOPOLOGY,
    common_pb2.REFUSAL_KIND_NO_PATH: RefusalKind.TOPOLOGY,
    common_pb2.REFUSAL_KIND_POLICY: RefusalKind.POLICY,
    common_pb2.REFUSAL_KIND_RESOURCE: RefusalKind.RESOURCE,
    common_pb2.REFUSAL_KIND_FEATURE: RefusalKind.FEATURE,
    common_pb2.REFUSAL_KIND_TOLL: RefusalKind.BANDWIDTH,
}
"""What the parent is told. All else is UNAVAILABLE: another time it may work. What takes too much
from others is more than the child has for one request, and so less may be asked for."""


@dataclass(frozen=True, slots=True)
class Ends:
    """What a circuit of the child joins: STPs of the child's domains, and VLANs there."""

    source: str
    source_vlan: int
    destination: str
    destination_vlan: int
    unidirectional: bool = False

    @property
    def tag(self) -> str:
        """A short name of it, as a request_id carries it."""
        fields = (
            self.source,
            self.source_vlan,
            self.destination,
            self.destination_vlan,
            self.unidirectional,
        )
        return tag(*map(str, fields))

    def __str__(self) -> str:
        return (
            f"{self.source} vlan {self.source_vlan} to "
            f"{self.destination} vlan {self.destination_vlan}"
        )


@dataclass(frozen=True, slots=True)
class Inner:
    """What a CloudNet of the child is: a partial graph, and where its VLinks leave: STP and VLAN.

    ``graph``: in canonical bytes. ``reservation_id``: the parent's.
    """

    graph: bytes
    exits: tuple[tuple[str, tuple[str, int]], ...]
    reservation_id: str

    @property
    def tag(self) -> str:
        """The same for every version: what runs is changed, never made anew."""
        return tag("cloudnet", self.reservation_id)

    def __str__(self) -> str:
        return "the VNodes"


Thing = Ends | Inner
"""What the child is asked for: a circuit or a CloudNet."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Of each port of the domain the STP of the child there; ``cloud_stp``: where VNodes are."""

    stps: Mapping[str, str]
    cloud_stp: str = ""

    def things(self, prep: ReservationPrep) -> list[tuple[Thing, Segment | None]]:
        """What a part needs of the child, and of circuits for which segments."""
        circuits = [s for s in prep.segments if not self.is_inner(s)]
        found: list[tuple[Thing, Segment | None]] = [(self.ends(s), s) for s in circuits]
        if prep.graph:
            exits = tuple(sorted(self._exits(prep)))
            found.append((Inner(prep.graph, exits, prep.reservation_id), None))
        return found

    def is_inner(self, segment: Segment) -> bool:
        """Whether it leads a VLink from a VNode to a port."""
        return bool(self.cloud_stp) and self.cloud_stp in (segment.ingress_stp, segment.egress_stp)

    def ends(self, segment: Segment) -> Ends:
        """What the child is to join for a segment between two ports."""
        return Ends(
            self.stps[segment.ingress_stp],
            segment.ingress_vlan,
            self.stps[segment.egress_stp],
            segment.egress_vlan,
            segment.directionality is Directionality.UNIDIRECTIONAL,
        )

    def outside(self, segment: Segment) -> tuple[str, int]:
        """At which port, and with which VLAN, one that is inner leaves."""
        if segment.egress_stp == self.cloud_stp:
            return segment.ingress_stp, segment.ingress_vlan
        return segment.egress_stp, segment.egress_vlan

    def _exits(self, prep: ReservationPrep) -> Iterable[tuple[str, tuple[str, int]]]:
        for segment in filter(self.is_inner, prep.segments):
            port, vlan = self.outside(segment)
            yield segment.segment_id, (self.stps[port], vlan)


@dataclass(frozen=True, slots=True)
class Need:
    """What is needed of one thing: the most at any time, from the first second to the last.

    ``single_path``: it carries some flows of many only, chosen by the same rule by which the child
    would spread them: all would take one of its paths. ``inners``: of VNodes each version that is
    needed, the oldest first.
    """

    window: Window
    bandwidth_bps: int
    single_path: bool = False
    inners: tuple[Inner, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What one thing at the child is to be from now on. ``bandwidth_bps``: 0: it has none.

    ``inner``: of VNodes, None: as they are; ``placing``: the providers at which some must be.
    """

    bandwidth_bps: int
    end_s: int
    inner: Inner | None = None
    placing: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Circuit:
    """A reservation of the child that is this domain's, as it was last seen.

    ``reservation_id``: the parent's, for which it is. ``asker`` and ``thing``: tags of the parent,
    and of what it is. A CloudNet has no bandwidth; ``inner``: what it is, ``placed``: its VNodes
    and the child's provider of each.
    """

    child_id: str
    reservation_id: str
    asker: str
    thing: str
    window: Window
    bandwidth_bps: int
    updated_ms: int
    state: int
    data_plane: int
    reason: str = ""
    inner: Inner | None = None
    placed: tuple[tuple[str, str], ...] = ()
    created_ms: int = 0

    @property
    def cloudnet(self) -> bool:
        """Whether it has VNodes."""
        return self.inner is not None

    @property
    def standing(self) -> tuple[bool, bool, int, str]:
        """Of several for the same the least is the one to rely on."""
        return not self.committed, not self.active, self.created_ms, self.child_id

    @property
    def live(self) -> bool:
        """Whether the child holds it, or is about to."""
        return self.state in LIVE

    @property
    def committed(self) -> bool:
        """Whether the child holds it for certain."""
        return self.state == pb.RESERVATION_STATE_COMMITTED

    @property
    def active(self) -> bool:
        """Whether it carries traffic."""
        return self.committed and self.data_plane == common_pb2.DATA_PLANE_STATE_ACTIVE

    @property
    def gone(self) -> bool:
        """Whether nothing of it is configured, nor will be."""
        return not self.live and self.data_plane != common_pb2.DATA_PLANE_STATE_ACTIVE

    def serves(self, thing: str, window: Window) -> bool:
        """Whether it is what has this tag, at some of that time."""
        return self.thing == thing and self.window.overlaps(window)

    def covers(self, need: Need) -> bool:
        """Whether nothing is missing."""
        mine, its = self.window, need.window
        inside = mine.start_s <= its.start_s and its.end_s <= mine.end_s
        return inside and self.bandwidth_bps >= need.bandwidth_bps


class Names:
    """How the child's reservations are named, so that each is known again: whose it is, for whom.

    ``owner``: in front; no other domain behind which this child stands may have the same.
    """

    def __init__(self, owner: str) -> None:
        self._prefix = f"{owner}:"

    def request_id(self, prep: ReservationPrep, thing: Thing, attempt: int) -> str:
        """The same for the same part and thing; of what was given back since, another attempt."""
        part = tag(prep.transaction_id, prep.part_id, str(attempt))
        return f"{self._prefix}{tag(prep.orchestrator_id)}:{thing.tag}:{part}"

    def circuit(self, record: pb.ReservationRecord) -> Circuit | None:
        """None: it is somebody else's."""
        criteria = record.criteria
        if not criteria.request_id.startswith(self._prefix):
            return None
        asker, _, rest = criteria.request_id.removeprefix(self._prefix).partition(":")
        broken = common_pb2.DATA_PLANE_STATE_FAILED
        reasons = [part.reason for part in record.parts if part.data_plane == broken]
        return Circuit(
            record.reservation_id,
            criteria.description,
            asker,
            rest.partition(":")[0],
            Window(criteria.window.start_s, criteria.window.end_s),
            criteria.bandwidth_bps,
            record.updated_ms,
            record.state,
            record.data_plane,
            "; ".join(dict.fromkeys(filter(None, reasons))),
            _inner_of(criteria) if criteria.HasField("cloudnet") else None,
            tuple((vnode, part.domain) for part in record.parts for vnode in part.vnodes),
            record.created_ms,
        )


def _inner_of(criteria: pb.Reservation) -> Inner:
    """What the child was asked for, as it was asked."""
    exits = sorted((each.vlink, (each.stp, each.vlan)) for each in criteria.cloudnet.exits)
    graph = criteria.cloudnet.graph.SerializeToString(deterministic=True)
    return Inner(graph, tuple(exits), criteria.description)


def tag(*texts: str) -> str:
    """64 bits of a hash of texts, in 16 letters and digits."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def needed(
    parts: Iterable[ReservationPrep], ports: Ports, thing: str, window: Window
) -> Need | None:
    """What parts of one reservation need of what has this tag at times that overlap the window, or
    one another; None: nothing."""
    every = [
        (part.window, segment, each)
        for part in sorted(parts, key=lambda p: (p.version, p.transaction_id, p.part_id))
        for each, segment in ports.things(part)
        if each.tag == thing
    ]
    wanted, found = every, list[tuple[Window, Segment | None, Thing]]()
    span = window
    while near := [each for each in wanted if each[0].overlaps(span)]:
        found += near
        wanted = [each for each in wanted if each not in near]
        span = _hull([at for at, _, _ in found])
    if not found:
        return None
    segments = [segment for _, segment, _ in found if segment is not None]
    return Need(
        span,
        max((segment.bandwidth_bps for segment in segments), default=0),
        any(len(segment.flow_slots) < segment.slot_count for segment in segments),
        tuple(dict.fromkeys(w[2] for w in every if isinstance(w[2], Inner) and w in found)),
    )


def _hull(windows: Sequence[Window]) -> Window:
    return Window(min(w.start_s for w in windows), max(w.end_s for w in windows))


def refusal_of(
    record: pb.ReservationRecord, segment: Segment | None, ports: Ports, visible: bool
) -> Refusal:
    """Why the child did not reserve for a segment (None: for VNodes), in the parent's words.

    Nothing of what is behind the child is told unless the domain is visible.
    """
    # Before its reasons a child names domains that are away, which might have helped.
    told = [r for r in record.refusals if r.kind != common_pb2.REFUSAL_KIND_UNAVAILABLE]
    first = next(iter(told or record.refusals), common_pb2.Refusal())
    kind = KINDS.get(first.kind, RefusalKind.UNAVAILABLE)
    named = [port for port, stp in ports.stps.items() if stp == first.resource]
    resource = named[0] if named else ""
    if kind is RefusalKind.LABEL and segment is not None and not resource:
        # Inside no VLAN is left that can be joined to this one: another may do.
        resource = segment.ingress_stp
    reason = first.reason if visible and first.reason else "it cannot be carried behind this domain"
    if segment is None:
        refusal = Refusal(kind, reason, resource=resource)
        return _with_amounts(refusal, first) if visible else refusal
    refusal = Refusal(kind, reason, resource=resource, segment_id=segment.segment_id)
    largest = [a.request.bandwidth_bps for a in record.alternatives if a.kind == LARGEST]
    if kind is RefusalKind.BANDWIDTH and largest:
        return replace(refusal, available_bps=max(0, min(largest[0], segment.bandwidth_bps - 1)))
    return refusal


def _with_amounts(refusal: Refusal, first: common_pb2.Refusal) -> Refusal:
    """What VNodes lack behind a visible domain; at which of its providers is not told."""
    lacking = first.resource if first.resource.startswith("/") else refusal.resource
    return replace(
        refusal,
        resource=lacking,
        short=first.short if first.HasField("short") else None,
        asked=first.asked if first.HasField("asked") else None,
        elements=tuple(first.elements),
        shortages=tuple(
            replace(each, resource=each.resource if each.resource.startswith("/") else "", where="")
            for each in map(shortage_from_pb, first.shortages)
        ),
    )


def seen(known: Mapping[str, Circuit], circuit: Circuit) -> Circuit:
    """The later of two views of a circuit."""
    before = known.get(circuit.child_id)
    older = before is not None and before.updated_ms > circuit.updated_ms
    return before if before is not None and older else circuit
