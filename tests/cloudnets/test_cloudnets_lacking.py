"""What is said of a partial graph for which nothing will do: to others, and to the operator."""

from __future__ import annotations

import pytest
from sites import CLOUD, EAST, G, all_free, asked, berlin, example, overlay, underlay

from cloudnets.holding import settle
from cloudnets.partials import Asked, Refused
from cloudnets.pip import think
from cloudnets.underlay import Underlay
from embedding.objectives import OBJECTIVES
from substrate.model import Refusal, RefusalKind, Segment
from substrate.vlans import VlanSet

VLANS = VlanSet.from_ranges([(200, 299)])


def refused(site: Underlay, of: Asked, kind: RefusalKind, time_limit_s: float = 0.0) -> Refusal:
    with pytest.raises(Refused) as caught:
        think(site, of, all_free(site), OBJECTIVES["load"], None, time_limit_s)
    refusal = caught.value.refusal
    assert refusal.kind is kind, refusal
    assert str(caught.value) == (refusal.inside or refusal.reason)
    return refusal


def test_a_vnode_that_no_host_matches_is_refused_for_what_none_serves() -> None:
    of = overlay("  a: {attribute: /node/host/generic, features: {/feature/architecture: sparc}}")
    why = refused(berlin(), of, RefusalKind.FEATURE)
    assert why.reason == "elements.a: no host will do: none serves its /feature/architecture"
    assert (why.resource, why.elements) == ("/feature/architecture", ("a",))


def test_the_operator_is_told_why_each_kind_of_host_will_not_do() -> None:
    of = overlay("  a: {attribute: /node/host/generic, features: {/feature/architecture: sparc}}")
    inside = refused(berlin(), of, RefusalKind.FEATURE).inside
    assert inside.startswith("elements.a: no host will do: sn111: /feature/architecture")
    assert "sn113" in inside
    assert "sn112" not in inside, "it is as sn111"


MIXED = """
  x: {attribute: /node/host/kvm, resources: {/resource/cpu: 8 cores, /resource/memory: 1 TiB,
      /resource/disk: 1 TB}, features: {/feature/architecture: arm}}
  y: {attribute: /node/host/xen, resources: {/resource/cpu: 8 cores, /resource/memory: 1 TiB,
      /resource/disk/ssd: 1 TB}, features: {/feature/architecture: x86}}"""


@pytest.mark.parametrize(
    ("asked_for", "kind", "lacking"),
    [
        ("/node/host/vserver, resources: {}", RefusalKind.FEATURE, "/node/host/vserver"),
        ("/node/host/kvm, features: {/feature/architecture: x86}", None, "/feature/architecture"),
        ("/node/host/kvm, resources: {/resource/disk/ssd: any}", None, "/resource/disk/ssd"),
        (
            "/node/host/generic, resources: {/resource/disk/ssd: any},"
            " features: {/feature/architecture: arm}",
            RefusalKind.FEATURE,
            "/node/host/generic",
        ),
    ],
    ids=["its type", "a feature", "a resource", "all together"],
)
def test_what_no_host_has_is_one_attribute_and_of_hosts_of_its_type(
    asked_for: str, kind: RefusalKind | None, lacking: str
) -> None:
    of = overlay(f"  a: {{attribute: {asked_for}}}")
    known = {"/feature": RefusalKind.FEATURE, "/resource": RefusalKind.RESOURCE}
    kind = kind or next(known[word] for word in known if lacking.startswith(word))
    why = refused(underlay(MIXED), of, kind)
    assert (why.resource, why.elements) == (lacking, ("a",))


ALIKE = """
  x: {attribute: /node/host, resources: {/resource/cpu: 8 cores, /resource/memory: 1 TiB,
      /resource/disk: 1 TB}}
  y: {attribute: /node/host, resources: {/resource/cpu: 8 cores, /resource/memory: 1 TiB,
      /resource/disk: 1 TB}}"""


def test_too_few_hosts_are_told_without_how_many_there_are() -> None:
    elements = "\n".join(f"  {v}: {{attribute: /node/host/generic}}" for v in "abc")
    apart = "relations:\n  r: {different: /node/host, elements: [a, b, c]}\n"
    why = refused(underlay(ALIKE), overlay(elements, "", apart), RefusalKind.RESOURCE)
    assert why.reason == "too few hosts for a, b, c, which may not meet"
    assert (why.resource, why.elements) == ("/node/host", ("a", "b", "c"))
    assert (why.short, why.asked) == (None, None)
    assert why.inside.startswith("1 hosts short: a, b, c may not meet, and fit on 2 hosts only")


def test_hosts_that_nothing_joins_are_told_as_no_way() -> None:
    elements = """
  a: {attribute: /node/host/generic, resources: {/resource/cpu: 5 cores}}
  b: {attribute: /node/host/generic, resources: {/resource/cpu: 5 cores}}
  w: {attribute: /link/generic, resources: {/resource/bandwidth: 1 Gb/s}}"""
    apart = "relations:\n  r: {different: /feature/architecture, elements: [a, b]}\n"
    site = ALIKE.replace("1 TB}}", "1 TB}, features: {/feature/architecture: arm}}", 1)
    site = site.replace("1 TB}}", "1 TB}, features: {/feature/architecture: x86}}")
    of = overlay(elements, "a-w b-w", apart)
    why = refused(underlay(site), of, RefusalKind.TOPOLOGY, time_limit_s=2.0)
    assert why.reason == "no way joins the hosts that VLinks would have to join"
    assert (why.resource, why.short) == ("/link", None)


def test_a_way_that_becomes_too_narrow_is_told_for_the_vlinks_over_it() -> None:
    of = asked(example("pair-at-berlin"), Segment("wire", CLOUD, 250, EAST, 120, G))
    site = berlin()
    found = think(site, of, all_free(site), OBJECTIVES["load"])
    (link,) = found.ways["wire"]
    room = site.room(lambda r: site.capacities[r] - (G // 2 if r.name == link else 0))
    with pytest.raises(Refused) as caught:
        settle(site, found, room, VLANS, ("r1", 1))
    why = caught.value.refusal
    assert why.reason == "500 Mb/s of /resource/bandwidth short for wire"
    assert (why.kind, why.short, why.asked) == (RefusalKind.BANDWIDTH, G // 2, G)
    assert why.elements == ("wire",)
    assert link in str(caught.value)
