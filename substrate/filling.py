"""How much each of a few routes carries where they share resources: exact in integers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import highspy
import numpy as np

Limits = Mapping[Any, int]
"""What limits one route: resource → free bit/s. A resource of two routes limits their sum."""

Rooms = dict[int, int]
"""Routes that share a resource, as a bit mask → what its scarcest such resource has free."""


def fill(limits: Sequence[Limits], wanted: int, least: int, *, whole: bool = False) -> list[int]:
    """Amounts per route, together at most ``wanted`` and as much of it as fits.

    Each amount is at least ``least``; where that cannot be, all are 0. Routes that share nothing
    are filled evenly (max-min fair). Where they do share, fair filling comes first, and only if
    that leaves bandwidth over is a linear program asked for more: unless a cut proves that there
    is no more or, where only ``whole`` amounts are of use, that ``wanted`` cannot be reached.
    """
    return fill_rooms(rooms_of(limits), len(limits), wanted, least, whole=whole)


def fill_rooms(
    rooms: Rooms, count: int, wanted: int, least: int, *, whole: bool = False
) -> list[int]:
    """As :func:`fill`, of so many routes that share these resources."""
    rest = wanted - least * count
    rooms = {users: room - least * users.bit_count() for users, room in rooms.items()}
    if rest < 0 or any(room < 0 for room in rooms.values()):
        return [0] * count
    amounts = _progressive(count, rooms, rest)
    carried = sum(amounts)
    if carried < rest and any(users.bit_count() > 1 for users in rooms):
        most = _cut(rooms, amounts)
        if most > carried and not (whole and most < rest):
            better = _linear(count, rooms, rest)
            if sum(better) > carried:
                amounts = better
    return [least + amount for amount in amounts]


def rooms_of(limits: Sequence[Limits]) -> Rooms:
    """The resources of these routes. Of those with the same users the scarcest alone counts."""
    free_at: dict[Hashable, int] = {}
    users_of: dict[Hashable, int] = {}
    for i, route in enumerate(limits):
        for resource, free in route.items():
            if resource in free_at:
                users_of[resource] |= 1 << i
                free_at[resource] = min(free_at[resource], free)
            else:
                users_of[resource] = 1 << i
                free_at[resource] = free
    rooms: Rooms = {}
    for resource, users in users_of.items():
        free = free_at[resource]
        if users not in rooms or free < rooms[users]:
            rooms[users] = free
    return rooms


def _on(users: int, amounts: Sequence[int]) -> int:
    return sum(amount for i, amount in enumerate(amounts) if users >> i & 1)


def _cut(rooms: Rooms, amounts: Sequence[int]) -> int:
    """No more than this can fit: the room of full resources of which every route needs one.

    Progressive filling stops a route only at a full resource, so there is one for each.
    """
    full = [users for users, room in rooms.items() if _on(users, amounts) == room]
    open_routes, total = (1 << len(amounts)) - 1, 0
    while open_routes:
        widest = max(full, key=lambda users: ((users & open_routes).bit_count(), -rooms[users]))
        open_routes &= ~widest
        total += rooms[widest]
    return total


def _progressive(count: int, rooms: Rooms, rest: int) -> list[int]:
    """Raises all amounts together; who meets a full resource stops."""
    amounts, active = [0] * count, (1 << count) - 1
    left = dict(rooms)
    while active and rest > 0:
        raised = active.bit_count()
        level = rest // raised
        for users, room in left.items():
            sharers = (users & active).bit_count()
            if sharers and room < level * sharers:
                level = room // sharers
        if level == 0:
            rest, active = _one_bit_each(amounts, left, active, rest)
            continue
        for i in range(count):
            if active >> i & 1:
                amounts[i] += level
        rest -= level * raised
        full = 0
        for users, room in left.items():
            left[users] = room - level * (users & active).bit_count()
            full |= users if left[users] == 0 else 0
        active &= ~full
    return amounts


def _one_bit_each(amounts: list[int], left: Rooms, active: int, rest: int) -> tuple[int, int]:
    """In order, as far as it goes; who gets none stops. What is left to give, and who goes on."""
    for i in range(len(amounts)):
        if not active >> i & 1:
            continue
        if rest == 0 or any(room <= 0 for users, room in left.items() if users >> i & 1):
            active &= ~(1 << i)
            continue
        amounts[i] += 1
        rest -= 1
        for users in left:
            left[users] -= users >> i & 1
    return rest, active


def _linear(count: int, rooms: Rooms, rest: int) -> list[int]:
    """The most that fits, by linear programming, rounded down, then filled up."""
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.silent()
    scale = float(max(1, rest))
    for _ in range(count):
        solver.addVar(0.0, 1.0)
        solver.changeColCost(solver.getNumCol() - 1, -1.0)
    everybody = np.arange(count, dtype=np.int32)
    solver.addRow(-highspy.kHighsInf, 1.0, count, everybody, np.ones(count))
    for users, room in rooms.items():
        index = np.array([i for i in range(count) if users >> i & 1], dtype=np.int32)
        solver.addRow(-highspy.kHighsInf, room / scale, len(index), index, np.ones(len(index)))
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return [0] * count
    values = [max(0.0, value * scale) for value in solver.getSolution().col_value]
    # A whole number may come out a hair below itself. Where that makes too much, a little is left.
    for less in (1.0, 1 - 1e-9):
        amounts = [int(value * less + 0.01) for value in values]
        left = {users: room - _on(users, amounts) for users, room in rooms.items()}
        if sum(amounts) <= rest and all(value >= 0 for value in left.values()):
            break
    else:
        return [0] * count
    rest -= sum(amounts)
    for i in range(count):
        extra = min([rest, *(room for users, room in left.items() if users >> i & 1)])
        amounts[i] += extra
        rest -= extra
        for users in left:
            left[users] -= extra * (users >> i & 1)
    return amounts
