"""Placements are stored as JSON that is written without an encoder, whatever names are in it."""

from __future__ import annotations

import json

from agent_world import config
from hypothesis import given, strategies as st

from agents.backends import open_backend
from agents.backends.base import Claim, Placement
from agents.backends.claims import claims_at_ports, claims_of_way, labels_of
from agents.backends.exchange import ExchangeBackend, rules_of
from agents.book import Book
from protocol.messages import ReservationPrep
from protocol.participant import Admitted
from substrate.calendar import Direction, Resource
from substrate.model import Directionality, Segment, Window

NAMES = st.text(max_size=12)
CLAIMS = st.builds(
    Claim, st.builds(Resource, NAMES, st.sampled_from(Direction)), st.integers(0, 2**62)
)
PLACEMENTS = st.builds(
    Placement,
    st.lists(CLAIMS, max_size=5).map(tuple),
    st.lists(st.tuples(NAMES, st.integers(1, 4094)), max_size=4).map(tuple),
    NAMES,
)
AB = Segment("s1", "renet1:west", 100, "renet1:east", 150, 7)
BA = Segment("s2", "renet1:east", 151, "renet1:user", 101, 8)


@given(PLACEMENTS, st.booleans())
def test_a_placement_is_the_json_that_an_encoder_writes(found: Placement, joint: bool) -> None:
    claims = [[c.resource.name, c.resource.direction.value, c.bandwidth_bps] for c in found.claims]
    expected = {"claims": claims, "labels": [[*each] for each in found.labels]}
    stored = expected | {"detail": found.detail} | ({"joint": True} if joint else {})
    assert found.to_json(joint) == json.dumps(stored, separators=(",", ":"))
    assert Placement.from_json(found.to_json(joint)) == found


def placed(backend: str, *segments: Segment) -> Placement:
    more = {"swaps_labels": True} if backend == "wan" else {}
    book = Book(open_backend(config(backend=backend, **more)))
    prep = ReservationPrep("t1", "p1", "r1", 1, segments, Window(100, 200), "me", 0)
    outcome = book.admit(prep)
    assert isinstance(outcome, Admitted), outcome
    return Placement.from_json(outcome.mapping)


def test_the_rules_of_one_segment_are_stored_as_those_of_several() -> None:
    for segments in ((AB,), (BA,), (AB, BA)):
        stored = json.loads(placed("sdx", *segments).detail)
        assert stored == [
            [r.in_port, r.in_vlan, r.out_port, r.out_vlan, [*r.slots], r.slot_count]
            for r in rules_of(segments)
        ]
        backend = open_backend(config(backend="sdx"))
        assert isinstance(backend, ExchangeBackend)
        assert backend.switch_rules(placed("sdx", *segments)) == rules_of(segments)


def test_several_segments_take_together_what_each_takes_alone() -> None:
    for backend in ("sdx", "wan"):
        alone = [claim for each in (AB, BA) for claim in placed(backend, each).claims]
        together = placed(backend, AB, BA).claims
        for claim in together:
            of_it = [c.bandwidth_bps for c in alone if c.resource == claim.resource]
            assert claim.bandwidth_bps == sum(of_it)
        assert {c.resource for c in together} == {c.resource for c in alone}


def test_claims_leave_out_a_port_that_never_limits() -> None:
    found = claims_at_ports([AB], uncounted="renet1:east")
    assert [claim.resource.name for claim in found] == ["renet1:west"] * 2


def test_a_way_back_by_the_same_port_takes_it_twice() -> None:
    both = claims_of_way("d:a", "d:a", (), Directionality.BIDIRECTIONAL, 5)
    assert [claim.bandwidth_bps for claim in both] == [10, 10]


ENDS = st.tuples(st.sampled_from("ab"), st.integers(1, 2))


@given(st.lists(st.tuples(ENDS, ENDS), max_size=3))
def test_labels_are_sorted_and_each_is_told_once(pairs: list[tuple[tuple[str, int], ...]]) -> None:
    segments = [Segment("s", *one, *other, 1) for one, other in pairs]
    assert labels_of(segments) == tuple(sorted({end for pair in pairs for end in pair}))
