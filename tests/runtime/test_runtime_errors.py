"""What callers are told of errors."""

from __future__ import annotations

import re

from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from hypothesis import given, strategies as st

from runtime.database import StorageBusyError, StorageError
from runtime.errors import RequestError, full, hidden, invalid, request_error_of, status_of


def test_the_text_names_the_field_what_was_given_and_what_is_possible() -> None:
    error = invalid("constraints.max_paths", 0, "1 to 16")
    assert str(error) == "constraints.max_paths: given 0, possible: 1 to 16"
    assert str(invalid("source", "", "an STP")) == "source: given '', possible: an STP"


def test_a_long_value_is_cut() -> None:
    text = str(invalid("description", "x" * 5000, "256 characters"))
    assert len(text) < 300
    assert text.endswith("…, possible: 256 characters")


def test_a_wrong_field_travels_as_bad_request_and_error_info() -> None:
    status = status_of(RequestError(StatusCode.OUT_OF_RANGE, "window.end_s", 9, "at most 8"))
    assert status is not None
    violation = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(violation)
    assert violation.field_violations[0].field == "window.end_s"
    info = error_details_pb2.ErrorInfo()
    assert status.details[1].Unpack(info)
    assert (info.reason, info.domain) == ("OUT_OF_RANGE", "braid")
    assert dict(info.metadata) == {"field": "window.end_s", "given": "9", "possible": "at most 8"}


def test_a_fact_travels_as_error_info_alone() -> None:
    status = status_of(RequestError(StatusCode.NOT_FOUND, "reservation_id", "r", "one of List's"))
    assert status is not None
    assert status.code == StatusCode.NOT_FOUND.value[0]
    assert [detail.TypeName() for detail in status.details] == ["google.rpc.ErrorInfo"]


def test_storage_errors_have_codes_and_hide_their_text() -> None:
    full = status_of(StorageError("disk full at /var/secret"))
    busy = status_of(StorageBusyError("database writes", 10_000))
    assert full is not None
    assert busy is not None
    assert full.code == StatusCode.UNAVAILABLE.value[0]
    assert "secret" not in full.message
    assert busy.code == StatusCode.RESOURCE_EXHAUSTED.value[0]


def retry_delay_ms(status: status_pb2.Status | None) -> int | None:
    """What google.rpc.RetryInfo says; None when there is none."""
    assert status is not None
    info = error_details_pb2.RetryInfo()
    return next((info.retry_delay.ToMilliseconds() for d in status.details if d.Unpack(info)), None)


def test_what_is_full_is_told_with_its_limit_and_when_to_ask_again() -> None:
    for error, text, delay_ms in (
        (full("negotiations", 1000), "negotiations: given 1001, possible: 1000 at once", 1000),
        (full("streams in progress", 7, 2.5), "possible: 7 at once", 2500),
        (StorageBusyError("database writes", 9), "database writes: .* 9 at once", 1000),
    ):
        status = status_of(error)
        assert status is not None
        assert status.code == StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert re.search(text, status.message)
        assert retry_delay_ms(status) == delay_ms
        assert status.details[0].TypeName() == "google.rpc.ErrorInfo"


def test_what_is_not_a_matter_of_time_has_no_retry_delay() -> None:
    large = RequestError(StatusCode.RESOURCE_EXHAUSTED, "document", "9 MB", "at most 4 MB")
    assert retry_delay_ms(status_of(large)) is None
    assert retry_delay_ms(status_of(invalid("source", "", "an STP"))) is None


def test_a_bug_is_told_by_reference_only() -> None:
    assert status_of(KeyError("password")) is None
    status = hidden("abc123")
    assert status.code == StatusCode.INTERNAL.value[0]
    assert "reference abc123" in status.message


FIELDS = st.text(max_size=50)
GIVEN = st.one_of(st.text(max_size=400), st.integers(), st.none())


@given(
    st.sampled_from([code for code in StatusCode if code is not StatusCode.OK]),
    FIELDS,
    GIVEN,
    st.text(max_size=1200),
    st.none() | st.integers(0, 10**6).map(lambda ms: ms / 1000),
)
def test_an_error_that_is_passed_on_says_the_same_again(
    code: StatusCode, field: str, shown: object, possible: str, after_s: float | None
) -> None:
    error = RequestError(code, field, shown, possible, after_s)
    status = status_of(error)
    assert status is not None
    again = request_error_of(status)
    assert again is not None
    assert (again.code, again.field, again.retry_after_s) == (code, field, after_s)
    # What was cut is not cut any shorter but by the mark of the cut.
    assert again.given.rstrip("…") == error.given.rstrip("…")
    assert again.possible.rstrip("…") == error.possible.rstrip("…")


def test_what_is_no_error_of_ours_is_not_taken_for_one() -> None:
    info = error_details_pb2.ErrorInfo(domain="elsewhere", metadata={"field": "a"})
    strange = status_pb2.Status(code=5)
    strange.details.add().Pack(info)
    bare = error_details_pb2.ErrorInfo(domain="braid")
    without = status_pb2.Status(code=5)
    without.details.add().Pack(bare)
    for status in (hidden("x"), strange, without, status_pb2.Status(code=99)):
        assert request_error_of(status) is None
