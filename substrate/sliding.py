"""Looks for other times at which circuits of constant rate may lie, to make room for one. Pure.

Whether a circuit lies at one time or at another is a choice, and a program of so many choices may
take seconds. The linear program of :mod:`substrate.repacking` is given several times of each,
between which it may divide the rate; what does not fit even so divided, fits in no way. Of those
that it does divide, the half that are least so get one time, and it is solved again, until none is
divided. Which time that is, is a guess: where most of it is, or, where that does not do, where most
of what left its present time is, as what leaves it in part has no room there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from substrate.forecast import Forecast
from substrate.model import Window
from substrate.repacking import SLOTS_MAX, Repacking, groups_of, prepared
from substrate.settling import Mover
from substrate.values import dataclass, replace

CIRCUITS_MAX = 24
"""So many may get another time; the others only other paths."""
TIMES_MAX = 4
"""At so many other times each is tried."""
ROUNDS = 3
"""In so many those that are divided get one time."""
WHOLE = 0.999
"""What lies so far at one time lies there."""

Times = tuple[Window, ...]
"""Where a circuit may lie; first where it does."""


def slid(forecast: Forecast, movers: Sequence[Mover]) -> Iterator[tuple[Forecast, Sequence[Mover]]]:
    """All of them, some at other times, at which they may fit together; the first one stays.

    With the forecast, cut at these times as far as a program has slots. None, one or two ways;
    those that come first are tried first.
    """
    wanted = movers[0].criteria.window
    choices: list[Times] = [(mover.criteria.window,) for mover in movers]
    may = [i for i, mover in enumerate(movers) if mover.within is not None]
    for i in may[:CIRCUITS_MAX]:
        choices[i] = _times(forecast, movers[i], wanted)
    if all(len(each) == 1 for each in choices):
        return
    forecast = _cut(forecast, choices)
    ready = prepared(forecast, movers)
    divided = _divided(ready, movers, choices)
    before: list[Window] | None = None
    for leaving in (False, True):
        found = _undivided(ready, movers, divided, leaving)
        if found is not None and found != before:
            before = found
            yield forecast, list(map(_at, movers, found))


@dataclass(frozen=True, slots=True)
class _Divided:
    """The times at which a circuit may lie, and how much a program has put at each, of 1 in all."""

    times: Times
    parts: tuple[float, ...]

    @property
    def most(self) -> float:
        return max(self.parts)

    def best(self, leaving: bool) -> Window:
        """The time that it gets; not the first one, if it is ``leaving`` that in part."""
        leaves = leaving and len(self.times) > 1 and self.parts[0] < WHOLE
        return self.times[max(range(int(leaves), len(self.times)), key=lambda i: self.parts[i])]


def _undivided(
    forecast: Forecast, movers: Sequence[Mover], divided: list[_Divided] | None, leaving: bool
) -> list[Window] | None:
    """One time for each; None where they do not fit so."""
    for left in reversed(range(ROUNDS)):
        if divided is None:
            return None
        least = sorted(each.most for each in divided if each.most < WHOLE)
        enough = least[len(least) // 2] if left and least else 0.0
        choices = [(each.best(leaving),) if each.most >= enough else each.times for each in divided]
        if all(len(each) == 1 for each in choices):
            return [each[0] for each in choices]
        divided = _divided(forecast, movers, choices)
    return None


def _divided(
    forecast: Forecast, movers: Sequence[Mover], choices: Sequence[Times]
) -> list[_Divided] | None:
    """Where a program puts them; None: nowhere."""
    tried = [_touched(forecast, its) for its in choices]
    groups = [
        groups_of(forecast, mover) if mover.bits else tuple(each)
        for mover, each in zip(movers, tried, strict=True)
    ]
    found = Repacking(forecast, movers, groups).solved()
    if found is None:
        return None
    divided: list[_Divided] = []
    for its, rates in zip(tried, found, strict=True):
        bps = [sum(rates.get(slots, {}).values()) for slots in its]
        parts = tuple(each / max(1, sum(bps)) for each in bps) if len(its) > 1 else (1.0,)
        divided.append(_Divided(tuple(its.values()), parts))
    return divided


def _touched(forecast: Forecast, times: Times) -> dict[range, Window]:
    """By the slots that they touch; of times that touch the same the first one."""
    found: dict[range, Window] = {}
    for window in times:
        slots = forecast.slots_of(window)
        found.setdefault(range(slots.start, slots.stop), window)
    return found


def _at(mover: Mover, window: Window) -> Mover:
    return replace(mover, criteria=replace(mover.criteria, window=window))


def _times(forecast: Forecast, mover: Mover, wanted: Window) -> Times:
    """First where it lies; then from or until an instant at which something changes.

    Of these first those just before the one that is ``wanted``, or after it, then those nearest to
    where it lies.
    """
    has, within = mover.criteria.window, mover.within
    assert within is not None
    length_s = has.duration_s
    first_s = max(within.start_s, forecast.span.start_s)
    last_s = min(within.end_s, forecast.span.end_s) - length_s

    def nearness(start_s: int) -> tuple[bool, int, int]:
        beside = start_s == wanted.end_s or start_s + length_s == wanted.start_s
        return not beside, abs(start_s - has.start_s), start_s

    starts = {start_s for cut in forecast.cuts for start_s in (cut, cut - length_s)}
    may = sorted((s for s in starts - {has.start_s} if first_s <= s <= last_s), key=nearness)
    return has, *(Window(start_s, start_s + length_s) for start_s in may[:TIMES_MAX])


def _cut(forecast: Forecast, choices: Sequence[Times]) -> Forecast:
    """At the times of those that come first."""
    for its in choices:
        finer = forecast.cut_at({at_s for w in its[1:] for at_s in (w.start_s, w.end_s)})
        if finer.slots > SLOTS_MAX:
            break
        forecast = finer
    return forecast
