"""Offers are used again: hot pairs of sites do not ask every time.

An offer is a hint, only a hold binds; so what is out of date costs another round, and no request is
refused because of it: before that all is asked anew (:meth:`Bargain.forgets`). To serve many
windows and routes, offers are asked for whole days and more pairs. VLANs are told as free only if
they are free all these days long.

They serve for a short while, or until the domain says that they are stale, if it follows them.
Before that while is over they are asked for again, so that under load nobody waits for them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from protocol.messages import Offer, OffersStale, PortOffer, SendOffers
from substrate.model import Directionality, Domain, Segment, Window, least_profile
from substrate.options import Pair
from substrate.values import replace
from substrate.vlans import VlanSet

DAY_S = 86_400
DAYS_MAX = 10
"""Windows that touch more days are asked for as they are: profiles over long spans are long. A week
in which a request may slide, or another time is looked for, is still asked for as whole days."""
REMEMBERED_MAX = 8192
STEPS_MAX, DENSE_MS = 256, 60_000
EITHER = tuple(Directionality)
PAIRS_MAX = 132
"""Of as many pairs a domain is asked at once: twelve ports."""

Key = tuple[str, Directionality, int, int]
"""Domain, directionality, first day and the day behind the last."""


@dataclass(slots=True)
class _Told:
    """What a domain told of some days. ``pairs``: what it was asked, also where it has no offer."""

    until_ms: int
    short_ms: int
    """Until when it may serve once the domain has said that it is stale."""
    renewed: bool = False
    """Whether it was asked for again."""
    taken: bool = False
    """Whether this instance has held something of it since."""
    pairs: set[Pair] = field(default_factory=set)
    offers: dict[Pair, Offer] = field(default_factory=dict)
    ports: dict[str, PortOffer] = field(default_factory=dict)

    def take(self, stp: str, vlan: int) -> None:
        """This VLAN is not free any more."""
        port = self.ports.get(stp)
        if port is not None:
            vlans = VlanSet(port.vlans.mask & ~(1 << vlan))
            self.ports[stp] = PortOffer(stp, port.profile, vlans)


class Offers:
    """What domains have offered in the last ``reuse_ms`` milliseconds; 0: nothing is remembered."""

    def __init__(self, reuse_ms: int) -> None:
        self._reuse_ms = reuse_ms
        self._told: OrderedDict[Key, _Told] = OrderedDict()
        self._dense: dict[str, int] = {}
        """Domains whose days have too many steps to be told whole, and until when that counts."""

    def span(self, domain: str, window: Window, now_ms: int) -> Window | None:
        """What to ask for, so that the answer serves other windows too; None: just the window."""
        first, end = _days(window)
        dense = now_ms < self._dense.get(domain, 0)
        if not self._reuse_ms or end - first > DAYS_MAX or dense:
            return None
        return Window(max(first * DAY_S, now_ms // 1000), end * DAY_S)

    def find(
        self,
        domain: str,
        pairs: Collection[Pair],
        window: Window,
        directionality: Directionality,
        now_ms: int,
        untaken: bool = False,
    ) -> SendOffers | None:
        """What the domain has told of all these pairs for the days of the window; None: not, or
        not now. ``untaken``: only if this instance has held nothing of it since."""
        told = self._told.get((domain, directionality, *_days(window)))
        if told is None or now_ms >= told.until_ms or not told.pairs.issuperset(pairs):
            return None
        if untaken and told.taken:
            return None
        return _of(domain, told, sorted(pairs))

    def ages(
        self, domain: str, window: Window, directionality: Directionality, now_ms: int
    ) -> bool:
        """Whether to ask anew for the days of the window, for those who come next: true once."""
        told = self._told.get((domain, directionality, *_days(window)))
        if told is None or told.renewed or now_ms < told.until_ms - self._reuse_ms // 4:
            return False
        told.renewed = True
        return True

    def keep(
        self,
        pairs: Iterable[Pair],
        window: Window,
        directionality: Directionality,
        offers: SendOffers,
        now_ms: int,
    ) -> None:
        """Remembers an answer to a question about ``span(window)``."""
        key = (offers.domain, directionality, *_days(window))
        told, wanted = self._told.get(key), sorted(pairs)
        short_ms = now_ms + self._reuse_ms
        valid = [offer.valid_until_ms for offer in offers.offers if offer.valid_until_ms]
        until_ms = min(valid) if valid and offers.followed else min([short_ms, *valid])
        if told is None or now_ms >= told.until_ms or told.pairs.issubset(wanted):
            told = self._told[key] = _Told(until_ms, short_ms)
        told.until_ms = min(told.until_ms, until_ms)
        told.pairs.update(wanted)
        for pair in wanted:
            told.offers.pop(pair, None)
        if any(len(port.profile) > STEPS_MAX for port in offers.ports):
            self._dense[offers.domain] = now_ms + DENSE_MS
        told.offers.update(((o.ingress_stp, o.egress_stp), o) for o in offers.offers)
        told.ports.update((port.stp, port) for port in offers.ports)
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED_MAX:
            self._told.popitem(last=False)

    def took(self, domain: str, segments: Sequence[Segment], window: Window) -> None:
        """The domain holds these now: their VLANs are not free any more.

        Nor is their bandwidth: a hold will tell, but who only plans must ask (``find``)."""
        days = _days(window)
        for directionality in EITHER:
            told = self._told.get((domain, directionality, *days))
            if told is None:
                continue
            told.taken = True
            for segment in segments:
                told.take(segment.ingress_stp, segment.ingress_vlan)
                told.take(segment.egress_stp, segment.egress_vlan)

    def stale(self, domain: str, stale: OffersStale) -> None:
        """The domain does not stand by what it told of these windows: it serves shortly at most."""
        for window in stale.windows:
            for directionality in EITHER:
                told = self._told.get((domain, directionality, *_days(window)))
                if told is not None:
                    told.until_ms = min(told.until_ms, told.short_ms)

    def drop(self, domain: str) -> None:
        """Forgets what the domain has told: it has shown to be out of date."""
        for key in [key for key in self._told if key[0] == domain]:
            del self._told[key]


def only(offers: SendOffers, pairs: Collection[Pair]) -> SendOffers:
    """What is said of these pairs; offers tell what their ports limit, too."""
    stps = {stp for pair in pairs for stp in pair}
    ports = {port.stp: port for port in offers.ports if port.stp in stps}
    found = []
    for offer in offers.offers:
        ends = (offer.ingress_stp, offer.egress_stp)
        if ends in pairs:
            limits = [ports[stp].profile for stp in ends if stp in ports]
            found.append(replace(offer, profile=least_profile([offer.profile, *limits])))
    return SendOffers(offers.query_id, offers.domain, tuple(found), tuple(ports.values()))


def more_pairs(pairs: frozenset[Pair], domain: Domain) -> frozenset[Pair]:
    """These, and others that routes may need soon: all of a domain that is not large.

    Of a larger one those between links and what was asked of, or just what was asked.
    """
    asked = {stp for pair in pairs for stp in pair}
    every = {port.stp for port in domain.ports}
    linked = {port.stp for port in domain.ports if port.remote_stp is not None}
    for stps in (every, asked | linked):
        if len(stps) * (len(stps) - 1) <= PAIRS_MAX:
            return pairs.union((one, other) for one in stps for other in stps if one != other)
    return pairs


def _days(window: Window) -> tuple[int, int]:
    return window.start_s // DAY_S, -(-window.end_s // DAY_S)


def _of(domain: str, told: _Told, pairs: list[Pair]) -> SendOffers:
    stps = dict.fromkeys([stp for pair in pairs for stp in pair])
    return SendOffers(
        query_id="",
        domain=domain,
        offers=tuple([told.offers[pair] for pair in pairs if pair in told.offers]),
        ports=tuple([told.ports[stp] for stp in stps if stp in told.ports]),
    )
