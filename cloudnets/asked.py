"""What an overlay asks of providers: VNodes that must be at one, what these need, VLinks.

VNodes of one :class:`Group` go to the same provider: a relation says so, or a shared resource,
which counts once, or a stub of an outer graph.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from rdl.attributes import NODE, PIP, family, within
from rdl.completion import DEFAULTS, complete
from rdl.errors import Kind, Mistake, RdlError
from rdl.model import Graph, NetworkElement, Relation, RelationKind, by_id
from rdl.units import Amount
from rdl.vocabulary import STANDARD, Vocabulary
from substrate.values import dataclass, replace

BANDWIDTH, LATENCY = "/resource/bandwidth", "/feature/latency"
MORE_ENDS = "To join more, ask for a /node/host that forwards, and a VLink from it to each"


@dataclass(frozen=True, slots=True)
class OnOneHost:
    """VNodes that are on one host, mostly one alone, with what they do not share with others.

    ``amounts``: by type of resource, in base units.
    """

    members: tuple[str, ...]
    amounts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Group:
    """VNodes that go to one provider. ``amounts``: by type of resource, in base units.

    ``some``: types of which there must be something, however little. ``hosts``: those of them that
    are on one host, of all of them.
    """

    members: tuple[str, ...]
    amounts: Mapping[str, int]
    some: frozenset[str]
    hosts: tuple[OnOneHost, ...]

    @property
    def name(self) -> str:
        """The first of its members."""
        return self.members[0]


@dataclass(frozen=True, slots=True)
class VLinkAsked:
    """What a VLink asks for; its nodes ``a`` and ``b`` in the order of its interfaces' ids."""

    id: str
    a: str
    b: str
    bandwidth_bps: int
    max_latency_us: int | None


def nodes_at(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The nodes at the ends of each link, in the order of its interfaces' ids.

    At an end that leads to a transit link of an outer graph it is the stub behind that.
    """
    elements: dict[str, NetworkElement] = by_id(graph.elements)
    joined: dict[str, list[str]] = {link.id: [] for link in graph.links}
    for interface in graph.interfaces:
        for link in interface.joins:
            if link in joined:
                joined[link].append(interface.other(link))
    direct = {link: [n for n in some if elements[n].is_node] for link, some in joined.items()}
    found = {}
    for link, some in joined.items():
        ends = [[n] if elements[n].is_node else direct[n] for n in some]
        whole = direct[link] if elements[link].is_transit else [n for end in ends for n in end]
        found[link] = tuple(whole)
    return found


def vlinks_of(graph: Graph) -> tuple[VLinkAsked, ...]:
    """The VLinks that an overlay asks for, whose bandwidths are :func:`completed`.

    Raises RdlError for one with other than two ends, or both at one VNode.
    """
    ends, found, mistakes = nodes_at(graph), [], []
    for link in graph.links:
        if link.is_transit:
            continue
        joined = ends[link.id]
        if len(joined) != 2 or joined[0] == joined[1]:
            reason = f"joins {len(joined)} VNodes; possible: two. {MORE_ENDS}"
            if len(joined) == 2:
                reason = f"has both ends at {joined[0]}; possible: two VNodes"
            mistakes.append(Mistake(Kind.MAPPING, f"elements.{link.id}", reason))
            continue
        a, b = joined
        bounds = [
            feature.value.value
            for feature in link.features
            if within(feature.attribute, LATENCY) and isinstance(feature.value, Amount)
        ]
        most = min(bounds, default=None)
        found.append(VLinkAsked(link.id, a, b, bandwidth_bps(link), most))
    if mistakes:
        raise RdlError(mistakes)
    return tuple(found)


def limited(vlinks: tuple[VLinkAsked, ...], most_us: int | None) -> tuple[VLinkAsked, ...]:
    """With no more latency than that; None: as they are."""
    if most_us is None:
        return vlinks
    said = [each.max_latency_us for each in vlinks]
    least = [most_us if us is None else min(us, most_us) for us in said]
    return tuple(replace(each, max_latency_us=us) for each, us in zip(vlinks, least, strict=True))


def bandwidth_bps(link: NetworkElement) -> int:
    """What a link says of its bandwidth; 0: nothing, or any."""
    return sum(
        resource.amount.value
        for resource in link.resources
        if within(resource.attribute, BANDWIDTH) and resource.amount is not None
    )


def completed(graph: Graph, by: str) -> Graph:
    """With the bandwidth of links that do not say it: who plans circuits must know it."""
    rules = [rule for rule in DEFAULTS if rule.has.attribute == BANDWIDTH]
    return complete(graph, rules, by).graph


def groups_of(
    graph: Graph, together: Iterable[Relation] = (), vocabulary: Vocabulary = STANDARD
) -> tuple[Group, ...]:
    """Every VNode in one group, in the order of ids.

    ``together``: relations that only a provider that has all their elements can fulfil.
    """
    nodes = [node.id for node in graph.nodes]
    groups = _joined(nodes, _together(graph, together))
    return tuple(_group(graph, some, vocabulary) for some in groups)


def _joined(names: Iterable[str], sets: Iterable[set[str]]) -> list[tuple[str, ...]]:
    """All names, with those together that a set joins, in the order of the first of each."""
    leader = {name: name for name in names}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for some in sets:
        first = min(map(find, some), default="")
        for name in some:
            leader[find(name)] = first
    members: dict[str, list[str]] = {}
    for name in leader:
        members.setdefault(find(name), []).append(name)
    return [tuple(sorted(some)) for some in members.values()]


def _together(graph: Graph, together: Iterable[Relation]) -> Iterator[set[str]]:
    """Sets of nodes that are at one provider."""
    at = {node.id: (node.id,) for node in graph.nodes} | nodes_at(graph)
    for relation in graph.relations:
        if family(relation.of) == NODE and relation.kind is RelationKind.SAME:
            yield set(relation.elements)
    for relation in together:
        yield {node for name in relation.elements for node in at[name]}
    for shared in graph.shared:
        users = [element.id for element in graph.elements if shared.id in element.shares]
        yield {node for name in users for node in at[name]}
    for link in graph.links:
        if link.is_transit:
            yield set(at[link.id])


def _group(graph: Graph, members: tuple[str, ...], vocabulary: Vocabulary) -> Group:
    elements: dict[str, NetworkElement] = by_id(graph.elements)
    resources = [each for name in members for each in elements[name].resources]
    some = {vocabulary.type_of(each.attribute) for each in resources if each.amount is None}
    amounts = _sums(graph, members, vocabulary)
    on_one = (
        set(relation.elements) & set(members)
        for relation in graph.relations
        if relation.kind is RelationKind.SAME
        and family(relation.of) == NODE
        and not within(relation.of, PIP)
    )
    hosts = tuple(
        OnOneHost(each, dict(_sums(graph, each, vocabulary))) for each in _joined(members, on_one)
    )
    parts = {name for member in members for name in elements[member].shares}
    for shared in graph.shared:
        if shared.id in parts:
            amounts[vocabulary.type_of(shared.attribute)] += shared.amount.value
    return Group(members, dict(amounts), frozenset(some), hosts)


def _sums(graph: Graph, members: Iterable[str], vocabulary: Vocabulary) -> Counter[str]:
    """What these ask for themselves, by type."""
    elements: dict[str, NetworkElement] = by_id(graph.elements)
    sums = Counter[str]()
    for resource in (each for name in members for each in elements[name].resources):
        if resource.amount is not None:
            sums[vocabulary.type_of(resource.attribute)] += resource.amount.value
    return sums


def apart(graph: Graph) -> Iterator[tuple[str, str]]:
    """Pairs of VNodes that are at different providers."""
    for relation in graph.relations:
        if relation.kind is RelationKind.DIFFERENT and within(relation.of, PIP):
            for i, a in enumerate(relation.elements):
                yield from ((a, b) for b in relation.elements[i + 1 :])
