"""A CloudNet of three VNodes at two providers, from the request to what agents store of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agents.backends.base import Claim, Placement
from agents.values import DataPlane, Record
from cloudnets.mapped import Mapped, MappedVLink, MappedVNode
from orchestrator.records import PartView, Reservation, State
from protocol.messages import ReservationPrep
from protocol.participant import Part, PartState
from rdl.codec import to_bytes
from rdl.partial import Transit, cut
from simulations.faults.nets import GIB, G, graph_of, read_net
from substrate.calendar import Direction, Resource
from substrate.model import CloudNet, Criteria, Hop, Path, Segment, Window

NET = read_net("a:2:4@west b:1:1 c:4:2 a-b:20 b-c:5")
"""a and c at west, b at east: both VLinks cross."""
AT = {"a": "west", "b": "east", "c": "west"}
VLANS = {"a-b": 100, "b-c": 101}
INNER = {"a-b": 200, "b-c": 201}
PEERS = {"west:m1": "m1:west", "m1:west": "west:m1", "m1:east": "east:m1", "east:m1": "m1:east"}
HOSTS = {"a": "h1", "b": "h1", "c": "h2"}


def path(vlink: str, a: str, b: str, gbps: int) -> Path:
    """From provider to provider over m1."""
    vlan, inner = VLANS[vlink], INNER[vlink]
    hops = (
        Hop(a, f"{a}:cloud", inner, f"{a}:m1", vlan),
        Hop("m1", f"m1:{a}", vlan, f"m1:{b}", vlan),
        Hop(b, f"{b}:m1", vlan, f"{b}:cloud", inner),
    )
    return Path(gbps * G, 0, hops, vlink=vlink)


PATHS = (path("a-b", "west", "east", 20), path("b-c", "east", "west", 5))


def record(window: Window, paths: tuple[Path, ...] = PATHS, **changes: Any) -> Reservation:
    """As it is stored once it is COMMITTED."""
    cloudnet = CloudNet(to_bytes(graph_of(NET)), placing=tuple(NET.at.items()))
    criteria = Criteria("", "", 0, window, cloudnet=cloudnet)
    vnodes: dict[str, tuple[str, ...]] = {"west": ("a", "c"), "east": ("b",), "m1": ()}
    parts = tuple(PartView(name, (), vnodes=some) for name, some in vnodes.items())
    stored = Reservation("r", "q", criteria, "t", 0, 0, state=State.COMMITTED, paths=paths)
    return replace(stored, parts=parts, **changes)


def preps(window: Window, paths: tuple[Path, ...] = PATHS) -> dict[str, ReservationPrep]:
    """What each domain is asked for."""
    transits = [
        Transit(p.vlink, (p.hops[0].domain, p.hops[-1].domain), (VLANS[p.vlink],) * 2)
        for p in PATHS
    ]
    graphs = {name: to_bytes(part) for name, part in cut(graph_of(NET), AT, transits).items()}
    segments: dict[str, list[Segment]] = {}
    for each in paths:
        for hop in each.hops:
            ends = hop.ingress_stp, hop.ingress_vlan, hop.egress_stp, hop.egress_vlan
            segment = Segment(each.vlink, *ends, each.bandwidth_bps)
            segments.setdefault(hop.domain, []).append(segment)
    return {
        name: ReservationPrep(
            "t", name, "r", 1, tuple(some), window, "braid", 0, graph=graphs.get(name, b"")
        )
        for name, some in segments.items()
    }


def mapped(domain: str) -> Mapped:
    """How a provider embeds its part."""
    vnodes = tuple(
        MappedVNode(name, HOSTS[name], "/node/host/kvm", cores * 1000, gib * GIB, G)
        for name, (cores, gib) in NET.vnodes.items()
        if AT[name] == domain
    )
    vlinks = tuple(
        MappedVLink(
            f"{one}-{other}",
            INNER[f"{one}-{other}"],
            gbps * G,
            (end := one if AT[one] == domain else other, f"{domain}:m1"),
            (f"{HOSTS[end]}-sw",),
            VLANS[f"{one}-{other}"],
        )
        for (one, other), gbps in NET.vlinks.items()
    )
    return Mapped("r", 1, vnodes, vlinks)


def mapping(found: Mapped) -> str:
    """As the agent stores it; what it claims says nothing here."""
    claim = Claim(Resource("h1/resource/cpu", Direction.IN), 1)
    return Placement((claim,), (), found.to_json()).to_json()


def part(
    prep: ReservationPrep, found: Mapped | str, state: PartState = PartState.COMMITTED
) -> Record:
    """A part in an agent's database."""
    stored = found if isinstance(found, str) else mapping(found)
    return Record(Part(prep.transaction_id, prep.part_id, state, prep, mapping=stored), DataPlane())


def with_prep(
    found: Mapping[str, ReservationPrep], domain: str, **changes: Any
) -> dict[str, ReservationPrep]:
    """The same, but what one domain is asked for."""
    return {**found, domain: replace(found[domain], **changes)}
