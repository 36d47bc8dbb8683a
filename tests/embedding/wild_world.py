"""Networks and requests that nobody would draw, and the least of any objective by trying all.

Networks may be in pieces, with links side by side, switches in a row, and some of everything
taken already; VLinks may be side by side too. The reference shares no code with what it checks but
the values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import networkx as nx
import numpy as np
from hypothesis import strategies as st

from embedding.model import Embedding, Host, Link, Request, Share, Substrate, VLink, VNode
from embedding.network import Free, Network
from embedding.objectives import Terms
from embedding.problem import Problem

Way = tuple[str, ...]
SLACK = 1e-5


@dataclass(frozen=True)
class Wild:
    """``left``: what is free, by (host, resource) and by the label of a link."""

    substrate: Substrate
    left: Mapping[object, float]
    request: Request
    present: Embedding | None = None

    def problem(self) -> Problem:
        """For the code under test."""
        network = Network(self.substrate)
        host = [
            [self.left.get((each.name, name), 0.0) for name in network.resources]
            for each in self.substrate.hosts
        ]
        link = [self.left[each.label] for each in self.substrate.links]
        size = len(self.substrate.hosts), len(network.resources)
        free = Free(np.array(host, float).reshape(size), np.array(link, float))
        return Problem(network, free, self.request, self.present)


@st.composite
def wild_substrates(draw: st.DrawFn) -> Substrate:
    """One to four hosts, none to two switches, and links between any of them."""
    names = [f"h{i}" for i in range(draw(st.integers(1, 4)))]
    switches = tuple(f"s{i}" for i in range(draw(st.integers(0, 2))))
    amounts = st.fixed_dictionaries({"cpu": st.integers(0, 6)}, optional={"gpu": st.integers(0, 3)})
    power = st.sampled_from((0.0, 1.0, 1.0, 3.0))
    hosts = tuple(
        Host(n, draw(amounts), draw(st.sampled_from((1.0, 2.5))), draw(power)) for n in names
    )
    nodes = [*names, *switches]
    pairs = [(a, b) for i, b in enumerate(nodes) for a in nodes[:i]]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=6)) if pairs else []
    price = st.sampled_from((0.0, 1.0, 1.0, 2.0))
    links = tuple(
        Link(a, b, draw(st.integers(0, 6)), draw(price), f"{a}-{b}-{i}")
        for i, (a, b) in enumerate(chosen)
    )
    return Substrate(hosts, links, switches)


@st.composite
def wild_requests(draw: st.DrawFn, hosts: Sequence[str]) -> Request:
    """One to three VNodes; VLinks may be side by side, and ask for nothing."""
    names = [f"v{i}" for i in range(draw(st.integers(1, 3)))]
    allowed = st.one_of(st.none(), st.none(), st.sets(st.sampled_from(hosts)).map(frozenset))
    amounts = st.fixed_dictionaries({"cpu": st.integers(0, 3)}, optional={"gpu": st.integers(0, 2)})
    vnodes = tuple(VNode(n, draw(amounts), draw(allowed), draw(st.integers(0, 5))) for n in names)
    pairs = [(a, b) for i, b in enumerate(names) for a in names[:i]]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=3)) if pairs else []
    vlinks = tuple(
        VLink(a, b, draw(st.integers(0, 4)), name=f"{a}-{b}-{i}") for i, (a, b) in enumerate(chosen)
    )
    apart = tuple(draw(st.lists(st.sampled_from(pairs), max_size=2))) if pairs else ()
    return Request(vnodes, vlinks, draw(st.booleans()), apart)


@st.composite
def wilds(draw: st.DrawFn) -> Wild:
    """With some of everything taken, and the request perhaps somewhere already."""
    substrate = draw(wild_substrates())
    names = [host.name for host in substrate.hosts]
    request = draw(wild_requests(names))
    whole: dict[object, float] = {
        (host.name, name): amount
        for host in substrate.hosts
        for name, amount in host.amounts.items()
    }
    whole |= {link.label: link.bandwidth for link in substrate.links}
    taken = {key: draw(st.sampled_from((0, 0, 0, 1, amount))) for key, amount in whole.items()}
    left = {key: max(0.0, amount - taken[key]) for key, amount in whole.items()}
    present = None
    if draw(st.booleans()):
        at = {vnode.name: draw(st.sampled_from(names)) for vnode in request.vnodes}
        present = Embedding(at)
    return Wild(substrate, left, request, present)


def graph_of(substrate: Substrate) -> nx.MultiGraph[str]:
    graph: nx.MultiGraph[str] = nx.MultiGraph()
    graph.add_nodes_from([*(host.name for host in substrate.hosts), *substrate.switches])
    for link in substrate.links:
        graph.add_edge(link.a, link.b, key=link.label)
    return graph


def ways_between(graph: nx.MultiGraph[str], a: str, b: str) -> list[Way]:
    """Every simple way, by the labels of its links."""
    return [tuple(edge[2] for edge in way) for way in nx.all_simple_edge_paths(graph, a, b)]  # type: ignore[misc]


def possible(wild: Wild) -> Iterator[Embedding]:
    """Every embedding on single paths that holds."""
    request, graph = wild.request, graph_of(wild.substrate)
    names = [host.name for host in wild.substrate.hosts]
    ways = {(a, b): ways_between(graph, a, b) for a in names for b in names if a != b}
    for chosen in product(names, repeat=len(request.vnodes)):
        hosts = dict(zip((vnode.name for vnode in request.vnodes), chosen, strict=True))
        if places_wrong(wild, hosts):
            continue
        crossing = [k for k in request.vlinks if hosts[k.a] != hosts[k.b]]
        for some in product(*(ways[hosts[k.a], hosts[k.b]] for k in crossing)):
            paths = {
                k.label: (Share(way, k.bandwidth),) for k, way in zip(crossing, some, strict=True)
            }
            if not links_wrong(wild, paths):
                yield Embedding(hosts, paths)


def places_wrong(wild: Wild, hosts: Mapping[str, str]) -> str:
    used: Counter[object] = Counter()
    for vnode in wild.request.vnodes:
        if vnode.hosts is not None and hosts[vnode.name] not in vnode.hosts:
            return f"{vnode.name} at {hosts[vnode.name]}"
        for name, amount in vnode.amounts.items():
            used[hosts[vnode.name], name] += amount  # type: ignore[assignment]
    over = [key for key, amount in used.items() if amount > wild.left.get(key, 0) + SLACK]
    if over:
        return f"too much of {over}"
    names = [vnode.name for vnode in wild.request.vnodes]
    meeting = [] if wild.request.shares_hosts else list(pairwise(sorted(hosts[n] for n in names)))
    meeting += [(hosts[a], hosts[b]) for a, b in wild.request.apart]
    return "meeting" if any(a == b for a, b in meeting) else ""


def carried(paths: Mapping[str, tuple[Share, ...]]) -> dict[str, float]:
    """Per link what goes over it."""
    total: dict[str, float] = {}
    for shares in paths.values():
        for share in shares:
            for label in share.links:
                total[label] = total.get(label, 0.0) + share.bandwidth
    return total


def links_wrong(wild: Wild, paths: Mapping[str, tuple[Share, ...]]) -> str:
    over = [k for k, total in carried(paths).items() if total > wild.left[k] + SLACK]
    return f"too much over {over}" if over else ""


def wrong_with(wild: Wild, embedding: Embedding) -> str:
    """Why it is none of those that are possible; empty if it is one."""
    if set(embedding.hosts) != {vnode.name for vnode in wild.request.vnodes}:
        return "VNodes"
    ends = {link.label: {link.a, link.b} for link in wild.substrate.links}
    for vlink in wild.request.vlinks:
        at, end = embedding.hosts[vlink.a], embedding.hosts[vlink.b]
        shares = embedding.paths.get(vlink.label, ())
        if len(shares) != (at != end):
            return f"{vlink.label} has {len(shares)} paths"
        for share in shares:
            if share.bandwidth != vlink.bandwidth:
                return f"{vlink.label} carries {share.bandwidth}"
            for label in share.links:
                if at not in ends[label]:
                    return f"{vlink.label} jumps to {label}"
                (at,) = ends[label] - {at}
            if at != end:
                return f"{vlink.label} ends at {at}"
    return places_wrong(wild, embedding.hosts) or links_wrong(wild, embedding.paths)


def price_of(wild: Wild, terms: Terms, embedding: Embedding) -> float:
    """What an embedding costs by the four terms, as their documentation says."""
    numbers = {host.name: i for i, host in enumerate(wild.substrate.hosts)}
    at = [numbers[embedding.hosts[vnode.name]] for vnode in wild.request.vnodes]
    total = sum(float(terms.place[v, host]) for v, host in enumerate(at))
    total += sum(float(terms.on[host]) for host in set(at))
    over = carried(embedding.paths)
    for i, link in enumerate(wild.substrate.links):
        total += float(terms.link[i]) * over.get(link.label, 0.0)
    return total + terms.peak * fullest(wild, embedding)


def fullest(wild: Wild, embedding: Embedding) -> float:
    """The largest share taken of anything, by this and by all that was there before."""
    then: Counter[object] = Counter()
    for vnode in wild.request.vnodes:
        for name, amount in vnode.amounts.items():
            then[embedding.hosts[vnode.name], name] += amount  # type: ignore[assignment]
    for label, total in carried(embedding.paths).items():
        then[label] += total  # type: ignore[assignment]
    all_: dict[object, float] = {link.label: link.bandwidth for link in wild.substrate.links}
    for host in wild.substrate.hosts:
        all_ |= {(host.name, name): amount for name, amount in host.amounts.items()}
    shares = [(n - wild.left[key] + then[key]) / n for key, n in all_.items() if n > 0]
    return max(shares, default=0.0)
