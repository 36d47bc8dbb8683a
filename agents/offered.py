"""What a book makes of a backend's offers."""

from __future__ import annotations

from collections.abc import Iterable

from agents.backends.claims import way_resources
from protocol.messages import Offer
from substrate.calendar import Resource
from substrate.model import Directionality


def port_uses(
    pairs: Iterable[tuple[str, str]], directionality: Directionality
) -> dict[str, list[Resource]]:
    """Which directions of each port the pairs would use."""
    uses: dict[str, list[Resource]] = {}
    for ingress, egress in pairs:
        for resource in way_resources(ingress, egress, (), directionality):
            known = uses.setdefault(resource.name, [])
            if resource not in known:
                known.append(resource)
    return uses


def stamp(offer: Offer, token: str, until_ms: int) -> Offer:
    """As it is told. A domain may offer a hundred at once, and dataclasses.replace is slow."""
    ends = (offer.ingress_stp, offer.egress_stp)
    return Offer(token, *ends, offer.profile, offer.latency_us, offer.price, until_ms)
