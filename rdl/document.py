"""The part of YAML that descriptions use, as a tree that knows line and column of everything.

Scalars are text: what ``yes`` or ``010`` means, the field decides. No aliases, no tags, no key
twice, one document, bounded in size and depth. The first mistake ends the reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from rdl.errors import Kind, Mistake, RdlError
from rdl.limits import Limits

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text; both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text."""

    text: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys with values, in the order of the text; no key twice."""

    entries: tuple[tuple[Scalar, Node], ...]
    mark: Mark


Node = Scalar | Sequence | Mapping

NAMES = {Scalar: "a text", Sequence: "a list", Mapping: "a table of keys and values"}
"""What people call each."""


def compose(text: bytes | str, limits: Limits) -> Node:
    """The tree of a text in YAML. Raises RdlError with one mistake."""
    plain = _decoded(text, limits)
    events: Iterator[Any] = yaml.parse(plain, Loader=_LOADER)
    try:
        return _Composer(events, limits).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _mark(mark) if mark is not None else Mark(1, 1)
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise _wrong(Kind.SYNTAX, "", f"is not YAML: {problem}", place) from error


class _Composer:
    def __init__(self, events: Iterator[Any], limits: Limits) -> None:
        self._events = events
        self._limits = limits

    def document(self) -> Node:
        next(self._events)
        first = next(self._events)
        if isinstance(first, yaml.StreamEndEvent):
            raise _wrong(Kind.SYNTAX, "", "is empty; possible: a description", Mark(1, 1))
        root = self._node(next(self._events), "", 1)
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise _wrong(
                Kind.SYNTAX, "", "a second document; possible: one", _mark(after.start_mark)
            )
        return root

    def _node(self, event: Any, field: str, depth: int) -> Node:
        mark = _mark(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            raise _wrong(Kind.SYNTAX, field, f"aliases (*{event.anchor}) are not allowed", mark)
        if event.anchor is not None:
            raise _wrong(Kind.SYNTAX, field, f"anchors (&{event.anchor}) are not allowed", mark)
        if event.tag is not None:
            raise _wrong(Kind.SYNTAX, field, f"tags ({event.tag}) are not allowed", mark)
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(event.value, mark)
        if depth > self._limits.depth:
            most = self._limits.depth
            raise _wrong(Kind.LIMIT, field, f"is nested deeper than {most}", mark)
        if isinstance(event, yaml.SequenceStartEvent):
            return Sequence(tuple(self._items(field, depth)), mark)
        return Mapping(tuple(self._entries(field, depth)), mark)

    def _items(self, field: str, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, field, depth + 1)

    def _entries(self, field: str, depth: int) -> Iterator[tuple[Scalar, Node]]:
        seen: dict[str, Mark] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, field, depth + 1)
            if not isinstance(key, Scalar):
                raise _wrong(Kind.SYNTAX, field, f"a key is {NAMES[type(key)]}", key.mark)
            inner = below(field, key.text)
            if key.text in seen:
                first = seen[key.text].line
                reason = f"is given twice, first in line {first}"
                raise _wrong(Kind.DUPLICATE, inner, reason, key.mark)
            seen[key.text] = key.mark
            yield key, self._node(next(self._events), inner, depth + 1)


def below(field: str, key: str) -> str:
    """The field ``key`` within ``field``."""
    return f"{field}.{key}" if field else key


def _decoded(text: bytes | str, limits: Limits) -> str:
    size_bytes = len(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else len(text)
    if size_bytes > limits.size_bytes:
        reason = f"is larger than {limits.size_bytes} bytes"
        raise _wrong(Kind.LIMIT, "", reason, Mark(1, 1))
    try:
        plain = text if isinstance(text, str) else text.decode("utf-8")
    except UnicodeDecodeError as error:
        at = _at(error.object[: error.start].decode("utf-8"))
        raise _wrong(Kind.SYNTAX, "", "is not UTF-8 text", at) from error
    odd = yaml.reader.Reader.NON_PRINTABLE.search(plain)
    if odd is not None:
        reason = f"holds the character U+{ord(odd.group()):04X}, which YAML does not allow"
        raise _wrong(Kind.SYNTAX, "", reason, _at(plain[: odd.start()]))
    return plain


def _at(before: str) -> Mark:
    return Mark(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _wrong(kind: Kind, field: str, reason: str, mark: Mark) -> RdlError:
    return RdlError([Mistake(kind, field, reason, mark.line, mark.column)])
