"""The tokens of alternatives: a request that somebody may take, until when, and which one it is.

A token says itself what is asked for, so nothing is kept of the many that nobody takes. It is no
secret and gives no right: it is a request like any other. That it is taken once is written with the
reservation that takes it.
"""

from __future__ import annotations

import base64
import binascii
import re

from google.protobuf.message import DecodeError

from braid.v1 import reservations_pb2 as pb
from orchestrator.explanation import BEGUN_S, LEAD_S, Alternative
from orchestrator.wire import criteria_to_pb
from runtime.clock import Ids
from runtime.errors import invalid
from substrate.values import dataclass, replace

VALID_MS = 600_000
"""After ten minutes most of what was free then may not be any more."""
LENGTH_MAX = 131_072
"""Longer than the token of any request: it may name 128 ports, and twice as many domains."""
ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a token says; ``request`` has no request_id."""

    request: pb.Reservation
    expires_ms: int
    id: str


def sign(ids: Ids, now_ms: int, alternative: Alternative) -> Alternative:
    """The alternative with a token of its own."""
    begins_ms = max(now_ms, alternative.criteria.window.start_s * 1000)
    # What bends begins when it is granted: not too late for all of it.
    late_s = -LEAD_S if alternative.criteria.bend is not None else BEGUN_S
    expires_ms = max(now_ms, min(now_ms + VALID_MS, begins_ms + late_s * 1000))
    message = pb.AcceptToken(
        request=criteria_to_pb(alternative.criteria), expires_ms=expires_ms, id=ids.new()
    )
    token = base64.urlsafe_b64encode(message.SerializeToString()).decode().rstrip("=")
    return replace(alternative, token=token, expires_ms=expires_ms)


def again(accepted: Accepted, now_s: int) -> Accepted:
    """What has expired, no earlier than now: of a request that does not bend all of its window."""
    request = pb.Reservation()
    request.CopyFrom(accepted.request)
    bends = request.HasField("flexibility")
    soonest_s = now_s + BEGUN_S + LEAD_S if bends else now_s
    late_s = max(0, soonest_s - request.window.start_s)
    request.window.start_s += late_s
    if not bends:
        request.window.end_s += late_s
    return replace(accepted, request=request)


def read(token: str) -> Accepted:
    """The inverse; its request is still to be checked. Raises RequestError."""
    try:
        if len(token) > LENGTH_MAX:
            raise ValueError
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        message = pb.AcceptToken.FromString(raw)
    except (ValueError, binascii.Error, DecodeError):
        raise invalid("accept", token, "the token of an alternative") from None
    if not ID.fullmatch(message.id) or not message.HasField("request"):
        raise invalid("accept", token, "the token of an alternative")
    return Accepted(message.request, message.expires_ms, message.id)
