"""Re-packing: movable circuits make room for another one, in one decision or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from simulated import (
    START_S,
    WINDOW,
    G,
    assert_nothing_held,
    circuit,
    committed,
    diamond,
    shares,
    virtual,
)

from orchestrator.engine import Limits
from orchestrator.records import Granted, Reservation, State, fold_data_plane
from orchestrator.service import NotNowError
from protocol.messages import ReservationPrep
from protocol.participant import PartState
from simulations.gateway import Message
from simulations.network import Network, build_network
from substrate.model import Bend, Constraints, Criteria, DataPlaneState, RefusalKind, Window

BOTH = pytest.mark.parametrize("duplicate", [False, True], ids=["once", "twice"])
VIA_M1 = Constraints(via_domains=("m1",))
LONG = Window(START_S, START_S + 7200)


def volume(gbps: float, seconds: int, **more: Any) -> Criteria:
    """So much as ``gbps`` carries in that time, within LONG."""
    bend = Bend(volume_bytes=int(gbps * G) * seconds // 8)
    return circuit(gbps, window=LONG, bend=bend, **more)


def bits(record: Reservation) -> int:
    return sum(
        path.bandwidth_bps * (path.window or record.criteria.window).duration_s
        for path in record.paths
    )


async def record_of(network: Network, record: Reservation) -> Reservation:
    return await network.orchestrator.get(record.reservation_id)


async def kinds(network: Network, record: Reservation) -> list[str | None]:
    events = await network.store.events(record.reservation_id, 0, 1000)
    return [event.body.WhichOneof("kind") for event in events]


def states(network: Network) -> set[PartState]:
    return {record.part.state for records in network.held().values() for record in records}


@BOTH
@virtual
async def test_a_movable_circuit_goes_another_way_to_let_one_in(duplicate: bool) -> None:
    async with await build_network(diamond(), duplicate=duplicate) as network:
        first = committed(await network.reserve(circuit(60, movable=True)))
        assert shares(first) == {"m1": 60}
        second = committed(await network.reserve(circuit(100, constraints=VIA_M1)))
        assert shares(second) == {"m1": 100}
        moved = await record_of(network, first)
        assert shares(moved) == {"m2": 60}
        assert moved.criteria == first.criteria
        assert (moved.version, moved.change, moved.modified) == (2, None, None)
        assert "moved" in await kinds(network, first)
        await asyncio.sleep(5)
        assert states(network) == {PartState.COMMITTED}
        assert len(network.held()["m1"]) == len(network.held()["m2"]) == 1
        for record in (first, second):
            await network.cancel(record.reservation_id)
        await asyncio.sleep(5)
        assert_nothing_held(network)


@BOTH
@virtual
async def test_a_movable_volume_waits_and_is_whole_by_its_deadline(duplicate: bool) -> None:
    async with await build_network(diamond(1), duplicate=duplicate) as network:
        first = committed(await network.reserve(volume(90, 3000, movable=True)))
        assert first.paths[0].window is None
        second = committed(await network.reserve(circuit(50)))
        moved = await record_of(network, first)
        assert moved.version == 2
        assert bits(moved) >= bits(first)
        assert moved.criteria.window.start_s >= LONG.start_s
        assert moved.criteria.window.end_s <= LONG.end_s
        assert second.criteria.window == WINDOW
        await network.cancel(second.reservation_id)
        await network.cancel(first.reservation_id)
        await asyncio.sleep(5)
        assert_nothing_held(network)


@virtual
async def test_no_more_of_it_is_moved_than_must_be() -> None:
    async with await build_network(diamond()) as network:
        first = committed(await network.reserve(circuit(60, movable=True)))
        committed(await network.reserve(circuit(80, constraints=VIA_M1)))
        assert shares(await record_of(network, first)) == {"m1": 20, "m2": 40}


@virtual
async def test_what_was_modified_keeps_what_it_was_modified_to_when_it_is_moved() -> None:
    async with await build_network(diamond(3)) as network:
        first = committed(await network.reserve(volume(60, 3600, movable=True)))
        avoids = Constraints(avoid_domains=("m2",))
        changed = await network.modify(first.reservation_id, bandwidth_bps=50 * G)
        changed = await network.modify(first.reservation_id, constraints=avoids)
        assert changed.modified
        committed(await network.reserve(circuit(100, constraints=VIA_M1)))
        moved = await record_of(network, first)
        assert moved.version == 4
        assert moved.criteria == changed.criteria
        assert shares(moved) == {"m3": 50}


@virtual
async def test_what_migrates_at_a_time_is_not_moved() -> None:
    async with await build_network(diamond(3)) as network:
        first = committed(await network.reserve(circuit(60, movable=True)))
        migrated = await network.modify(
            first.reservation_id,
            constraints=Constraints(avoid_domains=("m1",)),
            switch_s=START_S + 1800,
        )
        assert migrated.modified
        refused = await network.reserve(circuit(100, constraints=VIA_M1))
        assert refused.state is State.FAILED
        assert await record_of(network, first) == migrated


@virtual
async def test_several_are_moved_together() -> None:
    async with await build_network(diamond(3)) as network:
        small = [
            committed(await network.reserve(circuit(30, constraints=VIA_M1)))
            if not movable
            else committed(await network.reserve(circuit(30, movable=True)))
            for movable in (True, True, False)
        ]
        assert [shares(record) for record in small] == [{"m1": 30}] * 3
        big = committed(await network.reserve(circuit(70, constraints=VIA_M1)))
        assert shares(big) == {"m1": 70}
        after = [await record_of(network, record) for record in small]
        assert [record.version for record in after] == [2, 2, 1]
        assert all("m1" not in shares(record) for record in after[:2])


@virtual
async def test_one_that_makes_room_may_need_that_of_one_far_from_it() -> None:
    async with await build_network(diamond(1)) as network:
        minute_s = -(-START_S // 60) * 60
        for start_s in (minute_s, minute_s + 600):
            window = Window(start_s, start_s + 1200)
            bend = Bend(volume_bytes=100 * G * 600 // 8)
            wanted = circuit(100, window=window, bend=bend, movable=True)
            lies = committed(await network.reserve(wanted)).criteria.window
            assert lies == Window(start_s, start_s + 600)
        first = Window(minute_s, minute_s + 600)
        committed(await network.reserve(circuit(100, window=first)))
        assert (await network.reserve(wanted)).state is State.FAILED


@virtual
async def test_nothing_is_moved_whose_owner_did_not_allow_it() -> None:
    async with await build_network(diamond()) as network:
        first = committed(await network.reserve(circuit(60)))
        refused = await network.reserve(circuit(80, constraints=VIA_M1))
        assert refused.state is State.FAILED
        assert (await record_of(network, first)).version == 1


@virtual
async def test_nothing_is_moved_that_has_begun() -> None:
    now = Window(START_S - 3600 + 20, START_S)
    async with await build_network(diamond()) as network:
        first = committed(await network.reserve(circuit(60, movable=True, window=now)))
        await asyncio.sleep(60)
        later = Window(now.start_s + 100, now.end_s)
        refused = await network.reserve(circuit(80, constraints=VIA_M1, window=later))
        assert refused.state is State.FAILED
        assert (await record_of(network, first)).version == 1


@pytest.mark.parametrize("most", [0, 1])
@virtual
async def test_no_more_are_moved_than_the_policy_allows(most: int) -> None:
    limits = Limits(moves_max=most)
    async with await build_network(diamond(), limits=limits) as network:
        for _ in range(2):
            committed(await network.reserve(circuit(30, movable=True)))
        refused = await network.reserve(circuit(90, constraints=VIA_M1))
        assert refused.state is State.FAILED
        assert refused.refusals[-1].kind is RefusalKind.BANDWIDTH
        await asyncio.sleep(5)
        assert {len(records) for records in network.held().values()} == {2}


@virtual
async def test_plan_shows_what_would_be_moved_and_moves_nothing() -> None:
    async with await build_network(diamond()) as network:
        first = committed(await network.reserve(circuit(60, movable=True)))
        await asyncio.sleep(5)
        before = network.held()
        plan = await network.orchestrator.plan(circuit(100, constraints=VIA_M1), 30)
        assert isinstance(plan, Granted)
        ((moved_id, move),) = plan.moves
        assert moved_id == first.reservation_id
        assert [path.hops[1].domain for path in move.paths] == ["m2"]
        assert network.held() == before
        assert await record_of(network, first) == first


def _deaf(domain: str, message: Message) -> Iterable[float]:
    """m2 never hears of what is decided together."""
    deaf = domain == "m2" and isinstance(message, ReservationPrep) and message.joint is not None
    return () if deaf else (0.0,)


@virtual
async def test_when_a_domain_does_not_hold_its_part_all_stays_as_it_was() -> None:
    async with await build_network(diamond(), passage=_deaf) as network:
        first = committed(await network.reserve(circuit(60, movable=True)))
        refused = await network.reserve(circuit(80, constraints=VIA_M1))
        assert refused.state is State.FAILED
        await asyncio.sleep(10)
        stayed = await record_of(network, first)
        assert replace(stayed, updated_ms=0) == replace(first, updated_ms=0)
        assert {name: len(parts) for name, parts in network.held().items()} == dict.fromkeys(
            ["east", "m1", "west"], 1
        )
        assert states(network) == {PartState.COMMITTED}
        again = await network.modify(first.reservation_id, bandwidth_bps=70 * G)
        assert again.modified


@virtual
async def test_what_is_cancelled_while_it_is_being_moved_is_gone_and_the_rest_is_whole() -> None:
    async with await build_network(diamond(), passage=_slow) as network:
        first = committed(await network.reserve(circuit(60, movable=True)))
        asked = asyncio.create_task(network.reserve(circuit(80, constraints=VIA_M1)))
        live = network.engine.book.get(first.reservation_id)
        assert live is not None
        await live.wait(lambda record: record.change is not None)
        with pytest.raises(NotNowError, match="moved"):
            await network.modify(first.reservation_id, bandwidth_bps=70 * G)
        await network.cancel(first.reservation_id)
        second = await asked
        await asyncio.sleep(10)
        assert (await record_of(network, first)).state is State.CANCELLED
        count = 1 if second.state is State.COMMITTED else 0
        assert all(len(records) == count for records in network.held().values())


def _slow(domain: str, message: Message) -> Iterable[float]:
    return (0.3,)


def carried_bps(record: Reservation, at_s: int) -> int:
    lasts = (path.window or record.criteria.window for path in record.paths)
    return sum(
        path.bandwidth_bps
        for path, window in zip(record.paths, lasts, strict=True)
        if window.start_s <= at_s < window.end_s
    )


async def until(at_s: int) -> None:
    began_s = START_S - 3600
    await asyncio.sleep(at_s - began_s - asyncio.get_running_loop().time())


@BOTH
@virtual
async def test_a_volume_that_has_begun_goes_on_and_makes_room_later(duplicate: bool) -> None:
    async with await build_network(diamond(1), duplicate=duplicate) as network:
        first = committed(await network.reserve(volume(90, 3000, movable=True)))
        await until(START_S + 600)
        window = Window(START_S + 1200, START_S + 2400)
        second = committed(await network.reserve(circuit(50, window=window)))
        moved = await record_of(network, first)
        assert (moved.version, moved.state, moved.modified) == (2, State.COMMITTED, None)
        assert bits(moved) >= bits(first)
        assert moved.criteria.window.start_s == START_S
        assert moved.criteria.window.end_s <= LONG.end_s
        has_bps = carried_bps(first, START_S)
        assert 75 * G < has_bps < 90 * G
        assert {carried_bps(moved, at_s) for at_s in range(START_S, START_S + 630)} == {has_bps}
        switches_s = {path.window.end_s for path in moved.paths if path.window} - {LONG.end_s}
        assert all(at_s % 60 == 0 or at_s % 60 == START_S % 60 for at_s in switches_s)
        assert carried_bps(moved, START_S + 1800) == 50 * G
        # Not even for a moment is it not there.
        running = [p for p in moved.parts if p.window and p.window.start_s == START_S]
        assert {part.data_plane for part in running} == {DataPlaneState.ACTIVE}
        for at_s in (START_S + 1100, START_S + 1800, START_S + 2500):
            await until(at_s)
            parts = (await record_of(network, first)).parts
            assert fold_data_plane(parts) is DataPlaneState.ACTIVE
            assert len(network.held()["m1"]) == len(moved.parts) // 3 + 1
        await until(LONG.end_s + 60)
        assert (await record_of(network, first)).state is State.ENDED
        assert (await record_of(network, second)).state is State.ENDED


@virtual
async def test_a_volume_may_be_moved_again_and_what_is_over_is_still_told() -> None:
    async with await build_network(diamond(1)) as network:
        first = committed(await network.reserve(volume(90, 3000, movable=True)))
        for number, start_s in enumerate((START_S + 600, START_S + 1800, START_S + 3000), start=2):
            await until(start_s - 300)
            window = Window(start_s, start_s + 600)
            committed(await network.reserve(circuit(90, window=window)))
            moved = await record_of(network, first)
            assert moved.version == number
            assert bits(moved) >= bits(first)
            assert carried_bps(moved, START_S) == carried_bps(first, START_S)
            assert carried_bps(moved, start_s) == 10 * G
            ends_s = [p.window.end_s for p in moved.parts if p.window]
            assert min(ends_s) > start_s - 300
        refused = await network.reserve(circuit(90, window=Window(START_S + 3700, LONG.end_s)))
        assert refused.state is State.FAILED
        cancelled = await network.cancel(first.reservation_id)
        assert cancelled.state is State.CANCELLED
        await asyncio.sleep(5)
        assert (await record_of(network, first)).parts
        assert all(part.released for part in (await record_of(network, first)).parts)
        assert network.engine.book.get(first.reservation_id) is None
