"""Several destinations: one plan for all legs, which together take no more than there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from hypothesis import given, strategies as st
from substrate_world import G, Link, ask, network

from substrate.labels import Plan, assign_labels
from substrate.legs import ORDERS_MAX, TRIES_MAX, by_destination, leg_of, legs_of, plan_legs
from substrate.model import (
    Constraints,
    Criteria,
    Directionality,
    Refusal,
    RefusalKind,
    Strategy,
)
from substrate.options import Pair, Supply
from substrate.routes import Route, candidate_routes
from substrate.splitting import compose
from substrate.topology import Topology
from substrate.vlans import VlanSet

MIDDLES = "bcd"
ENDS = ("x:host", "y:host", "z:host")


def star(
    capacities: Mapping[str, int] | None = None, hub_bps: int = 1000 * G, **more: Any
) -> Topology:
    """The hub a, joined with x, y and z through each of b, c, d; ``capacities``: of links "ab"."""
    known = capacities or {}
    links = [Link("a", m, known.get(f"a{m}", 100 * G)) for m in MIDDLES]
    links += [Link(m, end[0], known.get(m + end[0], 100 * G)) for m in MIDDLES for end in ENDS]
    hosts = {"a": hub_bps, **{end[0]: 1000 * G for end in ENDS}}
    sites = "a" + "".join(end[0] for end in ENDS)
    return network(links, hosts=hosts, **{"splitting": sites, "swapping": sites, **more})


def open_supply(topology: Topology, told: Mapping[Pair, int] | None = None) -> Supply:
    """Every way through a visible domain is open, but for those told of."""
    pairs = {
        (one.stp, other.stp): 1000 * G
        for domain in topology.domains.values()
        for one in domain.ports
        for other in domain.ports
        if domain.visible and one is not other
    }
    return Supply(pair_bps={**pairs, **(told or {})})


def joining(bandwidth_bps: int, *ends: str, **more: Any) -> Criteria:
    first, *others = ends or ENDS
    wish = ask(bandwidth_bps, destination=first, **more)
    return replace(wish, more_destinations=tuple(others))


def routes_of(topology: Topology, criteria: Criteria) -> tuple[Route, ...]:
    return tuple(
        route
        for leg in legs_of(criteria)
        for route in candidate_routes(topology, leg.source, leg.destination, leg.constraints)
    )


def plan(criteria: Criteria, topology: Topology, supply: Supply, start: int = 0) -> Plan | Refusal:
    own = by_destination(criteria, routes_of(topology, criteria))

    def plan_leg(leg: Criteria, free: Supply) -> Plan | Refusal:
        shares = compose(leg, own[leg.destination], free, topology)
        if isinstance(shares, Refusal):
            return shares
        return assign_labels(leg, shares, free, topology, start=start)

    return plan_legs(criteria, supply, topology, plan_leg)


def planned(criteria: Criteria, topology: Topology, supply: Supply) -> Plan:
    found = plan(criteria, topology, supply)
    assert isinstance(found, Plan), found
    return found


def carried(found: Plan) -> dict[str, int]:
    """bit/s to each destination."""
    total: Counter[str] = Counter()
    for path in found.paths:
        total[path.hops[-1].egress_stp] += path.bandwidth_bps
    return dict(total)


def test_every_destination_gets_all_of_the_bandwidth_in_one_part_per_domain() -> None:
    topology = star()
    found = planned(joining(60 * G), topology, open_supply(topology))
    assert carried(found) == dict.fromkeys(ENDS, 60 * G)
    hub = found.segments["a"]
    assert sum(segment.bandwidth_bps for segment in hub) == 180 * G
    for segments in found.segments.values():
        ids = [segment.segment_id for segment in segments]
        assert ids == [f"s{number}" for number in range(1, len(ids) + 1)]
    assert [path.hops[-1].egress_stp for path in found.paths] == list(ENDS)
    assert {leg_of(segment, found) for segment in hub} == set(ENDS)


def test_a_leg_goes_around_what_others_have_taken() -> None:
    topology = star()
    found = planned(joining(60 * G), topology, open_supply(topology))
    assert {path.hops[1].domain for path in found.paths} == set(MIDDLES)


def test_a_leg_is_split_with_flow_slots_of_its_own() -> None:
    topology = star({"ab": 60 * G, "ac": 60 * G, "ad": 60 * G})
    found = planned(joining(80 * G, "x:host", "y:host"), topology, open_supply(topology))
    assert carried(found) == {"x:host": 80 * G, "y:host": 80 * G}
    for stp in ("x:host", "y:host"):
        own = [path for path in found.paths if path.hops[-1].egress_stp == stp]
        assert len(own) == 2
        assert len({path.hops[0].ingress_vlan for path in own}) == 1
        slots = sorted(slot for path in own for slot in path.flow_slots)
        assert slots == list(range(len(slots)))


def test_legs_share_no_vlan_at_the_hub() -> None:
    topology = star()
    found = planned(joining(1 * G), topology, open_supply(topology))
    vlans = [path.hops[0].ingress_vlan for path in found.paths]
    assert len(set(vlans)) == 3


def test_vlans_said_of_the_source_are_for_all_legs_and_those_of_the_destination_for_each() -> None:
    topology = star()
    limits = Constraints(source_vlans=VlanSet.of(110, 111, 112), destination_vlans=VlanSet.of(150))
    found = planned(joining(1 * G, constraints=limits), topology, open_supply(topology))
    assert {path.hops[0].ingress_vlan for path in found.paths} == {110, 111, 112}
    assert {path.hops[-1].egress_vlan for path in found.paths} == {150}
    two = replace(limits, source_vlans=VlanSet.of(110, 111))
    refusal = plan(joining(1 * G, constraints=two), topology, open_supply(topology))
    assert isinstance(refusal, Refusal)
    assert refusal.kind is RefusalKind.LABEL
    assert refusal.reason.startswith("to z:host beside x:host and y:host: no VLAN is free")


def test_another_order_is_tried_where_an_earlier_leg_is_in_the_way() -> None:
    # Only by b does y have a way; x, which comes first, would rather go there too.
    topology = star({"by": 60 * G})
    told = {("c:to-a", "c:to-y"): 0, ("d:to-a", "d:to-y"): 0, ("a:host", "a:to-b"): 60 * G}
    straight = Constraints(max_domains=3)
    criteria = joining(60 * G, "x:host", "y:host", constraints=straight)
    found = planned(criteria, topology, open_supply(topology, told))
    ways = {path.hops[-1].egress_stp: path.hops[1].domain for path in found.paths}
    assert ways["y:host"] == "b"
    assert ways["x:host"] != "b"
    assert [path.hops[-1].egress_stp for path in found.paths] == ["x:host", "y:host"]


def test_of_two_legs_the_one_that_must_have_a_vlan_gets_it() -> None:
    topology = network(
        [Link("a", "x"), Link("a", "y", vlans=VlanSet.of(100))],
        hosts={"a": 100 * G, "x": 100 * G, "y": 100 * G},
    )
    found = planned(joining(1 * G, "x:host", "y:host"), topology, open_supply(topology))
    vlans = {path.hops[-1].egress_stp: path.hops[0].ingress_vlan for path in found.paths}
    assert vlans["y:host"] == 100
    assert vlans["x:host"] != 100


def test_a_leg_that_fits_in_no_order_is_refused_alone() -> None:
    topology = star({"by": 10 * G, "cy": 10 * G, "dy": 10 * G})
    refusal = plan(joining(40 * G), topology, open_supply(topology))
    assert isinstance(refusal, Refusal)
    assert refusal.kind is RefusalKind.BANDWIDTH
    assert refusal.reason.startswith("to y:host: 40 Gb/s was asked for")
    assert refusal.available_bps == 30 * G


def test_legs_that_fit_only_apart_are_refused_with_the_name_of_the_one_too_much() -> None:
    topology = star(hub_bps=100 * G)
    refusal = plan(joining(40 * G), topology, open_supply(topology))
    assert isinstance(refusal, Refusal)
    assert refusal.kind is RefusalKind.BANDWIDTH
    assert refusal.reason.startswith("to z:host beside x:host and y:host: ")
    assert "a:host" in refusal.reason
    assert refusal.available_bps is None


def test_no_more_than_a_few_orders_are_tried() -> None:
    topology = star(hub_bps=100 * G)
    criteria = joining(40 * G)
    own = by_destination(criteria, routes_of(topology, criteria))
    tries = []

    def plan_leg(leg: Criteria, free: Supply) -> Plan | Refusal:
        tries.append(leg.destination)
        shares = compose(leg, own[leg.destination], free, topology)
        return shares if isinstance(shares, Refusal) else assign_labels(leg, shares, free, topology)

    assert isinstance(plan_legs(criteria, open_supply(topology), topology, plan_leg), Refusal)
    assert len(tries) <= ORDERS_MAX * 3


def test_equal_parts_of_all_legs_keep_within_the_ports() -> None:
    topology = star(hub_bps=100 * G)
    equal = partial(joining, strategy=Strategy.EQUAL_SPLITTING)
    fits = planned(equal(33 * G), topology, Supply())
    assert carried(fits) == dict.fromkeys(ENDS, 33 * G)
    assert isinstance(plan(equal(34 * G), topology, Supply()), Refusal)


def test_one_destination_is_planned_as_ever() -> None:
    topology = star()
    criteria, supply = joining(150 * G, "x:host"), open_supply(topology)
    routes = routes_of(topology, criteria)
    shares = compose(criteria, routes, supply, topology)
    assert not isinstance(shares, Refusal)
    assert plan(criteria, topology, supply) == assign_labels(criteria, shares, supply, topology)


CAPACITIES = st.sampled_from([10 * G, 40 * G, 60 * G, 100 * G])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Topology, Supply, Criteria]:
    """Any room on links, ports and ways inside; any limits."""
    names = [f"a{m}" for m in MIDDLES] + [m + end[0] for m in MIDDLES for end in ENDS]
    capacities = {name: draw(CAPACITIES) for name in names}
    topology = star(
        capacities,
        hub_bps=draw(st.sampled_from([90, 200, 1000])) * G,
        blind=draw(st.sampled_from(["", "b", "a"])),
        host_vlans=VlanSet.from_ranges([(100, draw(st.integers(101, 110)))]),
    )
    supply = open_supply(topology)
    inside = sorted(supply.pair_bps)
    told = draw(st.dictionaries(st.sampled_from(inside), CAPACITIES, max_size=8))
    ports = draw(st.dictionaries(st.sampled_from(sorted(topology.ports)), CAPACITIES, max_size=5))
    supply = replace(supply, pair_bps={**supply.pair_bps, **told}, port_bps=ports)
    constraints = Constraints(
        max_paths=draw(st.integers(1, 3)),
        survive=draw(st.sampled_from([0, 0, 0, 1])),
        remaining_bps=1,
    )
    strategy = Strategy.AUTO
    if not constraints.survive:
        strategy = draw(st.sampled_from(Strategy))
    ends = draw(st.permutations(ENDS))[: draw(st.integers(2, 3))]
    criteria = joining(
        draw(st.integers(2, 60)) * G, *ends, strategy=strategy, constraints=constraints
    )
    way = draw(st.sampled_from(Directionality))
    return topology, supply, replace(criteria, directionality=way)


@given(worlds(), st.integers(0, 100))
def test_legs_together_take_no_more_than_there_is_and_no_vlan_twice(
    world: tuple[Topology, Supply, Criteria], start: int
) -> None:
    topology, supply, criteria = world
    found = plan(criteria, topology, supply, start)
    if isinstance(found, Refusal):
        assert any(f"to {stp}" in found.reason for stp in criteria.destinations)
        return
    assert carried(found) == dict.fromkeys(criteria.destinations, criteria.bandwidth_bps)
    ports: Counter[str] = Counter()
    pairs: Counter[Pair] = Counter()
    users: dict[tuple[str, int], set[str]] = {}
    for domain, segments in found.segments.items():
        for s in segments:
            pairs[s.ingress_stp, s.egress_stp] += s.bandwidth_bps
            for stp, vlan in ((s.ingress_stp, s.ingress_vlan), (s.egress_stp, s.egress_vlan)):
                ports[stp] += s.bandwidth_bps
                users.setdefault((stp, vlan), set()).add(leg_of(s, found))
                assert vlan in topology.ports[stp].vlans
        on_paths = sum(
            path.bandwidth_bps for path in found.paths for hop in path.hops if hop.domain == domain
        )
        assert sum(segment.bandwidth_bps for segment in segments) == on_paths
    for stp, bps in ports.items():
        capacity_bps = topology.ports[stp].capacity_bps
        assert bps <= min(capacity_bps, supply.port_bps.get(stp, capacity_bps))
    if criteria.strategy is not Strategy.EQUAL_SPLITTING:
        for pair, bps in pairs.items():
            if pair in supply.pair_bps and pair[0][0] not in topology.blind:
                assert bps <= supply.pair_bps[pair]
    assert all(len(legs) == 1 for legs in users.values())
    for stp in criteria.destinations:
        own = [path for path in found.paths if path.hops[-1].egress_stp == stp]
        assert len(own) <= criteria.constraints.max_paths
        slots = [slot for path in own for slot in path.flow_slots]
        assert sorted(slots) == list(range(len(slots)))


def test_of_many_legs_few_are_named_and_few_orders_are_tried() -> None:
    names = [f"e{i}" for i in range(16)]
    topology = network(
        [Link("a", "b"), *(Link("b", name) for name in names)],
        hosts={"a": 1000 * G, **dict.fromkeys(names, 100 * G)},
        host_vlans=VlanSet.parse("100-199"),
    )
    tries: list[str] = []
    criteria = joining(7 * G, *(f"{name}:host" for name in names))
    own = by_destination(criteria, routes_of(topology, criteria))

    def plan_leg(leg: Criteria, free: Supply) -> Plan | Refusal:
        tries.append(leg.destination)
        shares = compose(leg, own[leg.destination], free, topology)
        return shares if isinstance(shares, Refusal) else assign_labels(leg, shares, free, topology)

    refusal = plan_legs(criteria, open_supply(topology), topology, plan_leg)
    assert isinstance(refusal, Refusal)
    beside = "beside e0:host and e1:host and e2:host and 11 others: 7 Gb/s was asked for"
    assert refusal.reason.startswith(f"to e14:host {beside}")
    assert len(tries) < TRIES_MAX + len(names)
