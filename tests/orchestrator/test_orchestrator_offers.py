"""Offers that serve several requests: cut to their windows, while they last, never to refuse."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from networks import domain, port
from orchestrated import NO_CONTEXT, NOW_S, Orchestrated, sites, virtual, wanted

from braid.v1 import common_pb2, reservations_pb2 as pb
from orchestrator.offers import DAY_S, PAIRS_MAX, Offers, more_pairs, only
from protocol.messages import Offer, OffersStale, PortOffer, ReqOffers, SendOffers
from simulations.gateway import Message
from substrate.model import Directionality, Segment, Step, Window, least_within
from substrate.vlans import VlanSet

COMMITTED = pb.RESERVATION_STATE_COMMITTED
FAILED = pb.RESERVATION_STATE_FAILED
BOTH = Directionality.BIDIRECTIONAL
PAIR = ("m1:west", "m1:east")
DAY = Window(10 * DAY_S, 11 * DAY_S)
HOUR = Window(DAY.start_s + 3600, DAY.start_s + 7200)
PROFILE = (Step(DAY.start_s, 5), Step(HOUR.start_s + 60, 3), Step(HOUR.end_s, 9))
VLANS = VlanSet.of(1, 2, 3)


def told(valid_until_ms: int = 0) -> SendOffers:
    ports = tuple(PortOffer(stp, PROFILE, VLANS) for stp in PAIR)
    return SendOffers("q", "m1", (Offer("o", *PAIR, PROFILE, 7, 8, valid_until_ms),), ports)


def test_a_day_is_asked_for_and_serves_each_window_of_it() -> None:
    offers = Offers(2000)
    assert offers.span("m1", HOUR, 0) == DAY
    assert offers.find("m1", [PAIR], HOUR, BOTH, 0) is None
    offers.keep([PAIR], HOUR, BOTH, told(), 0)
    first = offers.find("m1", [PAIR], HOUR, BOTH, 1999)
    assert first is not None
    assert least_within(first.offers[0].profile, HOUR) == 3
    assert (first.offers[0].latency_us, first.offers[0].price) == (7, 8)
    window = Window(HOUR.end_s + 5, HOUR.end_s + 6)
    later = offers.find("m1", [PAIR], window, BOTH, 1999)
    assert later is not None
    assert least_within(later.offers[0].profile, window) == 9


def test_it_lasts_as_long_as_it_may_and_no_longer() -> None:
    offers = Offers(2000)
    offers.keep([PAIR], HOUR, BOTH, told(), 0)
    assert offers.find("m1", [PAIR], HOUR, BOTH, 2000) is None
    offers.keep([PAIR], HOUR, BOTH, told(valid_until_ms=2500), 2000)
    assert offers.find("m1", [PAIR], HOUR, BOTH, 2499) is not None
    assert offers.find("m1", [PAIR], HOUR, BOTH, 2500) is None


def test_what_is_followed_lasts_until_the_domain_says_that_it_is_stale() -> None:
    offers = Offers(2000)
    followed = replace(told(valid_until_ms=60_000), followed=True)
    offers.keep([PAIR], HOUR, BOTH, followed, 0)
    assert offers.find("m1", [PAIR], HOUR, BOTH, 59_999) is not None
    assert offers.find("m1", [PAIR], HOUR, BOTH, 60_000) is None
    offers.stale("m2", OffersStale((DAY,)))
    offers.stale("m1", OffersStale((Window(DAY.end_s, DAY.end_s + DAY_S),)))
    assert offers.find("m1", [PAIR], HOUR, BOTH, 2000) is not None
    offers.stale("m1", OffersStale((DAY,)))
    assert offers.find("m1", [PAIR], HOUR, BOTH, 1999) is not None
    assert offers.find("m1", [PAIR], HOUR, BOTH, 2000) is None


def test_it_is_asked_for_once_more_before_it_ends_and_then_lasts_anew() -> None:
    offers = Offers(2000)
    assert not offers.ages("m1", HOUR, BOTH, 0)
    offers.keep([PAIR], HOUR, BOTH, told(), 0)
    assert not offers.ages("m1", HOUR, BOTH, 1499)
    assert offers.ages("m1", HOUR, BOTH, 1500)
    assert not offers.ages("m1", HOUR, BOTH, 1501)
    assert offers.find("m1", [PAIR], HOUR, BOTH, 1501) is not None
    offers.keep([PAIR], HOUR, BOTH, told(), 1600)
    assert offers.find("m1", [PAIR], HOUR, BOTH, 3599) is not None
    assert offers.find("m1", [PAIR], HOUR, BOTH, 3600) is None
    assert offers.ages("m1", HOUR, BOTH, 3100)


def test_a_small_domain_is_asked_for_all_its_pairs_at_once() -> None:
    small = domain("d", [port("d:user"), port("d:x", "x:d"), port("d:y", "y:d")])
    asked = frozenset([("d:user", "d:x")])
    assert len(more_pairs(asked, small)) == 6


def test_a_larger_one_for_those_between_links_and_an_immense_one_for_what_is_needed() -> None:
    users = [port(f"d:user{n}") for n in range(100)]
    asked = frozenset([("d:user1", "d:x")])
    larger = domain("d", [*users, port("d:x", "x:d"), port("d:y", "y:d")])
    assert {stp for pair in more_pairs(asked, larger) for stp in pair} == {
        "d:user1",
        "d:x",
        "d:y",
    }
    links = [port(f"d:{n}", f"x{n}:d") for n in range(PAIRS_MAX)]
    assert more_pairs(asked, domain("d", [*users, *links])) == asked


def test_an_offer_that_leaves_out_what_ports_limit_is_told_with_it() -> None:
    wide = (Step(DAY.start_s, 100),)
    other = Offer("o", "m1:east", "m1:west", wide)
    found = only(replace(told(), offers=(Offer("o", *PAIR, wide), other)), [PAIR])
    assert [offer.profile for offer in found.offers] == [PROFILE]


def test_other_pairs_days_directions_and_domains_are_asked() -> None:
    offers = Offers(2000)
    offers.keep([PAIR], HOUR, BOTH, told(), 0)
    next_day = Window(HOUR.start_s + DAY_S, HOUR.end_s + DAY_S)
    assert offers.find("m1", [PAIR, ("m1:east", "m1:west")], HOUR, BOTH, 0) is None
    assert offers.find("m1", [PAIR], next_day, BOTH, 0) is None
    assert offers.find("m1", [PAIR], HOUR, Directionality.UNIDIRECTIONAL, 0) is None
    assert offers.find("m2", [PAIR], HOUR, BOTH, 0) is None


def test_no_offer_is_remembered_as_such() -> None:
    offers = Offers(2000)
    offers.keep([PAIR], HOUR, BOTH, replace(told(), offers=()), 0)
    found = offers.find("m1", [PAIR], HOUR, BOTH, 0)
    assert found is not None
    assert found.offers == ()


def test_long_windows_and_those_who_do_not_wish_it_ask_for_themselves() -> None:
    assert Offers(2000).span("m1", Window(0, 10 * DAY_S + 1), 0) is None
    assert Offers(0).span("m1", HOUR, 0) is None


def test_what_has_passed_of_today_is_not_asked_for() -> None:
    rest = Window(DAY.start_s + 5, DAY.end_s)
    assert Offers(1).span("m1", HOUR, DAY.start_s * 1000 + 5999) == rest


def test_days_of_too_many_steps_are_not_asked_for_whole() -> None:
    offers = Offers(2000)
    steps = tuple(Step(DAY.start_s + at, at) for at in range(300))
    ports = tuple(replace(port, profile=steps) for port in told().ports)
    offers.keep([PAIR], HOUR, BOTH, replace(told(), ports=ports), 0)
    assert offers.span("m1", HOUR, 0) is None
    assert offers.span("m2", HOUR, 0) == DAY
    assert offers.span("m1", HOUR, 60_000) == DAY


def test_an_offer_that_is_withdrawn_is_not_told_again() -> None:
    offers = Offers(2000)
    offers.keep([PAIR], HOUR, BOTH, told(), 0)
    offers.keep([PAIR], HOUR, BOTH, replace(told(), offers=()), 1)
    again = offers.find("m1", [PAIR], HOUR, BOTH, 1)
    assert again is not None
    assert again.offers == ()


def test_a_vlan_that_was_taken_is_not_free_any_more() -> None:
    offers = Offers(2000)
    offers.keep([PAIR], HOUR, BOTH, told(), 0)
    offers.took("m1", (Segment("s", "m1:west", 1, "m1:east", 3, 5),), HOUR)
    found = offers.find("m1", [PAIR], HOUR, BOTH, 0)
    assert found is not None
    assert {port.stp: set(port.vlans) for port in found.ports} == {
        "m1:west": {2, 3},
        "m1:east": {1, 2},
    }
    assert offers.find("m1", [PAIR], HOUR, BOTH, 0, untaken=True) is None
    offers.drop("m1")
    assert offers.find("m1", [PAIR], HOUR, BOTH, 0) is None


# In negotiations ---------------------------------------------------------------------------------


class Questions:
    """Counts the ReqOffers of each domain."""

    def __init__(self, world: Orchestrated) -> None:
        self.count = 0
        world.delay = self._delay

    def _delay(self, _domain: str, message: Message) -> float:
        self.count += isinstance(message, ReqOffers)
        return 0.0


def at(hour: int, gbps: int, **fields: Any) -> pb.Reservation:
    start_s = NOW_S // DAY_S * DAY_S + DAY_S + 3600 * hour
    window = common_pb2.Window(start_s=start_s, end_s=start_s + 3600)
    return wanted(gbps, **{"request_id": f"r{hour}-{gbps}", "window": window, **fields})


@virtual
async def test_who_asks_soon_after_another_need_not_ask_the_domains() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=2000) as world:
        one, questions = await world.start(), Questions(world)
        for hour in range(5):
            assert (await one.reserve(at(hour, 90))).state == COMMITTED
        assert questions.count == 3
        await asyncio.sleep(3)
        assert (await one.reserve(at(7, 90))).state == COMMITTED
        assert questions.count == 6


@virtual
async def test_those_who_ask_at_the_same_moment_ask_the_domains_once() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=2000) as world:
        one, questions = await world.start(), Questions(world)
        asked = [one.reserve(at(hour, gbps)) for hour in range(10) for gbps in (40, 50)]
        records = await asyncio.gather(*asked)
        assert {record.state for record in records} == {COMMITTED}
        assert questions.count == 3


@virtual
async def test_while_nothing_changes_nobody_is_asked_again() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=2000) as world:
        one, questions = await world.start(), Questions(world)
        for hour in range(5):
            assert (await one.reservations.Plan(at(hour, 90), NO_CONTEXT)).feasible
            await asyncio.sleep(10)
        assert questions.count == 3
        assert (await one.reserve(at(7, 90))).state == COMMITTED
        await asyncio.sleep(3)
        assert not (await one.reservations.Plan(at(7, 90), NO_CONTEXT)).feasible
        before = questions.count
        assert (await one.reservations.Plan(at(8, 90), NO_CONTEXT)).feasible
        assert questions.count == before


@virtual
async def test_a_plan_sees_what_was_held_a_moment_ago() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=60_000) as world:
        one, questions = await world.start(), Questions(world)
        assert (await one.reservations.Plan(at(7, 90), NO_CONTEXT)).feasible
        assert (await one.reserve(at(7, 90))).state == COMMITTED
        assert questions.count == 3
        best = at(7, 20, flexibility={"least_bandwidth_bps": 10**9})
        planned = await one.reservations.Plan(best, NO_CONTEXT)
        assert sum(path.bandwidth_bps for path in planned.paths) == 10 * 10**9


@virtual
async def test_what_is_out_of_date_refuses_nobody() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=60_000) as world:
        one, questions = await world.start(), Questions(world)
        full = await one.reserve(at(1, 100))
        assert (await one.reserve(at(1, 1))).state == FAILED
        await one.cancel(full.reservation_id)
        await asyncio.sleep(1)
        before = questions.count
        assert (await one.reserve(at(1, 60))).state == COMMITTED
        assert questions.count >= before
        assert (await one.reserve(at(1, 41))).state == FAILED
        assert (await one.reserve(at(1, 40))).state == COMMITTED


@virtual
async def test_vlans_that_are_taken_at_other_times_of_the_day_are_found_free() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=60_000) as world:
        one = await world.start()
        # The ports have a hundred VLANs; each hour alone there are enough.
        for hour in range(3):
            records = await asyncio.gather(
                *(one.reserve(at(hour, 1, request_id=f"{hour}.{n}")) for n in range(60))
            )
            assert {record.state for record in records} == {COMMITTED}
