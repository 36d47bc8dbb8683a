"""How VNodes were carried to other providers, in words; awaited until they run."""

from __future__ import annotations

import time

from braid.client import BraidError, Client
from braid.units import format_volume
from braid.v1 import reservations_pb2 as pb

POLL_S = 0.2
RUNNING_S = 10.0
"""For how long what was carried is waited for: longer only a provider that is away takes."""


def add_when_running(client: Client, record: pb.ReservationRecord) -> None:
    """Puts into a record what is known of VNodes once all that was carried runs, or for a while."""
    until_s = time.monotonic() + RUNNING_S
    while any(_waits(each) for each in record.carried) and time.monotonic() < until_s:
        time.sleep(POLL_S)
        try:
            now = client.get(record.reservation_id)
        except BraidError:
            # What was asked for is done all the same.
            return
        if now.version != record.version:
            return
        del record.carried[:]
        record.carried.extend(now.carried)


def carried_line(each: pb.CarriedVNode) -> str:
    """What became of one."""
    way = f"{each.vnode}: from {each.source} to {each.target}"
    how = "carried live" if each.live else "carried cold"
    line = f"{way}, {how}{_copied(each)}"
    if _waits(each):
        line += ", does not run yet"
    elif each.HasField("still_ms"):
        line += f", stood still for {each.still_ms / 1000:.3g} s"
    return line if each.live else f"{line} ({each.reason})"


def _copied(each: pb.CarriedVNode) -> str:
    last = format_volume(each.last_bytes)
    if each.ahead_bytes:
        return f", {format_volume(each.ahead_bytes)} copied ahead and {last} at the end"
    return f", {last} copied" if each.last_bytes else ""


def _waits(each: pb.CarriedVNode) -> bool:
    return each.HasField("since_ms") and not each.HasField("still_ms")
