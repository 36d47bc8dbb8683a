"""What a provider's refusal of a CloudNet tells others: nothing of its inside."""

from __future__ import annotations

import asyncio
import re

from hypothesis import HealthCheck, given, settings, strategies as st
from sites import CLOUD, berlin, partials, sites

from agents.backends import open_backend
from agents.backends.cloud import ProviderBackend
from agents.book import Book
from cloudnets.partials import is_stub
from cloudnets.underlay import Underlay
from protocol.codec_values import refusal_to_pb
from protocol.messages import ReservationPrep
from rdl.codec import to_bytes
from rdl.model import Feature, Graph
from rdl.units import Amount, Unit
from rdl.writing import write
from runtime.apart import at_once
from substrate.model import Refusal, RefusalKind, Segment, Window
from substrate.values import replace

ATTRIBUTE = re.compile(r"(/[a-z_]+)+|")
COUNTED = ("/node/host", "/link")
"""How many there are strangers are not told."""
WINDOW = Window(100, 200)
TIMES = 15


def book_of(site: Underlay, *, visible: bool = True, time_limit_s: float = 0.3) -> Book:
    """An agent's book on a site, where programs run at once."""
    port = {"name": "east", "capacity": "10G", "vlans": "100-199", "remote": "munich:west"}
    cloud = {"substrate": write(site.graph), "port_nodes": {"east": "s0"}}
    made = open_backend(
        {
            "domain": "berlin",
            "backend": "pip",
            "visible": visible,
            "ports": [port],
            "cloud": {**cloud, "time_limit_s": time_limit_s},
        }
    )
    assert isinstance(made, ProviderBackend)
    made.apart = at_once
    return Book(made)


def refusal_at(
    book: Book, of: Graph, segments: tuple[Segment, ...], *, thinks: bool
) -> Refusal | None:
    """The answer to a request that comes again and again, once it is refused."""
    backend = book.backend
    assert isinstance(backend, ProviderBackend)
    for number in range(TIMES):
        own = tuple(
            replace(
                s, ingress_vlan=s.ingress_vlan + 10 * number, egress_vlan=s.egress_vlan + 5 * number
            )
            for s in segments
        )
        prep = ReservationPrep(
            f"t{number}", "p", f"r{number}", 1, own, WINDOW, "o", 0, graph=to_bytes(of)
        )
        advice = None
        if thinks:
            advice = asyncio.run(backend.consult(*book.partial(prep)))
        outcome = book.admit(prep, advice)
        if isinstance(outcome, Refusal):
            return outcome
    return None


def inner_names(site: Underlay) -> re.Pattern[str]:
    """Any name of a host, a switch, a link or an amount that is shared, wherever it stands."""
    names = {*site.nodes, *site.links, *(s.shared for s in site.supplies if s.shared)}
    return re.compile(rf"(?<![\w])({'|'.join(map(re.escape, sorted(names)))})(?![\w])")


@st.composite
def demands(draw: st.DrawFn) -> tuple[Graph, tuple[Segment, ...]]:
    """Partial graphs that ask for more: of VNodes, of VLinks, and features that few have."""
    of, segments = draw(partials())
    times = {"/node": draw(st.integers(1, 5)), "/link": draw(st.integers(1, 6))}
    word = draw(st.sampled_from(("", "", "", "arm", "sparc")))
    us = draw(st.sampled_from((0, 0, 0, 5)))
    more = {
        "/node": (Feature("/feature/architecture", (word,)),) if word else (),
        "/link": (Feature("/feature/latency", Amount(us, Unit.DURATION_US)),) if us else (),
    }
    elements = []
    for each in of.elements:
        family = each.attribute[:5]
        resources = tuple(
            replace(r, amount=Amount(r.amount.value * times[family], r.amount.unit))
            for r in each.resources
            if r.amount is not None
        )
        known = {feature.attribute for feature in each.features}
        new = () if is_stub(each) else tuple(f for f in more[family] if f.attribute not in known)
        elements.append(replace(each, resources=resources, features=(*each.features, *new)))
    return replace(of, elements=tuple(elements)), segments


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(sites(), demands(), st.booleans())
def test_no_name_of_the_inside_is_in_anything_that_a_refusal_tells(
    site: Underlay, asked: tuple[Graph, tuple[Segment, ...]], thinks: bool
) -> None:
    of, segments = asked
    refusal = refusal_at(book_of(site), of, segments, thinks=thinks)
    if refusal is not None:
        message = refusal_to_pb(refusal)
        assert not inner_names(site).search(str(message)), message
        assert refusal.domain == "berlin"
        stps = {end for s in segments for end in (s.ingress_stp, s.egress_stp)}
        assert refusal.resource in stps or ATTRIBUTE.fullmatch(refusal.resource), refusal
        assert set(refusal.elements) <= {each.id for each in of.elements}
        if refusal.short is not None:
            assert refusal.short > 0
            assert refusal.resource not in COUNTED
            assert refusal.resource.startswith(("/resource/", "/feature/latency"))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(sites(), demands())
def test_a_blind_provider_tells_no_more_than_that_it_has_refused(
    site: Underlay, asked: tuple[Graph, tuple[Segment, ...]]
) -> None:
    refusal = refusal_at(book_of(site, visible=False, time_limit_s=0), *asked, thinks=False)
    silent = (RefusalKind.RESOURCE, RefusalKind.BANDWIDTH, RefusalKind.FEATURE)
    if refusal is not None and refusal.kind in silent:
        assert refusal.reason in ("berlin has no room for it", "berlin cannot carry it")
        bare = Refusal(refusal.kind, refusal.reason, "berlin", segment_id=refusal.segment_id)
        assert refusal == bare
        assert refusal.inside, "the operator is told all the same"


def test_the_site_of_the_docs_has_names_to_hide() -> None:
    """Else the property would hold of anything."""
    pattern = inner_names(berlin())
    assert pattern.search("1 core of /resource/cpu short at sn111")
    assert pattern.search("10 GB short of shared nfs/resource/disk")
    assert not pattern.search(f"elements.left: no room at {CLOUD}")
