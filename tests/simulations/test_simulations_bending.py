"""Requests that bend, and answers that help, over the whole protocol in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
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
    port,
    virtual,
)

from orchestrator.explanation import AlternativeKind
from orchestrator.records import Reservation, State, fold_data_plane
from orchestrator.service import NotNowError
from protocol.messages import ReservationPrep
from simulations.gateway import Message
from simulations.network import Network, build_network
from substrate.model import Bend, Constraints, Criteria, DataPlaneState, RefusalKind, Window

HOUR_S = 3600
DAY = Window(START_S, START_S + 24 * HOUR_S)
BOTH = pytest.mark.parametrize("duplicate", [False, True], ids=["once", "twice"])


def hours(first: int, last: int) -> Window:
    return Window(START_S + first * HOUR_S, START_S + last * HOUR_S)


def bending(gbps: float, **bend: Any) -> Criteria:
    return circuit(gbps, window=DAY, bend=Bend(**bend))


def moved_bits(record: Reservation) -> int:
    return sum(
        path.bandwidth_bps * (path.window or record.criteria.window).duration_s
        for path in record.paths
    )


async def fill(network: Network, gbps: float, window: Window) -> Reservation:
    return committed(await network.reserve(circuit(gbps, window=window)))


@BOTH
@virtual
async def test_a_circuit_slides_to_the_first_time_at_which_it_fits(duplicate: bool) -> None:
    async with await build_network(diamond(), duplicate=duplicate) as network:
        await fill(network, 150, hours(0, 2))
        await fill(network, 60, hours(4, 6))
        record = committed(await network.reserve(bending(160, duration_s=3 * HOUR_S)))
        assert record.criteria.window == hours(6, 9)
        assert record.criteria.bandwidth_bps == 160 * G
        assert record.asked is not None
        assert record.asked.window == DAY
        held = [r.part.prep for parts in network.held().values() for r in parts]
        assert sum(prep is not None and prep.window == hours(6, 9) for prep in held) == 4


@virtual
async def test_a_circuit_takes_the_most_that_there_is_of_a_range() -> None:
    async with await build_network(diamond()) as network:
        await fill(network, 150, WINDOW)
        least = Bend(least_bps=20 * G)
        record = committed(await network.reserve(circuit(160, bend=least)))
        assert record.criteria.bandwidth_bps == 50 * G
        assert record.criteria.window == WINDOW
        failed = await network.reserve(circuit(160, bend=least))
        assert failed.state is State.FAILED
        assert failed.criteria == failed.asked


@BOTH
@virtual
async def test_a_volume_is_moved_at_rates_that_change_all_or_nothing(duplicate: bool) -> None:
    async with await build_network(diamond(), duplicate=duplicate) as network:
        await fill(network, 150, hours(0, 2))
        await fill(network, 190, hours(3, 5))
        volume_bytes = 200 * G * 3 * HOUR_S // 8
        record = committed(
            await network.reserve(bending(200, volume_bytes=volume_bytes, soonest=True))
        )
        windows = sorted({path.window for path in record.paths if path.window is not None})
        assert windows[0].start_s == DAY.start_s
        assert all(one.end_s <= other.start_s for one, other in pairwise(windows))
        assert moved_bits(record) >= volume_bytes * 8
        assert record.criteria.window == Window(windows[0].start_s, windows[-1].end_s)
        # Full at first, all of it for an hour, then a trickle, then the rest.
        assert record.criteria.window.end_s < hours(0, 7).end_s
        await network.cancel(record.reservation_id)
        gone = await network.orchestrator.get(record.reservation_id)
        assert gone.state is State.CANCELLED
        await asyncio.sleep(1)
        left = (await network.orchestrator.get(record.reservation_id)).parts
        assert all(part.released for part in left)


@virtual
async def test_a_volume_that_is_not_in_a_hurry_leaves_crowded_hours_to_others() -> None:
    async with await build_network(diamond()) as network:
        await fill(network, 150, hours(0, 2))
        volume_bytes = 200 * G * 2 * HOUR_S // 8
        record = committed(await network.reserve(bending(200, volume_bytes=volume_bytes)))
        assert record.criteria.window == hours(2, 4)
        await fill(network, 50, hours(0, 2))


@virtual
async def test_phases_are_neither_shorter_nor_slower_than_domains_can_configure() -> None:
    configs = diamond()
    for config in configs:
        config.update(least_phase_s=2 * HOUR_S, least_rate="30G")
    async with await build_network(configs) as network:
        await fill(network, 180, hours(0, 1))
        await fill(network, 50, hours(1, 4))
        record = committed(await network.reserve(bending(200, volume_bytes=10**14)))
        for window in {path.window or record.criteria.window for path in record.paths}:
            assert window.duration_s >= 2 * HOUR_S
            rate = sum(p.bandwidth_bps for p in record.paths if p.window in (None, window))
            assert rate >= 30 * G


@virtual
async def test_a_domain_that_refuses_a_phase_changes_the_choice_of_all() -> None:
    """Somebody takes what was offered between the offer and the hold."""
    async with await build_network(diamond(1)) as network:
        thief = circuit(60, window=hours(0, 1))
        stolen = list[asyncio.Task[Reservation]]()

        def passage(_domain: str, message: Message) -> Iterable[float]:
            if not isinstance(message, ReservationPrep) or message.window == thief.window:
                return (0.0,)
            if not stolen:
                stolen.append(asyncio.get_running_loop().create_task(network.reserve(thief)))
            return (1.0,)

        network.gateway.passage = passage
        volume_bytes = 100 * G * 2 * HOUR_S // 8
        record = committed(await network.reserve(bending(100, volume_bytes=volume_bytes)))
        assert committed(await stolen[0]).criteria.bandwidth_bps == 60 * G
        assert moved_bits(record) >= volume_bytes * 8
        for held in network.held().values():
            for part in held:
                assert part.part.prep is not None
                assert part.part.prep.reservation_id in (
                    record.reservation_id,
                    stolen[0].result().reservation_id,
                )


@virtual
async def test_what_does_not_fit_leaves_nothing_and_says_how_much_would() -> None:
    async with await build_network(diamond()) as network:
        await fill(network, 150, DAY)
        volume_bytes = 100 * G * 24 * HOUR_S // 8
        failed = await network.reserve(bending(200, volume_bytes=volume_bytes))
        assert failed.state is State.FAILED
        assert failed.refusals[-1].kind is RefusalKind.BANDWIDTH
        found = {each.kind: each for each in failed.explanation.alternatives}
        less = found[AlternativeKind.LARGEST_BANDWIDTH].criteria
        later = found[AlternativeKind.EARLIEST_START].criteria
        assert less.bend == Bend(volume_bytes=volume_bytes // 2)
        assert later.window.end_s > DAY.end_s
        assert (await network.reserve(later)).state is State.COMMITTED


@virtual
async def test_the_data_plane_follows_each_phase() -> None:
    async with await build_network(diamond()) as network:
        await fill(network, 150, hours(0, 1))
        volume_bytes = 250 * G * HOUR_S // 8
        record = committed(
            await network.reserve(bending(200, volume_bytes=volume_bytes, soonest=True))
        )
        assert {p.window for p in record.parts} == {hours(0, 1), hours(1, 2)}

        async def states() -> dict[Window | None, set[DataPlaneState]]:
            parts = (await network.orchestrator.get(record.reservation_id)).parts
            found: dict[Window | None, set[DataPlaneState]] = {}
            for part in parts:
                found.setdefault(part.window, set()).add(part.data_plane)
            found[None] = {whole} if (whole := fold_data_plane(parts)) else set()
            return found

        await asyncio.sleep(START_S - network.clock.now_ms() / 1000 + 2)
        active, idle, over = (
            {DataPlaneState.ACTIVE},
            {DataPlaneState.SCHEDULED},
            {DataPlaneState.RELEASED},
        )
        assert await states() == {None: active, hours(0, 1): active, hours(1, 2): idle}
        await asyncio.sleep(HOUR_S)
        assert await states() == {None: active, hours(0, 1): over, hours(1, 2): active}
        await asyncio.sleep(HOUR_S)
        after = await network.orchestrator.get(record.reservation_id)
        assert after.state is State.ENDED
        assert fold_data_plane(after.parts) is DataPlaneState.RELEASED
        await asyncio.sleep(2 * HOUR_S)
        assert_nothing_held(network)


@virtual
async def test_a_circuit_whose_rate_changes_is_not_modified() -> None:
    async with await build_network(diamond()) as network:
        await fill(network, 150, hours(0, 1))
        volume_bytes = 250 * G * HOUR_S // 8
        record = committed(
            await network.reserve(bending(200, volume_bytes=volume_bytes, soonest=True))
        )
        with pytest.raises(NotNowError, match="change in time"):
            await network.modify(record.reservation_id, bandwidth_bps=G)


@virtual
async def test_an_agent_that_crashed_still_holds_every_phase() -> None:
    async with await build_network(diamond()) as network:
        await fill(network, 150, hours(0, 1))
        volume_bytes = 250 * G * HOUR_S // 8
        record = committed(
            await network.reserve(bending(200, volume_bytes=volume_bytes, soonest=True))
        )
        before = {name: len(parts) for name, parts in network.held().items()}
        for name in list(network.members):
            await network.restart(name)
        assert {name: len(parts) for name, parts in network.held().items()} == before
        await network.cancel(record.reservation_id)
        await asyncio.sleep(1)


@virtual
async def test_a_refusal_names_the_cut_and_every_alternative_is_granted() -> None:
    async with await build_network(diamond()) as network:
        await fill(network, 50, hours(0, 2))
        refused = await network.reserve(circuit(180, window=hours(0, 1)))
        assert refused.state is State.FAILED
        cut = refused.explanation.bottlenecks
        assert sum(each.free_bps or 0 for each in cut) == 150 * G
        assert all(each.window == hours(0, 1) for each in cut)
        found = {each.kind: each for each in refused.explanation.alternatives}
        assert set(found) == {*AlternativeKind} - {AlternativeKind.LESS_SURVIVAL}
        assert found[AlternativeKind.LARGEST_BANDWIDTH].criteria.bandwidth_bps == 150 * G
        assert found[AlternativeKind.EARLIEST_START].criteria.window == hours(2, 3)
        assert sum(each.least_change for each in found.values()) == 1
        for alternative in found.values():
            taken = committed(await network.reserve(alternative.criteria))
            await network.cancel(taken.reservation_id)
            await asyncio.sleep(1)


@virtual
async def test_a_refusal_for_want_of_a_label_says_so() -> None:
    configs = diamond(1)
    configs[2]["ports"] = [
        port("west", "west:m1", vlans="100"),
        port("east", "east:m1", vlans="100"),
    ]
    async with await build_network(configs) as network:
        await fill(network, 1, WINDOW)
        refused = await network.reserve(circuit(1))
        assert refused.state is State.FAILED
        assert [each.label for each in refused.explanation.bottlenecks] == [True]


@virtual
async def test_limits_of_a_request_hold_in_every_phase() -> None:
    async with await build_network(diamond()) as network:
        await fill(network, 150, hours(0, 1))
        criteria = replace(
            bending(200, volume_bytes=100 * G * HOUR_S // 8),
            constraints=Constraints(max_paths=1, avoid_domains=("m2",)),
        )
        record = committed(await network.reserve(criteria))
        for path in record.paths:
            assert "m2" not in [hop.domain for hop in path.hops]
        windows = [path.window for path in record.paths]
        assert len(windows) == len(set(windows))
