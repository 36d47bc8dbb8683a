"""Wrong requests: each gets its code, and a message that names the field and what is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from grpc import StatusCode
from networks import G, diamond

from braid.v1 import common_pb2, reservations_pb2 as pb
from orchestrator.bounds import Bounds
from orchestrator.records import Reservation, State
from orchestrator.validation import check_change, check_order, digest
from runtime.errors import RequestError
from substrate.model import Criteria, Directionality, Strategy, Window

NOW_S = 1_800_000_000
NOW_MS = NOW_S * 1000
DAY = 86_400
TOPOLOGY = diamond()

Edit = Callable[[pb.Reservation], Any]


def good() -> pb.Reservation:
    return pb.Reservation(
        request_id="r-1",
        source="west:host",
        destination="east:host",
        bandwidth_bps=10 * G,
        window=common_pb2.Window(start_s=NOW_S + 60, end_s=NOW_S + 3660),
    )


def check(message: pb.Reservation) -> Any:
    return check_order(message, TOPOLOGY, NOW_MS, Bounds())


def put(field: str, value: Any) -> Edit:
    """Sets a field, given by its path."""

    def edit(message: pb.Reservation) -> None:
        *parents, last = field.split(".")
        target: Any = message
        for name in parents:
            target = getattr(target, name)
        if isinstance(value, list):
            getattr(target, last).extend(value)
        else:
            setattr(target, last, value)

    return edit


def vlan_range(first: int, last: int) -> common_pb2.VlanRange:
    return common_pb2.VlanRange(first=first, last=last)


INVALID: list[tuple[str, Edit]] = [
    ("request_id", put("request_id", "")),
    ("request_id", put("request_id", "x" * 129)),
    ("request_id", put("request_id", "a/b")),
    ("request_id", put("request_id", "a..b")),
    ("request_id", put("request_id", "a\u200bb")),
    ("request_id", put("request_id", "\u0430bc")),
    ("request_id", put("request_id", "a\nb")),
    ("request_id", put("request_id", "a b")),
    ("source", put("source", "")),
    ("source", put("source", "west")),
    ("source", put("source", "we/st:host")),
    ("source", put("source", "west:../host")),
    ("source", put("source", "w\u0435st:host")),
    ("destination", put("destination", "west:host")),
    ("bandwidth_bps", put("bandwidth_bps", 0)),
    ("bandwidth_bps", put("bandwidth_bps", -1)),
    ("window", lambda m: m.ClearField("window")),
    ("window.end_s", put("window.end_s", NOW_S + 60)),
    ("window.end_s", put("window.end_s", NOW_S + 59)),
    ("window.end_s", put("window.end_s", -5)),
    ("window.start_s", put("window.start_s", NOW_S - 3600)),
    ("window.start_s", put("window.start_s", -1)),
    ("directionality", put("directionality", 9)),
    ("strategy", put("strategy", 77)),
    ("description", put("description", "x" * 257)),
    ("description", put("description", "bell\x07")),
    ("negotiation_timeout_s", put("negotiation_timeout_s", 0)),
    ("negotiation_timeout_s", put("negotiation_timeout_s", 601)),
    ("constraints.max_paths", put("constraints.max_paths", 0)),
    ("constraints.max_paths", put("constraints.max_paths", 17)),
    ("constraints.min_share_bps", put("constraints.min_share_bps", 0)),
    ("constraints.min_share_bps", put("constraints.min_share_bps", -4)),
    ("constraints.max_latency_us", put("constraints.max_latency_us", 0)),
    ("constraints.max_latency_spread_us", put("constraints.max_latency_spread_us", -1)),
    ("constraints.max_domains", put("constraints.max_domains", 0)),
    ("constraints.max_domains", put("constraints.max_domains", 129)),
    ("constraints.via_domains", put("constraints.via_domains", ["m1", "m1"])),
    ("constraints.via_domains", put("constraints.via_domains", ["m1\u200b"])),
    ("constraints.avoid_domains", put("constraints.avoid_domains", ["west"])),
    ("constraints.source_vlans", put("constraints.source_vlans", [vlan_range(0, 5)])),
    ("constraints.source_vlans", put("constraints.source_vlans", [vlan_range(9, 5)])),
    ("constraints.destination_vlans", put("constraints.destination_vlans", [vlan_range(1, 4095)])),
    ("constraints.ero[0]", put("constraints.ero", ["nonsense"])),
]

OUT_OF_RANGE: list[tuple[str, Edit]] = [
    ("bandwidth_bps", put("bandwidth_bps", 1001 * G)),
    ("bandwidth_bps", put("bandwidth_bps", 2**62)),
    ("window.end_s", put("window.end_s", NOW_S + 60 + 367 * DAY)),
    (
        "window.end_s",
        lambda m: m.window.CopyFrom(
            common_pb2.Window(start_s=NOW_S + 800 * DAY, end_s=NOW_S + 801 * DAY)
        ),
    ),
    (
        "window.end_s",
        lambda m: m.window.CopyFrom(common_pb2.Window(start_s=2**62, end_s=2**62 + 10)),
    ),
]

NOT_FOUND: list[tuple[str, Edit]] = [
    ("source", put("source", "west:nowhere")),
    ("source", put("source", "atlantis:host")),
    ("destination", put("destination", "urn:ogf:network:example.net:2020:port")),
    ("constraints.via_domains", put("constraints.via_domains", ["m9"])),
    ("constraints.ero[0]", put("constraints.ero", ["m1:elsewhere"])),
]


@pytest.mark.parametrize(("field", "edit"), INVALID)
def test_a_wrong_request_is_an_invalid_argument_that_names_its_field(
    field: str, edit: Edit
) -> None:
    refused(StatusCode.INVALID_ARGUMENT, field, edit)


@pytest.mark.parametrize(("field", "edit"), OUT_OF_RANGE)
def test_a_request_beyond_what_exists_is_out_of_range(field: str, edit: Edit) -> None:
    refused(StatusCode.OUT_OF_RANGE, field, edit)


@pytest.mark.parametrize(("field", "edit"), NOT_FOUND)
def test_an_unknown_name_is_not_found(field: str, edit: Edit) -> None:
    refused(StatusCode.NOT_FOUND, field, edit)


def refused(code: StatusCode, field: str, edit: Edit) -> None:
    message = good()
    edit(message)
    with pytest.raises(RequestError) as caught:
        check(message)
    assert caught.value.code is code
    assert caught.value.field == field
    assert field in str(caught.value)
    assert "possible" in str(caught.value)


def test_what_is_not_said_gets_its_default() -> None:
    order = check(good())
    assert order.timeout_s == 30
    assert order.criteria == Criteria(
        source="west:host",
        destination="east:host",
        bandwidth_bps=10 * G,
        window=Window(NOW_S + 60, NOW_S + 3660),
        directionality=Directionality.BIDIRECTIONAL,
        strategy=Strategy.AUTO,
    )


def test_a_start_just_past_counts_as_now() -> None:
    message = good()
    message.window.start_s = NOW_S - 5
    assert check(message).criteria.window.start_s == NOW_S - 5


def test_the_message_tells_what_was_given_and_what_is_possible() -> None:
    message = good()
    message.bandwidth_bps = 1001 * G
    with pytest.raises(RequestError, match=r"1001000000000.*1000000000000 bit/s.*west:host"):
        check(message)


def test_detach_is_not_part_of_the_body_but_all_else_is() -> None:
    first, second = good(), good()
    second.detach = True
    assert digest(first) == digest(second)
    second.bandwidth_bps += 1
    assert digest(first) != digest(second)


def standing() -> Reservation:
    criteria = check(good()).criteria
    return Reservation("res-1", "r-1", criteria, "tx-1", NOW_MS, NOW_MS, state=State.COMMITTED)


def change(**fields: Any) -> Any:
    message = pb.ModifyRequest(request_id="c-1", reservation_id="res-1", **fields)
    return check_change(message, standing(), TOPOLOGY, NOW_MS, Bounds())


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({}, StatusCode.INVALID_ARGUMENT, "bandwidth_bps"),
        ({"bandwidth_bps": 0}, StatusCode.INVALID_ARGUMENT, "bandwidth_bps"),
        ({"bandwidth_bps": -1}, StatusCode.INVALID_ARGUMENT, "bandwidth_bps"),
        ({"bandwidth_bps": 50_000 * G}, StatusCode.OUT_OF_RANGE, "bandwidth_bps"),
        ({"end_s": NOW_S}, StatusCode.INVALID_ARGUMENT, "end_s"),
        ({"end_s": NOW_S + 60}, StatusCode.INVALID_ARGUMENT, "end_s"),
        ({"end_s": NOW_S + 400 * DAY}, StatusCode.OUT_OF_RANGE, "end_s"),
        ({"end_s": NOW_S + 99, "negotiation_timeout_s": 0}, StatusCode.INVALID_ARGUMENT,
         "negotiation_timeout_s"),
    ],
)  # fmt: skip
def test_a_wrong_modify_names_its_field(
    fields: dict[str, Any], code: StatusCode, field: str
) -> None:
    with pytest.raises(RequestError) as caught:
        change(**fields)
    assert (caught.value.code, caught.value.field) == (code, field)


def test_a_modify_keeps_what_it_does_not_name() -> None:
    order = change(end_s=NOW_S + 7200)
    assert order.criteria.bandwidth_bps == 10 * G
    assert order.criteria.window == Window(NOW_S + 60, NOW_S + 7200)


def test_constraints_of_which_nothing_is_given_are_those_that_say_the_usual() -> None:
    bare, usual = good(), good()
    bare.ClearField("constraints")
    usual.ClearField("constraints")
    usual.constraints.max_paths = 4
    found = [check_order(each, TOPOLOGY, NOW_MS, Bounds()).criteria for each in (bare, usual)]
    assert found[0] == found[1]
