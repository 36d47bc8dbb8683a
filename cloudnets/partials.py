"""A partial graph, read for mapping: VNodes with amounts, VLinks with both ends (paper 002, 5.4).

What a graph leaves open is completed here, OL0 to OL1. A VLink has two ends: two VNodes of this
provider; or one, and the port by which it leaves; or none: then it passes through, as an ordinary
segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rdl.attributes import PIP, within
from rdl.codec import from_bytes
from rdl.completion import Default, complete
from rdl.errors import RdlError
from rdl.limits import Limits
from rdl.model import (
    Graph,
    Layer,
    NetworkElement,
    NetworkInterface,
    Resource as Quantity,
)
from rdl.partial import VLAN
from rdl.relations import open_relations
from rdl.units import Amount, Unit
from substrate.model import Refusal, RefusalKind, Segment, Shortage
from substrate.vlans import VlanSet

BANDWIDTH = "/resource/bandwidth"
VNODES_MAX = 100
VLINKS_MAX = 400
RELATIONS_MAX = 100
NAMED_MAX = 5
LIMITS = Limits(objects=4_000)


class Refused(Exception):
    """Why a partial graph cannot be mapped here; its text is the operator's.

    ``refusal``: what is told, see :class:`substrate.model.Refusal`. ``reason`` names nothing of the
    inside; where there is more to say ``inside`` says all of it.
    """

    def __init__(
        self,
        kind: RefusalKind,
        reason: str,
        resource: str = "",
        segment: str = "",
        *,
        elements: Sequence[str] = (),
        short: int | None = None,
        asked: int | None = None,
        shortages: Sequence[Shortage] = (),
        inside: str = "",
    ) -> None:
        super().__init__(inside or reason)
        self.refusal = Refusal(
            kind,
            reason,
            resource=resource,
            segment_id=segment,
            short=short,
            asked=asked,
            elements=tuple(elements),
            shortages=tuple(shortages),
            inside=inside,
        )


@dataclass(frozen=True, slots=True)
class AskedVLink:
    """``element``: with the features of its interfaces too. ``ends``: two VNodes; or one, and the
    STP by which it leaves with ``outer_vlan``. ``vlan``: what it must have inside; 0: to be picked.
    """

    element: NetworkElement
    ends: tuple[str, str]
    bandwidth_bps: int
    vlan: int = 0
    outer_vlan: int = 0

    @property
    def leaves(self) -> bool:
        """Whether the second end is a port."""
        return self.outer_vlan > 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A partial graph, completed by ``by``; ``vlinks`` without those that only pass through."""

    graph: Graph
    vnodes: tuple[NetworkElement, ...]
    vlinks: tuple[AskedVLink, ...]
    by: str

    def decided(self, graph: Graph) -> Asked:
        """The same with other features of VNodes."""
        return replace(self, graph=graph, vnodes=_vnodes(graph))


def read_partial(
    data: bytes, segments: Sequence[Segment], cloud_stp: str, by: str, defaults: Sequence[Default]
) -> Asked:
    """The graph in canonical bytes, and the segments that lead its VLinks on, completed by ``by``.

    Raises Refused: POLICY where a limit is passed, TOPOLOGY for all else that does not make sense.
    """
    try:
        graph = from_bytes(data, limits=LIMITS)
    except RdlError as error:
        kind = RefusalKind.POLICY if error.exhausted else RefusalKind.TOPOLOGY
        raise Refused(kind, "; ".join(map(str, error.mistakes[:3]))) from error
    if graph.layer is not Layer.OVERLAY:
        raise _wrong("layer", "given 'underlay', possible: overlay")
    _few("elements", "VNodes", len(_vnodes(graph)), VNODES_MAX)
    _few("elements", "links", len(graph.links), VLINKS_MAX)
    _few("relations", "relations", len(graph.relations), RELATIONS_MAX)
    if not _vnodes(graph):
        raise _wrong("elements", "has no VNode; needed is at least one")
    _settled(graph)
    leading = _leading(segments, cloud_stp)
    graph = complete(_with_bandwidths(graph, leading, by), defaults, by).graph
    vlinks = tuple(_vlinks(graph, leading, cloud_stp))
    unknown = set(leading) - {vlink.element.id for vlink in vlinks if vlink.leaves}
    if unknown:
        reason = f"no VLink that leaves here, for the segment at {cloud_stp}"
        raise _wrong(f"elements.{min(unknown)}", reason)
    return Asked(graph, _vnodes(graph), vlinks, by)


def is_stub(element: NetworkElement) -> bool:
    """Whether the element stands for a neighbour, or for the way there."""
    return element.attribute == PIP or element.is_transit


def amount_of(element: NetworkElement, attribute: str) -> int:
    """The sum of what an element says of a resource, and of those below it."""
    return sum(
        [r.amount.value for r in element.resources if r.amount and within(r.attribute, attribute)]
    )


def kind_of(attribute: str) -> RefusalKind:
    """Of a refusal for want of an amount."""
    return RefusalKind.BANDWIDTH if within(attribute, BANDWIDTH) else RefusalKind.RESOURCE


def listed(elements: Sequence[str]) -> str:
    """Names for a sentence: the first few; none: it is about all."""
    shown = ", ".join(elements[:NAMED_MAX]) or "all of it together"
    more = len(elements) - NAMED_MAX
    return f"{shown} and {more} more" if more > 0 else shown


def _vnodes(graph: Graph) -> tuple[NetworkElement, ...]:
    return tuple(node for node in graph.nodes if not is_stub(node))


def _settled(graph: Graph) -> None:
    for relation in open_relations(graph):
        if relation.elsewhere:
            reason = (
                f"{relation.of} is not settled with the {relation.elsewhere} elsewhere: "
                "who cuts a graph decides it before"
            )
            raise _wrong(f"relations.{relation.id}", reason)


def _leading(segments: Sequence[Segment], cloud_stp: str) -> dict[str, Segment]:
    """The segments that lead a VLink on from here, by its id. Raises Refused."""
    found: dict[str, Segment] = {}
    for segment in segments:
        if cloud_stp in (segment.ingress_stp, segment.egress_stp):
            if segment.segment_id in found:
                reason = "more than one segment leads it on; possible here: one"
                raise _wrong(f"elements.{segment.segment_id}", reason)
            found[segment.segment_id] = segment
    return found


def _with_bandwidths(graph: Graph, leading: dict[str, Segment], by: str) -> Graph:
    """With the bandwidth of its segment for each VLink that does not say any."""
    elements = []
    for element in graph.elements:
        segment = leading.get(element.id)
        said = [r for r in element.resources if within(r.attribute, BANDWIDTH)]
        if segment is not None and element.is_link and not any(r.amount for r in said):
            amount = Amount(segment.bandwidth_bps, Unit.BANDWIDTH_BPS)
            rest = tuple(r for r in element.resources if r not in said)
            element = replace(element, resources=(*rest, Quantity(BANDWIDTH, amount, by)))
        elements.append(element)
    return replace(graph, elements=tuple(elements))


def _vlinks(graph: Graph, leading: dict[str, Segment], cloud_stp: str) -> Iterator[AskedVLink]:
    """Those with a VNode here. Raises Refused."""
    elements = {element.id: element for element in graph.elements}
    joints: dict[str, list[NetworkInterface]] = {}
    for interface in graph.interfaces:
        for name in interface.joins:
            joints.setdefault(name, []).append(interface)
    for link in graph.links:
        if link.is_transit:
            continue
        others = [elements[joint.other(link.id)] for joint in joints[link.id]]
        if len(others) != 2:
            raise _wrong(f"elements.{link.id}", f"has {len(others)} ends; possible here: 2")
        stubs = [each for each in others if is_stub(each)]
        vnodes = [each.id for each in others if not is_stub(each)]
        if vnodes:
            element, wide = _demanded(link, joints[link.id])
            if not stubs:
                yield AskedVLink(element, (vnodes[0], vnodes[1]), wide)
            else:
                segment = leading.get(link.id)
                yield _leaving(element, vnodes[0], stubs[0], wide, segment, cloud_stp)


def _demanded(
    link: NetworkElement, joints: Sequence[NetworkInterface]
) -> tuple[NetworkElement, int]:
    """A VLink with the features of its interfaces too, and the bandwidth. Raises Refused."""
    field = f"elements.{link.id}"
    if link.shares:
        raise _wrong(f"{field}.shares", "VLinks share nothing here; possible: none")
    wide = max(_bandwidth(link, field), *(_bandwidth(joint, field) for joint in joints))
    demands = [link.features, *(joint.features for joint in joints)]
    features = dict.fromkeys(f for some in demands for f in some if f.value is not None)
    return replace(link, features=tuple(features)), wide


def _leaving(
    element: NetworkElement,
    vnode: str,
    stub: NetworkElement,
    wide: int,
    segment: Segment | None,
    cloud_stp: str,
) -> AskedVLink:
    if segment is None:
        reason = f"leaves here, and no segment leads it on from {cloud_stp}"
        raise _wrong(f"elements.{element.id}", reason)
    port, outer, vlan = segment.egress_stp, segment.egress_vlan, segment.ingress_vlan
    if port == cloud_stp:
        port, outer, vlan = segment.ingress_stp, segment.ingress_vlan, segment.egress_vlan
    _same_vlan(stub, outer, port, element.id)
    return AskedVLink(element, (vnode, port), max(wide, segment.bandwidth_bps), vlan, outer)


def _bandwidth(holder: NetworkElement | NetworkInterface, field: str) -> int:
    """What a link or an interface of it says. Raises Refused where it says anything else."""
    for each in holder.resources:
        if not within(each.attribute, BANDWIDTH):
            raise _wrong(f"{field}.resources.{each.attribute}", f"possible: {BANDWIDTH}")
    return sum([each.amount.value for each in holder.resources if each.amount is not None])


def _same_vlan(stub: NetworkElement, outer: int, port: str, vlink: str) -> None:
    told = [f.value for f in stub.features if f.attribute == VLAN]
    if told and isinstance(told[0], VlanSet) and outer not in told[0]:
        field = f"elements.{stub.id}.features.{VLAN}"
        reason = f"{field}: is {told[0]}, and the segment has {outer}"
        raise Refused(RefusalKind.LABEL, reason, port, vlink)


def _few(field: str, what: str, count: int, most: int) -> None:
    if count > most:
        raise Refused(RefusalKind.POLICY, f"{field}: {count} {what}; possible here: {most}")


def _wrong(field: str, reason: str) -> Refused:
    return Refused(RefusalKind.TOPOLOGY, f"{field}: {reason}")
