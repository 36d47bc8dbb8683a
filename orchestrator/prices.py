"""What a CloudNet costs whoever asks for it, by what providers and other domains tell."""

from __future__ import annotations

from collections.abc import Mapping

from cloudnets.prices import Price
from substrate.labels import Plan
from substrate.model import Proof
from substrate.options import Pair
from substrate.values import replace

PER_OFFER = 1_000_000
"""Bit/s times the price of an offer in one millionth of a unit of account per hour."""


def priced(proof: Proof, vnodes: Price | None, plan: Plan, offered: Mapping[Pair, int]) -> Proof:
    """With the price of VNodes and circuits together, and who tells none of its part.

    ``offered``: in thousandths of a unit of account per Gb/s and hour. Nothing is said where nobody
    tells a price.
    """
    micros, untold = (vnodes.micros, set(vnodes.untold)) if vnodes is not None else (0.0, set())
    for domain, segments in plan.segments.items():
        for segment in segments:
            price = offered.get((segment.ingress_stp, segment.egress_stp))
            if price is None:
                untold.add(domain)
            else:
                micros += segment.bandwidth_bps * price / PER_OFFER
    if vnodes is None and not micros:
        return proof
    return replace(proof, price_micros=round(micros), unpriced=tuple(sorted(untold)))
