"""Events of reservations: built from what happened, and handed to those who watch."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from braid.v1 import reservations_pb2 as pb
from orchestrator.negotiation import (
    HoldAnswered,
    OffersAsked,
    OffersCame,
    PlanMade,
    Progress,
    RoutesFound,
)
from orchestrator.records import HandDecision, Reservation
from protocol.codec import data_plane_to_pb, path_to_pb, refusal_to_pb, window_to_pb
from substrate.model import DataPlaneState, Refusal, least_within
from substrate.values import dataclass

BODIES_MAX = 4096
"""Bodies that many events have in common."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change, ``encoded``; ``sequence`` is 0 until the store has given it one."""

    reservation_id: str
    at_ms: int
    encoded: bytes
    """A pb.ReservationEvent that only says what has changed."""
    sequence: int = 0

    @property
    def body(self) -> pb.ReservationEvent:
        """What has changed."""
        return pb.ReservationEvent.FromString(self.encoded)

    def to_pb(self) -> pb.ReservationEvent:
        """As Watch sends it."""
        message = self.body
        message.sequence = self.sequence
        message.reservation_id = self.reservation_id
        message.at_ms = self.at_ms
        return message


def state_event(reservation: Reservation, now_ms: int) -> Event:
    """The reservation's state is now this."""
    state, version = reservation.state._value_, reservation.version
    body = _state_body(state, version, reservation.refusals)
    return Event(reservation.reservation_id, now_ms, body)


def moved_event(reservation: Reservation, now_ms: int) -> Event:
    """The reservation makes room for another one, as its owner allowed."""
    window = reservation.criteria.window
    body = pb.Moved(
        version=reservation.version,
        window=window_to_pb(window),
        paths=[path_to_pb(path) for path in reservation.paths],
    )
    event = pb.ReservationEvent(moved=body)
    return Event(reservation.reservation_id, now_ms, event.SerializeToString())


def prepare_event(reservation_id: str, round_: int, domains: list[str], now_ms: int) -> Event:
    """ReservationPrep went out to these domains."""
    return Event(reservation_id, now_ms, _prepare_body(round_, tuple(domains)))


def decided_event(reservation_id: str, decision: str, now_ms: int) -> Event:
    """The transaction was decided: COMMIT, ABORT or UNDO."""
    return Event(reservation_id, now_ms, _decided_body(decision))


def settled_event(reservation_id: str, domain: str, outcome: str, now_ms: int) -> Event:
    """A domain acknowledged the decision, or a release."""
    return Event(reservation_id, now_ms, _settled_body(domain, outcome))


def settled_by_hand_event(decision: HandDecision) -> Event:
    """An operator settled a part in doubt without its domain's word."""
    body = pb.SettledByHand(
        domain=decision.domain,
        part_id=decision.part_id,
        decision="COMMIT" if decision.commit else "GIVE_UP",
        operator=decision.operator,
        reason=decision.reason,
    )
    event = pb.ReservationEvent(settled_by_hand=body)
    return Event(decision.reservation_id, decision.at_ms, event.SerializeToString())


def data_plane_event(
    reservation_id: str, domain: str, state: DataPlaneState, reason: str, now_ms: int
) -> Event:
    """A domain's data plane changed."""
    body = pb.DataPlaneChanged(domain=domain, state=data_plane_to_pb(state), reason=reason)
    event = pb.ReservationEvent(data_plane_changed=body)
    return Event(reservation_id, now_ms, event.SerializeToString())


def progress_body(progress: Progress) -> bytes:
    """What a negotiation reported."""
    match progress:
        case HoldAnswered(round_, domain, refusal):
            return _answered_body(round_, domain, refusal)
        case PlanMade(round_, plan):
            made = pb.Planned(round=round_, paths=[path_to_pb(path) for path in plan.paths])
            return pb.ReservationEvent(planned=made).SerializeToString()
        case RoutesFound(routes):
            return _routes_body(tuple([route.domains for route in routes]))
        case OffersAsked(domains):
            event = pb.ReservationEvent(offers_requested=pb.OffersRequested(domains=domains))
            return event.SerializeToString()
        case OffersCame(domain, None):
            event = pb.ReservationEvent(offers_received=pb.OffersReceived(domain=domain))
            return event.SerializeToString()
        case OffersCame(domain, offers, window):
            assert offers is not None
            best = max((least_within(o.profile, window) for o in offers.offers), default=0)
            body = pb.OffersReceived(domain=domain, best_bps=best, offers=len(offers.offers))
            return pb.ReservationEvent(offers_received=body).SerializeToString()


# Bodies that are alike for many reservations -------------------------------------------------


@lru_cache(BODIES_MAX)
def _state_body(state: int, version: int, refusals: tuple[Refusal, ...]) -> bytes:
    body = pb.StateChanged(
        state=state,  # type: ignore[arg-type]
        refusals=[refusal_to_pb(refusal) for refusal in refusals],
        version=version,
    )
    return pb.ReservationEvent(state_changed=body).SerializeToString()


@lru_cache(BODIES_MAX)
def _prepare_body(round_: int, domains: tuple[str, ...]) -> bytes:
    body = pb.PrepareSent(round=round_, domains=domains)
    return pb.ReservationEvent(prepare_sent=body).SerializeToString()


@lru_cache(BODIES_MAX)
def _decided_body(decision: str) -> bytes:
    return pb.ReservationEvent(decided=pb.Decided(decision=decision)).SerializeToString()


@lru_cache(BODIES_MAX)
def _settled_body(domain: str, outcome: str) -> bytes:
    body = pb.PartSettled(domain=domain, outcome=outcome)
    return pb.ReservationEvent(part_settled=body).SerializeToString()


@lru_cache(BODIES_MAX)
def _answered_body(round_: int, domain: str, refusal: Refusal | None) -> bytes:
    answer = pb.PrepareAnswered(round=round_, domain=domain, held=refusal is None)
    if refusal is not None:
        answer.refusal.CopyFrom(refusal_to_pb(refusal))
    return pb.ReservationEvent(prepare_answered=answer).SerializeToString()


@lru_cache(BODIES_MAX)
def _routes_body(routes: tuple[tuple[str, ...], ...]) -> bytes:
    names = [" > ".join(domains) for domains in routes]
    body = pb.PathsFound(count=len(names), routes=names)
    return pb.ReservationEvent(paths_found=body).SerializeToString()


class EventHub:
    """Wakes those who watch, when there is something new in the store."""

    def __init__(self) -> None:
        self._watchers: dict[asyncio.Event, str] = {}

    def publish(self, events: tuple[Event, ...]) -> None:
        """Wakes who watches the reservations of these events."""
        if not self._watchers:
            return
        ids = {event.reservation_id for event in events}
        for woken, reservation_id in self._watchers.items():
            if reservation_id in ids or (not reservation_id and ids):
                woken.set()

    @contextmanager
    def subscribe(self, reservation_id: str) -> Iterator[asyncio.Event]:
        """Set whenever there is news of the reservation (empty: of any)."""
        woken = asyncio.Event()
        self._watchers[woken] = reservation_id
        try:
            yield woken
        finally:
            del self._watchers[woken]
