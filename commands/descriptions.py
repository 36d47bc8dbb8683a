"""Descriptions of CloudNets and substrates in files: read, or told all their mistakes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from braid.errors import BraidError
from braid.v1 import rdl_pb2
from commands.context import UNEXPECTED, USAGE, exit_code, fail, print_json
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


ASKED = "cloudnet.graph."
"""How an orchestrator calls the description that it was sent."""

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


@dataclass(frozen=True)
class Overlay:
    """The CloudNet in a file."""

    file: Path
    document: Document

    @property
    def graph(self) -> rdl_pb2.Graph:
        """For the wire."""
        return graph_to_pb(self.document.graph)

    @contextmanager
    def pointing(self) -> Iterator[None]:
        """What an orchestrator finds wrong with the description is told with file, line and
        column, as the mistakes that are found here; the exit code is that of the error.
        """
        try:
            yield
        except BraidError as error:
            if not error.field.startswith(ASKED):
                raise
            mark = self.document.mark(error.field.removeprefix(ASKED))
            place = f"{self.file}:" if mark is None else f"{self.file}:{mark.line}:{mark.column}:"
            typer.echo(f"{place} {str(error).removeprefix(ASKED)}", err=True)
            raise typer.Exit(exit_code(error)) from error


def read_overlay(file: Path, as_json: bool) -> Overlay:
    """The CloudNet in a file; ends the command when it is none."""
    document = read_description(file, as_json)
    if document.graph.layer is not Layer.OVERLAY:
        fail(
            f"{file}: is an underlay, what there is; possible: an overlay, what is asked for", USAGE
        )
    return Overlay(file, document)


def print_graph(graph: Graph, form: Form) -> None:
    """Writes it to standard output, and nothing else."""
    if form is Form.YAML:
        typer.echo(write(graph), nl=False)
    else:
        sys.stdout.buffer.write(to_bytes(graph))


def _mistake(mistake: Mistake) -> dict[str, Any]:
    return {**asdict(mistake), "kind": mistake.kind.value}
