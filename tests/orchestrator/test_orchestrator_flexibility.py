"""How far a request may bend: each wrong way names its field, and what is possible."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode
from networks import G, diamond

from braid.v1 import common_pb2, reservations_pb2 as pb
from orchestrator.bounds import Bounds
from orchestrator.flexibility import check_accept_alone
from orchestrator.validation import check_criteria
from runtime.errors import RequestError
from substrate.model import Bend, Criteria

NOW_S = 1_800_000_000
HOUR_S = 3600
RATE_BPS = 10 * G
MOST_BYTES = RATE_BPS * HOUR_S // 8


def asked(bandwidth_bps: int = RATE_BPS, **flexibility: Any) -> pb.Reservation:
    return pb.Reservation(
        source="west:host",
        destination="east:host",
        bandwidth_bps=bandwidth_bps,
        window=common_pb2.Window(start_s=NOW_S, end_s=NOW_S + HOUR_S),
        flexibility=pb.Flexibility(**flexibility),
    )


def check(message: pb.Reservation) -> Criteria:
    return check_criteria(message, diamond(), NOW_S * 1000, Bounds())


@pytest.mark.parametrize(
    ("flexibility", "bend"),
    [
        ({}, None),
        ({"duration_s": HOUR_S}, None),
        ({"least_bandwidth_bps": RATE_BPS}, None),
        ({"duration_s": HOUR_S, "least_bandwidth_bps": RATE_BPS}, None),
        ({"duration_s": HOUR_S - 1}, Bend(duration_s=HOUR_S - 1)),
        ({"duration_s": 1, "least_bandwidth_bps": 1}, Bend(duration_s=1, least_bps=1)),
        ({"duration_s": HOUR_S, "least_bandwidth_bps": 1}, Bend(least_bps=1)),
        ({"volume_bytes": MOST_BYTES}, Bend(volume_bytes=MOST_BYTES)),
        ({"volume_bytes": 1, "max_phases": 64}, Bend(volume_bytes=1, max_phases=64)),
        ({"volume_bytes": 1, "soonest": True}, Bend(volume_bytes=1, soonest=True)),
    ],
)
def test_a_good_one_is_taken_as_far_as_it_bends(
    flexibility: dict[str, int], bend: Bend | None
) -> None:
    assert check(asked(**flexibility)).bend == bend


def test_a_volume_without_a_rate_goes_as_fast_as_the_ports() -> None:
    criteria = check(asked(0, volume_bytes=5))
    assert (criteria.bandwidth_bps, criteria.bend) == (1000 * G, Bend(volume_bytes=5))


@pytest.mark.parametrize(
    ("field", "given", "possible", "flexibility"),
    [
        ("duration_s", 0, f"1 to {HOUR_S}, the length of the window", {}),
        ("duration_s", -1, f"1 to {HOUR_S}", {}),
        ("duration_s", HOUR_S + 1, f"1 to {HOUR_S}", {}),
        ("least_bandwidth_bps", 0, f"1 to {RATE_BPS}, bandwidth_bps", {}),
        ("least_bandwidth_bps", RATE_BPS + 1, f"1 to {RATE_BPS}", {}),
        ("volume_bytes", 0, f"1 to {2**53}", {}),
        ("volume_bytes", -7, f"1 to {2**53}", {}),
        ("volume_bytes", 2**53 + 1, f"1 to {2**53}", {}),
        ("max_phases", 0, "1 to 64, phases", {"volume_bytes": 5}),
        ("max_phases", 65, "1 to 64", {"volume_bytes": 5}),
        ("max_phases", 4, "volume_bytes beside it", {}),
        ("max_phases", 4, "volume_bytes beside it", {"duration_s": 5}),
        ("soonest", True, "volume_bytes beside it", {"duration_s": 5}),
        ("duration_s", 5, "nothing with volume_bytes", {"volume_bytes": 5}),
        ("least_bandwidth_bps", 5, "nothing with volume_bytes", {"volume_bytes": 5}),
    ],
)
def test_a_wrong_one_names_the_field_what_was_given_and_what_is_possible(
    field: str, given: int, possible: str, flexibility: dict[str, Any]
) -> None:
    refused = refusal(asked(**{**flexibility, field: given}))
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert refused.field == f"flexibility.{field}"
    assert refused.given == str(given)
    assert refused.possible.startswith(possible)


def refusal(message: pb.Reservation) -> RequestError:
    with pytest.raises(RequestError) as caught:
        check(message)
    return caught.value


def test_a_volume_that_is_too_large_is_refused_with_the_arithmetic() -> None:
    refused = refusal(asked(volume_bytes=MOST_BYTES + 1))
    assert refused.field == "flexibility.volume_bytes"
    assert refused.possible == (
        f"at most {MOST_BYTES} bytes, which is {HOUR_S} s at {RATE_BPS} bit/s; "
        f"{MOST_BYTES + 1} bytes need {HOUR_S + 1} s at that rate"
    )


def test_equal_parts_do_not_bend() -> None:
    message = asked(duration_s=5)
    message.strategy = pb.STRATEGY_EQUAL_SPLITTING
    refused = refusal(message)
    assert (refused.field, refused.given) == ("strategy", "'EQUAL_SPLITTING'")
    message.ClearField("flexibility")
    assert check(message).bend is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", "west:host"),
        ("destination", "east:host"),
        ("bandwidth_bps", 5),
        ("window", common_pb2.Window(start_s=1)),
        ("strategy", pb.STRATEGY_SINGLE_PATH),
        ("directionality", common_pb2.DIRECTIONALITY_UNIDIRECTIONAL),
        ("constraints", pb.Constraints(max_paths=1)),
        ("flexibility", pb.Flexibility(duration_s=1)),
    ],
)
def test_who_takes_an_alternative_asks_for_nothing_else(field: str, value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        check_accept_alone(pb.Reservation(request_id="r", accept="t", **{field: value}))
    assert caught.value.code is StatusCode.INVALID_ARGUMENT
    assert (caught.value.field, caught.value.possible) == (field, "nothing beside accept")


def test_who_takes_an_alternative_may_name_it_and_say_how_long_to_try() -> None:
    check_accept_alone(
        pb.Reservation(
            request_id="r", accept="t", description="d", negotiation_timeout_s=5, detach=True
        )
    )
