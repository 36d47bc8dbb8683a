"""The inside of a wan and the rules of an exchange, where the first look deceives."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agents.backends import open_backend
from agents.backends.claims import LinkWay
from agents.backends.config import DomainConfig
from agents.backends.exchange import ExchangeBackend, rules_of
from agents.backends.inside import Inside, InsideLink
from agents.backends.switch import Frame, MemorySwitch
from agents.book import Book
from protocol.messages import ReqOffers, ReservationPrep
from runtime.settings import SettingsError
from substrate.calendar import Direction
from substrate.model import (
    Refusal,
    RefusalKind,
    Segment,
    Step,
    Window,
    least_bps,
    least_profile,
)

G = 10**9
WINDOW = Window(0, 100)
NODES = "abcd"
UNLIMITED = 1 << 62

links = st.lists(
    st.tuples(
        st.permutations(NODES).map(lambda p: (p[0], p[1])), st.integers(0, 5), st.integers(0, 9)
    ),
    max_size=6,
)


def inside(rows: list[tuple[tuple[str, str], int, int]]) -> Inside:
    found = [
        InsideLink(f"l{i}", a, b, width, latency_us)
        for i, ((a, b), width, latency_us) in enumerate(rows)
    ]
    return Inside(found, {"x:p": "a", "x:q": "d"})


def every_way(rows: list[tuple[tuple[str, str], int, int]]) -> list[list[int]]:
    """Every simple way from a to d, as the indices of its links."""
    found = []

    def walk(here: str, seen: str, used: list[int]) -> None:
        if here == "d":
            found.append(used)
            return
        for i, ((a, b), _, _) in enumerate(rows):
            for start, end in ((a, b), (b, a)):
                if start == here and end not in seen:
                    walk(end, seen + end, [*used, i])

    walk("a", "a", [])
    return found


@given(links, st.sampled_from([0, 2, 4, UNLIMITED]))
def test_the_widest_way_is_the_quickest_of_the_widest(
    rows: list[tuple[tuple[str, str], int, int]], most: int
) -> None:
    widths = {f"l{i}": width for i, (_, width, _) in enumerate(rows)}
    latencies = {f"l{i}": latency_us for i, (_, _, latency_us) in enumerate(rows)}

    def rank(names: list[str]) -> tuple[int, int]:
        return -min([most, *(widths[n] for n in names)]), sum(latencies[n] for n in names)

    ways = inside(rows).widest("x:p", "x:q", lambda way: widths[way[0]], most)
    best = min((rank([f"l{i}" for i in way]) for way in every_way(rows)), default=None)
    assert (None if ways is None else rank([name for name, _ in ways])) == best


@given(links, st.integers(0, 5))
def test_the_quickest_way_has_room_on_every_link(
    rows: list[tuple[tuple[str, str], int, int]], least: int
) -> None:
    def room(way: LinkWay) -> int:
        return rows[int(way[0][1:])][1] - (way[1] is Direction.OUT)

    found = inside(rows).quickest("x:p", "x:q", room, least)
    fitting = []
    for way in every_way(rows):
        here, fits, latency_us = "a", True, 0
        for i in way:
            (a, b), _, us = rows[i]
            direction = Direction.IN if a == here else Direction.OUT
            here = b if a == here else a
            fits, latency_us = fits and room((f"l{i}", direction)) >= least, latency_us + us
        fitting += [latency_us] if fits else []
    told = None if found is None else inside(rows).latency_us(found)
    assert told == min(fitting, default=None)


def wan(ports: dict[str, str], **link: Any) -> dict[str, Any]:
    """West and east joined by a quick thin line and a slow thick one."""
    return {
        "domain": "x",
        "backend": "wan",
        "ports": [{"name": n, "capacity": c, "vlans": "1-9"} for n, c in ports.items()],
        "wan": {
            "nodes": ["a", "b"],
            "links": [
                {"a": "a", "b": "b", "capacity": "40G", "latency_us": 10, "name": "thin"},
                {"a": "a", "b": "b", "capacity": "80G", "latency_us": 50, "name": "thick", **link},
            ],
            "port_nodes": {"west": "a", "east": "b"},
        },
    }


def asked(*segments: Segment) -> ReservationPrep:
    return ReservationPrep("t", "p", "r", 1, segments, WINDOW, "o", 0)


def test_width_beyond_the_ports_buys_no_detour() -> None:
    pairs = (("x:west", "x:east"),)
    narrow = Book(open_backend(wan({"west": "30G", "east": "100G"})))
    offer = narrow.offers(ReqOffers("q", WINDOW, pairs, 1), 0).offers[0]
    assert (least_bps(offer.profile), offer.latency_us) == (30 * G, 10)
    wide = Book(open_backend(wan({"west": "100G", "east": "100G"})))
    offer = wide.offers(ReqOffers("q", WINDOW, pairs, 1), 0).offers[0]
    assert (least_bps(offer.profile), offer.latency_us) == (80 * G, 50)


@pytest.mark.parametrize(
    ("west", "east", "wanted", "tight", "room"),
    [
        ("60G", "20G", 70, "x:east", 20),
        ("20G", "60G", 70, "x:west", 20),
        ("60G", "20G", 85, "x:east", 20),
        ("90G", "90G", 85, "link thick", 80),
    ],
)
def test_a_refusal_tells_the_most_that_would_have_fitted(
    west: str, east: str, wanted: int, tight: str, room: int
) -> None:
    book = Book(open_backend(wan({"west": west, "east": east})))
    told = book.admit(asked(Segment("s", "x:west", 1, "x:east", 1, wanted * G)))
    assert isinstance(told, Refusal)
    assert (told.kind, told.resource) == (RefusalKind.BANDWIDTH, tight)
    assert told.available_bps == room * G
    fits = Segment("s", "x:west", 1, "x:east", 1, room * G)
    assert not isinstance(book.admit(asked(fits)), Refusal)


def test_a_wan_does_not_turn_back_at_a_port() -> None:
    book = Book(open_backend({**wan({"west": "10G", "east": "10G"}), "swaps_labels": True}))
    told = book.admit(asked(Segment("s", "x:west", 1, "x:west", 2, 1)))
    assert isinstance(told, Refusal)
    assert told.kind is RefusalKind.TOPOLOGY
    assert not book.offers(ReqOffers("q", WINDOW, (("x:west", "x:west"),), 1), 0).offers


@pytest.mark.parametrize("name", ["thin"])
def test_links_of_one_name_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="'thin' is the name of more than one"):
        open_backend(wan({"west": "1G", "east": "1G"}, name=name))


def test_a_link_may_not_be_called_what_another_is_called_by_default() -> None:
    settings = wan({"west": "1G", "east": "1G"}, name=None)
    settings["wan"]["links"][0]["name"] = "a--b.2"
    with pytest.raises(SettingsError, match=r"'a--b\.2' is the name of more than one"):
        open_backend(settings)


@pytest.mark.parametrize(
    ("port", "word"),
    [
        ({"vlans": 5000}, "5000"),
        ({"vlans": 0}, "0-0"),
        ({"vlans": True}, "vlans"),
        ({"capacity": True}, "capacity"),
        ({"capacity": 1.5}, "capacity"),
    ],
)
def test_odd_values_of_a_port_are_told(port: dict[str, Any], word: str) -> None:
    ports = [{"name": "a", "capacity": "1G", "vlans": "1-9", **port}]
    with pytest.raises(SettingsError, match=word):
        open_backend({"domain": "x", "backend": "sdx", "ports": ports})


def test_one_vlan_may_be_written_as_a_number() -> None:
    ports = [{"name": "a", "capacity": 5, "vlans": 7}]
    port = open_backend({"domain": "x", "backend": "sdx", "ports": ports}).describe().ports[0]
    assert (port.capacity_bps, list(port.vlans)) == (5, [7])


@pytest.mark.parametrize("kind", [":make", ".x:make", ["wan"], 7, "json:", "json:decoder"])
def test_a_backend_that_cannot_be_loaded_is_a_wrong_setting(kind: Any) -> None:
    with pytest.raises(SettingsError, match="backend"):
        open_backend({"domain": "x", "backend": kind, "ports": []})


# rules -------------------------------------------------------------------------------------------


def split(counts: tuple[int, int] = (2, 2)) -> tuple[Segment, ...]:
    return tuple(
        Segment(f"s{i}", "x:trunk", 5, f"x:t{i}", 10, 1, flow_slots=(i,), slot_count=count)
        for i, count in enumerate(counts)
    )


def flow(port: str, vlan: int, source_port: int) -> Frame:
    return Frame(port, vlan, "198.51.100.7", "203.0.113.9", source_port, 5000)


async def test_what_comes_out_of_a_tunnel_reaches_the_trunk_whatever_its_flow() -> None:
    switch = MemorySwitch()
    await switch.install("k", rules_of(split()))
    for tunnel, source_port in itertools.product((0, 1), range(40_000, 40_008)):
        assert switch.forward(flow(f"x:t{tunnel}", 10, source_port)) == ("x:trunk", 5)
    chosen = {switch.forward(flow("x:trunk", 5, port)) for port in range(40_000, 40_008)}
    assert chosen == {("x:t0", 10), ("x:t1", 10)}


async def test_an_exchange_on_the_way_carries_every_flow_that_the_user_sends() -> None:
    one_path = Segment("s", "x:t0", 10, "x:t1", 11, 1, flow_slots=(1, 3), slot_count=4)
    switch = MemorySwitch()
    await switch.install("k", rules_of([one_path]))
    for source_port in range(40_000, 40_008):
        assert switch.forward(flow("x:t0", 10, source_port)) == ("x:t1", 11)
        assert switch.forward(flow("x:t1", 11, source_port)) == ("x:t0", 10)


def test_segments_that_count_slots_differently_cannot_share_an_end() -> None:
    ports = [{"name": n, "capacity": 9, "vlans": "1-99"} for n in ("trunk", "t0", "t1")]
    config = DomainConfig.model_validate({"domain": "x", "backend": "sdx", "ports": ports})
    told = Book(ExchangeBackend(config)).admit(asked(*split((2, 3))))
    assert isinstance(told, Refusal)
    assert (told.kind, told.segment_id) == (RefusalKind.LABEL, "s1")


# profiles ----------------------------------------------------------------------------------------

profiles = st.lists(
    st.dictionaries(st.integers(1, 12), st.integers(0, 5), max_size=5).map(
        lambda levels: tuple(Step(at, levels.get(at, 3)) for at in sorted({0, *levels}))
    ),
    min_size=1,
    max_size=4,
)


@given(profiles)
def test_the_least_profile_is_the_least_at_every_second(rows: list[tuple[Step, ...]]) -> None:
    def level(profile: tuple[Step, ...], at_s: int) -> int:
        return [step.bandwidth_bps for step in profile if step.start_s <= at_s][-1]

    least = least_profile(rows)
    assert least[0].start_s == 0
    for second in range(14):
        assert level(least, second) == min(level(profile, second) for profile in rows)
    assert all(a.bandwidth_bps != b.bandwidth_bps for a, b in itertools.pairwise(least))
