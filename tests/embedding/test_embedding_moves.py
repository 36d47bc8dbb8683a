"""Freeing hosts, held against trying every set of hosts and every placement of everybody."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product

import pytest
from hypothesis import given, settings, strategies as st

from embedding.check import violations
from embedding.freeing import Freeing, free_hosts
from embedding.model import Embedding, Host, Link, Request, Share, Substrate, VLink, VNode
from embedding.network import Network
from embedding.problem import Problem

Everybody = dict[str, tuple[Request, Embedding]]
Places = Mapping[str, Mapping[str, str]]


def star(cpu: list[int], bandwidth: list[int]) -> Network:
    """Hosts around one switch: between two hosts there is one way."""
    hosts = tuple(Host(f"h{i}", {"cpu": amount}) for i, amount in enumerate(cpu))
    links = tuple(Link(f"h{i}", "s", amount, name=f"l{i}") for i, amount in enumerate(bandwidth))
    return Network(Substrate(hosts, links, ("s",)))


def way(hosts: Mapping[str, str], vlink: VLink) -> tuple[str, ...]:
    a, b = hosts[vlink.a], hosts[vlink.b]
    return () if a == b else (a.replace("h", "l"), b.replace("h", "l"))


def holds(network: Network, everybody: Everybody, at: Places) -> bool:
    """Whether all can be there at once: written anew."""
    cpu = {host.name: host.amounts["cpu"] for host in network.substrate.hosts}
    room = {link.label: link.bandwidth for link in network.substrate.links}
    for name, (request, _) in everybody.items():
        hosts = at[name]
        for vnode in request.vnodes:
            if vnode.hosts is not None and hosts[vnode.name] not in vnode.hosts:
                return False
            cpu[hosts[vnode.name]] -= vnode.amounts["cpu"]
        if not request.shares_hosts and len(set(hosts.values())) < len(hosts):
            return False
        if any(hosts[a] == hosts[b] for a, b in request.apart):
            return False
        for vlink in request.vlinks:
            for label in way(hosts, vlink):
                room[label] -= vlink.bandwidth
    return min(cpu.values()) >= 0 and min(room.values()) >= 0


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Network, Everybody]:
    """Two to four hosts, one to three requests of one or two VNodes, all of which hold."""
    count = draw(st.integers(2, 4))
    network = star(
        draw(st.lists(st.integers(2, 8), min_size=count, max_size=count)),
        draw(st.lists(st.integers(2, 8), min_size=count, max_size=count)),
    )
    names = network.names[:count]
    everybody: Everybody = {}
    for number in range(draw(st.integers(1, 3))):
        at = {v: draw(st.sampled_from(names)) for v in "ab"[: draw(st.integers(1, 2))]}
        vnodes = []
        for v, host in at.items():
            held = frozenset({host, draw(st.sampled_from(names))}) if draw(st.booleans()) else None
            vnodes.append(VNode(v, {"cpu": draw(st.integers(1, 3))}, held, draw(st.integers(0, 5))))
        two = len(at) == 2
        vlinks = (VLink("a", "b", draw(st.integers(1, 3))),) if two and draw(st.booleans()) else ()
        apart = (("a", "b"),) if two and at["a"] != at["b"] and draw(st.booleans()) else ()
        request = Request(tuple(vnodes), vlinks, shares_hosts=True, apart=apart)
        paths = {
            vlink.label: (Share(links, vlink.bandwidth),)
            for vlink in vlinks
            if (links := way(at, vlink))
        }
        more = {**everybody, f"r{number}": (request, Embedding(at, paths))}
        if holds(network, more, {name: each.hosts for name, (_, each) in more.items()}):
            everybody = more
    return network, everybody


def all_places(network: Network, everybody: Everybody) -> Iterator[Places]:
    hosts = network.names[: network.hosts]
    vnodes = [(name, v.name) for name, (request, _) in everybody.items() for v in request.vnodes]
    for chosen in product(hosts, repeat=len(vnodes)):
        at: dict[str, dict[str, str]] = {name: {} for name in everybody}
        for (name, vnode), host in zip(vnodes, chosen, strict=True):
            at[name][vnode] = host
        if holds(network, everybody, at):
            yield at


def cost_of(everybody: Everybody, at: Places) -> float:
    return sum(
        vnode.move_cost
        for name, (request, before) in everybody.items()
        for vnode in request.vnodes
        if at[name][vnode.name] != before.hosts[vnode.name]
    )


def least_cost(network: Network, everybody: Everybody, wanted: int) -> float:
    """Of all places that leave so many hosts empty."""
    least, hosts = math.inf, set(network.names[: network.hosts])
    for at in all_places(network, everybody):
        busy = {host for some in at.values() for host in some.values()}
        if len(hosts - busy) >= wanted:
            least = min(least, cost_of(everybody, at))
    return least


def after(everybody: Everybody, freeing: Freeing) -> Everybody:
    return {
        name: (request, freeing.embeddings.get(name, before))
        for name, (request, before) in everybody.items()
    }


@settings(max_examples=200, deadline=None)
@given(worlds(), st.sampled_from((0.2, 0.5, 0.75)))
def test_no_way_to_free_as_many_costs_less_than_the_bound(
    world: tuple[Network, Everybody], share: float
) -> None:
    network, everybody = world
    freeing = free_hosts(network, everybody, share)
    least = least_cost(network, everybody, freeing.wanted)
    assert freeing.bound <= least
    assert freeing.bound <= freeing.cost
    if freeing.complete:
        assert least <= freeing.cost < math.inf


@settings(max_examples=200, deadline=None)
@given(worlds(), st.sampled_from((0.2, 0.5, 0.75)))
def test_after_the_moves_everything_holds_and_what_is_free_is_free(
    world: tuple[Network, Everybody], share: float
) -> None:
    network, everybody = world
    freeing = free_hosts(network, everybody, share)
    then = after(everybody, freeing)
    at = {name: each.hosts for name, (_, each) in then.items()}
    assert holds(network, everybody, at)
    assert not {host for some in at.values() for host in some.values()} & set(freeing.hosts)
    assert freeing.cost == cost_of(everybody, at)
    assert len(freeing.hosts) <= freeing.wanted
    free = network.free_after(then)
    for request, embedding in then.values():
        without = free.more(network.use(request, embedding))
        assert violations(Problem(network, without, request), embedding) == ()
    moved = {(move.request, move.vnode): (move.source, move.target) for move in freeing.moves}
    assert len(moved) == len(freeing.moves)
    for (name, vnode), (source, target) in moved.items():
        assert everybody[name][1].hosts[vnode] == source != target == at[name][vnode]


@settings(max_examples=60, deadline=None)
@given(worlds(), st.sampled_from((0.2, 0.5)))
def test_the_plan_is_the_same_in_whatever_order_requests_are_told(
    world: tuple[Network, Everybody], share: float
) -> None:
    network, everybody = world
    turned = dict(reversed(everybody.items()))
    first, other = free_hosts(network, everybody, share), free_hosts(network, turned, share)
    assert (first.hosts, first.cost, first.bound) == (other.hosts, other.cost, other.bound)
    assert first.moves == other.moves


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_what_is_free_now_costs_nothing(world: tuple[Network, Everybody]) -> None:
    network, everybody = world
    busy = {host for _, each in everybody.values() for host in each.hosts.values()}
    idle = network.hosts - len(busy)
    if 0 < idle < network.hosts:
        freeing = free_hosts(network, everybody, idle / network.hosts)
        assert freeing.complete
        costly = [move for move in freeing.moves if move.cost]
        assert (freeing.cost, freeing.bound, costly) == (0, 0, [])


def test_an_idle_host_is_freed_before_one_whose_tenants_cost_nothing() -> None:
    """What leaves the host may drive others away, who do cost something."""
    network = star([1, 1, 1], [0, 0, 0])
    both = Request(
        (
            VNode("a", {"cpu": 1}, frozenset({"h0", "h1"}), move_cost=0),
            VNode("b", {"cpu": 1}, move_cost=1),
        ),
        (),
        apart=(("a", "b"),),
    )
    everybody = {"both": (both, Embedding({"a": "h0", "b": "h1"}))}
    freeing = free_hosts(network, everybody, 1 / 3)
    assert (freeing.hosts, freeing.moves) == (("h2",), ())


def test_a_request_that_can_only_go_as_a_whole_goes_as_a_whole() -> None:
    """A VLink of 5 fits on no link: both ends move, though one host only is to be freed."""
    network = star([4, 4, 4], [1, 1, 1])
    both = Request(
        (VNode("a", {"cpu": 2}), VNode("b", {"cpu": 2})), (VLink("a", "b", 5),), shares_hosts=True
    )
    held = Request((VNode("c", {"cpu": 1}, frozenset({"h2"}), 9.0),), ())
    everybody = {
        "both": (both, Embedding({"a": "h0", "b": "h0"})),
        "held": (held, Embedding({"c": "h2"})),
    }
    freeing = free_hosts(network, everybody, 0.3)
    assert (freeing.hosts, freeing.cost) == (("h1",), 0)
    freeing = free_hosts(network, everybody, 0.6)
    assert not freeing.complete
    assert freeing.moves == ()


@pytest.mark.parametrize("share", [1e-6, 1 / 3, 0.34, 0.99])
def test_at_least_the_share_that_was_asked_for_is_wanted(share: float) -> None:
    network = star([1, 1, 1], [1, 1, 1])
    freeing = free_hosts(network, {}, share)
    assert freeing.wanted == {1e-6: 1, 1 / 3: 1, 0.34: 2, 0.99: 3}[share]
    assert freeing.complete
