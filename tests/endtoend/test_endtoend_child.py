"""A child orchestrator behind an agent: circuits two levels deep, over real sockets."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from levels import circuits, reseller, two_levels, upper
from world import G, M, World, agent, eventually, line, port, world

from braid.v1 import common_pb2, reservations_pb2 as pb

COMMITTED, FAILED = pb.RESERVATION_STATE_COMMITTED, pb.RESERVATION_STATE_FAILED
ACTIVE = common_pb2.DATA_PLANE_STATE_ACTIVE
BROKEN = common_pb2.DATA_PLANE_STATE_FAILED


async def nothing_below(lower: World) -> None:
    async def none() -> bool:
        return not await circuits(lower)

    await eventually(none)
    await lower.nothing_held()


async def test_a_circuit_through_a_child_is_one_circuit_there_with_the_same_vlans(
    tmp_path: Path,
) -> None:
    async with two_levels(tmp_path) as (top, lower):
        record = await top.reserve(10 * G)
        assert record.state == COMMITTED, record.refusals
        hop = next(hop for hop in record.paths[0].hops if hop.domain == "m1")
        (below,) = await circuits(lower)
        assert below.state == COMMITTED
        assert below.criteria.bandwidth_bps == 10 * G
        assert below.criteria.window == record.criteria.window
        (path,) = below.paths
        assert (path.hops[0].ingress_stp, path.hops[-1].egress_stp) == ("d1:host", "d3:host")
        assert path.hops[0].ingress_vlan == hop.ingress_vlan
        assert path.hops[-1].egress_vlan == hop.egress_vlan
        assert set(await lower.held()) == {"d1", "d2", "d3"}
        await top.cancel(record.reservation_id)
        await top.nothing_held()
        await nothing_below(lower)


async def test_it_carries_traffic_when_the_child_does_and_ends_with_it(tmp_path: Path) -> None:
    async with two_levels(tmp_path) as (top, lower):
        record = await top.reserve(G, start_in_s=0, duration_s=8)
        assert record.state == COMMITTED, record.refusals
        (below,) = await circuits(lower)

        async def state(which: World, reservation_id: str) -> int:
            return (await which.get(reservation_id)).data_plane

        async def active() -> bool:
            return await state(top, record.reservation_id) == ACTIVE

        await eventually(active)
        assert await state(lower, below.reservation_id) == ACTIVE

        async def released() -> bool:
            found = await state(top, record.reservation_id)
            return found == common_pb2.DATA_PLANE_STATE_RELEASED

        await eventually(released)
        assert await state(lower, below.reservation_id) == common_pb2.DATA_PLANE_STATE_RELEASED


async def test_what_the_child_cannot_carry_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    narrow = line(3)
    narrow[1]["ports"][0]["capacity"] = "5G"
    async with two_levels(tmp_path, lower_configs=narrow) as (top, lower):
        record = await top.reserve(10 * G)
        assert record.state == FAILED
        assert "m1" in {refusal.domain for refusal in record.refusals}
        assert "d2" not in str(record.refusals), "a blind domain tells nothing of its inside"
        await top.nothing_held()
        await nothing_below(lower)
        assert (await top.reserve(4 * G)).state == COMMITTED


async def test_a_visible_child_tells_how_much_it_has_and_the_rest_takes_another_way(
    tmp_path: Path,
) -> None:
    narrow = line(3)
    narrow[1]["ports"][0]["capacity"] = "5G"
    async with two_levels(tmp_path, 2, narrow, visible=True) as (top, lower):
        # More than the other way has; less than both have together.
        record = await top.reserve(103 * G)
        assert record.state == COMMITTED, record.refusals
        (below,) = await circuits(lower)
        assert 3 * G <= below.criteria.bandwidth_bps <= 5 * G


async def test_when_a_sibling_refuses_nothing_stays_at_the_child(tmp_path: Path) -> None:
    async with two_levels(tmp_path) as (top, lower):
        await top.stop_agent("east")
        top.configs["east"] = agent(
            "east", "pip", [port("host"), port("m1", "m1:east")], visible=False, horizon_s=60
        )
        await top.start_agent("east")
        await top.all_up()
        record = await top.reserve(10 * G)
        assert record.state == FAILED
        assert {refusal.domain for refusal in record.refusals} - {""} == {"east"}
        await eventually(lambda: circuits(lower, pb.RESERVATION_STATE_CANCELLED))
        await top.nothing_held()
        await nothing_below(lower)


async def test_a_modify_changes_the_childs_circuit_and_a_refused_one_leaves_it(
    tmp_path: Path,
) -> None:
    async with two_levels(tmp_path) as (top, lower):
        record = await top.reserve(10 * G)
        (before,) = await circuits(lower)

        async def modified(bandwidth_bps: int) -> bool:
            request = pb.ModifyRequest(
                request_id=f"modify-{bandwidth_bps}-{time.time_ns()}",
                reservation_id=record.reservation_id,
                bandwidth_bps=bandwidth_bps,
            )
            answer = await top.reservations.Modify(request, timeout=60)
            return bool(answer.modified)

        def below(bandwidth_bps: int) -> object:
            async def is_so() -> bool:
                found = await circuits(lower)
                return [c.reservation_id for c in found] == [before.reservation_id] and (
                    found[0].criteria.bandwidth_bps == bandwidth_bps
                )

            return is_so

        for bandwidth_bps in (40 * G, 20 * G):
            assert await modified(bandwidth_bps)
            await eventually(below(bandwidth_bps))
        assert not await modified(101 * G)
        await eventually(below(20 * G))
        await top.cancel(record.reservation_id)
        await nothing_below(lower)


async def test_while_the_child_is_away_new_parts_are_refused_and_old_ones_kept(
    tmp_path: Path,
) -> None:
    async with two_levels(tmp_path, child={"timeout_s": 1}) as (top, lower):
        kept = await top.reserve(10 * G)
        given = await top.reserve(10 * G)
        await lower.stop_orchestrator()
        refused = await top.reserve(10 * G)
        assert refused.state == FAILED
        (said,) = [r for r in refused.refusals if r.domain == "m1"]
        assert said.kind == common_pb2.REFUSAL_KIND_UNAVAILABLE
        await top.cancel(given.reservation_id)
        assert (await top.get(kept.reservation_id)).state == COMMITTED
        lower.extra["listen"] = lower.target
        await lower.start_orchestrator()
        await lower.all_up()

        async def only_kept() -> bool:
            found = await circuits(lower)
            return [c.criteria.description for c in found] == [kept.reservation_id]

        await eventually(only_kept)


async def test_what_breaks_or_is_lost_at_the_child_shows_in_the_data_plane(tmp_path: Path) -> None:
    async with two_levels(tmp_path) as (top, lower):
        record = await top.reserve(10 * G, start_in_s=0)

        async def part() -> pb.DomainPart:
            parts = (await top.get(record.reservation_id)).parts
            return next(part for part in parts if part.domain == "m1")

        async def is_active() -> bool:
            return (await part()).data_plane == ACTIVE

        await eventually(is_active)
        (below,) = await circuits(lower)
        await lower.cancel(below.reservation_id)

        async def is_broken() -> bool:
            return (await part()).data_plane == BROKEN

        await eventually(is_broken)
        assert "does not hold d1:host" in (await part()).reason


async def test_what_is_the_childs_own_or_another_resellers_is_left_alone(tmp_path: Path) -> None:
    async with two_levels(tmp_path) as (top, lower):
        own = await lower.reserve(10 * G, source="d1:host", destination="d3:host")
        other = await lower.reserve(
            10 * G, source="d1:host", destination="d3:host", request_id="m1.b:x:y:z"
        )
        record = await top.reserve(10 * G)
        await top.stop_agent("m1")
        await top.start_agent("m1")
        await top.all_up()
        await top.cancel(record.reservation_id)

        async def left() -> bool:
            found = {c.reservation_id for c in await circuits(lower)}
            return found == {own.reservation_id, other.reservation_id}

        await eventually(left)


async def test_children_may_have_children(tmp_path: Path) -> None:
    for name in ("bottom", "middle", "top"):
        (tmp_path / name).mkdir()
    async with world(tmp_path / "bottom", line(3), orchestrator_id="bottom") as bottom:
        between = reseller(bottom.target, "d2")
        between["ports"] = [port("left", "d1:right"), port("right", "d3:left")]
        between["child"]["port_stps"] = {"left": "d1:host", "right": "d3:host"}
        chain = [between if c["domain"] == "d2" else c for c in line(3)]
        async with (
            world(tmp_path / "middle", chain, orchestrator_id="middle") as middle,
            world(tmp_path / "top", upper(middle.target)) as top,
        ):
            record = await top.reserve(10 * G)
            assert record.state == COMMITTED, record.refusals
            assert len(await circuits(middle)) == len(await circuits(bottom)) == 1
            await top.cancel(record.reservation_id)
            await nothing_below(middle)
            await nothing_below(bottom)


@pytest.mark.parametrize("count", [8])
async def test_many_at_once_leave_as_much_below_as_above(tmp_path: Path, count: int) -> None:
    async with two_levels(tmp_path) as (top, lower):
        records = await asyncio.gather(*(top.reserve(20 * G + i * M) for i in range(count)))
        held = [r for r in records if r.state == COMMITTED]
        assert held

        async def the_same() -> bool:
            below = {c.criteria.description for c in await circuits(lower)}
            return below == {r.reservation_id for r in held}

        await eventually(the_same)


async def test_a_volume_passes_a_child_at_one_rate(tmp_path: Path) -> None:
    async with two_levels(tmp_path, visible=True) as (top, lower):
        # In the middle of the time the way is nearly full: elsewhere its ends would be faster.
        other = await top.reserve(90 * G, start_in_s=5400, duration_s=1800)
        request = top.request(0, start_in_s=3600, duration_s=3 * 3600)
        request.flexibility.CopyFrom(pb.Flexibility(volume_bytes=9 * G // 8 * 3 * 3600))
        record = await top.reservations.Reserve(request, timeout=60)
        assert record.state == COMMITTED, record.refusals
        found = {c.criteria.description: c.criteria for c in await circuits(lower)}
        assert set(found) == {other.reservation_id, record.reservation_id}
        (part,) = [part for part in record.parts if part.domain == "m1"]
        (segment,) = part.segments
        assert found[record.reservation_id].bandwidth_bps == segment.bandwidth_bps <= 10 * G
