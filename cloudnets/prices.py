"""Prices that providers tell, for mapping and for whoever pays.

Millionths of a unit of account per hour, of a core, a GiB, a piece or a Gb/s (rdl.prices).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rdl.prices import PER
from rdl.units import Unit
from substrate.values import dataclass

Prices = Mapping[str, int]
"""By type of resource."""


@dataclass(frozen=True, slots=True)
class Price:
    """What is to be paid, in millionths of a unit of account per hour.

    ``untold``: who has a part in it that they tell no price of, which is not counted.
    """

    micros: float
    untold: frozenset[str] = frozenset()


def differing(told: Sequence[Prices]) -> list[dict[str, int]]:
    """Of each, what is over the least that anybody tells: what all have to pay decides nothing.

    Who does not tell what others do is taken for the dearest, or silence would be rewarded.
    """
    kinds = {kind for some in told for kind in some}
    all_of = {kind: [some[kind] for some in told if kind in some] for kind in kinds}
    return [
        {kind: some.get(kind, max(every)) - min(every) for kind, every in all_of.items()}
        for some in told
    ]


def price_of(
    amounts: Iterable[tuple[str, Mapping[str, int]]],
    told: Mapping[str, Prices],
    units: Mapping[str, Unit],
) -> Price | None:
    """Of amounts by type, in base units, each at the provider named; None: nobody tells any."""
    total, untold = 0.0, set()
    for name, wanted in amounts:
        for kind, amount in wanted.items():
            if kind in told[name]:
                total += amount * told[name][kind] / PER[units[kind]]
            elif amount:
                untold.add(name)
    return Price(total, frozenset(untold)) if any(told.values()) else None
