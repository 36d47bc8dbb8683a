"""Places a refused circuit and others that may be moved, all together. Pure.

What domains say is laid on common slots (substrate.repacking); what comes out gets VLANs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.book import Live
from orchestrator.lying import (
    Phases,
    joined,
    laid_of,
    leading_to,
    phases_of,
    promised,
    since,
    until,
)
from orchestrator.negotiation import Question
from orchestrator.records import Granted, Reservation, granted, search_window
from protocol.messages import SendOffers
from substrate.bending import Phase, rigid
from substrate.forecast import Forecast, Resource, forecast
from substrate.labels import Plan, assign_labels, labels_of
from substrate.legs import joined as all_legs, legs_of
from substrate.model import Criteria, Directionality, Path, Profile, Refusal, Window
from substrate.options import Supply, has_vlans
from substrate.repacking import repack
from substrate.routes import Route
from substrate.settling import IN, OUT, Laid, Layout, Mover, Row
from substrate.sliding import slid
from substrate.topology import Topology
from substrate.vlans import VlanSet

WINDOWS_MAX = 4
"""In how many places is looked for room for what may slide."""


@dataclass(frozen=True, slots=True)
class Moving:
    """A reservation as it is now, and what it would be, from ``since_s`` on.

    ``phases``: what must be held for it; what is over is only told.
    """

    live: Live
    before: Reservation
    grant: Granted
    phases: Phases
    since_s: int


@dataclass(frozen=True, slots=True)
class Room:
    """What would be granted, and what would be moved for it."""

    grant: Granted
    phases: Phases
    moves: tuple[Moving, ...]


@dataclass(frozen=True)
class Circuit:
    """What must be placed: the refused one, or one that may be moved within the window of its
    criteria, and lies at ``present`` then. ``within``: where that window itself may lie."""

    reservation_id: str
    criteria: Criteria
    present: tuple[Laid, ...] = ()
    gone: tuple[Laid, ...] = ()
    within: Window | None = None
    live: Live | None = None
    before: Reservation | None = None

    @property
    def reach(self) -> Window:
        """It lies within that, wherever it is moved."""
        return self.within or self.criteria.window

    @property
    def paths(self) -> tuple[Path, ...]:
        """What it has; those of other legs are not its own."""
        has = self.before.paths if self.before is not None else ()
        return tuple(path for path in has if path.hops[-1].egress_stp == self.criteria.destination)

    @classmethod
    def all_of(
        cls, live: Live, from_s: int, topology: Topology, within: Window | None
    ) -> list[Circuit]:
        """One that may be moved from that time on; of several destinations each leg."""
        record = live.record
        whole, phases = promised(record, from_s), phases_of(record)
        found = []
        for leg in legs_of(whole):
            own = leading_to(leg.destination, phases)
            found.append(
                cls(
                    record.reservation_id,
                    leg,
                    laid_of(since(own, leg.window.start_s), topology),
                    laid_of(until(own, leg.window.start_s), topology),
                    within,
                    live,
                    record,
                )
            )
        return found


@dataclass(frozen=True)
class Placed:
    """A circuit, where it may lie, and what the domains say."""

    circuit: Circuit
    mover: Mover
    supply: Supply


def left_of(criteria: Criteria, now_s: int) -> Criteria:
    """What is left of the window."""
    return replace(criteria, window=search_window(criteria.window, now_s))


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
    return Mover(criteria, usable, present, circuit.gone, max(1, least), circuit.within)


def placed_together(
    placed: Sequence[Placed], common: Forecast
) -> tuple[list[Placed], Layout] | None:
    """How all lie together; of one that may slide or shrink, where it does so first.

    The others keep their times if that will do.
    """
    first, *others = placed
    shapes = [replace(first.mover, criteria=each) for each in _shapes(first.mover.criteria, common)]
    for arranged in (_as_they_are, slid):
        for shape in shapes:
            for known, movers in arranged(common, [shape, *(one.mover for one in others)]):
                layout = repack(known, movers)
                if layout is not None:
                    tried = [replace(p, mover=m) for p, m in zip(placed, movers, strict=True)]
                    return tried, layout
    return None


def _as_they_are(
    forecast: Forecast, movers: Sequence[Mover]
) -> Iterator[tuple[Forecast, Sequence[Mover]]]:
    yield forecast, movers


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
        lies = (*one.mover.gone, *one.mover.present)
        windows = [one.mover.criteria.window, *(laid.phase.window for laid in lies)]
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


Legs = Sequence[tuple[Placed, tuple[Laid, ...]]]
"""The legs of a reservation, of which most have one, and how each is laid."""


def room_of(
    question: Question,
    first: Placed,
    laid: tuple[Laid, ...],
    moved: Sequence[Legs],
    now_s: int,
) -> Room | None:
    """With VLANs; no two of them take the same one. ``moved``: all legs of what is moved."""
    taken: dict[str, VlanSet] = {}
    phases = _labelled(first, laid, question, taken)
    if phases is None:
        return None
    moves = []
    for legs in moved:
        again = [_labelled(one, its, question, taken) for one, its in legs]
        moving = _moving(legs, [each for each in again if each is not None], now_s)
        if moving is None:
            return None
        moves.append(moving)
    grant = granted(first.mover.criteria, phases)
    told = tuple((moving.before.reservation_id, moving.grant) for moving in moves)
    return Room(replace(grant, moves=told), phases, tuple(moves))


def _moving(legs: Legs, again: Sequence[Phases], now_s: int) -> Moving | None:
    """What it would be: as it was until it may be moved, and then as it is laid."""
    one, _ = legs[0]
    live, before = one.circuit.live, one.circuit.before
    assert live is not None
    assert before is not None
    if len(again) < len(legs):
        return None
    ends = before.criteria.destination, before.criteria.more_destinations
    criteria = replace(one.circuit.criteria, destination=ends[0], more_destinations=ends[1])
    phases = joined((*until(phases_of(before), criteria.window.start_s), *_together(again)))
    if one.mover.bits and len(phases) > one.mover.most_phases:
        return None
    grant = granted(criteria, phases)
    if one.mover.gone:
        held = tuple(
            part for part in grant.parts if part.window is None or part.window.end_s > now_s
        )
        grant = replace(grant, parts=held)
        phases = tuple(each for each in phases if each[0].window.end_s > now_s)
    lies = [each for one, laid in legs for each in (*one.mover.present[:1], *laid[:1])]
    return Moving(live, before, grant, phases, min(each.phase.window.start_s for each in lies))


def _together(legs: Sequence[Phases]) -> Phases:
    """Each phase of all legs, which have the same ones."""
    if len(legs) == 1:
        return legs[0]
    return tuple(
        (phases[0][0], all_legs([plan for _, plan in phases])) for phases in zip(*legs, strict=True)
    )


def _labelled(
    one: Placed, laid: Sequence[Laid], question: Question, taken: dict[str, VlanSet]
) -> Phases | None:
    found: list[tuple[Phase, Plan]] = []
    has = labels_of(one.circuit.paths) if one.circuit.before is not None else None
    for each in laid:
        criteria = rigid(one.mover.criteria, each.phase)
        supply = _with_own(one, each.phase.window, taken)
        plan = assign_labels(
            criteria, each.shares, supply, question.topology, has, question.label_start
        )
        if isinstance(plan, Refusal):
            return None
        found.append((each.phase, plan))
    taken |= labels_of((path for _, plan in found for path in plan.paths), taken)
    return tuple(found)


def _with_own(one: Placed, window: Window, taken: Mapping[str, VlanSet]) -> Supply:
    """What is known, with the VLANs that it has at that time, and without those taken."""
    before = one.circuit.before
    own = []
    if before is not None:
        for path in one.circuit.paths:
            has = path.window or before.criteria.window
            if has.start_s <= window.start_s and window.end_s <= has.end_s:
                own.append(path)
    vlans = labels_of(own, one.supply.port_vlans)
    return replace(one.supply, port_vlans=vlans, banned_vlans=dict(taken))
