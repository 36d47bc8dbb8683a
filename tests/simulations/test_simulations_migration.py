"""Migration: a live circuit moves to other paths, make before break, all or nothing."""

from __future__ import annotations

import asyncio

import pytest
from simulated import START_S, WINDOW, G, assert_nothing_held, circuit, committed, diamond, virtual

from orchestrator.bent import OVERLAP_S
from orchestrator.records import State
from protocol.participant import PartState
from simulations.network import Network, build_network
from substrate.model import Constraints, DataPlaneState, Window

AVOID = Constraints(avoid_domains=("m1",))
MIDDLE_S = START_S + 1800
BOTH = pytest.mark.parametrize("duplicate", [False, True], ids=["once", "twice"])


def active(network: Network) -> dict[str, set[str]]:
    """Per domain, which neighbours its active parts join it to."""
    found: dict[str, set[str]] = {}
    for name, records in network.held().items():
        for record in records:
            prep = record.part.prep
            if prep is None or record.data_plane.state is not DataPlaneState.ACTIVE:
                continue
            stps = {s for seg in prep.segments for s in (seg.ingress_stp, seg.egress_stp)}
            found.setdefault(name, set()).update(stp.partition(":")[2] for stp in stps)
    return found


def carries(network: Network, middle: str) -> bool:
    now = active(network)
    return (
        middle in now.get("west", ())
        and middle in now.get("east", ())
        and now.get(middle) == {"west", "east"}
    )


async def until(network: Network, time_s: float) -> None:
    await asyncio.sleep(time_s - network.clock.now_ms() / 1000)


@BOTH
@virtual
async def test_a_live_circuit_moves_at_the_time_asked_without_a_gap(duplicate: bool) -> None:
    async with await build_network(diamond(), duplicate=duplicate) as network:
        via = Constraints(via_domains=("m1",))
        record = committed(await network.reserve(circuit(80, constraints=via)))
        await until(network, START_S + 60)
        assert carries(network, "m1")
        moved = await network.modify(record.reservation_id, constraints=AVOID, switch_s=MIDDLE_S)
        assert moved.modified
        assert moved.version == 2
        assert moved.criteria.window == WINDOW
        assert {path.window for path in moved.paths} == {
            Window(START_S, MIDDLE_S + OVERLAP_S),
            Window(MIDDLE_S - OVERLAP_S, WINDOW.end_s),
        }
        await until(network, MIDDLE_S - OVERLAP_S - 5)
        assert carries(network, "m1")
        assert "m2" not in active(network)
        # Looked at between whole seconds: at one, each domain changes over at that instant.
        await until(network, MIDDLE_S - OVERLAP_S - 4.75)
        while network.clock.now_ms() / 1000 < MIDDLE_S + OVERLAP_S + 5:
            assert carries(network, "m1") or carries(network, "m2")
            await asyncio.sleep(0.5)
        assert carries(network, "m2")
        assert "m1" not in active(network)
        await until(network, WINDOW.end_s + 5)
        assert (await network.orchestrator.get(record.reservation_id)).state is State.ENDED
        await asyncio.sleep(2 * 3600)
        assert_nothing_held(network)


@virtual
async def test_a_circuit_moves_at_once_where_no_time_is_asked() -> None:
    async with await build_network(diamond()) as network:
        via = Constraints(via_domains=("m1",))
        record = committed(await network.reserve(circuit(80, constraints=via)))
        await until(network, START_S + 60)
        moved = await network.modify(record.reservation_id, constraints=AVOID)
        assert moved.modified
        await asyncio.sleep(5)
        assert carries(network, "m2")
        assert sorted(network.held()) == ["east", "m2", "west"]


@BOTH
@virtual
async def test_a_migration_that_does_not_fit_leaves_the_circuit_where_it_is(
    duplicate: bool,
) -> None:
    async with await build_network(diamond(), duplicate=duplicate) as network:
        via = Constraints(via_domains=("m1",))
        record = committed(await network.reserve(circuit(80, constraints=via)))
        other = circuit(50, constraints=AVOID, window=Window(MIDDLE_S, WINDOW.end_s))
        committed(await network.reserve(other))
        kept = await network.modify(record.reservation_id, constraints=AVOID, switch_s=MIDDLE_S)
        assert kept.modified is False
        assert kept.version == 1
        await asyncio.sleep(5)
        states = [r.part.state for r in network.held()["m1"]]
        assert states == [PartState.COMMITTED]
        await until(network, START_S + 60)
        assert carries(network, "m1")


@virtual
async def test_while_it_moves_capacity_counts_once_where_both_ways_lie() -> None:
    async with await build_network(diamond()) as network:
        via = Constraints(via_domains=("m1",))
        record = committed(await network.reserve(circuit(80, constraints=via)))
        assert (
            await network.modify(record.reservation_id, constraints=AVOID, switch_s=MIDDLE_S)
        ).modified
        await asyncio.sleep(5)
        # The host ports of 1000 Gb/s: 920 are left, also while both phases are there.
        rest = circuit(20, window=Window(MIDDLE_S - 5, MIDDLE_S + 5))
        committed(await network.reserve(rest))
        book = network.members["west"].book
        assert not book.is_empty()
        await network.cancel(record.reservation_id)
        await asyncio.sleep(5)
        left = {r.part.prep.reservation_id for parts in network.held().values() for r in parts
                if r.part.prep is not None}  # fmt: skip
        assert record.reservation_id not in left
        assert G
