"""What providers store of CloudNets is held to what was asked for, and so are their hosts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from embedding_case import mapped, mapping, part, preps

from agents.backends import open_backend
from agents.backends.base import Claim, Placement
from agents.backends.cloud import ProviderBackend
from agents.backends.hosts.embedder import Embedder
from agents.backends.hosts.port import VNodeName
from cloudnets.mapped import Mapped
from simulations.clock import run_virtual
from simulations.faults.capacity import Inner, overbooked
from simulations.faults.devices import names_of, running, undone
from simulations.faults.domains import capacities, configs
from simulations.faults.embedded import labels_of, mapped_of, unembedded, uses_of
from simulations.faults.inside import inside
from simulations.faults.nets import GIB, G
from simulations.faults.plan import World
from substrate.calendar import Direction, Resource
from substrate.model import Window

WINDOW = Window(100, 200)
WORLD = World(clouds=("east", "west"))
INSIDE = inside(WORLD.hosts)
PREPS = preps(WINDOW)


def problem(domain: str, found: Mapped | str) -> str:
    return unembedded(domain, part(PREPS[domain], found), INSIDE)


def changed(kind: str, number: int, **changes: Any) -> Mapped:
    """West's embedding with one VNode or VLink otherwise."""
    right = mapped("west")
    some = list(getattr(right, kind))
    some[number] = replace(some[number], **changes)
    more: dict[str, Any] = {kind: tuple(some)}
    return replace(right, **more)


def test_all_is_well() -> None:
    assert problem("west", mapped("west")) == problem("east", mapped("east")) == ""


def test_segments_alone_are_not_embedded() -> None:
    bare = Placement((Claim(Resource("m1:west", Direction.IN), 1),), ()).to_json()
    assert problem("m1", bare) == ""
    assert mapped_of(bare) is None
    assert problem("west", bare) == "nothing of it is embedded"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (replace(mapped("west"), vnodes=mapped("west").vnodes[:1]), "has VNodes a of a, c"),
        (changed("vnodes", 0, host="h9"), "VNode a is on h9, which is no host"),
        (changed("vnodes", 0, mcores=1999), "VNode a has (1999, 4294967296, 1000000000), asked"),
        (changed("vnodes", 1, memory_bytes=GIB), "VNode c has (4000, 1073741824, 1000000000)"),
        (replace(mapped("west"), vlinks=mapped("west").vlinks[1:]), "VLink a-b is there 0 times"),
        (changed("vlinks", 0, bandwidth_bps=G), "VLink a-b has 1000000000 bit/s"),
        (changed("vlinks", 0, vlan=202), "VLink a-b leaves by west:m1 with VLAN 100, asked for"),
        (changed("vlinks", 0, outer_vlan=103), "VLink a-b leaves by west:m1 with VLAN 103, asked"),
        (changed("vlinks", 0, ends=("a", "west:m2")), "VLink a-b leaves by west:m2 with VLAN 100"),
        (changed("vlinks", 0, links=()), "VLink a-b ends at h1, not at sw"),
        (changed("vlinks", 0, links=("h2-sw",)), "VLink a-b goes from h1 over h2-sw"),
        (changed("vlinks", 0, links=("h1-sw", "h2-sw")), "VLink a-b ends at h2, not at sw"),
    ],
)
def test_another_embedding_than_was_asked_for(found: Mapped, words: str) -> None:
    assert problem("west", found).startswith(words)


def test_two_vlinks_inside_with_one_vlan() -> None:
    found = problem("west", changed("vlinks", 1, vlan=200))
    assert found.startswith("VLink b-c leaves by")
    inner = replace(mapped("west"), vlinks=(*mapped("west").vlinks,))
    twice = replace(inner, vlinks=(*inner.vlinks, replace(inner.vlinks[0], id="more")))
    assert problem("west", twice) == "two of its VLinks have one VLAN"


# What it takes ------------------------------------------------------------------------------------


def test_what_an_embedding_takes_of_hosts_and_links() -> None:
    uses = uses_of(mapping(mapped("west")))
    assert uses[("h1 mcores", "in")] == 2000
    assert uses[("h2 memory", "in")] == 2 * GIB
    assert uses[("h1-sw", "in")] == uses[("h1-sw", "out")] == 20 * G
    assert uses[("h2-sw", "out")] == 5 * G
    assert labels_of("west", mapping(mapped("west"))) == {("west:cloud", 200), ("west:cloud", 201)}


def reckoned(*embeddings: tuple[str, int, Mapped]) -> str:
    """Whether these all fit at west; each of a reservation and a version."""
    holds = {
        replace(PREPS["west"], reservation_id=r, version=v, transaction_id=f"{r}{v}"): found
        for r, v, found in embeddings
    }
    alone = [replace(prep, segments=()) for prep in holds]
    by_id = {prep.transaction_id: mapping(found) for prep, found in holds.items()}

    def inner(prep: Any) -> Inner:
        stored = by_id[prep.transaction_id]
        return Inner(uses_of(stored), labels_of("west", stored))

    return overbooked(alone, capacities(WORLD)["west"], inner)


def other(vlan: int = 203, **amounts: int) -> Mapped:
    """Another CloudNet's VNode on h1, with a VLink of that VLAN to h2."""
    first, second = changed("vnodes", 0, **amounts), mapped("west").vlinks[1]
    inner = replace(second, vlan=vlan, bandwidth_bps=1, links=(), ends=("a", "c"))
    return replace(first, vnodes=first.vnodes[:1], vlinks=(inner,))


def test_hosts_links_and_vlans_inside_are_not_promised_twice() -> None:
    right = mapped("west")
    assert reckoned(("r", 1, right), ("s", 1, other(mcores=6000))) == ""
    over = reckoned(("r", 1, right), ("s", 1, other(mcores=6001)))
    assert over == "h1 mcores in carries 8001 of 8000 at 100 s"
    assert "h1 memory in carries" in reckoned(
        ("r", 1, right), ("s", 1, other(memory_bytes=13 * GIB))
    )
    twice = reckoned(("r", 1, right), ("s", 1, other(vlan=201)))
    assert twice == "VLAN 201 at west:cloud is held by two reservations at 100 s"


def test_versions_of_one_cloudnet_are_alternatives() -> None:
    right, large = mapped("west"), changed("vnodes", 0, mcores=8000)
    assert reckoned(("r", 1, right), ("r", 2, large)) == ""
    assert "h1 mcores" in reckoned(("r", 1, right), ("r", 2, large), ("s", 1, other(mcores=1)))


# What hosts do ------------------------------------------------------------------------------------


def embedded(act: Callable[[Embedder], Any] | None = None) -> list[str]:
    """What is wrong at west where its part is provisioned, and something is done to it then."""
    backend = open_backend(configs(WORLD)["west"])
    assert isinstance(backend, ProviderBackend)
    embedder = backend.embedder
    assert isinstance(embedder, Embedder)
    record = part(PREPS["west"], mapped("west"))

    async def work() -> list[str]:
        await embedder.provision("t/west", Placement.from_json(record.part.mapping))
        assert len(running(embedder)) == 2
        if act is not None:
            await act(embedder)
        return undone(embedder, [record])

    return run_virtual(work())


def test_hosts_that_run_what_is_in_force() -> None:
    assert embedded() == []
    assert names_of(part(PREPS["west"], mapped("west"))) == [
        VNodeName("r", "a"),
        VNodeName("r", "c"),
    ]
    bare = replace(PREPS["m1"], graph=b"")
    assert names_of(part(bare, "no JSON at all")) == []


def test_a_vnode_that_is_gone_stopped_or_small_is_found() -> None:
    name = VNodeName("r", "a")

    async def remove(embedder: Embedder) -> None:
        await embedder.hosts.plugin("h1").remove("h1", name)

    async def stop(embedder: Embedder) -> None:
        await embedder.hosts.plugin("h1").stop("h1", name)

    async def shrink(embedder: Embedder) -> None:
        spec, _ = running(embedder)[("h1", name)]
        await embedder.hosts.plugin("h1").ensure("h1", replace(spec, mcores=1))

    async def move(embedder: Embedder) -> None:
        spec, _ = running(embedder)[("h1", name)]
        await embedder.hosts.plugin("h1").migrate("h1", "h2", spec)

    assert embedded(remove) == ["h1 does not have r:a"]
    assert embedded(stop) == ["r:a on h1 is stopped"]
    assert embedded(shrink) == ["r:a on h1 has not the amounts of its part"]
    assert embedded(move) == ["h1 does not have r:a", "h2 has r:a, which nobody was promised now"]


def test_what_is_left_on_a_host_is_found() -> None:
    async def more(embedder: Embedder) -> None:
        old = replace(mapped("west"), reservation_id="old", vlinks=())
        await embedder.provision("old", Placement((), (), old.to_json()))

    assert embedded(more) == [
        "h1 has old:a, which nobody was promised now",
        "h2 has old:c, which nobody was promised now",
    ]


@pytest.mark.parametrize("node", ["h1", "sw"])
def test_a_vlink_that_leads_nowhere_is_found(node: str) -> None:
    async def cut(embedder: Embedder) -> None:
        await embedder.fabric.switches[node].remove("r")

    assert "VLink a-b of r leads nowhere" in embedded(cut)
