"""What is wrong with a graph: a kind for programs, a place and a reason for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum


class Kind(Enum):
    """What sort of mistake it is. LIMIT is RESOURCE_EXHAUSTED, the others INVALID_ARGUMENT."""

    SYNTAX = "syntax"
    """Not YAML, or not the part of YAML that is allowed; not a message of the wire."""
    SCHEMA = "schema"
    """A field is missing, not known, or of another form."""
    NAME = "name"
    """An id or a word with characters that it may not have, or too long."""
    DUPLICATE = "duplicate"
    """One id, attribute or key twice."""
    ATTRIBUTE = "attribute"
    """An attribute that the vocabulary does not have."""
    AMOUNT = "amount"
    """An amount without a unit, in a wrong unit, negative, or too large."""
    VALUE = "value"
    """A feature with a value that it cannot have."""
    DANGLING = "dangling"
    """An interface, a link, a share or a relation that leads to nothing."""
    RELATION = "relation"
    """A relation that nothing can fulfil."""
    MAPPING = "mapping"
    """A mapping on providers that does not fit the graph, or partial graphs that do not join."""
    LIMIT = "limit"
    """Too large, too deep, or too many."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong.

    ``field``: where in the graph, such as ``elements.web.resources./resource/cpu``; "": the whole.
    ``reason``: one phrase with what was given and what is possible. ``line`` and ``column``: where
    in the text, from 1; None where there is no text.
    """

    kind: Kind
    field: str
    reason: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = f"{self.line}:{self.column}: " if self.line is not None else ""
        return f"{place}{self.field}: {self.reason}" if self.field else f"{place}{self.reason}"


MISTAKES_MAX = 100
"""No more are looked for, nor told."""

_FIELD_MAX, _REASON_MAX = 300, 600


class RdlError(Exception):
    """A graph that cannot be used; ``mistakes``: one or more, in the order of the text.

    There are at most MISTAKES_MAX, and long texts in them are cut short: they may go to a stranger.
    """

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        ordered = sorted(mistakes, key=_place)[:MISTAKES_MAX]
        self.mistakes = tuple(map(_short, ordered))
        super().__init__("; ".join(map(str, self.mistakes)))

    @property
    def exhausted(self) -> bool:
        """Whether a limit is passed (RESOURCE_EXHAUSTED); else it is an INVALID_ARGUMENT."""
        return any(mistake.kind is Kind.LIMIT for mistake in self.mistakes)


def _place(mistake: Mistake) -> tuple[int, int, str]:
    return (mistake.line or 0, mistake.column or 0, mistake.field)


def _short(mistake: Mistake) -> Mistake:
    field, reason = _cut(mistake.field, _FIELD_MAX), _cut(mistake.reason, _REASON_MAX)
    return replace(mistake, field=field, reason=reason)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
