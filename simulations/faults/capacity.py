"""Whether what domains hold fits into their ports, reckoned anew from the holds alone.

Independent of the agents' calendars: only the capacities and VLANs of ports are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from protocol.messages import ReservationPrep
from substrate.model import Directionality

PortUse = tuple[str, str]
"""An STP and a direction, "in" or "out"."""


def overbooked(preps: Iterable[ReservationPrep], capacities_bps: Mapping[str, int]) -> str:
    """What does not fit; empty when all of these holds of one domain do.

    The parts of one reservation are alternatives: at each instant the most that one of them uses
    counts (docs/decisions/0004).
    """
    held = tuple(preps)
    times = sorted({prep.window.start_s for prep in held})
    for at_s in times:
        now = [prep for prep in held if prep.window.start_s <= at_s < prep.window.end_s]
        problem = _too_much(now, capacities_bps, at_s)
        if problem:
            return problem
    return _label_twice(held)


def _too_much(now: list[ReservationPrep], capacities_bps: Mapping[str, int], at_s: int) -> str:
    most: dict[tuple[PortUse, str], int] = {}
    for prep in now:
        for use, bandwidth_bps in _uses(prep).items():
            key = (use, prep.reservation_id)
            most[key] = max(most.get(key, 0), bandwidth_bps)
    total: dict[PortUse, int] = {}
    for (use, _), bandwidth_bps in most.items():
        total[use] = total.get(use, 0) + bandwidth_bps
    for (stp, direction), bandwidth_bps in total.items():
        if bandwidth_bps > capacities_bps[stp]:
            return (
                f"{stp} {direction} carries {bandwidth_bps} bit/s of {capacities_bps[stp]}"
                f" at {at_s} s"
            )
    return ""


def _uses(prep: ReservationPrep) -> dict[PortUse, int]:
    uses: dict[PortUse, int] = {}
    for segment in prep.segments:
        ways = [(segment.ingress_stp, "in"), (segment.egress_stp, "out")]
        if segment.directionality is Directionality.BIDIRECTIONAL:
            ways += [(segment.ingress_stp, "out"), (segment.egress_stp, "in")]
        for way in ways:
            uses[way] = uses.get(way, 0) + segment.bandwidth_bps
    return uses


def _label_twice(held: Iterable[ReservationPrep]) -> str:
    users: dict[tuple[str, int], list[tuple[int, int, str]]] = {}
    for prep in held:
        for segment in prep.segments:
            for label in (
                (segment.ingress_stp, segment.ingress_vlan),
                (segment.egress_stp, segment.egress_vlan),
            ):
                window = (prep.window.start_s, prep.window.end_s, prep.reservation_id)
                users.setdefault(label, []).append(window)
    for (stp, vlan), windows in users.items():
        windows.sort()
        for (_, end_s, one), (start_s, _, other) in pairwise(windows):
            if start_s < end_s and one != other:
                return f"VLAN {vlan} at {stp} is held by two reservations at {start_s} s"
    return ""
