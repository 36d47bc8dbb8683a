"""Whether what domains hold fits into their ports, reckoned anew from the holds alone.

Independent of the agents' calendars: only the capacities and VLANs of ports are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
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


NOTHING = Inner()

InnerOf = Callable[[ReservationPrep], Inner]


def overbooked(
    preps: Iterable[ReservationPrep],
    capacities_bps: Mapping[str, int],
    inner: InnerOf = lambda _prep: NOTHING,
) -> str:
    """What does not fit; empty when all of these holds of one domain do. ``inner``: of providers.

    The parts of one reservation are alternatives: at each instant the most that one of them uses
    counts (docs/decisions/0004). Of reservations that are decided together there are two outcomes,
    the larger of which counts (docs/decisions/0021).
    """
    held = tuple(preps)
    takes = [inner(prep) for prep in held]
    uses = {id(prep): _uses(prep, took.uses) for prep, took in zip(held, takes, strict=True)}
    joints = {prep.joint for prep in held if prep.joint is not None}
    undone = [joint for joint in joints if any(_is_before(joint, prep) for prep in held)]
    times = sorted({prep.window.start_s for prep in held})
    for at_s in times:
        now = [prep for prep in held if prep.window.start_s <= at_s < prep.window.end_s]
        problem = _too_much(now, undone, capacities_bps, at_s, uses)
        if problem:
            return problem
    return _label_twice(held, takes)


_Used = Mapping[int, Mapping[PortUse, int]]
"""What each part uses, by its identity."""


def _too_much(
    now: list[ReservationPrep],
    joints: Collection[Joint],
    capacities_bps: Mapping[str, int],
    at_s: int,
    used: _Used,
) -> str:
    total: Mapping[PortUse, int]
    total = _together(now, joints, used) if joints else _most(now, used)
    for (stp, direction), bandwidth_bps in total.items():
        if bandwidth_bps > capacities_bps[stp]:
            has = f"{bandwidth_bps} bit/s" if ":" in stp else f"{bandwidth_bps}"
            return f"{stp} {direction} carries {has} of {capacities_bps[stp]} at {at_s} s"
    return ""


def _together(
    now: list[ReservationPrep], joints: Iterable[Joint], used: _Used
) -> Mapping[PortUse, int]:
    total = Counter[PortUse]()
    alone = {prep.reservation_id for prep in now}
    for joint in joints:
        members = {member for member, _ in joint.members}
        alone -= members
        its = [prep for prep in now if prep.reservation_id in members]
        comes = _most([prep for prep in its if not _is_before(joint, prep)], used)
        stays = _most([prep for prep in its if prep.joint != joint], used)
        total += Counter(comes) | Counter(stays)
    return total + Counter(_most([prep for prep in now if prep.reservation_id in alone], used))


def _most(preps: Iterable[ReservationPrep], used: _Used) -> dict[PortUse, int]:
    """Per port the sum over reservations of the most that a part of each uses."""
    most: dict[str, Mapping[PortUse, int]] = {}
    for prep in preps:
        uses, before = used[id(prep)], most.get(prep.reservation_id)
        if before is not None:
            uses = Counter(before) | Counter(uses)
        most[prep.reservation_id] = uses
    total: dict[PortUse, int] = {}
    for uses in most.values():
        for port, amount in uses.items():
            total[port] = total.get(port, 0) + amount
    return total


def _is_before(joint: Joint, prep: ReservationPrep) -> bool:
    return joint.is_before(prep.reservation_id, prep.version)


def _uses(prep: ReservationPrep, inner: Mapping[PortUse, int]) -> dict[PortUse, int]:
    uses: dict[PortUse, int] = {}
    for segment in prep.segments:
        ways = [(segment.ingress_stp, "in"), (segment.egress_stp, "out")]
        if segment.directionality is Directionality.BIDIRECTIONAL:
            ways += [(segment.ingress_stp, "out"), (segment.egress_stp, "in")]
        for way in ways:
            uses[way] = uses.get(way, 0) + segment.bandwidth_bps
    for use, amount in inner.items():
        uses[use] = uses.get(use, 0) + amount
    return uses


def _label_twice(held: Iterable[ReservationPrep], takes: Iterable[Inner]) -> str:
    users: dict[tuple[str, int], list[tuple[int, int, str]]] = {}
    for prep, took in zip(held, takes, strict=True):
        window = (prep.window.start_s, prep.window.end_s, prep.reservation_id)
        for s in prep.segments:
            users.setdefault((s.ingress_stp, s.ingress_vlan), []).append(window)
            users.setdefault((s.egress_stp, s.egress_vlan), []).append(window)
        for label in sorted(took.labels):
            users.setdefault(label, []).append(window)
    for (stp, vlan), windows in users.items():
        if len(windows) == 1:
            continue
        ends: dict[str, int] = {}
        for start_s, end_s, one in sorted(windows):
            if any(until_s > start_s for other, until_s in ends.items() if other != one):
                return f"VLAN {vlan} at {stp} is held by two reservations at {start_s} s"
            ends[one] = max(ends.get(one, end_s), end_s)
    return ""
