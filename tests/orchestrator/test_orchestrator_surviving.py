"""What is offered in place of a circuit that cannot survive the loss of paths as it was to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from networks import G, diamond, domain, port
from orchestrated import NO_CONTEXT, Orchestrated, port as port_of, sites, virtual, wanted

from braid.v1 import reservations_pb2 as pb
from orchestrator.explanation import Alternative, AlternativeKind
from orchestrator.surviving import surviving_less
from runtime.errors import RequestError
from substrate.bending import Search
from substrate.forecast import Resource, forecast
from substrate.model import Bend, Constraints, Criteria, Disjointness, Step, Window
from substrate.options import Supply
from substrate.routes import candidate_routes
from substrate.splitting import Effort
from substrate.topology import Topology

START_S = 1_800_000_000
HOUR_S = 3600
SPAN = Window(START_S, START_S + 24 * HOUR_S)
ASKED = Window(START_S, START_S + HOUR_S)
LARGEST, LESS = AlternativeKind.LARGEST_BANDWIDTH, AlternativeKind.LESS_SURVIVAL


def search_of(
    free: tuple[int, ...],
    gbps: int,
    limits: Constraints,
    bend: Bend | None = None,
    window: Window = ASKED,
    later: tuple[int, ...] = (),
) -> Search:
    """So many ways from west to east, with so many Gb/s free; from the second hour on ``later``."""
    topology = diamond(middle=len(free), bps=1000 * G)
    levels = {
        f"m{i}": [each[i - 1] for each in (free, later) if each] for i in range(1, len(free) + 1)
    }
    criteria = Criteria("west:host", "east:host", gbps * G, window, constraints=limits, bend=bend)
    return search_over(topology, criteria, levels)


def search_over(
    topology: Topology, criteria: Criteria, levels: Mapping[str, Sequence[int]]
) -> Search:
    """``levels``: what domains have free from hour to hour, Gb/s; others have plenty."""
    told: dict[Resource, tuple[Step, ...]] = {}
    for each in topology.domains.values():
        own = enumerate(levels.get(each.name, [1000]))
        steps = tuple(Step(START_S + i * HOUR_S, gbps * G) for i, gbps in own)
        told |= {(p.stp, q.stp): steps for p in each.ports for q in each.ports if p is not q}
    window = criteria.window
    known = forecast(SPAN, Supply(), told, also=(window.start_s, window.end_s))
    routes = candidate_routes(topology, criteria.source, criteria.destination, criteria.constraints)
    return Search(criteria, routes, known, topology)


def bridged() -> Topology:
    """West and east, joined by two links to the domain between them."""
    west = [port("west:host"), port("west:a", "mid:a"), port("west:b", "mid:b")]
    mid = [port(f"mid:{p}", f"west:{p}") for p in "ab"]
    mid += [port(f"mid:{p}", f"east:{p}") for p in "cd"]
    east = [port("east:host"), port("east:c", "mid:c"), port("east:d", "mid:d")]
    return Topology(
        [
            domain("west", west, exchange=True),
            domain("mid", mid),
            domain("east", east, exchange=True),
        ]
    )


def tailed() -> Topology:
    """The bridge, and east of it one link more."""
    topology = bridged()
    east = topology.domains["east"]
    east = replace(east, ports=(*east.ports[1:], port("east:tail", "tail:east")))
    tail = domain("tail", [port("tail:east", "east:tail"), port("tail:host")])
    return topology.with_domain(east).with_domain(tail)


def survives(lost: int, remaining: int, disjoint: Disjointness = Disjointness.LINK) -> Constraints:
    return Constraints(max_paths=4, survive=lost, remaining_bps=remaining * G, disjoint=disjoint)


def found(search: Search, *, narrower: bool = False) -> list[Alternative]:
    """Each of which would be granted."""
    alternatives = surviving_less(search, narrower=narrower)
    for each in alternatives:
        routes = Search(each.criteria, search.routes, search.forecast, search.topology)
        assert routes.fits(each.criteria.bandwidth_bps, each.criteria.window), each.text
    return alternatives


def terms(alternative: Alternative) -> tuple[AlternativeKind, int, int, int]:
    limits = alternative.criteria.constraints
    return (
        alternative.kind,
        alternative.criteria.bandwidth_bps // G,
        limits.survive,
        limits.remaining_bps // G,
    )


def test_less_may_remain() -> None:
    (less,) = found(search_of((100, 60), 150, survives(1, 75)))
    assert terms(less) == (LESS, 150, 1, 60)
    assert less.text == "60 Gb/s instead of 75 Gb/s remain after the loss of 1 path"
    assert less.change == pytest.approx(0.2)


def test_less_bandwidth_keeps_the_part_of_it_that_survives() -> None:
    without, narrow = found(search_of((200, 60), 150, survives(1, 75)), narrower=True)
    assert terms(without)[1:3] == (150, 1)
    assert terms(narrow) == (LARGEST, 120, 1, 60)
    assert narrow.text == (
        "120 Gb/s instead of 150 Gb/s,"
        " of which 60 Gb/s instead of 75 Gb/s remain after the loss of 1 path"
    )


def test_fewer_losses_may_be_survived_with_as_much_left() -> None:
    fewer, less = found(search_of((100, 100, 30), 90, survives(2, 30)))
    assert terms(fewer) == (LESS, 90, 1, 30)
    assert fewer.text == "30 Gb/s remain after the loss of 1 path instead of 2"
    assert terms(less)[2] == 2
    assert "after the loss of 2 paths" in less.text


def test_paths_may_share_a_domain_and_no_link() -> None:
    limits = survives(1, 50, Disjointness.DOMAIN)
    criteria = Criteria("west:host", "east:host", 100 * G, ASKED, constraints=limits)
    search = search_over(bridged(), criteria, {})
    (shared,) = found(search)
    assert shared.criteria.constraints.disjoint is Disjointness.LINK
    assert terms(shared) == (LESS, 100, 1, 50)
    assert "50 Gb/s remain after the loss of 1 path; paths may share domains" in shared.text


def test_where_nothing_survives_it_is_offered_without_and_said_so() -> None:
    (without,) = found(search_of((200,), 150, survives(1, 75)))
    limits = without.criteria.constraints
    assert (limits.survive, limits.remaining_bps) == (0, 0)
    assert limits.max_paths == 4
    assert "without survive" in without.text
    assert without.change == 1


def test_of_many_routes_none_takes_the_effort_of_the_others() -> None:
    limits = survives(3, 90, Disjointness.DOMAIN)
    search = search_of((200, *(1,) * 11), 100, limits)
    (without,) = found(replace(search, effort=Effort(60)))
    assert without.criteria.constraints == Constraints(max_paths=4)


def test_where_all_ways_have_a_link_in_common_no_set_of_them_is_tried() -> None:
    criteria = Criteria("west:host", "tail:host", G, ASKED, constraints=survives(1, 0))
    (without,) = found(search_over(tailed(), criteria, {}))
    assert without.criteria.constraints.survive == 0


def test_what_slides_may_survive_less_at_a_later_time() -> None:
    window = Window(START_S, START_S + 5 * HOUR_S)
    search = search_of(
        (20, 20), 150, survives(1, 75), Bend(duration_s=HOUR_S), window, later=(100, 60)
    )
    (less,) = found(search)
    assert terms(less) == (LESS, 150, 1, 60)
    assert less.criteria.window == Window(START_S + HOUR_S, START_S + 2 * HOUR_S)
    assert less.criteria.bend is None


@pytest.mark.parametrize(
    ("free", "limits"),
    [((10, 10), survives(1, 75)), ((200,), Constraints(max_paths=4))],
    ids=["too little at all", "survival was not asked for"],
)
def test_nothing_is_offered_that_is_of_no_help(free: tuple[int, ...], limits: Constraints) -> None:
    assert surviving_less(search_of(free, 150, limits), narrower=False) == []


def test_of_a_little_bandwidth_the_most_is_found_to_the_bit() -> None:
    search = search_of((1, 1), 1, survives(1, 0))
    limits = replace(search.criteria.constraints, remaining_bps=90)
    criteria = replace(search.criteria, bandwidth_bps=100, constraints=limits)
    (less,) = found(replace(search, criteria=criteria))
    assert less.criteria.constraints.remaining_bps == 50


@virtual
async def test_a_refusal_offers_it_by_a_token_and_what_is_accepted_is_granted() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        limits = pb.Constraints(max_paths=4, survive=1)
        asked = wanted(request_id="first", bandwidth_bps=100 * G, constraints=limits)
        record = await one.reserve(asked)
        assert record.state == pb.RESERVATION_STATE_FAILED
        (without,) = [
            each for each in record.alternatives if each.kind == pb.ALTERNATIVE_KIND_LESS_SURVIVAL
        ]
        assert not without.request.constraints.survive
        accepted = await one.reserve(pb.Reservation(request_id="second", accept=without.token))
        assert accepted.state == pb.RESERVATION_STATE_COMMITTED
        assert accepted.criteria.bandwidth_bps == 100 * G


@virtual
async def test_what_several_ways_have_in_common_is_not_taken_for_what_is_free_there() -> None:
    west, *others = sites("m1", "m2")
    west["ports"].append(port_of("head", "head:west"))
    head = {
        "domain": "head",
        "backend": "pip",
        "ports": [port_of("host"), port_of("west", "west:head")],
    }
    async with Orchestrated([head, west, *others]) as world:
        one = await world.start()
        limits = pb.Constraints(max_paths=4, survive=1)
        asked = wanted(80, source="head:host", constraints=limits)
        record = await one.reserve(asked)
        assert "crosses the link at head:west" in record.refusals[0].reason
        (without,) = record.alternatives
        assert without.kind == pb.ALTERNATIVE_KIND_LESS_SURVIVAL
        assert without.request.bandwidth_bps == 80 * G
        assert [place.resource for place in record.bottlenecks] == ["head:west"]
        slides = pb.Flexibility(duration_s=600)
        asked = wanted(80, "s", source="head:host", constraints=limits, flexibility=slides)
        slid = await one.reserve(asked)
        (without,) = slid.alternatives
        assert without.kind == pb.ALTERNATIVE_KIND_LESS_SURVIVAL
        assert without.request.window.end_s - without.request.window.start_s == 600


@virtual
async def test_less_that_remains_is_accepted_as_it_was_offered() -> None:
    async with Orchestrated(sites("m1", "m2")) as world:
        one = await world.start()
        await one.reserve(wanted(request_id="other", bandwidth_bps=60 * G))
        limits = pb.Constraints(max_paths=4, survive=1)
        asked = wanted(request_id="first", bandwidth_bps=120 * G, constraints=limits)
        record = await one.reserve(asked)
        assert record.state == pb.RESERVATION_STATE_FAILED
        less = next(
            each for each in record.alternatives if each.kind == pb.ALTERNATIVE_KIND_LESS_SURVIVAL
        )
        assert less.request.constraints.remaining_bps == 40 * G
        accepted = await one.reserve(pb.Reservation(request_id="second", accept=less.token))
        assert accepted.state == pb.RESERVATION_STATE_COMMITTED
        assert sorted(path.bandwidth_bps for path in accepted.paths) == [40 * G, 80 * G]


@pytest.mark.parametrize("gbps", [150, 200, 50, 40, 1])
@virtual
async def test_of_another_bandwidth_as_large_a_part_survives(gbps: int) -> None:
    async with Orchestrated(sites("m1", "m2")) as world:
        one = await world.start()
        limits = pb.Constraints(max_paths=4, survive=1)
        record = await one.reserve(wanted(100, "first", constraints=limits))
        changed = await one.modify(record.reservation_id, "second", gbps)
        assert changed.modified
        assert changed.criteria.constraints.remaining_bps == gbps * G // 2
        assert [path.bandwidth_bps for path in changed.paths] == [gbps * G // 2] * 2


@virtual
async def test_a_refused_change_tells_how_much_survives_as_well() -> None:
    async with Orchestrated(sites("m1", "m2")) as world:
        one = await world.start()
        await one.reserve(wanted(60, "other"))
        limits = pb.Constraints(max_paths=4, survive=1)
        record = await one.reserve(wanted(40, "first", constraints=limits))
        refused = await one.modify(record.reservation_id, "second", 100)
        assert not refused.modified
        (narrow,) = refused.alternatives
        assert (narrow.kind, narrow.token) == (pb.ALTERNATIVE_KIND_LARGEST_BANDWIDTH, "")
        assert narrow.request.bandwidth_bps == 80 * G
        granted = await one.modify(record.reservation_id, "third", 80)
        assert granted.modified


@virtual
async def test_of_a_single_bit_nothing_can_survive() -> None:
    async with Orchestrated(sites("m1", "m2")) as world:
        one = await world.start()
        limits = pb.Constraints(max_paths=4, survive=1)
        record = await one.reserve(wanted(40, "first", constraints=limits))
        change = pb.ModifyRequest(
            reservation_id=record.reservation_id, request_id="second", bandwidth_bps=1
        )
        with pytest.raises(RequestError, match="bandwidth_bps: given 1, possible: 2 bit/s or more"):
            await one.reservations.Modify(change, NO_CONTEXT)
