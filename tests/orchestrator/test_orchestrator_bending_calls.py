"""What Reserve, Plan and Modify answer to requests that bend, are accepted, or migrate."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc import StatusCode
from orchestrated import (
    HOUR_S,
    NO_CONTEXT,
    NOW_S,
    G,
    One,
    Orchestrated,
    asked,
    refused,
    sites,
    virtual,
)

from braid.v1 import reservations_pb2 as pb
from orchestrator.tokens import VALID_MS

COMMITTED = pb.RESERVATION_STATE_COMMITTED
FAILED = pb.RESERVATION_STATE_FAILED


async def an_alternative(one: One) -> pb.Alternative:
    """Of a request that was refused because another stands."""
    assert (await one.reserve(asked(80, "first"))).state == COMMITTED
    failed = await one.reserve(asked(70, "second"))
    assert failed.state == FAILED
    assert failed.alternatives[0].least_change
    kind = pb.ALTERNATIVE_KIND_EARLIEST_START
    return next(each for each in failed.alternatives if each.kind == kind)


def accepting(token: str, request_id: str) -> pb.Reservation:
    return pb.Reservation(request_id=request_id, accept=token)


@virtual
async def test_an_alternative_is_accepted_once_and_the_same_request_again_is_answered() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        alternative = await an_alternative(one)
        record = await one.reserve(accepting(alternative.token, "third"))
        assert record.state == COMMITTED
        assert record.criteria.window == alternative.request.window
        assert record.criteria.bandwidth_bps == 70 * G
        assert await one.reserve(accepting(alternative.token, "third")) == record
        error = await refused(
            one.reserve(accepting(alternative.token, "fourth")),
            StatusCode.FAILED_PRECONDITION,
            "accept",
        )
        assert "taken by another" in error.possible
        assert error.raw == alternative.token
        fresh = error.more[0]
        assert isinstance(fresh, pb.PlanResponse)
        again = await one.reserve(accepting(fresh.alternatives[0].token, "fifth"))
        assert again.state == COMMITTED


@virtual
async def test_an_alternative_that_has_expired_comes_back_fresh() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        alternative = await an_alternative(one)
        await asyncio.sleep(VALID_MS / 1000 + 1)
        error = await refused(
            one.reserve(accepting(alternative.token, "third")),
            StatusCode.FAILED_PRECONDITION,
            "accept",
        )
        assert "has expired" in error.possible
        assert error.raw == alternative.token
        fresh = error.more[0]
        assert isinstance(fresh, pb.PlanResponse)
        assert fresh.alternatives[0].request.window == alternative.request.window
        record = await one.reserve(accepting(fresh.alternatives[0].token, "fourth"))
        assert record.state == COMMITTED


@virtual
async def test_an_alternative_whose_time_has_begun_comes_back_later() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        await one.reserve(asked(80, "first", (0, 1)))
        failed = await one.reserve(asked(70, "second", (0, 1)))
        less = failed.alternatives[0]
        assert less.request.window.start_s == NOW_S
        await asyncio.sleep(61)
        error = await refused(
            one.reserve(accepting(less.token, "third")), StatusCode.FAILED_PRECONDITION, "accept"
        )
        fresh = error.more[0]
        assert isinstance(fresh, pb.PlanResponse)
        window = fresh.alternatives[0].request.window
        assert window.start_s == NOW_S + 61
        assert window.end_s - window.start_s == HOUR_S


@virtual
async def test_a_refusal_of_what_bends_names_amounts_as_people_write_them() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        assert (await one.reserve(asked(80, "first", (1, 9)))).state == COMMITTED
        for gbps, flexibility, reason in (
            (
                60,
                pb.Flexibility(duration_s=HOUR_S),
                "60 Gb/s do not fit within the window, about 20",
            ),
            (
                100,
                pb.Flexibility(volume_bytes=10**14),
                "100 TB do not fit within the window, about ",
            ),
        ):
            failed = await one.reserve(asked(gbps, f"of-{gbps}", (1, 9), flexibility=flexibility))
            assert failed.state == FAILED
            assert failed.refusals[0].reason.startswith(reason)


@virtual
async def test_an_alternative_outlives_the_instance_that_made_it() -> None:
    async with Orchestrated(sites("m1")) as world:
        alternative = await an_alternative(await world.start("a"))
        await world.kill("a")
        other = await world.start("b")
        record = await other.reserve(accepting(alternative.token, "third"))
        assert record.state == COMMITTED
        await refused(
            other.reserve(accepting(alternative.token, "fourth")),
            StatusCode.FAILED_PRECONDITION,
            "accept",
        )


@virtual
async def test_a_request_that_accepts_asks_for_nothing_else() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        alternative = await an_alternative(one)
        both = pb.Reservation(request_id="third", accept=alternative.token, source="west:host")
        await refused(one.reserve(both), StatusCode.INVALID_ARGUMENT, "source")
        for token in ("nonsense", "!", "AAAA", alternative.token[:-9]):
            await refused(
                one.reserve(accepting(token, "third")), StatusCode.INVALID_ARGUMENT, "accept"
            )


@virtual
async def test_plan_tells_what_would_be_granted_and_what_would_be_instead() -> None:
    async with Orchestrated(sites("m1", "m2")) as world:
        one = await world.start()
        bending = asked(
            150, "p", (1, 9), flexibility=pb.Flexibility(volume_bytes=150 * G * 2 * HOUR_S // 8)
        )
        plan = await one.reservations.Plan(bending, NO_CONTEXT)
        assert plan.feasible
        assert (plan.window.start_s, plan.window.end_s) == (NOW_S + HOUR_S, NOW_S + 3 * HOUR_S)
        assert plan.bandwidth_bps == 150 * G
        no = await one.reservations.Plan(asked(250, "p"), NO_CONTEXT)
        assert not no.feasible
        assert no.bottlenecks
        assert no.alternatives[0].least_change
        assert world.held() == {}


@virtual
async def test_granted_and_asked_are_told_apart_and_kept() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start("a")
        await one.reserve(asked(80, "first", (1, 3)))
        record = await one.reserve(
            asked(60, "second", (1, 9), flexibility=pb.Flexibility(duration_s=HOUR_S))
        )
        assert record.state == COMMITTED
        assert record.criteria.window.start_s == NOW_S + 3 * HOUR_S
        assert not record.criteria.HasField("flexibility")
        assert record.asked.flexibility.duration_s == HOUR_S
        assert record.asked.window.end_s == NOW_S + 9 * HOUR_S
        await world.kill("a")
        other = await world.start("b")
        assert await other.get(record.reservation_id) == record


def no_answers(domain: str, message: object) -> float | None:
    return None if domain == "m1" and type(message).__name__ == "ReservationResp" else 0.0


@virtual
async def test_phases_that_were_undecided_when_the_instance_died_are_negotiated_anew() -> None:
    async with Orchestrated(sites("m1", "m2")) as world:
        one = await world.start("a")
        await one.reserve(asked(180, "first", (1, 2)))
        world.delay = no_answers
        flexibility = pb.Flexibility(volume_bytes=100 * G * HOUR_S // 8, soonest=True)
        bending = asked(200, "second", (1, 9), flexibility=flexibility, detach=True)
        begun = await one.reserve(bending)
        await asyncio.sleep(1)
        await world.kill("a")
        world.delay = lambda domain, message: 0.0
        other = await world.start("b")
        await asyncio.sleep(60)
        record = await other.get(begun.reservation_id)
        assert record.state == COMMITTED
        assert len({path.window.start_s for path in record.paths}) == 2
        await other.cancel(begun.reservation_id)
        await asyncio.sleep(5)
        assert all(
            name != begun.reservation_id for rows in world.held().values() for name, _ in rows
        )


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("switch_s", {"switch_s": NOW_S + 2 * HOUR_S}),
        ("switch_s", {"switch_s": NOW_S + HOUR_S + 60, "bandwidth_bps": G}),
        ("switch_s", {"switch_s": NOW_S + HOUR_S, "constraints": pb.Constraints()}),
        ("constraints.max_paths", {"constraints": pb.Constraints(max_paths=0)}),
        ("constraints.remaining_bps", {"constraints": pb.Constraints(remaining_bps=G)}),
        ("constraints.avoid_domains", {"constraints": pb.Constraints(avoid_domains=["x"])}),
    ],
)
@virtual
async def test_a_wrong_migration_is_refused_by_its_field(
    field: str, change: dict[str, Any]
) -> None:
    async with Orchestrated(sites("m1", "m2")) as world:
        one = await world.start()
        record = await one.reserve(asked(80, "first"))
        message = pb.ModifyRequest(reservation_id=record.reservation_id, request_id="m", **change)
        code = (
            StatusCode.NOT_FOUND
            if field == "constraints.avoid_domains"
            else StatusCode.INVALID_ARGUMENT
        )
        await refused(one.reservations.Modify(message, NO_CONTEXT), code, field)


@virtual
async def test_a_migration_under_way_when_the_instance_dies_is_done_or_not_at_all() -> None:
    async with Orchestrated(sites("m1", "m2")) as world:
        one = await world.start("a")
        record = await one.reserve(
            asked(80, "first", constraints=pb.Constraints(via_domains=["m1"]))
        )
        world.delay = lambda domain, message: (
            None if domain == "m2" and type(message).__name__ == "ReservationResp" else 0.0
        )
        migration = pb.ModifyRequest(
            reservation_id=record.reservation_id,
            request_id="m",
            constraints=pb.Constraints(avoid_domains=["m1"]),
            switch_s=NOW_S + HOUR_S + 600,
        )
        task = asyncio.create_task(one.reservations.Modify(migration, NO_CONTEXT))
        await asyncio.sleep(1)
        await world.kill("a")
        task.cancel()
        world.delay = lambda domain, message: 0.0
        other = await world.start("b")
        moved = await other.reservations.Modify(migration, NO_CONTEXT)
        assert moved.modified
        assert moved.version == 2
        assert {hop.domain for path in moved.paths for hop in path.hops} >= {"m1", "m2"}
