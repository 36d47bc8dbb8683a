"""Small substrates and requests, what is valid, and the optimum by trying everything.

The reference shares no code with what it checks but the values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise, product

import networkx as nx
from hypothesis import strategies as st

from embedding.model import Embedding, Host, Link, Request, Share, Substrate, VLink, VNode
from embedding.network import Network
from embedding.problem import Problem

Path = tuple[str, ...]


def line(*cpu: float, bandwidth: float = 10) -> Substrate:
    """Hosts h0, h1, … in a line."""
    hosts = tuple(Host(f"h{i}", {"cpu": amount}) for i, amount in enumerate(cpu))
    links = [Link(f"h{i}", f"h{i + 1}", bandwidth) for i in range(len(cpu) - 1)]
    return Substrate(hosts, tuple(links))


def pair(cpu: float = 1, bandwidth: float = 1, *, shares_hosts: bool = False) -> Request:
    """VNodes a and b with a VLink."""
    vnodes = VNode("a", {"cpu": cpu}), VNode("b", {"cpu": cpu})
    return Request(vnodes, (VLink("a", "b", bandwidth),), shares_hosts)


def problem_of(substrate: Substrate, request: Request) -> Problem:
    """With everything free."""
    network = Network(substrate)
    return Problem(network, network.capacity, request)


@st.composite
def substrates(draw: st.DrawFn) -> Substrate:
    """Three to five nodes in one piece, the last of which may be a switch; small whole amounts."""
    count = draw(st.integers(3, 5))
    switch = draw(st.booleans())
    names = [f"h{i}" for i in range(count - switch)] + ["s"] * switch
    hosts = tuple(
        Host(
            name,
            {"cpu": draw(st.integers(0, 6)), "memory": draw(st.integers(0, 6))},
            price=draw(st.sampled_from((1.0, 1.0, 2.5))),
        )
        for name in names
        if name != "s"
    )
    tree = [(names[draw(st.integers(0, i - 1))], names[i]) for i in range(1, count)]
    others = [(a, b) for i, b in enumerate(names) for a in names[:i] if (a, b) not in tree]
    more = draw(st.lists(st.sampled_from(others), unique=True, max_size=3)) if others else []
    same_price = draw(st.booleans())
    links = tuple(
        Link(
            a,
            b,
            draw(st.integers(0, 6)),
            1.0 if same_price else draw(st.sampled_from((0.0, 0.5, 2.0))),
        )
        for a, b in [*tree, *more]
    )
    return Substrate(hosts, links, ("s",) * switch)


@st.composite
def requests(draw: st.DrawFn, *, splittable: bool = False) -> Request:
    """One to four VNodes, with VLinks between some."""
    count = draw(st.integers(1, 4))
    vnodes = tuple(
        VNode(
            f"v{i}",
            {"cpu": draw(st.integers(0, 4)), "memory": draw(st.integers(0, 3))},
            draw(st.sampled_from((None, None, frozenset({"h0", "h1"})))),
        )
        for i in range(count)
    )
    pairs = [(i, j) for j in range(count) for i in range(j)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=4)) if pairs else []
    vlinks = tuple(
        VLink(f"v{i}", f"v{j}", draw(st.integers(0, 4)), splittable and draw(st.booleans()))
        for i, j in chosen
    )
    shares = draw(st.booleans())
    apart = (("v0", "v1"),) if shares and count > 1 and draw(st.booleans()) else ()
    return Request(vnodes, vlinks, shares, apart)


def wrong_with(substrate: Substrate, request: Request, embedding: Embedding) -> str:
    """Why an embedding into an empty substrate is none; empty if it is one."""
    left: dict[object, float] = {
        (h.name, name): amount for h in substrate.hosts for name, amount in h.amounts.items()
    }
    room: dict[object, float] = {link.label: link.bandwidth for link in substrate.links}
    ends = {link.label: {link.a, link.b} for link in substrate.links}
    for vnode in request.vnodes:
        host = embedding.hosts[vnode.name]
        if vnode.hosts is not None and host not in vnode.hosts:
            return f"{vnode.name} on {host}"
        for name, amount in vnode.amounts.items():
            left[host, name] = left.get((host, name), 0) - amount
    for a, b in _apart(request):
        if embedding.hosts[a] == embedding.hosts[b]:
            return f"{a} beside {b}"
    for vlink in request.vlinks:
        source, target = embedding.hosts[vlink.a], embedding.hosts[vlink.b]
        shares = embedding.paths.get(vlink.label, ())
        if source == target:
            continue
        if not vlink.splittable and len(shares) != 1:
            return f"{vlink.label} over {len(shares)} paths"
        if not math.isclose(sum(s.bandwidth for s in shares), vlink.bandwidth, abs_tol=1e-5):
            return f"{vlink.label} carries {shares}"
        for share in shares:
            at = source
            for label in share.links:
                if at not in ends[label]:
                    return f"{vlink.label} jumps to {label}"
                (at,) = ends[label] - {at}
                room[label] -= share.bandwidth
            if at != target:
                return f"{vlink.label} ends at {at}"
    over = [key for key, amount in {**left, **room}.items() if amount < -1e-5]
    return f"too much: {over}" if over else ""


def _apart(request: Request) -> Iterator[tuple[str, str]]:
    names = [vnode.name for vnode in request.vnodes]
    if not request.shares_hosts:
        yield from ((a, b) for i, b in enumerate(names) for a in names[:i])
    yield from request.apart


def all_embeddings(substrate: Substrate, request: Request) -> Iterator[Embedding]:
    """Every valid one whose VLinks take one simple path each."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from([*(host.name for host in substrate.hosts), *substrate.switches])
    for link in substrate.links:
        graph.add_edge(link.a, link.b, label=link.label, room=link.bandwidth)
    names = [host.name for host in substrate.hosts]
    paths = {(a, b): list(_paths(graph, a, b)) for a in names for b in names if a != b}
    for chosen in product(names, repeat=len(request.vnodes)):
        hosts = {v.name: host for v, host in zip(request.vnodes, chosen, strict=True)}
        bare = Request(request.vnodes, (), request.shares_hosts, request.apart)
        if wrong_with(substrate, bare, Embedding(hosts)):
            continue
        yield from _routed(graph, request, hosts, paths)


def _paths(graph: nx.Graph[str], a: str, b: str) -> Iterator[Path]:
    for nodes in nx.all_simple_paths(graph, a, b):
        yield tuple(graph.edges[pair]["label"] for pair in pairwise(nodes))


def _routed(
    graph: nx.Graph[str],
    request: Request,
    hosts: Mapping[str, str],
    paths: Mapping[tuple[str, str], list[Path]],
) -> Iterator[Embedding]:
    vlinks = [v for v in request.vlinks if hosts[v.a] != hosts[v.b]]
    choices = [paths[hosts[v.a], hosts[v.b]] for v in vlinks]
    rooms = {data["label"]: data["room"] for _, _, data in graph.edges(data=True)}
    for ways in product(*choices):
        room = dict(rooms)
        for vlink, way in zip(vlinks, ways, strict=True):
            for label in way:
                room[label] -= vlink.bandwidth
        if min(room.values(), default=0) >= 0:
            shares = {
                v.label: (Share(way, v.bandwidth),) for v, way in zip(vlinks, ways, strict=True)
            }
            yield Embedding(hosts, shares)


def cost_of(substrate: Substrate, request: Request, embedding: Embedding) -> float:
    """Amounts and bandwidth times their prices."""
    price = {host.name: host.price for host in substrate.hosts}
    links = {link.label: link.price for link in substrate.links}
    places = sum(
        sum(vnode.amounts.values()) * price[embedding.hosts[vnode.name]] for vnode in request.vnodes
    )
    ways = sum(
        share.bandwidth * links[label]
        for shares in embedding.paths.values()
        for share in shares
        for label in share.links
    )
    return places + ways


def peak_of(substrate: Substrate, request: Request, embedding: Embedding) -> float:
    """The largest share of anything that is taken."""
    taken: dict[str, dict[str, float]] = {}
    for vnode in request.vnodes:
        here = taken.setdefault(embedding.hosts[vnode.name], {})
        for name, amount in vnode.amounts.items():
            here[name] = here.get(name, 0.0) + amount
    carried: dict[str, float] = {}
    for shares in embedding.paths.values():
        for share in shares:
            for label in share.links:
                carried[label] = carried.get(label, 0.0) + share.bandwidth
    return max(
        *(
            taken.get(host.name, {}).get(name, 0.0) / amount
            for host in substrate.hosts
            for name, amount in host.amounts.items()
            if amount > 0
        ),
        *(carried.get(k.label, 0.0) / k.bandwidth for k in substrate.links if k.bandwidth > 0),
        0.0,
        0.0,
    )
