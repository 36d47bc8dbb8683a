"""A request for which nobody has to be asked is written once, together with its parts."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from grpc import StatusCode
from orchestrated import One, Orchestrated, noisy, refused, sites, until, virtual, wanted

from braid.v1 import reservations_pb2 as pb
from orchestrator import begun, negotiation
from orchestrator.ports import Changes, Unfinished
from protocol.coordinator import PartStatus
from protocol.messages import ReqOffers, ReservationPrep
from runtime.database import StorageError
from simulations.gateway import Message

COMMITTED = pb.RESERVATION_STATE_COMMITTED
FAILED = pb.RESERVATION_STATE_FAILED
WHOLE = ["east", "m1", "west"]


@dataclass
class Seen:
    """``writes``: of which transactions anything was written, in order; ``sent``: messages."""

    writes: list[Changes] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)

    def watch(self, world: Orchestrated) -> None:
        def wrote(changes: Changes) -> str:
            if changes.transactions:
                self.writes.append(changes)
            return ""

        def delay(_domain: str, message: Message) -> float:
            self.sent.append(message)
            return 0.0

        world.store.fails, world.delay = wrote, delay

    def of(self, kind: type) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]


async def warm(world: Orchestrated) -> tuple[One, Seen]:
    """An instance that was told already what is free, and all that happens from then on."""
    one, seen = await world.start(), Seen()
    assert (await one.reserve(wanted(1, "before"))).state == COMMITTED
    await until(lambda: not one.engine.transactions._unsettled)
    seen.watch(world)
    return one, seen


@virtual
async def test_the_request_and_its_parts_are_one_write_before_anything_is_sent() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=60_000) as world:
        one, seen = await warm(world)
        first: list[int] = []
        fails = world.store.fails

        def wrote(changes: Changes) -> str:
            first.append(len(seen.of(ReservationPrep)))
            return fails(changes)

        world.store.fails = wrote
        record = await one.reserve(wanted(10))
        assert record.state == COMMITTED
        opening = seen.writes[0]
        assert opening.request is not None
        assert [p.status for p in opening.transactions[0].parts] == [PartStatus.PREPARING] * 3
        assert first[0] == 0
        assert seen.of(ReqOffers) == []
        await until(lambda: not one.engine.transactions._unsettled)
        # The decision and the last confirmation are the others.
        assert len(seen.writes) == 3
        assert sorted(world.held()) == WHOLE


@virtual
async def test_events_tell_it_in_the_order_in_which_it_happened() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=60_000) as world:
        one, _ = await warm(world)
        record = await one.reserve(wanted(10))
        found = [event.WhichOneof("kind") for event in await one.events(record.reservation_id)]
        assert found[:3] == ["state_changed", "paths_found", "planned"]
        assert found[3:7] == ["prepare_sent", *["prepare_answered"] * 3]


@virtual
async def test_the_same_request_twice_is_one_reservation() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=60_000) as world:
        one, seen = await warm(world)
        first = await one.reserve(wanted(10))
        again = await one.reserve(wanted(10))
        assert again == first
        assert len(seen.of(ReservationPrep)) == 3
        await refused(one.reserve(wanted(20)), StatusCode.ALREADY_EXISTS, "request_id")
        assert [len(rows) for rows in world.held().values()] == [2, 2, 2]


@virtual
async def test_what_was_remembered_and_is_no_more_is_planned_anew() -> None:
    async with Orchestrated(sites("m1", "m2"), offers_reuse_ms=60_000) as world:
        one, seen = await warm(world)
        other = await world.start("b")
        taken = await other.reserve(wanted(90, "other"))
        assert taken.state == COMMITTED
        # Of that this instance was not told: its first plan is refused, and its second one is not.
        record = await one.reserve(wanted(90))
        assert record.state == COMMITTED
        assert len(seen.of(ReservationPrep)) > 6
        ways = {path.hops[1].domain for each in (taken, record) for path in each.paths}
        assert ways == {"m1", "m2"}


@pytest.mark.parametrize("how", ["before", "after"])
@noisy
async def test_nothing_is_sent_when_that_write_fails(how: str) -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=60_000) as world:
        one, seen = await warm(world)
        world.store.fails = lambda changes: how if changes.request is not None else ""
        with suppress(StorageError):
            await one.reserve(wanted(10))
        assert seen.of(ReservationPrep) == [] or how == "after"
        world.store.fails = lambda _changes: ""
        record = await one.reserve(wanted(10))
        assert record.state == COMMITTED
        await until(lambda: not one.engine.transactions._unsettled)
        assert [len(rows) for rows in world.held().values()] == [2, 2, 2]


@noisy
async def test_who_dies_after_that_write_is_followed_by_one_who_negotiates_it_anew() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=60_000) as world:
        one, seen = await warm(world)
        world.delay = lambda _domain, message: None if isinstance(message, ReservationPrep) else 0.0
        record = await one.reserve(wanted(10, detach=True))
        assert seen.writes[0].transactions[0].parts
        await world.kill("a")
        seen.watch(world)
        one = await world.start()
        again = await one.reserve(wanted(10))
        assert (again.reservation_id, again.state) == (record.reservation_id, COMMITTED)
        await until(lambda: not one.engine.transactions._unsettled)
        assert [len(rows) for rows in world.held().values()] == [2, 2, 2]


@virtual
async def test_a_cancel_before_the_domains_answer_leaves_nothing_behind() -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=60_000) as world:
        one, _ = await warm(world)
        world.delay = lambda _domain, message: 1.0 if isinstance(message, ReservationPrep) else 0.0
        record = await one.reserve(wanted(10, detach=True))
        gone = await one.cancel(record.reservation_id)
        assert gone.state == pb.RESERVATION_STATE_CANCELLED
        await until(lambda: not one.engine.transactions._unsettled)
        assert [len(rows) for rows in world.held().values()] == [1, 1, 1]


@pytest.mark.parametrize("always", [False, True])
@noisy
async def test_a_request_whose_planning_breaks_is_recorded_all_the_same(
    monkeypatch: pytest.MonkeyPatch, always: bool
) -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=60_000) as world:
        one, _ = await warm(world)

        async def breaks(*_args: object, **_more: object) -> None:
            raise KeyError("m1")

        for module in (begun, negotiation) if always else (begun,):
            monkeypatch.setattr(module, "plan_for", breaks)
        record = await one.reserve(wanted(10))
        assert record.state == (FAILED if always else COMMITTED)
        again = await one.reserve(wanted(10))
        assert again == record


@pytest.mark.parametrize("turns", range(8))
@noisy
async def test_what_is_read_again_while_it_begins_is_negotiated_once(
    monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    async with Orchestrated(sites("m1"), offers_reuse_ms=60_000) as world:
        one, _ = await warm(world)
        store, engine = world.store, one.engine
        save, take_one = store.save, store.take_one
        written, asked = asyncio.Event(), asyncio.Event()
        ids: list[str] = []

        async def saves(changes: Changes, fence: int = 0) -> None:
            await save(changes, fence)
            if changes.request is not None and changes.reservation is not None:
                ids.append(changes.reservation.reservation_id)
                written.set()
                await asked.wait()

        async def takes(epoch: int, reservation_id: str) -> Unfinished:
            # A database answers what was written before, and then this.
            asked.set()
            for _ in range(turns + 1):
                await asyncio.sleep(0)
            return await take_one(epoch, reservation_id)

        monkeypatch.setattr(store, "save", saves)
        monkeypatch.setattr(store, "take_one", takes)
        reserving = asyncio.create_task(one.reserve(wanted(10)))
        await written.wait()
        engine.on_doubt(ids[0])
        record = await reserving
        await until(lambda: not engine.transactions._unsettled)
        assert record.state == COMMITTED
        assert [len(rows) for rows in world.held().values()] == [2, 2, 2]
