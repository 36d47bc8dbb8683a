"""How large a description may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """``size_bytes``: of the text or message. ``depth``: of YAML. ``objects``: elements,
    interfaces, shared resources and relations together. ``entries``: of a list within an object.
    """

    size_bytes: int = 1 << 20
    depth: int = 20
    objects: int = 10_000
    entries: int = 256


LIMITS = Limits()
