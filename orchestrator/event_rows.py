"""Events as rows of the database, and back: of one reservation all of one write share a row.

A reservation has about fifteen events and is written four times. A row's ``sequence`` is that of
its last event; the others have the numbers before it, so "after N" is asked of rows as of events.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Any

from sqlalchemy import Row

from orchestrator.events import Event

EVENT = ("sequence", "reservation_id", "at_ms", "body", "events")
_HEAD = Struct(">qI")
"""Before each event of a body: when it was, and how many bytes it has."""


def event_rows(events: Iterable[Event], last: int) -> list[tuple[Any, ...]]:
    """Rows of events that have no sequence yet, as EVENT says; ``last``: the highest one so far.

    Events of one reservation stay in order; of several, each one's stand together.
    """
    gathered: dict[str, list[Event]] = {}
    for event in events:
        gathered.setdefault(event.reservation_id, []).append(event)
    rows = []
    for reservation_id, found in gathered.items():
        last += len(found)
        rows.append((last, reservation_id, found[0].at_ms, _packed(found), len(found)))
    return rows


def events_in(row: Row[Any]) -> list[Event]:
    """The inverse of event_rows, for one of them."""
    if not row.events:
        # Written before events shared rows.
        return [Event(row.reservation_id, row.at_ms, row.body, row.sequence)]
    found, at, sequence = [], 0, row.sequence - row.events
    for number in range(1, row.events + 1):
        at_ms, size = _HEAD.unpack_from(row.body, at)
        at += _HEAD.size
        body = row.body[at : at + size]
        at += size
        found.append(Event(row.reservation_id, at_ms, body, sequence + number))
    return found


def _packed(events: Iterable[Event]) -> bytes:
    pieces: list[bytes] = []
    for event in events:
        pieces += (_HEAD.pack(event.at_ms, len(event.encoded)), event.encoded)
    return b"".join(pieces)
