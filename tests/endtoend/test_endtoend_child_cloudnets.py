"""VNPs below VNPs: a CloudNet over a reseller's providers, over real sockets (paper 002, 5.1)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from levels import circuits, overlay, two_vnps
from world import World, eventually

from braid.v1 import cloudnets_pb2, common_pb2, reservations_pb2 as pb, topology_pb2
from braid.v1.cloudnets_pb2_grpc import CloudNetsStub
from rdl.codec import graph_from_pb

COMMITTED, FAILED = pb.RESERVATION_STATE_COMMITTED, pb.RESERVATION_STATE_FAILED
ACTIVE = common_pb2.DATA_PLANE_STATE_ACTIVE
SPREAD = {"a": "reseller", "b": "reseller", "c": "zurich"}
PAIRS = ("a", "b"), ("b", "c")


def asked(
    cores: dict[str, int],
    *vlinks: tuple[str, str],
    at: dict[str, str] | None = None,
    start_in_s: int = 3600,
    request_id: str = "net",
) -> pb.Reservation:
    start_s = int(time.time()) + start_in_s
    placing = [pb.VNodePlacement(vnode=v, domain=d) for v, d in sorted((at or {}).items())]
    return pb.Reservation(
        request_id=request_id,
        cloudnet=pb.CloudNet(graph=overlay(cores, *vlinks), placing=placing),
        window=common_pb2.Window(start_s=start_s, end_s=start_s + 3600),
    )


async def reserved(top: World, request: pb.Reservation) -> pb.ReservationRecord:
    record: pb.ReservationRecord = await top.reservations.Reserve(request, timeout=60)
    return record


def placed(record: pb.ReservationRecord) -> dict[str, str]:
    return {vnode: part.domain for part in record.parts for vnode in part.vnodes}


async def nothing_below(lower: World) -> None:
    async def none() -> bool:
        return not await circuits(lower)

    await eventually(none)
    await lower.nothing_held()


async def test_a_reseller_tells_the_sum_of_its_providers_and_nothing_else(tmp_path: Path) -> None:
    async with two_vnps(tmp_path) as (top, lower):
        start_s = int(time.time()) + 3600
        window = common_pb2.Window(start_s=start_s, end_s=start_s + 60)
        request = topology_pb2.AggregateRequest(name="reseller", window=window)
        told = graph_from_pb((await lower.topology.Aggregate(request)).aggregate)
        (node,) = told.nodes
        assert node.id == "reseller"
        amounts = {r.attribute: r.amount for r in node.resources}
        assert str(amounts["/resource/cpu"]) == "32 cores"
        assert len(told.elements) == 1
        # 17 cores are more than any of its providers has, and less than all.
        many = {f"v{i}": 8 for i in range(4)}
        at = dict.fromkeys(many, "reseller")
        record = await reserved(top, asked(many, at=at))
        assert record.state == COMMITTED, record.refusals
        (below,) = await circuits(lower)
        assert set(placed(below).values()) == {"berlin", "munich"}
        await top.cancel(record.reservation_id)
        await nothing_below(lower)


async def test_vlinks_that_leave_the_reseller_are_carried_to_its_port_inside(
    tmp_path: Path,
) -> None:
    async with two_vnps(tmp_path) as (top, lower):
        record = await reserved(top, asked(dict.fromkeys("abc", 2), *PAIRS, at=SPREAD))
        assert record.state == COMMITTED, record.refusals
        assert placed(record) == SPREAD
        (path,) = record.paths
        assert path.vlink == "b-c"
        hop = next(hop for hop in path.hops if hop.domain == "reseller")
        (below,) = await circuits(lower)
        assert set(placed(below)) == {"a", "b"}
        (inside,) = [path for path in below.paths if path.vlink == "b-c"]
        ends = {(h.ingress_stp, h.ingress_vlan) for h in inside.hops}
        ends |= {(h.egress_stp, h.egress_vlan) for h in inside.hops}
        outer = {hop.ingress_stp: hop.ingress_vlan, hop.egress_stp: hop.egress_vlan}
        assert ("dfn:uplink", outer["reseller:zurich"]) in ends
        await top.cancel(record.reservation_id)
        await top.nothing_held()
        await nothing_below(lower)


async def test_vnodes_are_switched_and_reached_by_name_wherever_they_run(tmp_path: Path) -> None:
    async with two_vnps(tmp_path) as (top, _):
        net = asked(dict.fromkeys("abc", 2), *PAIRS, at=SPREAD, start_in_s=0)
        record = await reserved(top, net)
        assert record.state == COMMITTED, record.refusals

        async def active() -> bool:
            return (await top.get(record.reservation_id)).data_plane == ACTIVE

        await eventually(active)
        async with grpc.aio.insecure_channel(top.target) as channel:
            stub: Any = CloudNetsStub(channel)
            show = cloudnets_pb2.ShowCloudNetRequest(reservation_id=record.reservation_id)

            async def states() -> dict[str, tuple[str, int]]:
                state = await stub.Show(show)
                assert not any(vnode.host for vnode in state.vnodes)
                return {v.vnode: (v.domain, v.state) for v in state.vnodes}

            running = {v: (d, cloudnets_pb2.POWER_STATE_RUNNING) for v, d in SPREAD.items()}
            assert await states() == running
            await stub.Power(
                cloudnets_pb2.PowerRequest(
                    reservation_id=record.reservation_id,
                    action=cloudnets_pb2.POWER_ACTION_STOP,
                    vnodes=["b"],
                )
            )
            stopped = {**running, "b": ("reseller", cloudnets_pb2.POWER_STATE_STOPPED)}
            assert await states() == stopped
            call = stub.Console()
            await call.write(
                cloudnets_pb2.ConsoleInput(
                    reservation_id=record.reservation_id, vnode="a", data=b"\n"
                )
            )
            said = b""
            while b"a" not in said:
                said += (await asyncio.wait_for(call.read(), 60)).data
            call.cancel()


async def test_what_the_resellers_providers_cannot_take_is_refused_and_nothing_stays(
    tmp_path: Path,
) -> None:
    async with two_vnps(tmp_path) as (top, lower):
        # As much as all together have, and more than any host has.
        record = await reserved(top, asked({"a": 12}, at={"a": "reseller"}))
        assert record.state == FAILED
        assert not any(name in str(record.refusals) for name in ("berlin", "munich", "h1"))
        await top.nothing_held()
        await nothing_below(lower)


async def test_a_change_that_leaves_the_resellers_vnodes_alone_does_not_touch_them(
    tmp_path: Path,
) -> None:
    async with two_vnps(tmp_path) as (top, lower):
        at = {"a": "reseller", "b": "zurich"}
        record = await reserved(top, asked(dict.fromkeys("ab", 2), at=at, start_in_s=0))
        assert record.state == COMMITTED, record.refusals
        (before,) = await circuits(lower)

        async def modified(cores: dict[str, int], at: dict[str, str]) -> pb.ReservationRecord:
            net = asked(cores, at=at).cloudnet
            request = pb.ModifyRequest(
                request_id=f"m{time.time_ns()}", reservation_id=record.reservation_id, cloudnet=net
            )
            answer: pb.ReservationRecord = await top.reservations.Modify(request, timeout=60)
            return answer

        more = await modified({"a": 2, "b": 2, "c": 2}, {**at, "c": "zurich"})
        assert more.modified, more.refusals
        assert placed(more) == {**at, "c": "zurich"}
        assert [c.reservation_id for c in await circuits(lower)] == [before.reservation_id]
        await top.cancel(record.reservation_id)
        await nothing_below(lower)


async def test_vnodes_behind_a_reseller_run_on_while_its_agent_is_started_anew(
    tmp_path: Path,
) -> None:
    async with two_vnps(tmp_path) as (top, lower):
        record = await reserved(top, asked({"a": 2}, at={"a": "reseller"}, start_in_s=0))

        async def active() -> bool:
            return (await top.get(record.reservation_id)).data_plane == ACTIVE

        await eventually(active)
        (before,) = await circuits(lower)
        await top.stop_agent("reseller")
        await top.start_agent("reseller")
        await top.all_up()
        await eventually(active)
        # By now what nobody claims has been given back.
        await asyncio.sleep(0.5)
        (after,) = await circuits(lower)
        assert (after.reservation_id, after.version) == (before.reservation_id, before.version)
        assert after.data_plane == ACTIVE
        await top.cancel(record.reservation_id)
        await nothing_below(lower)


async def test_before_it_begins_a_cloudnet_behind_a_reseller_may_be_changed(
    tmp_path: Path,
) -> None:
    async with two_vnps(tmp_path) as (top, lower):
        record = await reserved(top, asked({"a": 2}, at={"a": "reseller"}))
        net = asked({"a": 4, "b": 2}, at={"a": "reseller", "b": "reseller"}).cloudnet
        request = pb.ModifyRequest(
            request_id="m", reservation_id=record.reservation_id, cloudnet=net
        )
        after = await top.reservations.Modify(request, timeout=60)
        assert after.modified, after.refusals

        async def only_the_new() -> bool:
            return [set(placed(c)) for c in await circuits(lower)] == [{"a", "b"}]

        await eventually(only_the_new)


async def test_while_the_reseller_is_away_others_take_what_they_can(tmp_path: Path) -> None:
    async with two_vnps(tmp_path, timeout_s=1) as (top, lower):
        await lower.stop_orchestrator()
        record = await reserved(top, asked(dict.fromkeys("ab", 2), ("a", "b")))
        assert record.state == COMMITTED, record.refusals
        assert set(placed(record).values()) == {"zurich"}


async def test_what_a_vnode_has_is_not_carried_past_a_reseller_and_that_is_told(
    tmp_path: Path,
) -> None:
    async with (
        two_vnps(tmp_path) as (top, lower),
        grpc.aio.insecure_channel(top.target) as channel,
    ):
        nets: Any = CloudNetsStub(channel)
        at = {"a": "zurich", "b": "zurich", "c": "reseller"}
        cores = dict.fromkeys(at, 2)
        record = await reserved(top, asked(cores, *PAIRS, at=at, start_in_s=1))
        assert record.state == COMMITTED, record.refusals

        async def all_run() -> bool:
            shown = cloudnets_pb2.ShowCloudNetRequest(reservation_id=record.reservation_id)
            found = (await nets.Show(shown, timeout=60)).vnodes
            return {each.state for each in found} == {cloudnets_pb2.POWER_STATE_RUNNING}

        await eventually(all_run, 60)

        async def move(vnode: str, domain: str, anew: bool = False) -> pb.ReservationRecord:
            net = pb.CloudNet()
            net.CopyFrom(record.criteria.cloudnet)
            net.anew[:] = [vnode] if anew else []
            del net.placing[:]
            for each, place in sorted({**at, vnode: domain}.items()):
                net.placing.add(vnode=each, domain=place)
            change = pb.ModifyRequest(
                request_id=f"{vnode}-{anew}", reservation_id=record.reservation_id, cloudnet=net
            )
            changed: pb.ReservationRecord = await top.reservations.Modify(change, timeout=90)
            return changed

        there = await move("b", "reseller")
        assert (there.modified, placed(there)) == (False, at)
        assert there.refusals[0].kind == common_pb2.REFUSAL_KIND_POLICY
        assert "b has cannot be carried to reseller" in there.refusals[0].reason
        assert there.refusals[0].domain == "reseller"
        ways = {
            ("b", "reseller"): "possible: another provider, or that it begins anew, from its image",
            ("c", "zurich"): "possible: that it begins anew, from its image; what VNode c has",
        }
        for (vnode, domain), way in ways.items():
            asked_for = cloudnets_pb2.MigrateRequest(
                request_id=f"to-{domain}",
                reservation_id=record.reservation_id,
                vnode=vnode,
                domain=domain,
            )
            with pytest.raises(grpc.aio.AioRpcError, match=way) as no:
                await nets.Migrate(asked_for, timeout=90)
            assert no.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        away = await move("c", "zurich")
        assert (away.modified, placed(away)) == (False, at)
        assert "could not be carried from reseller to zurich" in away.refusals[0].reason
        assert "a provider with hosts of its own, which reseller is not" in away.refusals[0].reason
        await eventually(all_run, 60)
        anew = await move("c", "zurich", anew=True)
        assert (anew.modified, placed(anew)["c"]) == (True, "zurich")
        await eventually(all_run, 60)
        await top.cancel(record.reservation_id)
        await nothing_below(lower)
