"""Whether providers embed what they were asked for, and what that takes of hosts and links.

Reckoned from what an agent's database says of a part and the part itself, never from what the
agent's calendars say is free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from agents.backends.base import Placement
from agents.values import Record
from cloudnets.mapped import Mapped, MappedVLink
from cloudnets.partials import amount_of
from protocol.messages import ReservationPrep
from rdl.model import NetworkElement
from simulations.faults.inside import SWITCH, Inside, held_of
from simulations.faults.joined import CLOUD, ends_of, graph_of, vnodes_of
from simulations.faults.nets import BANDWIDTH, CPU, DISK, MEMORY
from substrate.model import Segment

Uses = Counter[tuple[str, str]]
"""Amounts by resource and direction, as :mod:`simulations.faults.capacity` counts them."""


@lru_cache(1024)
def mapped_of(mapping: str) -> Mapped | None:
    """What a stored mapping says of VNodes; None: it is of segments alone, or there is none."""
    detail = Placement.from_json(mapping).detail if mapping else ""
    return Mapped.from_json(detail) if detail.startswith("{") else None


@lru_cache(1024)
def uses_of(mapping: str) -> Uses:
    """What it takes of hosts and of links inside."""
    found, mapped = Uses(), mapped_of(mapping)
    if mapped is None:
        return found
    for vnode in mapped.vnodes:
        amounts = held_of(vnode.host, vnode.mcores, vnode.memory_bytes, vnode.disk_bytes)
        found.update({(name, "in"): amount for name, amount in amounts.items()})
    for vlink in mapped.vlinks:
        for link in vlink.links:
            found.update({(link, "in"): vlink.bandwidth_bps, (link, "out"): vlink.bandwidth_bps})
    return found


@lru_cache(1024)
def labels_of(domain: str, mapping: str) -> frozenset[tuple[str, int]]:
    """The VLANs that it has inside, at the cloud STP."""
    mapped = mapped_of(mapping)
    vlinks = mapped.vlinks if mapped else ()
    return frozenset((f"{domain}:{CLOUD}", vlink.vlan) for vlink in vlinks)


def unembedded(domain: str, record: Record, inside: Inside) -> str:
    """What of a live part is not embedded as it was asked for; empty when all of it is."""
    prep = record.part.prep
    if prep is None or not prep.graph:
        return ""
    mapped = mapped_of(record.part.mapping)
    if mapped is None:
        return "nothing of it is embedded"
    graph = graph_of(prep.graph)
    problems = [_unhosted(mapped, vnodes_of(graph), inside)]
    problems += [
        _unwired(domain, mapped, link, ends_of(graph, link), prep, inside)
        for link in graph.links
        if not link.is_transit
    ]
    vlans = [vlink.vlan for vlink in mapped.vlinks]
    if len(set(vlans)) < len(vlans):
        problems.append("two of its VLinks have one VLAN")
    return next(filter(None, problems), "")


def _unhosted(mapped: Mapped, vnodes: Iterable[NetworkElement], inside: Inside) -> str:
    asked = {vnode.id: vnode for vnode in vnodes}
    if sorted(asked) != sorted(vnode.id for vnode in mapped.vnodes):
        return f"has VNodes {', '.join(v.id for v in mapped.vnodes)} of {', '.join(sorted(asked))}"
    for vnode in mapped.vnodes:
        if vnode.host not in inside.hosts:
            return f"VNode {vnode.id} is on {vnode.host}, which is no host"
        has = vnode.mcores, vnode.memory_bytes, vnode.disk_bytes
        wants = tuple(amount_of(asked[vnode.id], kind) for kind in (CPU, MEMORY, DISK))
        if has != wants:
            return f"VNode {vnode.id} has {has}, asked for were {wants}"
    return ""


def _unwired(
    domain: str,
    mapped: Mapped,
    link: NetworkElement,
    ends: tuple[str, ...],
    prep: ReservationPrep,
    inside: Inside,
) -> str:
    """What is wrong with a VLink, or with the segment of one that leaves."""
    found = [vlink for vlink in mapped.vlinks if vlink.id == link.id]
    here = [end for end in ends if mapped.vnode(end) is not None]
    if len(found) != 1 or not here:
        return f"VLink {link.id} is there {len(found)} times" if here else ""
    (vlink,) = found
    if vlink.bandwidth_bps < amount_of(link, BANDWIDTH):
        return f"VLink {link.id} has {vlink.bandwidth_bps} bit/s"
    leaves = [_outwards(domain, s) for s in prep.segments if s.segment_id == link.id]
    leads = [(stp, outer) for stp, outer, vlan in leaves if vlan == vlink.vlan]
    out = (vlink.ends[1], vlink.outer_vlan)
    if len(here) == 1 and [out] != leads:
        return f"VLink {link.id} leaves by {out[0]} with VLAN {out[1]}, asked for was {leads}"
    at = [mapped.vnode(end) for end in vlink.ends]
    nodes = [vnode.host if vnode is not None else "" for vnode in at]
    return _astray(vlink, nodes[0], nodes[1] or SWITCH, inside)


def _outwards(domain: str, segment: Segment) -> tuple[str, int, int]:
    """The port where a segment leaves the provider, its VLAN there, and that inside."""
    if segment.ingress_stp == f"{domain}:{CLOUD}":
        return segment.egress_stp, segment.egress_vlan, segment.ingress_vlan
    return segment.ingress_stp, segment.ingress_vlan, segment.egress_vlan


def _astray(vlink: MappedVLink, start: str, end: str, inside: Inside) -> str:
    node = start
    for link in vlink.links:
        ends = inside.links.get(link, ("", ""))
        if node not in ends:
            return f"VLink {vlink.id} goes from {node} over {link}"
        node = ends[1] if ends[0] == node else ends[0]
    return "" if node == end else f"VLink {vlink.id} ends at {node}, not at {end}"
