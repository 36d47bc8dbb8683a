"""Graphs for the tests of the description language: drawn at random, or written by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings, strategies as st

from rdl.checking import check
from rdl.model import (
    Feature,
    Graph,
    Layer,
    NetworkElement,
    NetworkInterface,
    Relation,
    RelationKind,
    Resource,
    SharedResource,
)
from rdl.reading import read
from rdl.units import AMOUNT_MAX, Amount, Unit
from rdl.vocabulary import STANDARD, Meaning
from substrate.vlans import VlanSet

NODES = ("/node/host", "/node/host/server", "/node/host/server/x4150", "/node/switch")
LINKS = ("/link/ethernet", "/link/vlan", "/link/mpls/te")
WORDS = ("x86_64", "aarch64", "CH", "kvm", "debian:12", "yes", "null", "010", "1e3", "a/b+c-d")

drawn = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
"""For tests over whole graphs, which take their time to draw."""

names = st.sampled_from(
    ["a", "b", "web", "db-1", "x.y", "7", "1e3", "null", "yes", "010", "A_b", "pip@p", "a@b@c"]
)
plain = st.sampled_from(["g", "shop", "42", "true", "a.b"])
values = st.one_of(st.integers(1, 5000), st.integers(1, AMOUNT_MAX), st.just(8 << 30))
by = st.sampled_from(["", "", "vnp1", "123", "null"])


@st.composite
def resource_lists(draw: st.DrawFn, asked: bool) -> tuple[Resource, ...]:
    """Resources; any amount only where it is asked for."""
    kinds = draw(st.sets(st.sampled_from(sorted(STANDARD.resources)), max_size=2))
    found = []
    for kind in sorted(kinds):
        attribute = kind + draw(st.sampled_from(["", "/ssd", "/fast/x2"]))
        amount = Amount(draw(values), STANDARD.resources[kind])
        vague = asked and draw(st.booleans())
        found.append(Resource(attribute, None if vague else amount, draw(by)))
    return tuple(found)


@st.composite
def feature_values(draw: st.DrawFn, kind: str) -> Any:
    """A value that a feature may have."""
    known = STANDARD.features[kind]
    if known.unit is not None:
        return Amount(draw(values), known.unit)
    if known.meaning is Meaning.VLANS:
        return VlanSet.of(*draw(st.sets(st.integers(1, 4094), min_size=1, max_size=5)))
    return tuple(draw(st.sets(st.sampled_from(WORDS), min_size=1, max_size=3)))


@st.composite
def feature_lists(draw: st.DrawFn, asked: bool) -> tuple[Feature, ...]:
    """Features; any value only where it is asked for."""
    kinds = draw(st.sets(st.sampled_from(sorted(STANDARD.features)), max_size=2))
    found = []
    for kind in sorted(kinds):
        vague = asked and draw(st.booleans())
        found.append(Feature(kind, None if vague else draw(feature_values(kind)), draw(by)))
    return tuple(found)


@st.composite
def graphs(draw: st.DrawFn, layer: Layer | None = None) -> Graph:
    """Any graph without mistakes."""
    layer = layer or draw(st.sampled_from(Layer))
    asked = layer is Layer.OVERLAY
    ids = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    ends = draw(st.integers(1, len(ids)))
    generic = st.sampled_from(["/generic", ""] if asked else [""])
    shared = draw(st.lists(names, max_size=2, unique=True))
    elements = []
    for number, id_ in enumerate(ids):
        kinds, of = (NODES, "/node/host") if number < ends else (LINKS, "/link")
        attribute = of + "/generic" if draw(generic) else draw(st.sampled_from(kinds))
        parts = draw(st.sets(st.sampled_from(shared))) if shared else ()
        resources, features = draw(resource_lists(asked)), draw(feature_lists(asked))
        elements.append(NetworkElement(id_, attribute, resources, features, tuple(parts)))
    interfaces: list[NetworkInterface] = []
    for link in ids[ends:]:
        for end in range(draw(st.integers(2, 3))):
            node = draw(st.sampled_from(ids[:ends]))
            kind = draw(st.sampled_from(["/interface/ethernet", "/interface/generic"]))
            resources = draw(resource_lists(asked)) if end == 0 else ()
            interfaces.append(
                NetworkInterface(f"if{len(interfaces)}", kind, (link, node), resources)
            )
    used = {name for element in elements for name in element.shares}
    pools = tuple(
        SharedResource(name, "/resource/disk", Amount(draw(values), Unit.DATA_BYTES))
        for name in shared
        if name in used
    )
    graph = Graph(draw(plain), layer, tuple(elements), tuple(interfaces), pools)
    if not asked:
        return graph
    related = replace(graph, relations=draw(relations(ids[:ends])))
    return graph if check(related) else related


@st.composite
def relations(draw: st.DrawFn, nodes: list[str]) -> tuple[Relation, ...]:
    """Relations of nodes, which may contradict each other."""
    found = []
    for number in range(draw(st.integers(0, 2))):
        members = tuple(draw(st.sets(st.sampled_from(nodes), min_size=1)))
        kind = draw(st.sampled_from(RelationKind))
        of = draw(st.sampled_from(["/feature/architecture", "/feature/location", "/node/host"]))
        elsewhere = draw(st.integers(0 if len(members) > 1 else 1, 3))
        found.append(Relation(f"r{number}", kind, of, members, elsewhere))
    return tuple(found)


def overlay(elements: str, interfaces: str = "", more: str = "") -> Graph:
    """The overlay graph ``g`` with these lines below ``elements`` and ``interfaces``."""
    return _graph("overlay", elements, interfaces, more)


def underlay(elements: str, interfaces: str = "", more: str = "") -> Graph:
    """The underlay graph ``g`` with these lines below ``elements`` and ``interfaces``."""
    return _graph("underlay", elements, interfaces, more)


def _graph(layer: str, elements: str, interfaces: str, more: str) -> Graph:
    text = f"rdl: 1\nname: g\nlayer: {layer}\nelements:\n{elements}\n"
    if interfaces:
        text += f"interfaces:\n{interfaces}\n"
    return read(text + more).graph
