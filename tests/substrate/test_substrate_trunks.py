"""Plans over networks where domains swap labels or split, in any mixture."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations, pairwise, product
from typing import Any

import pytest
from hypothesis import given, strategies as st
from substrate_world import Link, ask, network, routes_of

from substrate.labels import Plan, assign_labels
from substrate.model import Constraints, Refusal, RefusalKind, Segment
from substrate.options import Supply
from substrate.splitting import Share
from substrate.topology import Topology
from substrate.vlans import VlanSet

G = 10**9
HOSTS = {"a": 1000 * G, "z": 1000 * G}
End = tuple[str, int]


def ends(segment: Segment) -> tuple[End, End]:
    return (
        (segment.ingress_stp, segment.ingress_vlan),
        (segment.egress_stp, segment.egress_vlan),
    )


def check(plan: Plan, topology: Topology, shares: tuple[Share, ...]) -> None:
    """All that the domains rely on, recomputed from paths and segments."""
    assert [path.bandwidth_bps for path in plan.paths] == [share.bandwidth_bps for share in shares]
    for path, share in zip(plan.paths, shares, strict=True):
        assert [(h.ingress_stp, h.egress_stp) for h in path.hops] == list(share.route.pairs)
        for hop in path.hops:
            same = hop.ingress_vlan == hop.egress_vlan
            assert same or topology.domains[hop.domain].swaps_labels
        for left, right in pairwise(path.hops):
            assert left.egress_vlan == right.ingress_vlan
    slots = [slot for path in plan.paths for slot in path.flow_slots]
    assert sorted(slots) == list(range(len(slots)))
    for name, segments in plan.segments.items():
        _check_domain(plan, name, segments, topology.domains[name].splits)


def _check_domain(plan: Plan, name: str, segments: tuple[Segment, ...], splits: bool) -> None:
    expected: dict[tuple[End, End], list[int]] = defaultdict(lambda: [0])
    for path in plan.paths:
        for hop in path.hops:
            if hop.domain == name:
                key = ((hop.ingress_stp, hop.ingress_vlan), (hop.egress_stp, hop.egress_vlan))
                expected[key][0] += path.bandwidth_bps
                expected[key] += path.flow_slots
    found = {ends(s): [s.bandwidth_bps, *s.flow_slots] for s in segments}
    assert len(found) == len(segments)
    assert len({s.segment_id for s in segments}) == len(segments)
    assert {key: [value[0], *sorted(value[1:])] for key, value in expected.items()} == found
    for one, other in combinations(segments, 2):
        assert not set(ends(one)) & set(ends(other)) or splits, (name, one, other)


def ways(topology: Topology, *names: str, **limits: object) -> tuple[Share, ...]:
    """Shares over the routes with these domains, one letter each."""
    routes = {"".join(r.domains): r for r in routes_of(topology, ask(1), 300)}
    return tuple(Share(routes[name], 10 * (i + 1)) for i, name in enumerate(names))


def labelled(
    topology: Topology, shares: tuple[Share, ...], supply: Supply | None = None, **limits: object
) -> Plan:
    wish = ask(sum(share.bandwidth_bps for share in shares), constraints=Constraints(**limits))  # type: ignore[arg-type]
    outcome = assign_labels(wish, shares, supply or Supply(), topology)
    assert isinstance(outcome, Plan), outcome
    check(outcome, topology, shares)
    return outcome


NAMES = "abcdez"


@st.composite
def splits(draw: st.DrawFn) -> tuple[Topology, tuple[Share, ...]]:
    edges = draw(st.lists(st.sampled_from(list(combinations(NAMES, 2))), min_size=4, max_size=10))
    topology = network(
        [Link("a", "b"), Link("b", "z")]
        + [Link(x, y, tag=f".{i}") for i, (x, y) in enumerate(edges)],
        hosts=HOSTS,
        swapping=draw(st.sets(st.sampled_from(NAMES))),
        splitting=draw(st.sets(st.sampled_from(NAMES))),
    )
    routes = routes_of(topology, ask(1), 40)
    chosen = draw(st.lists(st.sampled_from(routes), min_size=1, max_size=4, unique=True))
    amounts = draw(st.lists(st.integers(1, 9), min_size=len(chosen), max_size=len(chosen)))
    return topology, tuple(Share(r, bps) for r, bps in zip(chosen, amounts, strict=True))


@given(splits(), st.integers(0, 10**6))
def test_every_plan_is_one_that_the_domains_can_carry_out(
    split: tuple[Topology, tuple[Share, ...]], start: int
) -> None:
    topology, shares = split
    outcome = assign_labels(ask(1), shares, Supply(), topology, start=start)
    assert isinstance(outcome, Plan), "there are a hundred VLANs"
    check(outcome, topology, shares)


@given(splits(), st.integers(0, 10**6))
def test_the_start_changes_numbers_and_nothing_else(
    split: tuple[Topology, tuple[Share, ...]], start: int
) -> None:
    topology, shares = split
    one = assign_labels(ask(1), shares, Supply(), topology)
    other = assign_labels(ask(1), shares, Supply(), topology, start=start)
    assert isinstance(one, Plan)
    assert isinstance(other, Plan)

    def shape(plan: Plan) -> list[tuple[str, int]]:
        return [(name, len(segments)) for name, segments in plan.segments.items()]

    assert shape(one) == shape(other)
    assert [path.flow_slots for path in one.paths] == [path.flow_slots for path in other.paths]


@given(splits(), st.data())
def test_a_plan_is_refused_only_when_there_is_none(
    split: tuple[Topology, tuple[Share, ...]], data: st.DataObject
) -> None:
    """Domains neither swap nor split here: one VLAN per path, found by trying them all."""
    plain, shares = split
    topology = network(
        [Link(k.a_stp[0], k.b_stp[0], tag=k.a_stp.partition(k.b_stp[0])[2]) for k in plain.links],
        hosts=HOSTS,
    )
    some = st.sets(st.integers(100, 103), min_size=1)
    free = {p.stp: VlanSet.of(*data.draw(some)) for d in topology.domains.values() for p in d.ports}
    outcome = assign_labels(ask(1), shares, Supply(port_vlans=free), topology)
    ports = [{stp for pair in share.route.pairs for stp in pair} for share in shares]
    possible = [
        vlans
        for vlans in product(range(100, 104), repeat=len(shares))
        if all(v in free[stp] for v, own in zip(vlans, ports, strict=True) for stp in own)
        and all(
            vlans[i] != vlans[j] or not ports[i] & ports[j]
            for i, j in combinations(range(len(shares)), 2)
        )
    ]
    if isinstance(outcome, Refusal):
        assert outcome.kind is RefusalKind.LABEL
        assert topology.port(outcome.resource) is not None
        assert outcome.resource in outcome.reason
        assert outcome.domain == outcome.resource[0]
        assert not possible
    else:
        check(outcome, topology, shares)
        assert tuple(path.hops[0].ingress_vlan for path in outcome.paths) in possible


def test_a_trunk_does_not_carry_its_vlan_to_where_nobody_splits() -> None:
    """y splits without swapping; x behind it cannot split, so its two paths stay apart."""
    links = [Link("a", "y"), Link("y", "x"), Link("x", "b"), Link("x", "c"), Link("y", "d")]
    links += [Link(name, "z") for name in "bcd"]
    topology = network(links, hosts=HOSTS, splitting="yz")
    plan = labelled(topology, ways(topology, "ayxbz", "ayxcz", "aydz"))
    assert len({ends(segment)[0] for segment in plan.segments["x"]}) == 2
    assert len(plan.segments["a"]) == 2, "one of the two shares a trunk with the third"


def test_paths_of_one_trunk_do_not_meet_again_with_one_vlan_where_nobody_joins() -> None:
    links = [Link("a", "b"), Link("b", "c"), Link("a", "d"), Link("d", "c")]
    links += [Link("c", "e"), Link("e", "z")]
    topology = network(links, hosts=HOSTS, splitting="a")
    plan = labelled(topology, ways(topology, "abcez", "adcez"))
    assert len(plan.segments["c"]) == len(plan.segments["a"]) == 2
    assert len({ends(segment)[1] for segment in plan.segments["c"]}) == 2


def test_without_an_exchange_at_the_far_end_paths_arrive_apart() -> None:
    links = [Link(x, y) for x in "az" for y in "bc"]
    swapless = network(links, hosts=HOSTS, splitting="a")
    plan = labelled(swapless, ways(swapless, "abz", "acz"))
    assert len({ends(segment)[1] for segment in plan.segments["z"]}) == 2
    swapping = network(links, hosts=HOSTS, splitting="a", swapping="a")
    plan = labelled(swapping, ways(swapping, "abz", "acz"))
    assert len({ends(segment)[0] for segment in plan.segments["a"]}) == 1


def test_nested_trunks_merge_stage_by_stage() -> None:
    links = [Link("a", "y"), Link("y", "x"), Link("x", "b"), Link("x", "c"), Link("y", "d")]
    links += [Link(name, "z") for name in "bcd"]
    topology = network(links, hosts=HOSTS, splitting="axyz", swapping="axyz")
    plan = labelled(topology, ways(topology, "ayxbz", "ayxcz", "aydz"))
    assert [s.bandwidth_bps for s in plan.segments["a"]] == [60]
    assert sorted(s.bandwidth_bps for s in plan.segments["y"]) == [30, 30]
    assert sorted(s.bandwidth_bps for s in plan.segments["x"]) == [10, 20]


@pytest.mark.parametrize("exchanges", ["", "mn", "amnz"])
def test_a_link_in_the_middle_is_never_a_trunk(exchanges: str) -> None:
    links = [Link("a", "b"), Link("a", "c"), Link("b", "m"), Link("c", "m"), Link("m", "n")]
    links += [Link("n", "d"), Link("n", "e"), Link("d", "z"), Link("e", "z")]
    topology = network(links, hosts=HOSTS, swapping=exchanges, splitting=exchanges)
    plan = labelled(topology, ways(topology, "abmndz", "acmnez"))
    first, second = ({h.egress_stp: h.egress_vlan for h in path.hops} for path in plan.paths)
    assert first["m:to-n"] != second["m:to-n"]


def test_a_trunk_is_given_up_where_its_paths_have_no_vlan_in_common() -> None:
    links = [Link(x, y) for x in "az" for y in "bc"]
    topology = network(links, hosts=HOSTS, splitting="az")
    shares = ways(topology, "abz", "acz")
    apart = Supply(port_vlans={"b:to-a": VlanSet.of(120), "c:to-a": VlanSet.of(130)})
    plan = labelled(topology, shares, apart)
    assert {path.hops[0].ingress_vlan for path in plan.paths} == {120, 130}
    assert len(labelled(topology, shares).segments["z"]) == 2
    assert len({path.hops[0].ingress_vlan for path in labelled(topology, shares).paths}) == 1


def test_wishes_of_both_ends_meet_in_a_domain_that_swaps() -> None:
    links = [Link("a", "b"), Link("b", "z")]
    wishes: dict[str, Any] = {
        "source_vlans": VlanSet.of(110, 111),
        "destination_vlans": VlanSet.of(111, 112),
    }
    plain = network(links, hosts=HOSTS)
    hops = labelled(plain, ways(plain, "abz"), **wishes).paths[0].hops
    assert {hops[0].ingress_vlan, hops[-1].egress_vlan} == {111}
    wishes["destination_vlans"] = VlanSet.of(112)
    swapping = network(links, hosts=HOSTS, swapping="b")
    hops = labelled(swapping, ways(swapping, "abz"), **wishes).paths[0].hops
    assert (hops[0].ingress_vlan, hops[-1].egress_vlan) == (110, 112)
    refused = assign_labels(
        ask(1, constraints=Constraints(**wishes)), ways(plain, "abz"), Supply(), plain
    )
    assert isinstance(refused, Refusal)
    assert refused.kind is RefusalKind.LABEL


def test_a_banned_vlan_is_not_used_even_when_it_was_preferred() -> None:
    topology = network([Link("a", "z")], hosts=HOSTS)
    shares = ways(topology, "az")
    preferred = {p.stp: VlanSet.of(150) for d in topology.domains.values() for p in d.ports}
    kept = assign_labels(ask(1), shares, Supply(), topology, preferred)
    assert isinstance(kept, Plan)
    assert kept.paths[0].hops[0].ingress_vlan == 150
    banned = Supply(banned_vlans={"z:to-a": VlanSet.of(150)})
    moved = assign_labels(ask(1), shares, banned, topology, preferred)
    assert isinstance(moved, Plan)
    assert moved.paths[0].hops[0].ingress_vlan == 100
