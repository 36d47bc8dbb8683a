"""A CloudNet's mapping, whoever tells of it: VNodes at providers, VLinks on paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping as Table
from dataclasses import dataclass

from braid.units import format_bandwidth
from braid.v1 import cloudnets_pb2, rdl_pb2, reservations_pb2 as pb
from rdl.attributes import NODE, PIP, TRANSIT, family, levels
from rdl.units import Amount, Unit, readable

NOWHERE = "not placed"


@dataclass(frozen=True, slots=True)
class VNode:
    """``domain``: its provider, or NOWHERE. ``amounts``: "2 cores, 4 GiB memory".

    ``state``: "running", or empty where it is not known; ``reason``: why it failed; ``host``: as
    operators are told.
    """

    id: str
    domain: str
    amounts: str
    state: str = ""
    reason: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class VLink:
    """``ends``: VNodes. ``bandwidth``: "1 Gb/s", or empty. ``paths``: between providers."""

    id: str
    ends: tuple[str, ...]
    bandwidth: str
    paths: tuple[pb.Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Mapping:
    """A CloudNet as it is mapped; VNodes by provider, then by id; VLinks by id."""

    name: str
    vnodes: tuple[VNode, ...]
    vlinks: tuple[VLink, ...]

    def at_providers(self) -> dict[str, list[VNode]]:
        """VNodes by provider; last those that are nowhere."""
        found: dict[str, list[VNode]] = {}
        for vnode in sorted(self.vnodes, key=lambda each: each.domain == NOWHERE):
            found.setdefault(vnode.domain, []).append(vnode)
        return found

    def domains_of(self, vlink: VLink) -> tuple[str, ...]:
        """The providers that its ends are at, each once."""
        where = {vnode.id: vnode.domain for vnode in self.vnodes}
        return tuple(dict.fromkeys(where[end] for end in vlink.ends if end in where))


def of_plan(plan: pb.PlanResponse, cloudnet: pb.CloudNet) -> Mapping:
    """As a dry run of ``cloudnet`` would have it."""
    places = {each.vnode: each.domain for each in plan.vnodes}
    return _mapping(cloudnet.graph, places, plan.paths, ())


def of_record(
    record: pb.ReservationRecord, state: cloudnets_pb2.CloudNetState | None = None
) -> Mapping:
    """As it is reserved, and as its providers tell of it now."""
    places = {vnode: part.domain for part in record.parts for vnode in part.vnodes}
    graph, states = record.criteria.cloudnet.graph, state.vnodes if state is not None else ()
    if state is not None and state.completed.elements:
        graph = state.completed
    return _mapping(graph, places, record.paths, states)


def state_name(state: int) -> str:
    """ "running" for POWER_STATE_RUNNING; empty when it is not known."""
    name = cloudnets_pb2.PowerState.Name(state)  # type: ignore[arg-type]
    return "" if not state else name.removeprefix("POWER_STATE_").lower()


def amount_text(resource: rdl_pb2.Resource) -> str:
    """ "2 cores", "4 GiB memory", "any disk"."""
    kind = resource.amount.WhichOneof("kind")
    if kind in ("bandwidth_bps", "compute_mcores"):
        return quantity(resource.amount)
    name = "".join(levels(resource.attribute)[1:2])
    if kind == "count_pieces":
        return f"{resource.amount.count_pieces} {name}"
    return f"{quantity(resource.amount)} {name}"


def quantity(amount: rdl_pb2.Amount) -> str:
    """ "4 GiB", or "any" where there is none."""
    kind = amount.WhichOneof("kind")
    if kind is None:
        return "any"
    if kind == "bandwidth_bps":
        return format_bandwidth(amount.bandwidth_bps)
    return readable(Amount(getattr(amount, kind), Unit[kind.upper()]))


def _mapping(
    graph: rdl_pb2.Graph,
    places: Table[str, str],
    paths: Iterable[pb.Path],
    states: Iterable[cloudnets_pb2.VNodeState],
) -> Mapping:
    known = {each.vnode: each for each in states}
    nodes = [each for each in graph.elements if family(each.attribute) == NODE]
    vnodes = [_vnode(each, places, known.get(each.id)) for each in nodes]
    named = {each.id for each in nodes}
    vnodes += [_told(each, "", "") for name, each in known.items() if name not in named]
    by_vlink: dict[str, list[pb.Path]] = {}
    for path in paths:
        by_vlink.setdefault(path.vlink, []).append(path)
    ends = _ends(graph, named)
    vlinks = [
        VLink(
            each.id,
            ends[each.id],
            next((amount_text(r) for r in each.resources if r.HasField("amount")), ""),
            tuple(by_vlink.get(each.id, ())),
        )
        for each in graph.elements
        if each.id in ends
    ]
    return Mapping(
        graph.name,
        tuple(sorted(vnodes, key=lambda each: (each.domain, each.id))),
        tuple(sorted(vlinks, key=lambda each: each.id)),
    )


def _vnode(
    element: rdl_pb2.NetworkElement,
    places: Table[str, str],
    state: cloudnets_pb2.VNodeState | None,
) -> VNode:
    amounts = ", ".join(map(amount_text, element.resources))
    domain = places.get(element.id, "")
    if state is not None:
        return _told(state, domain, amounts)
    if not domain and element.attribute == PIP and "@" in element.id:
        # A stub of a partial graph stands for the neighbour that it names.
        domain = element.id.rpartition("@")[2]
    return VNode(element.id, domain or NOWHERE, amounts)


def _told(state: cloudnets_pb2.VNodeState, domain: str, amounts: str) -> VNode:
    where, name = state.domain or domain or NOWHERE, state_name(state.state)
    return VNode(state.vnode, where, amounts, name, state.reason, state.host)


def _ends(graph: rdl_pb2.Graph, nodes: set[str]) -> dict[str, tuple[str, ...]]:
    """The nodes that each link joins; what a stub leads to counts as joined by the link itself."""
    transits = {each.id for each in graph.elements if each.attribute == TRANSIT}
    links = [each.id for each in graph.elements if each.id not in nodes | transits]
    joined: dict[str, list[str]] = {}
    for interface in graph.interfaces:
        for one, other in (interface.joins, reversed(interface.joins)):
            joined.setdefault(one, []).append(other)
    found = {}
    for link in links:
        others = joined.get(link, [])
        beyond = [node for each in others if each in transits for node in joined[each]]
        ends = [each for each in (*others, *beyond) if each in nodes]
        found[link] = tuple(sorted(dict.fromkeys(ends)))
    return found
