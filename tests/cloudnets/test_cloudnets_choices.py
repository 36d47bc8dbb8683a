"""What is left to the provider is not refused for the first way that it thinks of."""

from __future__ import annotations

from contextlib import suppress

import networkx as nx
import pytest
from hypothesis import given, settings, strategies as st
from sites import all_free, overlay, underlay

import cloudnets.decisions
from cloudnets.decisions import decisions
from cloudnets.drawing import Demand, Lack, draw
from cloudnets.holding import Found, settle
from cloudnets.partials import Refused
from cloudnets.pip import think
from cloudnets.underlay import Underlay
from embedding.objectives import OBJECTIVES
from rdl.model import Relation
from rdl.relations import conflicts, settle as settle_relation, words_of
from substrate.model import RefusalKind
from substrate.vlans import VlanSet

LOAD = OBJECTIVES["load"]
MUCH = "/resource/memory: 1 TiB, /resource/disk: 1 TB"


def thought(site: Underlay, elements: str, joins: str = "", more: str = "") -> Found:
    return think(site, overlay(elements, joins, more), all_free(site), LOAD)


def why_not(site: Underlay, elements: str, joins: str = "", more: str = "") -> Refused:
    with pytest.raises(Refused) as caught:
        thought(site, elements, joins, more)
    return caught.value


ARCHITECTURES = f"""
  x: {{attribute: /node/host, resources: {{/resource/cpu: 1 core, {MUCH}}},
      features: {{/feature/architecture: arm}}}}
  y: {{attribute: /node/host, resources: {{/resource/cpu: 8 cores, {MUCH}}},
      features: {{/feature/architecture: x86}}}}"""
SIZES = """
  a: {{attribute: /node/host/generic, resources: {{/resource/cpu: {} cores}}}}
  b: {{attribute: /node/host/generic, resources: {{/resource/cpu: {} cores}}}}"""


@pytest.mark.parametrize(("a", "b", "large"), [(1, 8, "b"), (8, 1, "a")])
def test_different_values_are_exchanged_where_only_so_there_is_room(
    a: int, b: int, large: str
) -> None:
    other = "relations:\n  r: {different: /feature/architecture, elements: [a, b]}\n"
    found = thought(underlay(ARCHITECTURES), SIZES.format(a, b), "", other)
    assert found.hosts[large] == "y"
    assert set(found.hosts.values()) == {"x", "y"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sets(st.sampled_from(("arm", "mips", "x86")), min_size=1), min_size=2, max_size=3),
    st.booleans(),
)
def test_every_way_to_settle_a_relation_settles_it(hosts: list[set[str]], same: bool) -> None:
    site = underlay(
        "\n".join(
            f"  h{i}: {{attribute: /node/host, resources: {{/resource/cpu: 9 cores, {MUCH}}}, "
            f"features: {{/feature/architecture: [{', '.join(sorted(some))}]}}}}"
            for i, some in enumerate(hosts)
        )
    )
    kind = "same" if same else "different"
    of = overlay(
        SIZES.format(1, 1),
        "",
        f"relations:\n  r: {{{kind}: /feature/architecture, elements: [a, b]}}\n",
    )
    known = set().union(*hosts)
    seen = []
    with suppress(Refused):
        for settled in decisions(site, of):
            said = [words_of(node, "/feature/architecture") for node in settled.nodes]
            assert all(words is not None and len(words) == 1 for words in said)
            seen.append(tuple(words[0] for words in said if words is not None))
    assert len(set(seen)) == len(seen)
    if same:
        assert set(seen) == {(word, word) for word in known}
    else:
        assert set(seen) == {(a, b) for a in known for b in known if a != b}


def test_relations_that_share_elements_hold_all_together() -> None:
    """a and c are each decided with another one, and must still differ."""
    site = underlay(ARCHITECTURES.replace("1 core", "9 cores"))
    elements = SIZES.format(1, 1) + SIZES.format(1, 1).replace("a:", "c:").replace("b:", "d:")
    of = overlay(
        elements,
        "",
        "relations:\n"
        "  r1: {same: /feature/architecture, elements: [a, b]}\n"
        "  r2: {same: /feature/architecture, elements: [c, d]}\n"
        "  r3: {different: /feature/architecture, elements: [a, c]}\n",
    )
    hosts = think(site, of, all_free(site), LOAD).hosts
    assert hosts["a"] == hosts["b"] != hosts["c"] == hosts["d"]
    for settled in decisions(site, of):
        assert list(conflicts(settled)) == []


def test_relations_that_multiply_are_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of twenty pairs each has two values, and the last relation none: not a million ways."""
    asked_for = 0

    def counted(relation: Relation, told: dict[str, list[str]]) -> dict[str, str]:
        nonlocal asked_for
        asked_for += 1
        return settle_relation(relation, told)

    monkeypatch.setattr(cloudnets.decisions, "settle", counted)
    names = [f"v{i:02}" for i in range(40)]
    elements = "\n".join(f"  {name}: {{attribute: /node/host/generic}}" for name in names)
    pairs = "".join(
        f"  r{i:02}: {{same: /feature/architecture, elements: [{a}, {b}]}}\n"
        for i, (a, b) in enumerate(zip(names[::2], names[1::2], strict=True))
    )
    last = "  z: {different: /feature/architecture, elements: [v34, v36, v38]}\n"
    site = underlay(ARCHITECTURES)
    with pytest.raises(Refused, match=r"relations\.z"):
        list(decisions(site, overlay(elements, "", f"relations:\n{pairs}{last}")))
    assert asked_for < 10_000


TWO_POOLS = """
  x: {{attribute: /node/host, resources: {{/resource/cpu: 8 cores, /resource/memory: 1 TiB}},
      shares: [p]}}
  y: {{attribute: /node/host, resources: {{/resource/cpu: 8 cores, /resource/memory: 1 TiB}},
      shares: [p, q]}}
  z: {{attribute: /node/host, resources: {{/resource/cpu: 8 cores, /resource/memory: 1 TiB}},
      shares: [q]}}"""
SHARED = "shared:\n" + "".join(
    f"  {name}: {{{{attribute: /resource/disk, amount: {{{name}}} GB}}}}\n" for name in "pq"
)


def pools(p: int, q: int) -> Underlay:
    return underlay(TWO_POOLS.format(), "", SHARED.format(p=p, q=q))


@settings(max_examples=150, deadline=None)
@given(st.tuples(st.integers(1, 6), st.integers(1, 6)), st.data())
def test_what_two_pools_have_together_is_drawn_as_a_flow_would(
    amounts: tuple[int, int], data: st.DataObject
) -> None:
    site = pools(*amounts)
    at = {f"v{i}": data.draw(st.sampled_from("xyz")) for i in range(data.draw(st.integers(1, 4)))}
    demands = [Demand(v, "/resource/disk", data.draw(st.integers(1, 4)) * 10**9) for v in at]
    left = list(all_free(site).supplies)
    flow: nx.DiGraph[object] = nx.DiGraph()
    flow.add_nodes_from(["source", "sink"])
    for demand in demands:
        flow.add_edge("source", demand.vnode, capacity=demand.amount)
        for i, supply in enumerate(site.supplies):
            if at[demand.vnode] in supply.hosts and supply.attribute == "/resource/disk":
                flow.add_edge(demand.vnode, i)
                flow.add_edge(i, "sink", capacity=left[i])
    possible = nx.maximum_flow_value(flow, "source", "sink")
    wanted = sum(demand.amount for demand in demands)
    found = draw(site, left, demands, at)
    assert isinstance(found, Lack) == (possible < wanted)
    if isinstance(found, Lack):
        assert 0 < found.missing <= wanted - possible
    else:
        assert sum(found.values()) == wanted
        assert all(0 < amount <= left[i] for i, amount in found.items())


def test_the_host_between_two_pools_leaves_the_one_that_its_neighbour_needs() -> None:
    """b, at y, would draw on p first; c, at x, has nothing else."""
    site = pools(40, 40)
    left = list(all_free(site).supplies)
    demands = [Demand("b", "/resource/disk", 40 * 10**9), Demand("c", "/resource/disk", 40 * 10**9)]
    for hosts in ({"b": "y", "c": "x"}, {"b": "y", "c": "z"}):
        found = draw(site, left, demands, hosts)
        assert not isinstance(found, Lack)
        assert sorted(found.values()) == [40 * 10**9] * 2


def test_what_vnodes_share_comes_from_a_pool_whose_hosts_have_room_for_them() -> None:
    """The larger pool serves hosts that are too small."""
    site = underlay(
        f"""
  a1: {{attribute: /node/host, resources: {{/resource/cpu: 1 core, {MUCH}}}, shares: [large]}}
  a2: {{attribute: /node/host, resources: {{/resource/cpu: 1 core, {MUCH}}}, shares: [large]}}
  b1: {{attribute: /node/host, resources: {{/resource/cpu: 8 cores, {MUCH}}}, shares: [small]}}
  b2: {{attribute: /node/host, resources: {{/resource/cpu: 8 cores, {MUCH}}}, shares: [small]}}""",
        "",
        "shared:\n  large: {attribute: /resource/disk, amount: 9 TB}\n"
        "  small: {attribute: /resource/disk, amount: 5 TB}\n",
    )
    elements = """
  a: {attribute: /node/host/generic, resources: {/resource/cpu: 4 cores}, shares: [ours]}
  b: {attribute: /node/host/generic, resources: {/resource/cpu: 4 cores}, shares: [ours]}"""
    ours = "shared:\n  ours: {attribute: /resource/disk, amount: 2 TB}\n"
    found = thought(site, elements, "", ours)
    assert set(found.hosts.values()) <= {"b1", "b2"}
    settled = settle(site, found, all_free(site), VlanSet.from_ranges([(2, 9)]), ("r", 1))
    assert {r.name for r in settled.taken if r.name.startswith("shared")} == {
        "shared small/resource/disk"
    }
    more = ours.replace("2 TB", "10 TB")
    assert "1 TB short of shared large" in str(why_not(site, elements, "", more))


def two_ways(slow_us: int, quick_us: int) -> Underlay:
    """Hosts x and y behind one slow link, z and y behind a quick one."""
    hosts = "\n".join(
        f"  {h}: {{attribute: /node/host, resources: {{/resource/cpu: {cores} cores, {MUCH}}}}}"
        for h, cores in (("x", 8), ("y", 2), ("z", 4))
    )
    links = "\n".join(
        f"  {name}: {{attribute: /link/ethernet, resources: {{/resource/bandwidth: 10 Gb/s}}, "
        f"features: {{/feature/latency: {us} us}}}}"
        for name, us in (("slow", slow_us), ("quick", quick_us))
    )
    return underlay(f"{hosts}\n{links}", "x-slow y-slow z-quick y-quick")


WIRED = """
  a: {attribute: /node/host/generic, resources: {/resource/cpu: 2 cores}}
  b: {attribute: /node/host/generic, resources: {/resource/cpu: 2 cores}}
  w: {attribute: /link/generic, resources: {/resource/bandwidth: 1 Gb/s},
      features: {/feature/latency: 100 us}}"""
APART = "relations:\n  r: {different: /node/host, elements: [a, b]}\n"


def test_hosts_are_chosen_between_which_a_vlink_is_in_time() -> None:
    found = thought(two_ways(900, 90), WIRED, "a-w b-w", APART)
    assert set(found.hosts.values()) == {"y", "z"}
    assert found.ways["w"] == ("quick",)
    found = thought(two_ways(90, 900), WIRED, "a-w b-w", APART)
    assert found.ways["w"] == ("slow",)


def test_a_way_of_two_links_that_is_too_slow_does_not_hide_one_that_is_quick() -> None:
    """x and z are the emptiest, and each link alone is quick enough: but not both."""
    found = thought(two_ways(60, 60), WIRED, "a-w b-w", APART)
    assert len(found.ways["w"]) == 1
    found = thought(two_ways(50, 50), WIRED, "a-w b-w", APART)
    assert set(found.hosts.values()) == {"x", "z"}


@pytest.mark.parametrize(("vlans", "way"), [("205", "one"), ("295", "other"), ("200-299", None)])
def test_a_vlink_takes_a_link_that_has_a_vlan_of_those_it_may_have(
    vlans: str, way: str | None
) -> None:
    links = "\n".join(
        f"  {name}: {{attribute: /link/ethernet, resources: {{/resource/bandwidth: 10 Gb/s}}, "
        f"features: {{/feature/vlan: '{some}'}}}}"
        for name, some in (("one", "200-249"), ("other", "250-299"))
    )
    hosts = f"""
  x: {{attribute: /node/host, resources: {{/resource/cpu: 8 cores, {MUCH}}}}}
  y: {{attribute: /node/host, resources: {{/resource/cpu: 8 cores, {MUCH}}}}}
"""
    site = underlay(hosts + links, "x-one y-one x-other y-other")
    wired = WIRED.replace("/feature/latency: 100 us", f"/feature/vlan: '{vlans}'")
    found = thought(site, wired, "a-w b-w", APART)
    assert len(found.ways["w"]) == 1
    assert way is None or found.ways["w"] == (way,)
    settled = settle(site, found, all_free(site), VlanSet.from_ranges([(200, 299)]), ("r", 1))
    (vlink,) = settled.mapped.vlinks
    assert vlink.vlan in VlanSet.parse(vlans)


def test_where_no_two_hosts_are_near_enough_the_latency_is_what_is_told() -> None:
    why = why_not(two_ways(900, 900), WIRED, "a-w b-w", APART).refusal
    assert why.kind is RefusalKind.TOPOLOGY
    assert "100 us" in why.reason
    found = thought(two_ways(900, 900), WIRED, "a-w b-w")
    assert len(set(found.hosts.values())) == 1


def test_what_is_proven_impossible_is_not_put_down_to_time() -> None:
    """Two links of half are not one; no amount is short by counting."""
    site = underlay(
        f"""
  x: {{attribute: /node/host, resources: {{/resource/cpu: 1 core, {MUCH}}}}}
  y: {{attribute: /node/host, resources: {{/resource/cpu: 1 core, {MUCH}}}}}
  k: {{attribute: /link/ethernet, resources: {{/resource/bandwidth: 1 Gb/s}}}}""",
        "x-k y-k",
    )
    elements = """
  a: {attribute: /node/host/generic, resources: {/resource/cpu: 1 core}}
  b: {attribute: /node/host/generic, resources: {/resource/cpu: 1 core}}
  w: {attribute: /link/generic, resources: {/resource/bandwidth: 2 Gb/s}}"""
    why = why_not(site, elements, "a-w b-w").refusal
    assert why.kind is RefusalKind.RESOURCE
    assert "time" not in why.reason
