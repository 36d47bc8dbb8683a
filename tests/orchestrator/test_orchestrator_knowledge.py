"""What a refusal teaches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.knowledge import Knowledge
from protocol.messages import Offer, PortOffer, SendOffers
from substrate.model import Refusal, RefusalKind, Segment, Step, Window
from substrate.vlans import VlanSet

PAIR = ("m:a", "m:b")
SEGMENT = Segment("s1", "m:a", 100, "m:b", 200, 60)
OTHER = Segment("s2", "m:a", 101, "m:c", 201, 40)


def refusal(kind: RefusalKind, **fields: object) -> Refusal:
    return Refusal(kind, "no", domain="m", **fields)  # type: ignore[arg-type]


def test_offers_count_with_their_least_level_over_the_window() -> None:
    offers = SendOffers(
        "q",
        "m",
        (Offer("t", "m:a", "m:b", (Step(0, 50), Step(10, 30), Step(20, 90)), 7, 3),),
        (PortOffer("m:a", (Step(0, 80),), VlanSet.of(5)),),
    )
    wanted = {"m": frozenset([PAIR]), "n": frozenset([("n:a", "n:b")])}
    knowledge = Knowledge().with_answers(wanted, {"m": offers, "n": None}, Window(12, 25))
    assert knowledge.asked == {PAIR, ("n:a", "n:b")}
    assert knowledge.down == {"n"}
    assert knowledge.pair_bps == {PAIR: 30}
    assert knowledge.pair_latency_us == {PAIR: 7}
    assert knowledge.pair_price == {PAIR: 3}
    assert knowledge.tokens == {PAIR: "t"}
    assert knowledge.port_bps == {"m:a": 80}
    assert knowledge.port_vlans == {"m:a": VlanSet.of(5)}


def test_answers_learnt_at_once_are_as_learnt_one_by_one() -> None:
    def offers(domain: str, bps: int) -> SendOffers:
        offer = Offer("t", f"{domain}:a", f"{domain}:b", (Step(0, bps),), 1, 2)
        port = PortOffer(f"{domain}:a", (Step(0, bps),), VlanSet.of(bps))
        return SendOffers("q", domain, (offer,), (port,))

    window, pairs = Window(0, 1), {"m": frozenset([PAIR]), "n": frozenset([("n:a", "n:b")])}
    known = Knowledge(down=frozenset("x")).with_answers({}, {"m": offers("m", 9)}, window)
    told = {"m": offers("m", 5), "n": offers("n", 7), "silent": None}
    one_by_one = known
    for domain, answer in told.items():
        one_by_one = one_by_one.with_answers({}, {domain: answer}, window)
    at_once = known.with_answers(pairs, told, window)
    assert replace(at_once, asked=frozenset()) == one_by_one
    assert at_once.asked == {PAIR, ("n:a", "n:b")}
    assert known.pair_bps == {PAIR: 9}


def test_a_counter_offer_caps_what_is_asked_for_next() -> None:
    told = refusal(RefusalKind.BANDWIDTH, segment_id="s1", available_bps=25)
    assert Knowledge().with_refusal((SEGMENT, OTHER), told).caps == {PAIR: 25}


def test_a_blind_refusal_halves_what_is_asked_for_next() -> None:
    told = refusal(RefusalKind.BANDWIDTH)
    knowledge = Knowledge().with_refusal((SEGMENT,), told)
    assert knowledge.caps == {PAIR: 30}
    again = Segment("s1", "m:a", 100, "m:b", 200, 30)
    assert knowledge.with_refusal((again,), told).caps == {PAIR: 15}


def test_a_counter_offer_of_what_was_asked_is_not_believed() -> None:
    told = refusal(RefusalKind.BANDWIDTH, available_bps=60)
    assert Knowledge().with_refusal((SEGMENT,), told).caps == {PAIR: 59}


def test_a_refused_label_is_not_asked_for_again_at_that_port() -> None:
    told = refusal(RefusalKind.LABEL, resource="m:b", segment_id="s1")
    knowledge = Knowledge().with_refusal((SEGMENT, OTHER), told)
    assert knowledge.banned_vlans == {"m:b": VlanSet.of(200)}


def test_a_refused_label_without_a_port_bans_both_ends() -> None:
    knowledge = Knowledge().with_refusal((SEGMENT,), refusal(RefusalKind.LABEL))
    assert knowledge.banned_vlans == {"m:a": VlanSet.of(100), "m:b": VlanSet.of(200)}


def test_no_way_through_a_domain_closes_that_pair_only() -> None:
    told = refusal(RefusalKind.TOPOLOGY, segment_id="s1")
    knowledge = Knowledge().with_refusal((SEGMENT, OTHER), told)
    assert knowledge.caps == {PAIR: 0}
    assert not knowledge.down


@pytest.mark.parametrize(
    "kind",
    [
        RefusalKind.UNAVAILABLE,
        RefusalKind.TIMEOUT,
        RefusalKind.POLICY,
        RefusalKind.TOMBSTONE,
    ],
)
def test_a_domain_that_will_not_is_left_out(kind: RefusalKind) -> None:
    assert Knowledge().with_refusal((SEGMENT,), refusal(kind)).down == {"m"}


def test_a_port_that_is_full_limits_only_the_ways_that_use_it() -> None:
    one = Segment("s1", "west:host", 100, "west:m1", 100, 70)
    other = Segment("s2", "west:host", 100, "west:m2", 101, 70)
    refusal = Refusal(
        RefusalKind.BANDWIDTH, "full", domain="west", resource="west:m2", available_bps=50
    )
    learnt = Knowledge().with_refusal((one, other), refusal)
    assert learnt.caps == {("west:host", "west:m2"): 50}


def test_what_takes_too_much_through_a_port_is_halved_way_by_way() -> None:
    again = replace(SEGMENT, segment_id="s3", ingress_vlan=102, bandwidth_bps=20)
    planned = {"m": (SEGMENT, again, OTHER), "n": (SEGMENT,)}
    knowledge = Knowledge(caps={("n:a", "n:b"): 7}).with_half(planned, "m:a")
    assert knowledge.caps == {PAIR: 40, ("m:a", "m:c"): 20, ("n:a", "n:b"): 7}
    assert knowledge.with_half(planned, "m:c").caps == knowledge.caps
    assert Knowledge().with_half(planned, "m:d") == Knowledge()
