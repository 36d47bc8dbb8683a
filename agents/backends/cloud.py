"""``pip`` with a ``cloud``: a site that runs VNodes on hosts of its own (paper 002: the PIP).

Between its ports it is the exchange that every site is. Partial graphs are mapped by
:mod:`cloudnets.pip`. What is mapped is made so on hosts and inner switches by an :class:`Embeds`;
the edge's switch has the rules of segments that do not end at a VNode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial as bound
from typing import Protocol

import structlog

from agents.backends.base import Claim, Free, Partial, Placement
from agents.backends.claims import (
    add_up,
    claims_at_ports,
    labels_of,
    not_carried_to,
    over_claimed,
    profiles_at_ports,
    turns_back,
)
from agents.backends.config import CLOUD_PORT, CloudConfig, PipDomainConfig
from agents.backends.exchange import ExchangeBackend, clash, rules_of
from agents.backends.hosts.plugins import HostingSettings
from agents.backends.hosts.port import VNodeName
from agents.backends.substrates import embedder_of, open_underlay, vlans_of
from agents.backends.switch import Rule, Switch, collide
from cloudnets.beside import beside, drawn_by, stays
from cloudnets.changing import stuck
from cloudnets.holding import Found, Settled, mapped_on, settle
from cloudnets.lacking import in_their_way
from cloudnets.mapped import Mapped
from cloudnets.partials import Asked, Refused, read_partial
from cloudnets.pip import think
from cloudnets.underlay import Room
from embedding.embed import GAP
from embedding.objectives import OBJECTIVES
from rdl.codec import to_bytes
from rdl.completion import DEFAULTS
from rdl.largest import sums_alone
from runtime.apart import Apart, threaded
from substrate.calendar import Resource
from substrate.model import (
    Directionality,
    Port,
    Profile,
    Refusal,
    RefusalKind,
    Segment,
    Step,
    Window,
)
from substrate.values import dataclass, replace
from substrate.vlans import VlanSet

_log = structlog.get_logger(__name__)


class Embeds(Protocol):
    """Makes VNodes and VLinks of placements whose detail is a :class:`Mapped`; each method as of
    :class:`agents.backends.base.StandingBackend`."""

    async def provision(self, key: str, placement: Placement) -> None: ...

    async def withdraw(self, key: str, placement: Placement) -> None: ...

    def stands_by(self, key: str, placement: Placement) -> None: ...

    def rules(self, placement: Placement) -> tuple[str, ...]: ...

    def carries(self, host: str) -> bool:
        """Whether VNodes can be carried to and from a host."""

    async def look(self) -> None:
        """Finds out what hosts have, of those that answer soon."""

    def whereabouts(self, names: Iterable[VNodeName]) -> Mapping[VNodeName, str]:
        """The hosts of those that were seen on any."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What was thought of a part: an embedding, or why there is none."""

    graph: bytes
    segments: tuple[Segment, ...]
    found: Found | None
    why: Refused | None = None


class ProviderBackend(ExchangeBackend):
    """Hosts behind a port of their own, ``<domain>:cloud``, whose VLANs are those of VLinks."""

    def __init__(
        self,
        config: PipDomainConfig,
        cloud: CloudConfig,
        switch: Switch | None = None,
        embedder: Embeds | None = None,
    ) -> None:
        """Raises SettingsError."""
        super().__init__(config, switch)
        self.underlay = open_underlay(config, cloud)
        self.embedder: Embeds = embedder or embedder_of(self.underlay, cloud)
        self.hosting: HostingSettings = cloud
        self.cloud_stp = f"{config.domain}:{CLOUD_PORT}"
        self._sought = cloud.objective
        self._objective, self._time_limit_s = OBJECTIVES[cloud.objective], cloud.time_limit_s
        self._capacities |= self.underlay.capacities
        # All that ports can bring: it never limits.
        whole_bps = sum(port.capacity_bps for port in self._domain.ports)
        port = Port(self.cloud_stp, whole_bps, vlans_of(config, cloud, self.underlay))
        ports = (*self._domain.ports, port)
        self._domain = replace(self._domain, ports=ports, cloud_stp=self.cloud_stp)
        self.apart: Apart = threaded
        """Where programs are solved."""
        self._thinking = False
        # Per reservation the rules at the edge of what is provisioned of it, by key.
        self._edge: dict[str, dict[str, tuple[Rule, ...]]] = {}

    def place(self, segments: Sequence[Segment], window: Window, free: Free) -> Placement | Refusal:
        for segment in segments:
            if self.cloud_stp in (segment.ingress_stp, segment.egress_stp):
                reason = f"{self.cloud_stp} is reached by CloudNets only"
                return Refusal(
                    RefusalKind.TOPOLOGY,
                    reason,
                    resource=self.cloud_stp,
                    segment_id=segment.segment_id,
                )
        return super().place(segments, window, free)

    def aggregate(self, free: Free) -> bytes:
        """See :class:`agents.backends.base.CloudBackend`."""
        told = self.underlay.aggregate(self._room(free), self._domain.name)
        return to_bytes(told if self._domain.visible else sums_alone(told))

    async def consult(self, partial: Partial, free: Free) -> object:
        """First stage, and where that leaves a gap the program, in a thread; one at a time: who
        comes meanwhile gets what the first stage has found."""
        room, present = self._room(free), _mapped(partial.present)
        asked, found, why = None, None, None
        try:
            asked = self._asked(partial)
            found = self._thought(asked, room, present)
        except Refused as refused:
            why = refused
        good = found is not None and found.gap <= GAP
        if not (good or self._thinking or not self._time_limit_s or asked is None):
            self._thinking = True
            try:
                found, why = await self.apart(
                    bound(self._thought_longer, asked, room, present, found)
                )
            finally:
                self._thinking = False
        if found is not None:
            _log.info(
                "mapped",
                reservation=partial.reservation_id,
                version=partial.version,
                sought=self._sought,
                **found.proof,
            )
        return Advice(partial.graph, partial.segments, found, why)

    async def look(self) -> None:
        """See :class:`agents.backends.base.RecallingBackend`."""
        await self.embedder.look()

    def seen(self, partial: Partial, free: Free) -> Placement | None:
        """See :class:`agents.backends.base.RecallingBackend`."""
        try:
            present = self._present(partial, self._asked(partial))
        except Refused:
            return None
        vnodes = present.vnodes if present is not None else ()
        drawn = drawn_by(self.underlay, self._room(free), vnodes) if vnodes else None
        if drawn is None:
            return None
        supplies = self.underlay.supplies
        return Placement(add_up((supplies[i].resource, n) for i, n in drawn.items()), ())

    def recall(self, partial: Partial, free: Free) -> object:
        """See :class:`agents.backends.base.RecallingBackend`."""
        try:
            asked = self._asked(partial)
            present = self._present(partial, asked)
            if present is None:
                return None
            found = self._thought(asked, self._room(free), present)
        except Refused:
            return None
        return Advice(partial.graph, partial.segments, found) if stays(found, present) else None

    def place_graph(self, partial: Partial, free: Free) -> Placement | Refusal:
        """See :class:`agents.backends.base.CloudBackend`."""
        segments = partial.segments
        wrong = turns_back(segments) or clash(segments)
        if wrong is not None:
            return wrong
        claims = claims_at_ports(segments, self.cloud_stp)
        refusal = over_claimed(claims, free, self._capacities)
        if refusal is not None:
            return refusal
        room = self._room(free)
        try:
            settled = self._settled(partial, room, free.free_vlans(self.cloud_stp))
        except Refused as refused:
            return refused.refusal
        waiting = self._stuck(partial, settled.mapped, room)
        if waiting is not None:
            return waiting
        cannot = self._not_carried(settled.mapped, partial.awaits)
        if cannot:
            return not_carried_to(self._domain.name, (cannot,))
        held = [Claim(resource, amount) for resource, amount in settled.taken.items()]
        labels = {(self.cloud_stp, vlink.vlan) for vlink in settled.mapped.vlinks}
        passing = [s for s in segments if self.cloud_stp not in (s.ingress_stp, s.egress_stp)]
        rules = tuple(
            (rule.in_port, rule.in_vlan, rule.out_port, rule.out_vlan, rule.slots, rule.slot_count)
            for rule in rules_of(passing)
        )
        return Placement(
            (*claims, *sorted(held, key=lambda claim: claim.resource)),
            tuple(sorted({*labels, *labels_of(segments)})),
            replace(settled.mapped, rules=rules).to_json(),
        )

    async def provision(self, key: str, placement: Placement) -> None:
        mapped = _mapped(placement)
        if mapped is not None:
            await self.embedder.provision(key, placement)
            await self._make_way(mapped.reservation_id, key, self.switch_rules(placement))
        await super().provision(key, placement)

    async def withdraw(self, key: str, placement: Placement) -> None:
        await super().withdraw(key, placement)
        mapped = _mapped(placement)
        if mapped is not None:
            edge = self._edge.get(mapped.reservation_id, {})
            edge.pop(key, None)
            if not edge:
                self._edge.pop(mapped.reservation_id, None)
            await self.embedder.withdraw(key, placement)

    def stands_by(self, key: str, placement: Placement) -> None:
        mapped = _mapped(placement)
        if mapped is not None:
            edge = self._edge.setdefault(mapped.reservation_id, {})
            edge.setdefault(key, self.switch_rules(placement))
            self.embedder.stands_by(key, placement)

    def rules(self, placement: Placement) -> tuple[str, ...]:
        made: tuple[str, ...] = ()
        if _mapped(placement) is not None:
            made = self.embedder.rules(placement)
        return (*made, *super().rules(placement))

    def switch_rules(self, placement: Placement) -> tuple[Rule, ...]:
        mapped = _mapped(placement)
        if mapped is None:
            return super().switch_rules(placement)
        return tuple(Rule(*rule) for rule in mapped.rules)

    async def _make_way(self, reservation_id: str, key: str, rules: Sequence[Rule]) -> None:
        """Takes from other versions, whose VNodes stand by, what passes here as ``rules`` say."""
        edge = self._edge.setdefault(reservation_id, {})
        for other, theirs in edge.items():
            left = tuple(rule for rule in theirs if not any(collide(rule, one) for one in rules))
            if other != key and left != theirs:
                await self.switch.install(other, left)
                edge[other] = left
        edge[key] = tuple(rules)

    def _settled(self, partial: Partial, room: Room, vlans: VlanSet) -> Settled:
        """As was advised, if there is room for that still; else by the first stage alone."""
        present = _mapped(partial.present)
        part, awaits = (partial.reservation_id, partial.version), partial.awaits
        advice = _advice(partial)
        if advice is not None and advice.found is not None:
            try:
                return settle(self.underlay, advice.found, room, vlans, part, present, awaits)
            except Refused:
                pass
        try:
            found = self._thought(self._asked(partial), room, present)
        except Refused as refused:
            raise (advice and advice.why) or refused from None
        return settle(self.underlay, found, room, vlans, part, present, awaits)

    def _not_carried(self, mapped: Mapped, awaits: Sequence[str]) -> str:
        """The first VNode that is awaited where its host cannot take in what it has; or none."""
        for name in awaits:
            vnode = mapped.vnode(name)
            if (
                vnode is not None
                and name in mapped.awaits
                and not self.embedder.carries(vnode.host)
            ):
                return name
        return ""

    def _stuck(self, partial: Partial, mapped: Mapped, room: Room) -> Refusal | None:
        """Where VNodes that run would have to change places with one another, for which there is
        no room while all of them run."""
        present = _mapped(partial.present)
        if present is None or not partial.runs:
            return None
        names = stuck(present, mapped, lambda host: self.underlay.left_at(host, room))
        return in_their_way(names).refusal if names else None

    def _present(self, partial: Partial, asked: Asked) -> Mapped | None:
        """What hosts have of it from an earlier life, and where an earlier version has what was
        not seen; None: nothing was seen."""
        names = {VNodeName(partial.reservation_id, v.id): v for v in asked.vnodes}
        seen = self.embedder.whereabouts(names)
        if not seen:
            return None
        before = _mapped(partial.present)
        known = {v.id: v.host for v in before.vnodes} if before is not None else {}
        at = {name: seen.get(name, known.get(name.vnode)) for name in names}
        vnodes = tuple(
            mapped_on(self.underlay, vnode, host)
            for name, vnode in names.items()
            if (host := at[name]) in self.underlay.hosts
        )
        return Mapped(partial.reservation_id, partial.version, vnodes, ()) if vnodes else None

    def _asked(self, partial: Partial) -> Asked:
        name = self._domain.name
        return read_partial(partial.graph, partial.segments, self.cloud_stp, name, DEFAULTS)

    def _thought(
        self, asked: Asked, room: Room, present: Mapped | None, time_limit_s: float = 0.0
    ) -> Found:
        """Beside what a version before has and this one has not, if nothing must move for that."""
        both = beside(self.underlay, asked, room, present)
        if both is not None:
            with suppress(Refused):
                found = think(self.underlay, asked, both, self._objective, present, time_limit_s)
                if stays(found, present):
                    return found
        return think(self.underlay, asked, room, self._objective, present, time_limit_s)

    def _thought_longer(
        self, asked: Asked, room: Room, present: Mapped | None, first: Found | None
    ) -> tuple[Found | None, Refused | None]:
        try:
            return self._thought(asked, room, present, self._time_limit_s), None
        except Refused as refused:
            return first, None if first is not None else refused

    def _room(self, free: Free) -> Room:
        """Where what is certainly free is all that there is, it need not be asked exactly."""
        whole = self._capacities

        def free_of(resource: Resource) -> int:
            quick = free.at_least_bps(resource)
            return quick if quick >= whole[resource] else free.free_bps(resource)

        return self.underlay.room(free_of)

    def _profiles(
        self,
        ingress: str,
        egress: str,
        window: Window,
        directionality: Directionality,
        free: Free,
    ) -> list[Profile]:
        profiles = profiles_at_ports(ingress, egress, directionality, free, self.cloud_stp)
        if self.cloud_stp in (ingress, egress):
            port = ingress if egress == self.cloud_stp else egress
            profiles += self._inner(port, window, free)
        return profiles

    def _inner(self, port: str, window: Window, free: Free) -> list[Profile]:
        """What the links at a port's node leave, all together; nothing where it is a host."""
        node = self.underlay.port_nodes[port]
        if node in self.underlay.hosts:
            return []
        links = [link for link in self.underlay.links.values() if node in link.ends]
        room = sum(min(free.free_bps(way) for way in link.resources) for link in links)
        return [(Step(window.start_s, max(0, room)),)]


def _mapped(placement: Placement | None) -> Mapped | None:
    """What a placement of a partial graph says; None: it is of segments alone."""
    if placement is None or not placement.detail.startswith("{"):
        return None
    return Mapped.from_json(placement.detail)


def _advice(partial: Partial) -> Advice | None:
    """What was thought of just this part."""
    advice = partial.advice
    if not isinstance(advice, Advice) or advice.graph != partial.graph:
        return None
    return advice if advice.segments == partial.segments else None
