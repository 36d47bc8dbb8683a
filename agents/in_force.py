"""Which of a reservation's parts should be on the devices at a time.

All parts of a reservation are alternatives. The committed ones of the newest version count, each
during its window: a phase of the rate.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from itertools import pairwise

from agents.values import Key, Record
from protocol.participant import PartState
from substrate.model import DataPlaneState


def in_force(
    records: Iterable[Record], now_s: int, configured: Container[Key] = ()
) -> Record | None:
    """Which of a reservation's parts should carry traffic at ``now_s``.

    ``configured``: parts of which something may be on a device, beside those whose state says so.
    """
    committed = [record for record in records if record.part.state is PartState.COMMITTED]
    if len(committed) == 1 and _lasts(committed[0], now_s):
        return committed[0]
    newest = max(committed, key=_rank, default=None)
    if newest is None:
        return None
    # A circuit whose rate changes has a part for each phase.
    chosen: Record | None = None
    for record in _phases(committed, newest):
        if _lasts(record, now_s) and (chosen is None or now_s >= _turn_s(chosen, record)):
            chosen = record
    if chosen is None and _goes_on(newest, committed, now_s, configured):
        return newest
    return chosen


def has_begun(record: Record) -> bool:
    """Whether anything of the part was ever on a device, and is not known to be gone."""
    return record.data_plane.state in (DataPlaneState.ACTIVE, DataPlaneState.FAILED)


def boundary_ms(records: Iterable[Record], now_s: int) -> int | None:
    """When a window of a committed part, or a phase, begins or ends next; None: never."""
    committed = [record for record in records if record.part.state is PartState.COMMITTED]
    times: list[int] = []
    for record in committed:
        if record.part.prep is not None:
            times += (record.part.prep.window.start_s, record.part.prep.window.end_s)
    if len(committed) > 1:
        phases = _phases(committed, max(committed, key=_rank))
        times += [_turn_s(one, other) for one, other in pairwise(phases)]
    coming = [time_s for time_s in times if time_s > now_s]
    return min(coming) * 1000 if coming else None


def end_s(record: Record) -> int:
    """When its window ends; 0: it has none."""
    return record.part.prep.window.end_s if record.part.prep is not None else 0


def version_of(record: Record) -> int:
    """The version of the reservation that it is a part of; 0: it was only heard of."""
    return record.part.prep.version if record.part.prep is not None else 0


def _goes_on(
    newest: Record, committed: Iterable[Record], now_s: int, configured: Container[Key]
) -> bool:
    """Whether VNodes were made, in this version or one before, and their window is not over."""
    return (
        newest.has_vnodes
        and now_s < end_s(newest)
        and any(
            record.has_vnodes and (has_begun(record) or record.key in configured)
            for record in committed
        )
    )


def _rank(record: Record) -> tuple[int, Key]:
    return (version_of(record), record.key)


def _phases(committed: Iterable[Record], newest: Record) -> list[Record]:
    """The parts of the version in force, in order of time."""
    found = [record for record in committed if record.key[0] == newest.key[0]]
    return sorted(found, key=_start_s)


def _start_s(record: Record) -> int:
    return record.part.prep.window.start_s if record.part.prep is not None else 0


def _turn_s(record: Record, after: Record) -> int:
    """When one phase takes over from the one before: amid the time in which both are there.

    Domains that only one of them needs have it by then, and still have it.
    """
    return (max(_start_s(after), 0) + end_s(record)) // 2


def _lasts(record: Record, now_s: int) -> bool:
    prep = record.part.prep
    return prep is not None and prep.window.start_s <= now_s < prep.window.end_s
