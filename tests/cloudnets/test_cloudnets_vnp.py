"""The VNP's mapping, held against trying everything; relations, lessons, what is short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import pytest
from clouds import BANDWIDTH, G, asks, link, node, overlay, placements, told
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from cloudnets.vnp import (
    Ask,
    Circuit,
    Lesson,
    Shortfall,
    TransitLink,
    VnpMapping,
    map_overlay,
    partials,
)
from embedding.model import ModelError
from embedding.objectives import OBJECTIVES, Terms, terms, tie
from embedding.problem import Problem
from rdl.aggregation import aggregate
from rdl.checking import check
from rdl.codec import from_bytes
from rdl.errors import RdlError
from rdl.model import Feature, Graph, Layer, NetworkElement, Relation, RelationKind, Words, by_id
from rdl.partial import join
from rdl.relations import words_of
from rdl.units import Amount, Unit
from substrate.model import SHORTAGES_MAX, RefusalKind

ROUNDING = 1e-3
STAR = tuple(TransitLink(pip, "wan", 10 * G, 1000) for pip in ("berlin", "munich", "ulm"))
PAIR = """\
  web: {attribute: /node/host/generic, resources: {/resource/cpu: 4 cores}}
  db: {attribute: /node/host/server, resources: {/resource/cpu: 4 cores}}
  wire: {attribute: /link/generic, resources: {/resource/bandwidth: 1 Gb/s}}"""
JOINED = """\
  i0: {attribute: /interface/ethernet, joins: [web, wire]}
  i1: {attribute: /interface/ethernet, joins: [db, wire]}"""


def pair(more: str = "") -> Graph:
    return overlay(PAIR, JOINED, more)


def small(cores: int = 5, **features: tuple[Feature, ...]) -> dict[str, Graph]:
    """Two providers, each with room for one of the pair."""
    return {name: told(name, cores, 64, features.get(name, ())) for name in ("berlin", "munich")}


def mapped(ask: Ask) -> VnpMapping:
    found = map_overlay(ask)
    assert isinstance(found, VnpMapping), found
    return found


def short(ask: Ask) -> Shortfall:
    found = map_overlay(ask)
    assert isinstance(found, Shortfall), found
    assert found.proven
    return found


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asks())
def test_the_cheapest_mapping_is_found_and_proven(ask: Ask) -> None:
    possible = list(placements(ask))
    found = map_overlay(ask)
    if isinstance(found, Shortfall):
        assert not possible, found
        assert found.proven
        assert found.reason
        return
    best = min(price for _, price in possible)
    prices = {tuple(sorted(placed.items())): price for placed, price in possible}
    assert found.objective == pytest.approx(prices[tuple(sorted(found.placed.items()))])
    assert found.status == "optimal"
    assert found.bound <= best + ROUNDING
    assert best <= found.objective + ROUNDING <= best / 0.99 + 2 * ROUNDING


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asks(), st.data())
def test_a_mapping_gives_partial_graphs_that_join_to_the_whole(
    ask: Ask, data: st.DataObject
) -> None:
    found = map_overlay(ask)
    if isinstance(found, Shortfall):
        return
    vlan = st.integers(1, 4094)
    vlans = {each.vlink: data.draw(st.tuples(vlan, vlan)) for each in found.circuits}
    parts = {pip: from_bytes(part) for pip, part in partials(found, vlans).items()}
    assert set(parts) == set(found.placed.values())
    assert join(parts) == found.graph
    for circuit in found.circuits:
        stub = "@".join((circuit.vlink, *sorted((circuit.a, circuit.b))))
        for pip, vlan_there in zip((circuit.a, circuit.b), vlans[circuit.vlink], strict=True):
            (feature,) = by_id(parts[pip].elements)[stub].features
            assert str(feature.value) == str(vlan_there)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asks(), st.data())
def test_what_can_stay_stays(ask: Ask, data: st.DataObject) -> None:
    """As few VNodes as possible are moved, whatever is cheaper."""
    names = [each.id for each in ask.graph.nodes]
    pips = st.sampled_from(sorted(ask.pips))
    present = data.draw(st.dictionaries(st.sampled_from(names), pips, min_size=1))
    found = map_overlay(replace(ask, present=present))
    possible = list(placements(ask))
    assert isinstance(found, VnpMapping) == bool(possible)
    if isinstance(found, VnpMapping):

        def moved(placed: object) -> int:
            assert isinstance(placed, dict)
            return sum(placed[name] != pip for name, pip in present.items())

        assert moved(dict(found.placed)) == min(moved(placed) for placed, _ in possible)


def test_what_fits_at_one_provider_goes_there_and_needs_no_circuit() -> None:
    found = mapped(Ask(pair(), {"berlin": told("berlin", 8), "munich": told("munich", 4)}, STAR))
    assert found.placed == {"web": "berlin", "db": "berlin"}
    assert found.circuits == ()
    assert (found.objective, found.gap, found.proof_scope) == (0, 0, "whole")


def test_a_circuit_has_the_providers_in_the_order_of_the_ends() -> None:
    wire, joints = link("l", "b", "a", 300, 2500)
    graph = Graph("g", Layer.OVERLAY, (node("a", 4), node("b", 4), wire), joints)
    found = mapped(Ask(graph, small(), STAR, placing={"b": "munich"}))
    assert found.circuits == (Circuit("l", "munich", "berlin", 300_000_000, 2500),)


def test_what_is_said_of_the_bandwidth_of_a_circuit_stands_in_the_graph() -> None:
    """A VLink that stays inside is left to its provider."""
    vague = overlay(PAIR.replace(", resources: {/resource/bandwidth: 1 Gb/s}", ""), JOINED)
    found = map_overlay(Ask(vague, small(), STAR), by="vnp7")
    assert isinstance(found, VnpMapping)
    (said,) = by_id(found.graph.elements)["wire"].resources
    assert (said.attribute, str(said.amount), said.by) == (BANDWIDTH, "100 Mb/s", "vnp7")
    assert found.circuits[0].bandwidth_bps == 100_000_000
    assert mapped(Ask(vague, small(8), STAR)).graph == vague


def test_a_shared_resource_counts_once_and_keeps_its_users_together() -> None:
    more = "shared:\n  pool: {attribute: /resource/memory, amount: 6 GiB}\n"
    graph = overlay(PAIR.replace("cores}}", "cores}, shares: [pool]}"), JOINED, more)
    found = mapped(Ask(graph, {"a": told("a", 8, 6), "b": told("b", 8, 5)}))
    assert set(found.placed.values()) == {"a"}
    none = short(Ask(graph, {"a": told("a", 7, 6), "b": told("b", 8, 5)}))
    assert "db, web, which must be at one provider" in none.reason


SAME = "relations:\n  r: {same: /feature/architecture, elements: [web, db]}\n"
OTHER = "relations:\n  r: {different: /feature/architecture, elements: [web, db]}\n"


def architecture(*words: str) -> tuple[Feature, ...]:
    return (Feature("/feature/architecture", words),)


def values(graph: Graph) -> dict[str, tuple[str, ...] | None]:
    elements = by_id(graph.elements)
    return {name: words_of(elements[name], "/feature/architecture") for name in ("web", "db")}


def test_one_provider_settles_a_relation_itself() -> None:
    found = mapped(Ask(pair(SAME), small(8), STAR))
    assert values(found.graph) == {"web": None, "db": None}


def test_the_same_value_is_one_that_all_providers_told() -> None:
    pips = small(berlin=architecture("arm", "mips", "x86"), munich=architecture("mips", "ppc"))
    found = mapped(Ask(pair(SAME), pips, STAR))
    assert values(found.graph) == {"web": ("mips",), "db": ("mips",)}
    said = {f.by for each in found.graph.nodes for f in each.features}
    assert said == {"vnp"}


def test_providers_with_nothing_in_common_are_not_taken_together() -> None:
    """Though it is cheaper there."""
    pips = small(berlin=architecture("arm"), munich=architecture("mips"))
    pips["ulm"] = told("ulm", 5, 64, architecture("arm"))
    dear = (*STAR[:2], replace(STAR[2], price=9))
    found = mapped(Ask(pair(SAME), pips, dear))
    assert set(found.placed.values()) == {"berlin", "ulm"}
    assert values(found.graph) == {"web": ("arm",), "db": ("arm",)}


def test_where_nobody_tells_the_elements_themselves_decide() -> None:
    graph = pair(SAME)
    elements = by_id(graph.elements)
    elements["db"] = replace(elements["db"], features=architecture("x86", "arm"))
    found = mapped(Ask(replace(graph, elements=tuple(elements.values())), small(), STAR))
    assert values(found.graph) == {"web": ("arm",), "db": ("arm",)}


def test_where_nobody_says_anything_one_provider_has_to_decide() -> None:
    """Both would fit apart at less load; only together somebody can settle it."""
    pips = {"berlin": told("berlin", 9), "munich": told("munich", 9)}
    found = mapped(Ask(pair(SAME), pips, STAR, objective="load"))
    assert len(set(found.placed.values())) == 1
    none = short(Ask(pair(SAME), small(), STAR))
    assert none.resource == "/feature/architecture"
    assert "relation r" in none.reason


def test_different_values_are_picked_from_what_is_known() -> None:
    pips = small(berlin=architecture("arm", "x86"), munich=architecture("arm"))
    found = mapped(Ask(pair(OTHER), pips, STAR))
    at = {pip: name for name, pip in found.placed.items()}
    assert values(found.graph)[at["munich"]] == ("arm",)
    assert values(found.graph)[at["berlin"]] == ("x86",)
    alike = small(berlin=architecture("arm"), munich=architecture("arm"))
    assert short(Ask(pair(OTHER), alike, STAR)).resource == "/feature/architecture"


WORDS = st.sets(st.sampled_from(("arm", "mips", "x86")), min_size=1, max_size=2)


@st.composite
def related(draw: st.DrawFn) -> tuple[Ask, dict[str, Words | None], dict[str, Words | None]]:
    """Three VNodes in a row and a relation of some; what VNodes say and providers tell of it."""
    words = st.none() | WORDS.map(lambda some: tuple(sorted(some)))
    names, pips = ("v0", "v1", "v2"), ("p0", "p1", "p2")
    said = {name: draw(words) for name in names}
    tells = {pip: draw(words) for pip in pips}
    nodes = [
        replace(node(name, 2), features=() if some is None else architecture(*some))
        for name, some in said.items()
    ]
    wires = [link("l0", "v0", "v1", 100), link("l1", "v1", "v2", 300)]
    members = tuple(draw(st.sets(st.sampled_from(names), min_size=2)))
    kind = draw(st.sampled_from(RelationKind))
    graph = Graph(
        "g",
        Layer.OVERLAY,
        (*nodes, *(wire for wire, _ in wires)),
        tuple(joint for _, joints in wires for joint in joints),
        relations=(Relation("r", kind, "/feature/architecture", members),),
    )
    assume(not check(graph))
    aggregates = {
        pip: told(pip, draw(st.integers(1, 6)), 64, architecture(*some) if some else ())
        for pip, some in tells.items()
    }
    links = tuple(TransitLink(pip, "wan", G, 0, draw(st.integers(0, 3))) for pip in pips)
    return Ask(graph, aggregates, links), said, tells


def has_values(
    relation: Relation,
    placed: Mapping[str, str],
    said: Mapping[str, Words | None],
    tells: Mapping[str, Words | None],
) -> bool:
    """Whether the elements could have values where they are, by trying all."""
    domains: dict[str, set[str] | None] = {}
    for name in placed:
        limits = [set(some) for some in (said[name], tells[placed[name]]) if some is not None]
        domains[name] = set.intersection(*limits) if limits else None
    if set() in domains.values():
        return False
    if len({placed[name] for name in relation.elements}) == 1:
        return True
    everybody = [said[name] for name in relation.elements] + list(tells.values())
    known = {word for words in everybody for word in words or ()}
    choices = [known if (some := domains[name]) is None else some for name in relation.elements]
    wanted = 1 if relation.kind is RelationKind.SAME else len(relation.elements)
    return any(len(set(way)) == wanted for way in product(*choices))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(related())
def test_the_cheapest_mapping_for_which_a_relation_has_values_is_found(
    drawn: tuple[Ask, dict[str, Words | None], dict[str, Words | None]],
) -> None:
    ask, said, tells = drawn
    (relation,) = ask.graph.relations
    prices = [price for p, price in placements(ask) if has_values(relation, p, said, tells)]
    found = map_overlay(ask)
    if not prices:
        assert isinstance(found, Shortfall)
        assert found.proven
        return
    assert isinstance(found, VnpMapping), found
    assert found.bound <= min(prices) + ROUNDING
    assert min(prices) - ROUNDING <= found.objective <= min(prices) / 0.99 + ROUNDING
    assert has_values(relation, found.placed, said, tells)
    assert check(found.graph) == []


def test_who_tells_nothing_may_have_a_value_that_another_had_before_more_was_said() -> None:
    """v0 is mips and v1 arm at p1; only x86 is left for v2, which v1 alone had told."""
    said = {"v0": ("arm", "mips"), "v1": ("arm", "x86")}
    nodes = [
        replace(node(name, 2), features=architecture(*said[name]) if name in said else ())
        for name in ("v0", "v1", "v2")
    ]
    wires = [link("l0", "v0", "v1", 100), link("l1", "v1", "v2", 300)]
    differ = Relation("r", RelationKind.DIFFERENT, "/feature/architecture", ("v0", "v1", "v2"))
    graph = Graph(
        "g",
        Layer.OVERLAY,
        (*nodes, *(wire for wire, _ in wires)),
        tuple(joint for _, joints in wires for joint in joints),
        relations=(differ,),
    )
    pips = {"p1": told("p1", 4, 64, architecture("arm", "mips")), "p2": told("p2", 2)}
    found = mapped(Ask(graph, pips, tuple(TransitLink(pip, "wan", G, 0, 1) for pip in pips)))
    assert found.placed == {"v0": "p1", "v1": "p1", "v2": "p2"}


@pytest.mark.parametrize("of", ["/node/host", "/node/host/pip", "/node/host/server"])
def test_the_same_host_means_the_same_provider(of: str) -> None:
    graph = pair(f"relations:\n  r: {{same: {of}, elements: [web, db]}}\n")
    found = mapped(Ask(graph, {"a": told("a", 5), "b": told("b", 5), "c": told("c", 8)}))
    assert set(found.placed.values()) == {"c"}
    assert short(Ask(graph, small(7))).resource == "/resource/cpu"


def test_different_providers_are_different_and_different_hosts_may_be_at_one() -> None:
    pips = small(8)
    apart = pair("relations:\n  r: {different: /node/host/pip, elements: [web, db]}\n")
    assert len(set(mapped(Ask(apart, pips, STAR)).placed.values())) == 2
    hosts = pair("relations:\n  r: {different: /node/host, elements: [web, db]}\n")
    assert len(set(mapped(Ask(hosts, pips, STAR)).placed.values())) == 1
    both = "relations:\n  r: {different: /node/host/pip, elements: [web, db]}\n" + (
        "  s: {same: /node/host, elements: [web, db]}\n"
    )
    none = short(Ask(pair(both), pips, STAR))
    assert (none.resource, none.where) == ("/node/host/pip", "all providers")
    assert set(none.elements) == {"web", "db"}


def test_what_a_provider_tells_of_features_is_heeded_and_what_it_does_not_is_no_hindrance() -> None:
    """Decision 20."""
    graph = pair()
    elements = by_id(graph.elements)
    elements["db"] = replace(elements["db"], features=architecture("x86"))
    graph = replace(graph, elements=tuple(elements.values()))
    pips = {"berlin": told("berlin", 9, 64, architecture("arm")), "munich": told("munich", 9)}
    assert set(mapped(Ask(graph, pips)).placed.values()) == {"munich"}
    none = short(Ask(graph, {"berlin": pips["berlin"]}))
    assert none.resource == "/feature/architecture"
    assert (none.kind, none.elements) == (RefusalKind.FEATURE, ("db",))
    assert "asked x86, is arm" in none.reason


def test_some_of_a_resource_must_be_there() -> None:
    graph = overlay("  a: {attribute: /node/host, resources: {/resource/disk/ssd: any}}")
    none = short(Ask(graph, small()))
    assert (none.resource, none.where) == ("/resource/disk", "all providers")


def test_a_switch_may_be_at_any_provider() -> None:
    graph = overlay("  s: {attribute: /node/switch}")
    assert mapped(Ask(graph, small())).placed["s"] in small()


def test_what_is_short_is_told_with_how_much_and_where() -> None:
    pips = {name: told(name, 5) for name in ("berlin", "munich")}
    third = PAIR.replace("web:", "app:").splitlines()[0]
    everywhere = short(Ask(overlay(f"{PAIR}\n{third}", JOINED), pips))
    assert everywhere == Shortfall(
        everywhere.reason,
        "/resource/cpu",
        "all providers",
        2000,
        12_000,
        kind=RefusalKind.RESOURCE,
        elements=everywhere.elements,
        shortages=everywhere.shortages,
    )
    assert set(everywhere.elements) == {"app", "web", "db"}
    assert "2 cores short" in everywhere.reason
    one = short(Ask(overlay(PAIR.splitlines()[0]), {"a": told("a", 1), "b": told("b", 3)}))
    assert (one.resource, one.where, one.short, one.asked) == ("/resource/cpu", "b", 1000, 4000)
    assert "for web" in one.reason
    assert one.elements == ("web",)


def test_the_one_provider_that_could_take_any_is_told_instead_of_all() -> None:
    none = short(Ask(pair(), {"berlin": told("berlin", 3), "munich": told("munich", 4)}))
    assert (none.where, none.short, none.asked) == ("munich", 4000, 8000)
    assert "4 cores short at munich" in none.reason


@pytest.mark.parametrize("asked", ["4 TB", "999999999999 B", "3 TiB"])
def test_what_is_short_is_told_to_the_byte(asked: str) -> None:
    graph = overlay(f"  a: {{attribute: /node/host, resources: {{/resource/memory: {asked}}}}}")
    (memory,) = (r.amount.value for r in graph.nodes[0].resources if r.amount)
    none = short(Ask(graph, {"a": told("a", 1, 3), "b": told("b", 1, 7)}))
    assert (none.where, none.short, none.asked) == ("b", memory - (7 << 30), memory)
    assert [each.short for each in none.shortages] == [memory - (7 << 30), memory - (3 << 30)]


def test_everything_that_is_short_is_told_at_each_provider_that_was_possible() -> None:
    big = (
        "  a: {attribute: /node/host, resources: {/resource/cpu: 9 cores, /resource/memory: 9 GiB}}"
    )
    db = "  b: {attribute: /node/host, resources: {/resource/cpu: 7 cores}}"
    elements = by_id((graph := overlay(f"{big}\n{db}")).elements)
    elements["b"] = replace(elements["b"], features=architecture("arm"))
    graph = replace(graph, elements=tuple(elements.values()))
    pips = {
        "berlin": told("berlin", 5, 8, architecture("arm")),
        "munich": told("munich", 6, 4, architecture("x86")),
    }
    none = short(Ask(graph, pips))
    assert [(s.where, s.resource, s.short, s.elements) for s in none.shortages] == [
        ("berlin", "/resource/cpu", 4000, ("a",)),
        ("berlin", "/resource/memory", 1 << 30, ("a",)),
        ("munich", "/resource/cpu", 3000, ("a",)),
        ("munich", "/resource/memory", 5 << 30, ("a",)),
        ("berlin", "/resource/cpu", 2000, ("b",)),
    ]
    assert "2 cores short at berlin, for b (no host has more than 5 cores)" in none.reason


def test_providers_that_are_short_of_the_same_are_told_together_and_no_more_than_32() -> None:
    one = overlay("  a: {attribute: /node/host, resources: {/resource/cpu: 9 cores}}")
    none = short(Ask(one, {name: told(name, 5) for name in ("berlin", "munich")}))
    assert none.where == "all providers"
    assert len(none.shortages) == 1
    many = short(Ask(one, {f"p{n:02}": told(f"p{n:02}", 8, 1 + n) for n in range(40)}))
    assert len(many.shortages) == 1
    unlike = {f"p{n:02}": told(f"p{n:02}", 0, 1 + n) for n in range(40)}
    both = "{/resource/cpu: 9 cores, /resource/memory: 64 GiB}"
    graph = overlay(f"  a: {{attribute: /node/host, resources: {both}}}")
    many = short(Ask(graph, unlike))
    assert len(many.shortages) == SHORTAGES_MAX
    assert "and 37 more providers come less near" in many.reason


def with_largest(aggregate: Graph, cores: int, kinds: tuple[str, ...] = ()) -> Graph:
    """As the provider would tell it whose largest host has so many cores."""
    largest = Feature("/feature/largest/cpu", Amount(1000 * cores, Unit.COMPUTE_MCORES))
    features = (largest, *((Feature("/feature/kind", kinds),) if kinds else ()))
    (node_,) = aggregate.nodes
    return replace(aggregate, elements=(replace(node_, features=features),))


def test_a_vnode_goes_where_one_host_is_large_enough_whatever_the_sums() -> None:
    pips = {
        "berlin": with_largest(told("berlin", 24), 3),
        "munich": with_largest(told("munich", 8), 4),
    }
    assert mapped(Ask(pair(), pips, STAR)).placed == {"web": "munich", "db": "munich"}
    none = short(Ask(pair(), {"berlin": pips["berlin"]}, STAR))
    assert (none.where, none.short, none.asked) == ("berlin", 1000, 4000)
    assert "no host has more than 3 cores" in none.reason


def test_vnodes_that_must_be_on_one_host_are_held_against_the_largest_together() -> None:
    graph = pair("relations:\n  r: {same: /node/host, elements: [web, db]}\n")
    pips = {
        "berlin": with_largest(told("berlin", 24), 7),
        "munich": with_largest(told("munich", 9), 8),
    }
    assert set(mapped(Ask(graph, pips, STAR)).placed.values()) == {"munich"}
    none = short(Ask(graph, {"berlin": pips["berlin"]}, STAR))
    assert (none.short, none.asked, set(none.elements)) == (1000, 8000, {"web", "db"})


def test_a_vnode_goes_only_where_hosts_are_of_the_kind_that_it_asks_for() -> None:
    pips = {
        "berlin": with_largest(told("berlin", 24), 24, ("node/host/kvm",)),
        "munich": with_largest(told("munich", 5), 5, ("node/host/kvm", "node/host/server")),
    }
    assert mapped(Ask(pair(), pips, STAR)).placed == {"web": "berlin", "db": "munich"}
    none = short(Ask(pair(), {"berlin": pips["berlin"]}, STAR))
    assert (none.kind, none.resource, none.elements) == (
        RefusalKind.FEATURE,
        "/node/host/server",
        ("db",),
    )
    assert "/node/host/server does not map on its hosts: node/host/kvm" in none.reason


def test_of_a_vnode_that_must_be_at_a_provider_only_that_one_is_told() -> None:
    pips = small(berlin=architecture("arm"), munich=architecture("x86"))
    graph = pair()
    elements = by_id(graph.elements)
    elements["db"] = replace(elements["db"], features=architecture("x86"))
    graph = replace(graph, elements=tuple(elements.values()))
    none = short(Ask(graph, pips, STAR, placing={"db": "berlin"}))
    assert (none.where, none.resource) == ("berlin", "/feature/architecture")
    assert none.reason.startswith("berlin, where db must be, does not take it (berlin: db: ")
    assert "munich" not in none.reason
    few = short(Ask(pair(), small(3), STAR, placing={"db": "berlin", "web": "berlin"}))
    assert {each.where for each in few.shortages} == {"berlin"}


def test_providers_that_say_the_same_are_told_together() -> None:
    pips = small(berlin=architecture("arm"), munich=architecture("arm"))
    graph = overlay(
        "  a: {attribute: /node/host, features: {/feature/architecture: x86}}",
    )
    none = short(Ask(graph, pips))
    assert none.where == "all providers"
    assert "(berlin, munich: a: /feature/architecture: asked x86, is arm)" in none.reason


def test_too_few_providers_are_told_as_providers() -> None:
    apart = pair("relations:\n  r: {different: /node/host/pip, elements: [web, db]}\n")
    none = short(Ask(apart, {"berlin": told("berlin", 9)}, STAR))
    assert none.reason == "db, web must be at different providers, and only berlin could take them"
    assert (none.kind, none.resource) == (RefusalKind.RESOURCE, "/node/host/pip")
    assert (none.where, none.short, none.asked) == ("all providers", 1, 2)
    assert set(none.elements) == {"web", "db"}


def test_providers_that_no_links_join_are_told_as_links_between_them() -> None:
    pips = {"a": told("a", 5), "b": told("b", 5)}
    none = short(Ask(pair(), pips, placing={"web": "a", "db": "b"}))
    assert (none.kind, none.resource) == (RefusalKind.NO_PATH, "/link/transit")
    assert "no links join the providers" in none.reason
    assert none.short == 0


def test_a_link_that_is_too_narrow_is_told_with_how_much() -> None:
    narrow = (replace(STAR[0], bandwidth_bps=3 * 10**8), STAR[1])
    none = short(Ask(pair(), small(), narrow))
    assert none.resource == BANDWIDTH
    assert none.where in ("berlin--wan", "berlin")
    assert (none.short, none.asked) == (700_000_000, 1_000_000_000)


def test_with_as_much_more_as_is_said_to_be_short_there_is_a_mapping() -> None:
    """Where there is no way between providers, one of them has to be larger."""
    none = short(Ask(pair(), small(), STAR[:1]))
    assert (none.resource, none.short, none.asked) == ("/resource/cpu", 3000, 8000)
    pips = small()
    pips[none.where] = told(none.where, 5 + none.short // 1000)
    assert set(mapped(Ask(pair(), pips, STAR[:1])).placed.values()) == {none.where}
    pips[none.where] = told(none.where, 5 + none.short // 1000 - 1)
    assert short(Ask(pair(), pips, STAR[:1])).short == 1000


def test_a_refusal_is_not_asked_for_again_nor_is_more_than_was_refused() -> None:
    lesson = Lesson("berlin", frozenset({"web", "db"}))
    ask = Ask(pair(), {"berlin": told("berlin", 99), "munich": told("munich", 5)}, STAR)
    assert set(mapped(ask).placed.values()) == {"berlin"}
    assert len(mapped(replace(ask, lessons=(lesson,))).circuits) == 1
    alone = Lesson("munich", frozenset({"web"})), Lesson("munich", frozenset({"db"}))
    none = short(replace(ask, lessons=(lesson, *alone)))
    assert "berlin has refused" in none.reason


def test_how_much_two_providers_can_carry_is_kept() -> None:
    pips = {**small(), "ulm": told("ulm", 5)}
    caps = {("munich", "berlin"): 5 * 10**8}
    dear = (*STAR[:2], replace(STAR[2], price=9))
    assert "ulm" not in mapped(Ask(pair(), pips, dear)).placed.values()
    assert "ulm" in mapped(Ask(pair(), pips, dear, pair_caps=caps)).placed.values()
    none = short(Ask(pair(), small(), dear, pair_caps=caps))
    assert "between munich and berlin no more than 500 Mb/s" in none.reason


def test_a_latency_is_kept_over_links_that_have_the_bandwidth() -> None:
    graph = pair()
    elements = by_id(graph.elements)
    bound = overlay(PAIR.replace("1 Gb/s}", "1 Gb/s}, features: {/feature/latency: 3 ms}"), JOINED)
    assert elements["wire"] != by_id(bound.elements)["wire"]
    pips = {**small(), "ulm": told("ulm", 5)}
    slow = (STAR[0], replace(STAR[1], latency_us=2500), replace(STAR[2], price=9))
    assert set(mapped(Ask(bound, pips, slow)).placed.values()) == {"berlin", "ulm"}
    thin = (*slow, TransitLink("berlin", "munich", G // 2, 10))
    assert set(mapped(Ask(bound, pips, thin)).placed.values()) == {"berlin", "ulm"}
    none = short(Ask(bound, small(), slow))
    assert (none.kind, none.resource, none.elements) == (
        RefusalKind.NO_PATH,
        "/feature/latency",
        ("wire",),
    )
    assert (none.where, none.short, none.asked) == ("berlin--munich", 500, 3000)
    assert "wire asks for 3 ms at most, and the least possible is 3500 us between " in none.reason
    assert none.shortages[0].short == 500


def quick(most: str, bandwidth: str = "1 Gb/s") -> Graph:
    wanted = f"{bandwidth}}}, features: {{/feature/latency: {most}}}"
    return overlay(PAIR.replace("1 Gb/s}", wanted), JOINED)


def test_a_latency_that_only_thinner_links_have_is_short_of_bandwidth() -> None:
    thin = (TransitLink("berlin", "munich", G // 2, 10),)
    none = short(Ask(quick("1 ms"), small(), thin))
    assert (none.kind, none.resource, none.where) == (
        RefusalKind.BANDWIDTH,
        BANDWIDTH,
        "berlin--munich",
    )
    assert (none.short, none.asked, none.elements) == (G // 2, G, ("wire",))


def test_a_latency_between_providers_that_nothing_joins_is_no_matter_of_latency() -> None:
    none = short(Ask(quick("1 ms"), small()))
    assert (none.kind, none.resource, none.short) == (RefusalKind.NO_PATH, "/link/transit", 0)
    assert (
        "no links with 1 Gb/s free join providers that could take the ends of wire" in none.reason
    )


def test_where_a_latency_leaves_too_few_pairs_it_is_told_how_many_and_which_comes_next() -> None:
    """Near to each other are ulm and berlin, which together are too small for three."""
    more = "  app: {attribute: /node/host, resources: {/resource/cpu: 4 cores}}"
    near = quick("3 ms")
    pips = {**small(), "ulm": told("ulm", 5)}
    slow = (STAR[0], replace(STAR[1], latency_us=2500), STAR[2])
    graph = replace(near, elements=(*near.elements, *overlay(more).elements))
    at = {"app": "ulm"}
    none = short(Ask(graph, pips, slow, placing=at))
    assert "wire asks for 3 ms at most" in none.reason
    assert "the nearest beyond are " in none.reason
    assert "with 3500 us" in none.reason


def test_all_objectives_by_name_and_one_of_ones_own() -> None:
    pips = {"berlin": told("berlin", 9), "munich": told("munich", 30)}
    for name in OBJECTIVES:
        assert isinstance(map_overlay(Ask(pair(), pips, STAR, objective=name)), VnpMapping)
    spread = mapped(Ask(pair(), small(8), STAR, objective="load"))
    assert len(set(spread.placed.values())) == 2

    def green(problem: Problem) -> Terms:
        coal = [float(name == "munich") for name in problem.network.names[: problem.network.hosts]]
        return terms(problem, on=coal, link=tie(problem))  # type: ignore[arg-type]

    ask = Ask(pair(), pips, STAR, objective="green")
    found = map_overlay(ask, objectives={"green": green})
    assert isinstance(found, VnpMapping)
    assert set(found.placed.values()) == {"berlin"}
    with pytest.raises(ModelError, match=r"objective: given 'green', possible: cost, energy"):
        map_overlay(ask)


def test_what_cannot_be_asked_is_named() -> None:
    lan = overlay(
        PAIR + "\n  log: {attribute: /node/host}",
        JOINED + "\n  i2: {attribute: /interface/ethernet, joins: [log, wire]}",
    )
    with pytest.raises(RdlError, match=r"elements\.wire: joins 3 VNodes; possible: two"):
        map_overlay(Ask(lan, small()))
    with pytest.raises(RdlError, match=r"placing\.x: is placed, and is no node"):
        map_overlay(Ask(pair(), small(), placing={"x": "berlin"}))
    with pytest.raises(RdlError, match=r"elements\.wire: the transits \(none\)"):
        partials(mapped(Ask(pair(), small(), STAR)), {})


def test_a_provider_that_has_not_answered_cannot_be_placed_at() -> None:
    none = map_overlay(Ask(pair(), small(), STAR, placing={"web": "oslo"}))
    assert isinstance(none, Shortfall)
    assert none.reason == "oslo, where web must be, has not told what it has free"
    assert (none.where, none.elements, none.proven) == ("oslo", ("web",), False)


def test_the_same_asked_twice_is_answered_the_same() -> None:
    ask = Ask(pair(SAME), small(berlin=architecture("arm"), munich=architecture("arm")), STAR)
    assert map_overlay(ask) == map_overlay(ask)


def test_a_vnp_below_a_vnp_maps_what_it_was_given() -> None:
    """Paper 002, section 2: an aggregate of aggregates, a partial graph with stubs cut again."""
    inner_pips = {"east": told("east", 5), "west": told("west", 5)}
    inner = Graph(
        "berlin", Layer.UNDERLAY, tuple(node for g in inner_pips.values() for node in g.elements)
    )
    pips = {"berlin": aggregate(inner, "berlin"), "munich": told("munich", 5)}
    trio = overlay(
        PAIR
        + "\n  log: {attribute: /node/host, resources: {/resource/cpu: 4 cores}}"
        + "\n  bus: {attribute: /link/generic}",
        JOINED
        + "\n  i2: {attribute: /interface/ethernet, joins: [log, bus]}"
        + "\n  i3: {attribute: /interface/ethernet, joins: [db, bus]}",
    )
    outer = mapped(Ask(trio, pips, STAR, placing={"log": "munich"}))
    assert outer.placed == {"web": "berlin", "db": "berlin", "log": "munich"}
    parts = partials(outer, {"bus": (10, 20)})
    given_part = from_bytes(parts["berlin"])
    links = (TransitLink("east", "lan", G * 10), TransitLink("west", "lan", G * 10))
    below = map_overlay(Ask(given_part, inner_pips, links), by="berlin")
    assert isinstance(below, VnpMapping)
    assert below.placed["pip@munich"] == below.placed["db"] != below.placed["web"]
    assert [circuit.vlink for circuit in below.circuits] == ["wire"]
    cut_again = {p: from_bytes(b) for p, b in partials(below, {"wire": (30, 40)}).items()}
    assert all(check(part) == [] for part in cut_again.values())
    whole = {"berlin": join(cut_again), "munich": from_bytes(parts["munich"])}
    assert whole["berlin"] == given_part
    assert join(whole) == outer.graph
    ids = [each.id for part in cut_again.values() for each in part.elements]
    assert {name for name in ids if "@" in name} == {
        *("bus@berlin@munich", "pip@munich", "wire@east@west", "pip@east", "pip@west")
    }


def test_an_element_that_is_a_whole_provider_counts_with_what_it_asks_for() -> None:
    asked = NetworkElement("t", "/node/host/pip", told("x", 4).elements[0].resources)
    graph = Graph("g", Layer.OVERLAY, (asked,))
    pips = {"berlin": told("berlin", 3), "munich": told("munich", 4)}
    assert mapped(Ask(graph, pips)).placed == {"t": "munich"}
