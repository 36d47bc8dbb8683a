"""What a provider tells of its substrate: a sum per type, and its edges (paper 002, 5.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rdl.attributes import NODE, PIP, within
from rdl.checking import bad_name, checked, is_name
from rdl.errors import Kind, Mistake, RdlError
from rdl.largest import KINDS, kind_word, largest_feature
from rdl.limits import LIMITS
from rdl.matching import amounts_of, kinds_told
from rdl.model import Feature, Graph, Layer, NetworkElement, NetworkInterface, Resource
from rdl.prices import amount_told, dearest
from rdl.units import Amount, Unit
from rdl.vocabulary import STANDARD, Vocabulary

GENERIC_INTERFACE = "/interface/generic"
HOST = f"/{NODE}/host"


def is_neighbour(element: NetworkElement) -> bool:
    """Whether the element of an underlay is another provider, of which only the name is known."""
    return element.attribute == PIP and not element.resources and not element.shares


def aggregate(substrate: Graph, name: str, vocabulary: Vocabulary = STANDARD) -> Graph:
    """The underlay ``substrate`` of a provider as a VNP sees it: one node called ``name``.

    It has, of each type of resource that the vocabulary knows, the sum over all nodes; a shared
    resource counts once; of each the largest amount that one node has, and the highest price that
    one tells; and of which kinds hosts are. Transit links to neighbours are told as they are, with
    the names of these. Nothing else: no node, link, interface or other feature of its inside, nor
    how many there are. The nodes may be providers themselves, with resources: so a VNP tells its
    own substrate to another.

    Raises RdlError: ``name`` is no name, or a neighbour's or transit link's; a sum is too large.
    """
    if not is_name(name):
        raise RdlError([Mistake(Kind.NAME, "name", bad_name(name))])
    sums: Counter[tuple[str, Unit]] = Counter()
    for node in substrate.nodes:
        for resource in node.resources:
            if resource.amount is not None:
                _add(sums, resource.attribute, resource.amount, vocabulary)
    parts = {id_ for node in substrate.nodes for id_ in node.shares}
    for shared in substrate.shared:
        if shared.id in parts:
            _add(sums, shared.attribute, shared.amount, vocabulary)
    resources = tuple(Resource(kind, Amount(n, unit)) for (kind, unit), n in sums.items())
    edge, interfaces = _edge(substrate, name)
    own = [node for node in substrate.nodes if not is_neighbour(node)]
    largest = [largest_of(node, substrate, vocabulary) for node in own]
    features = (
        *dearest(own, vocabulary),
        *largest_told(largest, vocabulary),
        *kinds_of(own),
    )
    elements = (NetworkElement(name, PIP, resources, features), *edge)
    return checked(Graph(name, Layer.UNDERLAY, elements, interfaces), vocabulary)


def largest_of(
    node: NetworkElement, substrate: Graph, vocabulary: Vocabulary = STANDARD
) -> dict[str, int]:
    """How much one VNode can have of a node, by type of resource, in base units.

    As it tells itself; else all that it has, with all of what it shares.
    """
    has = Counter[str]()
    for attribute, amount in amounts_of(node, substrate):
        has[vocabulary.type_of(attribute)] += amount.value
    told = {kind: amount_told(node, largest_feature(kind)) for kind in vocabulary.resources}
    return {**has, **{kind: most for kind, most in told.items() if most is not None}}


def largest_told(
    of_nodes: Iterable[Mapping[str, int]], vocabulary: Vocabulary = STANDARD
) -> tuple[Feature, ...]:
    """The largest of each type, of any node, as an aggregate tells it."""
    most: dict[str, int] = {}
    for of_node in of_nodes:
        for kind, amount in of_node.items():
            most[kind] = max(amount, most.get(kind, 0))
    return tuple(
        Feature(largest_feature(kind), Amount(amount, vocabulary.resources[kind]))
        for kind, amount in sorted(most.items())
        if kind in vocabulary.resources
    )


def kinds_of(nodes: Iterable[NetworkElement]) -> tuple[Feature, ...]:
    """Of which kinds hosts are, as an aggregate tells it; nothing where one of them does not tell,
    or they are too many."""
    words: set[str] = set()
    for node in nodes:
        if node.attribute == PIP:
            told = kinds_told(node)
            if told is None:
                return ()
            words |= told
        elif within(node.attribute, HOST):
            # What stands in for others tells their kinds.
            words |= kinds_told(node) or {kind_word(node.attribute)}
    return (Feature(KINDS, tuple(sorted(words))),) if 0 < len(words) <= LIMITS.entries else ()


def _add(
    sums: Counter[tuple[str, Unit]], attribute: str, amount: Amount, vocabulary: Vocabulary
) -> None:
    sums[vocabulary.type_of(attribute), amount.unit] += amount.value


def _edge(substrate: Graph, name: str) -> tuple[list[NetworkElement], tuple[NetworkInterface, ...]]:
    """Neighbours, the transit links to them, and what joins these and ``name``."""
    neighbours = {each.id for each in substrate.nodes if is_neighbour(each)}
    transits = {each.id: each for each in substrate.links if each.is_transit}
    joined = [
        (transit, interface.other(transit))
        for interface in substrate.interfaces
        for transit in interface.joins
        if transit in transits
    ]
    outward = {transit for transit, end in joined if end in neighbours}
    told = {(t, end if end in neighbours else name) for t, end in joined if t in outward}
    reached = {end for _, end in told} & neighbours
    elements = [
        NetworkElement(each.id, each.attribute, each.resources, each.features)
        for each in substrate.elements
        if each.id in outward or each.id in reached
    ]
    interfaces = tuple(
        NetworkInterface(f"{transit}@{end}", GENERIC_INTERFACE, (transit, end))
        for transit, end in sorted(told)
    )
    return elements, interfaces
