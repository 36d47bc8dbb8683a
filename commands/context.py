"""What all commands share: how to reach the orchestrator, how to print, and exit codes.

0  done                            4  not found
1  something unexpected            5  nobody answers
2  wrong usage or argument         6  the state or another request forbids it
3  refused: no capacity            7  the time is over; the work goes on
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console

from braid.client import (
    BraidError,
    CircuitRefused,
    Client,
    Conflict,
    DeadlinePassed,
    InvalidRequest,
    NotFound,
    Refused,
    Unreachable,
)
from braid.keywords import WishError
from commands import unreached
from commands.spelling import in_options, in_units

OK, UNEXPECTED, USAGE, REFUSED, NOT_FOUND, UNREACHABLE, CONFLICT, DEADLINE = range(8)

EXIT_CODES: dict[type[Exception], int] = {
    InvalidRequest: USAGE,
    NotFound: NOT_FOUND,
    Conflict: CONFLICT,
    Refused: CONFLICT,
    Unreachable: UNREACHABLE,
    DeadlinePassed: DEADLINE,
    CircuitRefused: REFUSED,
    TimeoutError: DEADLINE,
    ValueError: USAGE,
}

Target = Annotated[
    str, typer.Option("--target", envvar="BRAID_TARGET", help="host:port of the orchestrator")
]
Insecure = Annotated[
    bool, typer.Option("--insecure", envvar="BRAID_INSECURE", help="speak without TLS")
]
Authority = Annotated[
    Path | None,
    typer.Option("--ca", envvar="BRAID_CA", help="PEM file of the authority to believe"),
]
Certificate = Annotated[
    Path | None, typer.Option("--cert", envvar="BRAID_CERT", help="PEM file of your certificate")
]
PrivateKey = Annotated[
    Path | None, typer.Option("--key", envvar="BRAID_KEY", help="PEM file of its private key")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for programs")]

DEFAULT_TARGET = "127.0.0.1:7000"
TLS = {"root_certificates": "--ca", "certificate": "--cert", "key": "--key"}
"""The options of what the client needs for TLS."""


def console(width: int = 160) -> Console:
    """Where people read; so wide, in characters, when it is not a terminal."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=width, soft_wrap=True)


@contextmanager
def connected(
    target: str,
    insecure: bool,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    context: typer.Context | None = None,
) -> Iterator[Client]:
    """A client for the length of a command; its errors become messages and exit codes.

    ``context``: of a command whose options an error may be about.
    """
    with reporting(context), _client(target, insecure, ca, cert, key) as client:
        try:
            yield client
        except BraidError as error:
            if advice := unreached.advice(error, target):
                told = str(error).rstrip(".!")
                raise type(error)(f"{told}. {advice}", error.code) from error
            raise


def _client(
    target: str, insecure: bool, ca: Path | None, cert: Path | None, key: Path | None
) -> Client:
    try:
        return Client(
            target,
            insecure=insecure,
            root_certificates=_pem("--ca", ca),
            certificate=_pem("--cert", cert),
            key=_pem("--key", key),
        )
    except WishError as error:
        raise ValueError(error.spelled(lambda name: TLS[name])) from error


def _pem(option: str, path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise ValueError(f"{option}: {path} cannot be read: {error.strerror}") from error


@contextmanager
def reporting(context: typer.Context | None = None) -> Iterator[None]:
    """Turns known errors into one line on standard error and the exit code of their kind.

    ``context``: as for ``connected``.
    """
    try:
        yield
    except (BraidError, ValueError, TimeoutError, OSError) as error:
        fail(_readable(error, context), exit_code(error))


def _readable(error: Exception, context: typer.Context | None) -> str:
    """What it says, in words of the command line, with amounts and times as people write them."""
    text = in_options(error, context)
    return in_units(text, error.field) if isinstance(error, BraidError) else text


def exit_code(error: Exception) -> int:
    """By the first kind in the table that fits."""
    for kind, code in EXIT_CODES.items():
        if isinstance(error, kind):
            return code
    return UNEXPECTED


def fail(text: str, code: int) -> NoReturn:
    """Ends the command."""
    typer.echo(f"braid: {text}", err=True)
    raise typer.Exit(code)


def print_json(message: Message | dict[str, Any]) -> None:
    """One JSON object on one line; field names as in the protos."""
    value = as_dict(message) if isinstance(message, Message) else message
    typer.echo(json.dumps(value))


def as_dict(message: Message) -> dict[str, Any]:
    """A message with all fields that are set, or have a default that says something."""
    value: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return value
