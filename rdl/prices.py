"""What resources cost: features such as ``/feature/price/cpu`` of hosts, links and aggregates."""

from __future__ import annotations

from collections.abc import Iterable

from rdl.attributes import within
from rdl.model import Feature, NetworkElement
from rdl.units import Amount, Unit
from rdl.vocabulary import STANDARD, Vocabulary

POWER = "/feature/power"
PER = {
    Unit.BANDWIDTH_BPS: 10**9,
    Unit.COMPUTE_MCORES: 1_000,
    Unit.COUNT_PIECES: 1,
    Unit.DATA_BYTES: 1 << 30,
}
"""Of how many base units a price is: of a Gb/s, a core, a piece, a GiB."""


def price_feature(kind: str) -> str:
    """The feature that says what a type of resource costs: "/feature/price/cpu"."""
    return "/feature/price" + kind.removeprefix("/resource")


def prices_of(element: NetworkElement, vocabulary: Vocabulary = STANDARD) -> dict[str, int]:
    """What an element tells, by type of resource, in millionths of a unit of account per hour."""
    found = {}
    for kind in vocabulary.resources:
        told = amount_told(element, price_feature(kind))
        if told is not None:
            found[kind] = told
    return found


def amount_told(element: NetworkElement, feature: str) -> int | None:
    """What an element tells of a feature that is an amount, the largest; None: nothing."""
    told = [
        each.value.value
        for each in element.features
        if within(each.attribute, feature) and isinstance(each.value, Amount)
    ]
    return max(told, default=None)


def dearest(
    elements: Iterable[NetworkElement], vocabulary: Vocabulary = STANDARD
) -> tuple[Feature, ...]:
    """The highest price that any of them tells of each type, so that nothing costs more."""
    most: dict[str, int] = {}
    for element in elements:
        for kind, price in prices_of(element, vocabulary).items():
            most[kind] = max(price, most.get(kind, 0))
    return tuple(
        Feature(price_feature(kind), Amount(price, Unit.PRICE_MICROS))
        for kind, price in sorted(most.items())
    )
