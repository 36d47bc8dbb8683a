"""Reading partial graphs: what a provider cannot make sense of is refused, with path and reason."""

from __future__ import annotations

import pytest
from sites import CLOUD, EAST, G, asked, example, graph, overlay

from cloudnets.partials import RELATIONS_MAX, VLINKS_MAX, VNODES_MAX, Refused, read_partial
from rdl.attributes import within
from rdl.codec import graph_to_pb, to_bytes
from rdl.completion import DEFAULTS
from substrate.model import Refusal, RefusalKind, Segment

WIRE = Segment("wire", CLOUD, 250, EAST, 120, G)
PAIR = "  a: {attribute: /node/host}\n  b: {attribute: /node/host}\n"
LEAVING = """  a: {attribute: /node/host}
  wire: {attribute: /link/generic}
  t: {attribute: /link/transit, features: {/feature/vlan: '120'}}
  p: {attribute: /node/host/pip}"""
JOINS = "a-wire wire-t t-p"


def refusal(elements: str, joins: str = "", more: str = "", *segments: Segment) -> Refusal:
    with pytest.raises(Refused) as caught:
        asked(graph("overlay", elements, joins, more), *segments)
    return caught.value.refusal


def test_a_vlink_that_leaves_ends_at_the_port_of_its_segment() -> None:
    back = Segment("wire", EAST, 120, CLOUD, 250, G)
    for segment in (WIRE, back):
        (vlink,) = asked(example("pair-at-berlin"), segment).vlinks
        assert vlink.ends == ("left", EAST)
        assert (vlink.vlan, vlink.outer_vlan, vlink.bandwidth_bps) == (250, 120, G)
        assert vlink.leaves


def test_a_vlink_without_a_bandwidth_has_that_of_its_segment() -> None:
    of = asked(graph("overlay", LEAVING, JOINS), WIRE)
    assert of.vlinks[0].bandwidth_bps == G
    (said,) = next(e for e in of.graph.elements if e.id == "wire").resources
    assert said.amount is not None
    assert (said.amount.value, said.by) == (G, "berlin")


def test_the_most_that_a_vlink_or_an_interface_of_it_asks_for_is_its_bandwidth() -> None:
    of = overlay(
        PAIR + "  w: {attribute: /link/generic, resources: {/resource/bandwidth: 1 Gb/s}}",
        "a-w",
        "  more: {attribute: /interface/ethernet, joins: [b, w],"
        " resources: {/resource/bandwidth: 2 Gb/s}}\n",
    )
    assert of.vlinks[0].bandwidth_bps == 2 * G


def test_what_only_passes_through_is_no_vlink_here() -> None:
    of = asked(
        graph(
            "overlay",
            "  a: {attribute: /node/host}\n  w: {attribute: /link/generic}\n"
            + "".join(
                f"  t{i}: {{attribute: /link/transit}}\n  p{i}: {{attribute: /node/host/pip}}\n"
                for i in (1, 2)
            ),
            "w-t1 t1-p1 w-t2 t2-p2",
        )
    )
    assert [vnode.id for vnode in of.vnodes] == ["a"]
    assert of.vlinks == ()


def test_completion_leaves_stubs_alone() -> None:
    of = asked(example("pair-at-berlin"), WIRE)
    stubs = [e for e in of.graph.elements if within(e.attribute, "/node/host/pip")]
    assert [stub.resources for stub in stubs] == [()]


@pytest.mark.parametrize(
    ("elements", "joins", "segments", "word"),
    [
        (PAIR + "  w: {attribute: /link/generic}", "a-w b-w a-w", (), "w: has 3 ends; possible"),
        (LEAVING, JOINS, (), "elements.wire: leaves here, and no segment"),
        (LEAVING, JOINS, (WIRE, WIRE), "elements.wire: more than one segment"),
        (PAIR, "", (WIRE,), "elements.wire: no VLink that leaves here"),
        (PAIR + "  wire: {attribute: /link/generic}", "a-wire b-wire", (WIRE,), "no VLink that"),
        ("  p: {attribute: /node/host/pip}", "", (), "elements: has no VNode"),
        (
            PAIR + "  w: {attribute: /link/generic, resources: {/resource/cpu: 1 core}}",
            "a-w b-w",
            (),
            "elements.w.resources./resource/cpu: possible: /resource/bandwidth",
        ),
    ],
)
def test_links_that_cannot_be_mapped_here_are_refused(
    elements: str, joins: str, segments: tuple[Segment, ...], word: str
) -> None:
    refused = refusal(elements, joins, "", *segments)
    assert refused.kind is RefusalKind.TOPOLOGY
    assert word in refused.reason


def test_a_segment_with_another_vlan_than_the_stub_is_refused() -> None:
    other = Segment("wire", CLOUD, 250, EAST, 121, G)
    refused = refusal(LEAVING, JOINS, "", other)
    assert refused.kind is RefusalKind.LABEL
    assert refused.reason == "elements.t.features./feature/vlan: is 120, and the segment has 121"


def test_a_relation_with_elements_elsewhere_must_have_been_settled() -> None:
    relation = "relations:\n  r: {same: /feature/architecture, elements: [a], elsewhere: 2}\n"
    assert "relations.r: /feature/architecture is not settled" in refusal(PAIR, "", relation).reason
    said = PAIR.replace(
        "a: {attribute: /node/host",
        "a: {attribute: /node/host, features: {/feature/architecture: x}",
    )
    assert len(overlay(said, "", relation).vnodes) == 2


def test_mistakes_of_the_graph_are_told_with_their_path() -> None:
    message = graph_to_pb(example("pair-at-berlin"))
    message.elements[0].attribute = "/node/hots"
    with pytest.raises(Refused) as caught:
        read_partial(message.SerializeToString(), (), CLOUD, "berlin", DEFAULTS)
    assert caught.value.refusal.kind is RefusalKind.TOPOLOGY
    assert "elements.left.attribute: '/node/hots' is not known" in caught.value.refusal.reason


@pytest.mark.parametrize("data", [b"\xff\xff", to_bytes(example("berlin")), b""])
def test_what_is_no_overlay_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as caught:
        read_partial(data, (), CLOUD, "berlin", DEFAULTS)
    assert caught.value.refusal.kind is RefusalKind.TOPOLOGY


def test_more_than_is_mapped_in_reasonable_time_is_refused() -> None:
    many = "\n".join(f"  v{i}: {{attribute: /node/host}}" for i in range(VNODES_MAX + 1))
    links = "\n".join(f"  w{i}: {{attribute: /link/generic}}" for i in range(VLINKS_MAX + 1))
    joins = " ".join(f"a-w{i} b-w{i}" for i in range(VLINKS_MAX + 1))
    relations = "relations:\n" + "\n".join(
        f"  r{i}: {{different: /node/host, elements: [a, b]}}" for i in range(RELATIONS_MAX + 1)
    )
    for refused, word in (
        (refusal(many), f"{VNODES_MAX + 1} VNodes; possible here: {VNODES_MAX}"),
        (refusal(PAIR + links, joins), f"possible here: {VLINKS_MAX}"),
        (refusal(PAIR, "", relations), f"possible here: {RELATIONS_MAX}"),
    ):
        assert refused.kind is RefusalKind.POLICY
        assert word in refused.reason
