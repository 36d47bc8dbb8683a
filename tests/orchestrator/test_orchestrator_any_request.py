"""Whatever a client sends is an order, or refused with a status that helps; nothing breaks."""

from __future__ import annotations

from typing import Any

from grpc import StatusCode
from hypothesis import given, strategies as st
from networks import G, diamond

from braid.v1 import common_pb2, reservations_pb2 as pb
from orchestrator.bounds import Bounds
from orchestrator.records import Reservation
from orchestrator.service import Order
from orchestrator.validation import (
    BANDWIDTH_MAX_BPS,
    LIST_MAX,
    check_change,
    check_order,
    digest,
)
from runtime.errors import RequestError, status_of
from substrate.model import Criteria, Window

TOPOLOGY = diamond(middle=2)
NOW_MS = 1_900_000_000_000
NOW_S = NOW_MS // 1000
BOUNDS = Bounds()
CODES = {StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND, StatusCode.OUT_OF_RANGE}

INT64 = st.integers(-(2**63), 2**63 - 1)
UINT32 = st.integers(0, 2**32 - 1)
ENUM = st.integers(-(2**31), 2**31 - 1) | st.integers(0, 8)
TIME_S = st.integers(NOW_S - 100, NOW_S + 10_000) | INT64
NAMES = st.sampled_from(["west", "east", "m1", "m2", "nowhere", "..", ""]) | st.text(max_size=20)
STPS = st.sampled_from(["west:host", "east:host", "m1:west", "west:m1", "x:y"]) | st.text(
    max_size=20
)
IDS = st.sampled_from(["r-1", "a..b", ""]) | st.text(max_size=130)
RANGES = st.builds(common_pb2.VlanRange, first=UINT32, last=UINT32) | st.builds(
    common_pb2.VlanRange, first=st.integers(100, 150), last=st.integers(100, 199)
)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any choice of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


CONSTRAINTS = optional(
    max_paths=UINT32 | st.integers(0, 17),
    min_share_bps=INT64,
    max_latency_us=INT64,
    max_latency_spread_us=INT64,
    max_domains=UINT32 | st.integers(0, 10),
    via_domains=st.lists(NAMES, max_size=3),
    avoid_domains=st.lists(NAMES, max_size=3),
    ero=st.lists(STPS, max_size=3),
    source_vlans=st.lists(RANGES, max_size=3),
    destination_vlans=st.lists(RANGES, max_size=3),
    survive=UINT32 | st.integers(0, 4),
    remaining_bps=INT64 | st.integers(1, 10**12),
    disjoint=ENUM,
).map(lambda fields: pb.Constraints(**fields))

FLEXIBILITY = optional(
    duration_s=INT64 | st.integers(1, 10_000),
    least_bandwidth_bps=INT64 | st.integers(1, 10**12),
    volume_bytes=INT64 | st.integers(1, 10**12),
    max_phases=UINT32 | st.integers(0, 65),
).map(lambda fields: pb.Flexibility(**fields))

REQUESTS = optional(
    request_id=IDS,
    source=STPS,
    destination=STPS,
    more_destinations=st.lists(STPS, max_size=3),
    bandwidth_bps=INT64 | st.integers(1, 10**12),
    window=st.builds(common_pb2.Window, start_s=TIME_S, end_s=TIME_S),
    directionality=ENUM,
    strategy=ENUM,
    constraints=CONSTRAINTS,
    description=st.text(max_size=300),
    negotiation_timeout_s=UINT32 | st.integers(0, 601),
    flexibility=FLEXIBILITY,
).map(lambda fields: pb.Reservation(**fields))

CHANGES = optional(
    request_id=IDS,
    reservation_id=IDS,
    bandwidth_bps=INT64 | st.integers(1, 10**12),
    end_s=TIME_S,
    negotiation_timeout_s=UINT32 | st.integers(0, 601),
    constraints=CONSTRAINTS,
    switch_s=TIME_S,
).map(lambda fields: pb.ModifyRequest(**fields))


def good(**fields: Any) -> pb.Reservation:
    """A request that is an order; ``fields`` replace what it is made of."""
    values: dict[str, Any] = {
        "request_id": "r-1",
        "source": "west:host",
        "destination": "east:host",
        "bandwidth_bps": G,
        "window": common_pb2.Window(start_s=NOW_S + 60, end_s=NOW_S + 3660),
        **fields,
    }
    return pb.Reservation(**values)


def has_field(message: Any, path: str) -> bool:
    """Whether a path such as "constraints.ero[1]" leads to a field of the message."""
    descriptor = message.DESCRIPTOR
    for name in path.split("."):
        field = descriptor.fields_by_name.get(name.partition("[")[0])
        if field is None:
            return False
        descriptor = field.message_type
    return True


def helpful(error: RequestError, request: Any) -> None:
    """It names a field of the request, what was given and what is possible, and can be sent."""
    assert error.code in CODES
    assert has_field(request, error.field), error.field
    assert error.given
    assert error.possible
    status = status_of(error)
    assert status is not None
    assert len(status.SerializeToString()) < 8192


@given(REQUESTS)
def test_any_reserve_is_an_order_within_bounds_or_a_helpful_error(request: pb.Reservation) -> None:
    try:
        order = check_order(request, TOPOLOGY, NOW_MS, BOUNDS)
    except RequestError as error:
        helpful(error, request)
        return
    criteria = order.criteria
    assert 0 < criteria.bandwidth_bps <= BANDWIDTH_MAX_BPS
    assert criteria.window.start_s >= NOW_S - BOUNDS.late_start_s
    assert NOW_S < criteria.window.end_s <= NOW_S + BOUNDS.horizon_s
    ends = [criteria.source, *criteria.destinations]
    assert len(set(ends)) == len(ends)
    assert set(ends) <= {port.stp for domain in TOPOLOGY.domains.values() for port in domain.ports}
    assert 1 <= order.timeout_s <= 600
    assert not set(criteria.constraints.via_domains) & set(criteria.constraints.avoid_domains)


def checked(request: pb.Reservation) -> Order | RequestError:
    """What becomes of a request."""
    try:
        return check_order(request, TOPOLOGY, NOW_MS, BOUNDS)
    except RequestError as error:
        return error


@given(REQUESTS)
def test_what_replaces_one_thing_of_a_good_request_is_found_out_if_it_is_wrong(
    other: pb.Reservation,
) -> None:
    for field, value in other.ListFields():
        request = good()
        request.ClearField(field.name)  # type: ignore[arg-type]
        request.MergeFrom(pb.Reservation(**{field.name: value}))
        found = checked(request)
        if isinstance(found, Order):
            assert found.digest == digest(request)
            continue
        helpful(found, request)
        wrong = {field.name}
        if field.name in ("source", "destination"):
            # It may be the other end, and a smaller port.
            wrong = {"source", "destination", "bandwidth_bps"}
        assert found.field.partition(".")[0].partition("[")[0] in wrong


@given(CHANGES)
def test_any_modify_is_an_order_or_a_helpful_error(request: pb.ModifyRequest) -> None:
    criteria = Criteria("west:host", "east:host", G, Window(NOW_S - 100, NOW_S + 100))
    record = Reservation("res", "r-1", criteria, "tx", NOW_MS, NOW_MS)
    try:
        order = check_change(request, record, TOPOLOGY, NOW_MS, BOUNDS)
    except RequestError as error:
        helpful(error, request)
        return
    assert order.criteria.window.start_s == criteria.window.start_s
    assert order.criteria.window.end_s > NOW_S
    assert (order.criteria.source, order.criteria.destination) == ("west:host", "east:host")
    if not request.HasField("end_s"):
        assert order.criteria.window == criteria.window
    if not request.HasField("bandwidth_bps"):
        assert order.criteria.bandwidth_bps == G


@given(REQUESTS, REQUESTS)
def test_two_bodies_have_one_digest_only_if_they_are_the_same(
    one: pb.Reservation, two: pb.Reservation
) -> None:
    assert (digest(one) == digest(two)) is (one == two)
    again = pb.Reservation()
    again.CopyFrom(one)
    again.detach = not one.detach
    assert digest(again) == digest(one)


@given(st.lists(NAMES, min_size=LIST_MAX + 1, max_size=LIST_MAX + 3))
def test_lists_that_are_too_long_are_refused_before_they_are_read(names: list[str]) -> None:
    for field in ("via_domains", "avoid_domains", "ero"):
        fields: dict[str, Any] = {field: names}
        error = checked(good(constraints=pb.Constraints(**fields)))
        assert isinstance(error, RequestError)
        assert (error.code, error.field) == (StatusCode.INVALID_ARGUMENT, f"constraints.{field}")
        assert error.given == repr(f"{len(names)} entries")


@given(st.integers(1000 * G + 1, 10**15), st.integers(1, 1000 * G))
def test_what_a_port_cannot_carry_names_the_port_and_its_capacity(bps: int, less: int) -> None:
    assert isinstance(checked(good(bandwidth_bps=less)), Order)
    error = checked(good(bandwidth_bps=bps))
    assert isinstance(error, RequestError)
    assert (error.code, error.field) == (StatusCode.OUT_OF_RANGE, "bandwidth_bps")
    assert error.possible == f"at most {1000 * G} bit/s, the capacity of west:host"
    assert error.given == str(bps)
