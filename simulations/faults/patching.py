"""How a mistake is put into the shipped code for a while."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Bug:
    """``breaks``: the rule that it breaks, and how."""

    breaks: str
    put_in: Callable[[], AbstractContextManager[None]]


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Something else in the place of an attribute, for the length of the block.

    Raises TypeError when a function cannot be called as the one whose place it takes: what only
    that would break shows nothing.
    """
    before = getattr(owner, name)
    _must_take_its_calls(inspect.getattr_static(owner, name), value)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _must_take_its_calls(before: Any, value: Any) -> None:
    if isinstance(before, classmethod | staticmethod):
        before = before.__func__
    if inspect.isfunction(before):
        told = inspect.signature(before).parameters.values()
        by_name = [each.name for each in told if each.kind is each.KEYWORD_ONLY]
        by_place = [each.name for each in told if each.kind is each.POSITIONAL_OR_KEYWORD]
        inspect.signature(value).bind(*by_place, **dict.fromkeys(by_name))
