"""A live CloudNet is changed while some of it lies at a reseller: old or new, never neither."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from levels import circuits, overlay, three_vnps, two_vnps
from world import World, eventually

from agents.backends.hosts.guest import Guest
from agents.backends.hosts.memory import MemoryHosts
from braid.v1 import cloudnets_pb2, common_pb2, reservations_pb2 as pb
from braid.v1.cloudnets_pb2_grpc import CloudNetsStub
from cloudnets.partials import amount_of
from rdl.codec import graph_from_pb
from rdl.model import NetworkElement

COMMITTED = pb.RESERVATION_STATE_COMMITTED
ACTIVE = common_pb2.DATA_PLANE_STATE_ACTIVE
RUNNING = cloudnets_pb2.POWER_STATE_RUNNING
RESELLER, ZURICH = "reseller", "zurich"
Pairs = tuple[tuple[str, str], ...]


def guests(world: World) -> dict[str, Guest]:
    """What runs in each VNode: the same object for as long as it is not interrupted."""
    found = {}
    for running in world.agents.values():
        embedder = getattr(running.agent.parts.book.backend, "embedder", None)
        if embedder is None:
            continue
        for host in embedder.hosts.specs:
            plugin = embedder.hosts.plugin(host)
            assert isinstance(plugin, MemoryHosts)
            for name, vnode in plugin._vnodes[host].items():
                if vnode.guest is not None:
                    found[name.vnode] = vnode.guest
    return found


def cloudnet(cores: dict[str, int], *pairs: tuple[str, str], at: dict[str, str]) -> pb.CloudNet:
    placing = [pb.VNodePlacement(vnode=v, domain=d) for v, d in sorted(at.items()) if v in cores]
    return pb.CloudNet(graph=overlay(cores, *pairs), placing=placing)


@dataclass
class Net:
    """A CloudNet that runs, what is above and below, and how to change it."""

    top: World
    lower: World
    reservation_id: str

    async def modified(
        self, cores: dict[str, int], *pairs: tuple[str, str], at: dict[str, str], anew: str = ""
    ) -> pb.ReservationRecord:
        request = pb.ModifyRequest(
            request_id=f"m{time.time_ns()}",
            reservation_id=self.reservation_id,
            cloudnet=cloudnet(cores, *pairs, at=at),
        )
        request.cloudnet.anew.extend(anew)
        answer: pb.ReservationRecord = await self.top.reservations.Modify(request, timeout=60)
        return answer

    async def below(self) -> pb.ReservationRecord:
        (record,) = await circuits(self.lower)
        return record

    async def becomes(self, cores: dict[str, int], *vlinks: str) -> None:
        """Waits until the child has just that, and just that runs."""

        async def is_so() -> bool:
            record = await self.below()
            graph = graph_from_pb(record.criteria.cloudnet.graph)
            has = {node.id: cores_of(node) for node in graph.nodes if node.resources}
            links = {link.id for link in graph.links if not link.is_transit}
            runs = {name: guest.vnode.mcores // 1000 for name, guest in guests(self.lower).items()}
            return (has, links, runs) == (cores, set(vlinks), cores)

        await eventually(is_so)

    async def runs(self, placed: dict[str, str]) -> None:
        """Waits until its user sees it run just there."""
        async with grpc.aio.insecure_channel(self.top.target) as channel:
            stub: Any = CloudNetsStub(channel)
            show = cloudnets_pb2.ShowCloudNetRequest(reservation_id=self.reservation_id)

            async def is_so() -> bool:
                found = {v.vnode: (v.domain, v.state) for v in (await stub.Show(show)).vnodes}
                plane = (await self.top.get(self.reservation_id)).data_plane
                return plane == ACTIVE and found == {v: (d, RUNNING) for v, d in placed.items()}

            await eventually(is_so)


def cores_of(node: NetworkElement) -> int:
    return amount_of(node, "/resource/cpu") // 1000


@asynccontextmanager
async def live(
    folder: Path, cores: dict[str, int], pairs: Pairs, at: dict[str, str], **more: Any
) -> AsyncIterator[Net]:
    """A CloudNet that has begun, with everything running."""
    levels = three_vnps(folder) if more.pop("three", False) else two_vnps(folder, **more)
    async with levels as (top, lower):
        start_s = int(time.time())
        request = pb.Reservation(
            request_id="net",
            cloudnet=cloudnet(cores, *pairs, at=at),
            window=common_pb2.Window(start_s=start_s, end_s=start_s + 3600),
        )
        record = await top.reservations.Reserve(request, timeout=60)
        assert record.state == COMMITTED, record.refusals
        net = Net(top, lower, record.reservation_id)
        await net.runs(at)
        yield net
        await top.cancel(record.reservation_id)
        await top.nothing_held()
        await lower.nothing_held()
        assert not await circuits(lower)
        assert not guests(lower)


async def test_vnodes_and_vlinks_are_added_resized_and_removed_while_others_run_on(
    tmp_path: Path,
) -> None:
    at = {"a": RESELLER, "b": RESELLER, "c": ZURICH}
    pairs = (("a", "b"), ("b", "c"))
    async with live(tmp_path, dict.fromkeys("abc", 2), pairs, at) as net:
        first, below = guests(net.lower), await net.below()
        more = {**at, "d": RESELLER}
        after = await net.modified({"a": 4, "b": 1, "c": 2, "d": 3}, *pairs, ("d", "a"), at=more)
        assert after.modified, after.refusals
        await net.becomes({"a": 4, "b": 1, "d": 3}, "a-b", "b-c", "d-a")
        await net.runs(more)
        second = guests(net.lower)
        assert all(second[name] is first[name] for name in "ab")
        after = await net.modified({"a": 4, "c": 2, "d": 1}, ("d", "a"), at=more)
        assert after.modified, after.refusals
        await net.becomes({"a": 4, "d": 1}, "d-a")
        third = guests(net.lower)
        assert third["a"] is first["a"]
        assert third["d"] is second["d"]
        assert (await net.below()).reservation_id == below.reservation_id


async def test_what_a_sibling_refuses_leaves_the_old_version_just_as_it_was(
    tmp_path: Path,
) -> None:
    at = {"a": RESELLER, "b": RESELLER}
    async with live(tmp_path, {"a": 4, "b": 2}, (("a", "b"),), at) as net:
        first, version = guests(net.lower), (await net.below()).version
        # Zurich has so many cores, and for each of these a host, but not for all three.
        big = {**at, **dict.fromkeys("cef", ZURICH), "d": RESELLER}
        cores = {"a": 2, **dict.fromkeys("cef", 5), "d": 3}
        after = await net.modified(cores, ("a", "d"), at=big)
        assert not after.modified
        await net.becomes({"a": 4, "b": 2}, "a-b")
        await net.runs(at)
        assert guests(net.lower) == first
        assert (await net.below()).version > version, "it was held there, and taken back"


async def test_what_the_resellers_providers_cannot_take_besides_is_refused_and_changes_nothing(
    tmp_path: Path,
) -> None:
    at = {"a": RESELLER}
    async with live(tmp_path, {"a": 6}, (), at) as net:
        first = guests(net.lower)
        refused = await net.modified({"a": 12}, at=at)
        assert not refused.modified
        await net.becomes({"a": 6})
        assert guests(net.lower) == first


async def test_what_a_cloudnet_has_at_the_reseller_is_no_obstacle_to_its_change(
    tmp_path: Path,
) -> None:
    names = "abcd"
    at = dict.fromkeys(names, RESELLER)
    async with live(tmp_path, dict.fromkeys(names, 8), (), at) as net:
        # All hosts behind the reseller are full of it.
        first = guests(net.lower)
        after = await net.modified(dict.fromkeys(names, 7), at={})
        assert after.modified, after.refusals
        await net.becomes(dict.fromkeys(names, 7))
        assert guests(net.lower) == first
        await net.runs(at)


async def test_a_vlink_that_leaves_may_end_at_another_vnode_and_one_inside_may_leave(
    tmp_path: Path,
) -> None:
    at = {"a": RESELLER, "b": RESELLER, "c": ZURICH}
    pairs = (("a", "b"), ("a", "c"))
    async with live(tmp_path, dict.fromkeys("abc", 1), pairs, at) as net:
        first = guests(net.lower)
        # Its VLAN is taken by the one that it comes after, until that is given back.
        after = await net.modified(dict.fromkeys("abc", 1), ("a", "b"), ("b", "c"), at=at)
        assert after.modified, after.refusals
        await net.becomes(dict.fromkeys("ab", 1), "a-b", "b-c")
        assert guests(net.lower) == first
        # What b has cannot be carried away from a reseller.
        moved, pairs = {**at, "b": ZURICH}, (("a", "b"), ("b", "c"))
        refused = await net.modified(dict.fromkeys("abc", 1), *pairs, at=moved)
        assert not refused.modified
        assert "could not be carried" in refused.refusals[0].reason
        await net.becomes(dict.fromkeys("ab", 1), "a-b", "b-c")
        # b is made anew at Zurich: what was inside leaves.
        after = await net.modified(dict.fromkeys("abc", 1), *pairs, at=moved, anew="b")
        assert after.modified, after.refusals
        await net.becomes({"a": 1}, "a-b")
        assert guests(net.lower)["a"] is first["a"]
        await net.runs(moved)


async def test_while_the_child_is_away_a_change_is_refused_and_the_old_version_runs_on(
    tmp_path: Path,
) -> None:
    at = {"a": RESELLER, "b": ZURICH}
    async with live(tmp_path, dict.fromkeys("ab", 1), (), at, timeout_s=1) as net:
        first = guests(net.lower)
        net.lower.extra["listen"] = net.lower.target
        await net.lower.stop_orchestrator()
        refused = await net.modified({"a": 2, "b": 1}, at=at)
        assert not refused.modified
        # What leaves the reseller's VNodes alone is possible all the same.
        await net.lower.start_orchestrator()
        await net.lower.all_up()
        await net.becomes({"a": 1})
        assert guests(net.lower) == first


async def test_what_is_left_out_while_the_child_is_away_goes_when_it_returns(
    tmp_path: Path,
) -> None:
    at = {"a": RESELLER, "b": RESELLER}
    async with live(tmp_path, {"a": 1, "b": 1}, (), at) as net:
        first = guests(net.lower)
        agent = net.top.agents[RESELLER].agent
        assert agent.remote is not None
        tidy = agent.remote._backend.tidy
        tidied = asyncio.Event()

        async def stopped(reservation_id: str, parts: Any) -> None:
            if not tidied.is_set():
                tidied.set()
                net.lower.extra["listen"] = net.lower.target
                await net.lower.stop_orchestrator()
            await tidy(reservation_id, parts)

        agent.remote._backend.tidy = stopped  # type: ignore[method-assign]
        after = await net.modified({"a": 2}, at={"a": RESELLER})
        assert after.modified, after.refusals
        await tidied.wait()
        assert set(guests(net.lower)) == {"a", "b"}, "nothing is taken away that is not given back"
        await net.lower.start_orchestrator()
        await net.lower.all_up()
        await net.becomes({"a": 2})
        assert guests(net.lower)["a"] is first["a"]


async def test_resellers_of_resellers_pass_a_change_on(tmp_path: Path) -> None:
    at = {"a": RESELLER, "b": RESELLER, "c": ZURICH}
    pairs = (("a", "b"), ("b", "c"))
    async with live(tmp_path, dict.fromkeys("abc", 1), pairs, at, three=True) as net:
        first = guests(net.lower)
        more = {**at, "d": RESELLER}
        after = await net.modified({"a": 3, "c": 1, "d": 2}, ("d", "c"), at=more)
        assert after.modified, after.refusals
        await net.becomes({"a": 3, "d": 2}, "d-c")
        assert guests(net.lower)["a"] is first["a"]
        refused = await net.modified({"a": 3, "c": 12, "d": 4}, ("d", "c"), at=more)
        assert not refused.modified
        await net.becomes({"a": 3, "d": 2}, "d-c")
        await net.runs({"a": RESELLER, "c": ZURICH, "d": RESELLER})
