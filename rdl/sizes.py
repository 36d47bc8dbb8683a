"""How large a CloudNet may be that an orchestrator takes; the language itself has other limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rdl.document import Mark
from rdl.errors import Kind, Mistake
from rdl.model import Layer, NetworkElement
from rdl.reading import Document

VNODES_MAX = 256
VLINKS_MAX = 512


def oversized(document: Document) -> tuple[Mistake, ...]:
    """The first node and the first link beyond what a CloudNet may have, where they are in the
    text. An underlay may be larger."""
    graph = document.graph
    if graph.layer is not Layer.OVERLAY:
        return ()
    nodes = _beyond(document, graph.nodes, "node", VNODES_MAX)
    return (*nodes, *_beyond(document, graph.links, "link", VLINKS_MAX))


def _beyond(
    document: Document, elements: tuple[NetworkElement, ...], what: str, most: int
) -> Iterator[Mistake]:
    if len(elements) <= most:
        return
    fields = [f"elements.{each.id}" for each in elements]
    marks = [document.mark(field) or Mark(0, 0) for field in fields]
    order = sorted(range(len(fields)), key=lambda i: (marks[i].line, marks[i].column))
    first = order[most]
    reason = f"is {what} {most + 1} of {len(elements)}; possible: at most {most} {what}s"
    mistake = Mistake(Kind.LIMIT, fields[first], reason)
    if document.marks:
        mistake = replace(mistake, line=marks[first].line, column=marks[first].column)
    yield mistake
