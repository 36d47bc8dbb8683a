"""A least cut between the two ends of a circuit: where the most that can flow is too little. Pure.

Blocking flows in layers (Dinic), over hops and what domains tell of the ways between them. Of a
domain that tells nothing of the ways from a hop all are as wide as can be: over the first such hop
all others are reached, over the second the one that turns back, and nothing over any other. So of
most of a network every hop is looked at once, not every pair of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from substrate.forecast import Resource
from substrate.widening import Network

LOOKED_MAX = 500_000
"""Nodes that are looked at before no cut is known."""
DETOUR = 4
"""Arcs more than the shortest ways have, before all ways are looked at."""
UNLIMITED = 1 << 60

Node = int
"""Hop n begins at 2n and ends at 2n + 1. The user's two ports are like hops beside all others: the
source is the end of one, the sink the begin."""
Cut = list[tuple[Resource, int]]


def least_cut(network: Network, wanted: int) -> Cut | None:
    """Places and what they carry, together less than ``wanted``; of all such the first ones from
    the source. None where so much can flow, or too much was looked at.

    The ends lie in different domains.
    """
    flow = _Flow(network)
    limits = [flow.to_go(flow.source), flow.to_go(flow.source) + DETOUR, UNLIMITED]
    while wanted > 0 and not flow.tired:
        if flow.layers(limits[0]):
            wanted -= flow.block(wanted)
        elif len(limits) > 1:
            del limits[0]
        else:
            return list(dict.fromkeys(flow.crossed()))
    return None


class _Flow:
    """What flows, and how far from the source each node is by what is left."""

    def __init__(self, network: Network) -> None:
        self._network, self._graph = network, network.graph
        hops = len(self._graph.hops)
        self.sink, self.source = 2 * hops, 2 * hops + 1
        self._fewest = self._graph.fewest_hops(network.end)
        self._links: list[int] = [-1] * hops
        self._depths: list[int] = []
        self._heads: dict[Node, dict[Node, int]] = {}
        self._tails: dict[Node, dict[Node, int]] = {}
        self._looked = 0

    @property
    def tired(self) -> bool:
        """Whether it has looked at too much."""
        return self._looked >= LOOKED_MAX

    def to_go(self, node: Node) -> int:
        """How many arcs lead from a node to the sink at least, but for turning back."""
        if node >= self.sink:
            return 0 if node == self.sink else 2 * self._fewest[self._network.start] + 1
        return 2 * self._fewest[self._graph.to[node >> 1]] + 2 - (node & 1)

    def layers(self, most: int) -> bool:
        """By breadth first, as far as the sink, and whether there is a way to it.

        Nodes from which it is likely to take more than ``most`` arcs in all are left out.
        """
        depths = self._depths = [-1] * (self.source + 1)
        depths[self.source], layer, depth = 0, [self.source], 0
        entered: dict[int, int] = {}
        while layer and depths[self.sink] < 0 and not self.tired:
            depth += 1
            further: list[Node] = []
            for here in layer:
                for there in self._onward(here, entered):
                    if depths[there] >= 0:
                        continue
                    if most < UNLIMITED and depth + self.to_go(there) > most:
                        continue
                    depths[there] = depth
                    further.append(there)
            self._looked += len(layer)
            layer = further
        return depths[self.sink] >= 0

    def block(self, amount: int) -> int:
        """Sends up to ``amount`` until every way through the layers has a full arc; how much."""
        sent = 0
        walk = [self.sink]
        before: dict[Node, list[Node]] = {}
        while sent < amount:
            here = walk[-1]
            if here == self.source:
                arcs = list(zip(walk[1:], walk, strict=False))
                room = min(amount - sent, *(self._room(*arc) for arc in arcs))
                for arc in arcs:
                    self._send(*arc, room)
                sent += room
                full = (i for i, arc in enumerate(arcs) if not self._room(*arc))
                del walk[next(full, len(arcs)) + 1 :]
                continue
            if here not in before:
                before[here] = self._behind(here)
            tails = before[here]
            while tails and not self._room(tails[-1], here):
                tails.pop()
            if tails:
                walk.append(tails[-1])
            elif len(walk) > 1:
                walk.pop()
                before[walk[-1]].pop()
            else:
                break
        return sent

    def crossed(self) -> Iterator[tuple[Resource, int]]:
        """What leads from where more could be brought to, to where no more can."""
        network = self._network
        for tail, depth in enumerate(self._depths):
            if depth < 0:
                continue
            if tail & 1 == 0:
                if self._depths[tail + 1] < 0:
                    yield network.narrower_stp(tail >> 1), self._link_bps(tail >> 1)
            elif (ingress := self._ingress(tail)) in network.told:
                for head in self._exits(tail):
                    if self._depths[head] < 0:
                        egress = self._egress(head)
                        yield (ingress, egress), network.pair_bps(ingress, egress)

    def _onward(self, here: Node, entered: dict[int, int]) -> Iterable[Node]:
        """Where an arc with room left leads; of domains that tell nothing not twice.

        ``entered``: such domains and the first hop to each; -1 where all was looked at.
        """
        back = self._tails.get(here, {})
        if here & 1 == 0:
            return (here + 1, *back) if self._room(here, here + 1) else back
        if here == self.source or self._ingress(here) in self._network.told:
            return (*(there for there in self._exits(here) if self._room(here, there)), *back)
        domain, hop = self._graph.to[here >> 1], here >> 1
        if domain == self._network.end:
            return (self.sink, *back)
        first = entered.setdefault(domain, hop)
        if first == hop:
            return (*self._exits(here), *back)
        entered[domain] = -1
        if first < 0 or self._graph.to[self._graph.back[first]] == self._network.start:
            return back
        return (2 * self._graph.back[first], *back)

    def _exits(self, here: Node) -> list[Node]:
        """Where one can go on from the end of a hop."""
        graph, start = self._graph, self._network.start
        if here == self.source:
            return [2 * arc.hop for arc in graph.ways[start]]
        domain, back = graph.to[here >> 1], graph.back[here >> 1]
        if domain == self._network.end:
            return [self.sink]
        return [2 * hop for _, there, hop in graph.ways[domain] if there != start and hop != back]

    def _behind(self, here: Node) -> list[Node]:
        """Where an arc may come from that leads to a node from the layer before."""
        graph, depths = self._graph, self._depths
        tails = list(self._heads.get(here, ()))
        if here & 1:
            tails.append(here - 1)
        else:
            domain, hop = self._network.end, here >> 1
            if here != self.sink:
                domain = graph.to[graph.back[hop]]
            if domain == self._network.start:
                tails.append(self.source)
            else:
                tails += [2 * graph.back[a.hop] + 1 for a in graph.ways[domain] if a.hop != hop]
        return [tail for tail in tails if depths[tail] == depths[here] - 1]

    def _room(self, tail: Node, head: Node) -> int:
        """What more can go along an arc, or what it carries and can be sent back."""
        carried = self._heads.get(tail, {}).get(head, 0)
        if tail & 1 == 0:
            if head != tail + 1:
                return self._heads.get(head, {}).get(tail, 0)
            return self._link_bps(tail >> 1) - carried
        if head == tail - 1 and tail != self.source:
            return self._heads.get(head, {}).get(tail, 0)
        ingress = self._ingress(tail)
        if ingress not in self._network.told:
            return UNLIMITED - carried
        return self._network.pair_bps(ingress, self._egress(head)) - carried

    def _send(self, tail: Node, head: Node, amount: int) -> None:
        back = self._heads.get(head, {}).get(tail, 0)
        if back:
            tail, head, amount = head, tail, -amount
        carried = self._heads.get(tail, {}).get(head, 0) + amount
        if carried:
            self._heads.setdefault(tail, {})[head] = carried
            self._tails.setdefault(head, {})[tail] = carried
        else:
            del self._heads[tail][head], self._tails[head][tail]

    def _link_bps(self, hop: int) -> int:
        known = self._links[hop]
        if known < 0:
            known = self._links[hop] = self._network.link_bps(hop)
        return known

    def _ingress(self, tail: Node) -> str:
        return self._network.source if tail == self.source else self._graph.hops[tail >> 1].to_stp

    def _egress(self, head: Node) -> str:
        if head == self.sink:
            return self._network.destination
        return self._graph.hops[head >> 1].from_stp
