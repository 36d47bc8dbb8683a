"""Whether what users are told stands behind is carried: by paths, and by what domains promised.

Reckoned from the record and the parts alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from orchestrator.records import Reservation
from protocol.messages import ReservationPrep
from substrate.model import Hop, Path, Window


def uncarried(record: Reservation, preps: Iterable[ReservationPrep]) -> str:
    """What of a COMMITTED reservation is not there at some time; empty when all of it is.

    ``preps``: the parts that domains promised for its version in force. In a migration the old
    paths or the new ones carry all of it to every destination at each instant; those that last keep
    the constraints.
    """
    held = tuple(preps)
    problem = unpromised(record, held)
    if problem:
        return problem
    asked = record.asked
    if asked is None or asked.bend is None or not asked.bend.volume_bytes:
        return _constant(record)
    moved = _moved(record, asked.bend.volume_bytes)
    # What is modified has the rate that was asked for last, what made room for others the volume.
    return moved if record.version == 1 else moved and _constant(record)


def unpromised(record: Reservation, preps: Iterable[ReservationPrep]) -> str:
    """A hop that nobody promised, or that must be avoided."""
    criteria, held = record.criteria, tuple(preps)
    for path in record.paths:
        window = path.window or criteria.window
        if window.end_s * 1000 <= record.updated_ms:
            # It was over when the rest was moved, and is only told.
            continue
        for hop in path.hops:
            if not any(_covers(prep, hop, path, window) for prep in held):
                return f"nobody promised {hop.ingress_stp} to {hop.egress_stp} for all of its path"
        avoided = set(criteria.constraints.avoid_domains)
        if window.end_s >= criteria.window.end_s and avoided & {hop.domain for hop in path.hops}:
            return f"a path that lasts crosses one of {', '.join(sorted(avoided))}"
    return ""


def _constant(record: Reservation) -> str:
    """Of a constant rate, which leads to every destination."""
    problems = (_constant_to(record, stp) for stp in record.criteria.destinations)
    return next(filter(None, problems), "")


def _constant_to(record: Reservation, stp: str) -> str:
    wanted, whole = record.criteria.bandwidth_bps, record.criteria.window
    own = (path for path in record.paths if path.hops[-1].egress_stp == stp)
    timed = [(path.window or whole, path.bandwidth_bps) for path in own]
    cuts = {at_s for window, _ in timed for at_s in (window.start_s, window.end_s)}
    inside = sorted({whole.start_s, whole.end_s, *cuts})
    for start_s, end_s in pairwise(inside):
        carried = sum(bps for w, bps in timed if w.start_s <= start_s and end_s <= w.end_s)
        if whole.start_s <= start_s and end_s <= whole.end_s and carried < wanted:
            when = f"from {start_s} to {end_s} s"
            return f"its paths to {stp} carry {carried} bit/s of {wanted} {when}"
    return ""


def _moved(record: Reservation, volume_bytes: int) -> str:
    whole = record.criteria.window
    moved = sum((p.window or whole).duration_s * p.bandwidth_bps for p in record.paths) // 8
    return "" if moved >= volume_bytes else f"its paths move {moved} bytes of {volume_bytes}"


def _covers(prep: ReservationPrep, hop: Hop, path: Path, window: Window) -> bool:
    during = prep.window.start_s <= window.start_s and window.end_s <= prep.window.end_s
    return during and any(
        (s.ingress_stp, s.ingress_vlan, s.egress_stp, s.egress_vlan)
        == (hop.ingress_stp, hop.ingress_vlan, hop.egress_stp, hop.egress_vlan)
        and s.bandwidth_bps >= path.bandwidth_bps
        for s in prep.segments
    )
