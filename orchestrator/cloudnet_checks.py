"""Checks a user's CloudNet, once, at the edge (design, section 9)."""

from __future__ import annotations

from functools import lru_cache

from grpc import StatusCode

from braid.v1 import reservations_pb2 as pb
from cloudnets.asked import vlinks_of
from embedding.objectives import OBJECTIVES
from rdl.aggregation import is_neighbour
from rdl.attributes import PIP, within
from rdl.codec import from_bytes, graph_from_pb, to_bytes
from rdl.errors import RdlError
from rdl.model import Graph, Layer, NetworkElement, by_id
from rdl.reading import Document
from rdl.sizes import oversized
from runtime.errors import RequestError, invalid
from substrate.model import CloudNet, Constraints, domain_of
from substrate.topology import Topology

GRAPH = "cloudnet.graph"
OF_CIRCUITS = (
    "source",
    "destination",
    "bandwidth_bps",
    "directionality",
    "strategy",
    "flexibility",
    "more_destinations",
    "movable",
)
"""Fields of a Reservation that say nothing about a CloudNet."""
OF_ENDS = (
    "max_paths",
    "min_share_bps",
    "ero",
    "source_vlans",
    "destination_vlans",
    "survive",
    "remaining_bps",
    "disjoint",
)
"""Constraints that only one circuit can have."""

graph_of = lru_cache(64)(from_bytes)
"""The graph of canonical bytes. Raises RdlError."""


def check_alone(message: pb.Reservation) -> None:
    """That nothing of a circuit is asked for beside a CloudNet. Raises RequestError."""
    for name in OF_CIRCUITS:
        if any(field.name == name for field, _ in message.ListFields()):
            raise invalid(name, str(getattr(message, name)).strip(), "nothing beside cloudnet")
    check_circuit_constraints(message.constraints)


def check_circuit_constraints(message: pb.Constraints) -> None:
    """That they make sense for each of several circuits. Raises RequestError."""
    for field, value in message.ListFields():
        if field.name in OF_ENDS:
            shown = str(value).strip()
            raise invalid(f"constraints.{field.name}", shown, "nothing beside cloudnet")


def check_cloudnet(message: pb.CloudNet, topology: Topology) -> CloudNet:
    """A CloudNet as a value. Raises RequestError."""
    try:
        graph = graph_from_pb(message.graph)
        vlinks_of(graph)
    except RdlError as error:
        raise _wrong(error) from error
    _check_overlay(graph)
    if message.objective and message.objective not in OBJECTIVES:
        raise invalid("cloudnet.objective", message.objective, ", ".join(sorted(OBJECTIVES)))
    placing = _check_placing(message, graph, topology)
    exits = _check_exits(message, graph, topology)
    anew = _check_anew(message, graph)
    return CloudNet(to_bytes(graph), message.objective or "cost", placing, exits, anew)


def check_avoided(cloudnet: CloudNet, limits: Constraints) -> None:
    """That no domain is avoided that is needed for sure. Raises RequestError."""
    placed = {domain: f"at which {vnode} is to be" for vnode, domain in cloudnet.placing}
    left = {domain_of(stp): f"where {vlink} leaves" for vlink, stp, _ in cloudnet.exits}
    for name in limits.avoid_domains:
        why = placed.get(name) or left.get(name)
        if why:
            possible = f"a domain that is not needed: this is the one {why}"
            raise invalid("constraints.avoid_domains", name, possible)


def _check_overlay(graph: Graph) -> None:
    if graph.layer is not Layer.OVERLAY:
        raise invalid(f"{GRAPH}.layer", graph.layer.value, Layer.OVERLAY.value)
    if not graph.nodes:
        raise invalid(f"{GRAPH}.elements", "no node", "one node or more")
    mistakes = oversized(Document(graph, {}))
    if mistakes:
        raise _wrong(RdlError(mistakes))


def _check_placing(
    message: pb.CloudNet, graph: Graph, topology: Topology
) -> tuple[tuple[str, str], ...]:
    nodes = {node.id for node in graph.nodes}
    providers = sorted(d.name for d in topology.domains.values() if d.cloud_stp)
    found: dict[str, str] = {}
    for i, each in enumerate(message.placing):
        field = f"cloudnet.placing[{i}]"
        if each.vnode not in nodes:
            raise invalid(f"{field}.vnode", each.vnode, f"one of {', '.join(sorted(nodes)[:20])}")
        if each.vnode in found:
            raise invalid(f"{field}.vnode", each.vnode, "each VNode once")
        if each.domain not in providers:
            possible = f"a provider: {', '.join(providers[:20]) or 'there is none'}"
            raise RequestError(StatusCode.NOT_FOUND, f"{field}.domain", each.domain, possible)
        found[each.vnode] = each.domain
    return tuple(sorted(found.items()))


def _check_anew(message: pb.CloudNet, graph: Graph) -> tuple[str, ...]:
    nodes = {node.id for node in graph.nodes}
    for i, name in enumerate(message.anew):
        if name not in nodes:
            raise invalid(f"cloudnet.anew[{i}]", name, f"one of {', '.join(sorted(nodes)[:20])}")
    return tuple(sorted(set(message.anew)))


def _check_exits(
    message: pb.CloudNet, graph: Graph, topology: Topology
) -> tuple[tuple[str, str, int], ...]:
    """Each link that leads on to a transit link has one, and no other."""
    leaving = _leaving(graph)
    found: dict[str, tuple[str, int]] = {}
    for i, each in enumerate(message.exits):
        field = f"cloudnet.exits[{i}]"
        if each.vlink not in leaving or each.vlink in found:
            possible = f"once each of {', '.join(sorted(leaving)) or 'none'}"
            raise invalid(f"{field}.vlink", each.vlink, possible)
        _check_port(each, field, topology)
        if (each.stp, each.vlan) in found.values():
            raise invalid(f"{field}.vlan", each.vlan, f"one for each VLink at {each.stp}")
        found[each.vlink] = (each.stp, each.vlan)
    missing = sorted(leaving - found.keys())
    if missing:
        possible = f"where each leaves that has a transit link: {', '.join(missing)}"
        raise invalid("cloudnet.exits", "nothing", possible)
    return tuple((vlink, stp, vlan) for vlink, (stp, vlan) in sorted(found.items()))


def _check_port(given: pb.VLinkExit, field: str, topology: Topology) -> None:
    """That the VLink can leave there."""
    port = topology.port(given.stp)
    if port is None:
        possible = "an STP that is known here"
        raise RequestError(StatusCode.NOT_FOUND, f"{field}.stp", given.stp, possible)
    inner = given.stp == topology.domains[domain_of(given.stp)].cloud_stp
    if inner or topology.link_at(given.stp) is not None:
        raise invalid(f"{field}.stp", given.stp, "a port that leads to none of the domains here")
    if given.vlan not in port.vlans:
        raise invalid(f"{field}.vlan", given.vlan, str(port.vlans or "none"))


def _leaving(graph: Graph) -> set[str]:
    """The links that lead on to a transit link, behind which is a stub: no other stubs."""
    elements: dict[str, NetworkElement] = by_id(graph.elements)
    ends: dict[str, list[NetworkElement]] = {e.id: [] for e in graph.links if e.is_transit}
    for interface in graph.interfaces:
        for name in ends.keys() & set(interface.joins):
            ends[name].append(elements[interface.other(name)])
    found: set[str] = set()
    for transit, joined in ends.items():
        links, stubs = [e.id for e in joined if e.is_link], [*filter(is_neighbour, joined)]
        if (len(joined), len(links), len(stubs)) != (2, 1, 1):
            given = f"joins {', '.join(sorted(e.id for e in joined))}"
            possible = f"a VLink and a stub, which is a {PIP} without resources"
            raise invalid(f"{GRAPH}.elements.{transit}", given, possible)
        if links[0] in found:
            raise invalid(f"{GRAPH}.elements.{links[0]}", "leaves twice", "a VNode at one end")
        found.update(links)
    stubs_behind = {e.id for joined in ends.values() for e in joined}
    for node in graph.nodes:
        if within(node.attribute, PIP) and node.id not in stubs_behind:
            possible = f"what a VNode is; {PIP} only as a stub behind a /link/transit"
            raise invalid(f"{GRAPH}.elements.{node.id}.attribute", node.attribute, possible)
    return found


def _wrong(error: RdlError) -> RequestError:
    """The first mistake, and the others beside what is possible there."""
    first, *others = error.mistakes
    code = StatusCode.RESOURCE_EXHAUSTED if error.exhausted else StatusCode.INVALID_ARGUMENT
    field = f"{GRAPH}.{first.field}" if first.field else GRAPH
    given, _, possible = first.reason.partition("; possible: ")
    possible = possible or "a graph as docs/rdl describes it"
    if others:
        possible += f"; wrong besides: {'; '.join(map(str, others))}"
    return RequestError(code, field, given, possible)
