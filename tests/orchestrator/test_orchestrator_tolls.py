"""Admission pricing: what takes too much from others is refused, and told what would be granted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from orchestrated import HOUR_S, NO_CONTEXT, NOW_S, G, One, Orchestrated, asked, sites, virtual

from braid.v1 import common_pb2, reservations_pb2 as pb
from orchestrator.settings import OrchestratorSettings
from substrate.tolls import Tariff, cost

COMMITTED, FAILED = pb.RESERVATION_STATE_COMMITTED, pb.RESERVATION_STATE_FAILED
TOLL = common_pb2.REFUSAL_KIND_TOLL
MOST = Tariff(300.0)
"""Over one middle domain there are two links, each taken both ways, for an hour."""
WHOLE = 4 * HOUR_S


def world(*middle: str, tariff: Tariff | None = MOST, **more: Any) -> Orchestrated:
    return Orchestrated(sites(*(middle or ("m1",))), tariff=tariff, **more)


def alternatives(answer: pb.ReservationRecord | pb.PlanResponse) -> dict[str, pb.Reservation]:
    prefix = "ALTERNATIVE_KIND_"
    return {
        pb.AlternativeKind.Name(each.kind).removeprefix(prefix): each.request
        for each in answer.alternatives
    }


async def accepted(one: One, request: pb.Reservation, request_id: str) -> pb.ReservationRecord:
    again = pb.Reservation()
    again.CopyFrom(request)
    again.request_id = request_id
    return await one.reserve(again)


@virtual
async def test_without_a_tariff_everything_that_fits_is_granted() -> None:
    async with world(tariff=None) as net:
        one = await net.start()
        assert (await one.reserve(asked(100, "all"))).state == COMMITTED


@virtual
async def test_what_takes_too_much_is_refused_with_its_toll_and_where_it_is_dearest() -> None:
    async with world() as net:
        one = await net.start()
        assert (await one.reserve(asked(40, "first"))).state == COMMITTED
        record = await one.reserve(asked(40, "second"))
        assert record.state == FAILED
        (refusal,) = record.refusals
        assert (refusal.kind, refusal.domain) == (TOLL, "")
        toll = WHOLE * cost(0.4, 0.4)
        assert f"{toll:.4g} link-seconds" in refusal.reason
        assert "at most 300 are admitted" in refusal.reason
        assert "where others have 40%" in refusal.reason
        (place,) = record.bottlenecks
        assert place.resource == refusal.resource
        assert place.free_bps == 60 * G
        hours = (place.window.start_s, place.window.end_s)
        assert hours == (NOW_S + HOUR_S, NOW_S + 2 * HOUR_S)


@virtual
async def test_it_is_refused_before_anything_is_held() -> None:
    async with world() as net:
        one = await net.start()
        record = await one.reserve(asked(90, "first"))
        assert record.refusals[0].kind == TOLL
        events = await one.events(record.reservation_id)
        assert all(event.WhichOneof("kind") != "prepare_sent" for event in events)
        assert not net.held()


@pytest.mark.parametrize("kind", ["LARGEST_BANDWIDTH", "EARLIEST_START", "SAME_VOLUME"])
@virtual
async def test_what_it_is_told_instead_is_admitted(kind: str) -> None:
    async with world() as net:
        one = await net.start()
        await one.reserve(asked(40, "first"))
        record = await one.reserve(asked(40, "second"))
        found = alternatives(record)
        instead = await accepted(one, found[kind], "third")
        assert instead.state == COMMITTED, instead.refusals
        if kind == "LARGEST_BANDWIDTH":
            taken = instead.criteria.bandwidth_bps
            assert WHOLE * cost(0.4, taken / (100 * G)) == pytest.approx(300, rel=0.02)
        if kind == "EARLIEST_START":
            assert instead.criteria.window.start_s == NOW_S + 2 * HOUR_S


@virtual
async def test_what_is_too_dear_at_any_time_is_told_no_later_start() -> None:
    async with world() as net:
        one = await net.start()
        found = alternatives(await one.reserve(asked(90, "first")))
        assert set(found) == {"LARGEST_BANDWIDTH", "SAME_VOLUME"}


@virtual
async def test_it_goes_around_what_others_have_if_that_is_admitted() -> None:
    async with world("m1", "m2") as net:
        one = await net.start()
        for number in range(2):
            record = await one.reserve(asked(40, f"r{number}"))
            assert record.state == COMMITTED
            assert [path.hops[1].domain for path in record.paths] == [f"m{number + 1}"]
        assert (await one.reserve(asked(40, "third"))).refusals[0].kind == TOLL


@virtual
async def test_it_is_split_where_the_parts_take_less_than_the_whole() -> None:
    async with world("m1", "m2") as net:
        record = await (await net.start()).reserve(asked(70, "first"))
        assert record.state == COMMITTED
        assert {path.bandwidth_bps for path in record.paths} == {35 * G}


@virtual
async def test_plan_says_what_reserve_would() -> None:
    async with world("m1", "m2") as net:
        one = await net.start()
        for gbps, fits in ((40, True), (70, True), (90, False)):
            plan = await one.reservations.Plan(asked(gbps, f"r{gbps}"), NO_CONTEXT)
            assert bool(plan.paths) is fits
            if not fits:
                assert plan.refusals[0].kind == TOLL
                assert alternatives(plan)


@pytest.mark.parametrize("strategy", [pb.STRATEGY_EQUAL_SPLITTING, pb.STRATEGY_SINGLE_PATH])
@virtual
async def test_no_strategy_goes_around_the_tariff(strategy: pb.Strategy) -> None:
    async with world() as net:
        one = await net.start()
        await one.reserve(asked(40, "first"))
        record = await one.reserve(asked(40, "second", strategy=strategy))
        assert record.refusals[0].kind == TOLL


@virtual
async def test_of_blind_domains_the_other_end_of_the_link_tells() -> None:
    async with Orchestrated(sites("m1", blind="m1"), tariff=MOST) as net:
        one = await net.start()
        assert (await one.reserve(asked(40, "first"))).state == COMMITTED
        assert (await one.reserve(asked(40, "second"))).refusals[0].kind == TOLL


@virtual
async def test_what_slides_begins_when_it_takes_little_enough() -> None:
    async with world() as net:
        one = await net.start()
        await one.reserve(asked(40, "first"))
        bend = pb.Flexibility(duration_s=HOUR_S)
        record = await one.reserve(asked(40, "second", hours=(1, 4), flexibility=bend))
        assert record.state == COMMITTED
        assert record.criteria.window.start_s == NOW_S + 2 * HOUR_S
        tight = await one.reserve(asked(40, "third", hours=(1, 3), flexibility=bend))
        assert tight.refusals[-1].kind == TOLL


@virtual
async def test_what_is_content_with_less_gets_as_much_as_is_admitted() -> None:
    async with world() as net:
        one = await net.start()
        bend = pb.Flexibility(least_bandwidth_bps=10 * G)
        record = await one.reserve(asked(100, "first", flexibility=bend))
        assert record.state == COMMITTED
        taken = record.criteria.bandwidth_bps / (100 * G)
        assert 0.95 * MOST.toll_max_link_s < WHOLE * cost(0, taken) <= MOST.toll_max_link_s


def volume(gbps: int, hours: tuple[int, int], **more: Any) -> Any:
    """So much as that carries in an hour."""
    bend = pb.Flexibility(volume_bytes=gbps * G // 8 * HOUR_S)
    return asked(100, f"v{gbps}", hours=hours, flexibility=bend, **more)


@virtual
async def test_of_a_volume_all_phases_together_are_counted() -> None:
    async with world() as net:
        one = await net.start()
        assert (await one.reserve(asked(40, "first"))).state == COMMITTED
        record = await one.reserve(volume(120, (1, 3)))
        assert record.state == FAILED
        assert record.refusals[-1].kind == TOLL
        found = alternatives(record)
        less = await accepted(one, found["LARGEST_BANDWIDTH"], "less")
        assert less.state == COMMITTED, less.refusals
        asked_bytes = found["LARGEST_BANDWIDTH"].flexibility.volume_bytes
        assert 0 < asked_bytes < 120 * G // 8 * HOUR_S


@virtual
async def test_a_volume_that_takes_little_is_admitted() -> None:
    async with world() as net:
        one = await net.start()
        assert (await one.reserve(volume(20, (1, 3)))).state == COMMITTED


@virtual
async def test_a_volume_is_slowed_from_what_links_carry_and_not_from_what_ports_do() -> None:
    async with world() as net:
        one = await net.start()
        most = volume(20, (1, 3))
        most.bandwidth_bps = 0
        record = await one.reserve(most)
        assert record.state == COMMITTED, record.refusals
        assert max(path.bandwidth_bps for path in record.paths) < 100 * G


@virtual
async def test_to_be_changed_to_less_or_to_other_paths_costs_nothing() -> None:
    async with world("m1", "m2") as net:
        one = await net.start()
        first = await one.reserve(asked(40, "first"))
        second = await one.reserve(asked(40, "second"))
        assert [second.paths[0].hops[1].domain] == ["m2"]
        lesser = await one.modify(second.reservation_id, "less", 35)
        assert lesser.modified
        limits = pb.Constraints(via_domains=["m1"])
        change = pb.ModifyRequest(
            reservation_id=second.reservation_id, request_id="move", constraints=limits
        )
        moved = await one.reservations.Modify(change, NO_CONTEXT)
        assert moved.modified
        assert [moved.paths[0].hops[1].domain] == [first.paths[0].hops[1].domain] == ["m1"]


@virtual
async def test_who_wants_more_is_counted_with_all_of_it_as_if_it_were_new() -> None:
    async with world() as net:
        one = await net.start()
        record = await one.reserve(asked(40, "first"))
        more = await one.modify(record.reservation_id, "more", 45)
        assert more.modified
        assert WHOLE * cost(0, 0.45) < MOST.toll_max_link_s < WHOLE * cost(0, 0.6)
        most = await one.modify(record.reservation_id, "most", 60)
        assert not most.modified
        assert most.refusals[0].kind == TOLL
        assert most.criteria.bandwidth_bps == 45 * G
        assert alternatives(most)


@virtual
async def test_what_was_told_a_while_ago_is_not_used_to_count() -> None:
    async with world(offers_reuse_ms=60_000) as net:
        one = await net.start()
        first = await one.reserve(asked(40, "first"))
        assert (await one.reserve(asked(40, "at-once"))).state == FAILED
        await asyncio.sleep(100)
        assert (await one.reserve(asked(10, "second"))).state == COMMITTED
        assert (await one.reserve(asked(35, "third"))).state == FAILED
        await one.cancel(first.reservation_id)
        assert (await one.reserve(asked(35, "fourth"))).state == COMMITTED


@virtual
async def test_who_carries_more_may_take_more_where_the_price_is_by_volume() -> None:
    volume_tb = 2 * 40 * 3600 / 8000
    least = (WHOLE * cost(0.4, 0.4) - 300) / volume_tb
    async with world(tariff=Tariff(300, least + 0.1)) as net:
        one = await net.start()
        assert (await one.reserve(asked(40, "first"))).state == COMMITTED
        assert (await one.reserve(asked(40, "second"))).state == COMMITTED
    async with world(tariff=Tariff(300, least - 0.1)) as net:
        one = await net.start()
        assert (await one.reserve(asked(40, "first"))).state == COMMITTED
        (refusal,) = (await one.reserve(asked(40, "second"))).refusals
        most = 300 + (least - 0.1) * volume_tb
        assert f"at most {most:.4g} are admitted for 36 TB" in refusal.reason


def test_a_price_by_volume_may_be_the_only_one() -> None:
    given = OrchestratorSettings(insecure=True, toll_link_s_per_tb=5)
    assert given.limits().tariff == Tariff(0, 5)
    both = OrchestratorSettings(insecure=True, toll_max_link_s=90, toll_link_s_per_tb=5)
    assert both.limits().tariff == Tariff(90, 5)
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="toll_link_s_per_tb"):
            OrchestratorSettings(insecure=True, toll_link_s_per_tb=wrong)


def test_the_setting_is_off_unless_it_is_given_and_more_than_nothing() -> None:
    assert OrchestratorSettings(insecure=True).limits().tariff is None
    given = OrchestratorSettings(insecure=True, toll_max_link_s=90)
    assert given.limits().tariff == Tariff(90)
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="toll_max_link_s"):
            OrchestratorSettings(insecure=True, toll_max_link_s=wrong)
