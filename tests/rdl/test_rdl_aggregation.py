"""A provider tells sums and its edges, and nothing of its inside."""

from __future__ import annotations

from dataclasses import replace

import pytest
from graphs import drawn, graphs, underlay
from hypothesis import assume, given, strategies as st

from rdl.aggregation import aggregate
from rdl.checking import check
from rdl.errors import RdlError
from rdl.matching import misfits
from rdl.model import Feature, Graph, Layer, NetworkElement, Resource, by_id
from rdl.reading import read
from rdl.units import AMOUNT_MAX, Amount, Unit
from rdl.writing import write

SITE = underlay(
    """\
  h1: {attribute: /node/host/server, resources: {/resource/memory: 4 GiB},
       features: {/feature/price/memory: 4 milli/h, /feature/power: 300 W}}
  h2: {attribute: /node/host/server, resources: {/resource/memory: 4 GiB}, shares: [san],
       features: {/feature/price/memory: 5 milli/h}}
  h3: {attribute: /node/host/xen, resources: {/resource/memory/ddr5: 4 GiB}, shares: [san]}
  sw: {attribute: /node/switch/cisco, features: {/feature/location: Berlin}}
  l1: {attribute: /link/ethernet, resources: {/resource/bandwidth: 10 Gb/s}}
  trunk: {attribute: /link/transit, resources: {/resource/bandwidth: 40 Gb/s},
          features: {/feature/vlan: 100-199, /feature/latency: 7 ms}}
  inner: {attribute: /link/transit, resources: {/resource/bandwidth: 1 Gb/s}}
  munich: {attribute: /node/host/pip, features: {/feature/location: Munich}}""",
    """\
  a: {attribute: /interface/ethernet, joins: [h1, l1]}
  b: {attribute: /interface/ethernet, joins: [sw, l1]}
  secret: {attribute: /interface/ethernet, joins: [sw, trunk]}
  d: {attribute: /interface/ethernet, joins: [munich, trunk]}
  e: {attribute: /interface/ethernet, joins: [sw, inner]}""",
    "shared:\n  san: {attribute: /resource/disk/hdd, amount: 1 TB}\n",
)

TOLD = """\
rdl: 1
name: berlin
layer: underlay
elements:
  berlin:
    attribute: /node/host/pip
    resources: {/resource/disk: 1 TB, /resource/memory: 12 GiB}
    features:
      /feature/kind: [node/host/server, node/host/xen]
      /feature/largest/disk: 1 TB
      /feature/largest/memory: 4 GiB
      /feature/price/memory: 5 milli/h
  munich: {attribute: /node/host/pip, features: {/feature/location: Munich}}
  trunk:
    attribute: /link/transit
    resources: {/resource/bandwidth: 40 Gb/s}
    features: {/feature/latency: 7 ms, /feature/vlan: 100-199}
interfaces:
  trunk@berlin:
    attribute: /interface/generic
    joins: [berlin, trunk]
  trunk@munich:
    attribute: /interface/generic
    joins: [munich, trunk]
"""


def test_three_hosts_of_4_gib_are_12_gib_and_a_shared_disk_counts_once() -> None:
    """Paper 002, section 5.2."""
    told = aggregate(SITE, "berlin")
    assert by_id(told.elements)["berlin"].resources == (
        Resource("/resource/disk", Amount(10**12, Unit.DATA_BYTES)),
        Resource("/resource/memory", Amount(12 << 30, Unit.DATA_BYTES)),
    )


def test_what_is_told_is_sums_the_largest_kinds_and_edges() -> None:
    assert aggregate(SITE, "berlin") == read(TOLD).graph


def test_nothing_of_the_inside_is_told() -> None:
    text = write(aggregate(SITE, "berlin"))
    for name in ("h1", "h2", "h3", "sw", "l1", "inner", "san", "secret", "x4150", "ddr5"):
        assert name not in text
    assert "Berlin" not in text


@drawn
@given(graphs(Layer.UNDERLAY))
def test_an_aggregate_is_a_substrate_with_the_sums_of_all_nodes(graph: Graph) -> None:
    total = sum(r.amount.value for n in graph.nodes for r in n.resources if r.amount)
    shared = {name for n in graph.nodes for name in n.shares}
    total += sum(s.amount.value for s in graph.shared if s.id in shared)
    # A larger sum is refused.
    assume(total <= AMOUNT_MAX)
    told = aggregate(graph, "aggregate-of-it")
    assert check(told) == []
    (node,) = told.elements
    assert sum(r.amount.value for r in node.resources if r.amount) == total


@given(st.integers(0, 4000), st.integers(0, 4000), st.integers(0, 4000))
def test_how_an_amount_is_spread_beside_the_largest_cannot_be_seen(
    first: int, second: int, third: int
) -> None:
    largest = NetworkElement("h", "/node/host", (cores(first + second + third),))
    one = (largest, NetworkElement("i", "/node/host", (cores(first + second),)))
    two = (
        largest,
        NetworkElement("x", "/node/host", (cores(first),)),
        NetworkElement("y", "/node/switch", (cores(second),)),
    )
    whole, spread = (Graph("g", Layer.UNDERLAY, elements) for elements in (one, two))
    assert aggregate(whole, "p") == aggregate(spread, "p")


def test_of_providers_the_largest_of_any_is_told_and_kinds_only_where_all_tell_them() -> None:
    small, large = (
        Feature("/feature/largest/cpu", Amount(n, Unit.COMPUTE_MCORES)) for n in (4000, 6000)
    )
    kinds = [Feature("/feature/kind", (f"node/host/{kind}",)) for kind in ("kvm", "server")]
    one = NetworkElement("p1", "/node/host/pip", (cores(10_000),), (small, kinds[0]))
    two = NetworkElement("p2", "/node/host/pip", (cores(10_000),), (large, kinds[1]))
    silent = NetworkElement("p3", "/node/host/pip", (cores(5000),))

    def told(*nodes: NetworkElement) -> tuple[Feature, ...]:
        return aggregate(Graph("g", Layer.UNDERLAY, nodes), "p").nodes[0].features

    assert told(one, two) == (
        Feature("/feature/kind", ("node/host/kvm", "node/host/server")),
        large,
    )
    # Who does not tell the largest may have all of it at one host.
    assert told(one, silent) == (
        Feature("/feature/largest/cpu", Amount(5000, Unit.COMPUTE_MCORES)),
    )


@pytest.mark.parametrize(
    ("asked", "kinds", "may"),
    [
        ("/node/host/generic", ["node/host/kvm"], True),
        ("/node/generic", ["node/host/kvm"], True),
        ("/node/host/kvm", ["node/host/xen", "node/host/kvm"], True),
        ("/node/host/server", ["node/host/kvm"], False),
        ("/node/host/server/x4150", ["node/host/server"], True),
        ("/node/host/server", ["node/host"], False),
        ("/node/switch", ["node/host/kvm"], False),
    ],
)
def test_a_node_maps_on_a_provider_one_of_whose_kinds_may_be_what_is_asked(
    asked: str, kinds: list[str], may: bool
) -> None:
    """Deeper than three levels is not told, so it may be."""
    provider = NetworkElement("p", "/node/host/pip", (), (Feature("/feature/kind", tuple(kinds)),))
    graph = Graph("g", Layer.UNDERLAY, (provider,))
    found = misfits(NetworkElement("a", asked), provider, graph)
    assert [each.attribute for each in found] == ([] if may else [asked])


def test_more_than_the_largest_that_a_provider_tells_does_not_fit_on_it() -> None:
    largest = Feature("/feature/largest/cpu", Amount(4000, Unit.COMPUTE_MCORES))
    provider = NetworkElement("p", "/node/host/pip", (cores(10_000),), (largest,))
    graph = Graph("g", Layer.UNDERLAY, (provider,))
    assert misfits(NetworkElement("a", "/node/host", (cores(4000),)), provider, graph) == ()
    (why,) = misfits(NetworkElement("a", "/node/host", (cores(4001),)), provider, graph)
    assert str(why) == "/resource/cpu: asked 4001 mcores, has 4 cores for one"


def cores(value: int) -> Resource:
    return Resource("/resource/cpu", Amount(value, Unit.COMPUTE_MCORES))


def test_a_vnp_tells_its_providers_as_one() -> None:
    vnp = underlay(
        """\
  p1: {attribute: /node/host/pip, resources: {/resource/cpu: 10 cores}}
  p2: {attribute: /node/host/pip, resources: {/resource/cpu: 0 cores}}
  between: {attribute: /link/transit, resources: {/resource/bandwidth: 1 Gb/s}}
  out: {attribute: /link/transit, resources: {/resource/bandwidth: 2 Gb/s}}
  far: {attribute: /node/host/pip}""",
        """\
  a: {attribute: /interface/generic, joins: [p1, between]}
  b: {attribute: /interface/generic, joins: [p2, between]}
  c: {attribute: /interface/generic, joins: [p2, out]}
  d: {attribute: /interface/generic, joins: [far, out]}""",
    )
    told = aggregate(vnp, "reseller")
    assert [element.id for element in told.elements] == ["far", "out", "reseller"]
    assert by_id(told.elements)["reseller"].resources == (cores(10_000),)
    assert aggregate(told, "reseller") == told


def test_a_name_that_is_taken_and_a_sum_that_is_too_large_are_refused() -> None:
    with pytest.raises(RdlError, match=r"elements.munich: is given twice"):
        aggregate(SITE, "munich")
    most = Resource("/resource/memory", Amount(10**18, Unit.DATA_BYTES))
    hosts = [replace(node, resources=(most,)) for node in SITE.nodes if node.id != "munich"]
    with pytest.raises(RdlError, match="is over the most possible"):
        aggregate(Graph("g", Layer.UNDERLAY, tuple(hosts), (), SITE.shared), "p")
