"""An overlay is cut into partial graphs with stubs, and these join to the whole again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from graphs import drawn, graphs, overlay
from hypothesis import given, strategies as st

from rdl.checking import check
from rdl.errors import Kind, RdlError
from rdl.model import Feature, Graph, Layer, NetworkElement, Resource, by_id
from rdl.partial import Transit, cut, join, link_places
from rdl.units import Amount, Unit
from rdl.writing import write
from substrate.vlans import VlanSet

SHOP = overlay(
    """\
  web: {attribute: /node/host/generic}
  db: {attribute: /node/host/server, shares: [pool]}
  log: {attribute: /node/host/server, shares: [pool]}
  wire: {attribute: /link/generic, resources: {/resource/bandwidth: 1 Gb/s}}
  bus: {attribute: /link/generic}""",
    """\
  i0: {attribute: /interface/ethernet, joins: [web, wire]}
  i1: {attribute: /interface/ethernet, joins: [db, wire]}
  i2: {attribute: /interface/ethernet, joins: [db, bus]}
  i3: {attribute: /interface/ethernet, joins: [log, bus]}""",
    """\
shared:
  pool: {attribute: /resource/disk, amount: 1 TB}
relations:
  arch: {same: /feature/architecture, elements: [web, db, log]}
  apart: {different: /node/host, elements: [db, log]}
""",
)
PLACED = {"web": "berlin", "db": "munich", "log": "munich"}
TRANSITS = [Transit("wire", ("munich", "berlin"), (121, 120))]

BERLIN = """\
rdl: 1
name: g
layer: overlay
elements:
  pip@munich: {attribute: /node/host/pip}
  web: {attribute: /node/host/generic}
  wire:
    attribute: /link/generic
    resources: {/resource/bandwidth: 1 Gb/s}
  wire@berlin@munich:
    attribute: /link/transit
    resources: {/resource/bandwidth: 1 Gb/s}
    features: {/feature/vlan: '120'}
interfaces:
  i0:
    attribute: /interface/ethernet
    joins: [web, wire]
  wire@berlin@munich@0:
    attribute: /interface/generic
    joins: [wire, wire@berlin@munich]
  wire@berlin@munich@1:
    attribute: /interface/generic
    joins: [pip@munich, wire@berlin@munich]
relations:
  arch:
    same: /feature/architecture
    elements: [web]
    elsewhere: 2
"""


def test_a_partial_graph_has_what_is_placed_there_and_stubs_for_the_rest() -> None:
    """Paper 002, section 5.4."""
    parts = cut(SHOP, PLACED, TRANSITS)
    assert sorted(parts) == ["berlin", "munich"]
    assert write(parts["berlin"]) == BERLIN
    munich = parts["munich"]
    assert [e.id for e in munich.elements] == [
        *("bus", "db", "log", "pip@berlin", "wire", "wire@berlin@munich")
    ]
    assert munich.shared == SHOP.shared
    assert [(r.id, r.elements, r.elsewhere) for r in munich.relations] == [
        ("apart", ("db", "log"), 0),
        ("arch", ("db", "log"), 1),
    ]


def test_each_side_is_told_its_own_vlan() -> None:
    """A domain between both may translate."""
    parts = cut(SHOP, PLACED, TRANSITS)
    told = {pip: by_id(part.elements)["wire@berlin@munich"].features for pip, part in parts.items()}
    assert told == {
        "berlin": (Feature("/feature/vlan", VlanSet.of(120)),),
        "munich": (Feature("/feature/vlan", VlanSet.of(121)),),
    }
    assert join(parts) == SHOP


def test_a_provider_without_any_node_may_be_passed_through() -> None:
    parts = cut(
        SHOP,
        PLACED,
        [Transit("wire", ("berlin", "x"), (7, 7)), Transit("wire", ("x", "munich"), (7, 7))],
    )
    assert [e.id for e in parts["x"].elements] == [
        *("pip@berlin", "pip@munich", "wire", "wire@berlin@x", "wire@munich@x")
    ]
    assert join(parts) == SHOP


def test_all_at_one_provider_is_the_whole() -> None:
    assert cut(SHOP, dict.fromkeys(PLACED, "p")) == {"p": SHOP}


def test_a_partial_graph_is_cut_again_by_a_vnp_below_a_vnp() -> None:
    outer = cut(SHOP, PLACED, TRANSITS)
    berlin = outer["berlin"]
    inner = cut(
        berlin, {"web": "east", "pip@munich": "west"}, [Transit("wire", ("east", "west"), (5, 5))]
    )
    assert [e.id for e in inner["west"].elements] == [
        *("pip@east", "pip@munich", "wire", "wire@berlin@munich", "wire@east@west")
    ]
    assert all(check(part) == [] for part in inner.values())
    assert join(inner) == berlin
    assert join({**outer, "berlin": join(inner)}) == SHOP


@pytest.mark.parametrize(
    ("placed", "transits", "field", "reason"),
    [
        ({"web": "p", "db": "p"}, [], "elements.log", "is mapped on no provider"),
        ({**PLACED, "x": "p"}, TRANSITS, "elements.x", "is no node"),
        ({**PLACED, "wire": "p"}, TRANSITS, "elements.wire", "is no node"),
        (PLACED, [], "elements.wire", "the transits (none) do not join berlin, munich"),
        (PLACED, TRANSITS * 2, "elements.wire", "do not join berlin, munich in a tree"),
        (
            PLACED,
            [*TRANSITS, Transit("wire", ("berlin", "x"), (1, 1))],
            "elements.wire",
            "a transit leads to x, where no end is",
        ),
        (
            PLACED,
            [Transit("wire", ("munich", "berlin"), (0, 0))],
            "elements.wire",
            "not within 1-4094",
        ),
        (PLACED, [*TRANSITS, Transit("cord", ("a", "b"), (1, 1))], "elements.cord", "is no link"),
        (PLACED, [*TRANSITS, Transit("db", ("a", "b"), (1, 1))], "elements.db", "is no link"),
        (
            {"web": "berlin", "db": "berlin", "log": "munich"},
            [Transit("bus", ("berlin", "munich"), (1, 1))],
            "shared.pool",
            "is shared at berlin, munich; possible: at one",
        ),
        ({**PLACED, "web": "a/b"}, [], "", "'a/b' is not the name of a provider"),
        ({**PLACED, "web": "a@b"}, [], "", "'a@b' is not the name of a provider"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(
    placed: dict[str, str], transits: list[Transit], field: str, reason: str
) -> None:
    with pytest.raises(RdlError) as caught:
        cut(SHOP, placed, transits)
    found = [(each.kind, each.field) for each in caught.value.mistakes]
    assert (Kind.MAPPING, field) in found
    assert any(reason in each.reason for each in caught.value.mistakes)


def test_one_vlan_may_serve_several_links_between_two_providers() -> None:
    """They may leave by different ports; who picks VLANs knows them."""
    loose = replace(
        SHOP,
        shared=(),
        relations=(),
        elements=tuple(replace(e, shares=()) for e in SHOP.elements),
    )
    placed = {"web": "p", "db": "q", "log": "p"}
    both = [Transit("wire", ("p", "q"), (9, 9)), Transit("bus", ("q", "p"), (9, 8))]
    assert join(cut(loose, placed, both)) == loose


def test_the_id_of_a_stub_must_be_free() -> None:
    taken = replace(
        SHOP, elements=(*SHOP.elements, NetworkElement("pip@munich", "/node/host/server"))
    )
    with pytest.raises(RdlError, match="pip@munich: is the id of the stub"):
        cut(taken, {**PLACED, "pip@munich": "munich"}, TRANSITS)


@pytest.mark.parametrize(
    ("relation", "placed", "reason"),
    [
        ("{same: /node/host, elements: [a, b]}", "pq", "the same /node/host, and at p, q"),
        ("{same: /node/host/pip, elements: [a, b]}", "pq", "the same /node/host/pip"),
        ("{different: /node/host/pip, elements: [a, b]}", "pp", "and 2 elements at p"),
    ],
)
def test_a_mapping_against_a_relation_is_refused(relation: str, placed: str, reason: str) -> None:
    graph = overlay(
        "  a: {attribute: /node/host}\n  b: {attribute: /node/host}\n",
        more=f"relations:\n  r: {relation}\n",
    )
    with pytest.raises(RdlError, match=r"relations\.r") as caught:
        cut(graph, dict(zip("ab", placed, strict=True)))
    assert reason in str(caught.value)
    fitting = "pp" if placed == "pq" else "pq"
    assert join(cut(graph, dict(zip("ab", fitting, strict=True)))) == graph


@st.composite
def mappings(draw: st.DrawFn) -> tuple[Graph, dict[str, str], list[Transit]]:
    """A graph, a mapping of it that fits, and transits along a chain of providers."""
    graph = draw(graphs(Layer.OVERLAY))
    graph = replace(
        graph,
        shared=(),
        relations=tuple(r for r in graph.relations if r.of != "/node/host"),
        elements=tuple(replace(element, shares=()) for element in graph.elements),
    )
    pips = ["p1", "p2", "p3", "p4"]
    placed = {node.id: draw(st.sampled_from(pips)) for node in graph.nodes}
    transits = []
    for number, (link, places) in enumerate(sorted(link_places(graph, placed).items())):
        first, last = pips.index(min(places)), pips.index(max(places))
        for one, other in zip(pips[first:last], pips[first + 1 : last + 1], strict=True):
            transits.append(Transit(link, (other, one), (100 + number, 200)))
    return graph, placed, transits


@drawn
@given(mappings())
def test_partial_graphs_are_graphs_and_join_to_the_whole_again(
    mapped: tuple[Graph, dict[str, str], list[Transit]],
) -> None:
    graph, placed, transits = mapped
    parts = cut(graph, placed, transits)
    assert all(check(part) == [] for part in parts.values())
    assert join(parts) == graph


@drawn
@given(mappings(), st.data())
def test_partial_graphs_of_which_one_was_changed_do_not_join(
    mapped: tuple[Graph, dict[str, str], list[Transit]], data: st.DataObject
) -> None:
    """What every part has of what is common to several must be the same."""
    graph, placed, transits = mapped
    parts = cut(graph, placed, transits)
    common = [(pip, e.id) for pip, part in parts.items() for e in part.links if e.is_transit]
    if not common:
        return
    pip, stub = data.draw(st.sampled_from(common))
    narrower = (Resource("/resource/bandwidth", Amount(7, Unit.BANDWIDTH_BPS)),)
    changed = [
        replace(element, resources=narrower) if element.id == stub else element
        for element in parts[pip].elements
    ]
    parts[pip] = replace(parts[pip], elements=tuple(changed))
    with pytest.raises(RdlError) as caught:
        join(parts)
    assert {each.kind for each in caught.value.mistakes} == {Kind.MAPPING}


def test_a_part_that_is_missing_twice_there_or_another_one_is_noticed() -> None:
    parts = cut(SHOP, PLACED, TRANSITS)
    berlin, munich = parts["berlin"], parts["munich"]
    renamed = replace(munich, name="other")
    without_stub = replace(
        berlin,
        elements=tuple(e for e in berlin.elements if "@" not in e.id),
        interfaces=tuple(i for i in berlin.interfaces if "@" not in i.id),
    )
    miscounted = replace(munich, relations=tuple(replace(r, elsewhere=5) for r in munich.relations))
    for wrong in (
        {},
        {"berlin": berlin, "munich": renamed},
        {"berlin": without_stub, "munich": munich},
        {"berlin": berlin, "munich": munich, "third": berlin},
        {"berlin": berlin, "munich": miscounted},
        {"berlin": berlin, "munich": Graph("g", Layer.OVERLAY)},
    ):
        with pytest.raises(RdlError) as caught:
            join(wrong)
        assert {each.kind for each in caught.value.mistakes} == {Kind.MAPPING}


def test_what_leads_to_a_provider_that_is_not_asked_stays_a_stub() -> None:
    berlin = cut(SHOP, PLACED, TRANSITS)["berlin"]
    assert join({"berlin": berlin}) == berlin
