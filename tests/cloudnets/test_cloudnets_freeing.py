"""What it would cost to free hosts: plans that hold, whatever runs when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings, strategies as st

from cloudnets.freeing import Tenant, moved, plan_freeing
from cloudnets.mapped import Mapped, MappedVLink, MappedVNode
from cloudnets.underlay import Underlay
from rdl.codec import to_bytes
from rdl.completion import DEFAULTS, complete
from rdl.model import Layer
from rdl.reading import read
from substrate.model import Segment

GIB = 1 << 30
G = 10**9
CLOUD, EAST = "berlin:cloud", "berlin:east"
HOSTS = ("h1", "h2", "h3", "h4")


def underlay(hosts: Sequence[str] = HOSTS) -> Underlay:
    """Hosts of 8 cores and 16 GiB on one switch, at which the port sits too."""
    elements = "".join(
        f"  {h}: {{attribute: /node/host/kvm, resources: {{/resource/cpu: 8 cores, "
        f"/resource/memory: 16 GiB, /resource/disk: 90 GiB}}}}\n"
        f"  l-{h}: {{attribute: /link/vlan, resources: {{/resource/bandwidth: 10 Gb/s}}}}\n"
        for h in hosts
    )
    interfaces = "".join(
        f"  {h}-0: {{attribute: /interface/ethernet, joins: [{h}, l-{h}]}}\n"
        f"  s1-{h}: {{attribute: /interface/ethernet, joins: [s1, l-{h}]}}\n"
        for h in hosts
    )
    text = (
        "rdl: 1\nname: berlin\nlayer: underlay\nelements:\n"
        f"  s1: {{attribute: /node/switch/vlan}}\n{elements}interfaces:\n{interfaces}"
    )
    return Underlay(read(text).graph, {EAST: "s1"})


def graph(vnodes: Mapping[str, int], apart: Sequence[str] = (), leaving: str = "") -> bytes:
    """VNodes with so many cores and GiB of memory, and 1 GiB of disk.

    ``leaving``: the one with a VLink to another provider.
    """
    text = "rdl: 1\nname: net\nlayer: overlay\nelements:\n"
    for name, size in vnodes.items():
        text += (
            f"  {name}: {{attribute: /node/host/generic, resources: "
            f"{{/resource/cpu: {size} cores, /resource/memory: {size} GiB, "
            "/resource/disk: 1 GiB}}\n"
        )
    if leaving:
        text += (
            "  wire: {attribute: /link/generic, resources: {/resource/bandwidth: 1 Gb/s}}\n"
            "  far: {attribute: /node/host/pip}\n"
            "  t: {attribute: /link/transit, features: {/feature/vlan: '120'}}\n"
            "interfaces:\n"
            f"  i1: {{attribute: /interface/generic, joins: [{leaving}, wire]}}\n"
            "  i2: {attribute: /interface/generic, joins: [wire, t]}\n"
            "  i3: {attribute: /interface/generic, joins: [t, far]}\n"
        )
    if apart:
        text += f"relations:\n  apart: {{different: /node/host, elements: [{', '.join(apart)}]}}\n"
    found = read(text).graph
    assert found.layer is Layer.OVERLAY
    return to_bytes(complete(found, DEFAULTS, "berlin").graph)


def tenant(
    name: str,
    at: Mapping[str, tuple[str, int]],
    *,
    apart: Sequence[str] = (),
    leaving: str = "",
    fixed: bool = False,
) -> Tenant:
    """``at``: of each VNode its host and its size."""
    vnodes = tuple(
        MappedVNode(v, host, "/node/host/kvm", size * 1000, size * GIB, GIB)
        for v, (host, size) in at.items()
    )
    vlinks: tuple[MappedVLink, ...] = ()
    segments: tuple[Segment, ...] = ()
    if leaving:
        way = (f"l-{at[leaving][0]}",)
        vlinks = (MappedVLink("wire", 200, G, (leaving, EAST), way, 120),)
        segments = (Segment("wire", CLOUD, 200, EAST, 120, G),)
    of = graph({v: size for v, (_, size) in at.items()}, apart, leaving)
    return Tenant(Mapped(name, 1, vnodes, vlinks, of), segments, fixed)


def test_what_costs_least_to_move_is_moved_and_the_bound_says_that_nothing_is_cheaper() -> None:
    tenants = [
        tenant("r1", {"a": ("h1", 4)}),
        tenant("r2", {"a": ("h2", 1)}),
        tenant("r3", {"a": ("h3", 2)}),
        tenant("r4", {"a": ("h4", 3)}),
    ]
    found = plan_freeing(underlay(), tenants, CLOUD, 0.5)
    assert (set(found.hosts), found.of, found.wanted, found.emptied) == ({"h2", "h3"}, 4, 2, 2)
    assert found.cost_bytes == found.bound_bytes == (2 + 3) * GIB
    assert {(m.reservation_id, m.source) for m in found.moves} == {("r2", "h2"), ("r3", "h3")}


def test_what_must_be_apart_stays_so_and_what_is_fixed_stays() -> None:
    pair = tenant("r1", {"a": ("h1", 1), "b": ("h2", 1)}, apart=["a", "b"])
    found = plan_freeing(underlay(HOSTS[:2]), [pair], CLOUD, 0.5)
    assert (found.hosts, found.moves) == ((), ())
    together = tenant("r1", {"a": ("h1", 1), "b": ("h2", 1)})
    assert len(plan_freeing(underlay(HOSTS[:2]), [together], CLOUD, 0.5).hosts) == 1
    fixed = [tenant("r1", {"a": ("h1", 1)}, fixed=True), tenant("r2", {"a": ("h2", 9)})]
    assert plan_freeing(underlay(HOSTS[:2]), fixed, CLOUD, 0.5).moves == ()


def test_a_vlink_that_leaves_does_so_from_its_new_host_and_ports_are_no_hosts() -> None:
    tenants = [tenant("r1", {"a": ("h1", 1)}, leaving="a"), tenant("r2", {"a": ("h2", 2)})]
    found = plan_freeing(underlay(HOSTS[:2]), tenants, CLOUD, 0.5)
    assert (found.hosts, found.of) == (("h1",), 2)
    assert [(m.vnode, m.target) for m in found.moves] == [("a", "h2")]
    after = moved(tenants[0].mapped, found.targets()["r1"])
    assert [v.host for v in after.vnodes] == ["h2"]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_a_share_is_above_0_and_below_1(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        plan_freeing(underlay(), [], CLOUD, share)


def test_nearly_all_hosts_may_be_asked_for_though_that_be_all_of_a_few() -> None:
    at_host = Underlay(underlay().graph, {EAST: "h1"})
    found = plan_freeing(at_host, [tenant("r1", {"a": ("h1", 1)})], CLOUD, 0.9)
    assert (found.hosts, found.wanted) == (("h2", "h3", "h4"), 4)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abc"), st.tuples(st.sampled_from(HOSTS), st.integers(1, 3)), min_size=1
        ),
        max_size=6,
    ),
    st.sampled_from([0.2, 0.5, 0.7]),
)
@settings(max_examples=40)
def test_every_plan_holds(nets: list[dict[str, tuple[str, int]]], share: float) -> None:
    tenants = [tenant(f"r{i}", at) for i, at in enumerate(nets)]
    before = Counter[str]()
    for each in tenants:
        for vnode in each.mapped.vnodes:
            before[vnode.host] += vnode.mcores
    found = plan_freeing(underlay(), tenants, CLOUD, share)
    targets, after = found.targets(), Counter[str]()
    for each in tenants:
        for vnode in moved(each.mapped, targets.get(each.mapped.reservation_id, {})).vnodes:
            after[vnode.host] += vnode.mcores
    assert not set(found.hosts) & set(+after)
    # Parts of other times may need more together than a host has: then nothing is added to it.
    assert all(after[host] <= max(8000, before[host]) for host in HOSTS)
    assert found.bound_bytes <= found.cost_bytes
    assert len(found.hosts) <= found.wanted
    assert found.cost_bytes == sum(move.cost_bytes for move in found.moves)
