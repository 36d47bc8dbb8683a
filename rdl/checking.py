"""What a graph must keep, whatever form it came in (design, section 9)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from rdl.attributes import NODE, PIP, family, is_attribute, is_generic
from rdl.errors import MISTAKES_MAX, Kind, Mistake, RdlError
from rdl.limits import LIMITS, Limits
from rdl.model import (
    Feature,
    Graph,
    Layer,
    NetworkElement,
    NetworkInterface,
    Relation,
    Resource,
    by_id,
)
from rdl.relations import conflicts
from rdl.units import AMOUNT_MAX, EXAMPLES, Amount, Unit
from rdl.vocabulary import STANDARD, WORDS, Meaning, Vocabulary, not_known
from substrate.vlans import VlanSet

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/-]{0,127}", re.ASCII)
ANY = "any"
WORDED = (Meaning.WORDS, Meaning.GIVEN, Meaning.KINDS)
PIECES_MAX = 8
ELSEWHERE_MAX = 999_999_999


def is_name(text: str) -> bool:
    """Whether the text may name a graph or a party: 1 to 128 plain characters, no ``..``."""
    return NAME.fullmatch(text) is not None and ".." not in text


def is_id(text: str) -> bool:
    """Whether the text may be an id: a name, or up to eight with ``@`` between, as stubs have."""
    pieces = text.split("@")
    return len(pieces) <= PIECES_MAX and all(map(is_name, pieces))


def checked(graph: Graph, vocabulary: Vocabulary = STANDARD, limits: Limits = LIMITS) -> Graph:
    """The graph itself. Raises RdlError with what is wrong with it."""
    mistakes = check(graph, vocabulary, limits)
    if mistakes:
        raise RdlError(mistakes)
    return graph


def check(
    graph: Graph, vocabulary: Vocabulary = STANDARD, limits: Limits = LIMITS
) -> list[Mistake]:
    """What is wrong with a graph: everything, up to MISTAKES_MAX."""
    found = list(_too_many(graph, limits))
    if found:
        return found
    if not is_name(graph.name):
        found.append(Mistake(Kind.NAME, "name", bad_name(graph.name)))
    objects = _Objects(graph, vocabulary, limits).mistakes()
    found += islice(chain(_ids(graph), objects), MISTAKES_MAX)
    return found or list(islice(conflicts(graph), MISTAKES_MAX))


def _too_many(graph: Graph, limits: Limits) -> Iterator[Mistake]:
    count = sum(map(len, (graph.elements, graph.interfaces, graph.shared, graph.relations)))
    if count > limits.objects:
        yield Mistake(Kind.LIMIT, "", f"has {count} objects; possible: {limits.objects}")


def _ids(graph: Graph) -> Iterator[Mistake]:
    for name in ("elements", "interfaces", "shared", "relations"):
        ids = [each.id for each in getattr(graph, name)]
        for id_, times in sorted(Counter(ids).items()):
            if times > 1:
                yield Mistake(Kind.DUPLICATE, f"{name}.{id_}", "is given twice")
            if not is_id(id_):
                yield Mistake(Kind.NAME, f"{name}.{id_}", bad_name(id_))


class _Objects:
    """The checks of all that a graph holds."""

    def __init__(self, graph: Graph, vocabulary: Vocabulary, limits: Limits) -> None:
        self._graph = graph
        self._elements: dict[str, NetworkElement] = by_id(graph.elements)
        self._vocabulary = vocabulary
        self._limits = limits
        self._shared = {shared.id for shared in graph.shared}
        self._asked = graph.layer is Layer.OVERLAY

    def mistakes(self) -> Iterator[Mistake]:
        for element in self._graph.elements:
            yield from self._element(element)
        dangling = list(self._dangling())
        yield from dangling or self._loose_links()
        for interface in self._graph.interfaces:
            yield from self._interface(interface)
        used = {name for element in self._graph.elements for name in element.shares}
        for shared in self._graph.shared:
            field = f"shared.{shared.id}"
            yield from self._resource(field, Resource(shared.attribute, shared.amount))
            if shared.id not in used:
                yield Mistake(Kind.DANGLING, field, "no element shares it")
        for relation in self._graph.relations:
            yield from self._relation(relation)

    def _element(self, element: NetworkElement) -> Iterator[Mistake]:
        field = f"elements.{element.id}"
        known = self._vocabulary.has_element(element.attribute)
        yield from self._attribute(field, element.attribute, known, self._vocabulary.elements)
        yield from self._properties(field, element.resources, element.features)
        if not self._asked and is_generic(element.attribute):
            reason = f"'{element.attribute}' is for an overlay; possible in an underlay: what it is"
            yield Mistake(Kind.ATTRIBUTE, f"{field}.attribute", reason)
        yield from self._many(f"{field}.shares", element.shares)
        for name in sorted(set(element.shares) - self._shared):
            reason = f"there is no shared resource '{name}'"
            yield Mistake(Kind.DANGLING, f"{field}.shares", reason)

    def _interface(self, interface: NetworkInterface) -> Iterator[Mistake]:
        field = f"interfaces.{interface.id}"
        known = self._vocabulary.has_interface(interface.attribute)
        yield from self._attribute(field, interface.attribute, known, self._vocabulary.interfaces)
        yield from self._properties(field, interface.resources, interface.features)

    def _dangling(self) -> Iterator[Mistake]:
        for interface in self._graph.interfaces:
            field = f"interfaces.{interface.id}.joins"
            missing = [name for name in interface.joins if name not in self._elements]
            for name in missing:
                yield Mistake(Kind.DANGLING, field, f"there is no element '{name}'")
            if not missing and not _joinable(*(self._elements[name] for name in interface.joins)):
                given = " and ".join(f"'{name}'" for name in interface.joins)
                reason = f"{given}; possible: a node and a link, or a link and a transit link"
                yield Mistake(Kind.DANGLING, field, reason)

    def _loose_links(self) -> Iterator[Mistake]:
        ends = Counter(name for interface in self._graph.interfaces for name in interface.joins)
        for link in self._graph.links:
            if self._asked and ends[link.id] < 2:
                reason = f"interfaces of the link: {ends[link.id]}; possible: 2 or more"
                yield Mistake(Kind.DANGLING, f"elements.{link.id}", reason)

    def _relation(self, relation: Relation) -> Iterator[Mistake]:
        field = f"relations.{relation.id}"
        yield from self._many(f"{field}.elements", relation.elements)
        for name in relation.elements:
            if name not in self._elements:
                reason = f"there is no element '{name}'"
                yield Mistake(Kind.DANGLING, f"{field}.elements", reason)
            elif family(relation.of) == NODE and not self._elements[name].is_node:
                reason = f"'{name}' is a link, and {relation.of} is a node"
                yield Mistake(Kind.RELATION, f"{field}.elements", reason)
        if not 0 <= relation.elsewhere <= ELSEWHERE_MAX:
            reason = f"given {relation.elsewhere}, possible: 0 to {ELSEWHERE_MAX}"
            yield Mistake(Kind.VALUE, f"{field}.elsewhere", reason)
        if not self._asked:
            yield Mistake(Kind.RELATION, field, "an underlay has no relations")
        if not relation.elements or len(relation.elements) + relation.elsewhere < 2:
            reason = f"elements: {len(relation.elements)}; possible: 2 or more"
            yield Mistake(Kind.RELATION, field, reason)
        if not self._relatable(relation.of):
            words = [n for n, kind in self._vocabulary.features.items() if kind == WORDS]
            reason = not_known(relation.of, (*words, "/node/host", PIP))
            yield Mistake(Kind.RELATION, field, reason)

    def _relatable(self, of: str) -> bool:
        if not is_attribute(of) or is_generic(of):
            return False
        if family(of) == NODE:
            return self._vocabulary.has_element(of)
        return self._vocabulary.kind_of(of) == WORDS

    def _attribute(
        self, field: str, attribute: str, known: bool, possible: Sequence[str]
    ) -> Iterator[Mistake]:
        if not is_attribute(attribute) or not known:
            reason = not_known(attribute, possible)
            yield Mistake(Kind.ATTRIBUTE, f"{field}.attribute", reason)

    def _properties(
        self, field: str, resources: Sequence[Resource], features: Sequence[Feature]
    ) -> Iterator[Mistake]:
        for name, items in (("resources", resources), ("features", features)):
            yield from self._many(f"{field}.{name}", [each.attribute for each in items])
        for resource in resources:
            inner = f"{field}.resources.{resource.attribute}"
            yield from self._resource(inner, resource)
            yield from _completed_by(inner, resource.by)
        for feature in features:
            inner = f"{field}.features.{feature.attribute}"
            yield from self._feature(inner, feature)
            yield from _completed_by(inner, feature.by)

    def _many(self, field: str, names: Sequence[str]) -> Iterator[Mistake]:
        for name, times in sorted(Counter(names).items()):
            if times > 1:
                yield Mistake(Kind.DUPLICATE, field, f"'{name}' is given twice")
        if len(names) > self._limits.entries:
            reason = f"has {len(names)} entries; possible: {self._limits.entries}"
            yield Mistake(Kind.LIMIT, field, reason)

    def _resource(self, field: str, resource: Resource) -> Iterator[Mistake]:
        unit = self._vocabulary.unit_of(resource.attribute)
        if unit is None or not is_attribute(resource.attribute) or is_generic(resource.attribute):
            reason = not_known(resource.attribute, self._vocabulary.resources)
            yield Mistake(Kind.ATTRIBUTE, field, reason)
        elif resource.amount is None:
            yield from self._vague(field)
        else:
            yield from _amount(field, resource.amount, unit)
            if self._asked and resource.amount.value == 0:
                yield Mistake(Kind.AMOUNT, field, "asks for nothing; possible: more than 0")

    def _feature(self, field: str, feature: Feature) -> Iterator[Mistake]:
        kind = self._vocabulary.kind_of(feature.attribute)
        if kind is None or not is_attribute(feature.attribute) or is_generic(feature.attribute):
            reason = not_known(feature.attribute, self._vocabulary.features)
            yield Mistake(Kind.ATTRIBUTE, field, reason)
            return
        match feature.value:
            case None:
                yield from self._vague(field)
            case Amount() as amount if kind.unit is not None:
                yield from _amount(field, amount, kind.unit)
            case VlanSet() as vlans if kind.meaning is Meaning.VLANS:
                if not vlans:
                    yield Mistake(Kind.VALUE, field, "has no VLAN; possible: 1 to 4094")
            case tuple() as words if kind.meaning in WORDED:
                yield from self._words(field, words)
            case _:
                yield Mistake(Kind.VALUE, field, f"possible: {kind.meaning.value}")

    def _words(self, field: str, words: Sequence[str]) -> Iterator[Mistake]:
        yield from self._many(field, words)
        if not words:
            yield Mistake(Kind.VALUE, field, "has no value; possible: a word, or several")
        for word in words:
            if not is_word(word):
                yield Mistake(
                    Kind.VALUE, field, f"'{word[:40]}' is not a word; possible: {WORD_FORM}"
                )

    def _vague(self, field: str) -> Iterator[Mistake]:
        if not self._asked:
            reason = "'any' is for an overlay; possible in an underlay: what is there"
            yield Mistake(Kind.VALUE, field, reason)


WORD_FORM = "1 to 128 of A-Z a-z 0-9 . _ : + / -, not 'any'"


def is_word(text: str) -> bool:
    """Whether the text may be the value of a feature."""
    return WORD.fullmatch(text) is not None and text != ANY


def _amount(field: str, amount: Amount, unit: Unit) -> Iterator[Mistake]:
    if amount.unit is not unit:
        reason = f"'{amount}' is in the wrong unit; possible: {EXAMPLES[unit]}"
        yield Mistake(Kind.AMOUNT, field, reason)
    elif amount.value < 0:
        yield Mistake(Kind.AMOUNT, field, f"'{amount}' is negative; possible: 0 or more")
    elif amount.value > AMOUNT_MAX:
        most = Amount(AMOUNT_MAX, unit)
        yield Mistake(Kind.AMOUNT, field, f"'{amount}' is over the most possible, {most}")


def _completed_by(field: str, by: str) -> Iterator[Mistake]:
    if by and not is_name(by):
        yield Mistake(Kind.NAME, f"{field}.by", bad_name(by))


def _joinable(a: NetworkElement, b: NetworkElement) -> bool:
    """Whether one interface may join both; what is neither node nor link is another mistake."""
    if a.is_link and b.is_link:
        return a.is_transit != b.is_transit
    return not (a.is_node and b.is_node)


def bad_name(name: str) -> str:
    """Why a text may not be a name or an id."""
    shown = name if len(name) <= 40 else f"{name[:40]}…"
    return f"'{shown}' is not a name; possible: 1 to 128 of A-Z a-z 0-9 . _ -, no '..'"
