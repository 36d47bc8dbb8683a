"""What it would cost to free some of the hosts."""

from __future__ import annotations

import random

import pytest
from embedding_world import line, pair

from embedding.check import violations
from embedding.embed import embed
from embedding.freeing import Embedded, Freeing, free_hosts
from embedding.model import Embedding, Host, Link, Request, Share, Substrate, VLink, VNode
from embedding.network import Network
from embedding.objectives import cost
from embedding.problem import Problem


def one(name: str, cpu: float, move_cost: float = 1.0) -> Request:
    return Request((VNode(name, {"cpu": cpu}, move_cost=move_cost),), ())


def after(embedded: Embedded, freeing: Freeing) -> Embedded:
    return {
        name: (request, freeing.embeddings.get(name, embedding))
        for name, (request, embedding) in embedded.items()
    }


def check(network: Network, embedded: Embedded, freeing: Freeing) -> None:
    """The hosts are free, everything holds, and the moves are all that changed."""
    then = after(embedded, freeing)
    used = {host for _, embedding in then.values() for host in embedding.hosts.values()}
    assert not used & set(freeing.hosts)
    free = network.free_after(then)
    assert free.host.min() >= -1e-9
    assert free.link.min() >= -1e-9
    for request, embedding in then.values():
        without = free.more(network.use(request, embedding))
        assert violations(Problem(network, without, request), embedding) == ()
    told = {(move.request, move.vnode): move.target for move in freeing.moves}
    for name, (request, before) in embedded.items():
        for vnode in request.vnodes:
            target = told.get((name, vnode.name), before.hosts[vnode.name])
            assert then[name][1].hosts[vnode.name] == target
    assert freeing.cost == sum(move.cost for move in freeing.moves)
    assert freeing.bound <= freeing.cost


def test_idle_hosts_are_free_for_nothing() -> None:
    network = Network(line(4, 4, 4, 4, 4))
    embedded = {"r": (one("a", 1), Embedding({"a": "h0"}))}
    freeing = free_hosts(network, embedded, 0.8)
    assert freeing.hosts == ("h1", "h2", "h3", "h4")
    assert (freeing.cost, freeing.bound, freeing.complete) == (0, 0, True)


def test_the_cheapest_moves_are_made_and_proven_cheapest() -> None:
    network = Network(line(4, 4))
    embedded = {
        "dear": (one("a", 1, 9), Embedding({"a": "h0"})),
        "cheap": (one("b", 1, 2), Embedding({"b": "h1"})),
    }
    freeing = free_hosts(network, embedded, 0.5)
    assert freeing.hosts == ("h1",)
    assert [(m.request, m.vnode, m.source, m.target, m.cost) for m in freeing.moves] == [
        ("cheap", "b", "h1", "h0", 2)
    ]
    assert freeing.bound == freeing.cost == 2
    check(network, embedded, freeing)


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_where_fewer_can_be_freed_these_cost_least_and_are_all_that_is_proven(
    share: float,
) -> None:
    network = Network(line(16, 16, 16))
    places = {"n0": "h2", "n1": "h0", "n2": "h0", "n3": "h1", "n4": "h1"}
    embedded = {name: (one(name, 5), Embedding({name: at})) for name, at in places.items()}
    freeing = free_hosts(network, embedded, share)
    assert freeing.hosts == ("h2",)
    assert freeing.bound == freeing.cost == 1
    assert freeing.complete == (share < 0.5)
    check(network, embedded, freeing)


def test_a_vlink_follows_its_vnode_only_where_there_is_bandwidth() -> None:
    hosts = tuple(Host(f"h{i}", {"cpu": 2}) for i in range(4))
    links = Link("h0", "h1", 5), Link("h0", "h2", 1), Link("h0", "h3", 5)
    network = Network(Substrate(hosts, links))
    there = Embedding({"a": "h0", "b": "h1"}, {"a--b": (Share(("h0--h1",), 3.0),)})
    embedded = {
        "linked": (pair(2, 3), there),
        "alone": (one("c", 2, 5), Embedding({"c": "h2"})),
    }
    freeing = free_hosts(network, embedded, 0.5)
    assert freeing.hosts == ("h3", "h1") or not freeing.complete
    check(network, embedded, freeing)


def test_what_cannot_be_freed_stays_and_the_answer_says_so() -> None:
    network = Network(line(4, 4))
    embedded = {
        "one": (one("a", 3), Embedding({"a": "h0"})),
        "two": (one("b", 3), Embedding({"b": "h1"})),
    }
    freeing = free_hosts(network, embedded, 0.5)
    assert not freeing.complete
    assert (freeing.hosts, freeing.wanted, freeing.moves) == ((), 1, ())


def test_a_vnode_that_is_held_to_a_host_is_not_moved() -> None:
    network = Network(line(4, 4, 4))
    held = Request((VNode("a", {"cpu": 1}, frozenset({"h0"}), 0.5),), ())
    embedded = {
        "held": (held, Embedding({"a": "h0"})),
        "free": (one("b", 1), Embedding({"b": "h1"})),
        "other": (one("c", 1, 3), Embedding({"c": "h2"})),
    }
    freeing = free_hosts(network, embedded, 0.3)
    assert freeing.hosts == ("h1",)
    check(network, embedded, freeing)


@pytest.mark.parametrize("seed", range(4))
def test_a_fifth_of_a_hundred_hosts_is_freed_with_all_paths_valid(seed: int) -> None:
    dice = random.Random(seed)
    hosts = tuple(Host(f"h{i}", {"cpu": 20}) for i in range(100))
    pairs = {(i, (i + 1) % 100) for i in range(100)}
    while len(pairs) < 400:
        a, b = sorted(dice.sample(range(100), 2))
        pairs.add((a, b))
    links = tuple(Link(f"h{a}", f"h{b}", 60) for a, b in sorted(pairs) if (b, a) not in pairs)
    network = Network(Substrate(hosts, links))
    embedded: dict[str, tuple[Request, Embedding]] = {}
    for number in range(50):
        count = dice.randint(2, 5)
        vnodes = tuple(VNode(f"v{i}", {"cpu": dice.randint(1, 8)}) for i in range(count))
        vlinks = [
            VLink(f"v{dice.randrange(i)}", f"v{i}", dice.randint(1, 9)) for i in range(1, count)
        ]
        request = Request(vnodes, tuple(vlinks))
        free = network.free_after(embedded)
        answer = embed(Problem(network, free, request), cost, time_limit_s=0)
        assert answer.embedding is not None
        embedded[str(number)] = request, answer.embedding
    freeing = free_hosts(network, embedded, 0.2)
    assert freeing.complete
    assert len(freeing.hosts) == 20
    check(network, embedded, freeing)


@pytest.mark.parametrize("share", [0, 1.1, -0.2, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share: given"):
        free_hosts(Network(line(1, 1)), {}, share)
