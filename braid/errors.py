"""What a client call can end with.

BraidError                  anything below
├── InvalidRequest          a field is wrong or out of range: the message names it
├── NotFound                no such STP, domain or reservation
├── Conflict                the request_id is taken, or the state does not allow it
├── Refused                 not permitted, or no room now: ask later or ask less
├── Unreachable             nobody answers: ask again with the same request_id
├── DeadlinePassed          the call's time is over; the work goes on
└── CircuitRefused          no capacity: ``refusals`` say why, ``alternatives`` what would fit
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2, empty_pb2
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from braid.keywords import in_keywords, keywords_of, named
from braid.v1 import common_pb2, reservations_pb2 as pb

_DETAILS = "grpc-status-details-bin"
_TOLD = re.compile(r"([a-z][a-z0-9_.\[\]]*): given (?:(.*?), possible: (.*))?", re.DOTALL)


class BraidError(Exception):
    """``code`` is the gRPC status, ``message`` what the orchestrator said.

    ``keywords``: the arguments that may have said ``field``, where they are called otherwise. Its
    text names them beside the field.

    ``retry_after_s``: after how many seconds it said to ask again; None: it did not say.
    ``instead``: what would be granted now in place of an alternative that can no longer be
    accepted; None: it did not say.
    """

    def __init__(
        self,
        message: str,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        retry_after_s: float | None = None,
        instead: pb.PlanResponse | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.code = message, code
        self.retry_after_s, self.instead = retry_after_s, instead
        self.keywords: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.told(self.keywords)

    def told(self, written: Sequence[str], spell: Callable[[str], str] = str) -> str:
        """``message`` with what was ``written`` before the field that it became, and keywords, as
        ``spell`` writes them, in place of other fields.
        """
        said = _TOLD.match(self.message)
        if said is None or not written:
            return self.message
        text = f"{named(written, said[1])}: given "
        if said[3] is None:
            return text + self.message[said.end() :]
        return f"{text}{said[2]}, possible: {in_keywords(said[3], spell)}"

    @property
    def alternatives(self) -> Sequence[pb.Alternative]:
        """What would be granted instead; may be empty. ``Client.accept`` takes their tokens."""
        return () if self.instead is None else self.instead.alternatives

    @property
    def field(self) -> str:
        """The field that is wrong, such as "constraints.max_paths"; empty when none is named."""
        return self._told(1)

    @property
    def given(self) -> str:
        """What was given for ``field``, as it is shown: text in quotes; empty when not said."""
        return self._told(2)

    @property
    def possible(self) -> str:
        """What is possible instead; empty when it is not said."""
        return self._told(3)

    def _told(self, group: int) -> str:
        told = _TOLD.match(self.message)
        return (told[group] or "") if told else ""


class InvalidRequest(BraidError):
    """INVALID_ARGUMENT or OUT_OF_RANGE."""


class NotFound(BraidError):
    """NOT_FOUND."""


class Conflict(BraidError):
    """ALREADY_EXISTS, FAILED_PRECONDITION or ABORTED."""


class Refused(BraidError):
    """PERMISSION_DENIED, UNAUTHENTICATED or RESOURCE_EXHAUSTED."""


class Unreachable(BraidError):
    """UNAVAILABLE."""


class DeadlinePassed(BraidError):
    """DEADLINE_EXCEEDED."""


class CircuitRefused(BraidError):
    """The orchestrator answered, and the answer is no."""

    def __init__(self, record: pb.ReservationRecord) -> None:
        state = pb.ReservationState.Name(record.state).removeprefix("RESERVATION_STATE_")
        reasons = "; ".join(refusal.reason for refusal in record.refusals)
        super().__init__(f"{state}: {reasons}" if reasons else state, grpc.StatusCode.OK)
        self.record = record

    @property
    def refusals(self) -> Sequence[common_pb2.Refusal]:
        """Why, and what would fit."""
        return self.record.refusals

    @property
    def bottlenecks(self) -> Sequence[pb.Bottleneck]:
        """What stands in the way; may be empty."""
        return self.record.bottlenecks

    @property
    def alternatives(self) -> Sequence[pb.Alternative]:
        """What would be granted instead; may be empty. ``Client.accept`` takes their tokens."""
        return self.record.alternatives


KINDS: dict[grpc.StatusCode, type[BraidError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.PERMISSION_DENIED: Refused,
    grpc.StatusCode.UNAUTHENTICATED: Refused,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Refused,
    grpc.StatusCode.UNAVAILABLE: Unreachable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlinePassed,
}

CODES = {code.value[0]: code for code in grpc.StatusCode}


def error_of(error: grpc.RpcError, asked: Message | None = None) -> BraidError:
    """The exception for a failed call; ``asked``: with what, if fields of it may be named."""
    code, status = error.code(), _status_of(error)
    kind = KINDS.get(code, BraidError)
    return _about(kind(error.details() or code.name, code, *_details_of(status)), asked)


def error_of_status(status: bytes, asked: Message | None = None) -> BraidError:
    """As ``error_of``, for a serialized google.rpc.Status. Raises DecodeError."""
    unknown: Any = UnknownFieldSet(empty_pb2.Empty.FromString(status))
    numbers = [f.data for f in unknown if f.field_number == 1 and isinstance(f.data, int)]
    code = CODES.get(numbers[-1] if numbers else 0, grpc.StatusCode.UNKNOWN)
    texts = _fields(status, 2)
    message = texts[-1].decode(errors="replace") if texts else code.name
    return _about(KINDS.get(code, BraidError)(message, code, *_details(status)), asked)


def _about(error: BraidError, asked: Message | None) -> BraidError:
    error.keywords = keywords_of(error.field, asked)
    return error


def retry_after_s(error: grpc.RpcError) -> float | None:
    """The delay that google.rpc.RetryInfo asks for, in the details of a failed call; None: none."""
    return _details_of(_status_of(error))[0]


def _status_of(error: grpc.RpcError) -> bytes:
    call: Any = error
    metadata: Any = getattr(call, "trailing_metadata", tuple)() or ()
    return next((bytes(value) for key, value in metadata if key == _DETAILS), b"")


def _details_of(status: bytes) -> tuple[float | None, pb.PlanResponse | None]:
    """As ``_details``; nothing of what cannot be read."""
    try:
        return _details(status)
    except DecodeError:
        return None, None


def _details(status: bytes) -> tuple[float | None, pb.PlanResponse | None]:
    """After how long to ask again, and what would be granted instead. Raises DecodeError."""
    # google.rpc.Status and RetryInfo by their field numbers: their distribution is not needed here.
    delay_s, instead = None, None
    for packed in _fields(status, 3):
        detail = any_pb2.Any.FromString(packed)
        if detail.TypeName() == "google.rpc.RetryInfo":
            delays = _fields(detail.value, 1)
            delay = duration_pb2.Duration.FromString(delays[-1] if delays else b"")
            delay_s = max(0.0, delay.seconds + delay.nanos / 1e9)
        elif detail.TypeName() == pb.PlanResponse.DESCRIPTOR.full_name:
            instead = pb.PlanResponse.FromString(detail.value)
    return delay_s, instead


def _fields(message: bytes, number: int) -> list[bytes]:
    """The values of a length-delimited field. Raises DecodeError."""
    fields: Any = UnknownFieldSet(empty_pb2.Empty.FromString(message))
    return [f.data for f in fields if f.field_number == number and isinstance(f.data, bytes)]
