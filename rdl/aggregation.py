"""What a provider tells of its substrate: a sum per type, and its edges (paper 002, 5.2)."""

from __future__ import annotations

from collections import Counter

from rdl.attributes import PIP
from rdl.checking import bad_name, checked, is_name
from rdl.errors import Kind, Mistake, RdlError
from rdl.model import Graph, Layer, NetworkElement, NetworkInterface, Resource
from rdl.prices import dearest
from rdl.units import Amount, Unit
from rdl.vocabulary import STANDARD, Vocabulary

GENERIC_INTERFACE = "/interface/generic"


def is_neighbour(element: NetworkElement) -> bool:
    """Whether the element of an underlay is another provider, of which only the name is known."""
    return element.attribute == PIP and not element.resources and not element.shares


def aggregate(substrate: Graph, name: str, vocabulary: Vocabulary = STANDARD) -> Graph:
    """The underlay ``substrate`` of a provider as a VNP sees it: one node called ``name``.

    It has, of each type of resource that the vocabulary knows, the sum over all nodes; a shared
    resource counts once; and of each the highest price that a node tells. Transit links to
    neighbours are told as they are, with the names of these. Nothing else: no node, link, interface
    or other feature of its inside, nor how many there are. The nodes may be providers themselves,
    with resources: so a VNP tells its own substrate to another.

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
    prices = dearest((n for n in substrate.nodes if not is_neighbour(n)), vocabulary)
    elements = (NetworkElement(name, PIP, resources, prices), *edge)
    return checked(Graph(name, Layer.UNDERLAY, elements, interfaces), vocabulary)


def _add(
    sums: Counter[tuple[str, Unit]], attribute: str, amount: Amount, vocabulary: Vocabulary
) -> None:
    sums[vocabulary.resource_type(attribute) or attribute, amount.unit] += amount.value


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
