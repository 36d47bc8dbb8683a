"""YAML, messages and bytes say the same: nothing is lost from one to the other."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from graphs import drawn, graphs
from hypothesis import given, settings, strategies as st

from braid.v1 import rdl_pb2 as pb
from rdl.checking import check
from rdl.codec import from_bytes, graph_from_pb, graph_to_pb, to_bytes
from rdl.errors import Kind, Mistake, RdlError
from rdl.limits import Limits
from rdl.model import Graph, Layer
from rdl.reading import read
from rdl.writing import write

EXAMPLE = """\
rdl: 1
name: g
layer: overlay
elements:
  a:
    attribute: /node/host/generic
    resources: {/resource/cpu: 2 cores, /resource/memory: any}
    features: {/feature/architecture: [x86_64, aarch64]}
  b: {attribute: /node/host/server}
  w:
    attribute: /link/generic
    resources: {/resource/bandwidth: {amount: 1 Gb/s, by: vnp1}}
    features: {/feature/latency: 5 ms, /feature/vlan: '100-199'}
interfaces:
  i: {attribute: /interface/ethernet, joins: [a, w]}
  j: {attribute: /interface/ethernet, joins: [b, w]}
relations:
  r: {same: /feature/architecture, elements: [a, b]}
"""


@drawn
@given(graphs())
def test_what_is_drawn_has_no_mistake(graph: Graph) -> None:
    assert check(graph) == []


@drawn
@given(graphs())
def test_yaml_loses_nothing(graph: Graph) -> None:
    assert read(write(graph)).graph == graph


@drawn
@given(graphs())
def test_messages_lose_nothing(graph: Graph) -> None:
    assert graph_from_pb(graph_to_pb(graph)) == graph


@drawn
@given(graphs())
def test_bytes_lose_nothing(graph: Graph) -> None:
    assert from_bytes(to_bytes(graph)) == graph


@drawn
@given(graphs())
def test_from_yaml_to_messages_to_bytes_and_back_to_yaml_nothing_changes(graph: Graph) -> None:
    text = write(graph)
    message = graph_to_pb(read(text).graph)
    stored = to_bytes(graph_from_pb(message))
    assert write(from_bytes(stored)) == text


@drawn
@given(graphs(), st.randoms())
def test_the_same_graph_in_another_order_has_the_same_bytes(
    graph: Graph, chance: random.Random
) -> None:
    message = graph_to_pb(graph)
    lists: list[Any] = [message.elements, message.interfaces, message.shared, message.relations]
    for repeated in lists:
        shuffled = list(repeated)
        chance.shuffle(shuffled)
        del repeated[:]
        repeated.extend(shuffled)
    for element in message.elements:
        element.resources.reverse()
        element.features.reverse()
        element.shares.reverse()
    for interface in message.interfaces:
        interface.joins.reverse()
    assert to_bytes(graph_from_pb(message)) == to_bytes(graph)


def test_the_bytes_in_databases_stay_as_they_are() -> None:
    assert to_bytes(read(EXAMPLE).graph).hex() == GOLDEN


def test_wire_types_are_what_people_wrote() -> None:
    message = graph_to_pb(read(EXAMPLE).graph)
    a, _, w = message.elements
    assert a.resources[0].amount.compute_mcores == 2000
    assert not a.resources[1].HasField("amount")
    assert list(a.features[0].words.words) == ["aarch64", "x86_64"]
    assert w.resources[0].amount.bandwidth_bps == 10**9
    assert w.resources[0].by == "vnp1"
    assert w.features[0].amount.duration_us == 5000
    assert [(r.first, r.last) for r in w.features[1].vlans.ranges] == [(100, 199)]


@settings(max_examples=200)
@given(st.data())
def test_a_spoilt_text_gives_a_graph_or_mistakes_with_line_and_column(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(EXAMPLE) - 1))
    length = data.draw(st.integers(0, 12))
    inserted = data.draw(st.text("ab:{}[],'\"&*!|>-# \n\t0189/\x00é", max_size=6))
    spoilt = EXAMPLE[:at] + inserted + EXAMPLE[at + length :]
    graph, mistakes = attempted(lambda: read(spoilt).graph)
    if graph is not None:
        assert read(write(graph)).graph == graph
    for mistake in mistakes:
        assert mistake.line is not None
        assert mistake.column is not None
        assert 1 <= mistake.line <= spoilt.count("\n") + 2
        assert mistake.reason


@settings(max_examples=200)
@given(st.binary(max_size=40), st.integers(0, 200), st.integers(0, 40))
def test_spoilt_bytes_give_a_graph_or_mistakes(noise: bytes, at: int, length: int) -> None:
    data = to_bytes(read(EXAMPLE).graph)
    graph, mistakes = attempted(lambda: from_bytes(data[:at] + noise + data[at + length :]))
    assert mistakes if graph is None else check(graph) == []


def attempted(make: Callable[[], Graph]) -> tuple[Graph | None, tuple[Mistake, ...]]:
    """A graph, or its mistakes."""
    try:
        return make(), ()
    except RdlError as error:
        return None, error.mistakes


def broken(change: Callable[[pb.Graph], None]) -> RdlError:
    message = graph_to_pb(read(EXAMPLE).graph)
    change(message)
    with pytest.raises(RdlError) as caught:
        graph_from_pb(message)
    return caught.value


def test_messages_are_checked_as_texts_are() -> None:
    def unknown(message: pb.Graph) -> None:
        message.elements[0].attribute = "/nod/host"

    def unitless(message: pb.Graph) -> None:
        message.elements[0].resources[0].amount.Clear()

    def negative(message: pb.Graph) -> None:
        message.elements[0].resources[0].amount.compute_mcores = -1

    def too_much(message: pb.Graph) -> None:
        message.elements[0].resources[0].amount.compute_mcores = 2 * 10**18

    def wrong_unit(message: pb.Graph) -> None:
        message.elements[0].resources[0].amount.data_bytes = 1

    def one_end(message: pb.Graph) -> None:
        message.interfaces[0].joins.pop()

    def no_layer(message: pb.Graph) -> None:
        message.layer = pb.GRAPH_LAYER_UNSPECIFIED

    def twice(message: pb.Graph) -> None:
        message.elements.append(message.elements[0])

    def bad_vlans(message: pb.Graph) -> None:
        message.elements[2].features[1].vlans.ranges[0].last = 9999

    def no_vlans(message: pb.Graph) -> None:
        del message.elements[2].features[1].vlans.ranges[:]

    def no_words(message: pb.Graph) -> None:
        message.elements[0].features[0].words.Clear()

    def word_for_bound(message: pb.Graph) -> None:
        message.elements[2].features[0].words.words.append("fast")

    cases = [
        (unknown, Kind.ATTRIBUTE, "elements.a.attribute"),
        (unitless, Kind.AMOUNT, "elements.a.resources./resource/cpu"),
        (negative, Kind.AMOUNT, "elements.a.resources./resource/cpu"),
        (too_much, Kind.AMOUNT, "elements.a.resources./resource/cpu"),
        (wrong_unit, Kind.AMOUNT, "elements.a.resources./resource/cpu"),
        (one_end, Kind.DANGLING, "interfaces.i.joins"),
        (no_layer, Kind.SCHEMA, "layer"),
        (twice, Kind.DUPLICATE, "elements.a"),
        (bad_vlans, Kind.VALUE, "elements.w.features./feature/vlan"),
        (no_vlans, Kind.VALUE, "elements.w.features./feature/vlan"),
        (no_words, Kind.VALUE, "elements.a.features./feature/architecture"),
        (word_for_bound, Kind.VALUE, "elements.w.features./feature/latency"),
    ]
    for change, kind, field in cases:
        error = broken(change)
        assert [(m.kind, m.field) for m in error.mistakes] == [(kind, field)], change
        assert not error.exhausted
        assert error.mistakes[0].line is None


def test_a_message_that_is_none_is_refused() -> None:
    with pytest.raises(RdlError, match="is not a message"):
        from_bytes(b"\xff\xff")


def test_too_many_bytes_or_objects_are_exhaustion() -> None:
    graph = read(EXAMPLE).graph
    for limits in (Limits(size_bytes=100), Limits(objects=5)):
        for attempt in (
            lambda limits=limits: from_bytes(to_bytes(graph), limits=limits),
            lambda limits=limits: graph_from_pb(graph_to_pb(graph), limits=limits),
            lambda limits=limits: read(EXAMPLE, limits=limits),
        ):
            with pytest.raises(RdlError) as caught:
                attempt()
            assert caught.value.exhausted


def test_an_empty_overlay_is_a_graph() -> None:
    empty = Graph("g", Layer.OVERLAY)
    assert read(write(empty)).graph == empty


GOLDEN = (
    "0a016710021a6d0a016112122f6e6f64652f686f73742f67656e657269631a140a0d2f7265736f757263652f"
    "637075120318d00f1a120a102f7265736f757263652f6d656d6f7279222a0a152f666561747572652f617263"
    "68697465637475726512110a07616172636836340a067838365f36341a160a016212112f6e6f64652f686f73"
    "742f7365727665721a6a0a0177120d2f6c696e6b2f67656e657269631a230a132f7265736f757263652f6261"
    "6e6477696474681206088094ebdc031a04766e703122170a102f666561747572652f6c6174656e63791a0328"
    "882722180a0d2f666561747572652f766c616e22070a05086410c701221e0a016912132f696e746572666163"
    "652f65746865726e65741a01611a0177221e0a016a12132f696e746572666163652f65746865726e65741a01"
    "621a017732220a017210011a152f666561747572652f617263686974656374757265220161220162"
)
