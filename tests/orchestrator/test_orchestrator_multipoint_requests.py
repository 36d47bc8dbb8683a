"""Wrong requests with several destinations: each names its field and what is possible."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode
from networks import G, domain, port

from braid.v1 import common_pb2, reservations_pb2 as pb
from orchestrator.bounds import Bounds
from orchestrator.records import Reservation, State
from orchestrator.service import Order
from orchestrator.validation import MORE_DESTINATIONS_MAX, check_change, check_order
from runtime.errors import RequestError
from substrate.model import Port
from substrate.topology import Topology

NOW_S = 1_800_000_000
NOW_MS = NOW_S * 1000
HOSTS = [f"hosts:h{i}" for i in range(20)]
ALIAS = "urn:ogf:network:example.net:2020:h1"
TOPOLOGY = Topology(
    [
        domain(
            "hub", [port("hub:host", bps=100 * G), port("hub:hosts", "hosts:hub")], exchange=True
        ),
        domain(
            "hosts",
            [
                port("hosts:hub", "hub:hosts"),
                *(port(stp, bps=(10 if stp == "hosts:h3" else 100) * G) for stp in HOSTS),
            ],
            exchange=True,
        ),
        domain(
            "named",
            [Port("named:h1", 100 * G, port("x").vlans, aliases=(ALIAS,))],
        ),
    ]
)


def asked(*more: str, gbps: int = 10, **fields: Any) -> pb.Reservation:
    values: dict[str, Any] = {
        "request_id": "r-1",
        "source": "hub:host",
        "destination": HOSTS[0],
        "more_destinations": more,
        "bandwidth_bps": gbps * G,
        "window": common_pb2.Window(start_s=NOW_S + 60, end_s=NOW_S + 3660),
        **fields,
    }
    return pb.Reservation(**values)


def check(message: pb.Reservation) -> Order:
    return check_order(message, TOPOLOGY, NOW_MS, Bounds())


@pytest.mark.parametrize(
    ("message", "code", "field", "possible"),
    [
        (asked(HOSTS[1], HOSTS[0]), StatusCode.INVALID_ARGUMENT, "more_destinations[1]",
         "other than the source and all other destinations"),
        (asked(HOSTS[1], HOSTS[2], HOSTS[1]), StatusCode.INVALID_ARGUMENT,
         "more_destinations[2]", "all other destinations"),
        (asked("hub:host"), StatusCode.INVALID_ARGUMENT, "more_destinations[0]",
         "other than the source"),
        (asked("named:h1", ALIAS), StatusCode.INVALID_ARGUMENT, "more_destinations[1]",
         "all other destinations"),
        (asked(HOSTS[1], "nonsense"), StatusCode.INVALID_ARGUMENT, "more_destinations[1]",
         "an STP written domain:port"),
        (asked(HOSTS[1], "hosts:h99"), StatusCode.NOT_FOUND, "more_destinations[1]",
         "one of hosts:h0"),
        (asked(*HOSTS[1:17]), StatusCode.INVALID_ARGUMENT, "more_destinations", "at most 15"),
        (asked(HOSTS[1], gbps=51), StatusCode.OUT_OF_RANGE, "bandwidth_bps",
         f"at most {50 * G} bit/s to each of 2 destinations, which share the {100 * G} bit/s of "
         "hub:host"),
        (asked(HOSTS[1], HOSTS[3], gbps=11), StatusCode.OUT_OF_RANGE, "bandwidth_bps",
         f"at most {10 * G} bit/s, the capacity of hosts:h3"),
        (asked(HOSTS[1], constraints=pb.Constraints(ero=["hub:hosts"])),
         StatusCode.INVALID_ARGUMENT, "constraints.ero", "nothing together with more_destinations"),
        (asked("named:h1", constraints=pb.Constraints(avoid_domains=["named"])),
         StatusCode.INVALID_ARGUMENT, "constraints.avoid_domains", "does not need"),
        (asked(HOSTS[1], bandwidth_bps=0, flexibility=pb.Flexibility(volume_bytes=10**9)),
         StatusCode.INVALID_ARGUMENT, "flexibility.volume_bytes",
         "nothing together with more_destinations"),
    ],
)  # fmt: skip
def test_a_wrong_request_names_its_field(
    message: pb.Reservation, code: StatusCode, field: str, possible: str
) -> None:
    with pytest.raises(RequestError) as caught:
        check(message)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert possible in caught.value.possible


def test_as_many_as_may_be_are_taken_in_their_order() -> None:
    more = HOSTS[4 : 4 + MORE_DESTINATIONS_MAX]
    criteria = check(asked(*more, gbps=6)).criteria
    assert criteria.destinations == (HOSTS[0], *more)
    assert criteria.bandwidth_bps == 6 * G


def test_an_alias_stands_for_its_port() -> None:
    assert check(asked(ALIAS)).criteria.more_destinations == ("named:h1",)


def test_a_modify_is_checked_against_all_destinations() -> None:
    criteria = check(asked(HOSTS[1], "named:h1")).criteria
    record = Reservation("res", "r-1", criteria, "tx", NOW_MS, NOW_MS, state=State.COMMITTED)

    def change(**fields: Any) -> Order:
        message = pb.ModifyRequest(request_id="c-1", reservation_id="res", **fields)
        return check_change(message, record, TOPOLOGY, NOW_MS, Bounds())

    assert change(bandwidth_bps=33 * G).criteria.destinations == criteria.destinations
    for fields, field in (
        ({"bandwidth_bps": 34 * G}, "bandwidth_bps"),
        ({"constraints": pb.Constraints(avoid_domains=["named"])}, "constraints.avoid_domains"),
        ({"constraints": pb.Constraints(ero=["hub:hosts"])}, "constraints.ero"),
    ):
        with pytest.raises(RequestError) as caught:
            change(**fields)
        assert caught.value.field == field
