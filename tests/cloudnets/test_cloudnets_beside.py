"""New versions of a CloudNet are placed beside VNodes that they leave out."""

from __future__ import annotations

from sites import all_free, overlay, underlay

from cloudnets.beside import beside, stays
from cloudnets.mapped import Mapped, MappedVNode
from cloudnets.pip import think
from embedding.objectives import OBJECTIVES
from substrate.values import replace

GIB = 1 << 30
HAS = "{/resource/cpu: 8 cores, /resource/memory: 8 GiB, /resource/disk: 9 GB}"
HOST = f"{{attribute: /node/host/kvm, resources: {HAS}}}"
SITE = underlay(f"  h1: {HOST}\n  h2: {HOST}\n")
ROOM = all_free(SITE)


def present(**vnodes: tuple[str, int]) -> Mapped:
    """VNodes with their hosts and cores, and 1 GiB each."""
    some = (
        MappedVNode(name, host, "/node/host/kvm", 1000 * cores, GIB)
        for name, (host, cores) in vnodes.items()
    )
    return Mapped("r1", 1, tuple(some), ())


def vnode(cores: int) -> str:
    amounts = f"{{/resource/cpu: {cores} cores, /resource/memory: 1 GiB, /resource/disk: 1 GB}}"
    return f"{{attribute: /node/host/generic, resources: {amounts}}}"


def test_what_is_left_out_takes_its_own_host_and_nothing_else() -> None:
    both = beside(SITE, overlay(f"  b: {vnode(1)}"), ROOM, present(a=("h1", 6), b=("h2", 1)))
    assert both is not None
    left = {s.resource.name: n for s, n in zip(SITE.supplies, both.supplies, strict=True)}
    assert left == {
        "h1/resource/cpu": 2000,
        "h1/resource/memory": 7 * GIB,
        "h1/resource/disk": 9 * 10**9,
        "h2/resource/cpu": 8000,
        "h2/resource/memory": 8 * GIB,
        "h2/resource/disk": 9 * 10**9,
    }


def test_where_nothing_is_left_out_or_nobody_knows_its_host_there_is_nothing_to_be_beside() -> None:
    wanted = overlay(f"  a: {vnode(1)}")
    assert beside(SITE, wanted, ROOM, None) is None
    assert beside(SITE, wanted, ROOM, present(a=("h1", 6))) is None
    assert beside(SITE, wanted, ROOM, present(b=("h7", 6))) is None


def test_what_is_not_free_for_it_is_not_reckoned() -> None:
    full = replace(ROOM, supplies=tuple(0 for _ in ROOM.supplies))
    assert beside(SITE, overlay(f"  a: {vnode(1)}"), full, present(b=("h1", 6))) is None


def test_what_moves_does_not_stay() -> None:
    before, wanted = present(a=("h1", 6), b=("h2", 2)), overlay(f"  b: {vnode(2)}\n  c: {vnode(5)}")
    found = think(SITE, wanted, ROOM, OBJECTIVES["load"], before)
    assert found.hosts["b"] == "h2"
    assert stays(found, before)
    assert not stays(found, present(b=("h1", 2)))
    assert stays(found, None)
