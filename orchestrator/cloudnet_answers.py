"""What the negotiation of a CloudNet says where it finds nothing, and how sure that is. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from cloudnets.asked import LATENCY
from cloudnets.partials import BANDWIDTH
from cloudnets.vnp import Circuit, Shortfall, VnpMapping
from rdl.units import Amount, Unit
from substrate.model import Proof, Refusal, RefusalKind, Shortage
from substrate.values import replace

REFUSALS_MAX = 32
"""So many refusals are told at most."""
WHOLE = "whole"


class Tried:
    """What domains have said on the way, each thing once."""

    def __init__(self) -> None:
        self._refusals: dict[tuple[str, str], Refusal] = {}

    def add(self, refusal: Refusal) -> None:
        """A domain has refused its part."""
        key = refusal.domain, refusal.reason
        # What was said last is told last.
        self._refusals.pop(key, None)
        self._refusals[key] = refusal

    def with_last(self, last: Refusal) -> tuple[Refusal, ...]:
        """All of them and why nothing else was tried; of too many the latest."""
        return (*list(self._refusals.values())[1 - REFUSALS_MAX :], last)

    def plans_over(self, count: int) -> Refusal:
        """That so many plans were refused, and no more are made."""
        domains = ", ".join(dict.fromkeys(domain for domain, _ in self._refusals))
        reason = f"{count} plans were refused, by {domains}; no others are tried"
        kinds = [refusal.kind for refusal in self._refusals.values()]
        return Refusal(kinds[-1] if kinds else RefusalKind.RESOURCE, reason)


def refusal_of(shortfall: Shortfall, avoid: Collection[str], stubs: Collection[str]) -> Refusal:
    """Why there is no mapping, and who was not even asked, or told nothing of use."""
    left_out = f", leaving out {', '.join(sorted(avoid))}" if avoid else ""
    return Refusal(
        shortfall.kind,
        shortfall.reason + left_out,
        resource=shortfall.resource,
        short=shortfall.short or None,
        asked=shortfall.asked or None,
        where=shortfall.where,
        elements=_without(stubs, shortfall.elements),
        shortages=tuple(
            replace(each, elements=_without(stubs, each.elements)) for each in shortfall.shortages
        ),
    )


def of_vlink(why: Refusal, circuit: Circuit, reason: str) -> Refusal:
    """Why a VLink has no circuit, as of a CloudNet; what is free, if it is known, says the rest."""
    told = replace(why, reason=reason, elements=(circuit.vlink,))
    if why.kind is not RefusalKind.BANDWIDTH:
        return told
    where = why.resource or _between(circuit)
    free_bps, asked_bps = why.available_bps, circuit.bandwidth_bps
    told = replace(told, resource=BANDWIDTH, where=where, asked=asked_bps)
    if free_bps is None:
        return told
    short = max(1, asked_bps - free_bps)
    shortages = (Shortage(BANDWIDTH, where, short, asked_bps, told.elements),)
    return replace(told, short=short, shortages=shortages)


def too_late_by(circuit: Circuit, most_us: int, least_us: int) -> Refusal:
    """A VLink for which the quickest path that is known takes too long."""
    where = _between(circuit)
    asked, least = (str(Amount(us, Unit.DURATION_US)) for us in (most_us, least_us))
    short, elements = least_us - most_us, (circuit.vlink,)
    return Refusal(
        RefusalKind.NO_PATH,
        f"{LATENCY}: asks for {asked} at most, and the least possible is {least}",
        resource=LATENCY,
        where=where,
        short=short,
        asked=most_us,
        elements=elements,
        shortages=(Shortage(LATENCY, where, short, most_us, elements),),
    )


def proof_of(mapping: VnpMapping) -> Proof:
    """How good a mapping is."""
    return Proof(mapping.status, mapping.objective, mapping.bound, mapping.gap, mapping.proof_scope)


def proof_of_none(*, proven: bool) -> Proof:
    """How sure it is that there is no mapping. Nothing costs less than 0."""
    status, bound = ("infeasible", math.inf) if proven else ("unknown", 0.0)
    return Proof(status, math.inf, bound, math.inf, WHOLE)


def _between(circuit: Circuit) -> str:
    return "--".join(sorted((circuit.a, circuit.b)))


def _without(stubs: Collection[str], elements: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in elements if name not in stubs)
