"""Looks for room for a refused circuit: which movable ones would have to lie elsewhere, and how.

The domains are asked what would be free if the movable ones were not there; then all are placed
together (substrate.repacking). Nothing is held by this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from orchestrator.book import Live
from orchestrator.engine import Engine
from orchestrator.knowledge import Knowledge
from orchestrator.lying import free_from_s, slides_within, volume_of
from orchestrator.negotiation import Question, open_questions
from orchestrator.placing import (
    Circuit,
    Placed,
    Room,
    common_forecast,
    left_of,
    moved_bits,
    mover_of,
    placed_together,
    room_of,
)
from orchestrator.records import Reservation, State
from orchestrator.tolling import refusal_of, toll_beside
from protocol.coordinator import DROPPED, PartStatus
from protocol.messages import SendOffers
from substrate.forecast import Forecast
from substrate.model import Criteria, Directionality, Refusal, RefusalKind, Strategy, Window
from substrate.options import Pair
from substrate.routes import Route
from substrate.settling import Laid
from substrate.topology import Topology

LEAD_S = 30
"""What is to be sooner than that stays as it is."""
CANDIDATES_MIN = 96
"""At least so many are looked at, of which few are moved."""
LOOKED_AT_MAX = 10_000
ROUTES_MAX = 8


def may_have_room(engine: Engine, question: Question, refusals: Iterable[Refusal]) -> bool:
    """Whether moving others may help: it was refused for want of bandwidth, and does not insist on
    how it is split."""
    criteria = question.criteria
    wanted = any(refusal.kind is RefusalKind.BANDWIDTH for refusal in refusals)
    free = _is_free(criteria) and not criteria.more_destinations
    return engine.limits.moves_max > 0 and wanted and free


async def find_room(
    engine: Engine, question: Question, reservation_id: str = ""
) -> Room | Refusal | None:
    """Room for what is asked, by moving at most ``moves_max`` others; None where there is none.

    A refusal: there is, and it takes more from others than it may.

    None also while several others are being looked for: those who are not refused come first.
    """
    with engine.rooms.one() as free:
        return await _find_room(engine, question, reservation_id) if free else None


async def _find_room(
    engine: Engine, question: Question, reservation_id: str
) -> Room | Refusal | None:
    most = engine.limits.moves_max
    lives = _candidates(engine, question, max(most, CANDIDATES_MIN))
    # Where too many would be moved, it is tried with those alone that would be moved most.
    for _ in range(2):
        if not lives:
            return None
        placed, common = await _asked(engine, question, reservation_id, lives)
        found = await engine.apart(partial(placed_together, placed, common))
        if found is None:
            return None
        placed, layout = found
        legs: dict[str, list[tuple[Placed, tuple[Laid, ...]]]] = {}
        for one, laid in zip(placed[1:], layout[1:], strict=True):
            legs.setdefault(one.circuit.reservation_id, []).append((one, laid))
        moved = [
            its for its in legs.values() if any(laid is not p.mover.present for p, laid in its)
        ]
        if len(moved) <= most:
            if question.tariff is not None:
                toll = toll_beside(common, placed, layout, question.topology)
                bits = sum(laid.phase.bits for laid in layout[0])
                dear = refusal_of(toll, question, bits)
                if dear is not None:
                    return dear
            return room_of(question, placed[0], layout[0], moved, engine.now_ms() // 1000)
        moved.sort(key=lambda its: -sum(moved_bits(one.mover, laid) for one, laid in its))
        first = [its[0][0].circuit.live for its in moved[:most]]
        lives = [live for live in first if live is not None]
    return None


def is_movable(engine: Engine, record: Reservation, now_ms: int) -> bool:
    """Whether it may be moved now, or from a time on: nothing else is changing it."""
    if record.state is not State.COMMITTED or record.change is not None:
        return False
    if not record.criteria.movable or not _is_free(record.criteria):
        return False
    first_s = now_ms // 1000 + LEAD_S
    if free_from_s(record, first_s, engine.gateway.known()) is None:
        return False
    if engine.transactions.of(record.reservation_id) != [record.transaction_id]:
        return False
    transaction = engine.transactions.get(record.transaction_id)
    return transaction is not None and all(
        part.status is PartStatus.COMMITTED
        for part in transaction.parts
        if part.status not in DROPPED
    )


def _is_free(criteria: Criteria) -> bool:
    limits = criteria.constraints
    return (
        criteria.strategy is Strategy.AUTO
        and criteria.cloudnet is None
        and not limits.survive
        and limits.max_latency_spread_us is None
    )


def _candidates(engine: Engine, question: Question, most: int) -> list[Live]:
    """The movable ones that lie where the refused one may, and those that lie where these may: what
    makes room may need theirs. First those that overlap it longest."""
    wanted, routes = question.criteria.window, _routes(question, question.criteria)
    used = {crossing.domain for route in routes for crossing in route.crossings}
    found = _lying(engine, question, used, wanted)
    first_s = engine.now_ms() // 1000 + LEAD_S
    reach = [wanted, *(_reach(live.record, first_s, wanted) for live in found)]
    span = Window(min(each.start_s for each in reach), max(each.end_s for each in reach))
    if span != wanted and len(found) < most:
        found = _lying(engine, question, used, span)

    def apart_s(live: Live) -> int:
        """Less than 0 where they overlap."""
        window = live.record.criteria.window
        return max(window.start_s, wanted.start_s) - min(window.end_s, wanted.end_s)

    found.sort(key=lambda live: (apart_s(live), live.record.reservation_id))
    return found[:most]


def _reach(record: Reservation, first_s: int, wanted: Window) -> Window:
    """Where it may lie."""
    volume = volume_of(record)
    if volume is not None:
        return volume.window
    return slides_within(record, first_s, wanted) or record.criteria.window


def _lying(engine: Engine, question: Question, used: set[str], within: Window) -> list[Live]:
    """The movable ones that lie in a window, over any of the domains that are ``used``."""
    now_ms, topology = engine.now_ms(), question.topology
    found: list[Live] = []
    for live in islice(list(engine.book.movable()), LOOKED_AT_MAX):
        record = live.record
        if not record.criteria.window.overlaps(within) or not is_movable(engine, record, now_ms):
            continue
        domains = {part.domain for part in record.parts}
        # What lies over a domain that is away, or not known yet, stays.
        if not used.isdisjoint(domains) and domains <= topology.domains.keys():
            found.append(live)
    return found


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
) -> tuple[list[Placed], Forecast]:
    """The refused one and the others, and what would be free were none of them there."""
    now_s, topology = engine.now_ms() // 1000, question.topology
    first = Circuit(reservation_id, left_of(question.criteria, now_s))
    circuits = [first]
    for live in lives:
        from_s = free_from_s(live.record, now_s + LEAD_S, topology)
        if from_s is not None:
            within = slides_within(live.record, now_s + LEAD_S, first.criteria.window)
            circuits += Circuit.all_of(live, from_s, topology, within)
    routes = [_routes_of(question, each) for each in circuits]
    span = Window(
        min(each.reach.start_s for each in circuits), max(each.reach.end_s for each in circuits)
    )
    moved = tuple(dict.fromkeys(each.reservation_id for each in circuits[1:]))
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
    placed = [
        Placed(each, mover_of(each, its, knowledge, topology), knowledge)
        for each, its in zip(circuits, routes, strict=True)
    ]
    return placed, common_forecast(topology, placed, span, told)


def _routes_of(question: Question, circuit: Circuit) -> tuple[Route, ...]:
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
