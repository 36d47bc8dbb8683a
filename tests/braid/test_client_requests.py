"""The client's requests, its errors, and what it needs to be imported."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import grpc
import pytest

from braid import errors, requests, retries
from braid.v1 import common_pb2, reservations_pb2 as pb
from runtime.errors import RequestError, status_of

FULL = grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_reservation_from_human_words() -> None:
    before = int(time.time())
    message = requests.reservation(
        "a:x", "b:y", "2.5G", start="+1h", duration="90m", strategy="partial_offers",
        min_share="1G", max_latency="50ms", source_vlans="10-20", via=["c"], unidirectional=True,
    )  # fmt: skip
    assert message.bandwidth_bps == 2_500_000_000
    assert before + 3600 <= message.window.start_s <= before + 3605
    assert message.window.end_s - message.window.start_s == 5400
    assert message.strategy == pb.STRATEGY_PARTIAL_OFFERS
    assert message.constraints.min_share_bps == 10**9
    assert message.constraints.max_latency_us == 50_000
    assert message.constraints.source_vlans == [common_pb2.VlanRange(first=10, last=20)]
    assert not message.constraints.HasField("max_paths")
    assert message.directionality == common_pb2.DIRECTIONALITY_UNIDIRECTIONAL
    assert message.request_id


def test_each_reservation_gets_an_id_of_its_own() -> None:
    ids = {requests.reservation("a:x", "b:y", 1, duration=1).request_id for _ in range(10)}
    assert len(ids) == 10


@pytest.mark.parametrize(
    ("wishes", "word"),
    [
        ({}, "either"),
        ({"end": "+1h", "duration": "1h"}, "either"),
        ({"duration": "1h", "strategy": "hope"}, "possible: auto"),
        ({"duration": "soon"}, "duration"),
        ({"duration": "1h", "start": "soon"}, "time"),
    ],
)
def test_a_wrong_word_is_a_value_error(wishes: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        requests.reservation("a:x", "b:y", "1G", **wishes)


def test_a_modify_says_only_what_changes() -> None:
    message = requests.modify("r", bandwidth="1G")
    assert message.HasField("bandwidth_bps")
    assert not message.HasField("end_s")


def test_listing_knows_the_states() -> None:
    assert requests.listing(["committed"]).states == [pb.RESERVATION_STATE_COMMITTED]
    with pytest.raises(ValueError, match="possible: negotiating"):
        requests.listing(["unspecified"])


def test_listing_knows_both_kinds() -> None:
    assert not requests.listing().kind
    assert requests.listing(kind="cloudnet").kind == pb.RESERVATION_KIND_CLOUDNET
    with pytest.raises(ValueError, match="possible: circuit, cloudnet"):
        requests.listing(kind="tunnel")


class Failed(grpc.RpcError):
    def __init__(
        self, code: grpc.StatusCode, details: str | None = "why", status: bytes | None = None
    ) -> None:
        self._code, self._details, self._status = code, details, status

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._details

    def trailing_metadata(self) -> Any:
        details = (("grpc-status-details-bin", self._status),) if self._status is not None else ()
        return (("else", "x"), *details)


def told_to_wait(delay_s: float, code: grpc.StatusCode = FULL) -> Failed:
    """As a server of Braid fails a call for which it has no room."""
    error = RequestError(code, "negotiations", 11, "10 at once", delay_s)
    status = status_of(error)
    assert status is not None
    return Failed(code, status.message, status.SerializeToString())


def test_a_full_server_is_asked_again_when_it_says_and_not_for_ever() -> None:
    for attempt in range(1, retries.ATTEMPTS):
        assert 2.5 <= retries.pause_before(attempt, told_to_wait(2.5)) <= 2.5 * 1.5
    spread = {retries.pause_before(1, told_to_wait(2.5)) for _ in range(20)}
    assert len(spread) > 1
    with pytest.raises(errors.Refused, match="10 at once") as caught:
        retries.pause_before(retries.ATTEMPTS, told_to_wait(2.5))
    assert caught.value.retry_after_s == 2.5


def test_a_delay_that_is_too_long_is_left_to_the_caller() -> None:
    with pytest.raises(errors.Refused) as caught:
        retries.pause_before(1, told_to_wait(3600))
    assert caught.value.retry_after_s == 3600


def test_a_delay_counts_also_for_what_is_repeated_anyway_and_for_nothing_else() -> None:
    lost = told_to_wait(7, grpc.StatusCode.UNAVAILABLE)
    assert retries.pause_before(1, lost) >= 7
    with pytest.raises(errors.Conflict):
        retries.pause_before(1, told_to_wait(7, grpc.StatusCode.FAILED_PRECONDITION))


def test_a_token_that_is_of_no_use_any_more_is_answered_with_fresh_alternatives() -> None:
    fresh = pb.PlanResponse(alternatives=[pb.Alternative(token="t2")])
    code = grpc.StatusCode.FAILED_PRECONDITION
    status = status_of(RequestError(code, "accept", "t1", "a fresh alternative", more=(fresh,)))
    assert status is not None
    for error in (
        errors.error_of(Failed(code, status.message, status.SerializeToString())),
        errors.error_of_status(status.SerializeToString()),
    ):
        assert isinstance(error, errors.Conflict)
        assert error.instead == fresh
        assert [each.token for each in error.alternatives] == ["t2"]
    assert list(errors.error_of(Failed(code, "why")).alternatives) == []


@pytest.mark.parametrize("status", [None, b"", b"\xff\xff", b"\x1a\x02\x08"])
def test_without_a_delay_a_full_server_is_not_asked_again(status: bytes | None) -> None:
    with pytest.raises(errors.Refused) as caught:
        retries.pause_before(1, Failed(FULL, "too large", status))
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_status_is_a_braid_error_with_its_text(code: grpc.StatusCode) -> None:
    error = errors.error_of(Failed(code))
    assert isinstance(error, errors.BraidError)
    assert error.code is code
    assert str(error) == "why"


def test_kinds_of_errors() -> None:
    kinds = {
        grpc.StatusCode.OUT_OF_RANGE: errors.InvalidRequest,
        grpc.StatusCode.NOT_FOUND: errors.NotFound,
        grpc.StatusCode.FAILED_PRECONDITION: errors.Conflict,
        grpc.StatusCode.UNAVAILABLE: errors.Unreachable,
        grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlinePassed,
        grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Refused,
    }
    for code, kind in kinds.items():
        assert type(errors.error_of(Failed(code))) is kind
    assert str(errors.error_of(Failed(grpc.StatusCode.ABORTED, None))) == "ABORTED"


def test_a_lost_connection_is_tried_again_but_not_for_ever() -> None:
    lost = Failed(grpc.StatusCode.UNAVAILABLE)
    pauses = [retries.pause_before(attempt, lost) for attempt in range(1, retries.ATTEMPTS)]
    assert pauses == sorted(pauses)
    with pytest.raises(errors.Unreachable):
        retries.pause_before(retries.ATTEMPTS, lost)
    with pytest.raises(errors.NotFound):
        retries.pause_before(1, Failed(grpc.StatusCode.NOT_FOUND))


def record(state: Any, **fields: Any) -> pb.ReservationRecord:
    return pb.ReservationRecord(state=state, **fields)


def test_a_refused_circuit_says_why() -> None:
    refusals = [common_pb2.Refusal(reason="too much")]
    with pytest.raises(errors.CircuitRefused, match="FAILED: too much") as caught:
        requests.circuit_of(record(pb.RESERVATION_STATE_FAILED, refusals=refusals))
    assert caught.value.refusals[0].reason == "too much"


def test_a_circuit_is_active_when_its_data_plane_is() -> None:
    committed = pb.RESERVATION_STATE_COMMITTED
    active = record(committed, data_plane=common_pb2.DATA_PLANE_STATE_ACTIVE)
    assert requests.is_active(active)
    assert not requests.is_active(record(committed))
    with pytest.raises(errors.CircuitRefused):
        requests.is_active(record(committed, data_plane=common_pb2.DATA_PLANE_STATE_FAILED))
    with pytest.raises(errors.CircuitRefused):
        requests.is_active(record(pb.RESERVATION_STATE_CANCELLED))


def test_importing_the_client_needs_only_grpcio_and_protobuf() -> None:
    code = (
        "import sys\n"
        "import braid.client, braid.units\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "foreign = loaded - set(sys.stdlib_module_names)\n"
        "import json\n"
        "print(json.dumps(sorted(name for name in foreign if not name.startswith('_'))))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    # grpc itself looks for its own companions (grpc_health and so on) and takes them along.
    allowed = {"braid", "google", "typing_extensions", "sitecustomize", "cython_runtime"}
    names = json.loads(found.stdout)
    assert {name for name in names if not name.startswith("grpc")} <= allowed
