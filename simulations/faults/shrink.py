"""Makes a failing schedule shorter while it still fails the same way (delta debugging)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from simulations.faults.plan import Item, Schedule

TRIALS_MOST = 400
SHORT_MS = 100


class _SpentError(Exception):
    """No more trials."""


def shrink(
    schedule: Schedule, fails: Callable[[Schedule], bool], trials: int = TRIALS_MOST
) -> Schedule:
    """The shortest schedule found that ``fails``; ``schedule`` itself must.

    Leaves items out, as many at once as it can; then makes what is left last less long. Ends after
    ``trials`` runs at the latest.
    """
    best = schedule
    left = trials

    def better(candidate: Schedule) -> bool:
        nonlocal best, left
        if left <= 0:
            raise _SpentError
        left -= 1
        if not fails(candidate):
            return False
        best = candidate
        return True

    try:
        while _leave_out(lambda: best, better) | _simplify(lambda: best, better):
            pass
    except _SpentError:
        pass
    return best


def _leave_out(present: Callable[[], Schedule], better: Callable[[Schedule], bool]) -> bool:
    """Halves, quarters, … single items; true when anything could go."""
    changed = False
    size = max(1, len(present().items) // 2)
    while True:
        at = 0
        while at < len(present().items):
            items = present().items
            if better(present().only((*items[:at], *items[at + size :]))):
                changed = True
            else:
                at += size
        if size == 1:
            return changed
        size //= 2


def _simplify(present: Callable[[], Schedule], better: Callable[[Schedule], bool]) -> bool:
    """A smaller world and shorter faults."""
    changed = False
    for world in _smaller(present()):
        changed |= better(world)
    for at, item in enumerate(present().items):
        if item.for_ms > SHORT_MS:
            items = list(present().items)
            items[at] = replace(item, for_ms=_shorter(item))
            changed |= better(present().only(items))
    return changed


def _shorter(item: Item) -> int:
    return max(SHORT_MS, item.for_ms // 4)


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    world = schedule.world
    if world.rival and not any("r" in item.who.split(">") for item in schedule.items):
        yield replace(schedule, world=replace(world, rival=False))
    if world.blind:
        yield replace(schedule, world=replace(world, blind=()))
    if world.expiring:
        yield replace(schedule, world=replace(world, expiring=()))
