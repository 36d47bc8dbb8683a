"""What one VNode can have of a provider: features such as ``/feature/largest/cpu`` of aggregates.

And of which kinds hosts are, ``/feature/kind``: their attributes down to :data:`TOLD_LEVELS` levels
as words, such as ``node/host/kvm``. What lies below is not told.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from rdl.attributes import levels, stem, within
from rdl.model import Graph

KINDS = "/feature/kind"
LARGEST = "/feature/largest"
TOLD_LEVELS = 3


def largest_feature(kind: str) -> str:
    """The feature that says how much of a type one VNode can have: "/feature/largest/cpu"."""
    return LARGEST + kind.removeprefix("/resource")


def kind_word(attribute: str) -> str:
    """How the kind of a host is told: "node/host/server" of "/node/host/server/x4150"."""
    return "/".join(levels(attribute)[:TOLD_LEVELS])


def may_be(asked: str, kinds: Collection[str]) -> bool:
    """Whether a host of one of these kinds may be of the attribute ``asked``.

    A kind that is told to its last level may be anything below it.
    """
    wanted = levels(stem(asked))
    return any(_may_be(wanted, tuple(kind.split("/"))) for kind in kinds)


def sums_alone(told: Graph) -> Graph:
    """An aggregate without what it tells of single hosts."""
    elements = (
        replace(
            each,
            features=tuple(
                f
                for f in each.features
                if f.attribute != KINDS and not within(f.attribute, LARGEST)
            ),
        )
        for each in told.elements
    )
    return replace(told, elements=tuple(elements))


def _may_be(wanted: tuple[str, ...], kind: tuple[str, ...]) -> bool:
    if len(wanted) <= len(kind):
        return wanted == kind[: len(wanted)]
    return len(kind) == TOLD_LEVELS and wanted[:TOLD_LEVELS] == kind
