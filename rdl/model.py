"""The values of the description language (paper 002, section 2.3): immutable, equal by value.

Graphs hold their objects sorted by id, elements theirs sorted by attribute, so that graphs which
say the same compare equal and are written the same. Nothing here is checked: see rdl.checking.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Any

from rdl.attributes import LINK, NODE, TRANSIT, family
from rdl.units import Amount
from substrate.vlans import VlanSet

Words = tuple[str, ...]
"""Values of which any one will do; sorted, none twice."""

Value = Words | Amount | VlanSet
"""What a feature may be: words, an amount that is a bound, or VLANs."""


class Layer(Enum):
    """Whether a graph says what there is (UL) or what is asked for (OL)."""

    UNDERLAY = "underlay"
    OVERLAY = "overlay"


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that is used up. ``amount`` None: any, left to others. ``by``: who completed it."""

    attribute: str
    amount: Amount | None
    by: str = ""


@dataclass(frozen=True, slots=True)
class Feature:
    """A property that is not used up. ``value`` None: any. ``by``: who completed it."""

    attribute: str
    value: Value | None
    by: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.value, tuple):
            object.__setattr__(self, "value", tuple(sorted(set(self.value))))


@dataclass(frozen=True, slots=True)
class NetworkElement:
    """A node or a link. ``shares``: ids of shared resources that it has a part in."""

    id: str
    attribute: str
    resources: tuple[Resource, ...] = ()
    features: tuple[Feature, ...] = ()
    shares: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _sort(self, "resources", attrgetter("attribute"))
        _sort(self, "features", attrgetter("attribute"))
        _sort(self, "shares", str)

    @property
    def is_node(self) -> bool:
        return family(self.attribute) == NODE

    @property
    def is_link(self) -> bool:
        return family(self.attribute) == LINK

    @property
    def is_transit(self) -> bool:
        return self.attribute == TRANSIT


@dataclass(frozen=True, slots=True)
class NetworkInterface:
    """What joins a node and a link, or a link and a transit link; ``joins`` are the ids of both."""

    id: str
    attribute: str
    joins: tuple[str, str]
    resources: tuple[Resource, ...] = ()
    features: tuple[Feature, ...] = ()

    def __post_init__(self) -> None:
        _sort(self, "joins", str)
        _sort(self, "resources", attrgetter("attribute"))
        _sort(self, "features", attrgetter("attribute"))

    def other(self, element: str) -> str:
        """The end that is not ``element``."""
        return self.joins[1] if self.joins[0] == element else self.joins[0]


@dataclass(frozen=True, slots=True)
class SharedResource:
    """A resource that several elements have a part in; it counts once."""

    id: str
    attribute: str
    amount: Amount


class RelationKind(Enum):
    """What a relation demands of its elements."""

    SAME = "same"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Relation:
    """Elements that must agree, or differ, in something that is not decided yet; known by its id.

    ``of``: a feature whose values are words, or an attribute of nodes such as ``/node/host``: then
    it is about what the elements are mapped on. ``elsewhere``: how many more elements are in it in
    other partial graphs.
    """

    id: str
    kind: RelationKind
    of: str
    elements: tuple[str, ...]
    elsewhere: int = 0

    def __post_init__(self) -> None:
        _sort(self, "elements", str)


@dataclass(frozen=True, slots=True)
class Graph:
    """A CloudNet that is asked for, a part of one, or a substrate."""

    name: str
    layer: Layer
    elements: tuple[NetworkElement, ...] = ()
    interfaces: tuple[NetworkInterface, ...] = ()
    shared: tuple[SharedResource, ...] = ()
    relations: tuple[Relation, ...] = ()

    def __post_init__(self) -> None:
        for name in ("elements", "interfaces", "shared", "relations"):
            _sort(self, name, attrgetter("id"))

    @property
    def nodes(self) -> tuple[NetworkElement, ...]:
        return tuple(element for element in self.elements if element.is_node)

    @property
    def links(self) -> tuple[NetworkElement, ...]:
        return tuple(element for element in self.elements if element.is_link)


def by_id(objects: Iterable[Any]) -> dict[str, Any]:
    """Objects by their ids."""
    return {each.id: each for each in objects}


def _sort(owner: object, name: str, key: Any) -> None:
    object.__setattr__(owner, name, tuple(sorted(getattr(owner, name), key=key)))
