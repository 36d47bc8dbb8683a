"""Several versions of a CloudNet in one, as a child orchestrator is asked for them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from cloud_world import graph as vnodes

from agents.backends.child.circuits import Circuit, Inner, Ports
from agents.backends.child.unions import crossed, others, pins, whole_of
from braid.v1 import reservations_pb2 as pb
from protocol.messages import ReservationPrep
from rdl.codec import from_bytes, to_bytes
from rdl.errors import RdlError
from rdl.model import Feature, Graph, Layer, NetworkElement
from substrate.model import RefusalKind, Segment, Window
from substrate.values import replace

PORTS = Ports({"m1:west": "d1:host", "m1:east": "d3:host"}, "m1:cloud")
WEST, EAST = ("d1:host", 100), ("d3:host", 100)


def inner(
    cores: dict[str, int],
    pairs: Iterable[tuple[str, str]] = (),
    exits: tuple[tuple[str, tuple[str, int]], ...] = (),
) -> Inner:
    return Inner(vnodes(cores, list(pairs)), exits, "r1")


def circuit(made: Inner, **placed: str) -> Circuit:
    state, span = pb.RESERVATION_STATE_COMMITTED, Window(100, 200)
    seen = Circuit("c1", "r1", "above", made.tag, span, 0, 5, state, 2, "", made)
    return replace(seen, placed=tuple(sorted(placed.items())))


def featured(graph: bytes, vnode: str, *features: Feature) -> bytes:
    known = from_bytes(graph)
    changed = tuple(_with(each, features) if each.id == vnode else each for each in known.elements)
    return to_bytes(Graph(known.name, Layer.OVERLAY, changed, known.interfaces))


def _with(each: NetworkElement, features: tuple[Feature, ...]) -> NetworkElement:
    said = {feature.attribute: feature for feature in (*each.features, *features)}
    return NetworkElement(
        each.id, each.attribute, each.resources, tuple(said.values()), each.shares
    )


def names(made: Inner) -> set[str]:
    return {each.id for each in from_bytes(made.graph).elements}


def test_one_version_is_asked_for_as_it_is_even_if_it_cannot_be_read() -> None:
    odd = Inner(b"\xff", (("x", WEST),), "r1")
    assert whole_of((odd,)).inner is odd
    with pytest.raises(RdlError):
        whole_of((odd, inner({"a": 1})))


def test_versions_are_added_and_the_first_keeps_its_names() -> None:
    one, two, three = inner({"a": 1, "b": 4}), inner({"a": 2}), inner({"b": 1, "c": 1})
    whole = whole_of((one, two, three))
    assert names(whole.inner) == {"a", "b", "c"}
    assert whole.inner == inner({"a": 2, "b": 4, "c": 1})
    assert (whole.own, whole.again) == ((), ())
    assert whole.inner.tag == one.tag


def test_a_vlink_that_leaves_elsewhere_is_there_twice_under_a_name_that_is_known_again() -> None:
    one = inner({"a": 1, "b": 1}, [("a", "b")], (("a-b", WEST),))
    same = inner({"a": 1, "b": 1}, [("a", "b")], (("a-b", WEST),))
    assert whole_of((one, same)).inner == one
    two = replace(one, exits=(("a-b", EAST),))
    whole = whole_of((one, two))
    assert dict(whole.inner.exits) == {"a-b": WEST, "a-b.2": EAST}
    assert whole.named(("a", "a-b.2", "a-b")) == ("a", "a-b")
    three = replace(one, exits=(("a-b", ("d3:host", 101)),))
    assert len(whole_of((one, two, three)).inner.exits) == 3


def test_vnodes_stay_where_the_child_has_them_unless_they_are_others() -> None:
    one = inner({"a": 1, "b": 1, "c": 1})
    image = featured(vnodes({"a": 2, "b": 1, "d": 1}), "b", Feature("/feature/image", ("x",)))
    two = Inner(image, (), "r1")
    made = circuit(one, a="berlin", b="munich", c="berlin")
    assert pins(made, two) == (("a", "berlin"),)
    assert pins(replace(made, inner=None), two) == ()


def test_what_runs_becomes_another_by_any_attribute_or_feature_but_not_by_its_size() -> None:
    one = inner({"a": 1, "b": 1})
    made = circuit(one)
    assert others(made, whole_of((one, inner({"a": 9, "c": 1})))) == ()
    place = Feature("/feature/location", ("bern",))
    narrower = Inner(featured(vnodes({"a": 1}), "a", place), (), "r1")
    assert others(made, whole_of((one, narrower))) == ("a",)
    # What is less particular than before is what it was.
    wider = whole_of((narrower, inner({"a": 1})))
    assert others(circuit(narrower), wider) == ()
    image = Inner(featured(vnodes({"b": 1}), "b", Feature("/feature/image", ("x",))), (), "r1")
    assert others(made, whole_of((one, image))) == ("b",)
    assert others(replace(made, inner=None), whole_of((one, image))) == ("b",)


@pytest.mark.parametrize("inward", [True, False])
def test_a_vlan_with_which_another_vlink_leaves_is_refused_by_the_parents_port(
    inward: bool,
) -> None:
    leaves = Segment("x", "m1:west", 100, "m1:cloud", 7, 10)
    if not inward:
        leaves = Segment("x", "m1:cloud", 7, "m1:west", 100, 10)
    passes = Segment("s", "m1:west", 101, "m1:east", 101, 10)
    prep = ReservationPrep("t", "p", "r1", 2, (passes, leaves), Window(1, 2), "above", 0)
    union = Inner(b"", (("w", WEST), ("x", WEST)), "r1")
    refusal = crossed(union, prep, PORTS)
    assert refusal is not None
    assert (refusal.kind, refusal.resource) == (RefusalKind.LABEL, "m1:west")
    assert refusal.segment_id == "x"
    apart = Inner(b"", (("w", EAST), ("x", WEST)), "r1")
    assert crossed(apart, prep, PORTS) is None
