"""How often Python looks for cycles of objects that nobody needs."""

from __future__ import annotations

import gc

THRESHOLDS = (50_000, 20, 50)
"""Objects made before the youngest are looked at, and rounds before older ones are too."""


def relax() -> None:
    """Looks seldom, and never at what is there already.

    A service makes thousands of objects for a reservation, of which hardly any form a cycle, and
    keeps many for long: looking at all of them as often as a script does costs a fifth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
