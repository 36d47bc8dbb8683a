"""Errors that a caller may see, and how they travel as a gRPC status.

    Exception
    ├── RequestError          the caller's fault, or a fact that the caller must know
    └── StorageError          the database could not write       → UNAVAILABLE
        └── StorageBusyError  too much work waits for it         → RESOURCE_EXHAUSTED

RESOURCE_EXHAUSTED for want of room, not of size, tells by google.rpc.RetryInfo when to ask again.
Anything else is a bug: it is logged with a reference, and the caller hears only that reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Never

import structlog
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import ServicerContext
from grpc_status.rpc_status import to_status

from runtime.clock import Ids
from runtime.database import StorageBusyError, StorageError

ERROR_DOMAIN = "braid"
RETRY_AFTER_S = 1.0
"""When to ask again, where nothing better is known."""
GIVEN_LIMIT, POSSIBLE_LIMIT = 200, 1000
"""Longer texts are cut: statuses travel in metadata, of which gRPC takes 8 kB."""

_log = structlog.get_logger(__name__)


class RequestError(Exception):
    """A request that cannot be served: which field, what was given, what is possible.

    ``field`` is the path of the field in the request (``constraints.max_paths``), ``possible`` a
    short phrase that completes "possible: …". ``code`` is one of the table in section 9 of the
    design. ``retry_after_s``: after how many seconds the same request may be served; None: it is
    not a matter of time. ``raw``: what was given, as it is; ``given``: as it is shown.
    ``more``: further details for the status, such as what would be granted instead.
    """

    def __init__(
        self,
        code: StatusCode,
        field: str,
        given: object,
        possible: str,
        retry_after_s: float | None = None,
        more: tuple[Message, ...] = (),
    ) -> None:
        self.code = code
        self.more = more
        self.retry_after_s = retry_after_s
        self.field = field
        self.raw = given
        self.given = _shown(given)
        self.possible = _cut(possible, POSSIBLE_LIMIT)
        super().__init__(f"{field}: given {self.given}, possible: {self.possible}")

    def details(self) -> tuple[Message, ...]:
        """google.rpc.ErrorInfo; BadRequest where the field itself is wrong; RetryInfo if any."""
        info = error_details_pb2.ErrorInfo(
            reason=self.code.name,
            domain=ERROR_DOMAIN,
            metadata={"field": self.field, "given": self.given, "possible": self.possible},
        )
        if self.retry_after_s is not None:
            return (info, _retry_info(self.retry_after_s))
        if self.code not in (StatusCode.INVALID_ARGUMENT, StatusCode.OUT_OF_RANGE):
            return (info, *self.more)
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=self.field, description=str(self)
        )
        return (error_details_pb2.BadRequest(field_violations=[violation]), info)


@dataclass(frozen=True, slots=True)
class Shown:
    """What was given, as another server has shown it already."""

    text: str

    def __str__(self) -> str:
        return self.text


def request_error_of(status: status_pb2.Status) -> RequestError | None:
    """The RequestError that another server of ours tells by this; None: it tells none.

    The inverse of ``status_of``, for who passes it on; without ``raw`` and ``more``.
    """
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    after_s = None
    for detail in status.details:
        if detail.Unpack(retry):
            after_s = retry.retry_delay.ToTimedelta().total_seconds()
        detail.Unpack(info)
    code = next((each for each in StatusCode if each.value[0] == status.code), None)
    if code is None or info.domain != ERROR_DOMAIN or "field" not in info.metadata:
        return None
    field, given, possible = (info.metadata.get(k, "") for k in ("field", "given", "possible"))
    return RequestError(code, field, Shown(given), possible, after_s)


def invalid(field: str, given: object, possible: str) -> RequestError:
    """The commonest: INVALID_ARGUMENT."""
    return RequestError(StatusCode.INVALID_ARGUMENT, field, given, possible)


def full(what: str, limit: int, retry_after_s: float = RETRY_AFTER_S) -> RequestError:
    """RESOURCE_EXHAUSTED: there are ``limit`` of ``what`` at this moment, and no room for more."""
    possible = f"{limit} at once; try again in a moment"
    return RequestError(StatusCode.RESOURCE_EXHAUSTED, what, limit + 1, possible, retry_after_s)


def status_of(error: BaseException) -> status_pb2.Status | None:
    """What a caller is told of ``error``; None when it is not for a caller's eyes."""
    if isinstance(error, RequestError):
        return _status(error.code, str(error), error.details())
    if isinstance(error, StorageBusyError):
        return status_of(full(error.what, error.limit))
    if isinstance(error, StorageError):
        return _status(StatusCode.UNAVAILABLE, "the database cannot write now; try again later")
    return None


def told(error: Exception, method: str, ids: Ids) -> status_pb2.Status:
    """What a caller is told of what a handler raised; a bug is logged, and hidden."""
    status = status_of(error)
    if status is None:
        reference = ids.new()
        _log.error("handler failed", method=method, reference=reference, exc_info=error)
        status = hidden(reference)
    return status


def hidden(reference: str) -> status_pb2.Status:
    """What a caller is told of a bug: INTERNAL and where operators find it in the log."""
    return _status(
        StatusCode.INTERNAL, f"internal error; reference {reference} in the server's log"
    )


async def abort(context: ServicerContext[Any, Any], status: status_pb2.Status) -> Never:
    """Ends the call with ``status`` and its details (``grpc-status-details-bin``).

    grpc.aio has no ``abort_with_status`` of its own (it raises NotImplementedError).
    """
    answer = to_status(status)
    metadata: Any = answer.trailing_metadata
    await context.abort(answer.code, answer.details, metadata)


def _retry_info(after_s: float) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(round(after_s * 1000))
    return info


def _status(code: StatusCode, text: str, details: tuple[Message, ...] = ()) -> status_pb2.Status:
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code.value[0], message=text, details=packed)


def _shown(given: object) -> str:
    return _cut(repr(given) if isinstance(given, str) else str(given), GIVEN_LIMIT)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
