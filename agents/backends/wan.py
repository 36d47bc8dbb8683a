"""``wan``: an advance-reservation system with a topology inside (paper 003, section 2.1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from agents.backends.base import Claim, Free, Placement, to_json
from agents.backends.claims import (
    LinkWay,
    add_up,
    claims_of_way,
    labels_of,
    port_resources,
    turns_back,
    way_resources,
)
from agents.backends.config import WanDomainConfig
from agents.backends.devices import Device, MemoryDevice
from agents.backends.inside import Inside, InsideLink
from protocol.messages import Offer
from substrate.calendar import Direction, Resource
from substrate.model import (
    Directionality,
    Domain,
    Profile,
    Refusal,
    RefusalKind,
    Segment,
    Window,
    least_profile,
)
from substrate.rates import exactly
from substrate.vlans import VlanSet

SINGLE_NODE = "node"


class WanBackend:
    """Each segment takes one path inside: the quickest with enough room."""

    def __init__(self, config: WanDomainConfig, device: Device | None = None) -> None:
        self._domain = config.describe(swaps_labels=config.swaps_labels, splits=False)
        self._inside = _inside(config)
        self._price, self._latency_us = config.price, config.latency_us
        self._device = device or MemoryDevice()
        self._usual_ways: dict[tuple[str, str], tuple[LinkWay, ...]] = {}
        self._capacities = port_resources(self._domain)
        for link in self._inside.links:
            for direction in Direction:
                self._capacities[Resource(link.name, direction)] = link.capacity_bps

    def describe(self) -> Domain:
        return self._domain

    def capacities(self) -> Mapping[Resource, int]:
        return self._capacities

    def place(self, segments: Sequence[Segment], window: Window, free: Free) -> Placement | Refusal:
        wrong = turns_back(segments)
        if wrong is not None:
            return wrong
        taken: dict[Resource, int] = {}
        seen = _Lessened(free, taken) if len(segments) > 1 else free
        connects: list[str] = []
        claims: tuple[Claim, ...] = ()
        for segment in segments:
            ways = self._quickest(segment, seen)
            if ways is None:
                return self._no_way(segment, seen)
            claims = claims_of_way(
                segment.ingress_stp,
                segment.egress_stp,
                ways,
                segment.directionality,
                segment.bandwidth_bps,
            )
            for claim in claims:
                if seen.free_bps(claim.resource) < claim.bandwidth_bps:
                    return self._no_way(segment, seen)
            for claim in claims:
                taken[claim.resource] = taken.get(claim.resource, 0) + claim.bandwidth_bps
            connects.append(to_json(_connect(segment, ways)))
        if len(segments) > 1:
            claims = add_up(taken.items())
        return Placement(claims, labels_of(segments), f"[{', '.join(connects)}]")

    def offers(
        self,
        pairs: Sequence[tuple[str, str]],
        window: Window,
        directionality: Directionality,
        free: Free,
    ) -> tuple[Offer, ...]:
        found = []
        for ingress, egress in pairs:
            if ingress == egress:
                continue
            ways = self._widest(ingress, egress, directionality, free)
            if ways is None:
                continue
            profile = _profile(ingress, egress, ways, directionality, free)
            usual = self._usual(ingress, egress)
            if usual != ways:
                # Where the ports are full for a moment, any way is as wide as the widest.
                most_bps = _ports_bps(ingress, egress, directionality, free)
                other = _profile(ingress, egress, usual, directionality, free)
                if _worth(other, window, most_bps) > _worth(profile, window, most_bps):
                    ways, profile = usual, other
            latency_us = self._latency_us + self._inside.latency_us(ways)
            found.append(Offer("", ingress, egress, profile, latency_us, self._price))
        return tuple(found)

    async def provision(self, key: str, placement: Placement) -> None:
        await self._device.configure(key, self.rules(placement))

    async def withdraw(self, key: str, placement: Placement) -> None:
        await self._device.clear(key)

    def rules(self, placement: Placement) -> tuple[str, ...]:
        return tuple(json.loads(placement.detail))

    def _quickest(self, segment: Segment, free: Free) -> tuple[LinkWay, ...] | None:
        if self._inside.at_one_node(segment.ingress_stp, segment.egress_stp):
            return ()
        room = _room(free, segment.directionality, segment.bandwidth_bps)
        return self._inside.quickest(
            segment.ingress_stp, segment.egress_stp, room, segment.bandwidth_bps
        )

    def _widest(
        self, ingress: str, egress: str, directionality: Directionality, free: Free
    ) -> tuple[LinkWay, ...] | None:
        if self._inside.at_one_node(ingress, egress):
            return ()
        port_bps = _ports_bps(ingress, egress, directionality, free)
        return self._inside.widest(ingress, egress, _room(free, directionality, port_bps), port_bps)

    def _usual(self, ingress: str, egress: str) -> tuple[LinkWay, ...]:
        """The widest way where nothing is reserved."""
        known = self._usual_ways.get((ingress, egress))
        if known is None:
            ports = (Resource(stp, Direction.IN) for stp in (ingress, egress))
            most_bps = min(self._capacities[port] for port in ports)
            found = self._inside.widest(
                ingress, egress, lambda way: self._capacities[Resource(*way)], most_bps
            )
            known = self._usual_ways[ingress, egress] = found or ()
        return known

    def _no_way(self, segment: Segment, seen: Free) -> Refusal:
        ways = self._widest(segment.ingress_stp, segment.egress_stp, segment.directionality, seen)
        if ways is None:
            return Refusal(
                RefusalKind.TOPOLOGY,
                f"no way leads from {segment.ingress_stp} to {segment.egress_stp} inside",
                resource=segment.ingress_stp,
                segment_id=segment.segment_id,
            )
        used = way_resources(segment.ingress_stp, segment.egress_stp, ways, segment.directionality)
        tight = min(used, key=lambda r: (seen.free_bps(r), r))
        return _full(segment, tight, seen.free_bps(tight))


def _profile(
    ingress: str,
    egress: str,
    ways: Sequence[LinkWay],
    directionality: Directionality,
    free: Free,
) -> Profile:
    used = way_resources(ingress, egress, ways, directionality)
    return least_profile([free.profile(resource) for resource in used])


def _ports_bps(ingress: str, egress: str, directionality: Directionality, free: Free) -> int:
    """What is free at both ports at every time, whether or not they are told apart."""
    return min(free.free_bps(port) for port in way_resources(ingress, egress, (), directionality))


def _worth(profile: Profile, window: Window, most_bps: int) -> tuple[int, int]:
    """What is free at every time, no more than ``most_bps``; then how much in all."""
    ends_s = (*(step.start_s for step in profile[1:]), window.end_s)
    levels = [step.bandwidth_bps for step in profile]
    bits = (
        step.bandwidth_bps * (end_s - step.start_s)
        for step, end_s in zip(profile, ends_s, strict=True)
    )
    return min([most_bps, *levels]), sum(bits)


class _Lessened:
    """What is free once earlier segments of the same part have ``taken`` theirs."""

    def __init__(self, free: Free, taken: Mapping[Resource, int]) -> None:
        self._free, self._taken = free, taken

    def free_bps(self, resource: Resource) -> int:
        return self._free.free_bps(resource) - self._taken.get(resource, 0)

    def at_least_bps(self, resource: Resource) -> int:
        return self._free.at_least_bps(resource) - self._taken.get(resource, 0)

    def profile(self, resource: Resource) -> Profile:
        return self._free.profile(resource)

    def free_vlans(self, stp: str) -> VlanSet:
        return self._free.free_vlans(stp)


def _room(free: Free, directionality: Directionality, enough_bps: int) -> Callable[[LinkWay], int]:
    """What is free on a link; where it is certainly enough, no less than that, and quickly."""

    def both(free_bps: Callable[[Resource], int], way: LinkWay) -> int:
        name, direction = way
        room = free_bps(Resource(name, direction))
        if directionality is Directionality.BIDIRECTIONAL:
            room = min(room, free_bps(Resource(name, direction.opposite)))
        return room

    def room(way: LinkWay) -> int:
        quick = both(free.at_least_bps, way)
        return quick if quick >= enough_bps else both(free.free_bps, way)

    return room


def _full(segment: Segment, resource: Resource, room: int) -> Refusal:
    return Refusal(
        RefusalKind.BANDWIDTH,
        f"{exactly(segment.bandwidth_bps)} asked for from {segment.ingress_stp} to "
        f"{segment.egress_stp}; {resource.name} has {exactly(max(0, room))} free during the whole "
        "window",
        resource=resource.name,
        segment_id=segment.segment_id,
        available_bps=max(0, room),
    )


def _connect(segment: Segment, ways: Sequence[LinkWay]) -> str:
    via = "".join(f" {name} ->" for name, _ in ways)
    return (
        f"connect {segment.ingress_stp} vlan {segment.ingress_vlan} ->{via} "
        f"{segment.egress_stp} vlan {segment.egress_vlan} at {segment.bandwidth_bps} bit/s"
    )


def _inside(config: WanDomainConfig) -> Inside:
    if config.wan is None:
        return Inside([], {f"{config.domain}:{port.name}": SINGLE_NODE for port in config.ports})
    links = [
        InsideLink(
            name=f"link {link.called(number)}",
            a=link.a,
            b=link.b,
            capacity_bps=link.capacity,
            latency_us=link.latency_us,
        )
        for number, link in enumerate(config.wan.links, start=1)
    ]
    nodes = {f"{config.domain}:{port}": node for port, node in config.wan.port_nodes.items()}
    return Inside(links, nodes)
