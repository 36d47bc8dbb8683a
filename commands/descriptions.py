"""Descriptions of CloudNets and substrates in files: read, or told all their mistakes."""

from __future__ import annotations

import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from braid.v1 import rdl_pb2
from commands.context import UNEXPECTED, USAGE, fail, print_json
from rdl.codec import from_bytes, graph_to_pb, to_bytes
from rdl.errors import Mistake, RdlError
from rdl.limits import LIMITS
from rdl.model import Graph, Layer
from rdl.reading import Document, read
from rdl.sizes import oversized
from rdl.writing import write


class Form(StrEnum):
    """The two forms of a description."""

    YAML = "yaml"
    PROTOBUF = "protobuf"


File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="a description in YAML, or in protobuf where its name ends in .pb",
    ),
]


def read_description(file: Path, as_json: bool) -> Document:
    """The document in a file; ends the command with all mistakes when it has any."""
    with file.open("rb") as stream:
        data = stream.read(LIMITS.size_bytes + 1)
    try:
        document = Document(from_bytes(data), {}) if file.suffix == ".pb" else read(data)
        if beyond := oversized(document):
            raise RdlError(beyond)
        return document
    except RdlError as error:
        if as_json:
            mistakes = [_mistake(each) for each in error.mistakes]
            print_json({"file": str(file), "mistakes": mistakes})
        else:
            for each in error.mistakes:
                typer.echo(f"{file}:{' ' if each.line is None else ''}{each}", err=True)
        raise typer.Exit(UNEXPECTED) from error


def read_overlay(file: Path, as_json: bool) -> rdl_pb2.Graph:
    """The CloudNet in a file, for the wire; ends the command when it is none."""
    graph = read_description(file, as_json).graph
    if graph.layer is not Layer.OVERLAY:
        fail(
            f"{file}: is an underlay, what there is; possible: an overlay, what is asked for", USAGE
        )
    return graph_to_pb(graph)


def print_graph(graph: Graph, form: Form) -> None:
    """Writes it to standard output, and nothing else."""
    if form is Form.YAML:
        typer.echo(write(graph), nl=False)
    else:
        sys.stdout.buffer.write(to_bytes(graph))


def _mistake(mistake: Mistake) -> dict[str, Any]:
    return {**asdict(mistake), "kind": mistake.kind.value}
