"""braid cloudnet: CloudNets and substrates in the description language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.context import REFUSED, USAGE, AsJson, fail, print_json
from commands.descriptions import File, Form, print_graph, read_description
from rdl.aggregation import aggregate as told_by
from rdl.completion import DEFAULTS, Unsaid, complete as completed, unsaid
from rdl.errors import RdlError
from rdl.fitting import Fit, fit
from rdl.model import Graph, Layer
from rdl.reading import Document

Place = tuple[int | None, int | None]

SHOWN = 5
"""How many elements of a substrate are named in one line."""


On = Annotated[
    Path | None,
    typer.Option("--on", exists=True, dir_okay=False, help="a substrate: what would fit where"),
]
As = Annotated[
    Form | None, typer.Option("--as", help="print the description in this form, and nothing else")
]


def check(
    file: File,
    on: On = None,
    as_: As = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="complete what is left unsaid by Braid's own rules")
    ] = False,
    aggregate: Annotated[
        str | None,
        typer.Option("--aggregate", metavar="NAME", help="as provider NAME tells its substrate"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a description: what it is, what it leaves to others, and every mistake in it."""
    if as_ is not None and (as_json or on is not None):
        fail("--as prints the description alone: possible without --json and --on", USAGE)
    document = read_description(file, as_json)
    graph = _changed(document.graph, complete, aggregate)
    fits = None if on is None else _fit(graph, read_description(on, as_json).graph)
    if as_ is not None:
        print_graph(graph, as_)
    elif as_json:
        print_json(_as_dict(file, document, graph, fits))
    else:
        _show(file, document, graph, fits)
    if fits is not None and not fits.possible:
        raise typer.Exit(REFUSED)


def _changed(graph: Graph, complete: bool, aggregate: str | None) -> Graph:
    if complete:
        if graph.layer is not Layer.OVERLAY:
            fail("--complete: is for an overlay; an underlay says what there is", USAGE)
        graph = completed(graph, DEFAULTS, "braid").graph
    if aggregate is not None:
        if graph.layer is not Layer.UNDERLAY:
            fail("--aggregate: is for an underlay; an overlay is not a provider's", USAGE)
        try:
            graph = told_by(graph, aggregate)
        except RdlError as error:
            fail(f"--aggregate: {error}", USAGE)
    return graph


def _fit(graph: Graph, substrate: Graph) -> Fit:
    if (graph.layer, substrate.layer) != (Layer.OVERLAY, Layer.UNDERLAY):
        fail("--on: possible: an overlay, on an underlay", USAGE)
    return fit(graph, substrate)


def _as_dict(file: Path, document: Document, graph: Graph, fits: Fit | None) -> dict[str, Any]:
    value: dict[str, Any] = {
        "file": str(file),
        "mistakes": [],
        "name": graph.name,
        "layer": graph.layer.value,
        **_counts(graph),
        "unsaid": [
            {"field": each.field, "reason": each.reason, "line": line, "column": column}
            for (line, column), each in _unsaid(document, graph)
        ],
    }
    if fits is not None:
        value["fits"] = {name: list(elements) for name, elements in fits.fitting.items()}
        value["misfits"] = {name: dict(reasons) for name, reasons in fits.misfitting.items()}
        value["relations_settled"] = dict(fits.settled)
        value["relations_impossible"] = dict(fits.impossible)
    return value


def _show(file: Path, document: Document, graph: Graph, fits: Fit | None) -> None:
    counts = ", ".join(
        f"{count} {name if count != 1 else SINGULAR[name]}"
        for name, count in _counts(graph).items()
        if count or name in ("nodes", "links")
    )
    typer.echo(f"{file}: {graph.layer.value} '{graph.name}': {counts}")
    left = _unsaid(document, graph)
    if left:
        typer.echo("left to others:")
    for (line, column), each in left:
        place = f"{line}:{column}: " if line is not None else ""
        typer.echo(f"  {place}{each.field}: {each.reason}")
    if fits is not None:
        typer.echo("\n".join(_fit_lines(fits)))


def _fit_lines(fits: Fit) -> Iterator[str]:
    for name, elements in fits.fitting.items():
        if elements:
            yield f"{name} fits on {len(elements)}: {_some(elements)}"
            continue
        yield f"{name} fits nowhere:"
        yield from _reasons(fits.misfitting[name])
    for relation, values in fits.settled.items():
        chosen = ", ".join(f"{name} {value}" for name, value in values.items())
        yield f"relation {relation} can be kept: {chosen}"
    for relation, reason in fits.impossible.items():
        yield f"relation {relation} cannot be kept: {reason}"


def _reasons(misfits: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Why an element fits nowhere, each reason once, with the elements that give it."""
    alike: dict[str, list[str]] = {}
    for name, reasons in misfits.items():
        alike.setdefault("; ".join(reasons), []).append(name)
    for reason, names in alike.items():
        yield f"  {_some(tuple(names))}: {reason}"


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _unsaid(document: Document, graph: Graph) -> list[tuple[Place, Unsaid]]:
    """What an overlay leaves to others, with line and column, in the order of the text."""
    if graph.layer is not Layer.OVERLAY:
        return []
    found = []
    for each in unsaid(graph):
        mark = document.mark(each.field)
        found.append(((None, None) if mark is None else (mark.line, mark.column), each))
    return sorted(found, key=lambda item: (item[0][0] or 0, item[0][1] or 0))


SINGULAR = {
    "nodes": "node",
    "links": "link",
    "interfaces": "interface",
    "shared": "shared resource",
    "relations": "relation",
}


def _counts(graph: Graph) -> dict[str, int]:
    objects = (graph.nodes, graph.links, graph.interfaces, graph.shared, graph.relations)
    return {name: len(found) for name, found in zip(SINGULAR, objects, strict=True)}
