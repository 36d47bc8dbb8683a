"""Whether what domains hold fits into their ports, reckoned anew from the holds alone.

Independent of the agents' calendars: only the capacities and VLANs of ports are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from protocol.messages import Joint, ReservationPrep
from substrate.model import Directionality

PortUse = tuple[str, str]
"""An STP and a direction, "in" or "out"; also another resource inside."""


@dataclass(frozen=True, slots=True)
class Inner:
    """What a part takes inside its domain: amounts, and labels at STPs."""

    uses: Counter[PortUse] = field(default_factory=Counter)
    labels: frozenset[tuple[str, int]] = frozenset()


InnerOf = Callable[[ReservationPrep], Inner]


def overbooked(
    preps: Iterable[ReservationPrep],
    capacities_bps: Mapping[str, int],
    inner: InnerOf = lambda _prep: Inner(),
) -> str:
    """What does not fit; empty when all of these holds of one domain do. ``inner``: of providers.

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
        problem = _too_much(now, undone, capacities_bps, at_s, inner)
        if problem:
            return problem
    return _label_twice(held, inner)


def _too_much(
    now: list[ReservationPrep],
    joints: Iterable[Joint],
    capacities_bps: Mapping[str, int],
    at_s: int,
    inner: InnerOf,
) -> str:
    total = Counter[PortUse]()
    alone = {prep.reservation_id for prep in now}
    for joint in joints:
        members = {member for member, _ in joint.members}
        alone -= members
        its = [prep for prep in now if prep.reservation_id in members]
        comes = _most([prep for prep in its if not _is_before(joint, prep)], inner)
        stays = _most([prep for prep in its if prep.joint != joint], inner)
        total += comes | stays
    total += _most([prep for prep in now if prep.reservation_id in alone], inner)
    for (stp, direction), bandwidth_bps in total.items():
        if bandwidth_bps > capacities_bps[stp]:
            has = f"{bandwidth_bps} bit/s" if ":" in stp else f"{bandwidth_bps}"
            return f"{stp} {direction} carries {has} of {capacities_bps[stp]} at {at_s} s"
    return ""


def _most(preps: Iterable[ReservationPrep], inner: InnerOf) -> Counter[PortUse]:
    """Per port the sum over reservations of the most that a part of each uses."""
    most: dict[str, Counter[PortUse]] = {}
    for prep in preps:
        uses = _uses(prep) + inner(prep).uses
        most[prep.reservation_id] = most.get(prep.reservation_id, Counter()) | uses
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


def _label_twice(held: Iterable[ReservationPrep], inner: InnerOf) -> str:
    users: dict[tuple[str, int], list[tuple[int, int, str]]] = {}
    for prep in held:
        labels = [
            label
            for s in prep.segments
            for label in ((s.ingress_stp, s.ingress_vlan), (s.egress_stp, s.egress_vlan))
        ]
        for label in (*labels, *sorted(inner(prep).labels)):
            window = (prep.window.start_s, prep.window.end_s, prep.reservation_id)
            users.setdefault(label, []).append(window)
    for (stp, vlan), windows in users.items():
        ends: dict[str, int] = {}
        for start_s, end_s, one in sorted(windows):
            if any(until_s > start_s for other, until_s in ends.items() if other != one):
                return f"VLAN {vlan} at {stp} is held by two reservations at {start_s} s"
            ends[one] = max(ends.get(one, end_s), end_s)
    return ""
