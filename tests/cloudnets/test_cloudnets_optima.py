"""A provider's mapping, held against trying every placement: found where there is one, bound true.

Sites are trees, so a VLink has one way. What VNodes draw of what hosts have, alone or shared, is a
flow. The reference shares no code with what it checks but the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise, product

import networkx as nx
import pytest
from hypothesis import given, settings, strategies as st
from sites import all_free, asked, overlay, partials, sites, underlay, wrong_with

from cloudnets.holding import settle
from cloudnets.partials import Asked, Refused
from cloudnets.pip import think
from cloudnets.underlay import Room, Underlay
from embedding.objectives import OBJECTIVES
from rdl.attributes import within
from rdl.model import Graph, NetworkElement, Relation, RelationKind
from substrate.model import Segment
from substrate.vlans import VlanSet

VLANS = VlanSet.from_ranges([(200, 299)])
Placed = Mapping[str, str]


def tree_of(site: Underlay) -> nx.Graph[str]:
    tree: nx.Graph[str] = nx.Graph()
    tree.add_nodes_from(site.nodes)
    for name, link in site.links.items():
        tree.add_edge(*link.ends, label=name)
    return tree


def words(element: NetworkElement, of: str) -> set[str]:
    values = [f.value for f in element.features if f.attribute == of]
    return {word for value in values if isinstance(value, tuple) for word in value}


def like(vnode: NetworkElement, host: NetworkElement) -> bool:
    kind = vnode.attribute.removesuffix("/generic")
    said = words(vnode, "/feature/architecture")
    has = words(host, "/feature/architecture")
    return within(host.attribute, kind) and (not said or bool(said & has))


def related(site: Underlay, of: Asked, relation: Relation, placed: Placed) -> bool:
    at = [placed[name] for name in relation.elements]
    if relation.of == "/node/host":
        return len(set(at)) == (1 if relation.kind is RelationKind.SAME else len(at))
    known = {vnode.id: words(vnode, relation.of) for vnode in of.vnodes}
    has = [words(site.hosts[host], relation.of) for host in at]
    possible = [
        (known[name] & some) if known[name] else some
        for name, some in zip(relation.elements, has, strict=True)
    ]
    wanted = 1 if relation.kind is RelationKind.SAME else len(at)
    return any(len(set(chosen)) == wanted for chosen in product(*possible))


def drawn(site: Underlay, of: Asked, room: Room, placed: Placed) -> bool:
    flow: nx.DiGraph[object] = nx.DiGraph()
    flow.add_nodes_from(["source", "sink"])
    wanted = 0
    for vnode in of.vnodes:
        for each in vnode.resources:
            if each.amount is None:
                continue
            wanted += each.amount.value
            flow.add_edge("source", (vnode.id, each.attribute), capacity=each.amount.value)
            for i, supply in enumerate(site.supplies):
                if placed[vnode.id] in supply.hosts and within(supply.attribute, each.attribute):
                    flow.add_edge((vnode.id, each.attribute), i)
                    flow.add_edge(i, "sink", capacity=room.supplies[i])
    return bool(nx.maximum_flow_value(flow, "source", "sink") == wanted)


def used(site: Underlay, of: Asked, placed: Placed) -> dict[str, int] | None:
    """What goes over each link; None where there is no way."""
    tree, total = tree_of(site), dict.fromkeys(site.links, 0)
    for vlink in of.vlinks:
        a, b = (placed.get(end) or site.port_nodes[end] for end in vlink.ends)
        if not nx.has_path(tree, a, b):
            return None
        for pair in pairwise(nx.shortest_path(tree, a, b)):
            total[tree.edges[pair]["label"]] += vlink.bandwidth_bps
    return total


def placements(site: Underlay, of: Asked, room: Room) -> Iterator[tuple[Placed, dict[str, int]]]:
    """Every one that holds, with what goes over links."""
    choices = [[h for h, host in site.hosts.items() if like(v, host)] for v in of.vnodes]
    for chosen in product(*choices):
        placed = dict(zip((vnode.id for vnode in of.vnodes), chosen, strict=True))
        if all(related(site, of, each, placed) for each in of.graph.relations):
            over = used(site, of, placed)
            if over is None or any(total > room.links[name] for name, total in over.items()):
                continue
            if drawn(site, of, room, placed):
                yield placed, over


def fullest(
    site: Underlay, of: Asked, room: Room, placed: Placed, over: Mapping[str, int]
) -> float:
    """The largest share of any amount at any host, shared ones whole, or of a link."""
    shares = [
        1 - (room.links[n] - total) / site.links[n].bandwidth_bps for n, total in over.items()
    ]
    for host in site.hosts:
        here = [v for v in of.vnodes if placed[v.id] == host]
        for kind in ("/resource/cpu", "/resource/memory", "/resource/disk", "/resource/disk/ssd"):
            mine = [
                i
                for i, s in enumerate(site.supplies)
                if host in s.hosts and within(s.attribute, kind)
            ]
            whole = sum(site.supplies[i].amount.value for i in mine)
            need = [r.amount for v in here for r in v.resources if within(r.attribute, kind)]
            total = sum(amount.value for amount in need if amount is not None)
            if whole:
                left = sum(room.supplies[i] for i in mine)
                shares.append((whole - left + total) / whole)
    return max(shares)


Partial = tuple[Graph, tuple[Segment, ...]]


@settings(max_examples=150, deadline=None)
@given(sites(), partials(), st.sampled_from(("load", "energy", "cost")), st.data())
def test_what_can_be_mapped_is_mapped_and_what_is_refused_cannot_be(
    site: Underlay, partial: Partial, objective: str, data: st.DataObject
) -> None:
    left = {r: data.draw(st.integers(n // 2, n)) for r, n in site.capacities.items()}
    room = site.room(left.__getitem__)
    try:
        of = asked(partial[0], *partial[1])
    except Refused:
        return
    known = next(placements(site, of, room), None)
    try:
        found = think(site, of, room, OBJECTIVES[objective], time_limit_s=2.0)
    except Refused:
        found = None
    assert (found is None) == (known is None)
    if found is None:
        return
    assert wrong_with(site, of, room, settle(site, found, room, VLANS, ("r1", 1))) == ""


@settings(max_examples=100, deadline=None)
@given(sites(), partials(), st.sampled_from((0.0, 2.0)))
def test_no_mapping_has_a_lesser_load_than_the_gap_says(
    site: Underlay, partial: Partial, time_limit_s: float
) -> None:
    room = all_free(site)
    try:
        of = asked(partial[0], *partial[1])
        found = think(site, of, room, OBJECTIVES["load"], time_limit_s=time_limit_s)
    except Refused:
        return
    if any(relation.of != "/node/host" for relation in of.graph.relations):
        return  # the gap is about one way to settle it
    known = [fullest(site, of, room, *each) for each in placements(site, of, room)]
    tie = 0.01 * (1 + sum(v.bandwidth_bps for v in of.vlinks)) * 3
    assert found.cost * (1 - found.gap) <= min(known) + tie
    assert found.cost >= min(known) - 1e-6


def test_two_that_fit_on_a_large_host_do_not_fill_a_small_one() -> None:
    site = underlay("""
  big: {attribute: /node/host, resources: {/resource/cpu: 100 cores, /resource/memory: 1 TiB,
      /resource/disk: 1 TB}}
  tiny: {attribute: /node/host, resources: {/resource/cpu: 4 cores, /resource/memory: 1 TiB,
      /resource/disk: 1 TB}}""")
    of = overlay("""
  a: {attribute: /node/host/generic, resources: {/resource/cpu: 2 cores}}
  b: {attribute: /node/host/generic, resources: {/resource/cpu: 2 cores}}""")
    found = think(site, of, all_free(site), OBJECTIVES["load"])
    assert found.hosts == {"a": "big", "b": "big"}
    assert found.cost == pytest.approx(0.04)
