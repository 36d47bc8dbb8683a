"""Whether an embedding is one: every answer is held against this before anybody sees it."""

from __future__ import annotations

from collections import Counter

import numpy as np

from embedding.model import Embedding, Share, VLink
from embedding.network import Network
from embedding.problem import TOLERANCE, Problem
from embedding.rules import broken


def violations(problem: Problem, embedding: Embedding) -> tuple[str, ...]:
    """What is wrong with it, one sentence each; nothing, if all is well."""
    found = _places(problem, embedding)
    if found:
        return tuple(found)
    for vlink in problem.request.vlinks:
        found += _paths(problem.network, vlink, embedding)
    return tuple(found) if found else tuple(_amounts(problem, embedding))


def _places(problem: Problem, embedding: Embedding) -> list[str]:
    network, found = problem.network, []
    wanted = {vnode.name for vnode in problem.request.vnodes}
    if set(embedding.hosts) != wanted:
        return [f"hosts are given for {sorted(embedding.hosts)}, not for {sorted(wanted)}"]
    places = []
    for v, vnode in enumerate(problem.request.vnodes):
        host = network.number.get(embedding.hosts[vnode.name], network.hosts)
        if host >= network.hosts:
            return [f"{vnode.name} is on {embedding.hosts[vnode.name]}, which is no host"]
        if not problem.allowed[v, host]:
            found.append(f"{vnode.name} may not be on {network.names[host]}")
        places.append(host)
    for a in range(problem.vnodes):
        for b in range(a):
            if problem.apart[a, b] and places[a] == places[b]:
                pair = problem.request.vnodes[b].name, problem.request.vnodes[a].name
                found.append(f"{pair[0]} and {pair[1]} are both on {network.names[places[a]]}")
    return [*found, *broken(problem, places)]


def _paths(network: Network, vlink: VLink, embedding: Embedding) -> list[str]:
    shares = embedding.paths.get(vlink.label, ())
    ends = embedding.hosts[vlink.a], embedding.hosts[vlink.b]
    if ends[0] == ends[1]:
        return [f"{vlink.label} has a path, and both ends on one host"] if shares else []
    if not shares:
        return [f"{vlink.label} has no path"]
    found = []
    if len(shares) > 1 and not vlink.splittable:
        found.append(f"{vlink.label} is split over {len(shares)} paths")
    total = sum(share.bandwidth for share in shares)
    if abs(total - vlink.bandwidth) > TOLERANCE * max(vlink.bandwidth, TOLERANCE):
        found.append(f"{vlink.label} has {total:g} of {vlink.bandwidth:g}")
    for share in shares:
        if share.bandwidth < 0 or not _joins(network, share, *ends):
            found.append(
                f"{vlink.label}: {', '.join(share.links)} does not join {' and '.join(ends)}"
            )
    return found


def _joins(network: Network, share: Share, a: str, b: str) -> bool:
    at = a
    for label in share.links:
        link = network.substrate.links[network.link_number[label]]
        if at not in (link.a, link.b):
            return False
        at = link.b if at == link.a else link.a
    return at == b and max(Counter(share.links).values(), default=0) <= 1


def _amounts(problem: Problem, embedding: Embedding) -> list[str]:
    network, found = problem.network, []
    if problem.missing:
        return [f"no host has {', '.join(problem.missing)}"]
    use = network.use(problem.request, embedding)
    over = use.host - problem.free.host
    for host, resource in np.argwhere(over > TOLERANCE * network.capacity.host).tolist():
        if use.host[host, resource] > 0:
            name = network.resources[resource]
            found.append(f"{network.names[host]}: {name}: {over[host, resource]:g} too much")
    over_link = use.link - problem.free.link
    for link in np.flatnonzero(over_link > TOLERANCE * network.capacity.link).tolist():
        if use.link[link] > 0:
            label = network.substrate.links[link].label
            found.append(f"{label}: bandwidth: {over_link[link]:g} too much")
    return found
