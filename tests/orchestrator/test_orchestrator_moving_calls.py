"""Movable circuits, as users see them, and instances that die while something is being moved."""

from __future__ import annotations

import asyncio

from orchestrated import NO_CONTEXT, Orchestrated, sites, virtual, wanted

from braid.v1 import reservations_pb2 as pb

VIA_M1 = pb.Constraints(via_domains=["m1"])


def middles(record: pb.ReservationRecord) -> set[str]:
    return {hop.domain for path in record.paths for hop in path.hops} & {"m1", "m2"}


@virtual
async def test_plan_tells_what_would_move_and_watch_tells_its_owner_that_it_did() -> None:
    async with Orchestrated(sites("m1", "m2")) as world:
        one = await world.start("a")
        first = await one.reserve(wanted(60, "first", movable=True))
        assert first.criteria.movable
        plan = await one.reservations.Plan(wanted(100, "", constraints=VIA_M1), NO_CONTEXT)
        assert plan.feasible
        (move,) = plan.moves
        assert move.reservation_id == first.reservation_id
        assert move.window == first.criteria.window
        await one.reserve(wanted(100, "second", constraints=VIA_M1))
        request = pb.GetRequest(reservation_id=first.reservation_id)
        moved = await one.reservations.Get(request, NO_CONTEXT)
        assert (middles(moved), moved.version, moved.modifying) == ({"m2"}, 2, False)
        events = await world.store.events(first.reservation_id, 0, 1000)
        (told,) = [e.body.moved for e in events if e.body.WhichOneof("kind") == "moved"]
        assert told.version == 2
        assert [path.hops[1].domain for path in told.paths] == ["m2"]


@virtual
async def test_what_was_being_moved_when_the_instance_died_is_left_where_it_is() -> None:
    async with Orchestrated(sites("m1", "m2")) as world:
        one = await world.start("a")
        first = await one.reserve(wanted(60, "first", movable=True))
        world.delay = lambda domain, message: (
            None if domain == "m2" and type(message).__name__ == "ReservationResp" else 0.0
        )
        task = asyncio.create_task(one.reserve(wanted(100, "second", constraints=VIA_M1)))
        await asyncio.sleep(2)
        request = pb.GetRequest(reservation_id=first.reservation_id)
        assert (await one.reservations.Get(request, NO_CONTEXT)).modifying
        await world.kill("a")
        task.cancel()
        # The next one never hears from m2: nothing can be moved there.
        other = await world.start("b")
        await asyncio.sleep(60)
        stayed = await other.reservations.Get(request, NO_CONTEXT)
        assert (middles(stayed), stayed.version, stayed.modifying) == ({"m1"}, 1, False)
        again = await other.reservations.Get(pb.GetRequest(request_id="second"), NO_CONTEXT)
        assert again.state == pb.RESERVATION_STATE_FAILED
        world.delay = lambda domain, message: 0.0
        # It was silent: after a while it is asked again.
        await asyncio.sleep(120)
        third = await other.reserve(wanted(100, "third", constraints=VIA_M1))
        assert middles(third) == {"m1"}
        moved = await other.reservations.Get(request, NO_CONTEXT)
        assert (middles(moved), moved.version) == ({"m2"}, 2)
