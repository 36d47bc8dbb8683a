"""Errors in words of the command line: options in place of the client's keywords."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from braid.client import BraidError
from braid.keywords import WishError

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

    if isinstance(error, WishError):
        return error.spelled(spell)
    return error.told([shown[name] for name in _written(error, context)], spell)


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
