"""Plans to free hosts keep what VLinks ask of their ways."""

from __future__ import annotations

import pytest
from sites import CLOUD, GIB, all_free, overlay, underlay

from cloudnets.freeing import Freed, Tenant, moved, plan_freeing
from cloudnets.holding import settle
from cloudnets.mapped import Mapped, MappedVNode
from cloudnets.partials import Asked
from cloudnets.pip import think
from cloudnets.underlay import Underlay
from embedding.objectives import OBJECTIVES
from substrate.vlans import VlanSet

VLANS = VlanSet.from_ranges([(200, 299)])
DEMANDS = ("features: {/feature/latency: 100 us}", "features: {/feature/vlan: '205'}")


def row(quick_us: int, slow_us: int, vlans: str = "200-299") -> Underlay:
    """x -- y -- z: from x to y it is quick, and to z slow, and perhaps for other VLANs."""
    hosts = "\n".join(
        f"  {h}: {{attribute: /node/host, resources: {{/resource/cpu: 8 cores, "
        "/resource/memory: 64 GiB, /resource/disk: 1 TB}}"
        for h in "xyz"
    )
    links = "\n".join(
        f"  {name}: {{attribute: /link/ethernet, resources: {{/resource/bandwidth: 10 Gb/s}}, "
        f"features: {{/feature/latency: {us} us, /feature/vlan: '{some}'}}}}"
        for name, us, some in (("quick", quick_us, "200-299"), ("slow", slow_us, vlans))
    )
    return underlay(f"{hosts}\n{links}", "x-quick y-quick z-slow y-slow")


def asked_for(demand: str, cores: int) -> Asked:
    return overlay(
        "\n".join(
            f"  {v}: {{attribute: /node/host/generic, resources: {{/resource/cpu: {cores} cores, "
            f"/resource/memory: {size} GiB, /resource/disk: 1 GiB}}}}"
            for v, size in (("a", 1), ("b", 2))
        )
        + "\n  w: {attribute: /link/generic, resources: {/resource/bandwidth: 1 Gb/s}, "
        + f"{demand}}}",
        "a-w b-w",
    )


def tenant_at(site: Underlay, of: Asked, a: str, b: str) -> Mapped:
    """Where it would not be put, perhaps, but can be."""
    room = all_free(site)
    there = tuple(MappedVNode(v, host, "/node/host") for v, host in (("a", a), ("b", b)))
    found = think(site, of, room, OBJECTIVES["load"], Mapped("r1", 1, there, ()))
    mapped = settle(site, found, room, VLANS, ("r1", 1)).mapped
    assert [vnode.host for vnode in mapped.vnodes] == [a, b]
    return mapped


def planned(site: Underlay, mapped: Mapped, share: float) -> Freed:
    return plan_freeing(site, [Tenant(mapped, ())], CLOUD, share)


@pytest.mark.parametrize("demand", DEMANDS)
@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize(
    ("cores", "a", "b"),
    [(3, "x", "y"), (5, "x", "y"), (3, "y", "x"), (5, "y", "x"), (3, "z", "z"), (3, "y", "y")],
)
def test_what_is_planned_can_be_mapped_just_so(
    demand: str, share: float, cores: int, a: str, b: str
) -> None:
    site, of = row(90, 900, "210-299"), asked_for(demand, cores)
    mapped = tenant_at(site, of, a, b)
    plan = planned(site, mapped, share)
    after = moved(mapped, plan.targets().get("r1", {}))
    at = {vnode.id: vnode.host for vnode in after.vnodes}
    assert not set(plan.hosts) & set(at.values())
    found = think(site, of, all_free(site), OBJECTIVES["load"], after)
    assert dict(found.hosts) == at
    assert plan.cost_bytes >= plan.bound_bytes


def held_at_z(site: Underlay) -> Tenant:
    """A VNode of one core that cannot move."""
    of = overlay("  c: {attribute: /node/host/generic, resources: {/resource/cpu: 1 core}}")
    there = Mapped("r2", 1, (MappedVNode("c", "z", "/node/host"),), ())
    found = think(site, of, all_free(site), OBJECTIVES["load"], there)
    mapped = settle(site, found, all_free(site), VLANS, ("r2", 1)).mapped
    return Tenant(mapped, (), fixed=True)


@pytest.mark.parametrize("demand", DEMANDS)
def test_a_vnode_stays_rather_than_where_its_vlink_must_not_go(demand: str) -> None:
    """Only z has room for a, and from there to b it is too slow, or for other VLANs."""
    site = row(90, 900, "210-299")
    tenants = [Tenant(tenant_at(site, asked_for(demand, 5), "x", "y"), ()), held_at_z(site)]
    plan = plan_freeing(site, tenants, CLOUD, 0.3)
    assert (plan.hosts, plan.moves) == ((), ())
    assert plan.bound_bytes <= 2 * GIB
    anywhere = [Tenant(tenant_at(site, asked_for("features: {}", 5), "x", "y"), ()), tenants[1]]
    plan = plan_freeing(site, anywhere, CLOUD, 0.3)
    assert [(move.vnode, move.source, move.target) for move in plan.moves] == [("a", "x", "z")]
    assert plan.cost_bytes == plan.bound_bytes == 2 * GIB
