"""How much, and when: a request that is exact, or one that bends."""

from __future__ import annotations

import time
from functools import partial

from braid.keywords import WishError, read
from braid.units import (
    Amount,
    parse_bandwidth,
    parse_duration,
    parse_end,
    parse_time,
    parse_volume,
)
from braid.v1 import common_pb2, reservations_pb2 as pb

_NEEDS = {
    "volume": "deadline",
    "deadline": "volume",
    "max_phases": "volume",
    "soonest": "volume",
    "window": "duration",
}
_EXCLUDES = (
    *(("volume", other) for other in ("end", "duration", "window", "at_least")),
    ("window", "end"),
)


def asked(
    bandwidth: Amount | None,
    *,
    start: Amount,
    end: Amount | None,
    duration: Amount | None,
    window: Amount | None,
    at_least: Amount | None,
    volume: Amount | None,
    deadline: Amount | None,
    max_phases: int | None,
    soonest: bool,
) -> pb.Reservation:
    """Bandwidth, window and flexibility of a Reservation, and nothing else of it.

    Exact: ``bandwidth`` from ``start`` to ``end``, or for a ``duration``. It bends in time with
    ``window``: so long, anywhere between ``start`` and that end, which is a time or a duration from
    ``start``. It bends in bandwidth with ``at_least``. With ``volume`` so much is moved from
    ``start`` to ``deadline``, at rates of at most ``bandwidth`` (None: as fast as the ports), in at
    most ``max_phases``; ``soonest``: also where that crowds others. Raises ValueError.
    """
    _check(
        end=end,
        duration=duration,
        window=window,
        at_least=at_least,
        volume=volume,
        deadline=deadline,
        max_phases=max_phases,
        soonest=soonest or None,
    )
    if volume is None and (end is None) is (duration is None):
        raise WishError("say either when it ends or how long it lasts: {} or {}", "end", "duration")
    if volume is None and bandwidth is None:
        raise ValueError("say either the bandwidth, or the volume and its deadline")
    now_s = int(time.time())
    time_at = partial(parse_time, now_s=now_s)
    start_s = read("start", time_at, start)
    length_s = read("duration", parse_duration, duration) if duration is not None else 0
    if window is not None:
        end_s = read("window", partial(parse_end, start_s=start_s, now_s=now_s), window)
    elif end is not None:
        end_s = read("end", time_at, end)
    elif deadline is not None:
        end_s = read("deadline", time_at, deadline)
    else:
        end_s = start_s + length_s
    message = pb.Reservation(
        bandwidth_bps=0 if bandwidth is None else read("bandwidth", parse_bandwidth, bandwidth),
        window=common_pb2.Window(start_s=start_s, end_s=end_s),
    )
    if (window, at_least, volume) != (None, None, None):
        message.flexibility.CopyFrom(
            pb.Flexibility(
                duration_s=length_s if window is not None else None,
                least_bandwidth_bps=(
                    None if at_least is None else read("at_least", parse_bandwidth, at_least)
                ),
                volume_bytes=None if volume is None else read("volume", parse_volume, volume),
                max_phases=max_phases,
                soonest=soonest,
            )
        )
    return message


def _check(**given: Amount | None) -> None:
    """Raises ValueError for words that do not go together."""
    said = {name for name, value in given.items() if value is not None}
    for one, other in _EXCLUDES:
        if {one, other} <= said:
            raise WishError("{}: not together with {}", one, other)
    for name, needed in _NEEDS.items():
        if name in said and needed not in said:
            raise WishError("{}: only together with {}", name, needed)
