"""Re-packing of what slides: it makes room at another time within its window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simulated import WINDOW, G, circuit, committed, diamond, shares, virtual
from test_simulations_moving import BOTH, LONG, VIA_M1, record_of, until

from orchestrator.records import Granted, State, fold_data_plane
from simulations.network import build_network
from substrate.model import Bend, Constraints, Criteria, DataPlaneState, Window


def slider(gbps: float, **more: Any) -> Criteria:
    """An hour somewhere in LONG, which lasts two; it is placed in the first."""
    return circuit(gbps, window=LONG, bend=Bend(duration_s=3600), movable=True, **more)


@BOTH
@virtual
async def test_what_slides_lies_at_another_time_where_no_other_way_is_left(duplicate: bool) -> None:
    async with await build_network(diamond(1), duplicate=duplicate) as network:
        first = committed(await network.reserve(slider(60)))
        assert first.criteria.window == WINDOW
        plan = await network.orchestrator.plan(circuit(80), 30)
        assert isinstance(plan, Granted)
        ((moved_id, move),) = plan.moves
        later = Window(WINDOW.end_s, LONG.end_s)
        assert (moved_id, move.criteria.window) == (first.reservation_id, later)
        second = committed(await network.reserve(circuit(80)))
        assert second.criteria.window == WINDOW
        moved = await record_of(network, first)
        assert moved.criteria == replace(first.criteria, window=later)
        assert (moved.version, moved.asked, shares(moved)) == (2, first.asked, {"m1": 60})
        events = await network.store.events(first.reservation_id, 0, 1000)
        (told,) = [e.body.moved for e in events if e.body.WhichOneof("kind") == "moved"]
        assert (told.window.start_s, told.window.end_s) == (later.start_s, later.end_s)
        await until(WINDOW.start_s + 60)
        assert fold_data_plane((await record_of(network, first)).parts) is DataPlaneState.SCHEDULED
        await until(later.start_s + 60)
        assert fold_data_plane((await record_of(network, first)).parts) is DataPlaneState.ACTIVE
        assert (await record_of(network, second)).state is State.ENDED
        await until(later.end_s + 60)
        assert (await record_of(network, first)).state is State.ENDED


@virtual
async def test_what_slides_keeps_its_time_where_another_way_will_do() -> None:
    async with await build_network(diamond()) as network:
        first = committed(await network.reserve(slider(60)))
        committed(await network.reserve(circuit(100, constraints=VIA_M1)))
        moved = await record_of(network, first)
        assert (moved.criteria, shares(moved)) == (first.criteria, {"m2": 60})


@virtual
async def test_what_slides_may_come_back_when_it_is_moved_again() -> None:
    async with await build_network(diamond(1)) as network:
        first = committed(await network.reserve(slider(60)))
        early = committed(await network.reserve(circuit(80)))
        await network.cancel(early.reservation_id)
        later = Window(WINDOW.end_s, LONG.end_s)
        committed(await network.reserve(circuit(80, window=later)))
        assert (await record_of(network, first)).criteria.window == WINDOW
        refused = await network.reserve(circuit(80))
        assert refused.state is State.FAILED
        assert (await record_of(network, first)).version == 3


@virtual
async def test_what_slides_is_moved_to_no_time_that_is_over_or_near() -> None:
    async with await build_network(diamond(1)) as network:
        early = committed(await network.reserve(circuit(80, movable=False)))
        first = committed(await network.reserve(slider(60)))
        assert first.criteria.window.start_s == WINDOW.end_s
        await network.cancel(early.reservation_id)
        # An hour before its time nothing is there any more, and a minute later no hour is left.
        await until(LONG.start_s - 29)
        later = Window(WINDOW.end_s, LONG.end_s)
        refused = await network.reserve(circuit(80, window=later))
        assert refused.state is State.FAILED
        assert await record_of(network, first) == first


@virtual
async def test_what_slid_and_was_modified_keeps_its_time() -> None:
    async with await build_network(diamond(1)) as network:
        first = committed(await network.reserve(slider(60)))
        changed = await network.modify(first.reservation_id, bandwidth_bps=50 * G)
        assert changed.modified
        refused = await network.reserve(circuit(80))
        assert refused.state is State.FAILED
        assert (await record_of(network, first)).criteria == changed.criteria


@virtual
async def test_of_a_range_what_was_granted_is_kept_when_it_is_moved() -> None:
    wish = circuit(90, bend=Bend(least_bps=30 * G), movable=True)
    async with await build_network(diamond()) as network:
        stays = committed(await network.reserve(circuit(40, constraints=VIA_M1)))
        other = Constraints(via_domains=("m2",))
        gone = committed(await network.reserve(circuit(100, constraints=other)))
        first = committed(await network.reserve(wish))
        assert shares(first) == {"m1": 60}
        for record in (stays, gone):
            await network.cancel(record.reservation_id)
        committed(await network.reserve(circuit(100, constraints=VIA_M1)))
        moved = await record_of(network, first)
        assert (moved.criteria, shares(moved)) == (first.criteria, {"m2": 60})


@virtual
async def test_a_range_that_slides_keeps_its_bandwidth_at_another_time() -> None:
    bend = Bend(duration_s=3600, least_bps=30 * G)
    async with await build_network(diamond(1)) as network:
        both = [committed(await network.reserve(circuit(40, window=LONG, bend=None)))]
        wish = circuit(90, window=LONG, bend=bend, movable=True)
        first = committed(await network.reserve(wish))
        assert (first.criteria.bandwidth_bps, first.criteria.window) == (60 * G, WINDOW)
        await network.cancel(both[0].reservation_id)
        committed(await network.reserve(circuit(80)))
        moved = await record_of(network, first)
        assert moved.criteria.bandwidth_bps == 60 * G
        assert moved.criteria.window == Window(WINDOW.end_s, LONG.end_s)
