"""How much each of a few routes carries where they share resources: exact in integers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import highspy
import numpy as np

Limits = Mapping[Any, int]
"""What limits one route: resource → free bit/s. A resource of two routes limits their sum."""


def fill(limits: Sequence[Limits], wanted: int, least: int, *, whole: bool = False) -> list[int]:
    """Amounts per route, together at most ``wanted`` and as much of it as fits.

    Each amount is at least ``least``; where that cannot be, all are 0. Routes that share nothing
    are filled evenly (max-min fair). Where they do share, fair filling comes first, and only if
    that leaves bandwidth over is a linear program asked for more: unless a cut proves that there
    is no more or, where only ``whole`` amounts are of use, that ``wanted`` cannot be reached.
    """
    room, users = _shared(limits)
    base = [least] * len(limits)
    for resource, who in users.items():
        room[resource] -= least * len(who)
        if room[resource] < 0:
            return [0] * len(limits)
    if least * len(limits) > wanted:
        return [0] * len(limits)
    rest = wanted - sum(base)
    amounts = _progressive(len(limits), room, users, rest)
    if sum(amounts) < rest and any(len(who) > 1 for who in users.values()):
        most = _cut(room, users, amounts)
        if most > sum(amounts) and not (whole and most < rest):
            better = _linear(len(limits), room, users, rest)
            if sum(better) > sum(amounts):
                amounts = better
    return [a + b for a, b in zip(base, amounts, strict=True)]


def _shared(limits: Sequence[Limits]) -> tuple[dict[Hashable, int], dict[Hashable, list[int]]]:
    room: dict[Hashable, int] = {}
    users: dict[Hashable, list[int]] = {}
    for i, route in enumerate(limits):
        for resource, free in route.items():
            room[resource] = min(room.get(resource, free), free)
            users.setdefault(resource, []).append(i)
    return room, users


def _cut(
    room: Mapping[Hashable, int], users: Mapping[Hashable, list[int]], amounts: Sequence[int]
) -> int:
    """No more than this can fit: the room of full resources of which every route needs one.

    Progressive filling stops a route only at a full resource, so there is one for each.
    """
    full = [r for r, who in users.items() if sum(amounts[i] for i in who) == room[r]]
    open_routes, total = set(range(len(amounts))), 0
    while open_routes:
        widest = max(full, key=lambda r: (sum(i in open_routes for i in users[r]), -room[r]))
        open_routes.difference_update(users[widest])
        total += room[widest]
    return total


def _progressive(
    count: int, room: Mapping[Hashable, int], users: Mapping[Hashable, list[int]], rest: int
) -> list[int]:
    """Raises all amounts together; who meets a full resource stops."""
    amounts, active = [0] * count, set(range(count))
    left = dict(room)
    while active and rest > 0:
        level = rest // len(active)
        for resource, who in users.items():
            sharers = sum(1 for i in who if i in active)
            if sharers:
                level = min(level, left[resource] // sharers)
        if level == 0:
            # Less than one bit each: one by one, in order.
            for i in sorted(active):
                extra = min((left[r] for r, who in users.items() if i in who), default=0)
                extra = min(extra, rest, 1)
                amounts[i] += extra
                rest -= extra
                for resource, who in users.items():
                    if i in who:
                        left[resource] -= extra
                if not extra:
                    active.discard(i)
            continue
        for i in active:
            amounts[i] += level
        rest -= level * len(active)
        for resource, who in users.items():
            left[resource] -= level * sum(1 for i in who if i in active)
        full = {resource for resource in users if left[resource] == 0}
        active = {i for i in active if not any(i in users[resource] for resource in full)}
    return amounts


def _linear(
    count: int, room: Mapping[Hashable, int], users: Mapping[Hashable, list[int]], rest: int
) -> list[int]:
    """The most that fits, by linear programming, rounded down, then filled up."""
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.silent()
    scale = float(max(1, rest))
    for _ in range(count):
        solver.addVar(0.0, 1.0)
        solver.changeColCost(solver.getNumCol() - 1, -1.0)
    everybody = np.arange(count, dtype=np.int32)
    solver.addRow(-highspy.kHighsInf, 1.0, count, everybody, np.ones(count))
    for resource, who in users.items():
        index = np.array(who, dtype=np.int32)
        solver.addRow(
            -highspy.kHighsInf, room[resource] / scale, len(who), index, np.ones(len(who))
        )
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return [0] * count
    values = [max(0.0, value * scale) for value in solver.getSolution().col_value]
    # A whole number may come out a hair below itself. Where that makes too much, a little is left.
    for less in (1.0, 1 - 1e-9):
        amounts = [int(value * less + 0.01) for value in values]
        left = {r: room[r] - sum(amounts[i] for i in who) for r, who in users.items()}
        if sum(amounts) <= rest and all(value >= 0 for value in left.values()):
            break
    else:
        return [0] * count
    rest -= sum(amounts)
    for i in range(count):
        extra = min(rest, *(left[r] for r, who in users.items() if i in who))
        amounts[i] += extra
        rest -= extra
        for resource, who in users.items():
            if i in who:
                left[resource] -= extra
    return amounts
