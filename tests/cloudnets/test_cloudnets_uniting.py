"""Two versions of an overlay in one, of which each is got by taking away only."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from cloudnets.asked import bandwidth_bps, nodes_at
from cloudnets.partials import amount_of
from cloudnets.uniting import United, merged, unite
from rdl.attributes import PIP, TRANSIT
from rdl.checking import checked
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
    Value,
    by_id,
)
from rdl.units import Amount, Unit
from substrate.vlans import VlanSet

CPU, BANDWIDTH, IMAGE = "/resource/cpu", "/resource/bandwidth", "/feature/image"
KVM, XEN = "/node/host/kvm", "/node/host/xen"


def cores(count: int) -> tuple[Resource, ...]:
    return (Resource(CPU, Amount(count * 1000, Unit.COMPUTE_MCORES)),)


def rate(count: int) -> tuple[Resource, ...]:
    return (Resource(BANDWIDTH, Amount(count, Unit.BANDWIDTH_BPS)),)


def graph(
    vnodes: dict[str, tuple[int, str]],
    vlinks: dict[str, tuple[str, str, int]],
    exits: dict[str, tuple[str, int, int]],
) -> Graph:
    """VNodes of so many cores and a kind; VLinks between two, or of one and a VLAN outside."""
    elements = [NetworkElement(name, kind, cores(n)) for name, (n, kind) in vnodes.items()]
    joints: list[tuple[str, str, str]] = []
    for name, (a, b, bps) in vlinks.items():
        elements.append(NetworkElement(name, "/link/generic", rate(bps)))
        joints += [(f"{name}.0", a, name), (f"{name}.1", b, name)]
    for name, (a, vlan, bps) in exits.items():
        transit, vlans = f"{name}@here@there", (Feature("/feature/vlan", VlanSet.of(vlan)),)
        elements.append(NetworkElement(name, "/link/generic", rate(bps)))
        elements.append(NetworkElement(transit, TRANSIT, rate(bps), vlans))
        joints += [(f"{name}.0", a, name), (f"{transit}@0", name, transit)]
        joints.append((f"{transit}@1", transit, "pip@there"))
    if exits:
        elements.append(NetworkElement("pip@there", PIP))
    interfaces = [NetworkInterface(n, "/interface/generic", (a, b)) for n, a, b in joints]
    return Graph("net", Layer.OVERLAY, tuple(elements), tuple(interfaces))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    names = draw(st.lists(st.sampled_from("abcd"), min_size=2, unique=True))
    kinds = st.sampled_from(["/node/host/generic", "/node/host", KVM, XEN])
    vnodes = {name: (draw(st.integers(1, 8)), draw(kinds)) for name in names}
    vlinks, exits = {}, {}
    for name in draw(st.lists(st.sampled_from("xyz"), unique=True)):
        a, b = draw(st.permutations(names))[:2]
        if draw(st.booleans()):
            vlinks[name] = (a, b, draw(st.integers(1, 9)))
        else:
            exits[name] = (a, draw(st.integers(100, 101)), draw(st.integers(1, 9)))
    return checked(graph(vnodes, vlinks, exits))


def has(united: United, version: Graph, names: dict[str, str]) -> None:
    """That everything of a version is in a union, under these names."""
    elements = by_id(united.graph.elements)
    ends, theirs = nodes_at(united.graph), nodes_at(version)
    for node in version.nodes:
        there = elements[names.get(node.id, node.id)]
        assert amount_of(there, CPU) >= amount_of(node, CPU)
        assert merged(there, node) == there
    for link in version.links:
        name = names.get(link.id, link.id)
        assert sorted(ends[name]) == sorted(names.get(n, n) for n in theirs[link.id])
        assert bandwidth_bps(elements[name]) >= bandwidth_bps(link)
        if link.is_transit:
            assert elements[name].features == link.features


@given(graphs(), graphs())
def test_a_union_has_both_versions_and_is_a_graph_that_may_be_asked_for(
    one: Graph, two: Graph
) -> None:
    united = unite(one, two)
    checked(united.graph)
    has(united, one, {})
    has(united, two, dict(united.again))
    ids = {each.id for each in (*one.elements, *two.elements)}
    assert {each.id for each in united.graph.elements} == ids | set(united.again.values())
    assert not set(united.again.values()) & ids


@given(graphs(), graphs(), graphs())
def test_a_union_of_three_has_all(one: Graph, two: Graph, three: Graph) -> None:
    first = unite(one, two)
    second = unite(first.graph, three)
    checked(second.graph)
    has(second, first.graph, {})
    has(second, three, dict(second.again))


@given(graphs(), st.integers(1, 9))
def test_a_version_and_a_part_of_it_are_the_version(whole: Graph, less: int) -> None:
    assert unite(whole, whole) == United(whole, {})
    nodes = [node.id for node in whole.nodes if node.attribute != PIP]
    part = Graph(
        "net",
        Layer.OVERLAY,
        tuple(
            NetworkElement(n, by_id(whole.elements)[n].attribute, cores(0)) for n in nodes[:less]
        ),
    )
    assert unite(whole, part) == United(whole, {})


def test_what_changes_its_kind_is_there_twice_and_said_so() -> None:
    one = graph({"a": (1, KVM), "b": (1, KVM)}, {"x": ("a", "b", 5)}, {})
    two = graph({"a": (2, XEN), "b": (1, KVM)}, {"x": ("a", "b", 5)}, {})
    united = unite(one, two)
    assert dict(united.again) == {"a": "a.2", "x": "x.2"}
    assert united.vnodes_again == ("a",)
    assert sorted(nodes_at(united.graph)["x.2"]) == ["a.2", "b"]


def test_a_vlink_is_another_one_by_its_ends_and_where_it_leaves() -> None:
    vnodes = {"a": (1, KVM), "b": (1, KVM), "c": (1, KVM)}
    inside = graph(vnodes, {"x": ("a", "b", 5)}, {})
    other = graph(vnodes, {"x": ("a", "c", 5)}, {})
    leaves = graph(vnodes, {}, {"x": ("a", 100, 5)})
    elsewhere = graph(vnodes, {}, {"x": ("a", 101, 5)})
    wider = graph(vnodes, {}, {"x": ("a", 100, 7)})
    for one, two in [(inside, other), (inside, leaves), (leaves, inside), (leaves, elsewhere)]:
        united = unite(one, two)
        assert united.again["x"] == "x.2"
        assert not united.vnodes_again
    assert unite(leaves, wider) == United(wider, {})
    # At two ports with the same VLAN: graphs do not tell.
    assert unite(leaves, leaves, {"x"}).again == {"x": "x.2", "x@here@there": "x@here@there.2"}


def test_names_that_are_taken_are_not_given_again() -> None:
    one = graph({"a": (1, KVM), "a.2": (1, KVM)}, {}, {})
    two = graph({"a": (1, XEN), "a.3": (1, XEN)}, {}, {})
    assert unite(one, two).again == {"a": "a.4"}


def element(attribute: str = KVM, **features: Value | None) -> NetworkElement:
    kinds = {"image": IMAGE, "latency": "/feature/latency", "mtu": "/feature/mtu"}
    kinds["location"] = "/feature/location"
    made = tuple(Feature(kinds[name], value) for name, value in features.items())
    return NetworkElement("a", attribute, features=made)


def us(value: int) -> Amount:
    return Amount(value, Unit.DURATION_US)


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        (element("/node/host/generic"), element(), element()),
        (element(), element("/node/host"), element()),
        (element("/node/host/generic"), element("/node/host"), element("/node/host")),
        (element(), element(XEN), None),
        (element(latency=us(5)), element(latency=us(3)), element(latency=us(3))),
        (element(latency=None), element(latency=us(3)), element(latency=us(3))),
        (element(latency=us(5)), element(), element(latency=us(5))),
        (
            element(mtu=Amount(1500, Unit.DATA_BYTES)),
            element(mtu=Amount(9000, Unit.DATA_BYTES)),
            element(mtu=Amount(9000, Unit.DATA_BYTES)),
        ),
        (
            element(location=("bern", "ulm")),
            element(location=("ulm", "wien")),
            element(location=("ulm",)),
        ),
        (element(location=("bern",)), element(location=("ulm",)), None),
        (element(location=None), element(location=None), element(location=None)),
        (element(image=("a",)), element(image=("a",)), element(image=("a",))),
        (element(image=("a",)), element(image=("b",)), None),
        (element(image=("a",)), element(), None),
    ],
)
def test_what_is_one_is_as_both_want_it(
    one: NetworkElement, two: NetworkElement, both: NetworkElement | None
) -> None:
    assert merged(one, two) == both
    assert merged(two, one) == both


def test_an_amount_that_is_left_to_others_gives_way_to_one_that_is_said() -> None:
    any_ = NetworkElement("a", KVM, (Resource(CPU, None),))
    said = NetworkElement("a", KVM, cores(2))
    assert merged(any_, said) == merged(said, any_) == said


def with_more(shared: int, kind: str, of: str, *elements: str) -> Graph:
    base = graph({"a": (1, KVM), "b": (1, KVM), "c": (1, KVM)}, {}, {})
    pool = SharedResource("pool", kind, Amount(shared, Unit.COMPUTE_MCORES))
    nodes = tuple(
        NetworkElement(n.id, n.attribute, n.resources, n.features, ("pool",)) for n in base.nodes
    )
    relation = Relation("r", RelationKind.SAME, of, elements)
    return Graph("net", Layer.OVERLAY, nodes, (), (pool,), (relation,))


def test_shared_resources_have_the_larger_amount_and_relations_of_both_hold() -> None:
    one = with_more(2, CPU, "/node/host", "a", "b")
    two = with_more(5, CPU, "/node/host", "b", "c")
    united = unite(one, two).graph
    checked(united)
    assert united.shared == two.shared
    assert [(r.id, r.elements) for r in united.relations] == [
        ("r", ("a", "b")),
        ("r.2", ("b", "c")),
    ]
    assert unite(one, one).graph == one


def test_a_shared_resource_of_another_kind_is_another_one() -> None:
    one = with_more(2, CPU, "/node/host", "a", "b")
    two = with_more(5, "/resource/cpu/fast", "/node/host", "a", "b")
    united = unite(one, two).graph
    assert [shared.id for shared in united.shared] == ["pool", "pool.2"]
    assert by_id(united.elements)["a"].shares == ("pool", "pool.2")


def test_ids_of_interfaces_are_free_for_other_ends() -> None:
    vnodes = {"a": (1, KVM), "b": (1, KVM), "c": (1, KVM)}
    one = graph(vnodes, {"x": ("a", "b", 5)}, {})
    two = graph(vnodes, {"y": ("b", "c", 5)}, {})
    renamed = tuple(
        NetworkInterface(each.id.replace("y", "x"), each.attribute, each.joins)
        for each in two.interfaces
    )
    united = unite(one, Graph("net", Layer.OVERLAY, two.elements, renamed)).graph
    checked(united)
    ends = nodes_at(united)
    assert (ends["x"], ends["y"]) == (("a", "b"), ("b", "c"))
