"""Events in the order of the store, to those who watch, and never a growing memory."""

from __future__ import annotations

import asyncio

import pytest
from networks import diamond
from test_orchestrator_records import WHY, fresh, plan, standing

from orchestrator.book import LiveBook
from orchestrator.events import (
    Event,
    EventHub,
    data_plane_event,
    decided_event,
    prepare_event,
    progress_body,
    settled_event,
    state_event,
)
from orchestrator.negotiation import (
    HoldAnswered,
    OffersAsked,
    OffersCame,
    PlanMade,
    Progress,
    RoutesFound,
)
from orchestrator.ports import LostError
from orchestrator.records import State, failed
from protocol.messages import Offer, SendOffers
from substrate.model import Constraints, DataPlaneState, Step, Window
from substrate.routes import candidate_routes

ROUTES = candidate_routes(diamond(), "west:host", "east:host", Constraints())
WINDOW = Window(0, 10)
OFFERS = SendOffers("q", "m1", (Offer("t", "m1:a", "m1:b", (Step(0, 9), Step(5, 7))),), ())


def told(progress: Progress) -> Event:
    return Event("res", 5, progress_body(progress))


@pytest.mark.parametrize(
    ("progress", "kind"),
    [
        (RoutesFound(ROUTES), "paths_found"),
        (OffersAsked(("m1", "m2")), "offers_requested"),
        (OffersCame("m1", OFFERS, WINDOW), "offers_received"),
        (OffersCame("m1", None, WINDOW), "offers_received"),
        (PlanMade(1, plan("m1")), "planned"),
        (HoldAnswered(1, "m1", None), "prepare_answered"),
        (HoldAnswered(1, "m1", WHY[0]), "prepare_answered"),
    ],
)
def test_all_progress_has_an_event(progress: Progress, kind: str) -> None:
    event = told(progress)
    assert (event.to_pb().reservation_id, event.to_pb().at_ms, event.sequence) == ("res", 5, 0)
    assert event.body.WhichOneof("kind") == kind


def test_events_tell_the_facts() -> None:
    found = told(RoutesFound(ROUTES)).body.paths_found
    assert (found.count, found.routes[0]) == (2, "west > m1 > east")
    came = told(OffersCame("m1", OFFERS, WINDOW)).body.offers_received
    assert (came.best_bps, came.offers) == (7, 1)
    silent = told(OffersCame("m1", None, WINDOW)).body.offers_received
    assert not silent.HasField("best_bps")
    refused = told(HoldAnswered(2, "m1", WHY[0])).body.prepare_answered
    assert (refused.round, refused.held, refused.refusal.reason) == (2, False, "full")
    assert state_event(failed(fresh(), WHY, 3), 3).body.state_changed.refusals[0].domain == "m1"
    assert decided_event("res", "UNDO", 3).body.decided.decision == "UNDO"
    assert settled_event("res", "m1", "RELEASED", 3).body.part_settled.outcome == "RELEASED"
    assert list(prepare_event("res", 1, ["m1"], 3).body.prepare_sent.domains) == ["m1"]
    burnt = data_plane_event("res", "m1", DataPlaneState.FAILED, "burnt", 3)
    assert burnt.body.data_plane_changed.reason == "burnt"


def numbered(sequence: int, reservation_id: str = "res") -> Event:
    event = decided_event(reservation_id, "COMMIT", 3)
    return Event(event.reservation_id, event.at_ms, event.encoded, sequence)


def test_an_event_is_sent_with_its_number() -> None:
    message = numbered(7).to_pb()
    assert (message.sequence, message.reservation_id, message.at_ms) == (7, "res", 3)
    assert numbered(7).body.sequence == 0


def test_a_watcher_of_one_is_woken_by_that_one_and_a_watcher_of_all_by_all() -> None:
    hub = EventHub()
    with hub.subscribe("res") as one, hub.subscribe("") as everything:
        hub.publish((numbered(2, "other"),))
        assert not one.is_set()
        assert everything.is_set()
        hub.publish((numbered(1),))
        assert one.is_set()
        one.clear()
        hub.publish(())
        assert not one.is_set()
    hub.publish((numbered(3),))
    assert not one.is_set()


def test_the_book_tells_whose_window_is_over_once() -> None:
    book = LiveBook()
    live = book.adopt(standing())
    assert book.adopt(standing()) is live
    assert book.over(1999) == []
    assert book.over(2000) == [live]
    assert book.over(3000) == []


def test_a_window_that_moved_is_over_when_it_now_ends() -> None:
    from dataclasses import replace

    from substrate.model import Window

    book = LiveBook()
    live = book.adopt(standing())
    moved = replace(standing(), criteria=replace(standing().criteria, window=Window(1000, 5000)))
    live.set(moved)
    book.watch_end(moved)
    assert book.over(2000) == []
    assert book.over(5000) == [live]


async def test_who_waits_for_a_reservation_hears_when_another_instance_owns_it() -> None:
    book = LiveBook()
    live = book.adopt(standing())
    waiting = asyncio.create_task(live.wait(lambda record: record.state is State.CANCELLED))
    await asyncio.sleep(0)
    book.lose("res")
    with pytest.raises(LostError, match="res"):
        await waiting
    assert book.get("res") is None
    book.lose("res")
