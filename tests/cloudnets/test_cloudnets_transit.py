"""The VNP over transit that is narrow, slow or not there, held against trying every placement.

Ways among few domains are so few that every way of every circuit can be tried too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import networkx as nx
from clouds import BANDWIDTH, CPU, MBPS, ends_of, link, node, told
from hypothesis import given, settings, strategies as st

from cloudnets.vnp import Ask, Shortfall, TransitLink, VnpMapping, map_overlay, partials
from rdl.codec import from_bytes
from rdl.model import (
    Feature,
    Graph,
    Layer,
    NetworkElement,
    NetworkInterface,
    Relation,
    RelationKind,
)
from rdl.partial import join
from rdl.relations import conflicts, words_of


def wired(
    sizes: Mapping[str, int],
    wires: Sequence[tuple[str, str, int]],
    relations: tuple[Relation, ...] = (),
) -> Graph:
    """VNodes of so many cores, and VLinks of so many Mb/s."""
    elements: list[NetworkElement] = [node(name, cores) for name, cores in sizes.items()]
    interfaces: list[NetworkInterface] = []
    for number, (a, b, mbps) in enumerate(wires):
        element, joints = link(f"l{number}", a, b, mbps)
        elements.append(element)
        interfaces += joints
    return Graph("g", Layer.OVERLAY, tuple(elements), tuple(interfaces), (), relations)


@st.composite
def narrow(draw: st.DrawFn) -> Ask:
    """Two or three VNodes, two or three providers, one or two domains between; links of 0 to 5."""
    names = [f"v{i}" for i in range(draw(st.integers(2, 3)))]
    pairs = [(a, b) for i, b in enumerate(names) for a in names[:i]]
    wires = [
        (a, b, 100 * draw(st.integers(1, 4)))
        for a, b in draw(st.lists(st.sampled_from(pairs), max_size=3))
    ]
    graph = wired({name: draw(st.integers(1, 3)) for name in names}, wires)
    pips = [f"p{i}" for i in range(draw(st.integers(2, 3)))]
    domains = [*pips, *(f"wan{i}" for i in range(draw(st.integers(1, 2))))]
    between = [(a, b) for i, b in enumerate(domains) for a in domains[:i]]
    ends = draw(st.lists(st.sampled_from(between), min_size=1, max_size=5))
    transit = tuple(
        TransitLink(a, b, 100 * MBPS * draw(st.integers(0, 5)), price=draw(st.integers(0, 2)))
        for a, b in ends
    )
    return Ask(graph, {p: told(p, draw(st.integers(1, 6))) for p in pips}, transit)


def amount(element: NetworkElement, kind: str) -> int:
    return sum(r.amount.value for r in element.resources if r.attribute == kind and r.amount)


def ways(ask: Ask) -> nx.MultiGraph[str]:
    graph: nx.MultiGraph[str] = nx.MultiGraph()
    graph.add_nodes_from(ask.pips)
    for number, each in enumerate(ask.links):
        graph.add_edge(each.a, each.b, key=str(number))
    return graph


def prices(ask: Ask) -> Iterator[float]:
    """Of every placement with a way for every circuit, in Mb/s times prices."""
    graph, names = ways(ask), [each.id for each in ask.graph.nodes]
    cores = {each.id: amount(each, CPU) for each in ask.graph.nodes}
    wide = {each.id: amount(each, BANDWIDTH) for each in ask.graph.links}
    room = {pip: amount(aggregate.nodes[0], CPU) for pip, aggregate in ask.pips.items()}
    ends = ends_of(ask.graph)
    for chosen in product(ask.pips, repeat=len(names)):
        at = dict(zip(names, chosen, strict=True))
        here = {pip: sum(cores[v] for v in names if at[v] == pip) for pip in room}
        if any(total > room[pip] for pip, total in here.items()):
            continue
        crossing = [name for name, (a, b) in ends.items() if at[a] != at[b]]
        choices = [
            [
                [int(edge[2]) for edge in way]  # type: ignore[misc]
                for way in nx.all_simple_edge_paths(graph, at[ends[v][0]], at[ends[v][1]])
            ]
            for v in crossing
        ]
        for some in product(*choices):
            left = [each.bandwidth_bps for each in ask.links]
            price = 0.0
            for vlink, way in zip(crossing, some, strict=True):
                for number in way:
                    left[number] -= wide[vlink]
                    price += wide[vlink] / MBPS * (1 + ask.links[number].price)
            if min(left, default=0) >= 0:
                yield price


@settings(max_examples=120, deadline=None)
@given(narrow())
def test_the_cheapest_mapping_over_narrow_transit_is_found_and_what_is_refused_cannot_be(
    ask: Ask,
) -> None:
    least = min(prices(ask), default=None)
    found = map_overlay(ask)
    if isinstance(found, Shortfall):
        assert least is None
        assert found.proven
        assert found.reason
        return
    assert least is not None
    assert found.bound <= least * (1 + 1e-5) + 1e-3
    assert least - 1e-3 <= found.objective <= least / 0.99 + 1e-3
    assert found.status == "optimal"


def enlarged(ask: Ask, none: Shortfall, share: float = 1.0) -> Ask | None:
    """With so much more where it is short; None where that is no one place."""
    if none.where in ask.pips and none.resource == CPU:
        free = amount(ask.pips[none.where].nodes[0], CPU)
        cores = -(-(free + round(none.short * share)) // 1000)
        return replace(ask, pips={**ask.pips, none.where: told(none.where, cores)})
    links = list(ask.links)
    for number, each in enumerate(links):
        if none.where == f"{each.a}--{each.b}" and none.resource == BANDWIDTH:
            more = each.bandwidth_bps + round(none.short * share)
            links[number] = replace(each, bandwidth_bps=more)
            return replace(ask, links=tuple(links))
    return None


@settings(max_examples=120, deadline=None)
@given(narrow())
def test_what_one_place_is_short_of_is_there_and_with_all_of_it_the_next_answer_is_another(
    ask: Ask,
) -> None:
    """Several places may be short at once; each that is filled up is not named again."""
    none, seen = map_overlay(ask), 0
    while isinstance(none, Shortfall) and seen < 12:
        if none.short:
            assert 0 < none.short <= none.asked
        more = enlarged(ask, none)
        if more is None:
            return
        ask, none, seen = more, map_overlay(more), seen + 1
    assert isinstance(none, VnpMapping)
    assert next(prices(ask), None) is not None


def with_words(pip: str, *words: str) -> Graph:
    return told(pip, 2, 64, (Feature("/feature/architecture", words),))


def test_relations_over_providers_that_share_elements_hold_all_together() -> None:
    """Each pair is the same in itself, and the pairs are not: nobody may overlook the last."""
    relations = (
        Relation("r1", RelationKind.SAME, "/feature/architecture", ("a", "b")),
        Relation("r2", RelationKind.SAME, "/feature/architecture", ("c", "d")),
        Relation("r3", RelationKind.DIFFERENT, "/feature/architecture", ("a", "c")),
    )
    graph = wired(dict.fromkeys("abcd", 2), [], relations)
    pips = {f"p{i}": with_words(f"p{i}", "arm", "x86") for i in range(4)}
    found = map_overlay(Ask(graph, pips))
    assert isinstance(found, VnpMapping)
    assert list(conflicts(found.graph)) == []
    said = {each.id: words_of(each, "/feature/architecture") for each in found.graph.nodes}
    assert said["a"] == said["b"] != said["c"] == said["d"]
    assert len(set(found.placed.values())) == 4
    parts = {pip: from_bytes(part) for pip, part in partials(found, {}).items()}
    assert join(parts) == found.graph


def test_where_the_words_of_providers_do_not_suffice_for_all_relations_none_is_left_out() -> None:
    relations = (
        Relation("r1", RelationKind.SAME, "/feature/architecture", ("a", "b")),
        Relation("r2", RelationKind.DIFFERENT, "/feature/architecture", ("a", "c")),
    )
    graph = wired(dict.fromkeys("abc", 2), [], relations)
    only = {f"p{i}": with_words(f"p{i}", "arm") for i in range(3)}
    none = map_overlay(Ask(graph, only))
    assert isinstance(none, Shortfall)
    assert none.resource == "/feature/architecture"
    one = {**only, "p1": with_words("p1", "x86")}
    found = map_overlay(Ask(graph, one))
    assert isinstance(found, VnpMapping)
    assert found.placed["c"] == "p1"
