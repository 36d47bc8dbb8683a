"""``sdx`` and ``pip``: a domain in one place whose switch bridges and splits (paper 003, 4.3, 5.3).

``sdx`` is an exchange between networks. ``pip`` is a site: its edge switch is that of the paper's
Figure 5, which spreads the flows of the LAN port over the pool of VLANs. They do the same work.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from agents.backends.base import Free, Placement, name_to_json
from agents.backends.claims import (
    claims_at_ports,
    labels_of,
    over_claimed,
    port_resources,
    profiles_at_ports,
    turns_back,
)
from agents.backends.config import DomainConfig
from agents.backends.switch import MemorySwitch, Rule, Switch
from protocol.messages import Offer
from substrate.calendar import Resource
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


class ExchangeBackend:
    """Any port reaches any other; only ports limit. VLANs are translated, flows are split."""

    def __init__(self, config: DomainConfig, switch: Switch | None = None) -> None:
        self._domain = config.describe(swaps_labels=True, splits=True)
        self._price, self._latency_us = config.price, config.latency_us
        self.switch = switch or MemorySwitch()
        self._capacities = port_resources(self._domain)

    def describe(self) -> Domain:
        return self._domain

    def capacities(self) -> Mapping[Resource, int]:
        return self._capacities

    def place(self, segments: Sequence[Segment], window: Window, free: Free) -> Placement | Refusal:
        wrong = turns_back(segments) or clash(segments)
        if wrong is not None:
            return wrong
        claims = claims_at_ports(segments)
        refusal = over_claimed(claims, free, self._capacities)
        if refusal is not None:
            return refusal
        return Placement(claims, labels_of(segments), _detail(segments))

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
            profile = least_profile(self._profiles(ingress, egress, window, directionality, free))
            found.append(Offer("", ingress, egress, profile, self._latency_us, self._price))
        return tuple(found)

    def _profiles(
        self,
        ingress: str,
        egress: str,
        window: Window,
        directionality: Directionality,
        free: Free,
    ) -> list[Profile]:
        """All that limits what goes from one port to another."""
        return profiles_at_ports(ingress, egress, directionality, free)

    async def provision(self, key: str, placement: Placement) -> None:
        await self.switch.install(key, self.switch_rules(placement))

    async def withdraw(self, key: str, placement: Placement) -> None:
        await self.switch.remove(key)

    def rules(self, placement: Placement) -> tuple[str, ...]:
        return tuple(str(rule) for rule in self.switch_rules(placement))

    def switch_rules(self, placement: Placement) -> tuple[Rule, ...]:
        """What the switch is told for a part."""
        return tuple(
            Rule(in_port, in_vlan, out_port, out_vlan, tuple(slots), count)
            for in_port, in_vlan, out_port, out_vlan, slots, count in json.loads(placement.detail)
        )


def rules_of(segments: Sequence[Segment]) -> tuple[Rule, ...]:
    """The rules of a part, both ways.

    A segment forwards its flow slots, and its mirror brings the same slots back, so that an
    acknowledgement takes the tunnel of what it acknowledges. The way back is there for one-way
    circuits too (acknowledgements need it); only, no bandwidth is reserved for it.

    Where a single segment enters there is nothing to choose and it takes every flow: who spreads
    flows over VLANs at the other end, perhaps the user, need not know of slots.
    """
    sharing = Counter(end for segment in segments for end in _ends(segment))
    rules = []
    for s in segments:
        ends = _ends(s)
        for enter, leave in (ends, ends[::-1]):
            which = (s.flow_slots, s.slot_count) if sharing[enter] > 1 else ((0,), 1)
            rules.append(Rule(*enter, *leave, *which))
    return tuple(sorted(rules))


def _detail(segments: Sequence[Segment]) -> str:
    """The rules of a part as they are stored."""
    if len(segments) > 1:
        return json.dumps([_to_json(rule) for rule in rules_of(segments)])
    # The same for one segment, several times faster.
    one, other = [f"{name_to_json(stp)}, {vlan}" for stp, vlan in sorted(_ends(segments[0]))]
    return f"[[{one}, {other}, [0], 1], [{other}, {one}, [0], 1]]"


def _ends(segment: Segment) -> tuple[tuple[str, int], tuple[str, int]]:
    return (
        (segment.ingress_stp, segment.ingress_vlan),
        (segment.egress_stp, segment.egress_vlan),
    )


def clash(segments: Sequence[Segment]) -> Refusal | None:
    """Segments that share an (STP, VLAN) must take different flows there, of as many slots."""
    if len(segments) < 2:
        return None
    taken: dict[tuple[str, int], set[int]] = {}
    counts: dict[tuple[str, int], int] = {}
    for segment in segments:
        for end in _ends(segment):
            slots = taken.setdefault(end, set())
            count = counts.setdefault(end, segment.slot_count)
            if slots & set(segment.flow_slots) or count != segment.slot_count:
                return Refusal(
                    RefusalKind.LABEL,
                    f"two segments take the same flows at {end[0]} VLAN {end[1]}",
                    resource=end[0],
                    segment_id=segment.segment_id,
                )
            slots |= set(segment.flow_slots)
    return None


def _to_json(rule: Rule) -> list[object]:
    return [
        rule.in_port,
        rule.in_vlan,
        rule.out_port,
        rule.out_vlan,
        list(rule.slots),
        rule.slot_count,
    ]
