"""Looks for room for a refused circuit: which movable ones would have to lie elsewhere, and how.

The domains are asked what would be free if the movable ones were not there; then all are placed
together (substrate.repacking). Nothing is held by this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from orchestrator.book import Live
from orchestrator.engine import Engine
from orchestrator.knowledge import Knowledge
from orchestrator.negotiation import Question, open_questions
from orchestrator.records import Granted, Reservation, State, granted
from protocol.coordinator import PartStatus
from protocol.messages import SendOffers
from substrate.bending import Phase, rigid
from substrate.forecast import Forecast, Resource, forecast
from substrate.labels import Plan, assign_labels
from substrate.model import (
    Criteria,
    Directionality,
    Path,
    Profile,
    Refusal,
    RefusalKind,
    Strategy,
    Window,
)
from substrate.options import Pair, Supply, has_vlans
from substrate.repacking import IN, OUT, Laid, Layout, Mover, Row, repack
from substrate.routes import Crossing, Route
from substrate.splitting import Share
from substrate.topology import Topology
from substrate.values import dataclass, replace
from substrate.vlans import EMPTY, VlanSet

LEAD_S = 30
"""What begins sooner than that is not moved any more."""
CANDIDATES_MIN = 16
"""At least so many are looked at, of which few are moved."""
LOOKED_AT_MAX = 10_000
ROUTES_MAX = 8
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
class _Circuit:
    """What must be placed: the refused one, or one that may be moved and lies at ``present``."""

    reservation_id: str
    criteria: Criteria
    present: tuple[Laid, ...] = ()
    live: Live | None = None
    before: Reservation | None = None


@dataclass(frozen=True)
class _Placed:
    """A circuit, where it may lie, and what the domains say."""

    circuit: _Circuit
    mover: Mover
    supply: Supply


def may_have_room(engine: Engine, question: Question, refusals: Iterable[Refusal]) -> bool:
    """Whether moving others may help: it was refused for want of bandwidth, and does not insist on
    how it is split."""
    criteria = question.criteria
    wanted = any(refusal.kind is RefusalKind.BANDWIDTH for refusal in refusals)
    return engine.limits.moves_max > 0 and wanted and _is_free(criteria)


async def find_room(engine: Engine, question: Question, reservation_id: str = "") -> Room | None:
    """Room for what is asked, by moving at most ``moves_max`` others; None where there is none."""
    most = engine.limits.moves_max
    lives = _candidates(engine, question, max(most, CANDIDATES_MIN))
    # Where too many would be moved, it is tried with those alone that would be moved most.
    for _ in range(2):
        if not lives:
            return None
        placed, common = await _asked(engine, question, reservation_id, lives)
        found = _placed_together(placed, common)
        if found is None:
            return None
        placed, layout = found
        moved = [
            (one, laid)
            for one, laid in zip(placed[1:], layout[1:], strict=True)
            if laid is not one.mover.present
        ]
        if len(moved) <= most:
            return _room(question, placed[0], layout[0], moved)
        moved.sort(key=lambda one: -_moved_bits(one[0].mover, one[1]))
        lives = [one.circuit.live for one, _ in moved[:most] if one.circuit.live is not None]
    return None


def is_movable(engine: Engine, record: Reservation, now_ms: int) -> bool:
    """Whether it may be moved now: it has not begun, and nothing else is changing it."""
    if record.state is not State.COMMITTED or record.change is not None:
        return False
    if not record.criteria.movable or not _is_free(record.criteria):
        return False
    if record.criteria.window.start_s <= now_ms // 1000 + LEAD_S:
        return False
    if engine.transactions.of(record.reservation_id) != [record.transaction_id]:
        return False
    transaction = engine.transactions.get(record.transaction_id)
    dropped = (PartStatus.ABORTING, PartStatus.ABORTED)
    return transaction is not None and all(
        part.status is PartStatus.COMMITTED
        for part in transaction.parts
        if part.status not in dropped
    )


def _is_free(criteria: Criteria) -> bool:
    limits = criteria.constraints
    return (
        criteria.strategy is Strategy.AUTO
        and not criteria.more_destinations
        and not limits.survive
        and limits.max_latency_spread_us is None
    )


def _candidates(engine: Engine, question: Question, most: int) -> list[Live]:
    """The movable ones that lie where the refused one may, those first that overlap it longest."""
    wanted, now_ms = question.criteria.window, engine.now_ms()
    routes = _routes(question, question.criteria)
    used = {crossing.domain for route in routes for crossing in route.crossings}
    found: list[tuple[int, Live]] = []
    for count, live in enumerate(list(engine.book.movable())):
        if count >= LOOKED_AT_MAX:
            break
        window, record = live.record.criteria.window, live.record
        if not window.overlaps(wanted) or not is_movable(engine, record, now_ms):
            continue
        if used.isdisjoint(part.domain for part in record.parts):
            continue
        shared_s = min(window.end_s, wanted.end_s) - max(window.start_s, wanted.start_s)
        found.append((-shared_s, live))
    found.sort(key=lambda one: (one[0], one[1].record.reservation_id))
    return [live for _, live in found[:most]]


def _routes(question: Question, criteria: Criteria) -> tuple[Route, ...]:
    """The first candidate routes, through domains that never drop a hold by themselves."""
    topology = question.topology
    found = question.finder.between(
        topology, criteria.source, criteria.destination, criteria.constraints
    )
    lasting = (
        route
        for route in found
        if all(topology.domains[name].hold_timeout_s is None for name in route.domains)
    )
    return tuple(lasting)[:ROUTES_MAX]


async def _asked(
    engine: Engine, question: Question, reservation_id: str, lives: Sequence[Live]
) -> tuple[list[_Placed], Forecast]:
    """The refused one and the others, and what would be free were none of them there."""
    now_s, topology = engine.now_ms() // 1000, question.topology
    records = [live.record for live in lives]
    first = _Circuit(reservation_id, _from(question.criteria, now_s))
    circuits = [first]
    for live, record in zip(lives, records, strict=True):
        criteria = _promised(record, now_s + LEAD_S)
        present = _present(record, topology)
        circuits.append(_Circuit(record.reservation_id, criteria, present, live, record))
    routes = [_routes_of(question, each) for each in circuits]
    span = Window(
        min(each.criteria.window.start_s for each in circuits),
        max(each.criteria.window.end_s for each in circuits),
    )
    moved = tuple(record.reservation_id for record in records)
    knowledge, told = Knowledge(), list[tuple[Directionality, SendOffers]]()
    for directionality in Directionality:
        wanted = [
            route
            for each, its in zip(circuits, routes, strict=True)
            for route in its
            if each.criteria.directionality is directionality
        ]
        each_way = replace(first.criteria, directionality=directionality)
        bargain = engine.bargain(replace(question, criteria=each_way), anew=True, moved=moved)
        for pairs in _questions(wanted, topology, directionality):
            answers = await bargain.ask(pairs, span)
            knowledge = knowledge.with_answers(pairs, answers, span)
            told += [(directionality, offers) for offers in answers.values() if offers is not None]
    supply = knowledge.supply()
    placed = [
        _Placed(each, _mover(each, its, supply, topology), supply)
        for each, its in zip(circuits, routes, strict=True)
    ]
    return placed, _forecast(topology, placed, span, told)


def _routes_of(question: Question, circuit: _Circuit) -> tuple[Route, ...]:
    """The candidates, and those that it has."""
    lying = (share.route for laid in circuit.present for share in laid.shares)
    return tuple(dict.fromkeys((*_routes(question, circuit.criteria), *lying)))


def _questions(
    routes: Iterable[Route], topology: Topology, directionality: Directionality
) -> list[dict[str, frozenset[Pair]]]:
    """What to ask the domains.

    One way no port is both entered and left by in one question: what is told of a port is the least
    of the directions that are asked about.
    """
    wanted = open_questions(tuple(dict.fromkeys(routes)), topology, frozenset())
    if directionality is Directionality.BIDIRECTIONAL:
        return [wanted] if wanted else []
    by_turn: list[dict[str, frozenset[Pair]]] = []
    for domain, pairs in wanted.items():
        for turn, ingress in enumerate(sorted({pair[0] for pair in pairs})):
            if turn == len(by_turn):
                by_turn.append({})
            by_turn[turn][domain] = frozenset(pair for pair in pairs if pair[0] == ingress)
    return by_turn


def _from(criteria: Criteria, now_s: int) -> Criteria:
    """What is left of the window."""
    start_s = max(criteria.window.start_s, now_s)
    return replace(criteria, window=Window(start_s, max(criteria.window.end_s, start_s + 1)))


def _promised(record: Reservation, first_s: int) -> Criteria:
    """What must still hold of it when it was moved: a volume by its deadline, all else as it is."""
    asked = record.asked
    if asked is not None and asked.bend is not None and asked.bend.volume_bytes:
        return _from(asked, first_s)
    return replace(record.criteria, bend=None)


def _mover(circuit: _Circuit, routes: Sequence[Route], supply: Supply, topology: Topology) -> Mover:
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


def _present(record: Reservation, topology: Topology) -> tuple[Laid, ...]:
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


def _placed_together(
    placed: Sequence[_Placed], common: Forecast
) -> tuple[list[_Placed], Layout] | None:
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


def _forecast(
    topology: Topology,
    placed: Sequence[_Placed],
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


def _moved_bits(mover: Mover, laid: Sequence[Laid]) -> int:
    """How much lies elsewhere than it did."""
    stays = {(one.phase.window, share) for one in mover.present for share in one.shares}
    return sum(
        share.bandwidth_bps * one.phase.window.duration_s
        for one in laid
        for share in one.shares
        if (one.phase.window, share) not in stays
    )


def _room(
    question: Question,
    first: _Placed,
    laid: tuple[Laid, ...],
    moved: Sequence[tuple[_Placed, tuple[Laid, ...]]],
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
        asked = before.asked or before.criteria
        moves.append(Moving(live, before, granted(asked, again), again))
    grant = granted(first.mover.criteria, phases)
    told = tuple((moving.before.reservation_id, moving.grant) for moving in moves)
    return Room(replace(grant, moves=told), phases, tuple(moves))


def _labelled(
    one: _Placed, laid: Sequence[Laid], question: Question, taken: dict[str, VlanSet]
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


def _with_own(one: _Placed, window: Window, taken: Mapping[str, VlanSet]) -> Supply:
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
