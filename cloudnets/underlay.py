"""A provider's substrate, read for mapping: what can be held of it, and where VNodes may run.

The underlay graph (docs/rdl/berlin.yaml) becomes calendar resources (every amount of a host, every
shared amount once, every link both ways) and an :class:`embedding.network.Network`. Transit links
and neighbours are not of the inside: they end at ports, which sit at nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cloudnets.prices import differing
from embedding.model import Host, Link, Substrate
from embedding.network import Floats, Free, Ints, Network
from rdl.aggregation import aggregate, is_neighbour, kinds_of, largest_told
from rdl.attributes import PIP, levels, within
from rdl.matching import Misfit, misfits
from rdl.model import (
    Feature,
    Graph,
    Layer,
    NetworkElement,
    NetworkInterface,
    Resource as Quantity,
    by_id,
)
from rdl.partial import VLAN
from rdl.prices import PER, POWER, amount_told, dearest, prices_of
from rdl.units import Amount, Unit
from rdl.vocabulary import STANDARD
from substrate.calendar import Direction, Resource
from substrate.vlans import VlanSet

HOST = "/node/host"
LINK_MICROS = 1_000
BANDWIDTH = "/resource/bandwidth"
NOTHING = Graph("none", Layer.UNDERLAY)

FreeOf = Callable[[Resource], int]
"""What is free of a resource of the calendar during a window."""


class UnderlayError(ValueError):
    """A substrate that cannot be mapped on; the text names the element and what is possible."""


@dataclass(frozen=True, slots=True)
class Supply:
    """An amount that VNodes draw on, of one host, or shared by several: then it counts once."""

    resource: Resource
    attribute: str
    amount: Amount
    hosts: tuple[str, ...]
    shared: str = ""


@dataclass(frozen=True, slots=True)
class InnerLink:
    """A link between two nodes inside, with as much bandwidth each way."""

    element: NetworkElement
    ends: tuple[str, str]
    bandwidth_bps: int

    @property
    def resources(self) -> tuple[Resource, Resource]:
        """Both directions."""
        return Resource(self.element.id, Direction.IN), Resource(self.element.id, Direction.OUT)


@dataclass(frozen=True, slots=True)
class Room:
    """What is free during a window: of each supply, and of each link the lesser way."""

    supplies: tuple[int, ...]
    links: Mapping[str, int]


class Underlay:
    """An indexed substrate. ``port_nodes``: at which node each port sits. Raises UnderlayError."""

    def __init__(
        self, graph: Graph, port_nodes: Mapping[str, str], tells: Iterable[str] = ()
    ) -> None:
        if graph.layer is not Layer.UNDERLAY:
            raise UnderlayError("layer: given 'overlay', possible: underlay")
        self.graph, self.port_nodes = graph, dict(port_nodes)
        inside = [node for node in graph.nodes if not is_neighbour(node)]
        for provider in inside:
            if provider.attribute == PIP:
                raise UnderlayError(f"elements.{provider.id}: a provider; possible: {HOST} …")
        self.nodes: dict[str, NetworkElement] = by_id(inside)
        self.hosts = {n.id: n for n in inside if within(n.attribute, HOST)}
        if not self.hosts:
            raise UnderlayError(f"elements: has no {HOST}; needed is at least one")
        for port, node in port_nodes.items():
            if node not in self.nodes:
                possible = ", ".join(sorted(self.nodes))
                raise UnderlayError(f"port_nodes: {port} sits at '{node}', possible: {possible}")
        self.supplies = tuple(_supplies(graph, self.hosts))
        self.pools = any(supply.shared for supply in self.supplies)
        self.links = {link.element.id: link for link in _links(graph, self.nodes)}
        self._ways = {name: link.resources for name, link in self.links.items()}
        self.units = {k: s.amount.unit for s in self.supplies for k in above(s.attribute)}
        self.link_vlans = dict(_vlans(self.links))
        self.network = self._network()
        self._index = _index(self.supplies, self.network)
        self._at = _by_host(self.supplies, self.hosts)
        self._classes = self._classified()
        self._link_classes = self._classified_links()
        self._told = self._edge()
        self._words = self._words_of(tells)
        self._kinds = kinds_of(self.hosts.values())

    @property
    def capacities(self) -> dict[Resource, int]:
        """Everything that can be held."""
        found = {supply.resource: supply.amount.value for supply in self.supplies}
        for link in self.links.values():
            found |= dict.fromkeys(link.resources, link.bandwidth_bps)
        return found

    def room(self, free_of: FreeOf) -> Room:
        """What is free."""
        supplies = [max(0, free_of(supply.resource)) for supply in self.supplies]
        links = {
            name: max(0, min(free_of(there), free_of(back)))
            for name, (there, back) in self._ways.items()
        }
        return Room(tuple(supplies), links)

    def free(self, room: Room) -> Free:
        """The same as arrays of :attr:`network`; what is shared, whole at each host."""
        return Free(self._amounts(room.supplies), np.array(list(room.links.values()), float))

    def free_alone(self, room: Room) -> Free:
        """The same as if nothing of what is shared were taken: to see which hosts are idle."""
        alone = [
            supply.amount.value if supply.shared else left
            for supply, left in zip(self.supplies, room.supplies, strict=True)
        ]
        return Free(self._amounts(alone), np.array(list(room.links.values()), float))

    def hosts_for(self, asked: NetworkElement) -> frozenset[str]:
        """The hosts that an element matches, whatever the amounts."""
        kinds = replace(asked, resources=tuple(replace(r, amount=None) for r in asked.resources))
        return frozenset(
            host
            for like, hosts in self._classes
            if not misfits(kinds, like, NOTHING)
            for host in hosts
        )

    def serving(self, host: str, attribute: str) -> list[int]:
        """The supplies, by number, of which a host can give what is asked: its own ones first, then
        those that the fewest share; of equal ones the least specific."""
        return [i for i in self._at[host] if within(self.supplies[i].attribute, attribute)]

    def why_none(self, asked: NetworkElement) -> Misfit:
        """Why no host matches: an attribute that none serves, that of the element if none has all
        of them together; and a reason per kind of host, the first three."""
        kinds = replace(asked, resources=tuple(replace(r, amount=None) for r in asked.resources))
        found = [(hosts[0], misfits(kinds, like, NOTHING)) for like, hosts in self._classes]
        told = [dict.fromkeys(each.attribute for each in why) for _, why in found]
        # What is of another type is not compared further.
        alike = [some for some in told if asked.attribute not in some]
        nowhere = [name for name in alike[0] if all(name in o for o in alike)] if alike else []
        reasons = [f"{host}: {', '.join(map(str, why))}" for host, why in found]
        more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        return Misfit((*nowhere, asked.attribute)[0], "; ".join(reasons[:3]) + more)

    def links_against(self, asked: NetworkElement) -> dict[str, Misfit]:
        """The links that a VLink must not take, and why, whatever its bandwidth and its VLAN."""
        features = tuple(f for f in asked.features if f.attribute != VLAN)
        kind = replace(asked, resources=(), features=features)
        found: dict[str, Misfit] = {}
        for like, names in self._link_classes:
            why = misfits(kind, like, NOTHING)
            if why:
                whole = Misfit(why[0].attribute, ", ".join(map(str, why)))
                found |= dict.fromkeys(names, whole)
        return found

    def words(self, hosts: frozenset[str], feature: str) -> dict[str, int]:
        """The words of a feature of these hosts, and how many have each."""
        counted: dict[str, int] = {}
        for like, members in self._classes:
            some = sum(host in hosts for host in members)
            for word in sorted(_words(like, feature)) if some else ():
                counted[word] = counted.get(word, 0) + some
        return counted

    def aggregate(self, room: Room, name: str) -> Graph:
        """What a VNP is told (paper 002, section 5.2): sums of what is free, and the edges.

        With the largest amount of each type that is free at one host, the highest price that a host
        tells, and the kinds of hosts. And, of the features that it ``tells``, which words any of
        its hosts has: relations over several providers need them. Raises RdlError: see
        :func:`rdl.aggregation.aggregate`.
        """
        sums: dict[tuple[str, Unit], int] = {}
        for supply, left in zip(self.supplies, room.supplies, strict=True):
            kind = supply.attribute, supply.amount.unit
            sums[kind] = sums.get(kind, 0) + left
        resources = tuple(Quantity(kind, Amount(n, unit)) for (kind, unit), n in sums.items())
        largest = largest_told(self.left_at(host, room) for host in self.hosts)
        features = (*dearest(self.hosts.values()), *largest, *self._kinds)
        whole = NetworkElement("inside", HOST, resources, features)
        told = aggregate(replace(self._told, elements=(*self._told.elements, whole)), name)
        elements = (
            replace(each, features=(*each.features, *self._words)) if each.id == name else each
            for each in told.elements
        )
        return replace(told, elements=tuple(elements))

    def left_at(self, host: str, room: Room) -> dict[str, int]:
        """What is free at a host, by type, with all of what it shares."""
        left: dict[str, int] = {}
        for i in self._at[host]:
            kind = STANDARD.type_of(self.supplies[i].attribute)
            left[kind] = left.get(kind, 0) + room.supplies[i]
        return left

    def _words_of(self, tells: Iterable[str]) -> tuple[Feature, ...]:
        """The words that hosts have of these features; of one that no host has, nothing."""
        found = {
            attribute: {
                word
                for host in self.hosts.values()
                for feature in host.features
                if feature.attribute == attribute and isinstance(feature.value, tuple)
                for word in feature.value
            }
            for attribute in tells
        }
        return tuple(Feature(each, tuple(words)) for each, words in found.items() if words)

    def _network(self) -> Network:
        kinds: dict[str, dict[str, int]] = {host: {} for host in self.hosts}
        for supply in self.supplies:
            for host in supply.hosts:
                for kind in above(supply.attribute):
                    kinds[host][kind] = kinds[host].get(kind, 0) + supply.amount.value
        nodes = self.hosts.values()
        prices = differing([prices_of(host) for host in nodes])
        watts = _watts(nodes)
        hosts = [
            Host(name, amounts, power=watts[name], prices=_per_base_unit(some, self.units))
            for (name, amounts), some in zip(kinds.items(), prices, strict=True)
        ]
        # VLinks that leave end at the node of a port; what is pinned there must be a host.
        ends = sorted(set(self.port_nodes.values()) - set(self.hosts))
        hosts += [Host(name, {}, price=0.0, power=0.0) for name in ends]
        known = {host.name for host in hosts}
        switches = tuple(name for name in self.nodes if name not in known)
        return Network(Substrate(tuple(hosts), tuple(self._priced_links()), switches))

    def _priced_links(self) -> Iterator[Link]:
        """A link costs its price and a thousandth of a unit of account per Gb/s and hour, as links
        between providers do: of ways with one price the shortest is the best."""
        dear = differing([prices_of(link.element) for link in self.links.values()])
        for link, over in zip(self.links.values(), dear, strict=True):
            price = (LINK_MICROS + over.get(BANDWIDTH, 0)) / PER[Unit.BANDWIDTH_BPS]
            yield Link(*link.ends, link.bandwidth_bps, price, link.element.id)

    def _amounts(self, values: Sequence[int]) -> Floats:
        which, host, kind = self._index
        amounts = np.zeros_like(self.network.capacity.host)
        np.add.at(amounts, (host, kind), np.array(values, float)[which])
        return amounts

    def _classified(self) -> list[tuple[NetworkElement, list[str]]]:
        """Hosts that match the same, amounts aside, with one that stands for them."""
        kinds: dict[str, set[str]] = {host: set() for host in self.hosts}
        for supply in self.supplies:
            for name in supply.hosts:
                kinds[name].add(supply.attribute)
        found: dict[NetworkElement, list[str]] = {}
        units = {supply.attribute: supply.amount.unit for supply in self.supplies}
        for host in self.hosts.values():
            has = tuple(Quantity(kind, Amount(0, units[kind])) for kind in kinds[host.id])
            like = NetworkElement("like", host.attribute, has, host.features)
            found.setdefault(like, []).append(host.id)
        return list(found.items())

    def _classified_links(self) -> list[tuple[NetworkElement, list[str]]]:
        found: dict[NetworkElement, list[str]] = {}
        for name, link in self.links.items():
            like = NetworkElement("like", link.element.attribute, (), link.element.features)
            found.setdefault(like, []).append(name)
        return list(found.items())

    def _edge(self) -> Graph:
        """Neighbours and the transit links to them, with what joins these."""
        elements = tuple(
            element
            for element in self.graph.elements
            if element.is_transit or (element.is_node and is_neighbour(element))
        )
        transits = {element.id for element in elements if element.is_transit}
        joints = tuple(i for i in self.graph.interfaces if transits & set(i.joins))
        return Graph(self.graph.name, Layer.UNDERLAY, elements, joints)


def _watts(hosts: Iterable[NetworkElement]) -> dict[str, float]:
    """What each host needs to be on. Who does not tell it is taken for the most that any tells, and
    if none does, all are alike."""
    told = {host.id: amount_told(host, POWER) for host in hosts}
    known = [mw for mw in told.values() if mw is not None]
    most = max(known, default=1000)
    return {name: (most if mw is None else mw) / 1000 for name, mw in told.items()}


def _per_base_unit(prices: Mapping[str, int], units: Mapping[str, Unit]) -> dict[str, float]:
    return {kind: micros / PER[units[kind]] for kind, micros in prices.items() if kind in units}


def above(attribute: str) -> Iterator[str]:
    """The attribute and those above it, but for the family: of "/resource/disk/ssd" also
    "/resource/disk". Asked amounts of any of these can be drawn from it."""
    names = levels(attribute)
    return ("/" + "/".join(names[:count]) for count in range(2, len(names) + 1))


def _supplies(graph: Graph, hosts: Mapping[str, NetworkElement]) -> Iterator[Supply]:
    for host in hosts.values():
        for each in host.resources:
            if each.amount is not None and each.amount.value:
                resource = Resource(f"{host.id}{each.attribute}", Direction.IN)
                yield Supply(resource, each.attribute, each.amount, (host.id,))
    for shared in graph.shared:
        users = tuple(host.id for host in hosts.values() if shared.id in host.shares)
        if users and shared.amount.value:
            resource = Resource(f"shared {shared.id}{shared.attribute}", Direction.IN)
            yield Supply(resource, shared.attribute, shared.amount, users, shared.id)


def _links(graph: Graph, nodes: Mapping[str, NetworkElement]) -> Iterator[InnerLink]:
    """Those that join two nodes inside; a link without bandwidth, or with one end, carries none."""
    joints: dict[str, list[NetworkInterface]] = {}
    for interface in graph.interfaces:
        for name in interface.joins:
            joints.setdefault(name, []).append(interface)
    for link in graph.links:
        ends = [i for i in joints.get(link.id, ()) if i.other(link.id) in nodes]
        if link.is_transit or len(ends) < 2:
            continue
        if len(ends) > 2:
            raise UnderlayError(f"elements.{link.id}: joins {len(ends)} nodes; possible: 2")
        if link.shares:
            raise UnderlayError(f"elements.{link.id}.shares: possible: bandwidth of its own")
        amounts = [_bandwidth(link.resources), *(_bandwidth(i.resources) for i in ends)]
        said = [amount for amount in amounts if amount is not None]
        first, second = (interface.other(link.id) for interface in ends)
        if first != second and min(said, default=0) > 0:
            yield InnerLink(link, (first, second), min(said))


def _vlans(links: Mapping[str, InnerLink]) -> Iterator[tuple[str, VlanSet]]:
    """The VLANs of the links that do not take any."""
    for name, link in links.items():
        for feature in link.element.features:
            if feature.attribute == VLAN and isinstance(feature.value, VlanSet):
                yield name, feature.value


def _bandwidth(resources: Sequence[Quantity]) -> int | None:
    """The sum of what is said of it; None: nothing."""
    said = [r.amount.value for r in resources if r.amount and within(r.attribute, BANDWIDTH)]
    return sum(said) if said else None


def _index(supplies: Sequence[Supply], network: Network) -> tuple[Ints, Ints, Ints]:
    """Which supply counts at which host for which kind of amount."""
    kinds = {name: i for i, name in enumerate(network.resources)}
    rows = [
        (i, network.number[host], kinds[kind])
        for i, supply in enumerate(supplies)
        for host in supply.hosts
        for kind in above(supply.attribute)
    ]
    table = np.array(rows, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _by_host(
    supplies: Sequence[Supply], hosts: Mapping[str, NetworkElement]
) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {host: [] for host in hosts}
    order = sorted(
        enumerate(supplies), key=lambda each: (len(each[1].hosts), len(levels(each[1].attribute)))
    )
    for i, supply in order:
        for host in supply.hosts:
            found[host].append(i)
    return found


def _words(element: NetworkElement, feature: str) -> set[str]:
    said: list[Feature] = [f for f in element.features if within(f.attribute, feature)]
    return {word for f in said if isinstance(f.value, tuple) for word in f.value}
