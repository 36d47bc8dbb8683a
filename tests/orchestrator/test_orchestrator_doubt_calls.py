"""What braid.v1.Doubts of an orchestrator tells: why something is in doubt, and what may be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc import StatusCode
from orchestrated import NO_CONTEXT, One, Orchestrated, deaf, refused, sites, until, virtual, wanted

from braid.v1 import doubts_pb2 as pb, reservations_pb2
from orchestrator.doubts import DoubtsService
from orchestrator.link import Status
from orchestrator.ports import AgentIdentity
from protocol.messages import Commit, Release
from simulations.clock import EPOCH_MS

COMMIT, GIVE_UP = pb.SETTLEMENT_COMMIT, pb.SETTLEMENT_GIVE_UP


class Connections:
    """Says of every domain what the test says."""

    def __init__(self) -> None:
        self.up, self.left = True, False

    def status(self, name: str) -> Status | None:
        if self.left:
            return None
        return Status(name, "x:1", None, self.up, "" if self.up else "connection refused", EPOCH_MS)


class Desk:
    """The service of one instance."""

    def __init__(self, one: One) -> None:
        self.connections = Connections()
        self.service = DoubtsService(one.instance.orchestrator, self.connections)

    async def listed(self, older_s: int = 0, **fields: Any) -> pb.ListDoubtsResponse:
        request = pb.ListDoubtsRequest(older_than_s=older_s, **fields)
        return await self.service.List(request, NO_CONTEXT)

    async def only(self) -> pb.Doubt:
        (doubt,) = (await self.listed()).doubts
        return doubt

    async def settle(self, doubt: pb.Doubt, settlement: int, **fields: Any) -> pb.SettleResponse:
        values: dict[str, Any] = {"operator": "olga", "reason": "burnt down", **fields}
        request = pb.SettleRequest(
            transaction_id=doubt.transaction_id,
            part_id=doubt.part_id,
            settlement=settlement,  # type: ignore[arg-type]
            **values,
        )
        return await self.service.Settle(request, NO_CONTEXT)


async def unreleased(world: Orchestrated, one: One, request_id: str = "r") -> str:
    """A cancelled reservation whose release m1 does not hear of."""
    record = await one.reserve(wanted(request_id=request_id))
    await asyncio.sleep(1)
    world.delay = deaf("m1", Release)
    await one.cancel(record.reservation_id)
    return record.reservation_id


@virtual
async def test_it_is_told_what_is_waited_for_and_for_how_long() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        desk = Desk(one)
        reservation_id = await unreleased(world, one)
        doubt = await desk.only()
        assert (doubt.domain, doubt.reservation_id) == ("m1", reservation_id)
        assert (doubt.state, list(doubt.possible)) == ("RELEASING", [GIVE_UP])
        assert doubt.orchestrator_id == "simulated"
        # Cancel waits a moment for the answer.
        assert doubt.since_ms <= world.clock.now_ms() - 1000
        # What is waited for so shortly is usual.
        assert not (await desk.listed(10)).doubts
        assert not (await desk.service.List(pb.ListDoubtsRequest(), NO_CONTEXT)).doubts
        await asyncio.sleep(10)
        assert (await desk.service.List(pb.ListDoubtsRequest(), NO_CONTEXT)).doubts
        world.delay = lambda domain, message: 0.0
        await until(lambda: world.held() == {})
        assert not (await desk.listed()).doubts


@virtual
async def test_the_reason_says_what_is_known_of_the_domain() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        desk = Desk(one)
        await unreleased(world, one)
        up = "its agent is up but has not acknowledged the Release"
        await asyncio.sleep(20)
        doubt = await desk.only()
        assert doubt.attempts > 1
        assert doubt.reason == f"{up}, sent {doubt.attempts} times"
        desk.connections.up = False
        assert (await desk.only()).reason == (
            "its agent is down since 2030-03-17T17:46:40Z: connection refused"
        )
        desk.connections.left = True
        assert (await desk.only()).reason == (
            "the domain has left: this orchestrator does not know its agent any more"
        )


@virtual
async def test_another_instance_tells_the_same_without_having_asked() -> None:
    async with Orchestrated(sites("m1")) as world:
        one, other = await world.start("a"), await world.start("b")
        await unreleased(world, one)
        doubt = await Desk(other).only()
        assert doubt.attempts == 0
        assert doubt.reason == "its agent is up but has not acknowledged the Release"
        assert (await Desk(one).only()).transaction_id == doubt.transaction_id


@virtual
async def test_a_domain_that_recovers_is_said_to() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        desk = Desk(one)
        await unreleased(world, one)

        async def holds_nothing() -> frozenset[tuple[str, str]]:
            return frozenset()

        restored = AgentIdentity(9, 1, "x", recovering=True)
        await one.instance.orchestrator.reports.on_meet("m1", restored, holds_nothing)
        assert (await desk.only()).reason == (
            "its agent was restored from a backup and recovers what it held"
        )


@virtual
async def test_the_same_order_twice_is_answered_alike_and_recorded_once() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        desk = Desk(one)
        reservation_id = await unreleased(world, one)
        doubt = await desk.only()
        first = await desk.settle(doubt, GIVE_UP)
        assert first.decision.at_ms == world.clock.now_ms()
        await asyncio.sleep(1)
        assert await desk.settle(doubt, GIVE_UP) == first
        # Who says it second, and why, is not recorded.
        assert await desk.settle(doubt, GIVE_UP, operator="ines", reason="why") == first
        assert list((await desk.listed()).decisions) == [first.decision]
        shown = await one.get(reservation_id)
        assert [part.released for part in shown.parts] == [True, True, True]
        kinds = [event.WhichOneof("kind") for event in await one.events(reservation_id)]
        assert kinds.count("settled_by_hand") == 1


@virtual
async def test_another_order_than_is_possible_says_what_is() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        desk = Desk(one)
        await unreleased(world, one)
        doubt = await desk.only()
        error = await refused(
            desk.settle(doubt, COMMIT), StatusCode.FAILED_PRECONDITION, "settlement"
        )
        assert (error.given, error.possible) == (
            "'COMMIT'",
            "GIVE_UP of a part that is RELEASING",
        )
        await desk.settle(doubt, GIVE_UP)
        error = await refused(
            desk.settle(doubt, COMMIT), StatusCode.FAILED_PRECONDITION, "settlement"
        )
        assert error.possible == "GIVE_UP, as olga decided before"


@virtual
async def test_what_is_not_in_doubt_says_what_it_is() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        desk = Desk(one)
        await unreleased(world, one)
        doubt = await desk.only()
        world.delay = lambda domain, message: 0.0
        await until(lambda: world.held() == {})
        for settlement in (COMMIT, GIVE_UP):
            error = await refused(
                desk.settle(doubt, settlement), StatusCode.FAILED_PRECONDITION, "part_id"
            )
            assert error.given == repr(doubt.part_id)
            assert error.possible == "a part in doubt; this one is RELEASED"


@virtual
async def test_giving_up_what_the_user_waits_for_fails_it_with_the_operators_reason() -> None:
    async with Orchestrated(sites("m1", expiring="m1")) as world:
        one = await world.start()
        desk = Desk(one)
        world.delay = deaf("m1", Commit)
        waiting = asyncio.create_task(one.reserve(wanted()))
        await asyncio.sleep(2)
        doubt = await desk.only()
        assert list(doubt.possible) == [COMMIT, GIVE_UP]
        assert doubt.state == "COMMITTING"
        await desk.settle(doubt, GIVE_UP)
        record = await waiting
        assert record.state == reservations_pb2.RESERVATION_STATE_FAILED
        assert "by hand" in record.refusals[0].reason
        assert record.refusals[0].domain == "m1"


@virtual
async def test_doubts_come_page_by_page_oldest_first_and_each_once() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        desk = Desk(one)
        ids = []
        for number in range(5):
            world.delay = lambda domain, message: 0.0
            record = await one.reserve(wanted(1, f"r{number}"))
            ids.append(record.reservation_id)
        world.delay = deaf("m1", Release)
        for reservation_id in ids:
            await one.cancel(reservation_id)
        token, found = "", []
        for size in (2, 2, 2):
            page = await desk.listed(page_size=size, page_token=token)
            found += [doubt.reservation_id for doubt in page.doubts]
            token = page.next_page_token
        assert found == ids
        assert token == ""


@pytest.mark.parametrize("settlement", [COMMIT, GIVE_UP])
@virtual
async def test_the_last_word_of_a_domain_that_returns_does_not_change_a_decision(
    settlement: int,
) -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        desk = Desk(one)
        world.delay = deaf("m1", Commit)
        record = await one.reserve(wanted())
        await asyncio.sleep(2)
        decided = (await desk.settle(await desk.only(), settlement)).decision
        world.delay = lambda domain, message: 0.0
        one.gateway.down("m1")
        one.gateway.up(world.agents["m1"])
        await asyncio.sleep(30)
        (shown,) = (await desk.listed()).decisions
        shown.contradicted = decided.contradicted
        assert shown == decided
        assert (await one.get(record.reservation_id)).state == (
            reservations_pb2.RESERVATION_STATE_COMMITTED
        )
        assert world.held()["m1"] == [(record.reservation_id, 1)]
