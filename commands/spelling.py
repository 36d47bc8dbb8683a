"""Errors in words of the command line: options in place of the client's keywords."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

import typer

from braid.client import BraidError
from braid.keywords import WishError
from braid.units import (
    format_bandwidth,
    format_duration,
    format_time,
    format_volume,
    parse_bandwidth,
    parse_duration,
    parse_volume,
)

TIMES = ("start_s", "end_s", "switch_s")
"""How names of fields end that are times, in UTC seconds."""
UTC_SECONDS = re.compile(r"\b\d{10,11}\b")
RATE, DATA, LENGTH = (
    (format_bandwidth, parse_bandwidth),
    (format_volume, parse_volume),
    (format_duration, parse_duration),
)
UNITS = (
    (re.compile(r"(?<![\w.])(\d+) bit/s"), *RATE),
    (re.compile(r"(?<![\w.])(\d+) bytes\b"), *DATA),
    (re.compile(r"(?<![\w.])(\d+) s\b"), *LENGTH),
)
"""Amounts with the units of the wire."""
FIELDS = (("_bps", *RATE), ("_bytes", *DATA), ("duration_s", *LENGTH))
"""How names of fields end whose numbers are amounts without a unit."""
NUMBER = re.compile(r"(?<![\w.:/-])(\d{4,}|\d+(?= to \d{4,}))(?![\w:/-]| (?:bit/s|bytes|s)\b)")
"""One of these, and no part of a name."""

ALSO: Mapping[str, tuple[str, ...]] = {
    "bandwidth": ("rate_at_most",),
    "end": ("duration",),
    "token": ("accept",),
}
"""What else the command line has for a keyword."""


def in_options(error: Exception, context: typer.Context | None) -> str:
    """What an error says; what it says of keywords, of the options of the command that runs."""
    if context is None or not isinstance(error, WishError | BraidError):
        return str(error)
    shown = _shown(context)

    def spell(keyword: str) -> str:
        return shown.get(keyword, keyword)

    def spell_said(keyword: str) -> str:
        possible = [name for name in (keyword, *ALSO.get(keyword, ())) if name in shown]
        return spell(next((name for name in possible if given(context, name)), keyword))

    if isinstance(error, WishError):
        return error.spelled(spell_said)
    return error.told([shown[name] for name in _written(error, context)], spell)


def in_units(text: str, field: str) -> str:
    """A text about a field of the wire, with what is said in its units as people write it.

    Only where that says exactly the same.
    """
    if field.endswith(TIMES):
        text = UTC_SECONDS.sub(lambda found: format_time(int(found[0])), text)
    for ending, form, parse in FIELDS:
        if field.endswith(ending):
            text = NUMBER.sub(partial(_exact, form=form, parse=parse), text)
    for written, form, parse in UNITS:
        text = written.sub(partial(_exact, form=form, parse=parse), text)
    return text


def _exact(found: re.Match[str], form: Callable[[int], str], parse: Callable[[str], int]) -> str:
    number = int(found[1])
    shown = form(number)
    return shown if number and parse(shown) == number else found[0]


def given(context: typer.Context, name: str) -> bool:
    """Whether a parameter was given on the command line."""
    said = context.get_parameter_source(name)
    return said is not None and said.name == "COMMANDLINE"


def _shown(context: typer.Context) -> dict[str, str]:
    """How each parameter is written: "--max-paths", "BANDWIDTH"."""
    return {
        each.name: each.opts[0]
        if each.param_type_name == "option"
        else getattr(each, "metavar", None) or each.name.upper()
        for each in context.command.params
    }


def _written(error: BraidError, context: typer.Context) -> list[str]:
    """The parameters that say the field: of several those that were given, if any was."""
    keywords = [name for name in error.keywords if name in context.params]
    also = [other for name in error.keywords for other in ALSO.get(name, ())]
    possible = dict.fromkeys((*keywords, *also))
    said = [name for name in possible if given(context, name)]
    return said or keywords
