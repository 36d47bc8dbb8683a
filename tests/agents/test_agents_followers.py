"""Who follows an offer hears when it is out of date, and is told the same in fewer words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agent_world import GBPS, MBPS, ME, NOW_S, World, config, prep
from hypothesis import given, strategies as st

from agents import followers
from agents.backends import open_backend
from agents.book import Book
from agents.followers import FOLLOWED_MAX, FOLLOWED_MS, Followers
from agents.peers import Sender
from protocol.messages import Abort, OffersStale, ReqOffers, SendOffers
from protocol.participant import Admitted
from substrate.model import Profile, Window, least_profile

WINDOW = Window(NOW_S, NOW_S + 1000)
LATER = Window(NOW_S + 1000, NOW_S + 2000)
PAIR = ("renet1:west", "renet1:east")
PAIRS = tuple((a, b) for a in ("west", "east", "user") for b in ("west", "east", "user") if a != b)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followers, "TELL_S", 0.0)


def question(window: Window = WINDOW, *, follow: bool = True) -> ReqOffers:
    return ReqOffers("q", window, (PAIR,), MBPS, follow=follow)


async def heard(world: World, *messages: Any) -> list[OffersStale]:
    """What is told to be stale when these come in."""
    before = len(world.sent)
    for message in messages:
        await world.agent.handle(ME, message)
    await asyncio.sleep(0.01)
    return [told for _, told in world.sent[before:] if isinstance(told, OffersStale)]


def answer(world: World) -> SendOffers:
    found = [told for _, told in world.sent if isinstance(told, SendOffers)]
    return found[-1]


async def test_who_follows_is_told_once_of_all_that_a_change_concerns() -> None:
    world = await World().start()
    assert await heard(world, question(), question(LATER)) == []
    assert answer(world).followed
    both = prep(start_s=NOW_S + 900, end_s=NOW_S + 1100)
    assert await heard(world, both) == [OffersStale((WINDOW, LATER))]
    assert await heard(world, prep("t2", reservation_id="r2", vlan=101, bandwidth_bps=1)) == []


async def test_what_is_given_back_is_a_change_too() -> None:
    world = await World().start()
    await heard(world, prep(), question())
    assert await heard(world, Abort("t1", "p1")) == [OffersStale((WINDOW,))]


async def test_nobody_is_told_who_did_not_ask_for_it_or_of_other_times() -> None:
    world = await World().start()
    await heard(world, question(follow=False), question(LATER))
    assert await heard(world, prep()) == []
    assert answer(world).followed


async def test_an_offer_that_is_followed_is_valid_for_longer() -> None:
    world = await World().start()
    await heard(world, question())
    assert answer(world).offers[0].valid_until_ms == NOW_S * 1000 + FOLLOWED_MS
    await heard(world, question(follow=False))
    assert not answer(world).followed
    assert answer(world).offers[0].valid_until_ms < NOW_S * 1000 + FOLLOWED_MS


def test_no_more_are_followed_than_a_hold_can_look_through() -> None:
    me, many = Sender(ME), Followers(lambda _to, _message: None)
    assert all(many.follow(me, Window(n, n + 1), 0) for n in range(FOLLOWED_MAX))
    assert many.follow(me, Window(0, 1), 1)
    assert not many.follow(me, LATER, FOLLOWED_MS - 1)
    assert many.follow(me, LATER, FOLLOWED_MS)


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(1, 400), st.integers(0, 5)), max_size=6))
def test_offers_and_ports_together_say_what_offers_alone_would(
    holds: list[tuple[int, int, int]],
) -> None:
    wan = {
        "nodes": ["a", "b"],
        "links": [{"a": "a", "b": "b", "capacity": "700M"}],
        "port_nodes": {"west": "a", "east": "b", "user": "a"},
    }
    book = Book(open_backend(config(wan=wan)))
    pairs = tuple((f"renet1:{a}", f"renet1:{b}") for a, b in PAIRS)
    for number, (start, length, which) in enumerate(holds):
        ends = pairs[which]
        hold = prep(
            f"t{number}",
            reservation_id=f"r{number}",
            vlan=100 + number,
            bandwidth_bps=GBPS // 10,
            start_s=NOW_S + start,
            end_s=NOW_S + start + length,
            ingress=ends[0],
            egress=ends[1],
        )
        assert isinstance(book.admit(hold), Admitted)
    plain = book.offers(ReqOffers("q", WINDOW, pairs, MBPS), 0)
    short = book.offers(ReqOffers("q", WINDOW, pairs, MBPS, follow=True), 0)
    assert short.ports == plain.ports
    assert _whole(short) == _whole(plain)


def _whole(told: SendOffers) -> list[tuple[str, str, Profile]]:
    ports = {port.stp: port.profile for port in told.ports}
    return [
        (a, b, least_profile([offer.profile, ports[a], ports[b]]))
        for offer in told.offers
        for a, b in [(offer.ingress_stp, offer.egress_stp)]
    ]
