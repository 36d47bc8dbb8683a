"""A VNode that a Modify left out and another one adds: never two by one name."""

from __future__ import annotations

import asyncio

import pytest
from carrying_world import MOVED, SPREAD, Carrying, carrying
from orchestrated import NO_CONTEXT, deaf, virtual
from providers_world import cloudnet, placed

from braid.v1 import common_pb2, reservations_pb2 as pb
from protocol.messages import Release
from simulations.clock import run_virtual


async def modify(w: Carrying, net: pb.CloudNet, request_id: str) -> pb.ReservationRecord:
    change = pb.ModifyRequest(reservation_id=w.id, request_id=request_id, cloudnet=net)
    record: pb.ReservationRecord = await w.one.reservations.Modify(change, NO_CONTEXT)
    return record


async def leave_out(w: Carrying) -> pb.ReservationRecord:
    """b, of which its provider, munich, does not hear."""
    w.it.delay = deaf("munich", Release)
    net = cloudnet(("a", "c"), [("a", "c")], at={"a": "berlin", "c": "zurich"})
    return await modify(w, net, "out")


@pytest.mark.parametrize("at", [SPREAD, MOVED])
def test_while_the_old_one_may_run_none_of_its_name_is_added_anywhere(at: dict[str, str]) -> None:
    run_virtual(_none_is_added(at))


async def _none_is_added(at: dict[str, str]) -> None:
    async with carrying() as w:
        assert (await leave_out(w)).modified
        after = await w.move(at, "back")
        assert (after.modified, after.version) == (False, 2)
        (refusal,) = after.refusals
        assert (refusal.domain, refusal.kind) == ("munich", common_pb2.REFUSAL_KIND_UNAVAILABLE)
        assert list(refusal.elements) == ["b"]
        assert refusal.reason == (
            "elements.b: one of that name is still being taken away there; ask again later,"
            " or give it another name"
        )
        assert await w.states("munich") == {"b": "running"}
        assert placed(await w.get()) == {"a": "berlin", "c": "zurich"}
        w.it.delay = lambda name, message: 0.0
        await w.settled()
        again = await w.move(at, "again")
        assert (again.modified, again.version, placed(again)) == (True, 3, at)
        await w.settled()
        assert not await w.reads(at["b"], "b")
        assert w.carrier.done == []


@virtual
async def test_what_goes_in_time_is_waited_for() -> None:
    async with carrying() as w:
        await leave_out(w)
        back = asyncio.ensure_future(w.move(MOVED, "back"))
        await asyncio.sleep(5)
        w.it.delay = lambda name, message: 0.0
        after = await back
        assert (after.modified, placed(after)) == (True, MOVED)
        await w.settled()
        assert "munich" not in w.it.held()
        assert await w.states("munich") == {}


@virtual
async def test_others_are_added_meanwhile() -> None:
    async with carrying() as w:
        await leave_out(w)
        net = cloudnet(("a", "c", "d"), [("a", "c"), ("c", "d")], at={"d": "munich"})
        record = await modify(w, net, "d")
        assert (record.modified, placed(record)["d"]) == (True, "munich")
