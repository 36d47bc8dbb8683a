"""When a call that failed is made again, and how long a call may take."""

from __future__ import annotations

import random
from collections.abc import Set
from dataclasses import dataclass

import grpc
from google.protobuf.message import Message

from braid.errors import BraidError, Conflict, InvalidRequest, NotFound, Refused, error_of
from braid.v1 import cloudnets_pb2, reservations_pb2 as pb

RETRYABLE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED})
TOO_SLOW = grpc.StatusCode.RESOURCE_EXHAUSTED
"""How a watcher that lags behind is cut off; it may go on where it was."""
NOTHING_RESERVED = (InvalidRequest, NotFound, Conflict, Refused)
"""After these a Reserve has certainly left nothing behind under its request_id."""
ATTEMPTS = 5
BACKOFF_S = (0.2, 0.5, 1.0, 2.0)
HINT_MAX_S = 60.0
"""A longer delay than this is the caller's to wait, not the library's."""
HINT_SPREAD = 0.5
"""Up to this share is added to a delay, so that those refused together do not return together."""
NEGOTIATION_TIMEOUT_S = 30
"""The orchestrator's own, when a request names none."""
WORK_TIMEOUT_S = 570
"""For what answers when it is done: images and the memory of VNodes are copied meanwhile."""


def pause_before(
    attempt: int,
    error: grpc.RpcError,
    retryable: Set[grpc.StatusCode] = RETRYABLE,
    asked: Message | None = None,
) -> float:
    """Seconds to wait before that attempt, as the server asks where it does.

    ``asked``: the request, of which the error may name a field.

    RESOURCE_EXHAUSTED with such a hint may be repeated like ``retryable`` codes: nothing was done.
    Raises a BraidError when there should be no other attempt.
    """
    known = error_of(error, asked)
    pause_s = repeats_after_s(attempt, known, retryable)
    if pause_s is None:
        raise known from error
    return pause_s


def repeats_after_s(
    attempt: int, error: BraidError, retryable: Set[grpc.StatusCode] = RETRYABLE
) -> float | None:
    """As ``pause_before``; None: there should be no other attempt."""
    hint_s = error.retry_after_s
    full = error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and hint_s is not None
    too_long = hint_s is not None and hint_s > HINT_MAX_S
    if attempt >= ATTEMPTS or too_long or not (full or error.code in retryable):
        return None
    if hint_s is not None:
        return hint_s * (1 + random.random() * HINT_SPREAD)
    return BACKOFF_S[min(attempt - 1, len(BACKOFF_S) - 1)]


def call_timeout(message: Message, timeout_s: float) -> float:
    """Seconds for a call: beyond ``timeout_s``, what the request needs to negotiate or to work."""
    if isinstance(message, pb.Reservation | pb.ModifyRequest):
        named = message.HasField("negotiation_timeout_s")
        timeout_s += message.negotiation_timeout_s if named else NEGOTIATION_TIMEOUT_S
        # What VNodes have may be carried to other providers.
        carries = isinstance(message, pb.ModifyRequest) and message.HasField("cloudnet")
        timeout_s += WORK_TIMEOUT_S if carries else 0
    elif isinstance(message, cloudnets_pb2.PowerRequest | cloudnets_pb2.MigrateRequest):
        timeout_s += WORK_TIMEOUT_S
    return timeout_s


@dataclass
class Watching:
    """A stream of events that goes on after the last one seen when its connection is lost."""

    request: pb.WatchRequest
    began_s: float
    timeout_s: float | None
    attempts: int = 0

    def left_s(self, now_s: float) -> float | None:
        """Seconds until the whole of it has lasted long enough; None: no limit."""
        return None if self.timeout_s is None else max(0.0, self.began_s + self.timeout_s - now_s)

    def seen(self, event: pb.ReservationEvent) -> pb.ReservationEvent:
        """Notes that the event has come."""
        self.request.after_sequence = event.sequence
        self.attempts = 0
        return event

    def pause(self, error: grpc.RpcError) -> float:
        """Seconds to wait before watching again. Raises a BraidError when it is over."""
        self.attempts += 1
        return pause_before(self.attempts, error, RETRYABLE | {TOO_SLOW})
