"""One reservation that joins several sites: all legs or none, from Reserve to Cancel."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from grpc import StatusCode
from orchestrated import (
    NO_CONTEXT,
    NOW_S,
    G,
    Orchestrated,
    port,
    refused,
    sites,
    virtual,
    wanted,
)

from braid.v1 import common_pb2, reservations_pb2 as pb
from protocol.messages import ReqOffers, ReservationPrep

COMMITTED = pb.RESERVATION_STATE_COMMITTED
FAILED = pb.RESERVATION_STATE_FAILED
CANCELLED = pb.RESERVATION_STATE_CANCELLED
NAMES = ("west", "east", "south")
MORE = ["south:host"]


def trio(*middle: str, **more: Any) -> list[dict[str, Any]]:
    """West, east and south, each joined with each of these domains."""
    return sites(*middle, names=NAMES, **more)


def joining(gbps: int = 10, request_id: str = "r", **fields: Any) -> pb.Reservation:
    """West with east and south."""
    return wanted(gbps, request_id, more_destinations=MORE, **fields)


def carried(paths: Any) -> dict[str, int]:
    """Gb/s to each destination."""
    total: Counter[str] = Counter()
    for path in paths:
        total[path.hops[-1].egress_stp] += path.bandwidth_bps // G
    return dict(total)


def both(gbps: int) -> dict[str, int]:
    return {"east:host": gbps, "south:host": gbps}


@virtual
async def test_all_legs_are_committed_with_one_part_in_each_domain() -> None:
    async with Orchestrated(trio("m1", "m2")) as world:
        one = await world.start()
        record = await one.reserve(joining(60))
        assert record.state == COMMITTED
        assert carried(record.paths) == both(60)
        assert record.criteria.more_destinations == MORE
        assert {name: len(held) for name, held in world.held().items()} == {
            "west": 1, "east": 1, "south": 1, "m1": 1, "m2": 1,
        }  # fmt: skip
        hub = next(part for part in record.parts if part.domain == "west")
        assert sum(segment.bandwidth_bps for segment in hub.segments) == 120 * G
        assert await one.get(record.reservation_id) == record
        assert (await one.cancel(record.reservation_id)).state == CANCELLED
        await asyncio.sleep(1)
        assert world.held() == {}


@virtual
async def test_each_leg_has_its_own_advice() -> None:
    async with Orchestrated(trio("m1", "m2")) as world:
        one = await world.start()
        record = await one.reserve(joining(90))
        assert record.state == COMMITTED
        advice = record.advice
        assert [leg.destination for leg in advice.legs] == ["east:host", "south:host"]
        assert sum(leg.parallel_streams for leg in advice.legs) == advice.parallel_streams
        assert advice.text == "A circuit of its own leads to each of 2 destinations."
        assert advice.legs[0].text.startswith("One path")


@virtual
async def test_a_leg_that_does_not_fit_refuses_all_and_is_named() -> None:
    async with Orchestrated(trio("m1")) as world:
        one = await world.start()
        first = await one.reserve(wanted(70, "first", destination="south:host"))
        assert first.state == COMMITTED
        before = world.held()
        record = await one.reserve(joining(20, "second"))
        assert record.state == FAILED
        assert record.refusals[-1].reason.startswith("to south:host beside east:host: ")
        assert world.held() == before
        # Two legs of 15 and no more fit into the 30 that are left between west and m1.
        assert carried(record.paths) == {}
        least = next(each for each in record.alternatives if each.least_change)
        assert least.kind == pb.ALTERNATIVE_KIND_LARGEST_BANDWIDTH
        assert least.request.bandwidth_bps == 15 * G
        assert least.request.more_destinations == MORE
        assert least.text == "15 Gb/s to each instead of 20 Gb/s"
        kinds = {each.kind for each in record.alternatives}
        assert kinds == {
            pb.ALTERNATIVE_KIND_LARGEST_BANDWIDTH,
            pb.ALTERNATIVE_KIND_EARLIEST_START,
        }
        taken = await one.reserve(pb.Reservation(request_id="third", accept=least.token))
        assert taken.state == COMMITTED
        assert carried(taken.paths) == both(15)


@virtual
async def test_what_is_in_the_way_is_where_the_legs_need_too_much_together() -> None:
    async with Orchestrated(trio("m1")) as world:
        one = await world.start()
        record = await one.reserve(joining(60))
        assert record.state == FAILED
        (place,) = record.bottlenecks
        assert (place.free_bps, place.label) == (100 * G, False)
        assert {"west:m1", "m1:west"} & set(place.resource.split(" to "))


@virtual
async def test_what_is_in_the_way_of_one_leg_alone_is_told_of_that_one() -> None:
    async with Orchestrated(trio("m1", "m2")) as world:
        one = await world.start()
        for name in ("m1", "m2"):
            limits = pb.Constraints(via_domains=[name])
            some = wanted(
                90, name, source="east:host", destination="south:host", constraints=limits
            )
            assert (await one.reserve(some)).state == COMMITTED
        record = await one.reserve(joining(25))
        assert record.state == FAILED
        assert record.refusals[-1].reason.startswith("to east:host: ")
        assert sum(place.free_bps for place in record.bottlenecks) == 20 * G
        assert all("east" in place.resource for place in record.bottlenecks)


@virtual
async def test_the_port_of_the_source_is_named_when_it_is_that() -> None:
    configs = [
        {**config, "ports": [port("host", capacity="50G"), *config["ports"][1:]]}
        if config["domain"] == "west"
        else config
        for config in trio("m1")
    ]
    async with Orchestrated(configs) as world:
        one = await world.start()
        assert (await one.reserve(wanted(20, "first"))).state == COMMITTED
        record = await one.reserve(joining(20))
        assert record.state == FAILED
        (place,) = record.bottlenecks
        assert (place.resource, place.free_bps) == ("west:host", 30 * G)


@virtual
async def test_plan_tells_the_same_and_holds_nothing() -> None:
    async with Orchestrated(trio("m1", "m2")) as world:
        one = await world.start()
        answer = await one.reservations.Plan(joining(90), NO_CONTEXT)
        assert answer.feasible
        assert carried(answer.paths) == both(90)
        assert len(answer.advice.legs) == 2
        no = await one.reservations.Plan(joining(110), NO_CONTEXT)
        assert not no.feasible
        assert "to " in no.refusals[0].reason
        assert world.held() == {}


@virtual
async def test_a_modify_changes_all_legs_or_none() -> None:
    async with Orchestrated(trio("m1", "m2")) as world:
        one = await world.start()
        record = await one.reserve(joining(40))
        wider = await one.modify(record.reservation_id, "wider", 80)
        assert wider.modified
        assert carried(wider.paths) == both(80)
        too_wide = await one.modify(record.reservation_id, "too-wide", 110)
        assert not too_wide.modified
        assert carried(too_wide.paths) == both(80)
        assert "to " in too_wide.refusals[-1].reason
        narrower = await one.modify(record.reservation_id, "narrower", 40)
        assert carried(narrower.paths) == both(40)
        # It stays where it is.
        assert [path.hops for path in narrower.paths] == [path.hops for path in wider.paths]
        await asyncio.sleep(60)
        assert {version for held in world.held().values() for _, version in held} == {3}
        error = await refused(
            one.modify(record.reservation_id, "port", 501),
            StatusCode.OUT_OF_RANGE, "bandwidth_bps",
        )  # fmt: skip
        assert "500000000000 bit/s to each of 2 destinations" in str(error)


@virtual
async def test_legs_slide_to_one_common_time() -> None:
    async with Orchestrated(trio("m1")) as world:
        one = await world.start()
        assert (await one.reserve(wanted(70, "busy"))).state == COMMITTED
        window = common_pb2.Window(start_s=NOW_S + 3600, end_s=NOW_S + 4 * 3600)
        flexibility = pb.Flexibility(duration_s=1800)
        record = await one.reserve(joining(40, window=window, flexibility=flexibility))
        assert record.state == COMMITTED
        assert carried(record.paths) == both(40)
        assert record.criteria.window.start_s == NOW_S + 7200
        assert not any(part.HasField("window") for part in record.parts)


@virtual
async def test_legs_get_the_largest_common_bandwidth() -> None:
    async with Orchestrated(trio("m1")) as world:
        one = await world.start()
        flexibility = pb.Flexibility(least_bandwidth_bps=10 * G)
        record = await one.reserve(joining(80, flexibility=flexibility))
        assert record.state == COMMITTED
        assert record.criteria.bandwidth_bps == 50 * G
        assert carried(record.paths) == both(50)
        again = await one.reserve(joining(80, "again", flexibility=flexibility))
        assert again.state == FAILED


@virtual
async def test_legs_that_survive_losses_each_have_disjoint_paths() -> None:
    async with Orchestrated(trio("m1", "m2")) as world:
        one = await world.start()
        limits = pb.Constraints(survive=1)
        record = await one.reserve(joining(40, constraints=limits))
        assert record.state == COMMITTED
        for stp in both(40):
            own = [path for path in record.paths if path.hops[-1].egress_stp == stp]
            assert {path.hops[1].domain for path in own} == {"m1", "m2"}


@virtual
async def test_a_migration_at_a_time_takes_all_legs_along() -> None:
    async with Orchestrated(trio("m1", "m2")) as world:
        one = await world.start()
        record = await one.reserve(joining(40, constraints=pb.Constraints(via_domains=["m1"])))
        change = pb.ModifyRequest(
            reservation_id=record.reservation_id,
            request_id="move",
            constraints=pb.Constraints(avoid_domains=["m1"]),
            switch_s=NOW_S + 5400,
        )
        moved = await one.reservations.Modify(change, NO_CONTEXT)
        assert moved.modified
        for name, half in (("m1", moved.paths[:2]), ("m2", moved.paths[2:])):
            assert carried(half) == both(40)
            assert {path.hops[1].domain for path in half} == {name}


@virtual
async def test_a_blind_domain_that_refuses_one_leg_is_gone_around() -> None:
    async with Orchestrated(trio("m1", "m2", blind="m1")) as world:
        one = await world.start()
        via = pb.Constraints(via_domains=["m1"])
        assert (await one.reserve(wanted(70, "busy", constraints=via))).state == COMMITTED
        # Of m1, which does not say so, 30 Gb/s are left, of m2 all 100.
        assert (await one.reserve(joining(70))).state == FAILED
        fits = await one.reserve(joining(60, "fits"))
        assert fits.state == COMMITTED
        assert carried(fits.paths) == both(60)


@virtual
async def test_domains_are_asked_once_for_all_legs() -> None:
    seen: Counter[tuple[str, str]] = Counter()

    def count(domain: str, message: Any) -> float:
        for kind in (ReqOffers, ReservationPrep):
            if isinstance(message, kind):
                seen[domain, kind.__name__] += 1
        return 0.0

    async with Orchestrated(trio("m1", "m2")) as world:
        one = await world.start()
        world.delay = count
        assert (await one.reserve(joining(10))).state == COMMITTED
        assert set(seen.values()) == {1}
        assert {kind for _, kind in seen} == {"ReqOffers", "ReservationPrep"}


@virtual
async def test_a_leg_whose_domain_is_silent_refuses_all_and_nothing_stays_held() -> None:
    async with Orchestrated(trio("m1")) as world:
        one = await world.start()
        world.delay = lambda domain, _: None if domain == "south" else 0.0
        record = await one.reserve(joining(10))
        assert record.state == FAILED
        assert any("south" in each.reason for each in record.refusals)
        world.delay = lambda _domain, _message: 0.0
        await asyncio.sleep(120)
        assert world.held() == {}


@virtual
async def test_another_life_of_the_instance_knows_all_legs() -> None:
    async with Orchestrated(trio("m1", "m2")) as world:
        one = await world.start()
        record = await one.reserve(joining(60))
        await world.kill("a")
        two = await world.start()
        assert await two.get(record.reservation_id) == record
        listed = await two.reservations.List(pb.ListRequest(), NO_CONTEXT)
        assert list(listed.reservations) == [record]
        assert (await two.modify(record.reservation_id, "m", 30)).modified
        assert (await two.cancel(record.reservation_id)).state == CANCELLED
        await asyncio.sleep(30)
        assert world.held() == {}


@virtual
async def test_the_same_request_is_answered_and_one_with_other_destinations_is_another() -> None:
    async with Orchestrated(trio("m1")) as world:
        one = await world.start()
        record = await one.reserve(joining(10))
        assert await one.reserve(joining(10)) == record
        await refused(one.reserve(wanted(10)), StatusCode.ALREADY_EXISTS, "request_id")
