"""Whether a reservation stays what its owner was promised, from one stored version to the next.

Reckoned from what was asked for as it was first recorded, from what a Modify was recorded to ask
for, and from the records since; who watches must hear of every version.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import pairwise

from orchestrator.bent import OVERLAP_S
from orchestrator.events import Event
from orchestrator.records import Change, Reservation, State
from substrate.model import Criteria, Hop, Window

Told = tuple[str, int, bool]
"""A reservation, its version, and whether that is told as a move."""


def told_by(events: Iterable[Event]) -> frozenset[Told]:
    """The versions of which a write tells those who watch."""
    found = set[Told]()
    for event in events:
        body = event.body
        if body.HasField("moved"):
            found.add((event.reservation_id, body.moved.version, True))
        elif body.HasField("state_changed") and body.state_changed.state == State.COMMITTED.value:
            found.add((event.reservation_id, body.state_changed.version, False))
    return frozenset(found)


class Kept:
    """What every reservation was asked to be, and what it is by now."""

    def __init__(self) -> None:
        self._asked: dict[str, Criteria] = {}
        self._before: dict[str, Reservation] = {}

    def asked(self, reservation_id: str) -> Criteria | None:
        """What was asked for last and granted, or is to be; None of what was never recorded."""
        return self._asked.get(reservation_id)

    def broken(self, record: Reservation, told: Collection[Told]) -> str:
        """What of a promise this write of a record breaks; empty when nothing is."""
        name = record.reservation_id
        before = self._before.get(name)
        self._before[name] = record
        if before is None:
            self._asked[name] = record.asked or record.criteria
        if before is None or record.state is not State.COMMITTED:
            return ""
        change, moves = before.change, False
        if before.state is not State.COMMITTED:
            problem = _ungranted(self._asked[name], record)
        elif record.transaction_id == before.transaction_id:
            same = (record.criteria, record.paths) == (before.criteria, before.paths)
            return "" if same else "is something else without a new version"
        elif change is None or change.transaction_id != record.transaction_id:
            return "has a version that nobody asked for"
        elif change.moves_for:
            moves, problem = True, _unmoved(self._asked[name], before, record)
        else:
            self._asked[name] = change.criteria
            problem = _unmodified(before, change, record)
        if not problem and (name, record.version, moves) not in told:
            return f"has version {record.version}, of which nobody is told"
        return problem


def _ungranted(asked: Criteria, record: Reservation) -> str:
    """What was granted and not asked for."""
    has, bend = record.criteria, asked.bend
    alike = replace(has, bandwidth_bps=asked.bandwidth_bps, window=asked.window, bend=bend)
    if has.bend is not None or alike != asked:
        return "was granted other criteria than were asked for"
    if not _within(has.window, asked.window):
        return f"was granted {has.window.start_s} to {has.window.end_s} s, which is outside"
    if bend is not None and bend.volume_bytes:
        return _unspread(asked, record)
    least_bps = (bend.least_bps if bend is not None else 0) or asked.bandwidth_bps
    if not least_bps <= has.bandwidth_bps <= asked.bandwidth_bps:
        return f"was granted {has.bandwidth_bps} bit/s"
    wanted_s = (bend.duration_s if bend is not None else 0) or _left_s(asked, record)
    return "" if has.window.duration_s == wanted_s else f"was granted {has.window.duration_s} s"


def _left_s(asked: Criteria, record: Reservation) -> int:
    """How long it must be: whom others make room for, of what was left when it was placed."""
    start_s, end_s = record.criteria.window.start_s, asked.window.end_s
    over = start_s * 1000 <= record.updated_ms
    return end_s - (start_s if over else asked.window.start_s)


def _unspread(asked: Criteria, record: Reservation) -> str:
    """Of a volume: phases that meet, are too many, or too fast."""
    assert asked.bend is not None
    whole = record.criteria.window
    rates_bps: dict[Window, int] = {}
    for path in record.paths:
        window = path.window or whole
        rates_bps[window] = rates_bps.get(window, 0) + path.bandwidth_bps
    windows = sorted(rates_bps)
    if any(one.overlaps(other) for one, other in pairwise(windows)):
        return "has two phases at one time"
    if len(windows) > asked.bend.max_phases:
        return f"has {len(windows)} phases of at most {asked.bend.max_phases}"
    if not all(_within(window, asked.window) for window in windows):
        return "has a phase outside of the time that was asked for"
    if max(rates_bps.values(), default=0) > asked.bandwidth_bps:
        return f"is carried at {max(rates_bps.values())} bit/s of at most {asked.bandwidth_bps}"
    return ""


def _unmodified(before: Reservation, change: Change, record: Reservation) -> str:
    """What a Modify did not ask for; what it leaves goes on until it is to switch."""
    if record.criteria != change.criteria:
        return "is not what its Modify asked for"
    whole, avoided = record.criteria.window, set(record.criteria.constraints.avoid_domains)
    last_s = change.switch_s + OVERLAP_S if change.switch_s is not None else whole.start_s
    for path in record.paths:
        crossed = avoided.intersection(hop.domain for hop in path.hops)
        if crossed and (path.window or whole).end_s > last_s:
            return f"crosses {min(crossed)} after its switch"
    if change.switch_s is None:
        return ""
    early = Window(whole.start_s, change.switch_s)
    lasts = _lying(before, early) <= _lying(record, early)
    return "" if lasts else "leaves its paths before its switch"


def _unmoved(asked: Criteria, before: Reservation, record: Reservation) -> str:
    """What a move for somebody else took."""
    if not asked.movable:
        return "was moved, which its owner did not allow"
    now_s = record.updated_ms // 1000
    if asked.bend is not None and asked.bend.volume_bytes:
        past = Window(before.criteria.window.start_s, now_s)
        if _lying(before, past) != _lying(record, past):
            return "was moved in what it had carried already"
        return _ungranted(asked, record)
    if before.criteria.window.start_s <= now_s:
        return "was moved when it had begun"
    has, had = record.criteria, before.criteria
    if asked.bend is not None and asked.bend.duration_s:
        if has.window.start_s <= now_s:
            return "was moved to a time that is over"
        if not _within(has.window, asked.window):
            return f"was moved to {has.window.start_s} to {has.window.end_s} s, which is outside"
        if has.window.duration_s != asked.bend.duration_s:
            return f"was moved to last {has.window.duration_s} s"
        had = replace(had, window=has.window)
    return "" if has == had else "was moved to other criteria"


Lying = frozenset[tuple[Window, int, tuple[Hop, ...]]]


def _lying(record: Reservation, within: Window) -> Lying:
    """The paths during a time, each for as long as it is there then."""
    whole = record.criteria.window
    return frozenset(
        (_during(path.window or whole, within), path.bandwidth_bps, path.hops)
        for path in record.paths
        if within.duration_s > 0 and (path.window or whole).overlaps(within)
    )


def _during(window: Window, within: Window) -> Window:
    return Window(max(window.start_s, within.start_s), min(window.end_s, within.end_s))


def _within(window: Window, whole: Window) -> bool:
    return whole.start_s <= window.start_s and window.end_s <= whole.end_s
