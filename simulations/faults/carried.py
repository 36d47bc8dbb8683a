"""Whether what users are told stands behind is carried: by paths, and by what domains promised.

Reckoned from the record, the parts and what was asked for alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import combinations, pairwise

from orchestrator.records import Reservation
from protocol.messages import ReservationPrep
from substrate.model import Criteria, Disjointness, Hop, Path, Window, domain_of

Peers = Mapping[str, str]
"""Per port that other to which it is wired."""


def uncarried(
    record: Reservation, preps: Iterable[ReservationPrep], asked: Criteria, peers: Peers
) -> str:
    """What of a COMMITTED reservation is not there at some time; empty when all of it is.

    ``preps``: the parts that domains promised for its version in force. In a migration the old
    paths or the new ones carry all of it to every destination at each instant.
    """
    problem = unpromised(record, preps)
    if not problem:
        problem = next(filter(None, (_astray(record, path, peers) for path in record.paths)), "")
    if not problem and record.criteria.constraints.survive:
        problem = next(filter(None, (_frail(each, record) for each in _sets(record))), "")
    if problem:
        return problem
    if asked.bend is None or not asked.bend.volume_bytes:
        return _constant(record)
    return _moved(record, asked.bend.volume_bytes)


def unpromised(record: Reservation, preps: Iterable[ReservationPrep]) -> str:
    """A hop that nobody promised as wide as all paths over it, or that must be avoided."""
    held, wanted = tuple(preps), Counter[tuple[Hop, Window]]()
    whole, avoided = record.criteria.window, record.criteria.constraints.avoid_domains
    for path in record.paths:
        window = path.window or whole
        crossed = {hop.domain for hop in path.hops}.intersection(avoided)
        if window.end_s >= whole.end_s and crossed:
            return f"a path that lasts crosses {min(crossed)}"
        # What was over when the rest was moved is only told.
        if window.end_s * 1000 > record.updated_ms:
            wanted.update({(hop, window): path.bandwidth_bps for hop in path.hops})
    for (hop, window), bandwidth_bps in wanted.items():
        if not any(_covers(prep, hop, bandwidth_bps, window) for prep in held):
            return f"nobody promised {hop.ingress_stp} to {hop.egress_stp} for all of its path"
    return ""


def broken(path: Path, peers: Peers) -> str:
    """Where a path does not lead on with the same VLAN; empty when it does everywhere."""
    for one, other in pairwise(path.hops):
        wired = peers.get(one.egress_stp) == other.ingress_stp
        if not wired or one.egress_vlan != other.ingress_vlan:
            return (
                f"leaves by {one.egress_stp} with VLAN {one.egress_vlan}"
                f" and enters {other.ingress_stp} with {other.ingress_vlan}"
            )
    return ""


def _astray(record: Reservation, path: Path, peers: Peers) -> str:
    """A path that does not join what was asked for, or not by the way that was asked for."""
    criteria, first, last = record.criteria, path.hops[0], path.hops[-1]
    if first.ingress_stp != criteria.source or last.egress_stp not in criteria.destinations:
        return f"a path leads from {first.ingress_stp} to {last.egress_stp}"
    window, whole = path.window or criteria.window, criteria.window
    if window.start_s < whole.start_s or whole.end_s < window.end_s:
        return f"a path lasts from {window.start_s} to {window.end_s} s, which is outside"
    missed = set(criteria.constraints.via_domains) - {hop.domain for hop in path.hops}
    # The paths before a migration kept what was asked for then.
    if missed and window.end_s == whole.end_s:
        return f"a path does not cross {min(missed)}"
    problem = broken(path, peers)
    return problem and f"a path {problem}"


def _sets(record: Reservation) -> list[list[Path]]:
    """The paths to each destination at a time, but of what a migration leaves."""
    found: dict[tuple[str, Window], list[Path]] = {}
    for path in record.paths:
        window = path.window or record.criteria.window
        if window.end_s == record.criteria.window.end_s:
            found.setdefault((path.hops[-1].egress_stp, window), []).append(path)
    return list(found.values())


def _frail(paths: Collection[Path], record: Reservation) -> str:
    """What two paths share that must not, or too little that the loss of some would leave."""
    limits = record.criteria.constraints
    ends = {domain_of(stp) for stp in (record.criteria.source, *record.criteria.destinations)}
    for one, other in combinations(paths, 2):
        shared = _links(one) & _links(other)
        if limits.disjoint is Disjointness.DOMAIN:
            shared |= {hop.domain for hop in one.hops} & {hop.domain for hop in other.hops} - ends
        if shared:
            return f"two paths that are to survive losses share {min(shared)}"
    left_bps = sum(sorted(path.bandwidth_bps for path in paths)[: -limits.survive])
    if left_bps < limits.remaining_bps:
        return f"losses leave {left_bps} bit/s of {limits.remaining_bps}"
    return ""


def _links(path: Path) -> set[str]:
    return {hop.egress_stp for hop in path.hops[:-1]}


def _constant(record: Reservation) -> str:
    """Of a constant rate, which leads to every destination."""
    problems = (_constant_to(record, stp) for stp in record.criteria.destinations)
    return next(filter(None, problems), "")


def _constant_to(record: Reservation, stp: str) -> str:
    wanted, whole = record.criteria.bandwidth_bps, record.criteria.window
    own = (path for path in record.paths if path.hops[-1].egress_stp == stp)
    timed = [(path.window or whole, path.bandwidth_bps) for path in own]
    cuts = {at_s for window, _ in timed for at_s in (window.start_s, window.end_s)}
    for start_s, end_s in pairwise(sorted({whole.start_s, whole.end_s, *cuts})):
        carried = sum(bps for w, bps in timed if w.start_s <= start_s and end_s <= w.end_s)
        if carried < wanted or (carried > wanted and len(cuts) == 2):
            when = f"from {start_s} to {end_s} s"
            return f"its paths to {stp} carry {carried} bit/s of {wanted} {when}"
    return ""


def _moved(record: Reservation, volume_bytes: int) -> str:
    whole = record.criteria.window
    moved = sum((p.window or whole).duration_s * p.bandwidth_bps for p in record.paths) // 8
    return "" if moved >= volume_bytes else f"its paths move {moved} bytes of {volume_bytes}"


def _covers(prep: ReservationPrep, hop: Hop, bandwidth_bps: int, window: Window) -> bool:
    if not (prep.window.start_s <= window.start_s and window.end_s <= prep.window.end_s):
        return False
    return bandwidth_bps <= sum(
        s.bandwidth_bps
        for s in prep.segments
        if (s.ingress_stp, s.ingress_vlan, s.egress_stp, s.egress_vlan)
        == (hop.ingress_stp, hop.ingress_vlan, hop.egress_stp, hop.egress_vlan)
    )
