"""Backends: what they offer, place and configure; every one passes the conformance checks."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.backends import Backend, open_backend
from agents.backends.base import Placement
from agents.backends.conformance import check_backend
from agents.book import Book
from protocol.messages import ReqOffers, ReservationPrep
from protocol.participant import Admitted
from runtime.settings import SettingsError
from substrate.calendar import Direction, Resource
from substrate.model import (
    Directionality,
    Refusal,
    RefusalKind,
    Segment,
    Window,
    least_bps,
)
from substrate.vlans import VlanSet

G = 10**9
WINDOW = Window(100, 200)
ROOT = Path(__file__).parents[2]


def port(name: str, capacity: str = "100G", **more: Any) -> dict[str, Any]:
    return {"name": name, "capacity": capacity, "vlans": "100-199", **more}


def wan(**more: Any) -> dict[str, Any]:
    """a and b over a direct thin link, or a thick detour by c."""
    return {
        "domain": "net",
        "backend": "wan",
        "ports": [port("west"), port("east"), port("south")],
        "wan": {
            "nodes": ["a", "b", "c"],
            "links": [
                {"a": "a", "b": "b", "capacity": "40G", "latency_us": 10},
                {"a": "a", "b": "c", "capacity": "80G", "latency_us": 20},
                {"a": "c", "b": "b", "capacity": "80G", "latency_us": 20},
            ],
            "port_nodes": {"west": "a", "east": "b", "south": "c"},
        },
        **more,
    }


def exchange(backend: str = "sdx", **more: Any) -> dict[str, Any]:
    return {
        "domain": "net",
        "backend": backend,
        "ports": [port("trunk", "200G"), port("one"), port("two")],
        **more,
    }


def segment(
    ingress: str, egress: str, bps: int, vlans: tuple[int, int] = (100, 100), **more: Any
) -> Segment:
    name = more.pop("segment_id", "s1")
    return Segment(name, f"net:{ingress}", vlans[0], f"net:{egress}", vlans[1], bps, **more)


def prep(number: int, *segments: Segment, window: Window = WINDOW, of: str = "") -> ReservationPrep:
    return ReservationPrep(f"t{number}", "p", of or f"r{number}", 1, segments, window, "o", 0)


def book(settings: dict[str, Any]) -> Book:
    return Book(open_backend(settings))


def refused(outcome: Admitted | Refusal, kind: RefusalKind) -> Refusal:
    assert isinstance(outcome, Refusal), outcome
    assert outcome.kind is kind
    assert outcome.domain == "net"
    return outcome


def held(outcome: Admitted | Refusal) -> Placement:
    assert isinstance(outcome, Admitted), outcome
    return Placement.from_json(outcome.mapping)


@pytest.mark.parametrize(
    "settings",
    [
        wan(),
        wan(swaps_labels=True, wan=None),
        exchange("sdx"),
        exchange("pip"),
    ],
    ids=["wan", "wan-one-node", "sdx", "pip"],
)
async def test_every_backend_passes_the_conformance_checks(settings: dict[str, Any]) -> None:
    await check_backend(open_backend(settings))


@pytest.fixture
def documented(tmp_path: Path) -> Iterator[Backend]:
    """The example of docs/backends.md, as a module of its own."""
    text = (ROOT / "docs" / "backends.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.S)[0]
    (tmp_path / "myline.py").write_text(code)
    sys.path.insert(0, str(tmp_path))
    try:
        yield open_backend(
            {
                "domain": "line",
                "backend": "myline:make",
                "folder": str(tmp_path),
                "capacity_bps": 10 * G,
                "vlans": "10-20",
                "ends": {"left": "a:x", "right": "b:y"},
            }
        )
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("myline", None)


async def test_the_documented_example_is_a_backend(documented: Backend) -> None:
    await check_backend(documented)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({**wan(), "backend": "magic"}, "possible: wan, sdx, pip"),
        ({**wan(), "backend": "no.such.module:make"}, "cannot be loaded"),
        ({**wan(), "backend": None}, "possible"),
        (exchange(ports=[]), "ports"),
        (exchange(ports=[port("one"), port("one")]), "'one' is listed more than once"),
        (exchange(ports=[port("one", "0G")]), "capacity"),
        (exchange(ports=[port("one", "fast")]), "fast"),
        (exchange(ports=[port("one", vlans="0-5")]), "0-5"),
        (exchange(ports=[port("one", vlans="a")]), "'a'"),
        (exchange(ports=[port("one", remote="nonsense")]), "remote"),
        (exchange(ports=[port("on/e")]), "name"),
        (exchange(colour="red"), "colour"),
        (exchange(domain="a..b"), ".."),
        (exchange(hold_timeout_s=0), "hold_timeout_s"),
        (wan(wan={"nodes": ["a"], "port_nodes": {"west": "a"}}), "port_nodes"),
        (wan(wan={"nodes": ["a"], "port_nodes": {"west": "z"}}), "'z'"),
        (wan(wan={"nodes": ["a"], "links": [{"a": "a", "b": "q", "capacity": "1G"}],
                  "port_nodes": {}}), "'q'"),
        (wan(wan={"nodes": ["a"], "links": [{"a": "a", "b": "a", "capacity": "1G"}],
                  "port_nodes": {}}), "itself"),
    ],
)  # fmt: skip
def test_wrong_settings_name_the_field(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(word)):
        open_backend(settings)


# wan ---------------------------------------------------------------------------------------------


def test_a_wan_takes_the_quickest_path_with_room() -> None:
    ledger = book(wan())
    quick = held(ledger.admit(prep(1, segment("west", "east", 30 * G))))
    assert "link a--b.1" in ledger.backend.rules(quick)[0]
    detour = held(ledger.admit(prep(2, segment("west", "east", 30 * G, (101, 101)))))
    assert "link a--c.2 -> link c--b.3" in ledger.backend.rules(detour)[0]
    none = refused(
        ledger.admit(prep(3, segment("west", "east", 60 * G, (102, 102)))), RefusalKind.BANDWIDTH
    )
    assert none.available_bps == 40 * G
    assert " 40 Gb/s free during the whole window" in none.reason


def test_a_wan_offers_its_widest_path_over_time() -> None:
    ledger = book(wan())
    held(ledger.admit(prep(1, segment("west", "east", 50 * G), window=Window(120, 150))))
    asked = ReqOffers("q", WINDOW, (("net:west", "net:east"),), 1)
    offer = ledger.offers(asked, 7).offers[0]
    assert least_bps(offer.profile) == 40 * G
    elsewhere = ReqOffers("q", Window(150, 200), asked.pairs, 1)
    assert least_bps(ledger.offers(elsewhere, 7).offers[0].profile) == 80 * G
    assert offer.valid_until_ms > 7
    assert offer.token == "q.0"


def crowded(gbps: int, *, follow: bool = False) -> list[int]:
    """What is offered from west to east, Gb/s, where its port has so much taken for a while.

    ``follow``: so that ports are told apart.
    """
    settings = wan()
    for link in settings["wan"]["links"][1:]:
        link["capacity"] = "100G"
    ledger = book(settings)
    held(ledger.admit(prep(1, segment("west", "south", gbps * G), window=Window(120, 150))))
    asked = ReqOffers("q", WINDOW, (("net:west", "net:east"),), 1, follow=follow)
    (offer,) = ledger.offers(asked, 7).offers
    return [step.bandwidth_bps // G for step in offer.profile]


@pytest.mark.parametrize("gbps", [61, 80, 100])
def test_where_a_port_is_crowded_for_a_while_the_way_with_most_room_at_other_times_is_offered(
    gbps: int,
) -> None:
    assert crowded(gbps) == [100, 100 - gbps, 100]
    assert crowded(gbps, follow=True) == [100, 100 - gbps, 100]


def test_the_way_that_has_more_at_every_time_is_offered() -> None:
    assert crowded(70) == [100, 30, 100]
    # Of the other way less is free than of this one, while the port has as much.
    settings = wan()
    ledger = book(settings)
    held(ledger.admit(prep(1, segment("west", "south", 70 * G), window=Window(120, 150))))
    asked = ReqOffers("q", WINDOW, (("net:west", "net:east"),), 1)
    (offer,) = ledger.offers(asked, 7).offers
    assert [step.bandwidth_bps // G for step in offer.profile] == [40, 30, 40]


def test_segments_of_one_part_see_one_another() -> None:
    both = [
        segment("west", "east", 60 * G),
        segment("west", "east", 60 * G, (101, 101), segment_id="s2"),
    ]
    told = refused(book(wan()).admit(prep(1, *both)), RefusalKind.BANDWIDTH)
    assert told.segment_id == "s2"


def test_a_one_way_segment_leaves_the_way_back_free() -> None:
    ledger = book(wan())
    one_way = segment("west", "east", 80 * G, directionality=Directionality.UNIDIRECTIONAL)
    held(ledger.admit(prep(1, one_way)))
    back = segment("east", "west", 80 * G, (101, 101), directionality=Directionality.UNIDIRECTIONAL)
    held(ledger.admit(prep(2, back)))
    assert ledger.calendar.free_bps(Resource("net:west", Direction.IN), WINDOW) == 20 * G


def test_a_wan_without_translation_keeps_the_vlan() -> None:
    told = book(wan()).admit(prep(1, segment("west", "east", 1, (100, 101))))
    assert "translate" in refused(told, RefusalKind.LABEL).reason
    held(book(wan(swaps_labels=True)).admit(prep(1, segment("west", "east", 1, (100, 101)))))


def test_a_wan_does_not_split_one_vlan() -> None:
    shared = [
        segment("west", "east", 1, flow_slots=(0,), slot_count=2),
        segment("west", "south", 1, flow_slots=(1,), slot_count=2, segment_id="s2"),
    ]
    assert "split" in refused(book(wan()).admit(prep(1, *shared)), RefusalKind.LABEL).reason


def test_an_island_inside_has_no_way() -> None:
    settings = wan()
    settings["wan"]["links"] = settings["wan"]["links"][:1]
    told = refused(book(settings).admit(prep(1, segment("west", "south", 1))), RefusalKind.TOPOLOGY)
    assert told.segment_id == "s1"
    asked = ReqOffers("q", WINDOW, (("net:west", "net:south"), ("net:west", "net:east")), 1)
    offers = book(settings).offers(asked, 0).offers
    assert [(offer.ingress_stp, offer.egress_stp) for offer in offers] == [("net:west", "net:east")]


# the book ----------------------------------------------------------------------------------------


def test_a_blind_domain_says_no_and_nothing_else() -> None:
    told = refused(
        book(wan(visible=False)).admit(prep(1, segment("west", "east", 90 * G))),
        RefusalKind.BANDWIDTH,
    )
    assert told.available_bps is None
    assert told.resource == ""
    assert "link" not in told.reason


def test_a_vlan_is_held_by_one_reservation_at_a_time() -> None:
    ledger = book(wan())
    held(ledger.admit(prep(1, segment("west", "east", 1))))
    told = refused(ledger.admit(prep(2, segment("west", "south", 1))), RefusalKind.LABEL)
    assert told.resource == "net:west"
    held(ledger.admit(prep(3, segment("west", "east", 1), window=Window(200, 300))))
    asked = ReqOffers("q", WINDOW, (("net:west", "net:east"),), 1)
    ports = {p.stp: p.vlans for p in ledger.offers(asked, 0).ports}
    assert ports["net:west"] == VlanSet.from_ranges([(101, 199)])


def test_a_vlan_that_is_not_the_ports_is_refused() -> None:
    told = refused(
        book(wan()).admit(prep(1, segment("west", "east", 1, (300, 300)))), RefusalKind.LABEL
    )
    assert "100-199" in told.reason


def test_parts_of_one_reservation_are_alternatives() -> None:
    ledger = book(exchange())
    held(ledger.admit(prep(1, segment("one", "two", 60 * G), of="r")))
    held(ledger.admit(prep(2, segment("one", "two", 90 * G), of="r")))
    assert ledger.calendar.free_bps(Resource("net:one", Direction.IN), WINDOW) == 10 * G
    refused(ledger.admit(prep(3, segment("one", "two", 20 * G, (101, 101)))), RefusalKind.BANDWIDTH)
    ledger.free("t2", "p")
    held(ledger.admit(prep(4, segment("one", "two", 40 * G, (101, 101)))))
    refused(ledger.admit(prep(5, segment("one", "two", 70 * G), of="r")), RefusalKind.BANDWIDTH)
    ledger.free("t1", "p")
    ledger.free("t4", "p")
    assert ledger.is_empty()


def test_alternatives_with_other_windows_count_where_they_are() -> None:
    ledger = book(exchange())
    held(ledger.admit(prep(1, segment("one", "two", 60 * G), of="r")))
    held(ledger.admit(prep(2, segment("one", "two", 30 * G), window=Window(150, 300), of="r")))
    resource = Resource("net:one", Direction.IN)
    assert ledger.calendar.free_bps(resource, Window(100, 200)) == 40 * G
    assert ledger.calendar.free_bps(resource, Window(200, 300)) == 70 * G
    asked = ReqOffers("q", Window(100, 300), (("net:one", "net:two"),), 1, reservation_id="r")
    (port, *_) = ledger.offers(asked, 0).ports
    assert [step.bandwidth_bps for step in port.profile] == [100 * G]


def test_offers_to_a_reservation_count_its_own_holds_as_free() -> None:
    ledger = book(exchange())
    held(ledger.admit(prep(1, segment("one", "two", 60 * G), of="r")))
    pairs = (("net:one", "net:two"),)
    mine = ledger.offers(ReqOffers("q", WINDOW, pairs, 1, reservation_id="r"), 0)
    others = ledger.offers(ReqOffers("q", WINDOW, pairs, 1, reservation_id="x"), 0)
    assert least_bps(mine.offers[0].profile) == 100 * G
    assert least_bps(others.offers[0].profile) == 40 * G
    assert 100 in mine.ports[0].vlans
    assert 100 not in others.ports[0].vlans


class Liar:
    """A backend that claims more than there is."""

    def __init__(self, honest: Backend) -> None:
        self._honest = honest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)

    def place(self, segments: Any, window: Window, free: Any) -> Placement:
        from agents.backends.base import Claim

        claim = Claim(Resource("net:one", Direction.IN), 101 * G)
        return Placement((claim,), (), "[]")


def test_the_book_does_not_believe_its_backend() -> None:
    liar: Any = Liar(open_backend(exchange()))
    ledger = Book(liar)
    told = refused(ledger.admit(prep(1, segment("one", "two", 1))), RefusalKind.BANDWIDTH)
    assert told.resource == "net:one"
    assert ledger.is_empty()
