"""A provider's substrate: what can be held of it, what is told of it, and what it may not be."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings, strategies as st
from sites import EAST, all_free, berlin, example, graph, sites, underlay

from cloudnets.drawing import Demand, Lack, draw
from cloudnets.underlay import Underlay, UnderlayError
from rdl.aggregation import aggregate
from rdl.attributes import within
from substrate.calendar import Direction, Resource

HOST = "  x: {attribute: /node/host, resources: {/resource/cpu: 1 core}}\n"


def test_every_amount_counts_once_links_both_ways_and_transit_links_not_at_all() -> None:
    capacities = berlin().capacities
    assert capacities[Resource("sn111/resource/cpu", Direction.IN)] == 8000
    assert capacities[Resource("shared nfs/resource/disk", Direction.IN)] == 12 * 10**12
    assert capacities[Resource("port-1", Direction.OUT)] == 10**9
    assert len(capacities) == 6 + 1 + 6
    assert not any("munich" in resource.name for resource in capacities)


def test_a_link_has_the_least_of_its_bandwidth_and_its_interfaces() -> None:
    site = underlay(
        HOST + "  s: {attribute: /node/switch}\n"
        "  w: {attribute: /link/ethernet, resources: {/resource/bandwidth: 2 Gb/s}}",
        "x-w",
        "  slow: {attribute: /interface/ethernet, joins: [s, w],"
        " resources: {/resource/bandwidth: 1 Gb/s}}\n",
    )
    assert site.capacities[Resource("w", Direction.IN)] == 10**9


@settings(max_examples=40, deadline=None)
@given(sites())
def test_an_empty_site_tells_what_its_graph_would(site: Underlay) -> None:
    assert site.aggregate(all_free(site), "pip") == aggregate(site.graph, "pip")


def test_only_what_is_free_is_told_and_nothing_of_the_inside() -> None:
    site = berlin()
    taken = {Resource("sn111/resource/cpu", Direction.IN): 7000}
    told = site.aggregate(site.room(lambda r: site.capacities[r] - taken.get(r, 0)), "berlin")
    (pip,) = (e for e in told.elements if e.id == "berlin")
    amounts = {r.attribute: r.amount.value for r in pip.resources if r.amount is not None}
    assert amounts["/resource/cpu"] == 13_000
    largest = {f.attribute: f.value for f in pip.features}
    assert str(largest["/feature/largest/cpu"]) == "8 cores"
    taken[Resource("sn112/resource/cpu", Direction.IN)] = 6000
    told = site.aggregate(site.room(lambda r: site.capacities[r] - taken.get(r, 0)), "berlin")
    (pip,) = (e for e in told.elements if e.id == "berlin")
    largest = {f.attribute: f.value for f in pip.features}
    assert str(largest["/feature/largest/cpu"]) == "4 cores"
    assert {e.id for e in told.elements} == {"berlin", "munich", "berlin-munich"}
    whole = site.aggregate(all_free(site), "berlin")
    assert whole == example("berlin-told")


@pytest.mark.parametrize(
    ("elements", "joins", "ports", "word"),
    [
        ("  s: {attribute: /node/switch}", "", {}, "has no /node/host"),
        (HOST, "", {EAST: "s"}, "port_nodes: berlin:east sits at 's', possible: x"),
        (
            HOST + "  p: {attribute: /node/host/pip, resources: {/resource/cpu: 1 core}}",
            "",
            {},
            "elements.p: a provider",
        ),
        (
            HOST + "  s: {attribute: /node/switch}\n  t: {attribute: /node/switch}\n"
            "  w: {attribute: /link/ethernet}",
            "x-w s-w t-w",
            {},
            "elements.w: joins 3 nodes; possible: 2",
        ),
    ],
)
def test_a_site_that_cannot_be_mapped_on_is_refused(
    elements: str, joins: str, ports: dict[str, str], word: str
) -> None:
    with pytest.raises(UnderlayError, match=word):
        underlay(elements, joins, ports=ports)


def test_an_overlay_is_no_substrate() -> None:
    with pytest.raises(UnderlayError, match="possible: underlay"):
        Underlay(graph("overlay", "  x: {attribute: /node/host}"), {})


@settings(max_examples=150, deadline=None)
@given(sites(), st.data())
def test_demands_are_drawn_exactly_where_a_flow_could_serve_them(
    site: Underlay, data: st.DataObject
) -> None:
    kinds = ("/resource/cpu", "/resource/disk", "/resource/disk/ssd")
    hosts = sorted(site.hosts)
    demands = [
        Demand(f"v{i}", data.draw(st.sampled_from(kinds)), data.draw(st.integers(1, 4)))
        for i in range(data.draw(st.integers(1, 5)))
    ]
    at = {demand.vnode: data.draw(st.sampled_from(hosts)) for demand in demands}
    left = [data.draw(st.integers(0, s.amount.value)) for s in site.supplies]
    flow: nx.DiGraph[object] = nx.DiGraph()
    flow.add_nodes_from(["source", "sink"])
    for demand in demands:
        flow.add_edge("source", demand.vnode, capacity=demand.amount)
        for i, supply in enumerate(site.supplies):
            if at[demand.vnode] in supply.hosts and within(supply.attribute, demand.attribute):
                flow.add_edge(demand.vnode, i)
                flow.add_edge(i, "sink", capacity=left[i])
    possible, _ = nx.maximum_flow(flow, "source", "sink")
    drawn = draw(site, left, demands, at)
    wanted = sum(demand.amount for demand in demands)
    assert isinstance(drawn, Lack) == (possible < wanted)
    if not isinstance(drawn, Lack):
        assert sum(drawn.values()) == wanted
        assert all(amount <= left[i] for i, amount in drawn.items())
