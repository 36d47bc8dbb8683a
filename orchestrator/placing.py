"""Places a refused circuit and others that may be moved, all together. Pure.

What domains say is laid on common slots (substrate.repacking); what comes out gets VLANs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.book import Live
from orchestrator.negotiation import Question
from orchestrator.records import Granted, Reservation, granted
from protocol.messages import SendOffers
from substrate.bending import Phase, rigid
from substrate.forecast import Forecast, Resource, forecast
from substrate.labels import Plan, assign_labels
from substrate.model import Criteria, Directionality, Path, Profile, Refusal, Window
from substrate.options import Supply, has_vlans
from substrate.repacking import IN, OUT, Laid, Layout, Mover, Row, repack
from substrate.routes import Crossing, Route
from substrate.splitting import Share
from substrate.topology import Topology
from substrate.vlans import EMPTY, VlanSet

WINDOWS_MAX = 4
"""In how many places is looked for room for what may slide."""

Phases = tuple[tuple[Phase, Plan], ...]


@dataclass(frozen=True, slots=True)
class Moving:
    """A reservation as it is now, and what it would be."""

    live: Live
    before: Reservation
    grant: Granted
    phases: Phases


@dataclass(frozen=True, slots=True)
class Room:
    """What would be granted, and what would be moved for it."""

    grant: Granted
    phases: Phases
    moves: tuple[Moving, ...]


@dataclass(frozen=True)
class Circuit:
    """What must be placed: the refused one, or one that may be moved and lies at ``present``."""

    reservation_id: str
    criteria: Criteria
    present: tuple[Laid, ...] = ()
    live: Live | None = None
    before: Reservation | None = None


@dataclass(frozen=True)
class Placed:
    """A circuit, where it may lie, and what the domains say."""

    circuit: Circuit
    mover: Mover
    supply: Supply


def left_of(criteria: Criteria, now_s: int) -> Criteria:
    """What is left of the window."""
    start_s = max(criteria.window.start_s, now_s)
    return replace(criteria, window=Window(start_s, max(criteria.window.end_s, start_s + 1)))


def promised(record: Reservation, first_s: int) -> Criteria:
    """What must still hold of it when it was moved: a volume by its deadline, all else as it is."""
    asked = volume_of(record)
    return replace(record.criteria, bend=None) if asked is None else left_of(asked, first_s)


def volume_of(record: Reservation) -> Criteria | None:
    """What was asked, if that is a volume; after a Modify what counts is what it asked for."""
    asked = None if record.modified else record.asked
    return asked if asked is not None and asked.bend and asked.bend.volume_bytes else None


def mover_of(
    circuit: Circuit, routes: Sequence[Route], supply: Supply, topology: Topology
) -> Mover:
    """With the routes that it may use, and those that it has."""
    criteria, present = circuit.criteria, circuit.present
    lying = {share.route for laid in present for share in laid.shares}
    usable: dict[Route, int] = {}
    most_us = criteria.constraints.max_latency_us
    for route in routes:
        latency_us = route.latency_us + sum(
            supply.pair_latency_us.get(pair, 0) for pair in route.pairs
        )
        told = all(
            crossing.domain in topology.blind or pair in supply.pair_bps
            for crossing, pair in zip(route.crossings, route.pairs, strict=True)
        )
        may = told and supply.down.isdisjoint(route.domains)
        near = most_us is None or latency_us <= most_us
        labelled = has_vlans(route, criteria.constraints, supply, topology)
        if may and (route in lying or (near and labelled)):
            usable[route] = latency_us
    domains = {name for route in usable for name in route.domains}
    least = max((topology.domains[name].least_rate_bps for name in domains), default=1)
    return Mover(criteria, usable, present, max(1, least))


def present_of(record: Reservation, topology: Topology) -> tuple[Laid, ...]:
    """The phases of what is granted, in order of time."""
    phases: dict[Window, list[Path]] = {}
    for path in record.paths:
        phases.setdefault(path.window or record.criteria.window, []).append(path)
    laid = []
    for window in sorted(phases, key=lambda w: w.start_s):
        shares = tuple(
            Share(_route_of(path, topology), path.bandwidth_bps, path.latency_us)
            for path in phases[window]
        )
        total_bps = sum(share.bandwidth_bps for share in shares)
        laid.append(Laid(Phase(window, total_bps), shares))
    return tuple(laid)


def _route_of(path: Path, topology: Topology) -> Route:
    crossings = tuple(Crossing(hop.domain, hop.ingress_stp, hop.egress_stp) for hop in path.hops)
    ports = (topology.ports.get(crossing.egress_stp) for crossing in crossings[:-1])
    return Route(crossings, sum(port.latency_us for port in ports if port is not None))


def placed_together(
    placed: Sequence[Placed], common: Forecast
) -> tuple[list[Placed], Layout] | None:
    """How all lie together; of one that may slide or shrink, where it does so first."""
    first, *others = placed
    for criteria in _shapes(first.mover.criteria, common):
        changed = replace(first, mover=replace(first.mover, criteria=criteria))
        tried = [changed, *others]
        layout = repack(common, [one.mover for one in tried])
        if layout is not None:
            return tried, layout
    return None


def _shapes(criteria: Criteria, common: Forecast) -> list[Criteria]:
    """Rigid criteria that would do, the best first; a volume as it is."""
    bend = criteria.bend
    if bend is None or bend.volume_bytes:
        return [criteria]
    rates_bps = (
        [criteria.bandwidth_bps, bend.least_bps] if bend.least_bps else [criteria.bandwidth_bps]
    )
    windows = [criteria.window]
    if bend.duration_s:
        last_s = criteria.window.end_s - bend.duration_s
        starts_s = [s for s in common.cuts if criteria.window.start_s <= s <= last_s]
        step = max(1, -(-len(starts_s) // WINDOWS_MAX))
        windows = [Window(s, s + bend.duration_s) for s in starts_s[::step]]
    return [rigid(criteria, Phase(window, bps)) for bps in rates_bps for window in windows]


def common_forecast(
    topology: Topology,
    placed: Sequence[Placed],
    span: Window,
    told: Sequence[tuple[Directionality, SendOffers]],
) -> Forecast:
    """What is free of each row; where it was told several times, the most: each says no more than
    there is."""
    instants: set[int] = set()
    least_s = 1
    for one in placed:
        windows = [one.mover.criteria.window, *(laid.phase.window for laid in one.mover.present)]
        instants.update(at_s for w in windows for at_s in (w.start_s, w.end_s))
        if one.mover.bits:
            names = {name for route in one.mover.routes for name in route.domains}
            least_s = max([least_s, *(topology.domains[name].least_phase_s for name in names)])
    every: dict[Resource, Profile] = {}
    rows: list[Row] = []
    for number, (directionality, offers) in enumerate(told):
        for row, profile in _profiles(directionality, offers):
            every[f"{number} {row[0]}", row[1]] = profile
            rows.append(row)
    found = forecast(span, Supply(), every, also=instants, least_slot_s=least_s)
    resources = tuple(dict.fromkeys(rows))
    levels = np.zeros((len(resources), found.slots), dtype=np.int64)
    at = {row: i for i, row in enumerate(resources)}
    for row, level in zip(rows, found.levels, strict=True):
        np.maximum(levels[at[row]], level, out=levels[at[row]])
    return replace(found, resources=resources, levels=levels)


def _profiles(directionality: Directionality, offers: SendOffers) -> Iterator[tuple[Row, Profile]]:
    """What a domain says of the rows that it was asked about."""
    entered = {offer.ingress_stp for offer in offers.offers}
    left = {offer.egress_stp for offer in offers.offers}
    if directionality is Directionality.BIDIRECTIONAL:
        entered = left = entered | left
    for offer in offers.offers:
        yield (offer.ingress_stp, offer.egress_stp), offer.profile
    for port in offers.ports:
        for side, stps in ((IN, entered), (OUT, left)):
            if port.stp in stps:
                yield (side, port.stp), port.profile


def moved_bits(mover: Mover, laid: Sequence[Laid]) -> int:
    """How much lies elsewhere than it did."""
    stays = {(one.phase.window, share) for one in mover.present for share in one.shares}
    return sum(
        share.bandwidth_bps * one.phase.window.duration_s
        for one in laid
        for share in one.shares
        if (one.phase.window, share) not in stays
    )


def room_of(
    question: Question,
    first: Placed,
    laid: tuple[Laid, ...],
    moved: Sequence[tuple[Placed, tuple[Laid, ...]]],
) -> Room | None:
    """With VLANs; no two of them take the same one."""
    taken: dict[str, VlanSet] = {}
    phases = _labelled(first, laid, question, taken)
    if phases is None:
        return None
    moves = []
    for one, its in moved:
        live, before = one.circuit.live, one.circuit.before
        assert live is not None
        assert before is not None
        again = _labelled(one, its, question, taken)
        if again is None:
            return None
        moves.append(Moving(live, before, granted(one.mover.criteria, again), again))
    grant = granted(first.mover.criteria, phases)
    told = tuple((moving.before.reservation_id, moving.grant) for moving in moves)
    return Room(replace(grant, moves=told), phases, tuple(moves))


def _labelled(
    one: Placed, laid: Sequence[Laid], question: Question, taken: dict[str, VlanSet]
) -> Phases | None:
    found: list[tuple[Phase, Plan]] = []
    for each in laid:
        criteria = rigid(one.mover.criteria, each.phase)
        supply = _with_own(one, each.phase.window, taken)
        plan = assign_labels(
            criteria, each.shares, supply, question.topology, start=question.label_start
        )
        if isinstance(plan, Refusal):
            return None
        found.append((each.phase, plan))
    for path in (path for _, plan in found for path in plan.paths):
        for stp, vlan in _labels(path):
            taken[stp] = taken.get(stp, EMPTY) | VlanSet.of(vlan)
    return tuple(found)


def _with_own(one: Placed, window: Window, taken: Mapping[str, VlanSet]) -> Supply:
    """What is known, with the VLANs that it has at that time, and without those taken."""
    vlans = dict(one.supply.port_vlans)
    before = one.circuit.before
    for path in before.paths if before is not None else ():
        has = path.window or one.mover.criteria.window
        if has.start_s <= window.start_s and window.end_s <= has.end_s:
            for stp, vlan in _labels(path):
                vlans[stp] = vlans.get(stp, EMPTY) | VlanSet.of(vlan)
    return replace(one.supply, port_vlans=vlans, banned_vlans=dict(taken))


def _labels(path: Path) -> Iterator[tuple[str, int]]:
    for hop in path.hops:
        yield hop.ingress_stp, hop.ingress_vlan
        yield hop.egress_stp, hop.egress_vlan
