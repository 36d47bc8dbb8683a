"""What a negotiation has learnt so far, as a value: offers that came in, and lessons of refusals.

Pure. For the planner it is a :class:`substrate.options.Supply`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from protocol.messages import SendOffers
from substrate.model import Refusal, RefusalKind, Segment, Window, domain_of, least_within
from substrate.options import Pair, Supply
from substrate.values import dataclass, replace
from substrate.vlans import EMPTY, VlanSet

LEAVE_OUT = frozenset(
    {
        RefusalKind.UNAVAILABLE,
        RefusalKind.TIMEOUT,
        RefusalKind.TOMBSTONE,
        RefusalKind.POLICY,
    }
)
"""Refusals after which a domain is left out of the rest of the negotiation."""


@dataclass(frozen=True, slots=True)
class Knowledge(Supply):
    """Offers and lessons; every method returns a new value. ``asked``: need not be asked again."""

    asked: frozenset[Pair] = frozenset()

    def with_answers(
        self,
        wanted: Mapping[str, frozenset[Pair]],
        answers: Mapping[str, SendOffers | None],
        window: Window,
    ) -> Knowledge:
        """Takes in what domains say of these pairs, which need not be asked for again.

        The level that counts is the least over the window. Who did not answer is left out.
        """
        pair_bps, latency_us = dict(self.pair_bps), dict(self.pair_latency_us)
        price, tokens = dict(self.pair_price), dict(self.tokens)
        port_bps, vlans = dict(self.port_bps), dict(self.port_vlans)
        for offers in answers.values():
            for offer in offers.offers if offers is not None else ():
                pair = (offer.ingress_stp, offer.egress_stp)
                pair_bps[pair] = least_within(offer.profile, window)
                latency_us[pair], price[pair] = offer.latency_us, offer.price
                tokens[pair] = offer.token
            for port in offers.ports if offers is not None else ():
                port_bps[port.stp] = least_within(port.profile, window)
                vlans[port.stp] = port.vlans
        return replace(
            self,
            pair_bps=pair_bps,
            pair_latency_us=latency_us,
            pair_price=price,
            tokens=tokens,
            port_bps=port_bps,
            port_vlans=vlans,
            down=self.down | {domain for domain, offers in answers.items() if offers is None},
            asked=self.asked.union(*wanted.values()),
        )

    def anew(self) -> Knowledge:
        """Without the offers: only the lessons are kept."""
        return Knowledge(caps=self.caps, banned_vlans=self.banned_vlans, down=self.down)

    def without_domain(self, domain: str) -> Knowledge:
        """The domain did not answer, or will not: leave it out."""
        return replace(self, down=self.down | {domain})

    def with_refusal(self, segments: tuple[Segment, ...], refusal: Refusal) -> Knowledge:
        """Draws the lesson of one domain's refusal of these segments."""
        if refusal.kind in LEAVE_OUT:
            return self.without_domain(refusal.domain)
        concerned = (
            [s for s in segments if s.segment_id == refusal.segment_id]
            # A port that several share limits no way that does not use it.
            or [s for s in segments if refusal.resource in (s.ingress_stp, s.egress_stp)]
            or list(segments)
        )
        if refusal.kind is RefusalKind.LABEL:
            return self._with_banned(concerned, refusal.resource)
        return self._with_caps(segments, concerned, refusal)

    def with_half(self, segments: Mapping[str, tuple[Segment, ...]], stp: str) -> Knowledge:
        """No more than half of what is planned through a port."""
        planned = Counter[Pair]()
        for segment in segments.get(domain_of(stp), ()):
            pair = (segment.ingress_stp, segment.egress_stp)
            if stp in pair:
                planned[pair] += segment.bandwidth_bps
        halves = {pair: bandwidth_bps // 2 for pair, bandwidth_bps in planned.items()}
        return replace(self, caps={**self.caps, **halves})

    def _with_banned(self, segments: list[Segment], resource: str) -> Knowledge:
        banned = dict(self.banned_vlans)
        stale = {domain_of(segment.ingress_stp) for segment in segments}
        for segment in segments:
            ends = {
                segment.ingress_stp: segment.ingress_vlan,
                segment.egress_stp: segment.egress_vlan,
            }
            named = [stp for stp in ends if stp == resource] or list(ends)
            for stp in named:
                banned[stp] = banned.get(stp, EMPTY) | VlanSet.of(ends[stp])
        # Its offers were stale: what is free must be asked for again.
        asked = {pair for pair in self.asked if domain_of(pair[0]) not in stale}
        return replace(self, banned_vlans=banned, asked=frozenset(asked))

    def _with_caps(
        self, segments: tuple[Segment, ...], concerned: list[Segment], refusal: Refusal
    ) -> Knowledge:
        caps = dict(self.caps)
        for pair in {(segment.ingress_stp, segment.egress_stp) for segment in concerned}:
            together = [s for s in segments if (s.ingress_stp, s.egress_stp) == pair]
            asked_bps = sum(segment.bandwidth_bps for segment in together)
            lesson_bps = _lesson_bps(together, asked_bps, refusal)
            caps[pair] = min(caps.get(pair, asked_bps), lesson_bps)
        return replace(self, caps=caps)


def _lesson_bps(together: list[Segment], asked_bps: int, refusal: Refusal) -> int:
    """The most to ask for next between two ports: what the domain says, or half when it says
    nothing (blind). What it says of one segment is beside those before it.
    """
    if refusal.kind is RefusalKind.TOPOLOGY:
        return 0
    if refusal.available_bps is None:
        return asked_bps // 2
    named = [s.segment_id for s in together]
    count = named.index(refusal.segment_id) if refusal.segment_id in named else 0
    before_bps = sum(segment.bandwidth_bps for segment in together[:count])
    return max(0, min(before_bps + refusal.available_bps, asked_bps - 1))
