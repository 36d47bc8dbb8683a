"""Arrays of many numbers: their order, and ranges of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def order_of(values: Ints) -> Ints:
    """Indices that put ``values`` in order, equal ones as they were: a stable argsort.

    Where a value, less the least one, and its index fit into 63 bits together, they are sorted as
    one number, which takes a quarter of the time.
    """
    count = len(values)
    if not count:
        return np.zeros(0, np.int64)
    least, bits = int(values.min()), (count - 1).bit_length()
    if (int(values.max()) - least).bit_length() + bits > 63:
        return np.argsort(values, kind="stable")
    codes = np.sort((values - least << bits) | np.arange(count))
    return codes & ((1 << bits) - 1)


def ranges(firsts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """All numbers of the ranges [first, end), each with the index of its range."""
    counts = ends - firsts
    index = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return np.arange(len(index)) + (firsts - before)[index], index
