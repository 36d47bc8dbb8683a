"""Whether what domains hold fits into their ports, reckoned anew from the holds alone.

Independent of the agents' calendars: only the capacities and VLANs of ports are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

from protocol.messages import Joint, ReservationPrep
from substrate.model import Directionality

PortUse = tuple[str, str]
"""An STP and a direction, "in" or "out"."""


def overbooked(preps: Iterable[ReservationPrep], capacities_bps: Mapping[str, int]) -> str:
    """What does not fit; empty when all of these holds of one domain do.

    The parts of one reservation are alternatives: at each instant the most that one of them uses
    counts (docs/decisions/0004). Of reservations that are decided together there are two outcomes,
    the larger of which counts (docs/decisions/0021).
    """
    held = tuple(preps)
    joints = {prep.joint for prep in held if prep.joint is not None}
    undone = [joint for joint in joints if any(_is_before(joint, prep) for prep in held)]
    times = sorted({prep.window.start_s for prep in held})
    for at_s in times:
        now = [prep for prep in held if prep.window.start_s <= at_s < prep.window.end_s]
        problem = _too_much(now, undone, capacities_bps, at_s)
        if problem:
            return problem
    return _label_twice(held)


def _too_much(
    now: list[ReservationPrep],
    joints: Iterable[Joint],
    capacities_bps: Mapping[str, int],
    at_s: int,
) -> str:
    total = Counter[PortUse]()
    alone = {prep.reservation_id for prep in now}
    for joint in joints:
        members = {member for member, _ in joint.members}
        alone -= members
        its = [prep for prep in now if prep.reservation_id in members]
        comes = _most([prep for prep in its if not _is_before(joint, prep)])
        stays = _most([prep for prep in its if prep.joint != joint])
        total += comes | stays
    total += _most([prep for prep in now if prep.reservation_id in alone])
    for (stp, direction), bandwidth_bps in total.items():
        if bandwidth_bps > capacities_bps[stp]:
            return (
                f"{stp} {direction} carries {bandwidth_bps} bit/s of {capacities_bps[stp]}"
                f" at {at_s} s"
            )
    return ""


def _most(preps: Iterable[ReservationPrep]) -> Counter[PortUse]:
    """Per port the sum over reservations of the most that a part of each uses."""
    most: dict[str, Counter[PortUse]] = {}
    for prep in preps:
        most[prep.reservation_id] = most.get(prep.reservation_id, Counter()) | _uses(prep)
    return sum(most.values(), Counter())


def _is_before(joint: Joint, prep: ReservationPrep) -> bool:
    return joint.is_before(prep.reservation_id, prep.version)


def _uses(prep: ReservationPrep) -> Counter[PortUse]:
    uses = Counter[PortUse]()
    for segment in prep.segments:
        ways = [(segment.ingress_stp, "in"), (segment.egress_stp, "out")]
        if segment.directionality is Directionality.BIDIRECTIONAL:
            ways += [(segment.ingress_stp, "out"), (segment.egress_stp, "in")]
        for way in ways:
            uses[way] += segment.bandwidth_bps
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
