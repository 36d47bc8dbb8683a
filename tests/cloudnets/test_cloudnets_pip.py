"""A provider's mapping: whatever is asked for on whatever there is, what is found holds exactly."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, reject, settings, strategies as st
from sites import (
    CLOUD,
    EAST,
    GIB,
    G,
    all_free,
    asked,
    berlin,
    example,
    graph,
    overlay,
    partials,
    sites,
    underlay,
    wrong_with,
)

from cloudnets.holding import Settled, settle
from cloudnets.mapped import Mapped
from cloudnets.partials import Asked, Refused
from cloudnets.pip import think
from cloudnets.underlay import Room, Underlay
from embedding.objectives import OBJECTIVES
from rdl.codec import from_bytes
from rdl.model import Graph, RelationKind, by_id
from substrate.calendar import Direction, Resource
from substrate.model import Refusal, RefusalKind, Segment
from substrate.values import replace
from substrate.vlans import VlanSet

LOAD = OBJECTIVES["load"]
VLANS = VlanSet.from_ranges([(200, 299)])


def mapped(
    site: Underlay,
    of: Asked,
    room: Room | None = None,
    present: Mapped | None = None,
    objective: str = "load",
    time_limit_s: float = 0.0,
) -> Settled:
    room = room or all_free(site)
    found = think(site, of, room, OBJECTIVES[objective], present, time_limit_s)
    return settle(site, found, room, VLANS, ("r1", 1), present)


def hosts_of(settled: Settled) -> dict[str, str]:
    return {vnode.id: vnode.host for vnode in settled.mapped.vnodes}


def refused(site: Underlay, of: Asked, kind: RefusalKind, time_limit_s: float = 0.0) -> Refusal:
    with pytest.raises(Refused) as caught:
        mapped(site, of, time_limit_s=time_limit_s)
    assert caught.value.refusal.kind is kind, caught.value.refusal
    refusal = caught.value.refusal
    assert str(caught.value) == refusal.inside or not refusal.inside
    return refusal


def tried(
    site: Underlay, partial: tuple[Graph, tuple[Segment, ...]], room: Room, objective: str
) -> tuple[Asked, Settled]:
    """Where it can be mapped; Hypothesis complains where that is too rare."""
    with suppress(Refused):
        of = asked(partial[0], *partial[1])
        return of, mapped(site, of, room, objective=objective)
    reject()


@settings(max_examples=150, deadline=None)
@given(sites(), partials(), st.sampled_from(sorted(OBJECTIVES)), st.data())
def test_what_is_found_holds_on_any_substrate_with_anything_free(
    site: Underlay, partial: tuple[Graph, tuple[Segment, ...]], objective: str, data: st.DataObject
) -> None:
    capacities = site.capacities
    left = {r: data.draw(st.integers(n // 2, n)) for r, n in capacities.items()}
    room = site.room(left.__getitem__)
    of, settled = tried(site, partial, room, objective)
    assert wrong_with(site, of, room, settled) == ""
    assert mapped(site, of, room, objective=objective) == settled
    assert relations_hold(site, settled)


def relations_hold(site: Underlay, settled: Settled) -> bool:
    graph, hosts = from_bytes(settled.mapped.graph), hosts_of(settled)
    elements = by_id(graph.elements)
    for relation in graph.relations:
        about_hosts = relation.of == "/node/host"
        values = []
        for name in relation.elements:
            if about_hosts:
                values.append(hosts[name])
            else:
                (said,) = (f.value for f in elements[name].features if f.attribute == relation.of)
                has = {
                    word
                    for f in site.hosts[hosts[name]].features
                    for word in (f.value if isinstance(f.value, tuple) else ())
                    if f.attribute == relation.of
                }
                if len(said) != 1 or said[0] not in has:
                    return False
                values.append(said[0])
        wanted = 1 if relation.kind is RelationKind.SAME else len(values)
        if len(set(values)) != wanted:
            return False
    return True


@settings(max_examples=40, deadline=None)
@given(sites(), partials())
def test_vnodes_stay_where_they_are_when_the_same_is_asked_for_again(
    site: Underlay, partial: tuple[Graph, tuple[Segment, ...]]
) -> None:
    of, before = tried(site, partial, all_free(site), "energy")
    again = mapped(site, of, present=before.mapped, objective="load")
    assert hosts_of(again) == hosts_of(before)
    vlans = {vlink.id: vlink.vlan for vlink in before.mapped.vlinks}
    assert {vlink.id: vlink.vlan for vlink in again.mapped.vlinks} == vlans


def test_the_example_pair_at_berlin_is_mapped_with_its_way_to_the_port() -> None:
    site = berlin()
    of = asked(example("pair-at-berlin"), Segment("wire", CLOUD, 250, EAST, 120, G))
    settled = mapped(site, of)
    (left,), (wire,) = settled.mapped.vnodes, settled.mapped.vlinks
    assert (left.host, left.attribute) == ("sn111", "/node/host/server/x4150")
    assert (left.mcores, left.memory_bytes, left.disk_bytes) == (2000, 4 * GIB, 20 * G)
    assert (wire.vlan, wire.outer_vlan, wire.ends) == (250, 120, ("left", EAST))
    assert wire.links == ("port-1",)
    assert settled.taken == {
        Resource("sn111/resource/cpu", Direction.IN): 2000,
        Resource("sn111/resource/memory", Direction.IN): 4 * GIB,
        Resource("shared nfs/resource/disk", Direction.IN): 20 * G,
        Resource("port-1", Direction.IN): G,
        Resource("port-1", Direction.OUT): G,
    }


def test_what_is_left_open_is_completed_in_the_name_of_the_provider() -> None:
    settled = mapped(berlin(), overlay("  a: {attribute: /node/host/generic}"))
    (vnode,) = settled.mapped.vnodes
    assert (vnode.mcores, vnode.memory_bytes, vnode.disk_bytes) == (1000, GIB, 8 * GIB)
    (element,) = from_bytes(settled.mapped.graph).elements
    assert {resource.by for resource in element.resources} == {"berlin"}


def test_vlinks_between_vnodes_on_one_host_have_a_vlan_and_no_links() -> None:
    elements = """
  a: {attribute: /node/host/generic}
  b: {attribute: /node/host/generic}
  w: {attribute: /link/generic, resources: {/resource/bandwidth: 100 Gb/s}}"""
    together = "relations:\n  r: {same: /node/host, elements: [a, b]}\n"
    settled = mapped(berlin(), overlay(elements, "a-w b-w", together))
    (vlink,) = settled.mapped.vlinks
    assert vlink.links == ()
    assert vlink.vlan == 200
    assert len(set(hosts_of(settled).values())) == 1


def test_vnodes_that_must_differ_are_on_different_hosts_even_if_one_would_do() -> None:
    elements = "\n".join(
        f"  {v}: {{attribute: /node/host/generic, resources: {{/resource/cpu: 500 mcores}}}}"
        for v in "abc"
    )
    apart = "relations:\n  r: {different: /node/host, elements: [a, b, c]}\n"
    settled = mapped(berlin(), overlay(elements, "", apart), objective="energy")
    assert len(set(hosts_of(settled).values())) == 3
    settled = mapped(berlin(), overlay(elements), objective="energy")
    assert len(set(hosts_of(settled).values())) == 1


def test_the_same_architecture_is_another_one_where_the_best_liked_has_no_room() -> None:
    site = underlay("""
  x: {attribute: /node/host, resources: {/resource/cpu: 1 core, /resource/memory: 1 TiB,
      /resource/disk: 1 TB}, features: {/feature/architecture: x86_64}}
  y: {attribute: /node/host, resources: {/resource/cpu: 1 core, /resource/memory: 1 TiB,
      /resource/disk: 1 TB}, features: {/feature/architecture: x86_64}}
  z: {attribute: /node/host, resources: {/resource/cpu: 8 cores, /resource/memory: 1 TiB,
      /resource/disk: 1 TB}, features: {/feature/architecture: aarch64}}""")
    elements = """
  a: {attribute: /node/host/generic, resources: {/resource/cpu: 2 cores}}
  b: {attribute: /node/host/generic, resources: {/resource/cpu: 2 cores}}"""
    same = "relations:\n  r: {same: /feature/architecture, elements: [a, b]}\n"
    settled = mapped(site, overlay(elements, "", same))
    assert hosts_of(settled) == {"a": "z", "b": "z"}
    features = [e.features[0].value for e in from_bytes(settled.mapped.graph).elements]
    assert features == [("aarch64",), ("aarch64",)]


def test_different_architectures_need_as_many_there() -> None:
    site = underlay("""
  x: {attribute: /node/host, resources: {/resource/cpu: 9 cores, /resource/memory: 1 TiB,
      /resource/disk: 1 TB}, features: {/feature/architecture: [arm, x86]}}""")
    two = "\n".join(f"  {v}: {{attribute: /node/host/generic}}" for v in "ab")
    three = "\n".join(f"  {v}: {{attribute: /node/host/generic}}" for v in "abc")
    relation = "relations:\n  r: {{different: /feature/architecture, elements: [{}]}}\n"
    mapped(site, overlay(two, "", relation.format("a, b")))
    why = refused(site, overlay(three, "", relation.format("a, b, c")), RefusalKind.FEATURE)
    assert why.reason == "relations.r: /feature/architecture cannot be different for a, b, c"
    assert (why.resource, why.elements) == ("/feature/architecture", ("a", "b", "c"))
    assert "arm" in why.inside


POOLS = """
  x: {attribute: /node/host, resources: {/resource/cpu: 8 cores, /resource/memory: 1 TiB},
      shares: [pool]}
  y: {attribute: /node/host, resources: {/resource/cpu: 8 cores, /resource/memory: 1 TiB,
      /resource/disk: 100 GB}, shares: [pool]}
  z: {attribute: /node/host, resources: {/resource/cpu: 8 cores, /resource/memory: 1 TiB,
      /resource/disk: 100 GB}}"""


def with_pool(amount: str) -> Underlay:
    return underlay(
        POOLS, "", f"shared:\n  pool: {{attribute: /resource/disk, amount: {amount}}}\n"
    )


def test_a_disk_that_hosts_share_counts_once_for_all_of_them() -> None:
    elements = "\n".join(
        f"  {v}: {{attribute: /node/host/generic, resources: {{/resource/disk: 80 GB}}}}"
        for v in "abc"
    )
    site, of = with_pool("80 GB"), overlay(elements)
    settled = mapped(site, of)
    assert wrong_with(site, of, all_free(site), settled) == ""
    # y has 180 GB to give, and is less full with two than x, to which the pool is all, with one.
    assert sorted(hosts_of(settled).values()) == ["y", "y", "z"]
    assert settled.taken[Resource("shared pool/resource/disk", Direction.IN)] == 60 * G
    site = with_pool("59 GB")
    why = refused(site, overlay(elements), RefusalKind.RESOURCE, time_limit_s=2.0)
    assert why.inside.startswith("1 GB of /resource/disk short at y")
    assert why.reason.startswith("1 GB of /resource/disk short for ")
    assert (why.resource, why.short, why.asked) == ("/resource/disk", G, 160 * G)
    assert len(why.elements) == 2


def test_vnodes_that_together_overdraw_what_is_shared_go_where_there_is_more() -> None:
    elements = "\n".join(
        f"  {v}: {{attribute: /node/host/generic, resources: {{/resource/disk: 60 GB}}}}"
        for v in "ab"
    )
    site, of = with_pool("60 GB"), overlay(elements)
    taken = {Resource(f"{host}/resource/cpu", Direction.IN): 7000 for host in "yz"}
    taken |= {Resource("y/resource/disk", Direction.IN): 100 * G}
    room = site.room(lambda r: site.capacities[r] - taken.get(r, 0))
    settled = mapped(site, of, room)
    assert wrong_with(site, of, room, settled) == ""
    assert "z" in hosts_of(settled).values()


def test_what_all_hosts_lack_together_is_told_with_amounts() -> None:
    elements = "\n".join(
        f"  {v}: {{attribute: /node/host/generic, resources: {{/resource/disk: 100 GB}}}}"
        for v in "abcd"
    )
    why = refused(with_pool("50 GB"), overlay(elements), RefusalKind.RESOURCE)
    assert why.reason == (
        "150 GB of /resource/disk short at all hosts together: 400 GB asked for, 250 GB free"
    )
    assert (why.resource, why.short, why.asked) == ("/resource/disk", 150 * G, 400 * G)
    assert why.elements == ("a", "b", "c", "d")


def test_a_disk_that_vnodes_share_is_one_that_their_hosts_share_and_counts_once() -> None:
    elements = "\n".join(
        f"  {v}: {{attribute: /node/host/generic, shares: [pictures]}}" for v in "ab"
    )
    pictures = "shared:\n  pictures: {attribute: /resource/disk, amount: 60 GB}\n"
    site, of = with_pool("100 GB"), overlay(elements, "", pictures)
    settled = mapped(site, of)
    assert set(hosts_of(settled).values()) <= {"x", "y"}
    assert settled.taken[Resource("shared pool/resource/disk", Direction.IN)] == 60 * G
    why = refused(with_pool("50 GB"), of, RefusalKind.RESOURCE)
    assert why.inside == "shared.pictures: 10 GB short of shared pool/resource/disk"
    assert why.reason == "shared.pictures: 10 GB of /resource/disk short"
    assert (why.resource, why.short, why.asked) == ("/resource/disk", 10 * G, 60 * G)
    assert why.elements == ("a", "b")
    none = underlay(
        "  z: {attribute: /node/host, resources: {/resource/disk: 1 TB,"
        " /resource/cpu: 8 cores, /resource/memory: 1 TiB}}"
    )
    why = refused(none, of, RefusalKind.RESOURCE)
    assert "share any /resource/disk" in why.reason
    assert (why.resource, why.short) == ("/resource/disk", None)


def test_a_host_of_which_only_a_shared_disk_is_used_is_idle_for_the_objective_energy() -> None:
    site = with_pool("1 TB")
    taken = {Resource("shared pool/resource/disk", Direction.IN): 10 * G}
    taken |= {Resource("z/resource/cpu", Direction.IN): 1000}
    room = site.room(lambda r: site.capacities[r] - taken.get(r, 0))
    settled = mapped(
        site, overlay("  a: {attribute: /node/host/generic}"), room, objective="energy"
    )
    assert hosts_of(settled) == {"a": "z"}


def test_what_one_vnode_lacks_is_told_of_the_host_that_comes_nearest() -> None:
    of = overlay("  a: {attribute: /node/host/generic, resources: {/resource/cpu: 9 cores}}")
    why = refused(berlin(), of, RefusalKind.RESOURCE)
    assert why.inside == "1 core of /resource/cpu short at sn111"
    assert why.reason == "1 core of /resource/cpu short for a"
    assert (why.resource, why.short, why.asked) == ("/resource/cpu", 1000, 9000)
    assert why.elements == ("a",)


def test_too_little_on_the_way_to_the_port_is_told() -> None:
    of = asked(example("pair-at-berlin"), Segment("wire", CLOUD, 250, EAST, 120, 2 * G))
    why = refused(berlin(), of, RefusalKind.BANDWIDTH, time_limit_s=2.0)
    assert why.inside[:-1] == "1 Gb/s of bandwidth short at port-"
    assert why.reason == "1 Gb/s of /resource/bandwidth short for wire"
    assert (why.resource, why.short, why.asked) == ("/resource/bandwidth", G, 2 * G)
    assert why.elements == ("wire",)


def test_a_vlink_keeps_off_links_that_its_vlan_or_its_features_forbid() -> None:
    site = underlay(
        """
  x: {attribute: /node/host, resources: {/resource/cpu: 8 cores, /resource/memory: 1 TiB,
      /resource/disk: 1 TB}}
  s: {attribute: /node/switch}
  t: {attribute: /node/switch}
  short: {attribute: /link/vlan, resources: {/resource/bandwidth: 10 Gb/s},
      features: {/feature/vlan: 200-210, /feature/latency: 1 ms, /feature/mtu: 1500 B}}
  one: {attribute: /link/vlan, resources: {/resource/bandwidth: 10 Gb/s},
      features: {/feature/vlan: 211-220, /feature/latency: 2 ms, /feature/mtu: 9000 B}}
  two: {attribute: /link/vlan, resources: {/resource/bandwidth: 10 Gb/s},
      features: {/feature/vlan: 211-220, /feature/latency: 2 ms, /feature/mtu: 9000 B}}""",
        "x-short s-short x-one t-one t-two s-two",
        ports={EAST: "s"},
    )
    links = {}
    for vlan, features in (
        (205, ""),
        (215, ""),
        (215, "/feature/mtu: 9000 B"),
        (215, "/feature/latency: 4 ms"),
    ):
        elements = f"""
  a: {{attribute: /node/host/generic}}
  w: {{attribute: /link/vlan, features: {{{features}}}}}
  t: {{attribute: /link/transit}}
  p: {{attribute: /node/host/pip}}"""
        of = asked(
            graph("overlay", elements.replace(", features: {}", ""), "a-w w-t t-p"),
            Segment("w", CLOUD, vlan, EAST, 120, G),
        )
        links[vlan, features] = mapped(site, of).mapped.vlinks[0].links
    assert links[205, ""] == ("short",)
    assert set(list(links.values())[1:]) == {("one", "two")}


def test_a_vlan_that_no_way_takes_and_a_latency_that_no_way_keeps_are_refused() -> None:
    of = asked(example("pair-at-berlin"), Segment("wire", CLOUD, 350, EAST, 120, G))
    why = refused(berlin(), of, RefusalKind.TOPOLOGY)
    assert "takes VLANs 200-299, not 350" in why.inside
    assert why.reason == "elements.wire: no way was found that serves its /feature/vlan"
    assert (why.resource, why.elements) == ("/feature/vlan", ("wire",))
    elements = """
  a: {attribute: /node/host/generic}
  b: {attribute: /node/host/generic}
  w: {attribute: /link/generic, features: {/feature/latency: 1 ms}}"""
    apart = "relations:\n  r: {different: /node/host, elements: [a, b]}\n"
    why = refused(berlin(), overlay(elements, "a-w b-w", apart), RefusalKind.TOPOLOGY)
    assert "/feature/latency: asked 1 ms, not told" in why.inside
    assert (why.resource, why.elements) == ("/feature/latency", ("w",))


def test_a_resize_in_place_keeps_the_host_though_another_is_emptier() -> None:
    site = berlin()
    small = overlay("  a: {attribute: /node/host/generic, resources: {/resource/cpu: 1 core}}")
    large = overlay("  a: {attribute: /node/host/generic, resources: {/resource/cpu: 7 cores}}")
    before = mapped(site, small)
    assert hosts_of(mapped(site, large, present=before.mapped)) == hosts_of(before)
    gone = {Resource(f"{before.mapped.vnodes[0].host}/resource/cpu", Direction.IN): 4000}
    room = site.room(lambda r: site.capacities[r] - gone.get(r, 0))
    moved = mapped(site, large, room, before.mapped)
    assert hosts_of(moved) != hosts_of(before), "there it does not fit"


def test_vnodes_that_were_stopped_are_still_off_in_the_next_version() -> None:
    site, of = berlin(), overlay("  a: {attribute: /node/host/generic}")
    before = mapped(site, of).mapped.switched(["a"], off=True)
    assert mapped(site, of, present=before).mapped.off == ("a",)


def test_an_embedding_that_no_longer_fits_is_not_settled() -> None:
    site = berlin()
    of = asked(example("pair-at-berlin"), Segment("wire", CLOUD, 250, EAST, 120, G))
    found = think(site, of, all_free(site), LOAD)
    for name, word in (
        ("sn111/resource/cpu", "/resource/cpu short at sn111"),
        ("port-1", "port-1"),
    ):
        few = {Resource(name, direction): 10 for direction in Direction}
        room = site.room((site.capacities | few).__getitem__)
        with pytest.raises(Refused, match=word):
            settle(site, found, room, VLANS, ("r", 1))


def test_without_a_free_vlan_a_vlink_is_refused() -> None:
    site = berlin()
    elements = """
  a: {attribute: /node/host/generic}
  b: {attribute: /node/host/generic}
  w: {attribute: /link/generic}"""
    found = think(site, overlay(elements, "a-w b-w"), all_free(site), LOAD)
    with pytest.raises(Refused) as caught:
        settle(site, found, all_free(site), VlanSet.of(7), ("r", 1))
    assert caught.value.refusal.kind is RefusalKind.LABEL


def test_what_was_not_proven_is_feasible_and_says_how_far_from_its_bound_it_may_be() -> None:
    site = berlin()
    of = asked(example("pair-at-berlin"), Segment("wire", CLOUD, 250, EAST, 120, G))
    found = think(site, of, all_free(site), LOAD)
    assert found.proof["status"] == "optimal"
    far = replace(found, bound=found.cost / 2)
    assert far.proof == {
        "status": "feasible",
        "objective": found.cost,
        "bound": found.cost / 2,
        "gap": 0.5,
        "scope": "whole",
    }


def test_the_program_finds_no_worse_than_the_first_stage() -> None:
    site = berlin()
    elements = "\n".join(f"  {v}: {{attribute: /node/host/generic}}" for v in "abcd")
    of = overlay(elements)
    first = think(site, of, all_free(site), OBJECTIVES["energy"])
    longer = think(site, of, all_free(site), OBJECTIVES["energy"], time_limit_s=2.0)
    assert longer.cost <= first.cost
    assert longer.gap <= 0.01
