"""Providers and the links among them, as hosts of :mod:`embedding`: sums per type, no inside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cloudnets.asked import Group
from cloudnets.prices import Price, differing, price_of
from embedding.model import Host, Link, Substrate
from embedding.network import Bools, Floats, Network
from rdl.aggregation import is_neighbour, largest_of
from rdl.attributes import PIP
from rdl.matching import Misfit, amounts_of, misfits
from rdl.model import Feature, Graph, NetworkElement, by_id
from rdl.prices import PER, dearest, prices_of
from rdl.units import Unit
from rdl.vocabulary import STANDARD, Vocabulary
from substrate.values import dataclass, replace

SCALES = {
    Unit.BANDWIDTH_BPS: 1_000_000,
    Unit.COMPUTE_MCORES: 1_000,
    Unit.COUNT_PIECES: 1,
    Unit.DATA_BYTES: 1 << 30,
    Unit.DURATION_US: 1_000,
    Unit.POWER_MW: 1_000,
    Unit.PRICE_MICROS: 1,
}
"""Base units in one of those that solvers reckon with: cores, GiB, Mb/s."""
MBPS = SCALES[Unit.BANDWIDTH_BPS]


@dataclass(frozen=True, slots=True)
class TransitLink:
    """A link between two domains, with what is free on it; ``price``: of a Mb/s."""

    a: str
    b: str
    bandwidth_bps: int
    latency_us: int = 0
    price: int = 0


class Lack(NamedTuple):
    """How much more of a type, in base units, a provider would need for VNodes that are on one
    host, or all of a group; ``most``: what it has for them."""

    kind: str
    members: tuple[str, ...]
    asked: int
    most: int

    @property
    def short(self) -> int:
        return self.asked - self.most


class Providers:
    """What providers have told, and the transit links among them and other domains."""

    def __init__(
        self,
        pips: Mapping[str, Graph],
        links: Sequence[TransitLink],
        vocabulary: Vocabulary = STANDARD,
    ) -> None:
        self._pips, self._vocabulary = pips, vocabulary
        self.names = tuple(sorted(pips))
        self._own = {name: _own_nodes(pips[name], name) for name in self.names}
        self.free = {name: self._free(name) for name in self.names}
        self.largest = {name: self._largest(name) for name in self.names}
        self.prices = {name: self._prices(name) for name in self.names}
        self._known: dict[tuple[str, str, tuple[Feature, ...]], Misfit | None] = {}
        self._latencies_us: dict[int, Floats] = {}
        self.links = tuple(link for link in links if link.a != link.b)

    def _free(self, name: str) -> Mapping[str, int]:
        """Base units by type."""
        sums, told = Counter[str](), set[str]()
        for node in self._own[name]:
            for attribute, amount in amounts_of(node, replace(self._pips[name], shared=())):
                sums[self._vocabulary.type_of(attribute)] += amount.value
            told.update(node.shares)
        for shared in self._pips[name].shared:
            if shared.id in told:
                kind = self._vocabulary.type_of(shared.attribute)
                sums[kind] += shared.amount.value
        return dict(sums)

    def _largest(self, name: str) -> Mapping[str, int]:
        """What VNodes on one host can have at most, as far as it is told; base units by type."""
        most: dict[str, int] = {}
        for node in self._own[name]:
            for kind, amount in largest_of(node, self._pips[name], self._vocabulary).items():
                most[kind] = max(amount, most.get(kind, 0))
        return most

    def _prices(self, name: str) -> Mapping[str, int]:
        """Told by its aggregate, or the highest of those that it is made of."""
        told = NetworkElement(name, PIP, (), dearest(self._own[name], self._vocabulary))
        return prices_of(told, self._vocabulary)

    def price(self, groups: Iterable[Group], placed: Mapping[str, str]) -> Price | None:
        """What VNodes cost together where they are placed; None: no provider tells a price."""
        amounts = ((placed[group.name], group.amounts) for group in groups)
        return price_of(amounts, self.prices, self._vocabulary.resources)

    def scale(self, kind: str) -> int:
        """Base units of a resource in one of those reckoned with."""
        unit = self._vocabulary.unit_of(kind)
        return 1 if unit is None else SCALES[unit]

    def scaled(self, amounts: Mapping[str, int]) -> dict[str, float]:
        """Amounts as solvers have them."""
        return {kind: amount / self.scale(kind) for kind, amount in amounts.items()}

    def network(self) -> Network:
        """Providers as hosts, other domains as switches.

        Hosts cost what is over the least price that a provider tells: what all cost alike would
        only hide how good the rest is. A link costs its price and one more, each Mb/s: of ways with
        one price the shortest is the best.
        """
        hosts = self._hosts()
        ends = {end for link in self.links for end in (link.a, link.b)}
        seen, links = Counter[tuple[str, str]](), []
        for link in self.links:
            seen[link.a, link.b] += 1
            count = seen[link.a, link.b]
            name = f"{link.a}--{link.b}" + (f" ({count})" if count > 1 else "")
            bandwidth = max(link.bandwidth_bps, 0) / MBPS
            links.append(Link(link.a, link.b, bandwidth, 1.0 + link.price, name))
        return Network(Substrate(hosts, tuple(links), tuple(sorted(ends - set(self.names)))))

    def _hosts(self) -> tuple[Host, ...]:
        over = differing([self.prices[name] for name in self.names])
        units = self._vocabulary.resources
        return tuple(
            Host(
                name,
                self.scaled(self.free[name]),
                prices={k: micros * self.scale(k) / PER[units[k]] for k, micros in some.items()},
            )
            for name, some in zip(self.names, over, strict=True)
        )

    def misfits(self, group: Group, graph: Graph, name: str) -> Iterator[Misfit]:
        """Why a group cannot be at a provider, amounts aside."""
        elements: dict[str, NetworkElement] = by_id(graph.elements)
        for member in group.members:
            asked = elements[member]
            if not is_neighbour(asked) and (why := self._unlike(asked, name)):
                yield why._replace(why=f"{member}: {why}")
        for kind in sorted(group.some):
            if self.free[name].get(kind, 0) <= 0:
                yield Misfit(kind, f"{group.name}: {kind}: has none")

    def lacks(self, group: Group, name: str) -> Iterator[Lack]:
        """What a provider has too little of for a group alone, on one host or at all."""
        short = set()
        for host in group.hosts:
            for kind, asked in sorted(host.amounts.items()):
                most = self.largest[name].get(kind, 0)
                if asked > most:
                    short.add(kind)
                    yield Lack(kind, host.members, asked, most)
        for kind, asked in sorted(group.amounts.items()):
            free = self.free[name].get(kind, 0)
            if asked > free and kind not in short:
                yield Lack(kind, group.members, asked, free)

    def _unlike(self, asked: NetworkElement, name: str) -> Misfit | None:
        """Why a VNode is at no host of a provider, amounts aside; None: it may be."""
        key = (name, asked.attribute, asked.features)
        if key not in self._known:
            bare = replace(asked, resources=())
            why = [misfits(bare, own, self._pips[name]) for own in self._own[name]]
            unlike = Misfit(asked.attribute, "offers no host")
            if why and why[0]:
                unlike = Misfit(why[0][0].attribute, "; ".join(map(str, why[0])))
            self._known[key] = unlike if all(why) else None
        return self._known[key]

    def told(self, name: str, feature: str) -> frozenset[str] | None:
        """The words that a provider tells of a feature; None if it tells nothing."""
        values = [
            f.value for own in self._own[name] for f in own.features if f.attribute == feature
        ]
        words = {word for value in values if isinstance(value, tuple) for word in value}
        return frozenset(words) if words else None

    def latencies_us(self, network: Network, bandwidth_bps: int) -> Floats:
        """Providers × providers: the least latency over links with so much free."""
        if bandwidth_bps not in self._latencies_us:
            self._latencies_us[bandwidth_bps] = self._least_us(network, bandwidth_bps)
        return self._latencies_us[bandwidth_bps]

    def _least_us(self, network: Network, bandwidth_bps: int) -> Floats:
        nodes = len(network.names)
        found = np.full((nodes, nodes), np.inf)
        np.fill_diagonal(found, 0.0)
        for link in self.links:
            if link.bandwidth_bps >= bandwidth_bps:
                a, b = network.number[link.a], network.number[link.b]
                found[a, b] = found[b, a] = min(found[a, b], link.latency_us)
        for middle in range(nodes):
            np.minimum(found, found[:, middle, None] + found[middle], out=found)
        return found[: network.hosts, : network.hosts]

    def too_far(self, network: Network, bandwidth_bps: int, most_us: int) -> Bools:
        """Providers × providers: between which no circuit is as fast as that."""
        return np.asarray(self.latencies_us(network, bandwidth_bps) > most_us)


def _own_nodes(graph: Graph, name: str) -> tuple[NetworkElement, ...]:
    """The aggregate, or aggregates of which a provider is made; not its neighbours."""
    return tuple(
        node
        for node in graph.nodes
        if not is_neighbour(node) or (node.attribute == PIP and node.id == name)
    )
