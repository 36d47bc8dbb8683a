"""Where a reservation lies, phase by phase, and from when on it may lie elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orchestrator.records import Reservation, search_window
from substrate.bending import Phase, full_s
from substrate.labels import Plan
from substrate.model import Criteria, Path, Segment, Window
from substrate.routes import Crossing, Route
from substrate.settling import Laid
from substrate.splitting import Share
from substrate.topology import Topology
from substrate.values import replace

Phases = tuple[tuple[Phase, Plan], ...]
SWITCH_S = 60
"""A volume that has begun goes another way at a full minute, or sooner if its window is short."""


def volume_of(record: Reservation) -> Criteria | None:
    """What was asked, if that is a volume and no Modify has taken its place."""
    asked = record.asked
    return asked if asked is not None and asked.bend and asked.bend.volume_bytes else None


def free_from_s(record: Reservation, first_s: int, topology: Topology) -> int | None:
    """From when on it may lie elsewhere, no sooner than ``first_s``; None: not at all.

    What has begun goes on, but a volume may be carried otherwise from a full minute on, or the
    like. No phase gets shorter by that than its domains let it be.
    """
    windows, asked = _windows(record), volume_of(record)
    if asked is None:
        # What is phased and no volume migrates at a time.
        may = windows[0].start_s >= first_s and not record.granted.phased
        return windows[0].start_s if may else None
    first_s = full_s(first_s, min(SWITCH_S, asked.window.duration_s // 8))
    if windows[-1].end_s <= first_s:
        return None
    amid = next((w for w in windows if w.start_s < first_s < w.end_s), None)
    if amid is not None:
        domains = (topology.domains.get(part.domain) for part in record.parts)
        least_s = max((d.least_phase_s for d in domains if d is not None), default=0)
        if first_s - amid.start_s < least_s:
            first_s = amid.end_s
    return first_s if windows[-1].end_s > first_s else None


def promised(record: Reservation, from_s: int) -> Criteria:
    """What must still hold of it when it was moved: a volume by its deadline, all else as it is."""
    asked = volume_of(record)
    if asked is None:
        return replace(record.criteria, bend=None)
    return replace(asked, window=search_window(asked.window, from_s))


def slides_within(record: Reservation, first_s: int, wanted: Window) -> Window | None:
    """In which window one that was asked to slide may lie, to make room in the one that is
    ``wanted``; None: it keeps its time.

    No sooner than ``first_s``, and no further from what it has, or from what is wanted, than it
    lasts: the more time is asked about, the less exact is what domains tell.
    """
    asked, has = record.asked, record.criteria.window
    if asked is None or asked.bend is None or not asked.bend.duration_s or has.start_s < first_s:
        return None
    if asked.more_destinations:
        # Its legs are placed one by one, and would go to different times.
        return None
    early_s = min(has.start_s, wanted.start_s) - has.duration_s
    late_s = max(has.end_s, wanted.end_s) + has.duration_s
    window = asked.window
    return Window(max(first_s, window.start_s, early_s), min(window.end_s, late_s))


def phases_of(record: Reservation) -> Phases:
    """What is granted, in order of time. Of a phase that was over when the reservation was moved
    only the paths are known."""
    whole = record.criteria.window
    found = []
    for window in _windows(record):
        paths = tuple(
            replace(path, window=None) for path in record.paths if (path.window or whole) == window
        )
        segments: dict[str, tuple[Segment, ...]] = {
            part.domain: part.segments for part in record.parts if (part.window or whole) == window
        }
        phase = Phase(window, sum(path.bandwidth_bps for path in paths))
        found.append((phase, Plan(paths, segments, depends_on_blind=False)))
    return tuple(found)


def leading_to(stp: str, phases: Phases) -> Phases:
    """The paths of them that lead to one of several destinations."""
    found = []
    for phase, plan in phases:
        paths = tuple(path for path in plan.paths if path.hops[-1].egress_stp == stp)
        bandwidth_bps = sum(path.bandwidth_bps for path in paths)
        found.append((replace(phase, bandwidth_bps=bandwidth_bps), replace(plan, paths=paths)))
    return tuple(found)


def laid_of(phases: Phases, topology: Topology) -> tuple[Laid, ...]:
    """The same as routes and what they carry."""
    return tuple(
        Laid(
            phase,
            tuple(
                Share(_route_of(path, topology), path.bandwidth_bps, path.latency_us)
                for path in plan.paths
            ),
        )
        for phase, plan in phases
    )


def until(phases: Phases, at_s: int) -> Phases:
    """What of them lies before that time."""
    return tuple(
        (_cut(phase, phase.window.start_s, min(phase.window.end_s, at_s)), plan)
        for phase, plan in phases
        if phase.window.start_s < at_s
    )


def since(phases: Phases, at_s: int) -> Phases:
    """What of them lies after that time."""
    return tuple(
        (_cut(phase, max(phase.window.start_s, at_s), phase.window.end_s), plan)
        for phase, plan in phases
        if at_s < phase.window.end_s
    )


def joined(phases: Iterable[tuple[Phase, Plan]]) -> Phases:
    """One phase of what goes on in the very same way."""
    found: list[tuple[Phase, Plan]] = []
    for phase, plan in phases:
        if found:
            before, its = found[-1]
            if before.window.end_s == phase.window.start_s and _way(its) == _way(plan):
                found[-1] = (_cut(before, before.window.start_s, phase.window.end_s), its)
                continue
        found.append((phase, plan))
    return tuple(found)


def _way(plan: Plan) -> frozenset[tuple[int, object]]:
    return frozenset((path.bandwidth_bps, path.hops) for path in plan.paths)


def _cut(phase: Phase, start_s: int, end_s: int) -> Phase:
    return replace(phase, window=Window(start_s, end_s))


def _windows(record: Reservation) -> Sequence[Window]:
    whole = record.criteria.window
    return sorted({path.window or whole for path in record.paths}, key=lambda w: w.start_s)


def _route_of(path: Path, topology: Topology) -> Route:
    crossings = tuple(Crossing(hop.domain, hop.ingress_stp, hop.egress_stp) for hop in path.hops)
    ports = (topology.ports.get(crossing.egress_stp) for crossing in crossings[:-1])
    return Route(crossings, sum(port.latency_us for port in ports if port is not None))
