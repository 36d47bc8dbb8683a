"""Labels and segments of a plan: agreed hop by hop, trunks only where somebody splits."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, strategies as st
from maps import VLANS, build, criteria, figure_6a

from substrate.labels import Plan, assign_labels
from substrate.model import Criteria, Refusal, RefusalKind
from substrate.options import Supply
from substrate.routes import candidate_routes
from substrate.slots import SLOTS_MAX, share_slots
from substrate.splitting import Share
from substrate.topology import Topology
from substrate.vlans import VlanSet


def shares_of(topology: Topology, wish: Criteria, amounts: list[int]) -> tuple[Share, ...]:
    routes = candidate_routes(topology, wish.source, wish.destination, wish.constraints)
    return tuple(
        Share(route, bps, route.latency_us) for route, bps in zip(routes, amounts, strict=False)
    )


def plan(
    topology: Topology, amounts: list[int], ends: str = "az", known: Supply | None = None,
    **more: object,
) -> Plan:  # fmt: skip
    wish = criteria(f"{ends[0]}:user", f"{ends[-1]}:user", sum(amounts))
    outcome = assign_labels(
        wish,
        shares_of(topology, wish, amounts),
        known or Supply(),
        topology,
        **more,  # type: ignore[arg-type]
    )
    assert isinstance(outcome, Plan), outcome
    check(outcome, topology)
    return outcome


def check(made: Plan, topology: Topology) -> None:
    """What every plan must keep."""
    slots = sorted(slot for path in made.paths for slot in path.flow_slots)
    count = next(iter(made.segments.values()))[0].slot_count
    assert slots == list(range(count))
    for path in made.paths:
        for hop in path.hops:
            if not topology.domains[hop.domain].swaps_labels:
                assert hop.ingress_vlan == hop.egress_vlan
        for left, right in zip(path.hops, path.hops[1:], strict=False):
            link = topology.link_at(left.egress_stp)
            assert link is not None
            assert link.other(left.egress_stp) == right.ingress_stp
            assert left.egress_vlan == right.ingress_vlan
    for name, segments in made.segments.items():
        crossing = [(path, hop) for path in made.paths for hop in path.hops if hop.domain == name]
        assert sum(s.bandwidth_bps for s in segments) == sum(p.bandwidth_bps for p, _ in crossing)
        ends: dict[tuple[str, int], list[int]] = defaultdict(list)
        for s in segments:
            for end in ((s.ingress_stp, s.ingress_vlan), (s.egress_stp, s.egress_vlan)):
                ends[end] += s.flow_slots
        for end, taken in ends.items():
            assert len(taken) == len(set(taken)), end
            users = sum(end in _ends(s) for s in segments)
            assert users == 1 or topology.domains[name].splits


def _ends(segment: object) -> set[tuple[str, int]]:
    s = segment
    return {
        (s.ingress_stp, s.ingress_vlan),  # type: ignore[attr-defined]
        (s.egress_stp, s.egress_vlan),  # type: ignore[attr-defined]
    }


def test_one_path_has_one_segment_per_domain() -> None:
    made = plan(figure_6a(), [50], "ad")
    assert all(len(segments) == 1 for segments in made.segments.values())
    assert made.paths[0].flow_slots == (0,)
    assert not made.depends_on_blind


def test_in_figure_6a_the_exchange_splits_one_trunk_and_joins_it_again() -> None:
    made = plan(figure_6a(), [100, 50], "ad")
    assert len(made.segments["a"]) == 1
    assert made.segments["a"][0].bandwidth_bps == 150
    assert made.segments["a"][0].flow_slots == (0, 1, 2)
    split = made.segments["rn1"]
    assert len({(s.ingress_stp, s.ingress_vlan) for s in split}) == 1
    assert {s.egress_stp for s in split} == {"rn1:e4", "rn1:e5"}
    assert sorted(len(s.flow_slots) for s in split) == [1, 2]
    joined = made.segments["rn3"]
    assert len({(s.egress_stp, s.egress_vlan) for s in joined}) == 1
    assert len(made.segments["d"]) == 1


def test_without_an_exchange_each_path_has_a_vlan_of_its_own_from_end_to_end() -> None:
    topology = build([("a", "b", 1), ("b", "z", 1), ("a", "c", 1), ("c", "z", 1)], "az")
    made = plan(topology, [50, 50])
    assert len(made.segments["a"]) == 2
    ends = {(path.hops[0].ingress_vlan, path.hops[-1].egress_vlan) for path in made.paths}
    assert len(ends) == 2


def test_nested_trunks_split_one_after_the_other() -> None:
    edges = [("a", "x", 1), ("x", "y", 1), ("y", "b", 1), ("y", "c", 1), ("x", "d", 2)]
    edges += [("b", "z", 1), ("c", "z", 1), ("d", "z", 1)]
    made = plan(build(edges, "az", exchanges="xyz"), [30, 30, 30])
    assert len(made.segments["a"]) == 1
    assert sorted(s.bandwidth_bps for s in made.segments["x"]) == [30, 60]
    assert sorted(s.bandwidth_bps for s in made.segments["y"]) == [30, 30]
    assert len({(s.egress_stp, s.egress_vlan) for s in made.segments["z"]}) == 1


def test_paths_that_share_a_link_in_the_middle_have_different_vlans_there() -> None:
    edges = [("a", "b", 1), ("a", "c", 2), ("b", "m", 1), ("c", "m", 2)]
    edges += [("m", "n", 1), ("n", "d", 1), ("n", "e", 2), ("d", "z", 1), ("e", "z", 2)]
    topology = build(edges, "az", exchanges="amnz")
    wish = criteria("a:user", "z:user", 20)
    routes = candidate_routes(topology, wish.source, wish.destination, wish.constraints)
    straight = next(r for r in routes if r.domains == ("a", "b", "m", "n", "d", "z"))
    bent = next(r for r in routes if r.domains == ("a", "c", "m", "n", "e", "z"))
    shares = (Share(straight, 10), Share(bent, 10))
    made = assign_labels(wish, shares, Supply(), topology)
    assert isinstance(made, Plan)
    check(made, topology)
    middle = [hop for path in made.paths for hop in path.hops if hop.domain == "n"]
    assert middle[0].ingress_stp == middle[1].ingress_stp
    assert middle[0].ingress_vlan != middle[1].ingress_vlan


def test_offered_banned_and_wished_vlans_are_kept() -> None:
    topology = figure_6a()
    known = Supply(
        port_vlans={"rn1:e0": VlanSet.of(120, 121)},
        banned_vlans={"a:e0": VlanSet.of(120)},
    )
    made = plan(topology, [10], "ad", known)
    assert made.paths[0].hops[0].egress_vlan == 121
    wish = criteria(
        "a:user", "d:user", 10, source_vlans=VlanSet.of(121), destination_vlans=VlanSet.of(140)
    )
    outcome = assign_labels(wish, shares_of(topology, wish, [10]), known, topology)
    assert isinstance(outcome, Plan)
    hops = outcome.paths[0].hops
    assert (hops[0].ingress_vlan, hops[-1].egress_vlan) == (121, 140)


def test_labels_in_use_are_preferred_and_the_start_only_turns_the_rest() -> None:
    topology = figure_6a()
    first = plan(topology, [10], "ad", start=7)
    assert first.paths[0].hops[0].ingress_vlan == 107
    preferred = {
        stp: VlanSet.of(vlan)
        for hop in first.paths[0].hops
        for stp, vlan in ((hop.ingress_stp, hop.ingress_vlan), (hop.egress_stp, hop.egress_vlan))
    }
    again = plan(topology, [10], "ad", preferred=preferred, start=31)
    assert again.paths[0].hops == first.paths[0].hops


@given(
    st.lists(st.sets(st.integers(100, 120)), min_size=6, max_size=6),
    st.sets(st.sampled_from(["b", "c"])),
    st.sets(st.integers(100, 120)),
    st.integers(0, 100),
)
def test_one_path_takes_from_the_start_on_what_is_free_between_two_that_swap(
    free: list[set[int]], exchanges: set[str], wished: set[int], start: int
) -> None:
    topology = build([("a", "b", 1), ("b", "c", 1), ("c", "z", 1)], "az", exchanges=exchanges)
    wish = criteria("a:user", "z:user", 1, source_vlans=VlanSet.of(*wished))
    stps = ["a:user", "a:e0", "b:e0", "b:e1", "c:e1", "c:e2"]
    known = Supply(port_vlans={s: VlanSet.of(*f) for s, f in zip(stps, free, strict=True)})
    outcome = assign_labels(wish, shares_of(topology, wish, [1]), known, topology, start=start)
    places = [set(free[0]), free[1] & free[2], free[3] & free[4], set(free[5])]
    places[0] &= wished or places[0]
    runs = [[0]]
    for place, domain in enumerate("abc", start=1):
        runs.append([place]) if domain in exchanges else runs[-1].append(place)
    common = [sorted(set.intersection(*(places[place] for place in run))) for run in runs]
    if not all(common):
        assert isinstance(outcome, Refusal)
        return
    assert isinstance(outcome, Plan)
    check(outcome, topology)
    hops = outcome.paths[0].hops
    found = [hops[0].ingress_vlan, *(hop.egress_vlan for hop in hops)]
    for run, vlans in zip(runs, common, strict=True):
        assert found[run[0]] == vlans[start % len(vlans)]


def test_where_no_vlan_is_left_the_port_is_named() -> None:
    topology = figure_6a()
    wish = criteria("a:user", "d:user", 10)
    known = Supply(port_vlans={"rn1:e0": VlanSet()})
    refused = assign_labels(wish, shares_of(topology, wish, [10]), known, topology)
    assert isinstance(refused, Refusal)
    assert refused.kind is RefusalKind.LABEL
    assert refused.resource in ("a:e0", "rn1:e0")
    assert "rn1:e0" in refused.reason


def test_two_vlans_for_three_paths_do_not_suffice() -> None:
    edges = [("a", "b", 1)] + [("b", "z", i) for i in range(3)]
    topology = build(edges, "az", vlans=VlanSet.of(1, 2), exchanges="b")
    wish = criteria("a:user", "z:user", 30)
    refused = assign_labels(wish, shares_of(topology, wish, [10, 10, 10]), Supply(), topology)
    assert isinstance(refused, Refusal)
    assert refused.kind is RefusalKind.LABEL


def test_a_blind_domain_on_the_way_is_said() -> None:
    made = plan(figure_6a(blind=["re1", "re2"]), [50], "ad")
    assert made.depends_on_blind


def test_tokens_travel_with_the_segments_they_were_offered_for() -> None:
    topology = figure_6a()
    made = plan(topology, [10], "ad", Supply(tokens={("a:user", "a:e0"): "token-1"}))
    assert made.segments["a"][0].token == "token-1"
    assert made.segments["d"][0].token == ""


@given(
    st.lists(st.integers(1, 100), min_size=1, max_size=4),
    st.sets(st.sampled_from(["a", "b", "c", "d", "e", "z"])),
    st.integers(0, 10**9),
)
def test_any_split_over_parallel_domains_is_labelled_soundly(
    amounts: list[int], exchanges: set[str], start: int
) -> None:
    names = "bcde"[: len(amounts)]
    edges = [(side, name, 1) for name in names for side in ("a", "z")]
    plan(build(edges, "az", exchanges=exchanges), amounts, start=start)


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=16))
def test_slots_are_shared_in_proportion_and_everybody_gets_one(bandwidths: list[int]) -> None:
    count, slots = share_slots(bandwidths)
    assert 1 <= count <= SLOTS_MAX
    assert sorted(slot for own in slots for slot in own) == list(range(count))
    assert all(slots)
    if count < SLOTS_MAX:
        return
    total = sum(bandwidths)
    fair = [max(1.0, bps * count / total) for bps in bandwidths]
    assert all(len(own) <= share + 1 for own, share in zip(slots, fair, strict=True))


@pytest.mark.parametrize(
    ("bandwidths", "expected"),
    [
        ([5], ((0,),)),
        ([7, 7], ((0,), (1,))),
        ([2, 1], ((0, 2), (1,))),
        ([90, 10], (tuple(i for i in range(10) if i != 5), (5,))),
    ],
)
def test_slots_alternate(bandwidths: list[int], expected: tuple[tuple[int, ...], ...]) -> None:
    count, slots = share_slots(bandwidths)
    assert count == sum(len(own) for own in expected)
    assert [len(own) for own in slots] == [len(own) for own in expected]
    assert slots[0][0] == 0
    assert VLANS
