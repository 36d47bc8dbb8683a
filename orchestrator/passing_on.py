"""What users are told of an error with which a provider's agent has ended a call."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_status import rpc_status

from runtime.errors import RequestError, request_error_of

CALL_TIMEOUT_S = 30.0
"""How long one provider is waited for; powering up may have to copy an image."""
PASSED_ON = frozenset(
    {
        StatusCode.INVALID_ARGUMENT,
        StatusCode.OUT_OF_RANGE,
        StatusCode.NOT_FOUND,
        StatusCode.ALREADY_EXISTS,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.DATA_LOSS,
        StatusCode.ABORTED,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNAVAILABLE,
    }
)
"""What a provider may tell a user; anything else is between it and the orchestrator."""
WITH_DETAILS = frozenset(
    {StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED, StatusCode.DATA_LOSS}
)
"""What gRPC itself, or what is between it and the agent, may end a call with, in a text that has
addresses: passed on only where the agent says of which field it is."""


def passed_on(domain: str, error: AioRpcError) -> RequestError:
    """What a provider answers, as if it had been asked itself; nothing of its inside."""
    told = _told_error(error)
    if error.code() is StatusCode.DEADLINE_EXCEEDED:
        possible = f"to ask again: it did not answer within {CALL_TIMEOUT_S:.0f} s"
        return RequestError(StatusCode.UNAVAILABLE, "domain", domain, possible)
    if error.code() not in PASSED_ON or (told is None and error.code() in WITH_DETAILS):
        return RequestError(StatusCode.UNAVAILABLE, "domain", domain, "to ask again: it broke")
    if told is None:
        return RequestError(error.code(), "domain", domain, error.details() or "to ask again")
    possible = told.possible
    if told.field == "host":
        possible = f"a host of {domain} with room: its operators know them"
    elif told.code is StatusCode.UNAVAILABLE:
        possible = f"to ask again: {domain} cannot do it now"
    return RequestError(told.code, told.field, told.raw, possible, told.retry_after_s)


def _told_error(error: AioRpcError) -> RequestError | None:
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except (ValueError, DecodeError):
        return None
    return None if status is None else request_error_of(status)
