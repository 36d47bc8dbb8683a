"""Checks that any backend must pass; run them from a test of yours (docs/backends.md).

Each raises AssertionError with a sentence. They ask the backend what it is and try it through a
:class:`agents.book.Book`, the way an agent does; devices are configured and cleared again.
"""

from __future__ import annotations

from agents.backends.base import Backend, Placement
from agents.book import Book
from protocol.messages import ReqOffers, ReservationPrep
from protocol.participant import Admitted
from substrate.model import (
    Directionality,
    Domain,
    Refusal,
    RefusalKind,
    Segment,
    Window,
    domain_of,
    least_bps,
)
from substrate.values import replace
from substrate.vlans import VlanSet

WINDOW = Window(1_000, 2_000)
LATER = Window(2_000, 3_000)


async def check_backend(backend: Backend) -> None:
    """All checks. The domain needs two ports that share a VLAN and are joined inside."""
    check_description(backend)
    check_admission(backend)
    check_offers(backend)
    await check_provisioning(backend)


def check_description(backend: Backend) -> None:
    """The domain describes itself the same way twice, and only with ports of its own."""
    domain = backend.describe()
    assert domain == backend.describe(), "describe() must not change while the agent runs"
    assert domain.ports, "a domain without ports cannot carry anything"
    for port in domain.ports:
        assert domain_of(port.stp) == domain.name, f"{port.stp} is not a port of {domain.name}"
        assert port.capacity_bps > 0, f"{port.stp} has no capacity"
    for resource, capacity_bps in backend.capacities().items():
        assert capacity_bps > 0, f"{resource.name} has no capacity"


def check_admission(backend: Backend) -> None:
    """A hold counts: never above capacity, not in other windows, and gone when it is freed."""
    book = Book(backend)
    segment = widest_segment(backend)
    first = book.admit(_prep("t1", segment))
    assert isinstance(first, Admitted), f"an empty domain refused what it can carry: {first}"
    assert book.admit(_prep("t1", segment)) == first, "the same part again must answer the same"
    second = book.admit(_prep("t2", other_label(backend, segment)))
    assert isinstance(second, Refusal), "a full domain admitted more"
    later = book.admit(_prep("t3", segment, LATER))
    assert isinstance(later, Admitted), f"windows are half-open: {later}"
    restored = Book(backend)
    restored.restore(_prep("t1", segment), first.mapping)
    assert isinstance(restored.admit(_prep("t2", segment)), Refusal), "a restored hold must count"
    for transaction_id in ("t1", "t3"):
        book.free(transaction_id, "p")
        book.free(transaction_id, "p")
    assert book.is_empty(), "what was held must be given back exactly"
    same_label = book.admit(_prep("t5", segment)), book.admit(_prep("t6", segment))
    assert isinstance(same_label[1], Refusal), "a label was held twice"
    book.free("t5", "p")
    unknown = Segment("s", f"{backend.describe().name}:no-such-port", 1, segment.egress_stp, 1, 1)
    refused = book.admit(_prep("t4", unknown))
    assert isinstance(refused, Refusal)
    assert refused.kind is RefusalKind.TOPOLOGY
    assert book.is_empty(), "a refusal must leave nothing"


def check_offers(backend: Backend) -> None:
    """What is offered can be held, and what is held is not offered again."""
    book, segment = Book(backend), widest_segment(backend)
    request = ReqOffers("q", WINDOW, ((segment.ingress_stp, segment.egress_stp),), 1)
    before = book.offers(request, 0).offers
    assert before, "the two ports are joined, but nothing is offered"
    assert least_bps(before[0].profile) == segment.bandwidth_bps, "offers and holds disagree"
    assert isinstance(book.admit(_prep("t1", segment)), Admitted)
    after = book.offers(request, 0).offers
    left_bps = least_bps(after[0].profile) if after else 0
    assert left_bps < segment.bandwidth_bps, "what is held was offered again"
    if left_bps:
        more = replace(other_label(backend, segment), bandwidth_bps=left_bps)
        assert isinstance(book.admit(_prep("t2", more)), Admitted), "an offer could not be held"


async def check_provisioning(backend: Backend) -> None:
    """Provisioning and withdrawing may be repeated; rules say what is configured."""
    book, segment = Book(backend), widest_segment(backend)
    admitted = book.admit(_prep("t1", segment))
    assert isinstance(admitted, Admitted)
    placement = Placement.from_json(admitted.mapping)
    assert placement.to_json() == admitted.mapping, "a placement must survive being stored"
    assert backend.rules(placement), "rules() must say what is configured"
    for _ in range(2):
        await backend.provision("t1/p", placement)
    for _ in range(2):
        await backend.withdraw("t1/p", placement)


def widest_segment(backend: Backend) -> Segment:
    """A segment between the first two ports that are joined, as wide as the domain offers."""
    domain, book = backend.describe(), Book(backend)
    for ingress in domain.ports:
        for egress in domain.ports:
            if ingress.stp == egress.stp or not ingress.vlans & egress.vlans:
                continue
            request = ReqOffers("q", WINDOW, ((ingress.stp, egress.stp),), 1)
            for offer in book.offers(request, 0).offers:
                vlan = (ingress.vlans & egress.vlans).lowest()
                if vlan is not None and least_bps(offer.profile) > 0:
                    return _segment(domain, ingress.stp, egress.stp, vlan, least_bps(offer.profile))
    raise AssertionError(f"{domain.name} has no two ports that it joins and that share a VLAN")


def other_label(backend: Backend, segment: Segment) -> Segment:
    """The same segment on another VLAN, where the two ports share more than one."""
    domain = backend.describe()
    ports = [domain.port(stp) for stp in (segment.ingress_stp, segment.egress_stp)]
    shared = [port.vlans for port in ports if port is not None]
    vlan = (shared[0] & shared[1] - VlanSet.of(segment.ingress_vlan)).lowest()
    return segment if vlan is None else replace(segment, ingress_vlan=vlan, egress_vlan=vlan)


def _segment(domain: Domain, ingress: str, egress: str, vlan: int, bps: int) -> Segment:
    return Segment("s1", ingress, vlan, egress, vlan, bps, Directionality.BIDIRECTIONAL)


def _prep(transaction_id: str, segment: Segment, window: Window = WINDOW) -> ReservationPrep:
    return ReservationPrep(
        transaction_id, "p", f"r-{transaction_id}", 1, (segment,), window, "orchestrator", 0
    )
