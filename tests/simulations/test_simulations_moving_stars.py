"""Re-packing of stars: all legs stay together and what they are, over other paths."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from simulated import WINDOW, G, assert_nothing_held, circuit, committed, diamond, virtual
from test_simulations_moving import BOTH, LONG, kinds, record_of

from orchestrator.engine import Limits
from orchestrator.records import Granted, Reservation, State
from simulations.network import build_network
from substrate.model import Bend, Constraints, Criteria, Path

SITES = ("west", "east", "south")
VIA_M1 = Constraints(via_domains=("m1",), avoid_domains=("south", "m2"))


def star(gbps: float, **more: Any) -> Criteria:
    return circuit(gbps, more_destinations=("south:host",), movable=True, **more)


def ways(record: Reservation) -> dict[tuple[str, str], int]:
    """Gb/s by the second domain and the last one of each path."""
    return {
        (path.hops[1].domain, path.hops[-1].domain): path.bandwidth_bps // G
        for path in record.paths
    }


def ends(paths: tuple[Path, ...]) -> list[tuple[str, int]]:
    """The ports and VLANs at both ends of every link that is crossed."""
    return [
        side
        for path in paths
        for hop in path.hops
        for side in ((hop.ingress_stp, hop.ingress_vlan), (hop.egress_stp, hop.egress_vlan))
    ]


@BOTH
@virtual
async def test_a_star_goes_another_way_leg_by_leg_in_one_decision(duplicate: bool) -> None:
    async with await build_network(diamond(ends=SITES), duplicate=duplicate) as network:
        first = committed(await network.reserve(star(30)))
        assert ways(first) == {("m1", "east"): 30, ("m1", "south"): 30}
        plan = await network.orchestrator.plan(circuit(100, constraints=VIA_M1), 30)
        assert isinstance(plan, Granted)
        ((moved_id, move),) = plan.moves
        assert (moved_id, move.criteria) == (first.reservation_id, first.criteria)
        second = committed(await network.reserve(circuit(100, constraints=VIA_M1)))
        moved = await record_of(network, first)
        assert ways(moved) == {("m2", "east"): 30, ("m2", "south"): 30}
        assert (moved.criteria, moved.version) == (first.criteria, 2)
        assert (await kinds(network, first)).count("moved") == 1
        assert len(set(ends(moved.paths))) == len(ends(moved.paths))
        for record in (first, second):
            await network.cancel(record.reservation_id)
        await asyncio.sleep(5)
        assert_nothing_held(network)


@virtual
async def test_a_leg_that_is_in_nobodys_way_stays() -> None:
    async with await build_network(diamond(ends=SITES)) as network:
        first = committed(await network.reserve(star(30)))
        committed(await network.reserve(circuit(60, constraints=VIA_M1)))
        moved = await record_of(network, first)
        assert sum(bps for (middle, _), bps in ways(moved).items() if middle == "m1") == 40
        for stp in first.criteria.destinations:
            own = [path for path in moved.paths if path.hops[-1].egress_stp == stp]
            assert sum(path.bandwidth_bps for path in own) == 30 * G


@virtual
async def test_a_star_counts_as_one_that_is_moved() -> None:
    async with await build_network(diamond(ends=SITES), limits=Limits(moves_max=1)) as network:
        first = committed(await network.reserve(star(30)))
        committed(await network.reserve(circuit(100, constraints=VIA_M1)))
        assert (await record_of(network, first)).version == 2


@virtual
async def test_a_star_that_slides_keeps_its_time() -> None:
    async with await build_network(diamond(1, ends=SITES)) as network:
        wish = star(30, window=LONG, bend=Bend(duration_s=3600))
        first = committed(await network.reserve(wish))
        assert first.criteria.window == WINDOW
        refused = await network.reserve(circuit(80))
        assert refused.state is State.FAILED
        assert await record_of(network, first) == first


@virtual
async def test_nothing_is_moved_for_a_star() -> None:
    async with await build_network(diamond(ends=SITES)) as network:
        first = committed(await network.reserve(circuit(60, movable=True)))
        through = Constraints(via_domains=("m1",), avoid_domains=("m2",))
        wish = replace(star(50, constraints=through), movable=False)
        assert (await network.reserve(wish)).state is State.FAILED
        assert (await record_of(network, first)).version == 1
