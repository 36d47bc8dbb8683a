"""What becomes of reservations whose time comes to an end while something is going on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from grpc import StatusCode
from orchestrated import NO_CONTEXT, NOW_S, Orchestrated, refused, sites, virtual, wanted

from braid.v1 import common_pb2, reservations_pb2 as pb
from orchestrator.ports import Changes
from protocol.messages import Commit, Release, ReservationPrep, ReservationResp
from simulations.gateway import Message
from substrate.model import DataPlaneState

COMMITTED = pb.RESERVATION_STATE_COMMITTED
ENDED = pb.RESERVATION_STATE_ENDED
ACTIVE = common_pb2.DATA_PLANE_STATE_ACTIVE
RELEASED = common_pb2.DATA_PLANE_STATE_RELEASED
FAILED = pb.RESERVATION_STATE_FAILED


def soon(length_s: int, **fields: Any) -> pb.Reservation:
    """A circuit that begins now."""
    window = common_pb2.Window(start_s=NOW_S, end_s=NOW_S + length_s)
    return wanted(window=window, **fields)


class Mixed:
    """What the first does not do is left to the second."""

    def __init__(self, *parts: object) -> None:
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        return next(getattr(part, name) for part in self._parts if hasattr(part, name))


def late(domain: str, kind: type[object], seconds: float) -> Any:
    """Messages of a kind, to or from one domain, take so long."""

    def delay(name: str, message: Message) -> float:
        return seconds if name == domain and isinstance(message, kind) else 0.0

    return delay


@virtual
async def test_what_is_over_is_ended_with_an_event_and_holds_nothing() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        record = await one.reserve(soon(10))
        await asyncio.sleep(9)
        assert (await one.get(record.reservation_id)).state == COMMITTED
        await asyncio.sleep(2)
        assert (await one.get(record.reservation_id)).state == ENDED
        kinds = [event.state_changed.state for event in await one.events(record.reservation_id)]
        assert [kind for kind in kinds if kind][-1] == ENDED
        assert one.engine.book.ids() == set()
        assert one.engine.transactions.reservations() == set()
        # Agents remember it for a while, in case somebody asks.
        await asyncio.sleep(2 * 3600)
        assert world.held() == {}


@virtual
async def test_what_was_cancelled_is_shown_as_released_although_that_is_told_last() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        record = await one.reserve(soon(3600))
        await asyncio.sleep(5)
        assert (await one.get(record.reservation_id)).data_plane == ACTIVE
        told, heard = one.gateway._heard(), []
        later = SimpleNamespace(on_data_plane=lambda *report: heard.append(report))
        one.gateway._listener = Mixed(later, told)
        await one.cancel(record.reservation_id)
        await asyncio.sleep(5)
        assert one.engine.book.ids() == set()
        assert (await one.get(record.reservation_id)).data_plane == ACTIVE
        for report in 2 * heard:
            told.on_data_plane(*report)
        await asyncio.sleep(1)
        assert (await one.get(record.reservation_id)).data_plane == RELEASED
        assert one.engine.book.ids() == set()


@virtual
async def test_what_is_over_cannot_be_changed_or_cancelled_any_more() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(soon(10))).reservation_id
        await asyncio.sleep(11)
        for call in (one.cancel(reservation_id), one.modify(reservation_id, "m", 20)):
            error = await refused(call, StatusCode.FAILED_PRECONDITION, "reservation_id")
            assert error.possible == "it is ENDED; only a COMMITTED one can be changed"


@virtual
async def test_in_the_moment_between_its_end_and_the_next_look_it_cannot_be_changed_either() -> (
    None
):
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(soon(10))).reservation_id
        world.clock.start_ms += 10_000
        for call in (one.cancel(reservation_id), one.modify(reservation_id, "m", 20)):
            error = await refused(call, StatusCode.FAILED_PRECONDITION, "reservation_id")
            assert error.possible == "its window has ended"


@virtual
async def test_a_window_that_was_made_longer_ends_when_it_now_does() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(soon(10))).reservation_id
        change = pb.ModifyRequest(
            reservation_id=reservation_id, request_id="longer", end_s=NOW_S + 20
        )
        assert (await one.reservations.Modify(change, NO_CONTEXT)).modified
        await asyncio.sleep(15)
        assert (await one.get(reservation_id)).state == COMMITTED
        assert set(world.held()) == {"west", "m1", "east"}
        await asyncio.sleep(6)
        assert (await one.get(reservation_id)).state == ENDED


@virtual
async def test_a_window_that_was_made_shorter_ends_then() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(soon(600))).reservation_id
        change = pb.ModifyRequest(
            reservation_id=reservation_id, request_id="shorter", end_s=NOW_S + 10
        )
        assert (await one.reservations.Modify(change, NO_CONTEXT)).modified
        await asyncio.sleep(11)
        assert (await one.get(reservation_id)).state == ENDED


@virtual
async def test_a_change_that_is_negotiated_when_the_window_ends_is_given_up() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(soon(10))).reservation_id
        world.delay = lambda domain, message: None if isinstance(message, ReservationPrep) else 0.0
        change = pb.ModifyRequest(
            reservation_id=reservation_id, request_id="m", end_s=NOW_S + 600, bandwidth_bps=10**9
        )
        changing = asyncio.ensure_future(one.reservations.Modify(change, NO_CONTEXT))
        await asyncio.sleep(9)
        world.delay = lambda domain, message: 0.0
        world.clock.start_ms += 2_000
        assert not (await changing).modified
        await asyncio.sleep(1)
        shown = await one.get(reservation_id)
        assert (shown.state, shown.modifying) == (ENDED, False)
        assert shown.criteria.window.end_s == NOW_S + 10
        assert set(world.held()["m1"]) == {(reservation_id, 1)}


@virtual
async def test_what_is_decided_only_after_its_end_is_over_at_once() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        # The answer to the prep comes when the window has ended.
        world.delay = late("m1", ReservationResp, 4.0)
        record = await one.reserve(soon(2))
        assert record.state in (COMMITTED, FAILED, ENDED)
        await asyncio.sleep(30)
        assert (await one.get(record.reservation_id)).state in (FAILED, ENDED)
        assert one.engine.book.ids() == set()


@virtual
async def test_what_is_confirmed_only_after_its_end_is_over_at_once() -> None:
    async with Orchestrated(sites("m1", expiring="m1")) as world:
        one = await world.start()
        # Success is told when all have confirmed; by then the window has ended.
        world.delay = lambda d, m: (
            6.0 if d == "m1" and isinstance(m, ReservationResp) and m.phase.name == "COMMIT" else 0
        )
        await one.reserve(soon(4, detach=True))
        record = await one.reserve(soon(4))
        assert record.state in (COMMITTED, FAILED, ENDED)
        await asyncio.sleep(60)
        assert (await one.get(record.reservation_id)).state in (FAILED, ENDED)
        assert one.engine.book.ids() == set()


@virtual
async def test_the_release_at_the_end_is_told() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        record = await one.reserve(soon(10))
        await asyncio.sleep(5)
        one.gateway.down("m1")
        await asyncio.sleep(10)
        one.gateway.up(world.agents["m1"])
        await asyncio.sleep(5)
        shown = await one.get(record.reservation_id)
        assert {part.domain: part.data_plane for part in shown.parts} == {
            "west": RELEASED,
            "m1": RELEASED,
            "east": RELEASED,
        }


@pytest.mark.parametrize("away", ["west", "m1"])
@virtual
async def test_a_domain_that_is_away_at_the_end_gives_back_by_itself(away: str) -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        record = await one.reserve(soon(10))
        await asyncio.sleep(5)
        one.gateway.down(away)
        await asyncio.sleep(10)
        assert (await one.get(record.reservation_id)).state == ENDED
        (there,) = world.agents[away].holdings(None, 10)
        assert there.data_plane.state is DataPlaneState.RELEASED


@virtual
async def test_a_domain_that_did_not_hear_the_commit_before_the_end_is_not_asked_for_ever() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        sent = 0

        def count(domain: str, message: Message) -> float | None:
            nonlocal sent
            if domain == "m1" and isinstance(message, (Commit, Release)):
                sent += 1
                return None
            return 0.0

        world.delay = count
        record = await one.reserve(soon(10))
        assert record.state == COMMITTED
        await asyncio.sleep(20)
        assert (await one.get(record.reservation_id)).state == ENDED
        world.delay = lambda domain, message: 0.0
        await asyncio.sleep(300)
        assert sent
        stored = await world.store.reservation(record.reservation_id)
        assert stored is not None
        transaction = await world.store.transaction(stored.transaction_id)
        assert transaction is not None
        assert transaction.settled
        assert one.engine.transactions.reservations() == set()


@virtual
async def test_a_reservation_that_ends_at_the_moment_it_is_cancelled_is_one_or_the_other() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        records = [await one.reserve(soon(10, request_id=f"r{n}")) for n in range(5)]

        async def cancel(reservation_id: str, after_s: float) -> bool:
            await asyncio.sleep(after_s)
            try:
                await one.cancel(reservation_id)
            except Exception:
                return False
            return True

        gaps = [9.0, 9.999, 10.0, 10.001, 10.6]
        ids = [record.reservation_id for record in records]
        done = await asyncio.gather(*map(cancel, ids, gaps))
        assert done[0]
        assert not done[-1]
        await asyncio.sleep(5)
        states = [(await one.get(each)).state for each in ids]
        assert states == [pb.RESERVATION_STATE_CANCELLED if each else ENDED for each in done]


@virtual
async def test_what_a_restored_domain_must_still_confirm_is_not_forgotten_as_it_ends() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        reservation_id = (await one.reserve(soon(10))).reservation_id
        await asyncio.sleep(9)
        transactions, save = one.engine.transactions, world.store.save

        async def slow(changes: Changes, fence: int = 0) -> None:
            if changes.reservation is None:
                await asyncio.sleep(3)
            await save(changes, fence)

        world.store.save = slow  # type: ignore[method-assign]
        epoch = world.agents["m1"].epoch + 1
        raising = asyncio.create_task(transactions.epoch_raised("m1", epoch))
        await asyncio.sleep(2.5)
        assert (await one.get(reservation_id)).state == ENDED
        await raising
        (transaction_id,) = transactions.of(reservation_id)
        transaction = transactions.get(transaction_id)
        assert transaction is not None
        assert not transaction.settled
