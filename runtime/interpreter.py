"""How Python's interpreter is set for a service that makes many objects in several threads."""

from __future__ import annotations

import gc
import sys

THRESHOLDS = (50_000, 20, 50)
"""Objects made before the youngest are looked at, and rounds before older ones are too."""
SWITCH_S = 0.0005


def tune() -> None:
    """Looks for cycles seldom, and never at what is there already; lets threads go on soon.

    A service makes thousands of objects for a reservation, of which hardly any form a cycle, and
    keeps many for long: looking at all of them as often as a script does costs a fifth of its time.

    The thread that writes lets go of the interpreter at every statement. Beside a busy event loop
    it would wait 5 ms to go on, and all that it writes with it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    sys.setswitchinterval(SWITCH_S)
