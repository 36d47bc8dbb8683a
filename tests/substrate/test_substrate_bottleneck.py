"""Bottlenecks are a least cut: against the maximum flow as networkx finds it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import networkx as nx
from bends import SPAN, START_S, fan, pairs_of, profiles, search_of, steps, way
from hypothesis import given, strategies as st
from substrate_world import Link, network

from substrate.bending import widest
from substrate.bottleneck import Bottleneck, bottlenecks
from substrate.forecast import Resource
from substrate.model import Bend, Profile, Refusal, RefusalKind, Window, domain_of, least_within
from substrate.topology import Topology

NAMES = "abcdz"
REFUSED = Refusal(RefusalKind.BANDWIDTH, "too little")
ROOM = 10**6
Told = dict[Any, Profile]


@st.composite
def problems(draw: st.DrawFn) -> tuple[Topology, Told, int]:
    """A network, what its domains tell of some ports and ways, and what is asked for."""
    edges = draw(
        st.lists(
            st.tuples(st.sampled_from(list(combinations(NAMES, 2))), st.integers(1, 40)),
            min_size=2,
            max_size=8,
        )
    )
    links = [Link(a, b, bps, tag=f".{i}") for i, ((a, b), bps) in enumerate(edges)]
    hosts = {"a": draw(st.integers(20, 100)), "z": draw(st.integers(20, 100))}
    topology = network(links, hosts=hosts)
    places: list[Resource] = [*topology.ports, *pairs_of(topology)]
    told = draw(st.dictionaries(st.sampled_from(places), profiles(40), max_size=8))
    return topology, told, draw(st.integers(1, 120))


def most(topology: Topology, told: Told, wanted: int, window: Window) -> int:
    """How much of ``wanted`` can flow from a to z."""

    def room(place: Resource) -> int:
        port = topology.ports.get(str(place))
        has_bps = port.capacity_bps if port is not None else ROOM
        return min(has_bps, least_within(told[place], window)) if place in told else has_bps

    graph: Any = nx.DiGraph()
    graph.add_edge("from", "in a:host", capacity=min(wanted, room("a:host")))
    graph.add_edge("out z:host", "to", capacity=room("z:host"))
    for hop in topology.graph.hops:
        if hop.to_domain != "a" and hop.from_domain != "z":
            capacity = min(hop.capacity_bps, room(hop.from_stp), room(hop.to_stp))
            graph.add_edge(f"out {hop.from_stp}", f"in {hop.to_stp}", capacity=capacity)
    for ingress, egress in pairs_of(topology):
        graph.add_edge(f"in {ingress}", f"out {egress}", capacity=room((ingress, egress)))
    carried = int(nx.maximum_flow_value(graph, "from", "to"))
    return carried


def place_of(bottleneck: Bottleneck) -> Resource:
    ingress, to, egress = bottleneck.resource.partition(" to ")
    return (ingress, egress) if to else ingress


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start_s = draw(st.integers(SPAN.start_s, SPAN.end_s - 1))
    return Window(start_s, draw(st.integers(start_s + 1, SPAN.end_s)))


@given(problems(), windows())
def test_together_they_carry_the_most_that_can_flow_and_less_than_was_asked(
    problem: tuple[Topology, Told, int], window: Window
) -> None:
    topology, told, wanted = problem
    carried = most(topology, told, wanted, window)
    found = bottlenecks(search_of(topology, told, wanted), window, REFUSED)
    if carried == wanted:
        assert found == ()
        return
    assert sum(each.free_bps or 0 for each in found) == carried
    assert len({each.resource for each in found}) == len(found)
    for each in found:
        assert each.domain == domain_of(each.resource)
        assert not each.label


@given(problems(), windows())
def test_a_place_is_as_narrow_as_told_when_it_is_told(
    problem: tuple[Topology, Told, int], window: Window
) -> None:
    topology, told, wanted = problem
    for each in bottlenecks(search_of(topology, told, wanted), window, REFUSED):
        assert each.window is not None
        assert window.start_s <= each.window.start_s < each.window.end_s <= window.end_s
        profile = told.get(place_of(each))
        if profile is not None and least_within(profile, window) == each.free_bps:
            seconds = range(each.window.start_s, each.window.end_s)
            assert {least_within(profile, Window(s, s + 1)) for s in seconds} == {each.free_bps}
            assert least_within(profile, each.window) == each.free_bps


@given(problems())
def test_every_way_crosses_one_of_them(problem: tuple[Topology, Told, int]) -> None:
    topology, told, wanted = problem
    found = bottlenecks(search_of(topology, told, wanted), SPAN, REFUSED)
    closed: Told = {place_of(each): steps((START_S, 0)) for each in found}
    if found:
        assert most(topology, {**told, **closed}, wanted, SPAN) == 0


def test_with_wider_places_more_fits() -> None:
    told = {way(name): steps((START_S, bps)) for name, bps in zip("bcd", (5, 7, 9), strict=True)}
    search = search_of(fan(), told, 45)
    found = bottlenecks(search, SPAN, REFUSED)
    assert {place_of(each) for each in found} == set(told)
    assert widest(search, SPAN, 1, 45) == 21
    wider = search_of(fan(), {key: told[key] for key in told if key != way("b")}, 45)
    assert widest(wider, SPAN, 1, 45) == 45


def test_it_tells_the_first_time_when_it_is_so_narrow() -> None:
    told = {way("b"): steps((100, 50), (105, 20), (110, 20), (115, 40), (120, 20))}
    found = bottlenecks(search_of(fan((1,)), told, 45), SPAN, REFUSED)
    assert found == (Bottleneck("b", "b:to-a to b:to-z", 20, Window(105, 115)),)


def test_a_users_port_that_is_narrower_than_all_between_is_the_place() -> None:
    told: Told = {"z:host": steps((START_S, 30), (110, 10))}
    found = bottlenecks(search_of(fan(), told, 45), SPAN, REFUSED)
    assert found == (Bottleneck("z", "z:host", 10, Window(110, 130)),)


def test_a_users_port_is_not_the_place_where_something_between_is_narrower() -> None:
    told: Told = {"z:host": steps((START_S, 30)), way("b"): steps((START_S, 10))}
    found = bottlenecks(search_of(fan((1,)), told, 45), SPAN, REFUSED)
    assert [(each.resource, each.free_bps) for each in found] == [("b:to-a to b:to-z", 10)]


def test_within_one_domain_it_is_the_way_or_a_port() -> None:
    topology = network([Link("a", "b", 60)], hosts={"a": 100})
    ends = ("a:host", "a:to-b")

    def places(told: Told) -> list[tuple[str, int | None]]:
        search = search_of(topology, told, 55, ends=ends)
        return [(b.resource, b.free_bps) for b in bottlenecks(search, SPAN, REFUSED)]

    assert places({ends: steps((START_S, 20))}) == [("a:host to a:to-b", 20)]
    assert places({"a:to-b": steps((START_S, 30))}) == [("a:to-b", 30)]
    assert places({}) == []


def test_where_no_vlan_is_left_only_the_port_is_told() -> None:
    refused = Refusal(RefusalKind.LABEL, "no VLAN", domain="b", resource="b:to-a")
    found = bottlenecks(search_of(fan((1,)), {}, 10), SPAN, refused)
    assert found == (Bottleneck("b", "b:to-a", label=True),)


def test_without_a_narrow_cut_it_is_the_place_that_the_refusal_names() -> None:
    # Three ways would do, but one path is allowed.
    told = {way("b"): steps((START_S, 50), (110, 40))}
    search = search_of(fan(), told, 70, max_paths=1)
    refused = Refusal(RefusalKind.BANDWIDTH, "too little", resource="b:to-a to b:to-z")
    found = bottlenecks(search, SPAN, refused)
    assert found == (Bottleneck("b", "b:to-a to b:to-z", 40, Window(110, 130)),)
    unknown = Refusal(RefusalKind.BANDWIDTH, "too little", domain="q", resource="q:x")
    assert bottlenecks(search, SPAN, unknown) == (Bottleneck("q", "q:x", window=SPAN),)
    assert bottlenecks(search, SPAN, REFUSED) == ()
    assert bottlenecks(search, SPAN, Refusal(RefusalKind.POLICY, "no", resource="q:x")) == ()


def test_it_is_found_behind_hundreds_of_ways() -> None:
    """As many as could be crossed one by one before all had been seen."""
    links = [Link("a", "b", 1, tag=f".{i}") for i in range(300)] + [Link("b", "z", 299)]
    topology = network(links, hosts={"a": 1000, "z": 1000})
    search = search_of(topology, {}, 400, max_paths=16)
    refusal = Refusal(RefusalKind.BANDWIDTH, "", "a", "a:to-b.0")
    found = bottlenecks(search, SPAN, refusal)
    assert [(each.resource, each.free_bps) for each in found] == [("b:to-z", 299)]


def test_what_just_fits_has_none() -> None:
    told = {way("b"): steps((START_S, 45))}
    assert bottlenecks(search_of(fan((1,)), told, 45), SPAN, REFUSED) == ()
    assert bottlenecks(search_of(fan((1,)), told, 46), SPAN, REFUSED) != ()


def bending(told: Told, bandwidth_bps: int, bend: Bend) -> tuple[Bottleneck, ...]:
    search = search_of(fan((1,)), told, bandwidth_bps)
    wish = replace(search.criteria, window=SPAN, bend=bend)
    return bottlenecks(replace(search, criteria=wish), SPAN, REFUSED)


def test_of_what_slides_it_is_what_is_in_the_way_where_most_might_fit() -> None:
    told = {way("b"): steps((100, 0), (105, 20), (120, 40), (125, 10))}
    place = "b:to-a to b:to-z"
    assert bending(told, 45, Bend(duration_s=5)) == (Bottleneck("b", place, 40, Window(120, 125)),)
    assert bending(told, 45, Bend(duration_s=5, least_bps=40)) == ()
    assert bending(told, 45, Bend(duration_s=10)) == (Bottleneck("b", place, 20, Window(105, 115)),)


def test_of_a_volume_it_is_what_carries_too_little_in_all_of_the_time() -> None:
    # 10 s of 60 bit/s and 20 s of 30 bit/s: 1,200 bits, or 1,050 at no more than 45 bit/s.
    told = {way("b"): steps((100, 60), (110, 30)), "z:host": steps((100, 50))}
    place = "b:to-a to b:to-z"
    assert bending(told, 60, Bend(volume_bytes=151)) == (Bottleneck("b", place, 40, SPAN),)
    assert bending(told, 60, Bend(volume_bytes=150)) == ()
    assert bending(told, 45, Bend(volume_bytes=132)) == (Bottleneck("b", place, 35, SPAN),)
