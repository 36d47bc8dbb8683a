"""Changes of CloudNets at a reseller, case by case: what is refused, and answers that are lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from orchestrated import NO_CONTEXT, One, noisy
from providers_world import cloudnet, placed, requested
from reseller_world import RESELLER, ZURICH, Lower, Upper, mcores, soon

from agents.backends.child.view import IN_FLIGHT_MS
from braid.v1 import common_pb2, rdl_pb2, reservations_pb2 as pb
from rdl.codec import from_bytes

TIMEOUT_S = 4
"""How long the child may negotiate."""


@dataclass
class Case:
    """A CloudNet that is reserved, above and below."""

    upper: Upper
    lower: Lower
    one: One
    record: pb.ReservationRecord
    changes: int = 0

    async def modified(self, net: pb.CloudNet) -> pb.ReservationRecord:
        self.changes += 1
        request = pb.ModifyRequest(
            request_id=f"m{self.changes}", reservation_id=self.record.reservation_id, cloudnet=net
        )
        return await self.one.reservations.Modify(request, NO_CONTEXT)

    def below(self) -> list[Mapping[str, int]]:
        """What VNodes the child's CloudNets have, in mcores."""
        nets = [record.criteria.cloudnet for record in self.lower.cloudnets()]
        return [mcores(from_bytes(net.graph)) for net in nets if net is not None]


@asynccontextmanager
async def case(net: pb.CloudNet, *, begun: bool = True) -> AsyncIterator[Case]:
    """It runs, if it is to have begun."""
    lower = Lower()
    async with lower:
        await lower.live()
        async with Upper(lower, Random(1), visible=True) as upper:
            one = await upper.start()
            request = requested(net)
            record = await one.reserve(soon(request) if begun else request)
            assert record.state == pb.RESERVATION_STATE_COMMITTED, record.refusals
            await asyncio.sleep(5)
            at = placed(record)
            assert set(lower.guests()) == {v for v in at if begun and at[v] == RESELLER}
            yield Case(upper, lower, one, record)


def here(**cores: int) -> pb.CloudNet:
    """VNodes that must be at the reseller."""
    return cloudnet(cores, (), at=dict.fromkeys(cores, RESELLER))


def with_feature(net: pb.CloudNet, vnode: str, attribute: str, word: str) -> pb.CloudNet:
    for element in net.graph.elements:
        if element.id == vnode:
            words = rdl_pb2.Words(words=[word])
            element.features.append(rdl_pb2.Feature(attribute=attribute, words=words))
    return net


@noisy
async def test_a_vnode_that_runs_is_not_brought_to_another_provider_of_the_child() -> None:
    async with case(here(a=4)) as it:
        (below,) = it.lower.cloudnets()
        (at,) = [part.domain for part in below.parts if part.vnodes]
        # With it on one host, and beside it: there is no room there for more of it.
        full = cloudnet({"y": 8, "z": 4}, (), at={"y": at, "z": at})
        assert it.lower.one is not None
        other = await it.lower.one.reserve(soon(requested(full, "other")))
        assert other.state == pb.RESERVATION_STATE_COMMITTED
        first = it.lower.guests()["a"]
        refused = await it.modified(here(a=6))
        assert not refused.modified
        kinds = {refusal.kind for refusal in refused.refusals}
        assert common_pb2.REFUSAL_KIND_RESOURCE in kinds
        # Before it runs there is nothing to lose.
        await asyncio.sleep(60)
        assert it.lower.guests()["a"] is first
        assert {"a": 4000} in it.below()


@noisy
async def test_before_it_begins_a_larger_vnode_may_go_to_another_provider_of_the_child() -> None:
    async with case(here(a=4), begun=False) as it:
        (below,) = it.lower.cloudnets()
        (at,) = [part.domain for part in below.parts if part.vnodes]
        full = cloudnet({"y": 8, "z": 4}, (), at={"y": at, "z": at})
        assert it.lower.one is not None
        other = await it.lower.one.reserve(requested(full, "other"))
        assert other.state == pb.RESERVATION_STATE_COMMITTED
        assert (await it.modified(here(a=6))).modified
        await asyncio.sleep(60)
        (own,) = [r for r in it.lower.cloudnets() if "a" in {v for p in r.parts for v in p.vnodes}]
        assert at not in {part.domain for part in own.parts if part.vnodes}


@noisy
async def test_a_vnode_that_runs_keeps_its_features_and_another_may_have_them() -> None:
    async with case(here(a=1, b=1)) as it:
        first = it.lower.guests()
        other = with_feature(here(a=2, b=1), "b", "/feature/architecture", "x86_64")
        refused = await it.modified(other)
        assert not refused.modified
        said = [r for r in refused.refusals if r.kind == common_pb2.REFUSAL_KIND_POLICY]
        assert [list(refusal.elements) for refusal in said] == [["b"]]
        await asyncio.sleep(60)
        assert it.below() == [{"a": 1000, "b": 1000}]
        assert it.lower.guests() == first
        new = with_feature(here(a=2, b=1, c=1), "c", "/feature/architecture", "x86_64")
        assert (await it.modified(new)).modified
        await asyncio.sleep(60)
        assert it.below() == [{"a": 2000, "b": 1000, "c": 1000}]
        assert {name: it.lower.guests()[name] for name in first} == first


@noisy
async def test_before_it_begins_a_vnode_may_become_another_one() -> None:
    async with case(here(a=1, b=1), begun=False) as it:
        images = [with_feature(here(a=1, b=1), "b", "/feature/image", i) for i in ("old", "new")]
        for net in images:
            assert (await it.modified(net)).modified
        await asyncio.sleep(60)
        assert it.below() == [{"a": 1000, "b": 1000}]
        (record,) = it.lower.cloudnets()
        assert record.criteria.cloudnet is not None
        graph = from_bytes(record.criteria.cloudnet.graph)
        assert [f.value for node in graph.nodes for f in node.features] == [("new",)]


@noisy
async def test_a_change_that_comes_late_is_waited_for_before_another_is_promised() -> None:
    async with case(here(a=2)) as it:
        first = it.lower.guests()["a"]
        it.upper.client.late_s["Modify"] = 8
        assert not (await it.modified(here(a=2, b=3))).modified
        # What was asked before may arrive after what is asked now, and undo it.
        assert not (await it.modified(here(a=3))).modified
        assert it.below() == [{"a": 2000}]
        await asyncio.sleep(9)
        await asyncio.sleep(TIMEOUT_S + IN_FLIGHT_MS / 1000 + 60)
        assert it.below() == [{"a": 2000}], "it was done late, and is taken back"
        assert (await it.modified(here(a=3))).modified
        await asyncio.sleep(5)
        assert it.below() == [{"a": 3000}]
        assert it.lower.guests()["a"] is first


@noisy
async def test_what_was_asked_for_twice_is_there_once_in_the_end() -> None:
    async with case(cloudnet({"z": 1}, (), at={"z": ZURICH})) as it:
        it.upper.client.late_s["Reserve"] = 2
        both = {"z": ZURICH, "a": RESELLER}
        net = cloudnet({"z": 1, "a": 2}, (), at=both)
        assert not (await it.modified(net)).modified
        after = await it.modified(net)
        assert after.modified, after.refusals
        assert placed(after) == both
        await asyncio.sleep(60)
        assert it.below() == [{"a": 2000}]
        assert sorted(it.lower.guests()) == ["a"]


@noisy
async def test_another_cloudnet_that_says_the_same_is_another_one() -> None:
    async with case(here(a=2)) as it:
        twin = await it.one.reserve(soon(requested(here(a=2), "twin")))
        await asyncio.sleep(5)
        assert it.below() == [{"a": 2000}] * 2
        await it.one.cancel(it.record.reservation_id)
        await asyncio.sleep(60)
        assert it.below() == [{"a": 2000}]
        record = await it.one.get(twin.reservation_id)
        assert record.data_plane == common_pb2.DATA_PLANE_STATE_ACTIVE
