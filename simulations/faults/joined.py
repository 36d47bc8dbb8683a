"""Whether a CloudNet that users are told stands is there: VNodes at providers, VLinks between.

Reckoned from the record and what domains promised alone, as :mod:`simulations.faults.carried`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from cloudnets.partials import amount_of, is_stub
from orchestrator.records import Reservation
from protocol.messages import ReservationPrep
from rdl.attributes import within
from rdl.codec import from_bytes
from rdl.model import Graph, NetworkElement
from rdl.partial import VLAN
from simulations.faults.carried import Peers, broken, unpromised
from simulations.faults.nets import BANDWIDTH, CPU, DISK, MEMORY
from substrate.model import Hop, Path
from substrate.vlans import VlanSet

CLOUD = "cloud"
Preps = Mapping[str, ReservationPrep]
"""What each domain promised."""

graph_of = lru_cache(512)(from_bytes)
"""The graph of canonical bytes."""


def unjoined(record: Reservation, preps: Preps, peers: Peers) -> str:
    """What of a COMMITTED CloudNet is missing; empty when nothing is.

    Every VNode is in the partial graph of one provider, as it was asked for and where it must be.
    Every VLink between two providers is one unbroken circuit between their cloud STPs, of which
    both providers know the VLANs, and all others lie inside. ``peers``: per port that other to
    which it is wired.
    """
    assert record.criteria.cloudnet is not None
    graph = graph_of(record.criteria.cloudnet.graph)
    at = _placed(record, preps)
    problems = [_misplaced(record, graph, preps, at), unpromised(record, preps.values())]
    paths: dict[str, list[Path]] = {}
    for path in record.paths:
        paths.setdefault(path.vlink, []).append(path)
    problems += [
        _unled(link, ends_of(graph, link), paths.pop(link.id, []), at, preps, peers)
        for link in graph.links
    ]
    problems += [f"VLink {name} is none of it, and has a path" for name in sorted(paths)]
    problems.append(_label_twice(record.paths))
    return next(filter(None, problems), "")


def vnodes_of(graph: Graph) -> list[NetworkElement]:
    """Those that a provider is to run."""
    return [node for node in graph.nodes if not is_stub(node)]


def ends_of(graph: Graph, link: NetworkElement) -> tuple[str, ...]:
    """What a link joins, sorted."""
    return tuple(sorted(i.other(link.id) for i in graph.interfaces if link.id in i.joins))


def element_of(graph: Graph, name: str) -> NetworkElement | None:
    """The one of that id."""
    return next((element for element in graph.elements if element.id == name), None)


def _placed(record: Reservation, preps: Preps) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for domain, prep in sorted(preps.items()):
        for vnode in vnodes_of(graph_of(prep.graph)) if prep.graph else ():
            found.setdefault(vnode.id, []).append(domain)
    return found


def _misplaced(record: Reservation, graph: Graph, preps: Preps, at: Mapping[str, list[str]]) -> str:
    told = {vnode: part.domain for part in record.parts for vnode in part.vnodes}
    assert record.criteria.cloudnet is not None
    must = dict(record.criteria.cloudnet.placing)
    for vnode in vnodes_of(graph):
        where = at.get(vnode.id, [])
        if len(where) != 1:
            return f"VNode {vnode.id} is at {', '.join(where) or 'no provider'}"
        if where[0] != must.get(vnode.id, where[0]):
            return f"VNode {vnode.id} is at {where[0]}, not at {must[vnode.id]}"
        if where[0] != told.get(vnode.id):
            return f"VNode {vnode.id} is at {where[0]}, its user reads {told.get(vnode.id)}"
        given = element_of(graph_of(preps[where[0]].graph), vnode.id)
        for kind in (CPU, MEMORY, DISK):
            if given is None or amount_of(given, kind) != amount_of(vnode, kind):
                return f"VNode {vnode.id} is asked of {where[0]} with another {kind}"
    strange = sorted(at.keys() - {vnode.id for vnode in vnodes_of(graph)})
    return f"VNode {strange[0]} was not asked for" if strange else ""


def _unled(
    link: NetworkElement,
    ends: tuple[str, ...],
    paths: list[Path],
    at: Mapping[str, list[str]],
    preps: Preps,
    peers: Peers,
) -> str:
    places = [place for end in ends for place in at.get(end, [])]
    for place in sorted(set(places)):
        problem = _unlike(link, ends, graph_of(preps[place].graph))
        if problem:
            return f"{place} {problem}"
    if len(set(places)) == 1:
        return f"VLink {link.id} lies inside, and has a path" if paths else ""
    if len(paths) != 1:
        return f"VLink {link.id} has {len(paths)} paths"
    (path,) = paths
    if path.bandwidth_bps < amount_of(link, BANDWIDTH):
        return f"VLink {link.id} has {path.bandwidth_bps} bit/s"
    first, last = path.hops[0], path.hops[-1]
    found = sorted((first.ingress_stp, last.egress_stp))
    if found != sorted(f"{place}:{CLOUD}" for place in places):
        return f"VLink {link.id} leads from {found[0]} to {found[1]}"
    problem = broken(path, peers)
    if problem:
        return f"VLink {link.id}: {problem}"
    outer = ((first, first.egress_vlan), (last, last.ingress_vlan))
    return next(filter(None, (_unknown(link.id, hop, vlan, preps) for hop, vlan in outer)), "")


def _unlike(link: NetworkElement, ends: tuple[str, ...], partial: Graph) -> str:
    """What a provider was told otherwise of a VLink than it was asked for."""
    given = element_of(partial, link.id)
    if given is None:
        return f"does not know VLink {link.id}"
    if amount_of(given, BANDWIDTH) != amount_of(link, BANDWIDTH):
        return f"is asked for VLink {link.id} with another {BANDWIDTH}"
    here = {vnode.id for vnode in vnodes_of(partial)}
    wanted = here.intersection(ends)
    if wanted != here.intersection(ends_of(partial, given)):
        return f"is asked to join other VNodes by VLink {link.id}"
    return ""


def _unknown(vlink: str, hop: Hop, outer_vlan: int, preps: Preps) -> str:
    """Whether a provider was told of the segment by the VLink's name, and of its VLAN outside."""
    prep = preps[hop.domain]
    named = [
        (s.ingress_stp, s.ingress_vlan, s.egress_stp, s.egress_vlan)
        for s in prep.segments
        if s.segment_id == vlink
    ]
    if named != [(hop.ingress_stp, hop.ingress_vlan, hop.egress_stp, hop.egress_vlan)]:
        return f"{hop.domain} has other segments of VLink {vlink}"
    told = [
        feature.value
        for element in graph_of(prep.graph).elements
        if element.is_transit and element.id.partition("@")[0] == vlink
        for feature in element.features
        if within(feature.attribute, VLAN)
    ]
    if told != [VlanSet.of(outer_vlan)]:
        return f"{hop.domain} does not know that VLink {vlink} has VLAN {outer_vlan} outside"
    return ""


def _label_twice(paths: Iterable[Path]) -> str:
    """Whether two VLinks of one CloudNet would mix."""
    labels = Counter[tuple[str, int]]()
    for path in paths:
        for hop in path.hops:
            labels[(hop.ingress_stp, hop.ingress_vlan)] += 1
            labels[(hop.egress_stp, hop.egress_vlan)] += 1
    twice = sorted(label for label, count in labels.items() if count > 1)
    return f"two of its VLinks have VLAN {twice[0][1]} at {twice[0][0]}" if twice else ""
