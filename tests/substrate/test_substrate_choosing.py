"""VLANs for paths that meet: found where there are any, and a port that lacks them is named."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import networkx as nx
import pytest
from bends import SPAN, pairs_of, search_of
from effort import calls_of
from hypothesis import given, strategies as st
from substrate_world import Link, ask, network, routes_of
from test_substrate_trunks import HOSTS, check, labelled, ways

from substrate.choosing import choose
from substrate.filling import fill
from substrate.labels import Plan, assign_labels, plan_over
from substrate.model import Constraints, Path, Refusal, RefusalKind
from substrate.options import Options, Supply
from substrate.routes import Route
from substrate.splitting import Share
from substrate.topology import Topology
from substrate.values import replace
from substrate.vlans import VlanSet

masks = st.sets(st.integers(1, 9), min_size=1).map(lambda vlans: VlanSet.of(*vlans).mask)


@given(st.lists(masks, min_size=2, max_size=9), st.integers(0, 99))
def test_at_one_port_every_matching_is_found(groups: list[int], start: int) -> None:
    numbered = dict(enumerate(groups))
    joins = nx.Graph((i, f"{vlan}") for i, mask in numbered.items() for vlan in VlanSet(mask))
    matched = nx.bipartite.maximum_matching(joins, top_nodes=numbered)
    found = choose(numbered, {"port": list(numbered)}, {}, start)
    if isinstance(found, dict):
        assert all(groups[i] >> vlan & 1 for i, vlan in found.items())
        assert len(set(found.values())) == len(groups)
    else:
        assert sum(i in matched for i in numbered) < len(groups)


def test_groups_that_meet_nowhere_have_nothing_to_do_with_one_another() -> None:
    """Forty ports that are each just possible, and need a second look."""
    one, two, three = (VlanSet.of(*vlans).mask for vlans in ((1,), (1, 2), (2, 3)))
    groups = dict(enumerate([three, two, one] * 40))
    meetings = {f"p{i}": [3 * i, 3 * i + 1, 3 * i + 2] for i in range(40)}
    assert choose(groups, meetings, {}, 0) == dict(enumerate([3, 2, 1] * 40))


Ways = tuple[Topology, tuple[Share, ...]]


@st.composite
def two_ways(draw: st.DrawFn) -> Ways:
    """Two paths between domains that swap and split in any mixture, with few VLANs."""
    vlans = st.sets(st.integers(1, 4), min_size=1, max_size=3).map(lambda v: VlanSet.of(*v))
    edges = draw(st.lists(st.sampled_from(list(combinations("abcz", 2))), min_size=2, max_size=6))
    topology = network(
        [
            Link(x, y, vlans=draw(vlans), tag=f".{i}")
            for i, (x, y) in enumerate([("a", "b"), ("b", "z"), *edges])
        ],
        hosts=HOSTS,
        swapping=draw(st.sets(st.sampled_from("abcz"))),
        splitting=draw(st.sets(st.sampled_from("abcz"))),
        host_vlans=draw(vlans),
    )
    routes = routes_of(topology, ask(1), 40)
    chosen = draw(st.lists(st.sampled_from(routes), min_size=1, max_size=2, unique=True))
    return topology, tuple(Share(route, 10) for route in chosen)


def labellings(route: Route, topology: Topology) -> list[tuple[int, ...]]:
    """Every choice of a VLAN per place that the domains can do."""
    free = [[v for v in range(1, 5) if _all_have(topology, stps, v)] for stps in route.places]
    return [
        vlans
        for vlans in product(*free)
        if all(
            vlans[k] == vlans[k + 1] or crossing.domain in topology.swapping
            for k, crossing in enumerate(route.crossings)
        )
    ]


def _all_have(topology: Topology, stps: tuple[str, ...], vlan: int) -> bool:
    return all(vlan in topology.ports[stp].vlans for stp in stps)


def compatible(ways: list[tuple[Route, tuple[int, ...]]], topology: Topology) -> bool:
    """Whether two paths have a VLAN in common only from the source up to a domain that splits, or
    from one that joins on to the destination."""
    (one, its), (other, others) = ways
    ends = [
        [[*zip(c.crossings, vlans[:-1], vlans[1:], strict=True)] for c, vlans in ways],
        [[*zip(c.crossings, vlans[1:], vlans[:-1], strict=True)][::-1] for c, vlans in ways],
    ]
    allowed: set[tuple[int, int]] = set()
    for at_tail, (left, right) in enumerate(ends):
        alike = next(k for k in range(len(left)) if k >= len(right) or left[k] != right[k])
        mine, yours = left[alike], right[alike]
        side = "egress_stp" if at_tail else "ingress_stp"
        if getattr(mine[0], side) != getattr(yours[0], side) or mine[1] != yours[1]:
            continue
        if topology.domains[mine[0].domain].splits:
            last = (len(left), len(right)) if at_tail else (0, 0)
            sign = -1 if at_tail else 1
            allowed |= {(last[0] + sign * k, last[1] + sign * k) for k in range(alike + 1)}
    return all(
        not set(mine) & set(yours) or its[x] != others[y] or (x, y) in allowed
        for (x, mine), (y, yours) in product(enumerate(one.places), enumerate(other.places))
    )


@given(two_ways(), st.integers(0, 9))
def test_two_paths_are_refused_only_where_no_vlans_do(found: Ways, start: int) -> None:
    """Against trying them all."""
    topology, shares = found
    every = [[(s.route, vlans) for vlans in labellings(s.route, topology)] for s in shares]
    possible = any(len(one) < 2 or compatible(list(one), topology) for one in product(*every))
    outcome = assign_labels(ask(10 * len(shares)), shares, Supply(), topology, start=start)
    if isinstance(outcome, Plan):
        check(outcome, topology, shares)
        assert possible
    else:
        assert not possible


def test_paths_part_in_the_first_domain_though_they_have_no_vlan_in_common_at_the_last() -> None:
    links = [Link("a", "b", vlans=VlanSet.of(4)), Link("b", "z", vlans=VlanSet.of(4))]
    links += [Link("b", "z", vlans=VlanSet.of(1), tag=".1")]
    topology = network(
        links, hosts=HOSTS, swapping="b", splitting="abz", host_vlans=VlanSet.of(1, 4)
    )
    routes = routes_of(topology, ask(1))
    plan = labelled(topology, tuple(Share(route, 10) for route in routes))
    assert len(plan.segments["a"]) == 1, "one trunk up to b"
    assert {path.hops[-1].egress_vlan for path in plan.paths} == {1, 4}


def test_one_vlan_of_the_user_is_enough_where_the_first_domain_splits() -> None:
    """Where the paths part nobody splits, so they have two VLANs on the link that they share."""
    links = [Link("a", "b"), Link("b", "c"), Link("c", "z"), Link("b", "z")]
    topology = network(links, hosts=HOSTS, splitting="az", swapping="abz")
    wishes: dict[str, Any] = {"source_vlans": VlanSet.of(110)}
    plan = labelled(topology, ways(topology, "abz", "abcz"), **wishes)
    assert {path.hops[0].ingress_vlan for path in plan.paths} == {110}
    assert len({path.hops[0].egress_vlan for path in plan.paths}) == 2


def test_a_trunk_is_given_up_where_its_vlan_is_wanted_elsewhere() -> None:
    """Joined by z both had VLAN 103; a, which does not split, would have it twice at one port."""
    only = {"vlans": VlanSet.of(103)}
    links = [Link("a", "b", **only), Link("b", "c"), Link("c", "z", **only)]  # type: ignore[arg-type]
    links += [Link("a", "z", vlans=VlanSet.of(101, 103))]
    topology = network(links, hosts=HOSTS, swapping="bc", splitting="z")
    plan = labelled(topology, ways(topology, "az", "abcz"))
    assert [path.hops[-1].egress_vlan for path in plan.paths] == [101, 103]


@pytest.mark.parametrize("lonely", ["b:to-z", "z:to-b"])
def test_the_port_where_paths_crowd_is_named_and_not_another_with_few_vlans(lonely: str) -> None:
    links = [Link(x, y) for x in "az" for y in "bcd"]
    topology = network(links, hosts=HOSTS, swapping="abcdz")
    supply = Supply(port_vlans={"a:host": VlanSet.of(101, 102), lonely: VlanSet.of(150)})
    outcome = assign_labels(ask(1), ways(topology, "abz", "acz", "adz"), supply, topology)
    assert isinstance(outcome, Refusal)
    assert (outcome.kind, outcome.resource) == (RefusalKind.LABEL, "a:host")


def test_of_ports_that_need_one_vlan_that_with_the_fewest_is_named() -> None:
    topology = network([Link("a", "b"), Link("b", "z")], hosts=HOSTS)
    supply = Supply(port_vlans={"b:to-z": VlanSet()})
    outcome = assign_labels(ask(1), ways(topology, "abz"), supply, topology)
    assert isinstance(outcome, Refusal)
    assert (outcome.domain, outcome.resource) == ("b", "b:to-z")


def shared_link(**options: Any) -> Topology:
    """Two short ways over one link that has a single VLAN left, and one that is longer."""
    links = [Link("a", "b", 5), Link("a", "b", 5, tag=".1"), Link("b", "z", 10, 1, VlanSet.of(7))]
    links += [Link("a", "c", 5, 900), Link("c", "z", 5, 900)]
    return network(links, hosts={"a": 100, "z": 100}, swapping="abz", **options)


@pytest.mark.parametrize("blind", ["", "b", "bc"])
def test_other_paths_are_taken_where_the_best_have_no_vlans_together(blind: str) -> None:
    topology = shared_link(blind=blind)
    wish = ask(8, constraints=Constraints(max_paths=2))
    free = Supply(pair_bps=dict.fromkeys(pairs_of(topology), 100))
    plan = plan_over(wish, routes_of(topology, wish), free, topology)
    assert isinstance(plan, Plan)
    assert sorted(path.hops[1].domain for path in plan.paths) == ["b", "c"]


def test_what_slides_takes_other_paths_too_where_the_best_have_no_vlans_together() -> None:
    search = search_of(shared_link(), {}, 8, max_paths=2)
    assert search.fits(8, SPAN)
    best = tuple(route for route in search.routes if "c" not in route.domains)
    assert len(best) == 2
    assert not replace(search, routes=best).fits(8, SPAN)


def test_where_no_paths_have_vlans_together_that_is_the_reason() -> None:
    topology = shared_link()
    wish = ask(8, constraints=Constraints(avoid_domains=("c",)))
    free = Supply(pair_bps=dict.fromkeys(pairs_of(topology), 100))
    refused = plan_over(wish, routes_of(topology, wish), free, topology)
    assert isinstance(refused, Refusal)
    assert (refused.kind, refused.resource) == (RefusalKind.LABEL, "b:to-z")


def test_sets_without_vlans_are_not_tried_for_ever() -> None:
    """Sixteen ways that are all alike, over a link with two VLANs."""
    links = [Link("a", "b", 5, tag=f".{i}") for i in range(16)]
    links += [Link("b", "z", 100, vlans=VlanSet.of(7, 8))]
    topology = network(links, hosts={"a": 100, "z": 100}, swapping="abz")
    wish = ask(40, constraints=Constraints(max_paths=16))
    free = Supply(pair_bps=dict.fromkeys(pairs_of(topology), 100))
    routes = routes_of(topology, wish)
    refused, calls = calls_of(lambda: plan_over(wish, routes, free, topology))
    assert isinstance(refused, Refusal)
    assert refused.kind is RefusalKind.LABEL
    assert calls < 200_000


@given(st.data())
def test_a_split_is_refused_for_vlans_only_where_no_set_of_paths_has_them(
    data: st.DataObject,
) -> None:
    topology, _ = data.draw(two_ways())
    wanted = data.draw(st.integers(2, 12))
    wish = ask(wanted, constraints=Constraints(max_paths=data.draw(st.integers(1, 3))))
    free = Supply(pair_bps={p: data.draw(st.integers(1, 9)) for p in pairs_of(topology)})
    routes = routes_of(topology, wish, 6)
    usable = Options(wish, routes, free, topology).usable()
    outcome = plan_over(wish, routes, free, topology)
    if isinstance(outcome, Plan):
        check(outcome, topology, tuple(Share(_route(path, routes), path.bandwidth_bps)
                                       for path in outcome.paths))  # fmt: skip
        return
    for size in range(1, wish.constraints.max_paths + 1):
        for chosen in combinations(usable, size):
            amounts = fill([option.limits for option in chosen], wanted, 1)
            if sum(amounts) == wanted:
                one = tuple(Share(o.route, n) for o, n in zip(chosen, amounts, strict=True))
                assert isinstance(assign_labels(wish, one, free, topology), Refusal)


def _route(path: Path, routes: tuple[Route, ...]) -> Route:
    pairs = tuple((hop.ingress_stp, hop.egress_stp) for hop in path.hops)
    return next(route for route in routes if route.pairs == pairs)
