"""What each VNode is worth, so that hosts may choose their sets of VNodes one by one.

Each VNode must be on one host. With a price on that instead, every host takes the set that costs
least beside what its VNodes are worth, whatever the others take; what all of that costs is a bound
for any prices, and the best prices are looked for by subgradients (Lagrange relaxation: Held and
Karp, 1971; steps as in Polyak, 1969).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedding.network import Floats

STEPS = 200
PATIENCE = 6
"""Steps without a better bound until steps get shorter."""
SHORTER, MEMORY = 0.6, 0.3
"""Of the length of steps; of the last direction, in the next."""


@dataclass(frozen=True, slots=True)
class Prices:
    """``each``: per VNode. ``bound``: no division among hosts costs less. ``excess``: hosts × sets,
    never below 0.

    A division of all VNodes costs ``bound`` and the excess of each of its sets, exactly.
    """

    each: Floats
    bound: float
    excess: Floats


def best_prices(
    costs: Floats, bits: Floats, goal: float, most: float = np.inf, enough: float = np.inf
) -> Prices:
    """``costs``: hosts × sets, the empty one first; infinite where a set may not be.

    ``goal``: about what the best division costs. ``most``: no price is more. Ends at a bound of
    ``enough``.
    """
    narrow, few = costs.astype(np.float32), bits.astype(np.float32)
    rows = np.arange(len(costs))
    prices = np.minimum(_first(costs, bits), most)
    best, known, length, waited = -1e300, prices, 1.0, 0
    direction = np.zeros(len(prices))
    for _ in range(STEPS):
        reduced = narrow - few @ prices.astype(np.float32)
        chosen = reduced.argmin(axis=1)
        bound = float(prices.sum() + reduced[rows, chosen].sum(dtype=float))
        waited += 1
        if bound > best + 1e-4 * abs(best):
            best, known, waited = bound, prices, 0
        elif waited >= PATIENCE:
            length, waited = length * SHORTER, 0
        short = 1 - bits[chosen].sum(axis=0)
        if best >= enough or not short.any():
            break
        direction = MEMORY * direction + short
        squared = float(direction @ direction)
        if squared > 0:
            step = length * max(goal - bound, 1e-3 * abs(goal)) / squared
            prices = np.minimum(prices + step * direction, most)
    return prices_at(costs, bits, known)


def _first(costs: Floats, bits: Floats) -> Floats:
    """Per VNode its share of the set that is cheapest for each of its members."""
    each = (costs / np.maximum(bits.sum(axis=1), 1)).min(axis=0)
    least = np.where(bits > 0, each[:, None], np.inf).min(axis=0)
    return np.where(np.isfinite(least), least, 0.0)


def prices_at(costs: Floats, bits: Floats, each: Floats) -> Prices:
    """What these prices say; any do."""
    reduced = costs - bits @ each
    least = reduced.min(axis=1)
    return Prices(each, float(each.sum() + least.sum()), reduced - least[:, None])
