"""Hierarchical attributes such as ``/node/host/generic`` (paper 002, section 2.4).

An attribute is one to eight levels, each ``/`` and a lower-case word. The last level may be
``generic``: whatever comes there. So ``/node/host/generic`` asks for the same as ``/node/host``.
"""

from __future__ import annotations

import re

GENERIC = "generic"
NODE, LINK, INTERFACE, RESOURCE, FEATURE = "node", "link", "interface", "resource", "feature"

PIP = "/node/host/pip"
"""A whole provider: an aggregate in a VNP's substrate, a stub at the edge of a partial graph."""
TRANSIT = "/link/transit"
"""A link between providers, of which the ends see an identifier and nothing of its inside."""

AGGREGATES = {PIP: NODE, TRANSIT: LINK}
"""What hides its inside, and the family of which it may hide any."""

_FORM = re.compile(r"(?:/[a-z][a-z0-9_-]{0,31}){1,8}", re.ASCII)


def is_attribute(text: str) -> bool:
    """Whether the text has the form of an attribute; ``generic`` only at its end."""
    return _FORM.fullmatch(text) is not None and GENERIC not in levels(text)[:-1]


def levels(attribute: str) -> tuple[str, ...]:
    """``("node", "host")`` of ``/node/host``."""
    return tuple(attribute.split("/")[1:])


def family(attribute: str) -> str:
    """The first level; "" of a text that is no attribute."""
    return next(iter(levels(attribute)), "")


def is_generic(attribute: str) -> bool:
    """Whether the last level is left to others."""
    return attribute.endswith(f"/{GENERIC}")


def stem(attribute: str) -> str:
    """The attribute without a last level ``generic``."""
    return attribute.removesuffix(f"/{GENERIC}")


def within(attribute: str, above: str) -> bool:
    """Whether ``attribute`` is ``above`` or lies below it, level by level."""
    return attribute == above or attribute.startswith(f"{above}/")


def matches(asked: str, offered: str) -> bool:
    """Whether a request's attribute maps on a substrate's.

    Without ``generic`` the asked one must be the offered one or lie above it:
    ``/node/host/generic`` and ``/node/host`` map on ``/node/host/server/x4150``;
    ``/node/host/server`` does, and does not map on ``/node/host/mainframe``, nor on ``/node/host``:
    what a substrate does not say, it does not promise. Two attributes hide what is inside, and
    stand for any of it: ``/node/host/pip`` for every node, ``/link/transit`` for every link.
    """
    return within(offered, stem(asked)) or AGGREGATES.get(offered) == family(asked)
