"""Where VLinks of a partial graph leave this orchestrator's domains: a VNP below another VNP.

Its partial graph has a stub for each neighbour. Such a stub is mapped like a VNode that must be in
the domain where the VLink leaves, and takes nothing there; the circuit ends at the port.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cloudnets.asked import bandwidth_bps, nodes_at
from cloudnets.vnp import Circuit, VnpMapping
from orchestrator.cloudnet_checks import graph_of
from rdl.aggregation import is_neighbour
from rdl.model import Graph, Layer, by_id
from substrate.model import CloudNet, domain_of
from substrate.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Exit:
    """A VLink that leaves at an STP with a VLAN; ``stub``: the node for what is there."""

    vlink: str
    stub: str
    stp: str
    vlan: int

    @property
    def domain(self) -> str:
        """Where it leaves."""
        return domain_of(self.stp)


def exits_of(cloudnet: CloudNet) -> tuple[Graph, tuple[Exit, ...]]:
    """The exits of a CloudNet, in the order of their VLinks, and its graph.

    VLinks to one neighbour may leave in different domains: in the graph, each that leaves elsewhere
    than the first has a stub of its own.
    """
    graph = graph_of(cloudnet.graph)
    if not cloudnet.exits:
        return graph, ()
    ends, neighbours = nodes_at(graph), {node.id for node in graph.nodes if is_neighbour(node)}
    found: list[Exit] = []
    first: dict[str, str] = {}
    for vlink, stp, vlan in cloudnet.exits:
        stub = next(node for node in ends[vlink] if node in neighbours)
        if first.setdefault(stub, domain_of(stp)) != domain_of(stp):
            graph, stub = _with_own_stub(graph, vlink, stub)
        found.append(Exit(vlink, stub, stp, vlan))
    return graph, tuple(found)


def _with_own_stub(graph: Graph, vlink: str, stub: str) -> tuple[Graph, str]:
    """Behind the transit of a VLink a stub that no other has, and its id."""
    own = f"{stub}@{vlink}"
    transits = {
        interface.other(vlink) for interface in graph.interfaces if vlink in interface.joins
    }
    interfaces = tuple(
        replace(each, joins=(each.other(stub), own))
        if stub in each.joins and each.other(stub) in transits
        else each
        for each in graph.interfaces
    )
    copy = replace(by_id(graph.elements)[stub], id=own)
    return replace(graph, elements=(*graph.elements, copy), interfaces=interfaces), own


def with_exits(aggregates: Mapping[str, Graph], exits: Iterable[Exit]) -> dict[str, Graph]:
    """What providers told, and for each domain of an exit that is none, nothing: no VNode fits."""
    return {**{each.domain: Graph(each.domain, Layer.UNDERLAY) for each in exits}, **aggregates}


def all_circuits(mapping: VnpMapping, exits: Iterable[Exit]) -> tuple[Circuit, ...]:
    """Those between providers, and those from VNodes to exits of their own provider."""
    crossing = {circuit.vlink for circuit in mapping.circuits}
    links = by_id(mapping.graph.links)
    within = [
        Circuit(each.vlink, each.domain, each.domain, bandwidth_bps(links[each.vlink]), None)
        for each in exits
        if each.vlink not in crossing
    ]
    return (*mapping.circuits, *within)
