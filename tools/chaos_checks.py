"""What must hold in a world under fire, found from what agents and orchestrators say. Pure.

Independent of the agents' code: ports are added up here again, from the segments of Holdings.
A *violation* can never be mended; what is *unresolved* only takes longer than it may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

from braid.v1 import agent_pb2, common_pb2, reservations_pb2 as pb

PortDirection = tuple[str, str]
"""(STP, "in" or "out") as seen from the domain."""
Way = tuple[str, int, str, int]
"""(ingress STP, its VLAN, egress STP, its VLAN)."""
Holdings = Mapping[str, Sequence[agent_pb2.Holding]]
"""What each domain holds, by its name."""
ACTIVE_AFTER_S = 30
"""After the start of its window, until a part must carry traffic."""


@dataclass(slots=True)
class Asked:
    """One Reserve and what was heard of it.

    ``record``: the last acknowledgement, of Reserve, Modify or Cancel; None before the first.
    ``busy``: a request is under way, so what will be acknowledged next is not known.
    ``heard``: counts acknowledgements.
    """

    request_id: str
    record: pb.ReservationRecord | None = None
    busy: bool = False
    heard: int = 0

    @property
    def promised(self) -> bool:
        """A user counts on it now."""
        committed = pb.RESERVATION_STATE_COMMITTED
        return not self.busy and self.record is not None and self.record.state == committed


@dataclass(slots=True)
class Findings:
    """What is wrong, one sentence each."""

    violations: list[str] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Takes over what another check found."""
        self.violations += other.violations
        self.unresolved += other.unresolved


def expected(record: pb.ReservationRecord) -> dict[str, dict[Way, int]]:
    """What each domain must carry for a record, in bit/s, by its paths."""
    found: dict[str, dict[Way, int]] = {}
    for path in record.paths:
        for hop in path.hops:
            ways = found.setdefault(hop.domain, {})
            way = (hop.ingress_stp, hop.ingress_vlan, hop.egress_stp, hop.egress_vlan)
            ways[way] = ways.get(way, 0) + path.bandwidth_bps
    return found


def carried(holding: agent_pb2.Holding) -> dict[Way, int]:
    """What a part carries, in bit/s."""
    found: dict[Way, int] = {}
    for s in holding.segments:
        way = (s.ingress_stp, s.ingress_vlan, s.egress_stp, s.egress_vlan)
        found[way] = found.get(way, 0) + s.bandwidth_bps
    return found


def uses(holding: agent_pb2.Holding) -> dict[PortDirection, int]:
    """What a part takes of each port and direction, in bit/s."""
    found: dict[PortDirection, int] = {}
    for s in holding.segments:
        ports = [(s.ingress_stp, "in"), (s.egress_stp, "out")]
        if s.directionality != common_pb2.DIRECTIONALITY_UNIDIRECTIONAL:
            ports += [(s.ingress_stp, "out"), (s.egress_stp, "in")]
        for port in ports:
            found[port] = found.get(port, 0) + s.bandwidth_bps
    return found


def booked_over(
    capacities: Mapping[str, int], holdings: Sequence[agent_pb2.Holding]
) -> Iterator[str]:
    """Ports of one domain of which more is held than there is, at some instant.

    ``capacities``: bit/s per direction by STP. Parts of one reservation are alternatives: the most
    that any of them takes counts.
    """
    held: dict[PortDirection, list[tuple[int, int, str, int]]] = {}
    for holding in holdings:
        window = holding.window
        for port, bps in uses(holding).items():
            row = (window.start_s, window.end_s, holding.reservation_id, bps)
            held.setdefault(port, []).append(row)
    for (stp, direction), rows in sorted(held.items()):
        capacity = capacities.get(stp, 0)
        times = sorted({row[0] for row in rows})
        sums = ((_held_at(rows, at_s), at_s) for at_s in times)
        most, at_s = max(sums, default=(0, 0))
        if most > capacity:
            yield f"{stp} ({direction}): {most} of {capacity} bit/s are held at {at_s}"


def _held_at(rows: Iterable[tuple[int, int, str, int]], at_s: int) -> int:
    """The sum at an instant; more can only be held where some part begins."""
    most: dict[str, int] = {}
    for start_s, end_s, reservation_id, bps in rows:
        if start_s <= at_s < end_s:
            most[reservation_id] = max(bps, most.get(reservation_id, 0))
    return sum(most.values())


def labels_twice(holdings: Iterable[agent_pb2.Holding]) -> Iterator[str]:
    """VLANs of a port that two reservations hold at one instant."""
    taken: dict[tuple[str, int], list[tuple[int, int, str]]] = {}
    for holding in holdings:
        ends = chain.from_iterable(
            ((s.ingress_stp, s.ingress_vlan), (s.egress_stp, s.egress_vlan))
            for s in holding.segments
        )
        for label in set(ends):
            row = (holding.window.start_s, holding.window.end_s, holding.reservation_id)
            taken.setdefault(label, []).append(row)
    for (stp, vlan), rows in sorted(taken.items()):
        for i, (start_s, end_s, one) in enumerate(sorted(rows)):
            for other_start_s, other_end_s, other in sorted(rows)[i + 1 :]:
                if one != other and max(start_s, other_start_s) < min(end_s, other_end_s):
                    yield f"VLAN {vlan} of {stp} is held by {one} and by {other}"


def check_domain(
    domain: str,
    capacities: Mapping[str, int],
    holdings: Sequence[agent_pb2.Holding],
    promised: Iterable[pb.ReservationRecord],
) -> Findings:
    """What must hold at every instant: no port and no VLAN held twice, every promise kept.

    ``promised``: the records that users counted on for as long as the holdings were being read.
    """
    found = Findings()
    found.violations += [f"{domain}: {text}" for text in booked_over(capacities, holdings)]
    found.violations += [f"{domain}: {text}" for text in labels_twice(holdings)]
    by_reservation = _by_reservation(holdings)
    for record in promised:
        wanted = expected(record).get(domain)
        parts = by_reservation.get(record.reservation_id, [])
        if wanted is not None and not any(_serves(part, wanted, record) for part in parts):
            found.violations.append(
                f"{domain}: {_name(record)} is promised and no part of it is held"
                f" (of {len(parts)} parts)"
            )
    return found


def check_end(
    asked: Iterable[Asked],
    known: Mapping[str, pb.ReservationRecord],
    held: Holdings,
    capacities: Mapping[str, Mapping[str, int]],
    now_s: int,
) -> Findings:
    """What must hold once everything had its time: all of it decided, each part held once or not.

    ``known``: what the orchestrator now says, by request_id. ``capacities`` by domain and STP.
    """
    found = Findings()
    standing: dict[str, pb.ReservationRecord] = {}
    seen: set[str] = set()
    for item in asked:
        seen.add(item.request_id)
        record = known.get(item.request_id)
        found.add(_check_request(item, record))
        if record is not None and record.state == pb.RESERVATION_STATE_COMMITTED:
            standing[record.reservation_id] = record
    for request_id in sorted(known.keys() - seen):
        found.violations.append(f"request {request_id} is recorded and was never made")
    for domain in sorted(held):
        found.add(check_domain(domain, capacities.get(domain, {}), held[domain], ()))
        found.add(_check_parts(domain, held[domain], standing))
        found.unresolved += _inactive(domain, held[domain], standing, now_s)
    return found


def _check_request(item: Asked, now: pb.ReservationRecord | None) -> Findings:
    """Whether the orchestrator still says what the user has heard."""
    found = Findings()
    name = f"request {item.request_id}"
    heard = item.record
    if item.busy:
        found.unresolved.append(f"{name} has no answer")
    if now is None:
        if heard is not None:
            found.violations.append(f"{name} was acknowledged and is not known")
        return found
    if now.state == pb.RESERVATION_STATE_NEGOTIATING or now.modifying:
        found.unresolved.append(f"{name} is not decided: {_name(now)}")
    if heard is None or item.busy:
        return found
    differences = [
        text
        for text, same in (
            ("state", heard.state == now.state),
            ("version", heard.version == now.version),
            ("paths", list(heard.paths) == list(now.paths)),
            ("bandwidth", heard.criteria.bandwidth_bps == now.criteria.bandwidth_bps),
            ("window", heard.criteria.window == now.criteria.window),
            ("id", heard.reservation_id == now.reservation_id),
        )
        if not same
    ]
    if differences:
        what = ", ".join(differences)
        found.violations.append(f"{name}: heard {_name(heard)}, now {_name(now)}: other {what}")
    return found


def _check_parts(
    domain: str,
    holdings: Sequence[agent_pb2.Holding],
    standing: Mapping[str, pb.ReservationRecord],
) -> Findings:
    """Exactly one part in force for each standing reservation through the domain, no others."""
    found = Findings()
    by_reservation = _by_reservation(holdings)
    for reservation_id, record in sorted(standing.items()):
        wanted = expected(record).get(domain)
        if wanted is None:
            continue
        parts = by_reservation.get(reservation_id, [])
        right = [part for part in parts if _serves(part, wanted, record)]
        in_force = [p for p in right if p.state == agent_pb2.HOLDING_STATE_COMMITTED]
        if not right:
            found.violations.append(f"{domain}: {_name(record)} is lost ({len(parts)} parts)")
        elif not in_force:
            found.unresolved.append(f"{domain}: {_name(record)} is held but not in force")
        elif len(in_force) > 1:
            found.violations.append(f"{domain}: {_name(record)} is held {len(in_force)} times")
    for reservation_id, parts in sorted(by_reservation.items()):
        wanted_here = expected(standing[reservation_id]) if reservation_id in standing else {}
        spare = len(parts) - (1 if domain in wanted_here else 0)
        if spare > 0:
            states = ", ".join(agent_pb2.HoldingState.Name(part.state) for part in parts)
            found.unresolved.append(f"{domain}: {spare} left over of {reservation_id} ({states})")
    return found


def _inactive(
    domain: str,
    holdings: Iterable[agent_pb2.Holding],
    standing: Mapping[str, pb.ReservationRecord],
    now_s: int,
) -> Iterator[str]:
    """Parts in force whose time has come and that carry no traffic, or are not said to."""
    for holding in holdings:
        window, record = holding.window, standing.get(holding.reservation_id)
        if record is None or not window.start_s + ACTIVE_AFTER_S <= now_s < window.end_s:
            continue
        said = [part.data_plane for part in record.parts if part.domain == domain]
        if {holding.data_plane, *said} != {common_pb2.DATA_PLANE_STATE_ACTIVE}:
            names = [common_pb2.DataPlaneState.Name(s) for s in (holding.data_plane, *said)]
            yield f"{domain}: {_name(record)} is not active: {', '.join(names)}"


def _by_reservation(
    holdings: Iterable[agent_pb2.Holding],
) -> dict[str, list[agent_pb2.Holding]]:
    found: dict[str, list[agent_pb2.Holding]] = {}
    for holding in holdings:
        found.setdefault(holding.reservation_id, []).append(holding)
    return found


def _serves(
    part: agent_pb2.Holding, wanted: Mapping[Way, int], record: pb.ReservationRecord
) -> bool:
    return part.window == record.criteria.window and carried(part) == wanted


def _name(record: pb.ReservationRecord) -> str:
    state = pb.ReservationState.Name(record.state).removeprefix("RESERVATION_STATE_")
    return f"{record.reservation_id} v{record.version} {state}"


def unjoined(record: pb.ReservationRecord) -> Iterator[str]:
    """Places where a path changes its VLAN between two domains."""
    for path in record.paths:
        for left, right in pairwise(path.hops):
            if left.egress_vlan != right.ingress_vlan:
                yield f"{_name(record)}: {left.egress_stp} and {right.ingress_stp} differ in VLAN"
