"""Descriptions in YAML, read strictly: every mistake with line, column, field and reason.

docs/rdl/README.md describes the form. All mistakes of the form are found in one reading; when there
are none, all that :mod:`rdl.checking` finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping as MappingOf, Sequence as SequenceOf
from dataclasses import dataclass, replace
from typing import TypeVar

from rdl.checking import ANY, check
from rdl.document import NAMES, Mapping, Mark, Node, Scalar, Sequence, below, compose
from rdl.errors import MISTAKES_MAX, Kind, Mistake, RdlError
from rdl.limits import LIMITS, Limits
from rdl.model import (
    Feature,
    Graph,
    Layer,
    NetworkElement,
    NetworkInterface,
    Relation,
    RelationKind,
    Resource,
    SharedResource,
    Value,
)
from rdl.units import Amount, Unit, parse_amount
from rdl.vocabulary import STANDARD, FeatureKind, Meaning, Vocabulary, not_known
from substrate.vlans import VlanSet

VERSION = "1"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Document:
    """A graph, and where in the text each of its fields begins."""

    graph: Graph
    marks: MappingOf[str, Mark]

    def mark(self, field: str) -> Mark | None:
        """The place of a field, or of the nearest around it; None where there is no text."""
        return _nearest(self.marks, field) if self.marks else None


def read(text: bytes | str, vocabulary: Vocabulary = STANDARD, limits: Limits = LIMITS) -> Document:
    """The graph that a text in YAML describes. Raises RdlError."""
    reader = _Reader(vocabulary)
    graph = reader.graph(compose(text, limits))
    mistakes = reader.mistakes
    if not mistakes:
        mistakes = [
            _placed(each, _nearest(reader.marks, each.field))
            for each in check(graph, vocabulary, limits)
        ]
    if mistakes:
        raise RdlError(mistakes)
    return Document(graph, reader.marks)


class _Reader:
    """Goes on after a mistake, with something that is not used in the end."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.marks: dict[str, Mark] = {"": Mark(1, 1)}
        self.mistakes: list[Mistake] = []

    def graph(self, root: Node) -> Graph:
        top = self._table(
            root, "", ("rdl", "name", "layer", "elements"), ("interfaces", "shared", "relations")
        )
        version = self._text(top.get("rdl"), "rdl", VERSION)
        if version != VERSION:
            self._wrong(top["rdl"], "rdl", f"'{version}' is not a version; possible: {VERSION}")
        return Graph(
            self._text(top.get("name"), "name"),
            Layer(self._one_of(top.get("layer"), "layer", [layer.value for layer in Layer])),
            self._objects(top.get("elements"), "elements", self._element),
            self._objects(top.get("interfaces"), "interfaces", self._interface),
            self._objects(top.get("shared"), "shared", self._shared),
            self._objects(top.get("relations"), "relations", self._relation),
        )

    def _element(self, id_: str, node: Node, field: str) -> NetworkElement:
        table = self._table(node, field, ("attribute",), ("resources", "features", "shares"))
        return NetworkElement(
            id_,
            self._text(table.get("attribute"), f"{field}.attribute"),
            self._objects(table.get("resources"), f"{field}.resources", self._resource),
            self._objects(table.get("features"), f"{field}.features", self._feature),
            self._texts(table.get("shares"), f"{field}.shares"),
        )

    def _interface(self, id_: str, node: Node, field: str) -> NetworkInterface:
        table = self._table(node, field, ("attribute", "joins"), ("resources", "features"))
        joins = self._texts(table.get("joins"), f"{field}.joins")
        if isinstance(table.get("joins"), Sequence) and len(joins) != 2:
            reason = f"joins {len(joins)} elements; possible: 2"
            self._wrong(table["joins"], f"{field}.joins", reason, Kind.DANGLING)
        first, second = (*joins, "", "")[:2]
        return NetworkInterface(
            id_,
            self._text(table.get("attribute"), f"{field}.attribute"),
            (first, second),
            self._objects(table.get("resources"), f"{field}.resources", self._resource),
            self._objects(table.get("features"), f"{field}.features", self._feature),
        )

    def _shared(self, id_: str, node: Node, field: str) -> SharedResource:
        table = self._table(node, field, ("attribute", "amount"))
        attribute = self._text(table.get("attribute"), f"{field}.attribute")
        unit = self._vocabulary.unit_of(attribute)
        amount = self._amount(table.get("amount"), f"{field}.amount", unit)
        return SharedResource(id_, attribute, amount)

    def _relation(self, id_: str, node: Node, field: str) -> Relation:
        kinds = [kind.value for kind in RelationKind]
        table = self._table(node, field, ("elements",), (*kinds, "elsewhere"))
        said = [kind for kind in RelationKind if kind.value in table]
        if len(said) != 1:
            self._wrong(node, field, f"says {len(said)} of {', '.join(kinds)}; possible: one")
        kind = (*said, RelationKind.SAME)[0]
        elsewhere = self._text(table.get("elsewhere"), f"{field}.elsewhere", "0")
        if not (elsewhere.isascii() and elsewhere.isdecimal() and len(elsewhere) < 19):
            reason = f"'{elsewhere}' is not a number; possible: 0 or more"
            self._wrong(table["elsewhere"], f"{field}.elsewhere", reason, Kind.VALUE)
            elsewhere = "0"
        return Relation(
            id_,
            kind,
            self._text(table.get(kind.value), f"{field}.{kind.value}", ""),
            self._texts(table.get("elements"), f"{field}.elements"),
            int(elsewhere),
        )

    def _resource(self, attribute: str, node: Node, field: str) -> Resource:
        value, by = self._completed(node, field, "amount")
        if isinstance(value, Scalar) and value.text == ANY:
            return Resource(attribute, None, by)
        unit = self._vocabulary.unit_of(attribute)
        return Resource(attribute, self._amount(value, field, unit), by)

    def _feature(self, attribute: str, node: Node, field: str) -> Feature:
        value, by = self._completed(node, field, "value")
        if isinstance(value, Scalar) and value.text == ANY:
            return Feature(attribute, None, by)
        kind = self._vocabulary.kind_of(attribute)
        if kind is None:
            reason = not_known(attribute, self._vocabulary.features)
            self._wrong(node, field, reason, Kind.ATTRIBUTE)
            return Feature(attribute, None)
        return Feature(attribute, self._value(kind, value, field), by)

    def _value(self, kind: FeatureKind, node: Node | None, field: str) -> Value | None:
        if kind.unit is not None:
            return self._amount(node, field, kind.unit)
        if kind.meaning is Meaning.VLANS:
            text = self._text(node, field)
            try:
                return VlanSet.parse(text)
            except ValueError as error:
                self._wrong(node, field, f"{error}; possible: 100-199,300", Kind.VALUE)
                return None
        if isinstance(node, Scalar):
            return (node.text,)
        return self._texts(node, field)

    def _completed(self, node: Node, field: str, key: str) -> tuple[Node | None, str]:
        """What is said of a property, and by whom if not by who made the graph."""
        if not isinstance(node, Mapping):
            return node, ""
        table = self._table(node, field, (key,), ("by",))
        return table.get(key), self._text(table.get("by"), f"{field}.by", "")

    def _amount(self, node: Node | None, field: str, unit: Unit | None) -> Amount:
        instead = Amount(0, unit or Unit.DATA_BYTES)
        text = self._text(node, field, str(instead))
        try:
            return parse_amount(text, unit)
        except ValueError as error:
            self._wrong(node, field, str(error), Kind.AMOUNT)
            return instead

    def _objects(
        self, node: Node | None, field: str, read_one: Callable[[str, Node, str], T]
    ) -> tuple[T, ...]:
        table = self._mapping(node, field) if node is not None else ()
        found = []
        for key, value in table:
            inner = below(field, key.text)
            self.marks[inner] = key.mark
            found.append(read_one(key.text, value, inner))
        return tuple(found)

    def _table(
        self, node: Node, field: str, required: SequenceOf[str], optional: SequenceOf[str] = ()
    ) -> dict[str, Node]:
        table: dict[str, Node] = {}
        possible = (*required, *optional)
        for key, value in self._mapping(node, field):
            inner = below(field, key.text)
            if key.text in possible:
                table[key.text] = value
                self.marks[inner] = key.mark
            else:
                reason = f"is not known; possible: {', '.join(possible)}"
                self._wrong(key, inner, reason)
        if isinstance(node, Mapping):
            for name in required:
                if name not in table:
                    self._wrong(node, below(field, name), "is missing")
        return table

    def _mapping(self, node: Node, field: str) -> tuple[tuple[Scalar, Node], ...]:
        if isinstance(node, Mapping):
            return node.entries
        self._wrong(node, field, f"is {NAMES[type(node)]}; possible: {NAMES[Mapping]}")
        return ()

    def _texts(self, node: Node | None, field: str) -> tuple[str, ...]:
        if isinstance(node, Sequence):
            return tuple(self._text(item, field) for item in node.items)
        if node is not None:
            self._wrong(node, field, f"is {NAMES[type(node)]}; possible: {NAMES[Sequence]}")
        return ()

    def _text(self, node: Node | None, field: str, default: str = "") -> str:
        """The text of a scalar; the default of what is missing, or was a mistake."""
        if isinstance(node, Scalar):
            return node.text
        if node is not None:
            self._wrong(node, field, f"is {NAMES[type(node)]}; possible: {NAMES[Scalar]}")
        return default

    def _one_of(self, node: Node | None, field: str, possible: SequenceOf[str]) -> str:
        text = self._text(node, field, possible[0])
        if text in possible:
            return text
        self._wrong(node, field, f"'{text}' is not known; possible: {', '.join(possible)}")
        return possible[0]

    def _wrong(self, node: Node | None, field: str, reason: str, kind: Kind = Kind.SCHEMA) -> None:
        mark = node.mark if node is not None else _nearest(self.marks, field)
        self.mistakes.append(_placed(Mistake(kind, field, reason), mark))
        if len(self.mistakes) >= MISTAKES_MAX:
            raise RdlError(self.mistakes)


def _placed(mistake: Mistake, mark: Mark) -> Mistake:
    return replace(mistake, line=mark.line, column=mark.column)


def _nearest(marks: MappingOf[str, Mark], field: str) -> Mark:
    return next(marks[around] for around in _around(field) if around in marks)


def _around(field: str) -> Iterator[str]:
    while field:
        yield field
        field = field.rpartition(".")[0]
    yield ""
