"""From OL0 to OL1: what is unsaid is completed by rules, and it is on record by whom."""

from __future__ import annotations

from graphs import drawn, graphs, overlay
from hypothesis import given

from rdl.checking import check
from rdl.completion import DEFAULTS, Completion, Default, complete, unsaid
from rdl.model import Feature, Graph, Layer, Resource, by_id
from rdl.reading import read
from rdl.units import Amount, Unit
from rdl.writing import write

GIB = 1 << 30


def memory(amount_bytes: int, of: str = "/node/host") -> Default:
    return Default(of, Resource("/resource/memory", Amount(amount_bytes, Unit.DATA_BYTES)))


def kvm(of: str = "/node/host") -> Default:
    return Default(of, Feature("/feature/virtualization", ("kvm",)))


def host(inside: str = "", attribute: str = "/node/host/generic") -> Graph:
    return overlay(f"  a: {{attribute: {attribute}{inside}}}")


def test_what_is_absent_or_any_is_completed_by_name() -> None:
    for graph in (
        host(),
        host(", resources: {/resource/memory: any}, features: {/feature/virtualization: any}"),
    ):
        done = complete(graph, [memory(GIB), kvm()], "vnp1")
        (a,) = done.graph.elements
        assert a.resources == (Resource("/resource/memory", Amount(GIB, Unit.DATA_BYTES), "vnp1"),)
        assert a.features == (Feature("/feature/virtualization", ("kvm",), "vnp1"),)
        assert done.completions == (
            Completion("elements.a.resources./resource/memory", a.resources[0]),
            Completion("elements.a.features./feature/virtualization", a.features[0]),
        )


def test_what_is_said_stays() -> None:
    graph = host(
        ", resources: {/resource/memory: {amount: 2 GiB, by: user}},"
        " features: {/feature/virtualization: [xen, kvm]}"
    )
    assert complete(graph, [memory(GIB), kvm()], "vnp1").graph == graph


def test_what_is_said_more_precisely_is_said() -> None:
    graph = host(", resources: {/resource/memory/ddr5: 2 GiB}")
    assert complete(graph, [memory(GIB)], "vnp1").completions == ()
    vague = host(", resources: {/resource/memory/ddr5: any}")
    (completion,) = complete(vague, [memory(GIB)], "vnp1").completions
    assert completion.field == "elements.a.resources./resource/memory/ddr5"


def test_the_most_precise_rule_holds_then_the_first() -> None:
    rules = [memory(1), memory(2), memory(3, "/node/host/server"), memory(4, "/node")]
    for attribute, expected in (
        ("/node/host/generic", 1),
        ("/node/host", 1),
        ("/node/host/server/x4150", 3),
        ("/node/switch", 4),
        ("/node/generic", 4),
    ):
        (completion,) = complete(host(attribute=attribute), rules, "vnp1").completions
        assert isinstance(completion.said, Resource)
        assert completion.said.amount == Amount(expected, Unit.DATA_BYTES)


STUBS = """\
  a: {attribute: /node/host/server}
  w: {attribute: /link/generic}
  w@p@q: {attribute: /link/transit}
  pip@q: {attribute: /node/host/pip}"""
JOINTS = """\
  i: {attribute: /interface/generic, joins: [a, w]}
  j: {attribute: /interface/generic, joins: [w, w@p@q]}
  k: {attribute: /interface/generic, joins: [w@p@q, pip@q]}"""


def test_stubs_are_not_completed() -> None:
    done = complete(overlay(STUBS, JOINTS), DEFAULTS, "p")
    assert {each.field.split(".")[1] for each in done.completions} == {"a", "w"}


def test_interfaces_are_completed_too() -> None:
    mtu = Feature("/feature/mtu", Amount(1500, Unit.DATA_BYTES))
    done = complete(overlay(STUBS, JOINTS), [Default("/interface", mtu)], "p")
    assert [each.field for each in done.completions] == [
        f"interfaces.{name}.features./feature/mtu" for name in "ijk"
    ]


RELATION = "relations:\n  r: {same: /feature/virtualization, elements: [a, b]}\n"
THREE = "".join(f"  {name}: {{attribute: /node/host}}\n" for name in "abc")


def test_what_a_relation_leaves_open_is_not_chosen() -> None:
    done = complete(overlay(THREE, more=RELATION), [kvm()], "vnp1")
    assert [each.field.split(".")[1] for each in done.completions] == ["c"]


def test_a_part_in_a_shared_resource_is_enough() -> None:
    pool = "shared:\n  pool: {attribute: /resource/memory, amount: 2 GiB}\n"
    graph = overlay("  a: {attribute: /node/host, shares: [pool]}\n", more=pool)
    assert complete(graph, [memory(GIB)], "vnp1").completions == ()


def test_one_party_completes_what_the_other_left() -> None:
    first = complete(host(), [memory(GIB)], "vnp1").graph
    second = complete(first, [memory(2 * GIB), kvm()], "pip1").graph
    (a,) = second.elements
    assert (a.resources[0].by, a.features[0].by) == ("vnp1", "pip1")
    assert read(write(second)).graph == second


@drawn
@given(graphs(Layer.OVERLAY))
def test_completing_changes_nothing_that_was_said_and_is_done_at_once(graph: Graph) -> None:
    done = complete(graph, (*DEFAULTS, kvm()), "vnp1")
    assert check(done.graph) == []
    assert complete(done.graph, (*DEFAULTS, kvm()), "other").completions == ()
    completed = by_id(done.graph.elements)
    for element in graph.elements:
        after = completed[element.id]
        assert {r for r in element.resources if r.amount} <= set(after.resources)
        assert {f for f in element.features if f.value} <= set(after.features)
    recorded = {each.said for each in done.completions}
    for element in done.graph.elements:
        old = by_id(graph.elements)[element.id]
        assert set(element.resources) - set(old.resources) <= recorded
        assert set(element.features) - set(old.features) <= recorded


@drawn
@given(graphs(Layer.OVERLAY))
def test_what_is_completed_is_no_longer_unsaid(graph: Graph) -> None:
    done = complete(graph, DEFAULTS, "vnp1")
    left = {each.field for each in unsaid(done.graph)}
    assert left <= {each.field for each in unsaid(graph)}
    assert left.isdisjoint(each.field for each in done.completions)


def test_what_is_unsaid_is_told_with_what_would_be_made_of_it() -> None:
    graph = overlay(
        "  a:\n"
        "    attribute: /node/host/generic\n"
        "    resources: {/resource/cpu: 2 cores, /resource/memory: any}\n"
        "    features: {/feature/location: any, /feature/architecture: [x86_64, aarch64]}\n"
        "  b: {attribute: /node/switch}\n",
        more="relations:\n  r: {different: /node/host/pip, elements: [a, b], elsewhere: 2}\n",
    )
    assert [(each.field, each.reason) for each in unsaid(graph)] == [
        ("elements.a.attribute", "any /node/host: which kind of node is left to others"),
        ("elements.a.features./feature/architecture", "any of aarch64, x86_64"),
        ("elements.a.features./feature/location", "any value"),
        ("elements.a.resources./resource/disk", "not said; 8 GiB when nobody knows better"),
        ("elements.a.resources./resource/memory", "any amount; 1 GiB when nobody knows better"),
        ("relations.r", "different /node/host/pip of a, b and 2 elsewhere: not decided"),
    ]
