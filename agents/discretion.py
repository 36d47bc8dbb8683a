"""What of a refusal leaves the domain, and what is for its operator alone."""

from __future__ import annotations

from substrate.model import Domain, Refusal, RefusalKind
from substrate.values import replace

NO_ROOM = frozenset({RefusalKind.BANDWIDTH, RefusalKind.RESOURCE})


def discreet(refusal: Refusal, domain: Domain) -> Refusal:
    """What a blind domain tells: a yes or no, neither amounts nor its inside."""
    known = {port.stp for port in domain.ports}
    if refusal.kind in NO_ROOM:
        return _bare(refusal, f"{domain.name} has no room for it")
    if refusal.kind is RefusalKind.FEATURE or (refusal.resource and refusal.resource not in known):
        return _bare(refusal, f"{domain.name} cannot carry it")
    return replace(refusal, available_bps=None, short=None, asked=None, shortages=())


def without_inside(refusal: Refusal, domain: Domain) -> Refusal:
    """A refusal of what a CloudNet would take, without what it names that is no port."""
    if not refusal.resource or domain.port(refusal.resource) is not None:
        return refusal
    return _bare(refusal, f"{domain.name} has no room for it")


def _bare(refusal: Refusal, reason: str) -> Refusal:
    return replace(
        refusal,
        reason=reason,
        resource="",
        available_bps=None,
        short=None,
        asked=None,
        where="",
        elements=(),
        shortages=(),
        inside=refusal.inside or refusal.reason,
    )
